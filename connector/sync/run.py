"""One run of one activation: pre-flight, stage, deliver. The watermark never waits for the send."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from connector.destinations.engage import Engage
from connector.ledger.records import Hold, Identity, Run, Tally
from connector.ledger.store import Ledger
from connector.rules.activation import Activation, Limits
from connector.rules.contacts import ContactCache
from connector.rules.delivery import State, waiting_for_person
from connector.rules.errors import (
    ConfigurationError,
    ConnectorError,
    LedgerChanged,
    LedgerUnavailable,
    Problem,
    WarehouseUnavailable,
    did_you_mean,
)
from connector.rules.schema import InteractionSchema
from connector.rules.turnover import MOST, Turnover
from connector.sync.deliver import Delivering, Stop
from connector.sync.lookup import Contacts, at_engage, in_warehouse
from connector.sync.progress import Progress
from connector.sync.result import Result
from connector.sync.settle import Settled, Settling
from connector.sync.stage import stage
from connector.warehouse import ContactMap, Warehouse

log = structlog.get_logger()

RESTORED = (
    "the ledger was put back from a backup ({reason}): rows that it does not know to be delivered"
    " are read back before they are sent"
)


FIRST_SYNC_ROWS = 100_000
"""A first sync of more rows is held where no limit is written: it may be a whole history, which
would start an automation for each of its rows."""


@dataclass(slots=True)
class Job:
    """Everything that one run needs. `limit`: most rows to send; `approve`: let a held run go;
    `wait`: stay until the run's own doubts are settled; `full`: read the whole model."""

    activation: Activation
    identity: Identity
    warehouse: Warehouse
    ledger: Ledger
    engage: Engage
    zone: ZoneInfo | None
    settle_after: timedelta
    """How old an attempt must be before "not there" is believed of it."""
    contact_cache: ContactCache
    limit: int | None = None
    approve: bool = False
    wait: bool = False
    full: bool = False
    stop: Stop = field(default_factory=Stop)
    progress: Progress = field(default_factory=Progress)
    tally: Tally = field(default_factory=Tally)


async def sync(job: Job) -> Result:
    """Run an activation once. What stops the run stands in the result.

    Raises what stops it before there is a run: ActivationBusy, LedgerUnavailable, or
    ConfigurationError when the activation has become another one under its name.
    """
    job.engage = job.engage.heeding(lambda: job.stop.asked)
    with ThreadPoolExecutor(1, "ledger") as thread:
        run = await _call(thread, job.ledger.begin, job.activation.name, job.identity)
        with structlog.contextvars.bound_contextvars(run_id=run.run_id, activation=run.activation):
            log.info("run.started")
            job.progress.begun(run)
            if run.restored:
                job.tally.notes.append(RESTORED.format(reason=run.restored))
            async with heartbeat(job.ledger, run, job.stop):
                status, error = await _attempt(job, run, thread)
            return await _end(job, run, thread, status, error)


async def _attempt(
    job: Job, run: Run, thread: ThreadPoolExecutor
) -> tuple[str | None, ConnectorError | None]:
    """The work, and what became of it: a status where it is already clear, and what stopped it."""
    try:
        return await _work(job, run, thread), None
    except ConnectorError as error:
        # what was given up because it was to stop is no news about the destination
        first = job.stop.error
        return "stopped", first if isinstance(first, ConnectorError) else error
    except BaseException as error:  # a defect: the run's record says so, and the defect goes on up
        told = ConnectorError(f"unexpected {type(error).__name__}; see the log")
        await _call(thread, job.ledger.finish, run, "stopped", job.tally, told)
        raise


async def _end(
    job: Job,
    run: Run,
    thread: ThreadPoolExecutor,
    status: str | None,
    error: ConnectorError | None,
) -> Result:
    """Record how the run ended. A ledger that cannot take that any more has stopped the run, which
    still has a result: what it sent is told."""
    waits: Mapping[str, int] = {}
    try:
        waits = await _count_open_rows(job, run, thread)
        await _forget_old_contacts(job, thread)
        status = status or _verdict(job.tally, waits)
        await _call(thread, job.ledger.finish, run, status, job.tally, error)
        await _call(thread, job.ledger.tidy, job.tally.delivered)
    except LedgerChanged as changed:  # it can still take that the run stopped because of it
        with suppress(LedgerUnavailable):
            await _call(thread, job.ledger.finish, run, "stopped", job.tally, changed)
        status, error = "stopped", error or changed
    except LedgerUnavailable as lost:
        status, error = "stopped", error or lost
    return Result(run, status, job.tally, error, waits)


