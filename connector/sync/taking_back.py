"""Take back what a mirror's rows no longer say: delete by id, and believe it when it is confirmed.

A deletion is asked for once that is on record, and soon, side by side at the destination's pace;
safe to repeat. It is confirmed when the destination said so and does not show the interaction any
more; of one that was not found, only when it is so old, by clocks that agree, that it would be
shown. The row moves only then.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from connector.basis.log import Log
from connector.destinations.pacing import HORIZON
from connector.ledger.mirrored import (
    Aim,
    Asking,
    Covers,
    Gone,
    Late,
    Left,
    Marked,
    Stuck,
    Taking,
    There,
)
from connector.rules import clocks
from connector.rules.absence import Age, believed_in, send_within, wants_another_look
from connector.rules.clocks import Deadline
from connector.rules.delivery import Refused, Removed, Unknown
from connector.rules.read_back import Absent, Shown, Unread
from connector.rules.turns import cap_of
from connector.rules.words import SUCH, Note, are, naming
from connector.sync.flow import Running
from connector.sync.settled import Asked
from connector.sync.side_by_side import until_stopped
from connector.sync.silence import PAUSES, SECOND_LOOK, Silence
from connector.sync.thread import Journal
from connector.sync.turns import Replacing

log = Log(__name__)

PAGE = 500
PATIENCE = timedelta(seconds=90)
"""How long a run waits for what it may only be told later; beyond that it is the next run's."""
NOTHING = timedelta(0)
A_MOMENT = timedelta(milliseconds=50)


