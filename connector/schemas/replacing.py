"""Carry the replacement of a schema through: delete it with its interactions, create the changed
one, and send everything again.

Each step is committed before the next begins, and may be repeated: whoever comes after a crash
looks at what is there and goes on. What is sent again is recorded, and fits the new schema, before
anything is deleted. A request to delete or to create is on record before it leaves; as long as an
earlier one could still arrive, none is sent after it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import field, replace
from datetime import timedelta

from connector.basis import dataclass
from connector.destinations.port import SchemaStore
from connector.ledger.decisions import Person
from connector.ledger.records import Run
from connector.ledger.replacing import CANCELLABLE, Replacement, Replacements, Step
from connector.ledger.store import Ledger
from connector.rules import clocks
from connector.rules.absence import SEND_WITHIN, send_within
from connector.rules.activation import Activation
from connector.rules.clocks import Deadline
from connector.rules.definition import Definition
from connector.rules.delivery import State
from connector.rules.difference import difference
from connector.rules.errors import (
    ActivationBusy,
    ConfigurationError,
    ConnectorError,
    DestinationUnusable,
    Interrupted,
)
from connector.rules.hold import Hold
from connector.rules.words import rows
from connector.schemas import provision
from connector.schemas.catalogue import Catalogue
from connector.schemas.hindrances import (
    refuse_losses,
    refuse_recorded_misfits,
    refuse_unsent_misfits,
    refuse_unsettled,
)
from connector.schemas.provision import Status
from connector.sync.flow import Flow, Orders
from connector.sync.preflight import refuse_misfits
from connector.sync.progress import Progress
from connector.sync.read_again import read_all_again
from connector.sync.result import Result
from connector.sync.run import sync
from connector.sync.side_by_side import Stop

LOOK_EVERY = 1.0
"""Seconds between two looks for what an earlier request did."""
AGAIN = "run the command again, and it goes on"


@dataclass(frozen=True, slots=True)
class Means:
    """What a replacement works with. `settle_after`: how old a request must be before it is
    believed that it had no effect."""

    ledger: Ledger
    store: SchemaStore
    flow: Callable[[str, Progress], Flow]
    """That of the activation with this name."""
    settle_after: timedelta
    stop: Stop


@dataclass(slots=True)
class Replacing:
    """A replacement that goes on. `local`: what the file has now; `give_up`: most rows that may be
    lost."""

    catalogue: Catalogue
    means: Means
    replacement: Replacement
    flows: Mapping[str, Flow]
    local: Definition | None
    person: Person
    give_up: int = 0
    leases: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def book(self) -> Replacements:
        return self.means.ledger.replacements

    @property
    def activations(self) -> list[Activation]:
        return [flow.activation for flow in self.flows.values()]

    async def reach(self, step: Step, definition: Definition | None = None) -> None:
        self.replacement = await asyncio.to_thread(
            self.book.advance, self.leases, self.replacement, step, definition
        )

    async def cancel(self) -> None:
        """Forget it, as nothing was deleted."""
        await asyncio.to_thread(self.book.end, self.leases, self.replacement, Step.CANCELLED)

    async def live(self) -> Definition | None:
        """The schema as it is there; None where no list has it either: a 404 may come from whoever
        is in between. Raises DestinationUnusable."""
        schema_id, store = self.replacement.schema_id, self.means.store
        found = await store.definition(schema_id)
        if found is None and schema_id in await store.schema_ids():
            said = f'the schema "{schema_id}" is listed, and not shown by its id; {AGAIN}'
            raise DestinationUnusable(said)
        return found

    def refuse_stopped(self) -> None:
        """Raises what stopped it."""
        if self.means.stop.asked:
            raise self.means.stop.error or Interrupted("interrupted")


async def carry_through(work: Replacing) -> dict[str, int]:
    """Go through with a replacement, from where it stands; where its rows stand in the end, by
    state.

    Raises ConfigurationError when a person has to do something first (before the deletion the
    replacement is then cancelled), or what stands in the way just now; then it can be gone on with.
    """
    work.refuse_stopped()
    async with _kept(work):
        if not work.replacement.begun:
            await _begin(work)
        while take := STEPS.get(work.replacement.step):
            await take(work)
            work.refuse_stopped()
    await _send(work)
    standing = await asyncio.to_thread(work.book.progress, work.replacement)
    await asyncio.to_thread(work.book.end, [], work.replacement, Step.DONE)
    return standing


async def cancel(work: Replacing) -> None:
    """Forget a replacement. Raises ConfigurationError when the deletion may be on its way."""
    if work.replacement.step not in CANCELLABLE:
        raise ConfigurationError(
            f'the replacement of "{work.replacement.schema_id}" cannot be cancelled any more: the'
            " schema is deleted, or its deletion was asked for. Run it again without --cancel"
        )
    async with _kept(work):
        await work.cancel()


@asynccontextmanager
async def _kept(work: Replacing) -> AsyncIterator[None]:
    """Keep every activation, so that no run is under way and none begins."""
    async with AsyncExitStack() as stack:
        for flow in work.flows.values():
            leased = flow.within(work.replacement.id).leased()
            work.leases.append(await stack.enter_async_context(leased))
        yield
    work.leases.clear()


# --- before anything is deleted -----------------------------------------------------------------


async def _begin(work: Replacing) -> None:
    """Look once more, now that nothing else can move a row, and keep the activations."""
    planned, book, catalogue = work.replacement, work.book, work.catalogue
    standings = await asyncio.to_thread(
        book.standings, catalogue.place, catalogue.names, planned.schema_id, list(work.flows)
    )
    refuse_unsettled(standings, work.flows, catalogue.activations)
    number = sum(s.counts.get(State.DELIVERED, 0) for s in standings.values())
    if number != planned.interactions:
        raise ConfigurationError(
            f'nothing was done: "{planned.schema_id}" had {planned.interactions} interactions when'
            f" it was asked about, and has {number} now"
        )
    schema = planned.definition.schema
    await asyncio.to_thread(refuse_unsent_misfits, book, work.activations, schema)
    work.replacement = await asyncio.to_thread(book.begin, work.leases, planned, work.person.text)


async def _record(work: Replacing) -> None:
    """PAUSED: map all delivered rows anew and record them."""
    book, replacement = work.book, work.replacement
    await asyncio.to_thread(book.forget_rows, work.leases, replacement)
    try:
        for lease in work.leases:
            await asyncio.to_thread(_map_again, work, lease)
        await asyncio.to_thread(book.record_missing, work.leases, replacement)
        lacks = await asyncio.to_thread(book.lacks, replacement)
        refuse_losses(lacks, replacement, work.give_up)
    except ConfigurationError:
        await work.cancel()
        raise
    await work.reach(Step.RECORDED)


def _map_again(work: Replacing, lease: Run) -> None:
    name, ledger = lease.activation, work.means.ledger
    flow, schema = work.flows[name], work.replacement.definition.schema
    refuse_misfits(flow.activation, schema)
    # rows that were sent lie before `start:` where that was moved since
    with closing(read_all_again(flow, schema, lease.started_at, history=True)) as batches:
        for mapper, keyed in batches:
            known = ledger.known(name, {key for key, _ in keyed})
            first: dict[int, Sequence[object]] = {}
            for key, row in keyed:
                before = known.get(key)
                if before and before.id and before.state is State.DELIVERED:  # not of pruned ones
                    first.setdefault(before.id, row)
            found = [(i, mapper(row)) for i, row in first.items()]
            work.book.record(lease, work.replacement, found)


# --- delete and create --------------------------------------------------------------------------


async def _delete(work: Replacing) -> None:
    """RECORDED, DELETING: see the schema gone, with all of its interactions."""
    planned = work.replacement
    if planned.step is Step.DELETING:
        await _outlive(work, lambda live: live is None)
    live = await work.live()
    if live is None:
        await work.reach(Step.DELETED)
    elif not difference(planned.was, live):
        await _refuse_newcomers(work)
        await _ask_to_delete(work)
    elif not difference(planned.definition, live):  # somebody did both already
        await work.reach(Step.CREATED)
    else:
        raise ConfigurationError(
            f'the schema "{planned.schema_id}" is another one now than when the replacement was'
            " planned; nothing more was done. Put it back, or cancel the replacement with --cancel"
        )


async def _ask_to_delete(work: Replacing) -> None:
    deadline = Deadline(clocks.now(), min(SEND_WITHIN, send_within(work.means.settle_after)))
    await work.reach(Step.DELETING)
    schema_id, store = work.replacement.schema_id, work.means.store
    result = await provision.delete(schema_id, store, deadline.passed)
    match result.status:
        case Status.DELETED:
            await work.reach(Step.DELETED)
        case Status.REFUSED:
            await work.cancel()
            raise ConfigurationError(f"nothing was deleted: {result.message}")
        case _:
            raise DestinationUnusable(f"{result.message}; {AGAIN}")


async def _refuse_newcomers(work: Replacing) -> None:
    names, place = [work.replacement.destination], work.catalogue.place
    standings = await asyncio.to_thread(
        work.book.standings, place, names, work.replacement.schema_id, ()
    )
    if newcomers := [n for n, s in standings.items() if n not in work.flows and s.counts]:
        raise ConfigurationError(
            f"{', '.join(newcomers)} sends to the schema since the replacement began; nothing was"
            " deleted. Cancel it with --cancel, and begin anew"
        )


async def _create(work: Replacing) -> None:
    """DELETED, CREATING: see the new schema there."""
    if work.replacement.step is Step.CREATING:
        await _outlive(work, lambda live: live is not None)
    live = await work.live()
    if live is None:
        await work.reach(Step.CREATING, await _corrected(work))
        result = await provision.create(work.replacement.definition, work.means.store)
        if result.exit_code == 3:
            raise DestinationUnusable(f"{result.message}; {AGAIN}")
        live = await work.live()
        if live is None:
            await work.reach(Step.DELETED)
            raise ConfigurationError(
                f'the schema "{work.replacement.schema_id}" is deleted and not created anew:'
                f" {result.message}. Correct its file, and run the command again"
            )
    if changed := difference(work.replacement.definition, live):  # then all must fit what is there
        await _refuse_unfit(work, live)
        work.notes.append(f"the destination keeps the schema differently: {changed}")
    await work.reach(Step.CREATED)


async def _corrected(work: Replacing) -> Definition | None:
    """As long as there is no schema, its file may be corrected; to what all that is recorded fits,
    and what was built on the old one. None: it says what was planned."""
    local, planned = work.local, work.replacement
    if local is None or not difference(planned.definition, local):
        return None
    changes = difference(planned.was, local)
    if not changes.compatible:
        raise ConfigurationError(f"the file is not backward compatible: {changes}")
    await _refuse_unfit(work, local)
    return local


async def _refuse_unfit(work: Replacing, definition: Definition) -> None:
    book, schema = work.book, definition.schema
    await asyncio.to_thread(refuse_unsent_misfits, book, work.activations, schema)
    await asyncio.to_thread(refuse_recorded_misfits, book, work.replacement, schema)


async def _outlive(work: Replacing, done: Callable[[Definition | None], bool]) -> None:
    """Wait until what was asked for shows, or until the request can no longer arrive: then, and
    only then, may another follow. That much time has to have passed here, too, since the ledger's
    clock may have stepped."""
    since, wait = clocks.now(), work.means.settle_after + timedelta(seconds=SEND_WITHIN)
    while not done(await work.live()):
        here = timedelta(seconds=since.shortest_until(clocks.now()))
        age = await asyncio.to_thread(work.book.asked_ago, work.replacement)
        if min(age, here) > wait:
            return
        await work.means.stop.wait(timedelta(seconds=LOOK_EVERY))
        work.refuse_stopped()


# --- send again ---------------------------------------------------------------------------------


async def _move(work: Replacing) -> None:
    """CREATED: make all rows pending that were delivered, now that there is what they fit."""
    of, by = work.replacement, work.person.text
    for lease in work.leases:
        last: int | None = 0
        while last is not None:
            last = await asyncio.to_thread(work.book.move, lease, of, by, last)
            work.refuse_stopped()
    await work.reach(Step.MOVED)


async def _send(work: Replacing) -> None:
    """MOVED: send what is pending. Reads no model, so that nothing else is sent with it."""
    for name, flow in work.flows.items():
        if not await _left(work, name):
            continue
        work.refuse_stopped()
        within = flow.within(work.replacement.id)
        await _hold_back(within)
        result = await sync(within, replace(SENDING, by=work.person.name, note=work.person.note))
        if result.error:
            raise result.error
        if left := await _left(work, name):
            raise _why(name, left, result)


SENDING = Orders(approve=True, confirmed=True, wait=True)


def _why(name: str, left: int, result: Result) -> ConnectorError:
    """Why rows are left that were to be sent again."""
    tally, also = result.tally, f"Nothing else is sent until then; {AGAIN}"
    if tally.for_window >= left:
        return ActivationBusy(f'{rows(left)} of "{name}" wait for the send window. {also}')
    if tally.for_window + tally.for_turn >= left:
        return ActivationBusy(f'{rows(left)} of "{name}" wait for their turn. {also}')
    said = "".join(f" ({note})" for note in tally.notes[-1:])
    return DestinationUnusable(f'{rows(left)} of "{name}" are still pending{said}; {AGAIN}')


async def _left(work: Replacing, name: str) -> int:
    standing = await asyncio.to_thread(work.book.progress, work.replacement, name)
    return standing.get(State.PENDING, 0) + standing.get(State.SENDING, 0)


async def _hold_back(flow: Flow) -> None:
    """A held run reads nothing new, and the confirmation of the replacement is its approval."""
    async with flow.leased() as lease:
        counts = await flow.call(flow.ledger.counts, flow.name)
        pending = Hold(counts.get(State.PENDING, 0), staged=0, invalid=0)
        await flow.call(flow.ledger.hold_back, lease, pending)


STEPS: dict[Step, Callable[[Replacing], Awaitable[None]]] = {
    Step.PAUSED: _record,
    Step.RECORDED: _delete,
    Step.DELETING: _delete,
    Step.DELETED: _create,
    Step.CREATING: _create,
    Step.CREATED: _move,
}
"""What is done in each step; it ends with the next one committed."""