async def _work(job: Job, run: Run, thread: ThreadPoolExecutor) -> str | None:
    schema = await preflight(job.activation, job.engage)
    contacts = _contacts(job, thread)
    await _settle(job, run, schema, contacts, thread)
    held = await _call(thread, job.ledger.held, job.activation.name)
    _, begun = await _call(thread, job.ledger.watermark, job.activation.name)
    unread = await _call(thread, _read_and_stage, job, run, schema) if held is None else None
    if job.stop.error:
        raise job.stop.error
    counts = await _call(thread, job.ledger.counts, job.activation.name)
    due = counts.get(State.PENDING, 0)
    # while it is held nothing new is read, so that what is approved is what was shown
    figures = as_it_stands(held, counts) if held else _figures(due, job.tally, first=not begun)
    if not job.approve and (reason := passed_limit(job.activation.limits, figures)):
        job.tally.notes.append(reason)
        await _call(thread, job.ledger.hold_back, run, figures)
        return _unless(unread, "held")
    if held:
        await _call(thread, job.ledger.hold_back, run, None)
    guard = _guard(job, figures)
    await _deliver(job, run, schema, contacts, thread, due + counts.get(State.WAITING, 0), guard)
    while not guard.stopped_it and (
        (settled := await _settle(job, run, schema, contacts, thread)).absent
        or (job.wait and settled.next_in is not None)
    ):
        await job.stop.wait(settled.next_in if not settled.absent else timedelta(0))
        if job.stop.error:
            raise job.stop.error
        await _deliver(job, run, schema, contacts, thread, settled.absent, guard)
    return _unless(
        unread, await _hold_the_rest(job, run, guard, thread) if guard.stopped_it else None
    )


def _unless(unread: WarehouseUnavailable | None, status: str | None) -> str | None:
    """`status`, where the model was read. What was recorded before reading failed has been sent as
    usual, since it needs the warehouse no more; then the run is told as stopped."""
    if unread is not None:
        raise unread
    return status


@dataclass(slots=True)
class Guard:
    """Stops a run that sends when too many of its rows are rejected: it would have been held, had
    that been known before. `share`: of `rows`; None: any, as after an approval."""

    rows: int
    invalid: int
    share: float | None
    stop: Stop
    stopped_it: bool = False

    def saw(self, tally: Tally) -> None:
        """Look at what has become of the rows so far. Those that waited for their contact since an
        earlier run were none of the rows that this one is judged by."""
        if self.share is None or self.stop.asked or not self.rows:
            return
        if (self.invalid + tally.rejected - tally.given_up) / self.rows > self.share:
            self.stopped_it = True
            self.stop.now()


def _guard(job: Job, figures: Hold) -> Guard:
    share = None if job.approve else job.activation.limits.refused
    return Guard(figures.due + figures.invalid, figures.invalid, share, job.stop)


async def _hold_the_rest(
    job: Job, run: Run, guard: Guard, thread: ThreadPoolExecutor
) -> str | None:
    """Held, where rows are left that were not sent."""
    counts = await _call(thread, job.ledger.counts, job.activation.name)
    rejected = job.tally.rejected - job.tally.given_up
    figures = Hold(counts.get(State.PENDING, 0), guard.rows, guard.invalid, rejected=rejected)
    if not figures.due:
        return None
    job.tally.notes.append(refusals(job.activation.limits, figures))
    await _call(thread, job.ledger.hold_back, run, figures)
    return "held"


async def preflight(activation: Activation, engage: Engage) -> InteractionSchema:
    """The live schema, before any row is read. Raises DestinationUnusable when the key is refused
    or nothing answers, ConfigurationError when there is no such schema or the mapping breaks it."""
    schema = await engage.schema(activation.schema_id)
    path = ("activations", activation.name)
    if schema is None:
        known = await engage.schema_ids()
        raise ConfigurationError(
            Problem(
                (*path, "schema_id"),
                f'activation "{activation.name}": the destination has no schema'
                f' "{activation.schema_id}"{did_you_mean(activation.schema_id, known)}',
            )
        )
    refuse_misfits(activation, schema)
    return schema


