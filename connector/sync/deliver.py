"""Send what is pending. Every request is on record before its first byte leaves.

For each row: look its contact up (safe to repeat), wait for a slot, open an attempt and see it
committed, POST once, close the attempt with its outcome. Rows travel side by side, and their
openings and closings share commits; no transaction is open while a request is on the wire.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from connector.destinations.pacing import HORIZON
from connector.destinations.port import Item, Parcel
from connector.ledger.records import (
    Closing,
    Delivery,
    Entry,
    Opening,
    Presumed,
    Repeated,
    SetAside,
    Tally,
)
from connector.rules import clocks
from connector.rules.clocks import Deadline
from connector.rules.delivery import (
    Accepted,
    Found,
    Missing,
    NotApplied,
    Outcome,
    Refused,
    State,
    Submitted,
    Unknown,
    Withheld,
    next_look_up,
    pause_after,
)
from connector.rules.errors import ConnectorError, DestinationUnusable
from connector.sync.flow import Running
from connector.sync.thread import Journal

log = structlog.get_logger()

SEND_WITHIN = 5.0
"""Most seconds from opening an attempt to its first byte, by whichever clock. A process that was
frozen in between must not send any more: somebody may have settled the row meanwhile. After a jump
of the clocks it does not send either: nobody knows how long it was. The row goes back, and the
attempt that is opened for it next proves in the ledger that the run still holds it."""
PAGE = 500
BESIDES = 8
"""Rows that are put on record, before and after their request, for each that is under way."""
GATHER, LONGEST_GATHER, ENOUGH = 0.003, 0.1, 20
"""Seconds that a commit waits for more entries, at the least and at the most; in between, as long
as it takes the pace to bring so many."""
PATIENCE = timedelta(seconds=90)
"""How long a run waits for rows that are to be sent later; beyond that they are the next run's."""
OUTAGE_PAUSES = (1, 2, 4, 8, 16)
LONGER_THAN_ANY_WAIT = timedelta(days=3650)
MOST_MERGES = 5
"""How often a row is tried anew since its contact has become another one."""
LOOK_UP_REST = timedelta(minutes=5)
"""How long a row rests whose contact could not be looked up: it is the next run's, so that one
address which the destination cannot answer for stops no other row."""


def send_within(settle_after: timedelta) -> float:
    """Seconds from opening an attempt to its first byte at most: half of the wait at least is left
    for the way there, and for what the destination needs to store and to show it."""
    return min(SEND_WITHIN, settle_after.total_seconds() / 2)


@dataclass(slots=True)
class Health:
    """How the destination has behaved lately, and when to give up on it: after `most_doubts` in a
    row."""

    most_doubts: int
    doubts: int = 0
    pauses: int = 0
    resumes_at: float = 0.0

    def saw(self, outcome: Outcome, now: float) -> float:
        """Seconds to pause before anything else is sent. Raises DestinationUnusable."""
        match outcome:
            case Accepted(distrust=why_not) | Unknown(distrust=why_not) if why_not:
                raise DestinationUnusable(why_not, outcome.http_status)
            case Accepted() | Submitted() | Refused() | NotApplied(alone=True):
                self.doubts = self.pauses = 0
            case Unknown():
                self.doubts += 1
                if self.doubts >= self.most_doubts:
                    raise DestinationUnusable(
                        f"{self.doubts} requests in a row got no answer that can be trusted (the"
                        f" last: {outcome.reason}); sending on would only make more doubts"
                    )
            case Withheld() | NotApplied(again=True):
                pass
            case NotApplied(reason, busy=False) if now >= self.resumes_at:
                if self.pauses >= len(OUTAGE_PAUSES):
                    raise DestinationUnusable(f"the destination is out of reach ({reason})")
                pause = float(OUTAGE_PAUSES[self.pauses])
                self.pauses += 1
                self.resumes_at = now + pause
                return pause
            case NotApplied():
                pass
        return 0.0


