"""Take back what a mirror's rows no longer say: delete by id, and believe it when it is confirmed.

A deletion is asked for once that is on record, side by side at the destination's pace; safe to
repeat. It is confirmed when the destination said so and does not show the interaction any more; of
one that was not found, only when it is so old that it would be shown. The row moves only then.
"""

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from connector.ledger.mirrored import Aim, Asking, Covers, Gone, Left, Marked, Stuck, Taking, There
from connector.rules import clocks
from connector.rules.delivery import Refused, Removed, Unknown
from connector.rules.read_back import Absent, Shown, Unread
from connector.rules.words import are
from connector.sync.flow import Running
from connector.sync.side_by_side import until_stopped
from connector.sync.silence import PAUSES, SECOND_LOOK, Silence
from connector.sync.thread import Journal

log = structlog.get_logger()

PAGE = 500
PATIENCE = timedelta(seconds=90)
"""How long a run waits for what it may only be told later; beyond that it is the next run's."""
NOTHING = timedelta(0)
ALL = frozenset(Aim)


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
        self._later: timedelta | None = None
        """How soon something may be asked for again."""
        self._unanswered = self._moved = 0

    async def round(self) -> int:
        """Carry out all that can be now; how many rows have moved. Raises DestinationUnusable,
        LeaseLost, LedgerUnavailable."""
        flow, self._moved = self.flow, 0
        while rows := await flow.call(
            flow.ledger.apply_to_unsent, self.running.run, self.rounds == 0
        ):
            self._moved += rows
        self.rounds += 1
        waited = NOTHING
        pauses = iter((SECOND_LOOK, *PAUSES))
        await self._pass(ALL)
        while not flow.stop.asked:
            rest = next(pauses, None) if self._unanswered else None
            if self._later is not None:
                rest = self._later if rest is None else min(rest, self._later)
            if rest is None or waited + rest > PATIENCE:
                break
            await flow.stop.wait(rest)
            waited += max(rest, timedelta(milliseconds=50))
            await self._pass(ALL)
        flow.stop.raise_error()
        return self._moved

    async def _pass(self, aims: Collection[Aim]) -> None:
        after, self._unanswered, self._later = 0, 0, None
        ledger, total = self.flow.ledger, self.tally.removed + self.tally.replaced
        while not self.flow.stop.asked and (
            page := await self.flow.call(
                ledger.to_take_back, self.flow.name, after, PAGE, aims, self.only_shown
            )
        ):
            after, read_at = page[-1].delivery_id, time.monotonic()
            rows = [row for row in page if self._is_due(row)]
            total += len(rows)
            lanes = self.flow.destination.concurrency
            await until_stopped(self.flow.stop, lanes, partial(self._one, read_at), rows)
            done = self.tally.removed + self.tally.replaced
            self.flow.progress.counting(self.flow.name, "taking back", done, total)
        self.flow.stop.raise_error()

    def _is_due(self, row: Marked) -> bool:
        if row.delivery_id in self._done_with:
            return False
        if row.due_in > NOTHING:
            self._wait_for(row.due_in)
            return False
        if row.aim is Aim.REPLACE and not row.asked and not self.flow.may_send(clocks.wall()):
            return False  # it would be gone until the send window opens
        if row.aim is Aim.REPLACE and self.room is not None and not row.asked:
            if self.room <= 0:
                return False
            self.room -= 1
        return True

    def _wait_for(self, rest: timedelta) -> None:
        self._later = rest if self._later is None else min(self._later, rest)

    async def _one(self, read_at: float, row: Marked) -> None:
        spent = timedelta(seconds=time.monotonic() - read_at)
        row = replace(row, age=row.age + spent)
        if row.aim is Aim.LOOK:
            await self._look(row)
        elif await self._is_shown(row) and await self._journal.write(Asking(row)) is True:
            await self._delete(row)

    async def _look(self, row: Marked) -> None:
        """Whether it is still there. A list may show for a while what a forgotten run has deleted,
        and not yet what was sent: neither is believed before the wait is over."""
        wait = self.flow.settle_after
        young = min(row.age, row.restored or row.age)
        if young < wait:
            await self._left(row, rest=wait - young)
            return
        match seen := await self.flow.destination.interaction(row.interaction_id):
            case Shown():
                await self._journal.write(There(row))
            case Absent():
                await self._gone(row, suspect=True)
            case Unread():
                self._unanswered += 1
        self._silence.heard(seen)

    async def _is_shown(self, row: Marked) -> bool:
        """A young one is deleted only once it is shown: some APIs say that they have deleted what
        is only stored later. One that is old would be shown."""
        rest = self.flow.settle_after - row.age
        if rest <= NOTHING or not self.flow.destination.can.shows:
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

    async def _delete(self, row: Marked) -> None:
        removal = await self.flow.destination.delete(row.interaction_id)
        match removal:
            case Removed(found):
                await self._removed(row, found)
            case Refused(reason):
                self._done_with.add(row.delivery_id)
                log.warning("mirror.refused", row_key=row.row_key, reason=reason)
                await self._left(row, refused=reason)
            case Unknown(reason):
                self._unanswered += 1
                log.warning("mirror.unanswered", row_key=row.row_key, reason=reason)
        self._silence.heard(removal)

    async def _removed(self, row: Marked, found: bool) -> None:
        """The destination says that it is not there, or not any more."""
        rest, missed = self.flow.settle_after - row.age, not found and not row.asked
        if not found and rest > NOTHING:  # it may not be shown yet
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
    rows = f"{are(stuck.rows)}"
    match stuck.why:
        case "without_id":
            return (
                f"{rows} to be taken back (such as {stuck.example}) and cannot be, since they were"
                f" delivered without an interaction's id: delete them in {called}, and let"
                " `connector forget` or a new name of the activation end that"
            )
        case "refused":
            return (
                f"{rows} to be taken back (such as {stuck.example}), and {called} refused it:"
                f" {stuck.words}. Each run asks again; as long as it is refused, they stay as they"
                " are there"
            )
    return (
        f"{rows} to be taken back (such as {stuck.example}), and it is not known yet whether they"
        " are gone. They are not sent anew before; the next run asks again"
    )