def refuse_misfits(activation: Activation, schema: InteractionSchema) -> None:
    """Raises ConfigurationError when the mapping breaks the schema, whatever the rows are."""
    path = ("activations", activation.name)
    problems = [
        Problem((*path, *p.path), f'activation "{activation.name}": {p.message}')
        for p in schema.mapping_problems(activation.payload)
    ]
    problems += [
        Problem((*path, "payload", name), f'activation "{activation.name}": {why}')
        for name, field in activation.payload.items()
        if field.value is not None and (why := schema.constant_problem(name, field.value))
    ]
    if problems:
        raise ConfigurationError(*problems)


def as_it_stands(held: Hold, counts: Mapping[State, int]) -> Hold:
    """The figures of a held run, less what persons have retried or discarded meanwhile."""
    return replace(
        held,
        due=counts.get(State.PENDING, 0),
        invalid=min(held.invalid, counts.get(State.INVALID, 0)),
        rejected=min(held.rejected, counts.get(State.REJECTED, 0)),
    )


def passed_limit(limits: Limits, figures: Hold) -> str | None:
    """Why a run with these figures is to be held; None when it may go."""
    if reason := keys_changed(limits, figures):
        return reason
    if limits.rows is not None and figures.due > limits.rows:
        return (
            f"held: {figures.due} rows are to be sent and limits.rows is {limits.rows};"
            " `connector sync --approve` lets exactly these go, a higher limit lets all go"
        )
    if limits.rows is None and figures.first and figures.due > FIRST_SYNC_ROWS:
        return (
            f"held: {figures.due} rows are to be sent by the first sync, and no limits.rows is"
            " written; `connector sync --approve` lets exactly these go, and a limit of your own"
            " says what is usual"
        )
    refused = figures.invalid + figures.rejected
    share = refused / figures.staged if figures.staged else 0
    if limits.refused is not None and share > limits.refused:
        return refusals(limits, figures)
    return None


def _figures(due: int, tally: Tally, first: bool) -> Hold:
    """What a run is judged by that was staged just now."""
    figures = held_by(due, tally.turnover)
    return replace(figures, staged=tally.staged, invalid=tally.invalid, first=first)


def held_by(due: int, turnover: Turnover | None) -> Hold:
    """The figures of a run as far as they are about rows that it should have read again."""
    again, gone = (turnover.again, turnover.gone) if turnover else (0, 0)
    return Hold(due, 0, 0, again=again, gone=gone)


def keys_changed(limits: Limits, figures: Hold) -> str | None:
    """That the rows to be sent are likely rows that were sent, under other keys."""
    most = MOST if limits.changed_keys is None else limits.changed_keys
    if not figures.due or not figures.again or figures.gone / figures.again <= most:
        return None
    return (
        f"held: {figures.gone} of {figures.again} rows that are read again are gone, and as many"
        " unknown ones are there: the row key seems to change between two readings, as uuid() or a"
        " new number for each row does, and what was sent would be sent again. Make it the same at"
        " each reading and give these rows up (`connector quarantine discard ACTIVATION --state"
        " pending`); or, if they are other rows, `connector sync --approve` lets exactly these go,"
        f" and limits.changed_keys (now {most:.0%}) says what is usual"
    )


def refusals(limits: Limits, figures: Hold) -> str:
    """That too many rows are invalid or were rejected."""
    kinds = {"invalid": figures.invalid, "rejected": figures.rejected}
    found = " and ".join(f"{number} {word}" for word, number in kinds.items() if number)
    return (
        f"held: {found} of {figures.staged} rows, and limits.refused is {limits.refused or 0:.1%};"
        " `connector quarantine list` says why, and `connector sync --approve` lets the others go"
    )


def _read_and_stage(job: Job, run: Run, schema: InteractionSchema) -> WarehouseUnavailable | None:
    """Read the model and record what is new; what kept it from being read to its end."""
    try:
        _stage(job, run, schema)
    except WarehouseUnavailable as error:
        return error
    return None


def _stage(job: Job, run: Run, schema: InteractionSchema) -> None:
    with job.warehouse.open() as reader:
        stage(
            run,
            job.activation,
            schema,
            reader,
            job.ledger,
            job.zone,
            job.tally,
            job.limit,
            job.full,
            stopping=lambda: job.stop.asked,
            progress=lambda rows: job.progress.reading(run.activation, rows),
        )