class TakingBack:
    """What one run takes back. `room`: of how many rows it may replace what was sent; None: all;
    `covers`: what an approval lets go, beside which nothing is taken back."""

    def __init__(
        self, running: Running, room: int | None = None, covers: Covers = Covers.NOTHING
    ) -> None:
        self.running, self.flow, self.tally = running, running.flow, running.tally
        self.room, self.rounds, self.only_shown = room, 0, covers is Covers.SHOWN
        record = partial(self.flow.ledger.take_away, running.run)
        self._journal: Journal[Taking] = Journal(record, self.flow.thread)
        self._silence = Silence()
        self._done_with = set[int]()
        """Rows that this run asks for no more."""
        self._has_room = set[int]()
        """Rows to be replaced that are within the room."""
        self._in_line = dict[int, int]()
        """Rows that wait for their turn, by their ids, until when."""
        self._later: timedelta | None = None
        """How soon something may be asked for again."""
        self._unanswered = self._moved = 0
        self._boot = clocks.boot()
        cap, key = cap_of(self.flow.activation), running.run.footing.known.ledger
        self._turns = Replacing(cap, key, self.flow, running.contacts.of) if cap else None

    async def round(self) -> int:
        """Carry out all that can be now; how many rows have moved. Raises DestinationUnusable,
        LeaseLost, LedgerUnavailable."""
        flow, self._moved = self.flow, 0
        while rows := await flow.call(
            flow.ledger.apply_to_unsent, self.running.run, self.rounds == 0
        ):
            self._moved += rows
        self.rounds += 1
        if self._turns:
            self._turns.begin()
        waited = NOTHING
        pauses = iter((SECOND_LOOK, *PAUSES))
        await self._pass()
        while not flow.stop.asked:
            rest = next(pauses, None) if self._unanswered else None
            if self._later is not None:
                rest = self._later if rest is None else min(rest, self._later)
            if rest is None or waited + rest > PATIENCE:
                break
            await flow.stop.wait(rest)
            waited += max(rest, A_MOMENT)
            await self._pass()
        self.running.next_runs.takes_back = bool(self._unanswered or self._later is not None)
        flow.stop.raise_error()
        return self._moved

    async def _pass(self) -> None:
        after, self._unanswered, self._later = 0, 0, None
        ledger, total = self.flow.ledger, self.tally.removed + self.tally.replaced
        while not self.flow.stop.asked and (
            page := await self.flow.call(
                ledger.to_take_back, self.flow.name, after, PAGE, self.only_shown
            )
        ):
            after, read_at = page[-1].delivery_id, time.monotonic()
            late = await self._late(page)
            due = [row for row in page if row.delivery_id not in late and self._is_due(row)]
            rows = await self._seen(due)
            total += len(rows)
            await until_stopped(self.flow.stop, self._lanes, partial(self._one, read_at), rows)
            done = self.tally.removed + self.tally.replaced
            self.flow.progress.counting(self.flow.name, "taking back", done, total)
        self.flow.stop.raise_error()

    async def _late(self, page: Sequence[Marked]) -> Collection[int]:
        """Rows that are not replaced now, since they would be gone until their turn comes."""
        if self._turns is None or not self.flow.may_send():
            return ()
        replaced = [row for row in page if row.aim is Aim.REPLACE and not row.asked]
        await self.running.contacts.ahead(row.contact for row in replaced if row.contact)
        late = await self._turns.late(replaced)
        await asyncio.gather(*(self._stand_in_line(each) for each in late))
        return {each.row.delivery_id for each in late}

    async def _stand_in_line(self, late: Late) -> None:
        """That it waits goes on record once, unless it is for longer by now."""
        row, at = late.row.delivery_id, late.turn.at
        if at > self._in_line.get(row, 0):
            self._in_line[row] = at
            await self._journal.write(late)

    def _is_due(self, row: Marked) -> bool:
        if row.delivery_id in self._done_with:
            return False
        # longer than any wait was said when the ledger's clock was ahead: it is judged anew
        if NOTHING < row.due_in <= 2 * self.flow.settle_after:
            self._wait_for(row.due_in)
            return False
        if row.aim is Aim.REPLACE and not row.asked and not self.flow.may_send():
            return False  # it would be gone until the send window opens
        return row.aim is not Aim.REPLACE or row.asked or self._finds_room(row.delivery_id)

    def _finds_room(self, row: int) -> bool:
        """Whether it is within the room: once it is, however often it is asked for."""
        if self.room is not None and row not in self._has_room:
            if len(self._has_room) >= self.room:
                return False
            self._has_room.add(row)
        return True

    async def _seen(self, rows: list[Marked]) -> list[Marked]:
        """The same rows; of those that this boot's clock knows nothing of it is recorded when they
        were seen, since waiting alone would not make the other clocks agree."""
        asked = self._asked_at()
        new = [row for row in rows if row.clocked and self._is_new(row, asked)]
        if new:
            flow, run = self.flow, self.running.run
            await flow.call(flow.ledger.saw, run, new, self._boot, asked.here_at)
        names = {row.delivery_id for row in new}
        boot, at = self._boot, asked.here_at
        return [replace(r, boot=boot, boot_at=at) if r.delivery_id in names else r for r in rows]

    def _is_new(self, row: Marked, asked: Asked) -> bool:
        return wants_another_look(self._age(row, asked), self.flow.settle_after)

    def _asked_at(self) -> Asked:
        now = clocks.now()
        there_at = self.flow.destination.clock.earliest(now)
        return Asked(self._boot, round(now.boot * 1000), there_at)

    def _age(self, row: Marked, asked: Asked) -> Age:
        """How old it is, as far as that counts: what is looked for may have been made, or deleted,
        by a run that the ledger forgot when it was put back."""
        database = min(row.age, row.restored or row.age) if row.aim is Aim.LOOK else row.age
        return asked.age(row, database)

    def _rest(self, row: Marked) -> timedelta:
        """How long until it may be believed that the row's interaction is not there; nothing: now.
        Taken before the destination is asked."""
        wait = self.flow.settle_after
        if not row.clocked:  # nobody sent it, as far as is known
            return max(NOTHING, wait - row.age)
        rest = believed_in(self._age(row, self._asked_at()), wait)
        return NOTHING if rest < NOTHING else max(rest, A_MOMENT)

    @property
    def _lanes(self) -> int:
        """Side by side: as many as get their turn soon after their asking is on record."""
        there = self.flow.destination
        soon = there.wire.pacer.rate * send_within(self.flow.settle_after) / 2
        return max(1, min(there.concurrency, int(soon)))

    def _wait_for(self, rest: timedelta) -> None:
        self._later = rest if self._later is None else min(self._later, rest)

    async def _one(self, read_at: float, row: Marked) -> None:
        spent = timedelta(seconds=time.monotonic() - read_at)
        row = replace(row, age=row.age + spent)
        rest = self._rest(row)
        if row.aim is Aim.LOOK:
            await self._look(row, rest)
        elif await self._is_shown(row, rest):
            await self._pause()
            deadline = Deadline(clocks.now(), send_within(self.flow.settle_after))
            if await self._journal.write(Asking(row)) is True:
                await self._delete(row, rest, deadline)

    async def _pause(self) -> None:
        """While the destination wants nothing, nothing is put on record."""
        pacer = self.flow.destination.wire.pacer
        while not self.flow.stop.asked and (pause := pacer.wait()) > HORIZON:
            await self.flow.stop.wait(timedelta(seconds=pause))

    async def _look(self, row: Marked, rest: timedelta) -> None:
        """Whether it is still there. A list may show for a while what a forgotten run has deleted,
        and not yet what was sent: neither is believed before the wait is over."""
        if rest:
            await self._left(row, rest=rest)
            return
        match seen := await self.flow.destination.interaction(row.interaction_id):
            case Shown():
                await self._journal.write(There(row))
            case Absent():
                await self._gone(row, suspect=True)
            case Unread():
                self._unanswered += 1
        self._silence.heard(seen)

    async def _is_shown(self, row: Marked, rest: timedelta) -> bool:
        """A young one is deleted only once it is shown: some APIs say that they have deleted what
        is only stored later. One that is old would be shown."""
        if not rest or not self.flow.destination.can.shows:
            return True
        match seen := await self.flow.destination.interaction(row.interaction_id):
            case Shown():
                return True
            case Absent():
                await self._left(row, rest=rest, missed=not row.asked)
            case Unread():
                self._unanswered += 1
        self._silence.heard(seen)
        return False

    async def _delete(self, row: Marked, rest: timedelta, deadline: Deadline) -> None:
        """Ask for it, not later than the `deadline`: a process that stood still must not delete
        what a ledger that was put back from a backup has found to be there since."""
        there = self.flow.destination.heeding(deadline.passed)
        removal = await there.delete(row.interaction_id)
        match removal:
            case Removed(found):
                await self._removed(row, rest, found)
            case Refused(reason):
                self._done_with.add(row.delivery_id)
                log.warning("mirror.refused", row_key=row.row_key, reason=reason)
                await self._left(row, refused=reason)
            case Unknown(reason, unasked=unasked):
                self._unanswered += 1
                if unasked:
                    why = deadline.passed() or reason
                    log.info("mirror.not_asked", row_key=row.row_key, reason=why)
                else:
                    log.warning("mirror.unanswered", row_key=row.row_key, reason=reason)
        self._silence.heard(removal)

    async def _removed(self, row: Marked, rest: timedelta, found: bool) -> None:
        """The destination says that it is not there, or not any more."""
        missed = not found and not row.asked
        if not found and rest:  # it may not be shown yet
            await self._left(row, rest=rest, missed=missed)
        elif self.flow.destination.can.shows and not await self._is_absent(row):
            self._unanswered += 1
            if missed:
                await self._left(row, missed=True)
        else:
            await self._gone(row, suspect=missed)

    async def _is_absent(self, row: Marked) -> bool:
        seen = await self.flow.destination.interaction(row.interaction_id)
        return isinstance(seen, Absent)

    async def _gone(self, row: Marked, suspect: bool) -> None:
        if await self._journal.write(Gone(row, suspect)) is True:
            self._moved += 1
            self.tally.removed += row.aim is Aim.REMOVE
            self.tally.replaced += row.aim is Aim.REPLACE
            self.tally.invalid += row.invalid and row.aim is not Aim.REMOVE

    async def _left(
        self,
        row: Marked,
        rest: timedelta = NOTHING,
        refused: str | None = None,
        missed: bool = False,
    ) -> None:
        if rest:
            self._wait_for(rest)
        await self._journal.write(Left(row, rest, refused, missed))


def told(stuck: Stuck, called: str) -> str:
    """What a person should know of rows that could not be taken back, and do."""
    such = f" (such as {stuck.example})"
    rows = f"{are(stuck.rows)} to be taken back{SUCH}"
    match stuck.why:
        case "without_id":
            return naming(
                f"{rows} and cannot be, since they were delivered without an interaction's id:"
                f" delete them in {called}, and let `connector forget` or a new name of the"
                " activation end that",
                such,
            )
        case "unsure":
            return naming(
                f"{rows} and cannot be, since {called} answered another request with the same id,"
                f" too, so it may be another row's: delete them in {called}, and let `connector"
                " forget` or a new name of the activation end that",
                such,
            )
        case "refused":
            refused, rest = f"{rows}, and {called} refused it", "Each run asks again; as long as it"
            rest += " is refused, they stay as they are there"
            named = naming(f"{refused}: {(stuck.words or '').rstrip('.')}. {rest}", such)
            # its words may name somebody, too
            return Note(named, naming(f"{refused}. {rest}", such).nameless)
    return naming(
        f"{rows}, and it is not known yet whether they are gone. They are not sent anew before; the"
        " next run asks again",
        such,
    )
