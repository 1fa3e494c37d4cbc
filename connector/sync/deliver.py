"""Send what is pending. Every request is on record before its first byte leaves.

For each row: look its contact up (safe to repeat), wait for a slot, open an attempt and see it
committed, POST once, close the attempt with its outcome. Rows travel side by side, and their
openings and closings share commits; no transaction is open while a request is on the wire.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from connector.basis.log import Log
from connector.destinations.pacing import HORIZON
from connector.destinations.port import Answer, Proof
from connector.ledger.parcels import AnyEntry, Closed, ClosingAll, Kept, Opened
from connector.ledger.records import Closing, Delivery, Opening, Presumed, Tally
from connector.ledger.turns import wall
from connector.rules import clocks
from connector.rules.absence import send_within
from connector.rules.activation import Activation
from connector.rules.clocks import Deadline
from connector.rules.delivery import PATIENCE, Found, Missing, NotApplied, Outcome, Refused, State
from connector.rules.errors import ConnectorError
from connector.rules.turns import FOR_TURN, Turn
from connector.rules.window import FOR_WINDOW
from connector.sync.aside import aside
from connector.sync.counting import Counting
from connector.sync.flow import Running
from connector.sync.parcels import Gathering, Load, Ready, closings_of, digest_of, parcel_of
from connector.sync.sending import Sending
from connector.sync.side_by_side import known_or_asked, on_record_at_once
from connector.sync.taken import Taken
from connector.sync.thread import Journal, Written, gather_for
from connector.sync.turns import turns_of

log = Log(__name__)

PAGE = 500
BESIDES = 8
"""Rows that are put on record besides, before and after, for each that is under way."""
LONGER_THAN_ANY_WAIT = timedelta(days=3650)
MOST_MERGES = 5
"""How often a row is tried anew since its contact has become another one."""


class Delivering:
    """The delivery of one run."""

    def __init__(
        self, running: Running, limit: int | None, progress: Callable[[Tally], None]
    ) -> None:
        self.running, self.taken, self.progress = running, Taken(limit), progress
        self.flow, self.tally, self.contacts = running.flow, running.tally, running.contacts
        self.stop, self._window = self.flow.stop, self.flow.window
        self._counting = Counting(self.tally, self.stop)
        record = partial(self.flow.ledger.record, running.run)
        gather = gather_for(self.flow.destination.wire.pacer.rate)
        self.journal = Journal[AnyEntry](record, self.flow.thread, gather, lambda: self._writers)
        whom = self.flow.activation, self.flow.destination
        self.sending = Sending(*whom, self.stop, running.health)
        self.boot, self.references = clocks.boot(), running.references
        self._queue = asyncio.Queue[Any](maxsize=self._at_once)
        self.page = PAGE  # rows that are read at once
        self._writers = 0
        """Rows that may have something to write soon."""
        self._turns = turns_of(self.flow, running.run, self._stand_in_line)

    async def deliver(self) -> None:
        """Send every row that is due; returns when none is left, or `stop` was given.

        What is under way when it stops is waited for and recorded. The reason stands in `stop`.
        """
        senders = [asyncio.create_task(self._sender()) for _ in range(self._at_once)]
        stopping = asyncio.create_task(self.sending.call_off_on_stop())
        try:
            await self._passes()
            await self._done()
        except asyncio.CancelledError:
            raise  # ended by force: nobody is left to empty the queue
        except BaseException as error:
            self.stop.now(error)
            await self._queue.join()
        finally:
            for task in (*senders, stopping):
                task.cancel()  # idle: the queue is empty, so none is on the wire
            await asyncio.gather(*senders, stopping, return_exceptions=True)

    async def _passes(self) -> None:
        """All due rows; then those that had to rest, as long as the wait is short."""
        await self._pass(State.WAITING)
        while self.running.orders.woken is None:
            already, spared = self.taken.rows, self.taken.spared
            await self._pass(State.PENDING)
            await self._done()
            if self.stop.asked or not self.taken.left or not self._may_send():
                break
            if self.taken.limit and self.taken.spared > spared:
                continue  # others may go in their place
            rest = await self._rest(already)
            if rest is None or rest > PATIENCE:
                break
            await self.stop.wait(rest)
        await self._wake()
        if self._turns:  # those that were woken stand in line with the others
            await self._pass(State.PENDING)

    def _may_send(self) -> bool:
        """Whether the send window is open. Looked at for each row, directly before its attempt."""
        return self._window is None or self._window.is_open(clocks.wall())

    async def _rest(self, already: int) -> timedelta | None:
        """How long until a row of this run may be tried. `already`: taken up before the pass."""
        next_due, name = self.flow.ledger.next_due, self.flow.name
        rest = await self.flow.call(next_due, name)
        if rest == timedelta(0) and self.taken.rows == already:  # what is due is the next run's
            rest = await self.flow.call(next_due, name, later=True)
        turn = await self._turns.wait(self.taken.rows == already) if self._turns else None
        return min((each for each in (rest, turn) if each is not None), default=None)

    async def _done(self) -> None:
        """All that is to be sent so far has been."""
        await self._queue.join()

    async def _wake(self) -> None:
        """Rows that were to wait longer, though their contact is found by now. Asks nobody."""
        await self._done()
        after, whenever = 0, self.running.run.started_at + LONGER_THAN_ANY_WAIT
        matches = self.contacts.matches
        while matches.found > matches.cached and self.taken.left and not self.stop.asked:
            page = await self._page(State.WAITING, after, whenever)
            if not (page and self._may_send()):
                return
            await self._enqueue([d for d in page if self.contacts.is_found(d.contact)])
            after = page[-1].id

    async def _pass(self, state: State) -> None:
        after = 0
        # a contact that was looked up in this run is not looked up in it again
        before = self.running.run.started_at if state is State.WAITING else None
        while page := await self._page(state, after, before):
            wanted = self._wanted(page)
            some = wanted[: self.taken.left]
            await self.contacts.ahead(delivery.contact for delivery in some)
            await self._enqueue(some)
            if self.stop.asked or not self.taken.left:
                return
            after = (page if len(some) == len(wanted) else some)[-1].id

    def _wanted(self, page: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those of `page` that something is to be done for now. Outside of the send window that is
        to find out whose they are, and what is to be read back."""
        among = [r for r in self.running.orders.among(page) if r.id not in self.running.next_runs]
        if self._may_send():
            return among
        asks = self.contacts.how.needs_look_up
        return [row for row in among if row.suspect or (asks and row.contact_id is None)]

    async def _page(self, state: State, after: int, before: datetime | None) -> list[Delivery]:
        due, cap = self.flow.ledger.due, self._turns.cap if self._turns else None
        return await self.flow.call(due, self.flow.name, state, after, self.page, before, cap)

    async def _enqueue(self, deliveries: Sequence[Delivery]) -> None:
        if self._turns and self._may_send() and not self.stop.asked:
            ready = await self._ready_among(deliveries)
            self.taken.rows += len(deliveries) - len(ready)
            deliveries = await self._turns.admit(ready)
        for delivery in deliveries:
            if self.stop.asked or not self.taken.left:
                return
            self.taken.rows += 1
            await self._queue.put(delivery)

    async def _sender(self) -> None:
        while True:
            load = await self._queue.get()
            self._writers += 1
            try:
                if not self.stop.asked:
                    await self._take(load)
            except BaseException as error:
                self.stop.now(error)
                if isinstance(error, asyncio.CancelledError):
                    raise
            finally:
                self._writers -= 1
                self._queue.task_done()
                self.progress(self.tally)

    async def _take(self, delivery: Delivery) -> None:
        """Send what one request carries."""
        await self._one(delivery)

    @property
    def _at_once(self) -> int:
        """More than requests at once where the pace is fast: others are put on record together."""
        there = self.flow.destination
        besides = int(min(BESIDES * there.concurrency, there.wire.pacer.rate * HORIZON))
        return on_record_at_once(there, besides)

    async def _one(
        self, delivery: Delivery, refused: str | None = None, left: int = MOST_MERGES
    ) -> None:
        """Send one row. `refused`: the contactId under which it was refused just now, if it may be
        another one by now: the row is tried once more, and again while it is another one."""
        found = await self._ready(delivery, refused)
        if found and not self._may_send():
            await self._keep(delivery, found)
        elif (
            found
            and (self._turns is None or await self._turns.has(delivery, found))
            and await self._attempt(delivery, found, left > 0 and found.contact_id != refused)
        ):
            number, in_vain = delivery.attempt + 1, delivery.in_vain + 1
            again = replace(delivery, state=State.PENDING, attempt=number, in_vain=in_vain)
            if not self.stop.asked:
                await self._one(again, found.contact_id, left - 1)

    async def _stand_in_line(self, delivery: Delivery, found: Found, turn: Turn) -> Written:
        news = self.contacts.news(delivery.contact)
        return await self.journal.write(Kept(delivery, found.contact_id, FOR_TURN, news, turn))

    def _turn(self, contact_id: str) -> Turn | None:
        return self._turns.of(contact_id) if self._turns else None

    async def _ready_among(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, Found]]:
        """Those that may be sent now, each with its contact."""
        found = await known_or_asked(deliveries, self._known, self._ready)
        return [(row, whose) for row, whose in zip(deliveries, found, strict=True) if whose]

    def _known(self, delivery: Delivery) -> Found | None:
        """The contact, where nothing is to be asked or written for it."""
        found = self.contacts.at_once(delivery.contact)
        by_itself = delivery.suspect or self._too_late(delivery)
        return found if isinstance(found, Found) and not by_itself else None

    async def _ready(self, delivery: Delivery, refused: str | None = None) -> Found | None:
        """The contact of a row that may be sent now; of any other, None once that is on record."""
        if not delivery.suspect and (late := self._too_late(delivery)):
            await self._set_aside(delivery, Refused(late))
            return None
        found = await self.contacts.of(delivery.contact, refused)
        if isinstance(found, NotApplied) and self.stop.asked:
            return None  # not asked for to the end
        if not isinstance(found, Found):
            await self._set_aside(delivery, found)
            return None
        if delivery.suspect:  # settling asks the destination about it before anything is sent
            news = self.contacts.news(delivery.contact)
            turn = self._turn(found.contact_id)
            await self.journal.write(Presumed(delivery, found.contact_id, news, turn))
            return None
        return found

    def _too_late(self, delivery: Delivery) -> str | None:
        if type(self.flow.activation).too_late is Activation.too_late:  # as most: it never is
            return None
        created = datetime.fromisoformat(delivery.created_date)
        return self.flow.activation.too_late(created, datetime.now(UTC))

    async def _attempt(self, delivery: Delivery, found: Found, once_more: bool) -> bool:
        """Send the row; True when it was refused under a contactId that may be stale, and is to go
        `once_more`."""
        parcel = parcel_of(self.references.of(delivery.row_key), delivery, found.contact_id)
        await self._come_near()
        deadline = Deadline(clocks.now(), send_within(self.flow.settle_after))
        opening = Opening(
            delivery,
            found.contact_id,
            self.contacts.news(delivery.contact),
            self.boot,
            round(deadline.since.boot * 1000),
            self.flow.destination.clock.latest(deadline.since),
            self._turn(found.contact_id),
        )
        begun = False  # where somebody moved the row meanwhile
        try:
            may = not self.stop.asked and self._may_send()
            begun = may and await self.journal.write(opening) is True
        finally:
            if self._turns:
                self._turns.is_over(delivery)
            if not begun:
                self.flow.destination.wire.go_away()
        if not begun:
            return False
        outcome = (await self.sending.send(parcel, deadline)).of(delivery.id)
        if (
            once_more
            and isinstance(outcome, Refused)
            and await self._is_stale(opening, found, outcome)
        ):
            await self._close_stale(opening, outcome)
            return True
        await self._close(opening, outcome)
        return False

    async def _keep(self, delivery: Delivery, found: Found) -> None:
        """Outside of the send window: whose the row is is known now, and not asked for again."""
        news = self.contacts.news(delivery.contact)
        await self.journal.write(Kept(delivery, found.contact_id, FOR_WINDOW, news))

    async def _is_stale(self, opening: Opening, found: Found, refused: Refused) -> bool:
        """Whether the contact may be another one by now, or gone: then the refusal is no verdict on
        the row. One that this run has found is looked up again first."""
        contact = opening.delivery.contact
        if not self.contacts.may_be_another(contact, found, refused):
            return False
        if found.cached:
            return True
        try:
            return not await self.contacts.still_is(contact, found)
        except ConnectorError as error:
            self.stop.now(error)
            return True  # known not to be stored, whatever else

    async def _come_near(self) -> None:
        self._writers -= 1
        try:
            await self.flow.destination.wire.come_near(lambda: self.stop.asked)
        finally:
            self._writers += 1

    async def _close(self, opening: Opening, outcome: Outcome) -> None:
        if isinstance(outcome, NotApplied) and outcome.alone:
            self.running.next_runs.rest(opening.delivery.id, outcome.reason)
        rest = self.sending.rest_after(outcome, opening.in_a_row)
        self.sending.judge(outcome)
        await self._record(opening, Closing(opening.delivery.id, opening.number, outcome, rest))

    async def _close_stale(self, opening: Opening, refused: Refused) -> None:
        """A contact may have been deleted or merged since it was found, so this refusal is no
        verdict on the row. Nothing was stored."""
        reason = f"{refused.reason}; the contact may be another one by now, and is looked up again"
        outcome = NotApplied(reason, refused.http_status)
        stale = self.contacts.refusal(opening.delivery.contact, opening.contact_id)
        closing = Closing(opening.delivery.id, opening.number, outcome, found=stale)
        self.sending.judge(refused)
        await self._record(opening, closing)

    async def _record(self, opening: Opening, closing: Closing) -> None:
        refused = isinstance(closing.outcome, Refused)
        if refused:  # it may be one too many, and others are sent while it is recorded
            self.tally.rejected += 1
            self.progress(self.tally)
        written = await self.journal.write(self._timed(closing))
        self._counting.closed(opening.delivery, closing.outcome, written)

    def _timed(self, closing: Closing) -> Closing:
        return replace(closing, at=wall()) if self._turns else closing

    async def _set_aside(self, delivery: Delivery, found: Missing | Refused | NotApplied) -> None:
        entry = aside(delivery, found, self.flow.activation.contact.patience)
        if await self.journal.write(entry) and entry.state is State.REJECTED:
            self.tally.rejected += 1
            self.tally.given_up += delivery.state is State.WAITING
            log.warning("delivery.rejected", row_key=delivery.row_key, reason=entry.reason)
        if isinstance(found, NotApplied):
            self.running.next_runs.add(delivery.id, delivery.state)
            self.taken.spared += 1
        self.sending.looked_up(found)