async def _settle(
    job: Job,
    run: Run,
    schema: InteractionSchema,
    contacts: Contacts,
    thread: ThreadPoolExecutor,
) -> Settled:
    """Ask the destination about rows in doubt; those that are not there are pending again."""
    settling = Settling(
        run=run,
        activation=job.activation,
        schema=schema,
        ledger=job.ledger,
        engage=job.engage,
        settle_after=job.settle_after,
        call=partial(_call, thread),
        there=job.engage.clock.earliest,
        contacts=contacts,
    )
    settled = await settling.settle(lambda: job.stop.asked)
    job.tally.delivered += settled.delivered
    if job.stop.error:
        raise job.stop.error
    return settled


def _contacts(job: Job, thread: ThreadPoolExecutor) -> Contacts:
    """Where the run's contacts are looked up, and what it learns about them."""
    how = job.activation.contact
    if how.lookup:
        contacts = in_warehouse(how, ContactMap(job.warehouse.open, job.activation, how.lookup))
    else:
        read = partial(_call, thread, job.ledger.contacts)
        contacts = at_engage(how, job.engage, job.contact_cache, read)
    if how.needs_look_up:
        job.tally.contacts = contacts.matches
    return contacts


async def _deliver(
    job: Job,
    run: Run,
    schema: InteractionSchema,
    contacts: Contacts,
    thread: ThreadPoolExecutor,
    total: int,
    guard: Guard,
) -> None:
    def look(tally: Tally) -> None:
        guard.saw(tally)
        job.progress.sending(run.activation, tally, total)

    limit = None if job.limit is None else job.limit - job.tally.delivered
    if limit is not None and limit <= 0:
        return
    total = total if limit is None else min(total, limit)
    delivering = Delivering(
        run=run,
        activation=job.activation,
        schema_id=schema.id,
        ledger=job.ledger,
        engage=job.engage,
        contacts=contacts,
        thread=thread,
        stop=job.stop,
        tally=job.tally,
        settle_after=job.settle_after,
        limit=limit,
        progress=look,
    )
    await delivering.deliver()
    if job.stop.error:
        raise job.stop.error


async def _count_open_rows(job: Job, run: Run, thread: ThreadPoolExecutor) -> Mapping[str, int]:
    """Rows that are neither delivered nor refused stand in the result as they stand now. Gives back
    those that wait for a person."""
    counts = await _call(thread, job.ledger.counts, job.activation.name)
    job.tally.pending = counts.get(State.PENDING, 0)
    job.tally.waiting = counts.get(State.WAITING, 0)
    # nothing is under way any more: an attempt that is still open is one whose answer got lost
    job.tally.in_doubt = counts.get(State.IN_DOUBT, 0) + counts.get(State.SENDING, 0)
    if job.tally.in_doubt:
        job.tally.own_doubts = await _call(thread, job.ledger.doubts_left, run)
    return waiting_for_person({**counts, State.IN_DOUBT: job.tally.in_doubt})


async def _forget_old_contacts(job: Job, thread: ThreadPoolExecutor) -> None:
    cache = job.contact_cache
    await _call(thread, job.ledger.remove_expired_contacts, cache.destination, cache.span)


def _verdict(tally: Tally, waits: Mapping[str, int]) -> str:
    """Whether something waits for a person, whichever run left it there."""
    return "attention" if waits or tally.notes else "succeeded"


@asynccontextmanager
async def heartbeat(ledger: Ledger, run: Run, stop: Stop) -> AsyncIterator[None]:
    """Keeps the lease while a slow model is read or a slow answer is waited for.

    When it is lost, or the ledger with it, `stop` is given.
    """
    with ThreadPoolExecutor(1, "heartbeat") as thread:
        beating = asyncio.create_task(_beat(ledger, run, stop, thread))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)


async def _beat(ledger: Ledger, run: Run, stop: Stop, thread: ThreadPoolExecutor) -> None:
    while True:
        await asyncio.sleep(ledger.lease.total_seconds() / 3)
        try:
            await _call(thread, ledger.heartbeat, run)
        except ConnectorError as error:
            stop.now(error)


async def _call(thread: ThreadPoolExecutor, method: Any, *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(thread, method, *args)
