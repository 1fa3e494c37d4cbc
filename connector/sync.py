"""One run of one activation: pre-flight, stage, deliver. The watermark never waits for the send."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from connector.activation import Activation, Limits
from connector.deliver import Delivering, Stop
from connector.delivery import State
from connector.destinations.engage import Engage
from connector.errors import ConfigurationError, ConnectorError, Problem, did_you_mean
from connector.ledger.records import Hold, Identity, Run, Tally
from connector.ledger.store import Ledger
from connector.schema import InteractionSchema
from connector.settle import Settled, Settling
from connector.stage import stage
from connector.warehouse import Warehouse

log = structlog.get_logger()


class Progress:
    """Told what a run does while it does it; this one keeps quiet."""

    def reading(self, activation: str, rows: int) -> None:
        """`rows` were read so far."""

    def sending(self, activation: str, tally: Tally, total: int) -> None:
        """`tally` so far, of `total` rows that are to be sent."""


@dataclass(slots=True)
class Job:
    """Everything that one run needs. `limit`: most rows to send; `approve`: let a held run go;
    `wait`: stay until the run's own doubts are settled."""

    activation: Activation
    identity: Identity
    warehouse: Warehouse
    ledger: Ledger
    engage: Engage
    zone: ZoneInfo | None
    settle_after: timedelta
    """How old an attempt must be before "not there" is believed of it."""
    limit: int | None = None
    approve: bool = False
    wait: bool = False
    stop: Stop = field(default_factory=Stop)
    progress: Progress = field(default_factory=Progress)
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. `error` is what stopped it."""

    run: Run
    status: str
    tally: Tally
    error: ConnectorError | None = None


async def sync(job: Job) -> Result:
    """Run an activation once. What stops the run stands in the result.

    Raises what stops it before there is a run: ActivationBusy, LedgerUnavailable, or
    ConfigurationError when the activation has become another one under its name.
    """
    with ThreadPoolExecutor(1, "ledger") as thread:
        run = await _call(thread, job.ledger.begin, job.activation.name, job.identity)
        with structlog.contextvars.bound_contextvars(run_id=run.run_id, activation=run.activation):
            log.info("run.started")
            async with _heartbeat(job, run):
                status, error = await _attempt(job, run, thread)
            await _count_open_rows(job, thread)
            status = status or _verdict(job.tally)
            await _call(
                thread, job.ledger.finish, run, status, job.tally, str(error) if error else None
            )
            log.info("run.finished", status=status, error=str(error) if error else None)
    return Result(run, status, job.tally, error)


async def _attempt(
    job: Job, run: Run, thread: ThreadPoolExecutor
) -> tuple[str | None, ConnectorError | None]:
    """The work, and what became of it: a status where it is already clear, and what stopped it."""
    try:
        return await _work(job, run, thread), None
    except ConnectorError as error:
        return "stopped", error
    except BaseException as error:  # a defect: the run's record says so, and the defect goes on up
        message = f"unexpected {type(error).__name__}; see the log"
        await _call(thread, job.ledger.finish, run, "stopped", job.tally, message)
        raise


async def _work(job: Job, run: Run, thread: ThreadPoolExecutor) -> str | None:
    schema = await preflight(job.activation, job.engage)
    await _settle(job, run, schema, thread)
    held = await _call(thread, job.ledger.held, job.activation.name)
    if held is None:
        await _call(thread, _read_and_stage, job, run, schema)
    if job.stop.error:
        raise job.stop.error
    counts = await _call(thread, job.ledger.counts, job.activation.name)
    due = counts.get(State.PENDING, 0)
    # while it is held nothing new is read, so that what is approved is what was shown
    figures = held or Hold(due, job.tally.staged, job.tally.invalid)
    if not job.approve and (reason := passed_limit(job.activation.limits, figures)):
        job.tally.notes.append(reason)
        await _call(thread, job.ledger.hold_back, run, figures)
        return "held"
    if held:
        await _call(thread, job.ledger.hold_back, run, None)
    await _deliver(job, run, schema, thread, due + counts.get(State.WAITING, 0))
    while (settled := await _settle(job, run, schema, thread)).absent or (
        job.wait and settled.next_in is not None
    ):
        await job.stop.wait(settled.next_in if not settled.absent else timedelta(0))
        if job.stop.error:
            raise job.stop.error
        await _deliver(job, run, schema, thread, settled.absent)
    return None


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
    return schema


def passed_limit(limits: Limits, figures: Hold) -> str | None:
    """Why a run with these figures is to be held; None when it may go."""
    if limits.rows is not None and figures.due > limits.rows:
        return (
            f"held: {figures.due} rows are to be sent and limits.rows is {limits.rows};"
            " `connector sync --approve` lets exactly these go, a higher limit lets all go"
        )
    refused = figures.invalid / figures.staged if figures.staged else 0
    if limits.refused is not None and refused > limits.refused:
        return (
            f"held: {figures.invalid} of {figures.staged} rows are invalid and limits.refused is"
            f" {limits.refused:.1%}; `connector quarantine list` says why, and `connector sync"
            " --approve` lets the valid ones go"
        )
    return None


def _read_and_stage(job: Job, run: Run, schema: InteractionSchema) -> None:
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
            stopping=lambda: job.stop.asked,
            progress=lambda rows: job.progress.reading(run.activation, rows),
        )


async def _settle(
    job: Job, run: Run, schema: InteractionSchema, thread: ThreadPoolExecutor
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
    )
    settled = await settling.settle(lambda: job.stop.asked)
    job.tally.delivered += settled.delivered
    if job.stop.error:
        raise job.stop.error
    return settled


async def _deliver(
    job: Job, run: Run, schema: InteractionSchema, thread: ThreadPoolExecutor, total: int
) -> None:
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
        thread=thread,
        stop=job.stop,
        tally=job.tally,
        limit=limit,
        progress=lambda tally: job.progress.sending(run.activation, tally, total),
    )
    await delivering.deliver()
    if job.stop.error:
        raise job.stop.error


async def _count_open_rows(job: Job, thread: ThreadPoolExecutor) -> None:
    """Rows that are neither delivered nor refused stand in the result as they stand now."""
    counts = await _call(thread, job.ledger.counts, job.activation.name)
    job.tally.pending = counts.get(State.PENDING, 0) + counts.get(State.SENDING, 0)
    job.tally.waiting = counts.get(State.WAITING, 0)
    job.tally.in_doubt = counts.get(State.IN_DOUBT, 0)


def _verdict(tally: Tally) -> str:
    """Whether something waits for a person."""
    trouble = tally.invalid + tally.rejected + tally.in_doubt
    return "attention" if trouble or tally.notes else "succeeded"


@asynccontextmanager
async def _heartbeat(job: Job, run: Run) -> AsyncIterator[None]:
    """Keeps the lease while a slow model is read or a slow answer is waited for."""
    with ThreadPoolExecutor(1, "heartbeat") as thread:
        beating = asyncio.create_task(_beat(job, run, thread))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)


async def _beat(job: Job, run: Run, thread: ThreadPoolExecutor) -> None:
    while True:
        await asyncio.sleep(job.ledger.lease.total_seconds() / 3)
        try:
            await _call(thread, job.ledger.heartbeat, run)
        except ConnectorError as error:
            job.stop.now(error)


async def _call(thread: ThreadPoolExecutor, method: Any, *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(thread, method, *args)
