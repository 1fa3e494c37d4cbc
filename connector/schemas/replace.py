"""Replace a schema by a changed one: delete it with its interactions, and send them all again.

Each step is committed before the next begins, and may be repeated: whoever comes after a crash
looks at what is there and goes on. What is sent again is recorded, and fits the new schema, before
anything is deleted. A request to delete or to create is on record before it leaves; as long as an
earlier one could still arrive, none is sent after it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import timedelta

import orjson

from connector.destinations.engage import Engage
from connector.ledger.decisions import Person
from connector.ledger.records import Hold, Run
from connector.ledger.replacing import CANCELLABLE, Lack, Replacement, Standing, Step
from connector.ledger.store import Ledger
from connector.rules import clocks
from connector.rules.clocks import Deadline
from connector.rules.definition import Definition
from connector.rules.delivery import State
from connector.rules.difference import difference
from connector.rules.errors import (
    ConfigurationError,
    DestinationUnusable,
    Interrupted,
)
from connector.rules.place import Place
from connector.rules.schema import InteractionSchema
from connector.schemas import provision
from connector.schemas.provision import EXIT_CODES, Status
from connector.sync.deliver import SEND_WITHIN, Stop, send_within
from connector.sync.progress import Progress
from connector.sync.reading import plan
from connector.sync.run import Job, heartbeat, refuse_misfits, sync

LOOK_EVERY = 1.0
"""Seconds between two looks for what an earlier request did."""


@dataclass(slots=True)
class Migrating:
    """Everything that a migration needs. `jobs`: a run of each activation that sends to the
    schema; `local`: what the file has now; `give_up`: most rows that may be lost."""

    ledger: Ledger
    engage: Engage
    jobs: Mapping[str, Job]
    person: Person
    settle_after: timedelta
    """How old a request must be before it is believed that it had no effect."""
    place: Place
    """Where the destination is; `names`: what it is called."""
    names: Sequence[str]
    local: Definition | None = None
    give_up: int = 0
    stop: Stop = field(default_factory=Stop)
    progress: Progress = field(default_factory=Progress)
    notes: list[str] = field(default_factory=list)


async def migrate(work: Migrating, replacement: Replacement) -> dict[str, int]:
    """Go through with a migration, from where it stands; where its rows stand in the end, by state.

    Raises ConfigurationError when a person has to do something first (before the deletion the
    migration is then cancelled), or what stands in the way just now; then it can be gone on with.
    """
    async with _claimed(work, replacement) as claims:
        migration = replacement
        if not migration.begun:
            migration = await _begin(work, claims, migration)
        while migration.step in STEPS:
            migration = await STEPS[migration.step](work, claims, migration)
            _refuse_stopped(work)
    await _send(work, migration)
    standing = await asyncio.to_thread(work.ledger.replacements.progress, migration)
    await asyncio.to_thread(work.ledger.replacements.end, [], migration, Step.DONE)
    return standing


async def cancel(work: Migrating, migration: Replacement) -> None:
    """Forget a migration. Raises ConfigurationError when the deletion may be on its way."""
    if migration.step not in CANCELLABLE:
        raise ConfigurationError(
            f'the migration of "{migration.schema_id}" cannot be cancelled any more: the schema is'
            " deleted, or its deletion was asked for. Run it again without --cancel"
        )
    async with _claimed(work, migration) as claims:
        await asyncio.to_thread(work.ledger.replacements.end, claims, migration, Step.CANCELLED)


@asynccontextmanager
async def _claimed(work: Migrating, replacement: Replacement) -> AsyncIterator[list[Run]]:
    """Hold every activation, so that no run is under way and none begins."""
    ledger, claims = work.ledger.within(replacement.id), []
    async with AsyncExitStack() as stack:
        for name, job in work.jobs.items():
            claim = await asyncio.to_thread(ledger.claim, name, job.identity)
            stack.push_async_callback(asyncio.to_thread, work.ledger.let_go, claim)
            await stack.enter_async_context(heartbeat(work.ledger, claim, work.stop))
            claims.append(claim)
        yield claims


def _refuse_stopped(work: Migrating) -> None:
    if work.stop.asked:
        raise work.stop.error or Interrupted("interrupted")


# --- before anything is deleted -----------------------------------------------------------------


async def _begin(work: Migrating, claims: Sequence[Run], planned: Replacement) -> Replacement:
    """Look once more, now that nothing else can move a row, and keep the activations."""
    standings = await asyncio.to_thread(
        work.ledger.replacements.standings,
        work.place,
        work.names,
        planned.schema_id,
        list(work.jobs),
    )
    if problems := hindrances(standings, work.jobs):
        raise ConfigurationError(*problems)
    number = sum(s.counts.get(State.DELIVERED, 0) for s in standings.values())
    if number != planned.interactions:
        raise ConfigurationError(
            f'nothing was done: "{planned.schema_id}" had {planned.interactions}'
            f" interactions when it was asked about, and has {number} now"
        )
    await asyncio.to_thread(_refuse_unsent_misfits, work, planned.definition)
    return await asyncio.to_thread(
        work.ledger.replacements.begin, claims, planned, work.person.text
    )


def hindrances(standings: Mapping[str, Standing], configured: Iterable[str]) -> list[str]:
    """What has to be settled before a migration of the schema that these activations send to."""
    known, problems = set(configured), []
    for name, standing in standings.items():
        doubts = sum(standing.counts.get(s, 0) for s in (State.IN_DOUBT, State.SENDING))
        if name not in known and standing.counts:
            problems.append(
                f'"{name}" has sent to this schema and is no longer configured, so its rows could'
                " not be sent again. Put it back (paused: true is enough) for the migration"
            )
        if doubts:
            problems.append(
                f'"{name}" has {_rows(doubts)} in doubt, which could not be read back any more:'
                f" let `connector sync {name} --wait` settle them, or `connector quarantine settle`"
            )
        if standing.held:
            problems.append(
                f'a run of "{name}" is held: let it go with `connector sync {name} --approve`, or'
                " discard its rows"
            )
        if standing.suspect and name in known:
            problems.append(
                f'the ledger was put back from a backup, and "{name}" has rows that are not read'
                f" back yet: let `connector sync {name} --full --wait` do that"
            )
    return problems


def _refuse_unsent_misfits(work: Migrating, definition: Definition) -> None:
    """Rows that are not sent yet were held against the schema as it was."""
    schema = schema_of(definition)
    for name, job in work.jobs.items():
        refuse_misfits(job.activation, schema)
        unsent = work.ledger.replacements.unsent(name)
        broken = [key for key, payload in unsent if not schema.accepts(orjson.loads(payload))]
        if broken:
            raise ConfigurationError(
                f'"{name}" has {_rows(len(broken))} pending or waiting that the new schema does not'
                f" take, such as {broken[0]}: let them be sent, or discard them"
            )


async def _record(work: Migrating, claims: Sequence[Run], migration: Replacement) -> Replacement:
    """PAUSED: map all delivered rows anew and record them."""
    ledger, schema = work.ledger.replacements, schema_of(migration.definition)
    await asyncio.to_thread(ledger.forget_rows, claims, migration)
    try:
        for claim in claims:
            await asyncio.to_thread(_map_again, work, claim, migration, schema)
        await asyncio.to_thread(ledger.record_missing, claims, migration)
        lacks = await asyncio.to_thread(ledger.lacks, migration)
        if sum(lack.rows for lack in lacks) > work.give_up:
            raise ConfigurationError(_lacking(lacks, migration))
    except ConfigurationError:
        await asyncio.to_thread(ledger.end, claims, migration, Step.CANCELLED)
        raise
    return await asyncio.to_thread(ledger.advance, claims, migration, Step.RECORDED)


def _map_again(
    work: Migrating, claim: Run, migration: Replacement, schema: InteractionSchema
) -> None:
    job, name, read = work.jobs[claim.activation], claim.activation, 0
    with job.warehouse.open() as reader:
        refuse_misfits(job.activation, schema)
        reading = plan(
            job.activation, schema, reader, work.ledger, job.zone, claim.started_at, whole=True
        )
        # rows that were sent lie before `start:` where that was moved since
        with closing(iter(replace(reading, lower=None).rows(reader))) as batches:
            for rows in batches:
                keyed = [(key, row) for row in rows if (key := reading.mapper.key(row)) is not None]
                known = work.ledger.known(name, {key for key, _ in keyed})
                first: dict[int, Sequence[object]] = {}
                for key, row in keyed:
                    if (before := known.get(key)) and before.state is State.DELIVERED:
                        first.setdefault(before.id, row)
                found = [(i, reading.mapper(row)) for i, row in first.items()]
                work.ledger.replacements.record(claim, migration, found)
                read += len(rows)
                work.progress.reading(name, read)
                _refuse_stopped(work)


def _lacking(lacks: Sequence[Lack], migration: Replacement) -> str:
    total = sum(lack.rows for lack in lacks)
    lines = [
        f"  {_rows(lack.rows)}: {lack.reason} (such as {', '.join(lack.examples)})"
        for lack in lacks[:10]
    ]
    return (
        f"nothing was deleted: {total} of {_rows(migration.interactions)} could not be sent again,"
        " and their interactions would be lost:\n"
        + "\n".join(lines)
        + f"\nCorrect them in the model, or accept the loss with --give-up {total}"
    )


# --- delete and create --------------------------------------------------------------------------


async def _delete(work: Migrating, claims: Sequence[Run], migration: Replacement) -> Replacement:
    """RECORDED, DELETING: see the schema gone, with all of its interactions."""
    ledger, schema_id = work.ledger.replacements, migration.schema_id
    if migration.step is Step.DELETING:
        await _outlive(work, migration, lambda live: live is None)
    live = await work.engage.definition(schema_id)
    if live is None:
        return await asyncio.to_thread(ledger.advance, claims, migration, Step.DELETED)
    if difference(migration.was, live):
        if not difference(migration.definition, live):  # somebody did both already
            return await asyncio.to_thread(ledger.advance, claims, migration, Step.CREATED)
        raise ConfigurationError(
            f'the schema "{schema_id}" is another one now than when the migration was planned;'
            " nothing more was done. Put it back, or cancel the migration with --cancel"
        )
    await asyncio.to_thread(_refuse_newcomers, work, migration)
    deadline = Deadline(clocks.now(), min(SEND_WITHIN, send_within(work.settle_after)))
    migration = await asyncio.to_thread(ledger.advance, claims, migration, Step.DELETING)
    result = await provision.delete(schema_id, work.engage, deadline.passed)
    match result.status:
        case Status.DELETED:
            return await asyncio.to_thread(ledger.advance, claims, migration, Step.DELETED)
        case Status.REFUSED:
            await asyncio.to_thread(ledger.end, claims, migration, Step.CANCELLED)
            raise ConfigurationError(f"nothing was deleted: {result.message}")
        case _:
            raise DestinationUnusable(f"{result.message}; {AGAIN}")


def _refuse_newcomers(work: Migrating, migration: Replacement) -> None:
    standings = work.ledger.replacements.standings(
        work.place, [migration.destination], migration.schema_id, ()
    )
    if newcomers := [n for n, s in standings.items() if n not in work.jobs and s.counts]:
        raise ConfigurationError(
            f"{', '.join(newcomers)} sends to the schema since the migration began; nothing was"
            " deleted. Cancel it with --cancel, and begin anew"
        )


async def _create(work: Migrating, claims: Sequence[Run], migration: Replacement) -> Replacement:
    """DELETED, CREATING: see the new schema there."""
    ledger = work.ledger.replacements
    if migration.step is Step.CREATING:
        await _outlive(work, migration, lambda live: live is not None)
    live = await work.engage.definition(migration.schema_id)
    if live is not None:
        return await _take(work, claims, migration, live)
    definition = await _as_the_file_has_it(work, migration)
    migration = await asyncio.to_thread(
        ledger.advance, claims, migration, Step.CREATING, definition
    )
    result = await provision.create(migration.definition, work.engage)
    if EXIT_CODES.get(result.status) == 3:
        raise DestinationUnusable(f"{result.message}; {AGAIN}")
    live = await work.engage.definition(migration.schema_id)
    if live is None:
        await asyncio.to_thread(ledger.advance, claims, migration, Step.DELETED)
        raise ConfigurationError(
            f'the schema "{migration.schema_id}" is deleted and not created anew: {result.message}.'
            f" Correct its file, and run the command again"
        )
    return await _take(work, claims, migration, live)


async def _take(
    work: Migrating, claims: Sequence[Run], migration: Replacement, live: Definition
) -> Replacement:
    """The schema is there; as it should be, or so that all that is recorded fits it."""
    if changed := difference(migration.definition, live):
        await asyncio.to_thread(_refuse_unfit, work, migration, live)
        work.notes.append(f"the destination keeps the schema differently: {changed}")
    return await asyncio.to_thread(
        work.ledger.replacements.advance, claims, migration, Step.CREATED
    )


async def _as_the_file_has_it(work: Migrating, migration: Replacement) -> Definition | None:
    """As long as there is no schema, its file may be corrected; to what all that is recorded fits,
    and what was built on the old one. None: it says what was planned."""
    local = work.local
    if local is None or not difference(migration.definition, local):
        return None
    changes = difference(migration.was, local)
    if not changes.compatible:
        raise ConfigurationError(f"the file is not backward compatible: {changes}")
    await asyncio.to_thread(_refuse_unfit, work, migration, local)
    return local


def _refuse_unfit(work: Migrating, migration: Replacement, definition: Definition) -> None:
    _refuse_unsent_misfits(work, definition)
    schema = schema_of(definition)
    bodies = work.ledger.replacements.recorded(migration)
    broken = [key for key, payload in bodies if not schema.accepts(orjson.loads(payload))]
    if broken:
        raise ConfigurationError(
            f'{_rows(len(broken))} of "{definition.id}", such as {broken[0]}, are recorded to be'
            " sent again and do not fit the schema as it is now; put it back as it was planned"
        )


async def _outlive(
    work: Migrating, migration: Replacement, done: Callable[[Definition | None], bool]
) -> None:
    """Wait until what was asked for shows, or until the request can no longer arrive: then, and
    only then, may another follow. That much time has to have passed here, too, since the ledger's
    clock may have stepped."""
    since, wait = clocks.now(), work.settle_after + timedelta(seconds=SEND_WITHIN)
    while not done(await work.engage.definition(migration.schema_id)):
        here = timedelta(seconds=since.shortest_until(clocks.now()))
        age = await asyncio.to_thread(work.ledger.replacements.asked_ago, migration)
        if min(age, here) > wait:
            return
        await work.stop.wait(timedelta(seconds=LOOK_EVERY))
        _refuse_stopped(work)


# --- send again ---------------------------------------------------------------------------------


async def _move(work: Migrating, claims: Sequence[Run], migration: Replacement) -> Replacement:
    """CREATED: make all rows pending that were delivered, now that there is what they fit."""
    ledger = work.ledger.replacements
    for claim in claims:
        while await asyncio.to_thread(ledger.move, claim, migration, work.person.text):
            _refuse_stopped(work)
    return await asyncio.to_thread(ledger.advance, claims, migration, Step.MOVED)


async def _send(work: Migrating, migration: Replacement) -> None:
    """MOVED: send what is pending. Reads no model, so that nothing else is sent with it."""
    for name, job in work.jobs.items():
        if not await _left(work, migration, name):
            continue
        _refuse_stopped(work)
        await asyncio.to_thread(_hold, work, job, migration)
        job.approve, job.wait, job.ledger = True, True, work.ledger.within(migration.id)
        job.stop, job.progress = work.stop, work.progress
        result = await sync(job)
        if result.error:
            raise result.error
        if left := await _left(work, migration, name):
            raise DestinationUnusable(f'{_rows(left)} of "{name}" are still pending; {AGAIN}')


async def _left(work: Migrating, migration: Replacement, name: str) -> int:
    standing = await asyncio.to_thread(work.ledger.replacements.progress, migration, name)
    return standing.get(State.PENDING, 0) + standing.get(State.SENDING, 0)


def _hold(work: Migrating, job: Job, migration: Replacement) -> None:
    """A held run reads nothing new, and the confirmation of the migration is its approval."""
    name = job.activation.name
    claim = work.ledger.within(migration.id).claim(name, job.identity)
    try:
        counts = work.ledger.counts(name)
        work.ledger.hold_back(claim, Hold(counts.get(State.PENDING, 0), staged=0, invalid=0))
    finally:
        work.ledger.let_go(claim)


def schema_of(definition: Definition) -> InteractionSchema:
    """The schema that rows are held against."""
    rules = dict(definition.json_schema)
    return InteractionSchema(definition.id, rules, definition.display_name)


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


AGAIN = "run the command again, and it goes on"

STEPS: dict[Step, Callable[[Migrating, Sequence[Run], Replacement], Awaitable[Replacement]]] = {
    Step.PAUSED: _record,
    Step.RECORDED: _delete,
    Step.DELETING: _delete,
    Step.DELETED: _create,
    Step.CREATING: _create,
    Step.CREATED: _move,
}
"""What is done in each step; it ends with the next one committed."""
