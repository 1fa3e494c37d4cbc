"""One run of one activation: pre-flight, stage, deliver. The watermark never waits for the send."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from connector.basis.log import Log, bound
from connector.destinations.port import Proof
from connector.ledger.history import ENDED_WELL
from connector.ledger.mirrored import Aim, Covers, Figures
from connector.ledger.records import Judged, Tally
from connector.ledger.spans import has_touched
from connector.rules.delivery import State
from connector.rules.errors import (
    ConnectorError,
    DestinationUnusable,
    Interrupted,
    LedgerChanged,
    LedgerUnavailable,
    TimeOver,
    WarehouseUnavailable,
)
from connector.rules.gauge import Gauge, Sample
from connector.rules.hold import Hold
from connector.rules.schema import InteractionSchema
from connector.rules.turns import cap_of
from connector.sync.approving import Leave, leave, past_the_gate, record_unseen, revoke
from connector.sync.deliver import Delivering, DeliveringParcels
from connector.sync.flow import Flow, Orders, Running
from connector.sync.guard import Guard, guard_of, judged_rejected
from connector.sync.health import Health
from connector.sync.left import count_what_is_left, in_line, keeping_approved
from connector.sync.limits import (
    Compared,
    Seen,
    aged,
    as_it_stands,
    compared,
    figures_of,
    mirror_passed_limit,
    passed_limit,
    refusals,
)
from connector.sync.malformed import reject_malformed
from connector.sync.mirror import Read, read_mirror
from connector.sync.preflight import preflight
from connector.sync.pruning import prune
from connector.sync.requests import SettlingRequests
from connector.sync.resting import what_rests
from connector.sync.result import Result
from connector.sync.settle import Settling
from connector.sync.settled import Settled
from connector.sync.stage import stage
from connector.sync.taking_back import TakingBack, told
from connector.sync.usual import history_of, look_up

log = Log(__name__)

RESTORED = (
    "the ledger was put back from a backup ({reason}): rows that it does not know to be delivered"
    " are read back before they are sent"
)


async def sync(flow: Flow, orders: Orders) -> Result:
    """Run an activation once. What stops the run stands in the result.

    Raises what stops it before there is a run: ActivationBusy, LedgerUnavailable, or
    ConfigurationError when the activation has become another one under its name.
    """
    woken = orders.woken is not None
    asked = (woken, orders.by, orders.tag, orders.run_id)
    run = await flow.call(flow.ledger.begin, flow.name, flow.identity, *asked)
    health = Health(flow.destination.can.most_doubts)
    running = Running(flow, orders, run, flow.contacts(), health)
    running.tally.tempo = flow.tempo
    with bound(run_id=run.run_id, activation=run.activation):
        log.info("run.started")
        flow.progress.begun(run, flow.tempo)
        if run.restored:
            running.tally.notes.append(RESTORED.format(reason=run.restored))
        async with flow.beat.keeping(run, flow.stop.now):
            status, error = await _attempt(running)
        return await _end(running, status, error)


async def _attempt(running: Running) -> tuple[str | None, ConnectorError | None]:
    """The work, and what became of it: a status where it is already clear, and what stopped it."""
    flow, run, orders = running.flow, running.run, running.orders
    try:
        return await (_work if orders.woken is None else _send_woken)(running), None
    except ConnectorError as error:
        # what was given up because it was to stop is no news about the destination
        first = running.flow.stop.error
        if isinstance(first, TimeOver) and isinstance(error, Interrupted | DestinationUnusable):
            running.tally.unread = True
            return None, None
        # that its time was over, before something else stopped it, is no interruption
        first = None if isinstance(first, TimeOver) else first
        return "stopped", first if isinstance(first, ConnectorError) else error
    except BaseException as error:  # a defect: the run's record says so, and the defect goes on up
        told = ConnectorError(f"unexpected {type(error).__name__}; see the log")
        await flow.call(flow.ledger.finish, run, "stopped", running.tally, told)
        raise


async def _end(running: Running, status: str | None, error: ConnectorError | None) -> Result:
    """Record how the run ended. A ledger that cannot take that any more has stopped the run, which
    still has a result: what it sent is told."""
    running.flow.tempo.enter("finishing")
    flow, run, tally, cache = running.flow, running.run, running.tally, running.flow.contact_cache
    waits: Mapping[str, int] = {}
    try:
        kept, cap = (cache.destination, cache.span), cap_of(flow.activation)
        rest = await flow.call(flow.ledger.rest, flow.name, *kept, cap)
        left = await count_what_is_left(running, rest.counts)
        waits = left.waits
        if status is None:
            error = await what_rests(running)
            status = "stopped" if error else None
        if rest.contacts:
            await flow.call(flow.ledger.remove_expired_contacts, *kept)
        if rest.turns:
            await flow.call(flow.ledger.tidy_turns, flow.name, cap)
        # something may wait for a person, whichever run left it there
        status = status or ("attention" if waits or tally.notes else "succeeded")
        tally.done = status in ENDED_WELL and not left.at_once
        await prune(running, status)
        await flow.call(flow.ledger.finish, run, status, tally, error)
        await flow.call(flow.ledger.tidy, tally.delivered)
    except LedgerChanged as changed:  # it can still take that the run stopped because of it
        tally.done = False
        with suppress(LedgerUnavailable):
            await flow.call(flow.ledger.finish, run, "stopped", tally, changed)
        status, error = "stopped", error or changed
    except LedgerUnavailable as lost:
        status, error = "stopped", error or lost
    return Result(flow.name, error, run, status, tally, waits)


async def _work(running: Running) -> str | None:
    """Settle, stage, deliver, and settle what came of that; a status where it is already clear."""
    let_in = await past_the_gate(running)
    if let_in is None:
        return "held"
    running = let_in
    flow, tally = running.flow, running.tally
    schema = await preflight(flow.activation, flow.destination)
    if flow.activation.contact.needs_look_up:
        tally.contacts = running.contacts.matches
    outset = await flow.call(flow.ledger.outset, flow.name)
    held, begun = outset.home.hold, outset.home.begun
    running = replace(running, goes_on=outset.was_cut, home=outset.home)
    # before doubts are settled, which may add to what was shown
    may_go = await flow.call(leave, running, held)
    settled = await _settle(running, outset.counts)
    if not begun:
        # sent by another ledger, which is gone
        before = await flow.destination.references(flow.activation.target)
        running = replace(running, sent_before=before)
    if flow.activation.mirrors:
        return await _mirror(running, schema, held, may_go, begun)
    if outset.has_changes and await _asks_back(running):
        await TakingBack(running).round()
        await _tell_what_is_stuck(running)
    # while it is held nothing new is read, so that what is approved is what was shown; a model that
    # was empty is looked at again, since it may be filled by now
    again = held is None or held.emptied
    unread = await flow.call(_read_and_stage, running, schema) if again else None
    tally.unread |= not again
    flow.stop.raise_error()
    await flow.call(reject_malformed, running)
    same = not (settled.absent or has_touched(running.run))
    counts = await _counts(flow, outset.counts if same else None)
    reads = held if unread is not None or not again else None
    figures, gauge = await _figures(running, reads, counts, begun)
    reason = passed_limit(flow.activation, figures)
    # a model that was empty when that was shown, and is no more, is judged anew
    if held and held.emptied and not figures.emptied:
        may_go = await revoke(running, may_go)
    granted = may_go.granted
    if reason and not granted:
        tally.notes += [may_go.said] if may_go.said else []
        tally.notes.append(reason)
        news = [n for each in gauge.identifiers if (n := running.contacts.news(each))]
        await flow.call(flow.ledger.keep_contacts, running.run, news)
        await flow.call(flow.ledger.hold_back, running.run, figures)
        return _unless(unread, "held")
    if held:
        await flow.call(flow.ledger.let_go_by, running.run, may_go.number)
    elif reason:
        await flow.call(record_unseen, running, reason, figures)
    if granted:
        flow.progress.approved(flow.name)
    share = None if granted else flow.activation.limits.refused
    guard = guard_of(figures, tally, share, flow.stop)
    async with keeping_approved(running, figures if granted else None):
        await _deliver_and_settle(running, counts, guard)
    return _unless(unread, await _hold_the_rest(running, guard) if guard.stopped_it else None)


async def _asks_back(running: Running) -> bool:
    """Whether a mirror of this name had asked for deletions that are not confirmed."""
    return await running.flow.call(running.flow.ledger.drop_changes, running.run) > 0


async def _deliver_and_settle(running: Running, counts: Mapping[State, int], guard: Guard) -> None:
    """As long as anything can be sent, or settled, now. `counts`: how many rows stand where."""
    flow, orders = running.flow, running.orders
    sendable = counts.get(State.PENDING, 0) + counts.get(State.WAITING, 0)
    await _deliver(running, sendable, guard)
    known = None if sendable else counts
    while not guard.stopped_it and (
        (settled := await _settle(running, known)).absent
        or (orders.wait and settled.next_in is not None)
    ):
        known = None
        await flow.stop.wait(settled.next_in if not settled.absent else timedelta(0))
        flow.stop.raise_error()
        await _deliver(running, settled.absent, guard)


async def _counts(flow: Flow, known: Mapping[State, int] | None) -> Mapping[State, int]:
    """How many rows stand where; those that wait for their turn are not to be sent by this run."""
    counts = known if known is not None else await flow.call(flow.ledger.counts, flow.name)
    if late := (await in_line(flow)).pending:
        return {**counts, State.PENDING: max(0, counts.get(State.PENDING, 0) - late)}
    return counts


async def _figures(
    running: Running, held: Hold | None, counts: Mapping[State, int], begun: bool
) -> tuple[Hold, Gauge]:
    """What the run is judged by: the figures of a run that is `held`, or of its own reading."""
    flow, tally = running.flow, running.tally
    gauge = await flow.call(_gauge, running)
    if held:
        figures = as_it_stands(held, counts)
    else:
        read = (tally.staged, tally.invalid, tally.turnover, bool(tally.judged.empty))
        seen = Seen(*read, rejected=judged_rejected(tally))
        figures = figures_of(counts.get(State.PENDING, 0), not begun, seen)
        with_what = await _comparison(running, gauge)
        figures = compared(figures, flow.activation.limits, with_what)
    figures = aged(figures, gauge)
    tally.judged = _teaching(running, figures, begun)
    return figures, gauge


def _gauge(running: Running) -> Gauge:
    """The rows that are to be sent, as far as the limits want to know them."""
    flow = running.flow
    gauge = Gauge(flow.activation, running.run.started_at)
    if gauge.is_wanted:
        gauge.add_recorded(flow.ledger.to_be_sent(flow.name))
        if flow.activation.mirrors:
            gauge.add_recorded(flow.ledger.to_be_sent_anew(flow.name))
    return gauge


async def _comparison(running: Running, gauge: Gauge) -> Compared:
    """What is usual, and how many of the contacts are found; before the first request of a row.
    What is found is known when the rows are sent."""
    flow, empty = running.flow, bool(running.tally.judged.empty)
    about = (flow.activation, flow.zone, running.run.started_at, empty)
    history = await flow.call(history_of, flow.ledger, *about)
    sample = None
    if flow.activation.limits.matched is not None and not running.orders.approve:
        sample = await look_up(running.contacts, gauge.identifiers, flow.stop)
    return Compared(history, sample)


def _teaching(running: Running, figures: Hold, begun: bool) -> Judged:
    """What later runs are compared with. A first sync, a part of what is there or what another
    one has left, and a reading of the whole model are no measure of what is usual; what was
    approved is: a person called it right, and growth that lasts has to be learnt."""
    orders = running.orders
    whole = orders.limit is None and not orders.full and not running.goes_on
    like_any_other = begun and whole
    share = Sample(figures.looked_up, figures.found).share
    return Judged(figures.due, share, running.tally.judged.empty, like_any_other)


async def _mirror(
    running: Running, schema: InteractionSchema, held: Hold | None, may_go: Leave, begun: bool
) -> str | None:
    """Read all of the model, take back what it has no more or otherwise, and send what is new."""
    flow, ledger = running.flow, running.flow.ledger
    approved = held if held and may_go.granted else None
    if held and not approved:
        await flow.call(ledger.disapprove_changes, running.run)
    covers = _covered(approved)
    flow.tempo.enter("reading")
    read = await flow.call(_read_mirror, running, schema, covers)
    flow.stop.raise_error()
    if covers is Covers.ALL and read.keyed:  # that it has no row was approved: it is judged anew
        approved, covers, may_go = None, Covers.NOTHING, await revoke(running, may_go)
    elif covers is Covers.ALL:
        await flow.call(ledger.approve_changes, running.run, may_go.number or 0)
    while covers is Covers.NOTHING and not read.empty:  # what was never stored is simply not sent
        if not await flow.call(ledger.apply_to_unsent, running.run):
            break
    figures, reason = await _judge_mirror(running, read, not begun)
    if held and held.rejected and not approved and not reason:  # no reading says more of that
        figures = as_it_stands(held, await _counts(flow, None))
        reason = passed_limit(flow.activation, figures)
    reason = None if covers is Covers.SHOWN else reason
    if reason:
        running.tally.notes += [may_go.said] if may_go.said else []
        running.tally.notes.append(reason)
        await flow.call(ledger.hold_back, running.run, replace(figures, edited=read.edited))
    same = running.home and read.learnt and running.home.edition == read.learnt.edition
    if read.learnt and not same:  # only now: until it was judged, an edit is news
        await flow.call(ledger.stage, running.run, [], [], read.mark, True, read.learnt)
    if reason:
        return "held"
    if held:
        await flow.call(ledger.let_go_by, running.run, may_go.number)
    if approved:
        flow.progress.approved(flow.name)
        running.tally.unread = covers is Covers.SHOWN
    share = None if approved else flow.activation.limits.refused
    guard = guard_of(figures, running.tally, share, flow.stop)
    async with keeping_approved(running, figures if approved else None):
        await _take_back_and_deliver(running, guard, covers)
    await _tell_what_is_stuck(running)
    return await _hold_the_rest(running, guard) if guard.stopped_it else None


async def _tell_what_is_stuck(running: Running) -> None:
    flow = running.flow
    stuck = await flow.call(flow.ledger.stuck, flow.name)
    running.tally.notes += [told(each, flow.called) for each in stuck]


def _covered(approved: Hold | None) -> Covers:
    """What of a reading an approval covers: just what was shown of it. Of a model without rows none
    was recorded: that it has none was shown."""
    if approved is None:
        return Covers.NOTHING
    return Covers.ALL if approved.empty else Covers.SHOWN


async def _judge_mirror(running: Running, read: Read, first: bool) -> tuple[Hold, str | None]:
    """The figures of what a mirror has read, and why it is held; None: it may go."""
    flow, tally, limits = running.flow, running.tally, running.flow.activation.limits
    await flow.call(reject_malformed, running)
    counts, line = await flow.call(flow.ledger.counts, flow.name), await in_line(flow)
    found = await flow.call(flow.ledger.figures, flow.name)
    if read.empty:  # what an earlier reading wanted with rows is over, and nothing is sent
        found, counts = Figures(found.live, 0, 0), {}
    due = max(0, counts.get(State.PENDING, 0) - line.pending)
    due += max(0, found.to_send - line.replaced)
    gauge = await flow.call(_gauge, running)
    figures = figures_of(
        due, first, Seen(tally.staged, tally.invalid, rejected=judged_rejected(tally))
    )
    figures = aged(compared(figures, limits, await _comparison(running, gauge)), gauge)
    tally.judged = _teaching(running, figures, not first)
    figures = replace(
        figures,
        live=found.live,
        removed=found.removed,
        replaced=found.replaced,
        unlike=found.unlike,
        empty=read.empty,
        without_key=read.without_key if read.empty else 0,
        edited=read.edited,
    )
    of = Aim.REMOVE if found.removed >= max(found.replaced, 1) else Aim.REPLACE
    examples = await flow.call(flow.ledger.examples, flow.name, None if read.empty else of)
    reason = mirror_passed_limit(flow.activation, figures, examples)
    return figures, reason or passed_limit(flow.activation, figures)


async def _take_back_and_deliver(running: Running, guard: Guard, covers: Covers) -> None:
    """Round by round, until nothing more can be carried out, sent or settled now."""
    flow, orders = running.flow, running.orders
    taking = TakingBack(running, orders.limit, covers)
    await taking.round()
    while True:
        counts = await flow.call(flow.ledger.counts, flow.name)
        due = counts.get(State.PENDING, 0) + counts.get(State.WAITING, 0)
        await _deliver(running, due, guard)
        if guard.stopped_it:
            return
        settled = await _settle(running, None if due else counts)
        moved = await taking.round()
        if not (moved or settled.absent):
            if not orders.wait or settled.next_in is None:
                return
            await flow.stop.wait(settled.next_in)
            flow.stop.raise_error()


def _read_mirror(running: Running, schema: InteractionSchema, covers: Covers) -> Read:
    """A mirror whose model cannot be read to its end does nothing: what is missing could be gone,
    or not have been read."""
    with running.flow.warehouse.open() as reader:
        return read_mirror(running, schema, reader, covers)


async def _send_woken(running: Running) -> str | None:
    """Send rows that were woken. They were let go by the run that read them, and nothing else goes:
    what a person holds stays held."""
    flow = running.flow
    await preflight(flow.activation, flow.destination)
    if flow.activation.contact.needs_look_up:
        running.tally.contacts = running.contacts.matches
    if await flow.call(flow.ledger.hold, flow.name) is None:
        total = len(running.orders.woken or ())
        await _deliver(running, total, Guard(0, 0, None, flow.stop))
    return None


def _unless(unread: WarehouseUnavailable | None, status: str | None) -> str | None:
    """`status`, where the model was read. What was recorded before reading failed has been sent as
    usual, since it needs the warehouse no more; then the run is told as stopped."""
    if unread is not None:
        raise unread
    return status


async def _hold_the_rest(running: Running, guard: Guard) -> str | None:
    """Held, where rows are left that were not sent."""
    flow, tally = running.flow, running.tally
    counts = await flow.call(flow.ledger.counts, flow.name)
    due, rejected = counts.get(State.PENDING, 0), judged_rejected(tally)
    figures = Hold(due, guard.rows, guard.invalid, rejected=rejected)
    if not figures.due:
        return None
    tally.notes.append(refusals(flow.activation, figures))
    await flow.call(flow.ledger.hold_back, running.run, figures)
    return "held"


def _read_and_stage(running: Running, schema: InteractionSchema) -> WarehouseUnavailable | None:
    """Read the model and record what is new; what kept it from being read to its end."""
    running.flow.tempo.enter("reading")
    try:
        with running.flow.warehouse.open() as reader:
            stage(running, schema, reader)
    except WarehouseUnavailable as error:
        return error
    return None


async def _settle(running: Running, counts: Mapping[State, int] | None) -> Settled:
    """Ask the destination about rows in doubt; those that are not there are pending again.
    `counts`: how many rows stand where, if that is known."""
    can, settled = running.flow.destination.can, Settled()
    running.flow.tempo.enter("settling")
    if can.proof is Proof.REQUEST or can.asks_requests:
        settled.add(await SettlingRequests(running).settle())
        counts = None
    some = counts is None or State.IN_DOUBT in counts
    if some and (can.proof is not Proof.REQUEST or can.asks_requests):
        settled.add(await Settling(running).settle())
    running.tally.delivered += settled.delivered
    running.tally.rejected += settled.rejected
    running.tally.given_up += settled.rejected
    running.tally.resent += settled.resent
    running.tally.assumed += settled.assumed
    running.tally.submitted = max(0, running.tally.submitted - settled.taken)
    known = settled.delivered + settled.rejected + settled.absent + settled.later
    running.tally.in_doubt = max(0, running.tally.in_doubt - known)
    settled.tell(running.tally)
    running.flow.stop.raise_error()
    return settled


async def _deliver(running: Running, total: int, guard: Guard) -> None:
    """Send what is due, of `total` rows at most, as long as `guard` lets it."""
    flow, limit = running.flow, running.orders.limit
    flow.tempo.enter("sending")
    if not total:
        return
    if limit is not None:
        limit -= running.tally.delivered + running.tally.submitted
        if limit <= 0:
            return
        total = min(total, limit)

    def look(tally: Tally) -> None:
        guard.saw(tally)
        flow.progress.sending(flow.name, tally, total)

    can = flow.destination.can
    many = can.rows_per_request > 1 or can.proof is Proof.REQUEST
    await (DeliveringParcels if many else Delivering)(running, limit, look).deliver()
    flow.stop.raise_error()
