"""What a run leaves behind: rows that are neither delivered nor refused, and what they wait for."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from connector.basis import dataclass
from connector.ledger.records import instant
from connector.rules import clocks
from connector.rules.delivery import State, waiting_for_person
from connector.rules.errors import LeaseLost, LedgerUnavailable
from connector.rules.hold import Hold
from connector.rules.interaction import instant_text
from connector.rules.turns import Waiting, cap_of
from connector.sync.flow import Flow, Running
from connector.sync.limits import passed_limit, too_many


@dataclass(frozen=True, slots=True)
class Left:
    """`waits`: how many rows wait for a person, by state; `at_once`: another run could send some of
    the rest now, since the time was over, or the limit reached."""

    waits: Mapping[str, int]
    at_once: bool


async def in_line(flow: Flow) -> Waiting:
    """The rows that wait for their turn, as far as that is on record."""
    cap = cap_of(flow.activation)
    if cap is None:
        return Waiting(0, None)
    return await flow.call(flow.ledger.waiting_for_turn, flow.name, cap)


async def count_what_is_left(running: Running, counts: Mapping[State, int]) -> Left:
    """Put into the run's tally how its activation's rows stand now. `counts`: how many stand where.

    Rows that wait for their window, their turn, their contact or a person are not to be sent.
    """
    flow, tally, limit = running.flow, running.tally, running.orders.limit
    tally.pending = counts.get(State.PENDING, 0)
    tally.waiting = counts.get(State.WAITING, 0)
    tally.submitted = counts.get(State.SUBMITTED, 0)
    line, closed, replaced = await in_line(flow), 0, 0
    tally.for_turn, tally.next_turn = line.number, instant(line.next_at)
    if tally.pending:
        resting = await flow.call(flow.ledger.resting, flow.name)
        tally.resting, tally.next_try = resting.rows, instant(resting.next_at)
        tally.rests_for = resting.reason
        if told := running.next_runs.told_to_rest:  # until there is another run
            tally.resting, tally.next_try = resting.rows + told, instant_text(clocks.wall())
            tally.rests_for = running.next_runs.why
    if flow.window and (opens := flow.window.opens_at(clocks.wall())):
        tally.next_window = instant_text(opens)
        closed = max(0, await flow.call(flow.ledger.for_window, flow.name) - line.pending)
        if flow.activation.mirrors:
            replaced = await flow.call(flow.ledger.to_be_replaced, flow.name) - line.replaced
        tally.for_window = closed + replaced
    # nothing is under way any more: an attempt that is still open is one whose answer got lost
    tally.in_doubt = counts.get(State.IN_DOUBT, 0) + counts.get(State.SENDING, 0)
    if not tally.in_doubt:
        tally.too_young, tally.next_settling = 0, None
    else:
        tally.too_young = min(tally.too_young, tally.in_doubt)
        tally.own_doubts = await flow.call(flow.ledger.doubts_left, running.run)
    now: dict[str, int] = {str(state): number for state, number in counts.items()}
    # what is replaced is sent, too, and what is taken back has no limit
    sent = max(tally.delivered + tally.submitted, tally.replaced)
    cut = tally.unread or running.next_runs.takes_back or (limit is not None and sent >= limit)
    return Left(
        waiting_for_person(now | {State.IN_DOUBT: tally.in_doubt}),
        cut or tally.pending > closed + line.pending,
    )


@asynccontextmanager
async def keeping_approved(running: Running, figures: Hold | None) -> AsyncIterator[None]:
    """What a run was let send (`figures`; None: nothing) and has left in the end would be held
    again, as outside of its window or when the destination stopped it: it stays held, and approved,
    so that the next run sends it."""
    try:
        yield
    finally:
        if figures:
            with suppress(LeaseLost, LedgerUnavailable):  # then a person is asked once more
                await _keep_approved(running, figures)


async def _keep_approved(running: Running, figures: Hold) -> None:
    flow = running.flow
    counts, line = await flow.call(flow.ledger.counts, flow.name), await in_line(flow)
    # rows that wait for their turn are not counted by the limits
    due = counts.get(State.PENDING, 0) - line.pending
    left = replace(figures, due=due)
    if flow.activation.mirrors:
        still = await flow.call(flow.ledger.still_approved, flow.name)
        due += max(0, still.to_send - line.replaced)
        left = replace(figures, due=due, removed=still.removed, replaced=still.replaced)
    # what each run tries in vain, while others go, is no reason to read nothing new for as long
    tried = running.next_runs.pending if running.health.reached else 0
    goes_on = due > tried or too_many(flow.activation, left)
    if due > 0 and goes_on and passed_limit(flow.activation, left):
        await flow.call(flow.ledger.keep_approved, running.run, left)