class DeliveringParcels(Delivering):
    """The delivery of one run, many rows in one request."""

    def __init__(
        self, running: Running, limit: int | None, progress: Callable[[Tally], None]
    ) -> None:
        super().__init__(running, limit, progress)
        there = self.flow.destination
        self.page = max(self.page, there.can.rows_per_request)
        self._gathering = Gathering(there.can, there.weigh)

    @property
    def _at_once(self) -> int:
        """One more than are under way: it is put on record meanwhile."""
        return on_record_at_once(self.flow.destination, 1)

    async def _passes(self) -> None:
        """The first request ever carries one row: until it is shown that requests are known by our
        ids, none that gets lost can be settled."""
        known = await self.flow.call(self.flow.ledger.knows_references, self.flow.name)
        if known is False and self.flow.destination.can.proof is Proof.REQUEST:
            self._gathering.most = 1
        await super()._passes()

    async def _pass(self, state: State) -> None:
        if state is State.PENDING:
            await self._absent_ones()
        await super()._pass(state)

    async def _done(self) -> None:
        await self._hand_over(self._gathering.rest())
        await super()._done()

    async def _hand_over(self, loads: Sequence[Load]) -> None:
        for load in loads:
            if not self.stop.asked:
                await self._queue.put(load)

    async def _absent_ones(self) -> None:
        """Send requests again, as they were, that were found absent."""
        if not self._may_send():
            return
        requests = await self.flow.call(self.flow.ledger.requests_again, self.running.run)
        for again in requests:
            if self.stop.asked or len(again.rows) > self.taken.left:
                break
            if any(row.id in self.running.next_runs for row in again.rows):
                continue
            ready = await self._ready_ones(again.rows)
            self.taken.rows += len(again.rows) - len(ready)
            rows = await self._admitted(ready)
            if len(rows) == len(again.rows) and self._may_send():
                self.taken.rows += len(rows)
                await self._hand_over([Load(rows, again)])
        if requests:
            await self._done()

    async def _enqueue(self, deliveries: Sequence[Delivery]) -> None:
        deliveries = deliveries[: self.taken.left]
        if self.stop.asked or not deliveries:
            return
        ready = await self._ready_ones(deliveries)
        may = self._may_send()
        rows = await self._admitted(ready) if may else ready
        self.taken.rows += len(deliveries) - len(ready) + len(rows)
        if not may:
            for row in rows:
                await self._keep(row.delivery, Found(row.item.contact))
            return
        span = (deliveries[0].id, deliveries[-1].id)
        halves = await self.flow.call(self.flow.ledger.halves, self.flow.name, *span)
        for row in rows:
            await self._hand_over(self._gathering.add(halves.get(row.delivery.id), row))

    async def _ready_ones(self, deliveries: Sequence[Delivery]) -> list[Ready]:
        among, of, news = self._ready_among, self.references.of, self.contacts.news
        return [
            Ready.of(row, of(row.row_key), whose.contact_id, news(row.contact))
            for row, whose in await among(deliveries)
        ]

    async def _admitted(self, rows: Sequence[Ready]) -> Sequence[Ready]:
        """Those whose turn it is."""
        if self._turns is None:
            return rows
        may = await self._turns.admit([(row.delivery, Found(row.item.contact)) for row in rows])
        let_go = {delivery.id for delivery in may}
        return [row for row in rows if row.delivery.id in let_go]

    async def _take(self, load: Any) -> None:
        """Send one request; its halves where a row of it has moved, down to that row."""
        there, run = self.flow.destination, self.running.run
        parcel = load.parcel(run.run_id)
        look = there.compose(self.flow.activation, parcel)
        parcel, digest = replace(parcel, look=look), digest_of(look.body)
        if load.again and load.again.digest != digest:
            await self.flow.call(self.flow.ledger.end_request, run, load.again.id)
            await self._take(Load(load.rows))
            return
        await self._come_near()
        deadline = Deadline(clocks.now(), send_within(self.flow.settle_after))
        times = (round(deadline.since.boot * 1000), there.clock.latest(deadline.since))
        opening = load.opening(parcel, there.can.proof, digest, self.boot, *times)
        if self._turns:
            turns = [replace(each, turn=self._turn(each.contact_id)) for each in opening.openings]
            opening = replace(opening, openings=turns)
        begun: Written = False
        try:
            begun = not self.stop.asked and self._may_send() and await self.journal.write(opening)
        finally:
            if not isinstance(begun, Opened):
                there.wire.go_away()
        if isinstance(begun, Opened):
            if self._turns:
                self._turns.is_over(*(row.delivery for row in load.rows))
            answer = await self.flow.believed(
                begun.request, await self.sending.send(parcel, deadline)
            )
            await self._close_all(begun.request, opening.openings, answer)
        elif not self.stop.asked and self._may_send():
            for half in load.halves:
                await self._take(half)

    async def _close_all(self, request: int, openings: Sequence[Opening], answer: Answer) -> None:
        closings = [*map(self._timed, closings_of(openings, answer, self.sending.rest_after))]
        self.sending.judge(answer.whole)
        refused = sum(isinstance(closing.outcome, Refused) for closing in closings)
        if refused:  # it may be one too many, and others are sent while it is recorded
            self.tally.rejected += refused
            self.progress(self.tally)
        written = await self.journal.write(ClosingAll(request, answer.whole, closings))
        assert isinstance(written, Closed)
        rows = [opening.delivery for opening in openings]
        outcomes = [closing.outcome for closing in closings]
        self._counting.closed_all(rows, outcomes, written.moved, answer.whole)