class Delivering:
    """The delivery of one run."""

    def __init__(
        self, running: Running, limit: int | None, progress: Callable[[Tally], None]
    ) -> None:
        self.running, self.limit, self.progress = running, limit, progress
        self.flow, self.tally, self.contacts = running.flow, running.tally, running.contacts
        self.stop = self.flow.stop
        record = partial(self.flow.ledger.record, running.run)
        gather = max(GATHER, min(ENOUGH / self.flow.destination.wire.pacer.rate, LONGEST_GATHER))
        self.journal = Journal[Entry](record, self.flow.thread, gather, lambda: self._writers)
        self.health = Health(self.flow.destination.can.most_doubts)
        self.boot, self.references = clocks.boot(), running.references
        self._queue = asyncio.Queue[Delivery](maxsize=self._rows_at_once)
        self._queued = 0
        self._next_runs = set[int]()
        """Rows that this run has tried, and will not try again."""
        self._writers = 0
        """Rows that may have something to write soon."""

    async def deliver(self) -> None:
        """Send every row that is due; returns when none is left, or `stop` was given.

        What is under way when it stops is waited for and recorded. The reason stands in `stop`.
        """
        senders = [asyncio.create_task(self._sender()) for _ in range(self._rows_at_once)]
        stopping = asyncio.create_task(self._call_off_on_stop())
        try:
            await self._passes()
            await self._queue.join()
        except asyncio.CancelledError:
            raise  # ended by force: nobody is left to empty the queue
        except BaseException as error:
            self.stop.now(error)
            await self._queue.join()
        finally:
            for task in (*senders, stopping):
                task.cancel()  # idle: the queue is empty, so none is on the wire
            await asyncio.gather(*senders, stopping, return_exceptions=True)

    async def _call_off_on_stop(self) -> None:
        """What is on record and waits for its turn is known not to be sent: say so at once."""
        await self.stop.event.wait()
        self.flow.destination.wire.call_off()

    async def _passes(self) -> None:
        """All due rows; then those that had to rest, as long as the wait is short."""
        await self._pass(State.WAITING)
        while True:
            already = self._queued
            await self._pass(State.PENDING)
            await self._queue.join()
            if self.stop.asked or self._limit_reached():
                break
            rest = await self._rest(already)
            if rest is None or rest > PATIENCE:
                break
            await self.stop.wait(rest)
        await self._wake()

    async def _rest(self, already: int) -> timedelta | None:
        """How long until a row may be tried that is this run's; None when there is none. `already`:
        how many were taken up before the last pass."""
        next_due, name = self.flow.ledger.next_due, self.flow.name
        rest = await self.flow.call(next_due, name)
        if rest == timedelta(0) and self._queued == already:  # what is due is the next run's
            rest = await self.flow.call(next_due, name, later=True)
        return rest

    async def _wake(self) -> None:
        """Rows that were to wait for longer, though their contact has been found for another row
        of this run. Asks nobody."""
        after, whenever = 0, self.running.run.started_at + LONGER_THAN_ANY_WAIT
        matches = self.contacts.matches
        while matches.found > matches.cached and not (self.stop.asked or self._limit_reached()):
            page = await self._page(State.WAITING, after, whenever)
            if not page:
                return
            await self._enqueue([d for d in page if self.contacts.is_found(d.contact)])
            after = page[-1].id

    async def _pass(self, state: State) -> None:
        after = 0
        # a contact that was looked up in this run is not looked up in it again
        before = self.running.run.started_at if state is State.WAITING else None
        while page := await self._page(state, after, before):
            wanted = page if self.limit is None else page[: self.limit - self._queued]
            await self.contacts.ahead(delivery.contact for delivery in wanted)
            await self._enqueue(wanted)
            if self.stop.asked or self._limit_reached():
                return
            after = page[-1].id

    async def _page(self, state: State, after: int, before: datetime | None) -> list[Delivery]:
        due = self.flow.ledger.due
        return await self.flow.call(due, self.flow.name, state, after, PAGE, before)

    async def _enqueue(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if self.stop.asked or self._limit_reached():
                return
            if delivery.id in self._next_runs:
                continue
            self._queued += 1
            await self._queue.put(delivery)

    def _limit_reached(self) -> bool:
        return self.limit is not None and self._queued >= self.limit

    async def _sender(self) -> None:
        while True:
            delivery = await self._queue.get()
            self._writers += 1
            try:
                if not self.stop.asked:
                    await self._one(delivery)
            except BaseException as error:
                self.stop.now(error)
                if isinstance(error, asyncio.CancelledError):
                    raise
            finally:
                self._writers -= 1
                self._queue.task_done()
                self.progress(self.tally)

    @property
    def _rows_at_once(self) -> int:
        """More than requests at once where the pace is fast: while some are under way, others are
        put on record together, before and after."""
        width = self.flow.destination.concurrency
        return width + int(min(BESIDES * width, self.flow.destination.wire.pacer.rate * HORIZON))

    async def _one(
        self, delivery: Delivery, refused: str | None = None, left: int = MOST_MERGES
    ) -> None:
        """Send one row. `refused`: the contactId under which it was refused just now, if it may be
        another one by now: the row is tried once more, and again while it is another one."""
        if not delivery.suspect and (late := self._too_late(delivery)):
            await self._set_aside(delivery, Refused(late))
            return
        found = await self.contacts.of(delivery.contact, refused)
        if isinstance(found, NotApplied) and self.stop.asked:
            return  # not asked for to the end
        if not isinstance(found, Found):
            await self._set_aside(delivery, found)
        elif delivery.suspect:  # settling asks the destination about it before anything is sent
            news = self.contacts.news(delivery.contact)
            await self.journal.write(Presumed(delivery, found.contact_id, news))
        elif await self._attempt(delivery, found, left > 0 and found.contact_id != refused):
            again = replace(delivery, state=State.PENDING, attempt=delivery.attempt + 1)
            if not self.stop.asked:
                await self._one(again, found.contact_id, left - 1)

    def _too_late(self, delivery: Delivery) -> str | None:
        created = datetime.fromisoformat(delivery.created_date)
        return self.flow.activation.too_late(created, datetime.now(UTC))

    async def _attempt(self, delivery: Delivery, found: Found, once_more: bool) -> bool:
        """Send the row; True when it was refused under a contactId that may be stale, and is to go
        `once_more`."""
        parcel = _parcel(self.references.of(delivery.row_key), delivery, found.contact_id)
        await self._come_near()
        deadline = Deadline(clocks.now(), send_within(self.flow.settle_after))
        opening = Opening(
            delivery,
            found.contact_id,
            self.contacts.news(delivery.contact),
            self.boot,
            round(deadline.since.boot * 1000),
            self.flow.destination.clock.latest(deadline.since),
        )
        begun = False
        try:
            # False when somebody moved the row meanwhile
            begun = not self.stop.asked and await self.journal.write(opening) is True
        finally:
            if not begun:
                self.flow.destination.wire.go_away()
        if not begun:
            return False
        outcome = await self._send(parcel, deadline)
        if (
            once_more
            and isinstance(outcome, Refused)
            and await self._is_stale(opening, found, outcome)
        ):
            await self._close_stale(opening, outcome)
            return True
        await self._close(opening, outcome)
        return False

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

    async def _send(self, parcel: Parcel, deadline: Deadline) -> Outcome:
        def last_look() -> str | None:
            return deadline.passed() or ("the run was to stop" if self.stop.asked else None)

        try:
            return (await self.flow.destination.send(self.flow.activation, parcel, last_look)).whole
        except DestinationUnusable as unusable:
            self.stop.now(unusable)  # no row would get through: this one goes back, none is burnt
            return NotApplied(str(unusable), unusable.http_status)

    async def _close(self, opening: Opening, outcome: Outcome) -> None:
        rest = timedelta(0)
        if isinstance(outcome, NotApplied):
            if outcome.alone:
                self._next_runs.add(opening.delivery.id)
            if not (isinstance(outcome, Withheld) and self.stop.asked):
                rest = pause_after(outcome, opening.number, random.random())
            if outcome.busy:
                asked = outcome.retry_after or timedelta(0)
                self.flow.destination.wire.pacer.slow_down(asked.total_seconds())
        self._judge(outcome)
        await self._record(opening, Closing(opening.delivery.id, opening.number, outcome, rest))

    def _judge(self, outcome: Outcome) -> None:
        """What it says of the destination; at once, for others are sent while it is recorded."""
        try:
            self.flow.destination.wire.pacer.pause(self.health.saw(outcome, clocks.now().monotonic))
        except DestinationUnusable as unusable:
            self.stop.now(unusable)

    async def _close_stale(self, opening: Opening, refused: Refused) -> None:
        """A contact may have been deleted or merged since it was found, so this refusal is no
        verdict on the row. Nothing was stored."""
        reason = f"{refused.reason}; the contact may be another one by now, and is looked up again"
        outcome = NotApplied(reason, refused.http_status)
        stale = self.contacts.refusal(opening.delivery.contact, opening.contact_id)
        closing = Closing(opening.delivery.id, opening.number, outcome, found=stale)
        self._judge(refused)
        await self._record(opening, closing)

    async def _record(self, opening: Opening, closing: Closing) -> None:
        refused = isinstance(closing.outcome, Refused)
        if refused:  # it may be one too many, and others are sent while it is recorded
            self.tally.rejected += 1
            self.progress(self.tally)
        match await self.journal.write(closing):
            case Repeated(reason, distrust):
                self._count(opening.delivery, Unknown(reason))
                if distrust:
                    self.stop.now(DestinationUnusable(distrust, closing.outcome.http_status))
            case True:
                self._count(opening.delivery, closing.outcome)
            case _:
                self.tally.rejected -= refused
                log.error("delivery.answer_too_late", row_key=opening.delivery.row_key)

    def _count(self, delivery: Delivery, outcome: Outcome) -> None:
        match outcome:
            case Accepted():
                self.tally.delivered += 1
            case Submitted():
                self.tally.submitted += 1
            case Refused(reason):
                log.warning("delivery.rejected", row_key=delivery.row_key, reason=reason)
            case Unknown(reason):
                log.warning("delivery.in_doubt", row_key=delivery.row_key, reason=reason)
            case NotApplied(reason):
                log.info("delivery.not_applied", row_key=delivery.row_key, reason=reason)

    async def _set_aside(self, delivery: Delivery, found: Missing | Refused | NotApplied) -> None:
        match found:
            case Missing(reason):
                entry = self._waiting(delivery, reason)
            case Refused(reason):
                entry = SetAside(delivery, State.REJECTED, reason)
            case NotApplied(reason):
                entry = SetAside(delivery, delivery.state, reason, LOOK_UP_REST)
        if await self.journal.write(entry) and entry.state is State.REJECTED:
            self.tally.rejected += 1
            self.tally.given_up += delivery.state is State.WAITING
            log.warning("delivery.rejected", row_key=delivery.row_key, reason=entry.reason)
        if isinstance(found, NotApplied):
            self._judge(found)

    def _waiting(self, delivery: Delivery, reason: str) -> SetAside:
        wait = self.flow.activation.contact.patience
        waited = timedelta(milliseconds=delivery.waited or 0)
        if waited >= wait:
            ended = f"{reason}, and the wait for it has ended" if wait else reason
            return SetAside(delivery, State.REJECTED, ended)
        return SetAside(delivery, State.WAITING, reason, min(next_look_up(waited), wait - waited))


def _parcel(reference: str, delivery: Delivery, contact_id: str) -> Parcel:
    payload = delivery.payload.encode()
    item = Item(delivery.id, reference, contact_id, delivery.created_date, payload)
    return Parcel(f"{reference}.{delivery.attempt + 1}", (item,))
