"""Look whether what a mirror's run took back is really gone at the destination. Writes nothing.

The ledger believes that each of these interactions is gone, since the destination said so and did
not show it any more. One that is shown again nobody would look for otherwise.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from connector.basis import dataclass
from connector.destinations.port import AnyDestination
from connector.ledger.reports import Reports
from connector.ledger.taken_away import TakenAway
from connector.rules.read_back import Absent, Shown, Unread
from connector.sync.side_by_side import side_by_side
from connector.sync.silence import Silence
from connector.sync.verify import LOTS, PAGE, StillThere, Verification, lot

NOT_SHOWN = "the destination shows no interaction, so it cannot be seen whether this one is gone"


@dataclass(slots=True)
class LookingForTakenBack:
    """One look at what the run `run_id` took back; what it brings is added to `found`. `lag`: how
    long after its deletion an interaction may still be shown."""

    run_id: str
    reports: Reports
    destination: AnyDestination
    lag: timedelta
    found: Verification
    share: float = 1.0
    progress: Callable[[int, int], None] = lambda done, total: None
    _until: int = 0
    _began: float = 0.0
    _below: int = LOTS
    _chosen: int = 0

    async def look(self) -> None:
        """Ask for each once. Raises DestinationUnusable or LedgerUnavailable."""
        self._until, self._began = await asyncio.to_thread(self.reports.now), time.monotonic()
        await self._choose()
        silence = Silence()

        async def one(row: TakenAway) -> None:
            await self._one(row, silence)

        async for rows in self._pages():
            chosen = [row for row in rows if self._lot(row) < self._below]
            await side_by_side(self.destination.concurrency, one, chosen)
        self.found.still_there.sort(key=lambda each: each.row_key)

    async def _pages(self) -> AsyncIterator[list[TakenAway]]:
        after = 0
        while rows := await asyncio.to_thread(
            self.reports.taken_away, self.run_id, self._until, after, PAGE
        ):
            after = rows[-1].delivery_id
            yield rows

    def _lot(self, row: TakenAway) -> int:
        return lot(self.run_id, row.delivery_id)

    async def _choose(self) -> None:
        """Count them, and draw the sample: at least one, if there is any."""
        lots = [self._lot(row) async for rows in self._pages() for row in rows]
        self.found.taken_back = len(lots)
        if self.share < 1 and lots:
            self._below = max(round(self.share * LOTS), min(lots) + 1)
        self._chosen = sum(each < self._below for each in lots)

    async def _one(self, row: TakenAway, silence: Silence) -> None:
        if not self.destination.can.shows:
            self.found.prove_not(NOT_SHOWN, row.row_key)
            return
        match seen := await self.destination.interaction(row.interaction_id):
            case Shown():
                since_then = self._until - row.at + (time.monotonic() - self._began) * 1000
                recent = timedelta(milliseconds=since_then) < self.lag
                there = StillThere(row.row_key, row.interaction_id, row.how, recent)
                self.found.still_there.append(there)
                self._looked()
            case Absent():
                self._looked()
            case Unread(reason):
                self.found.prove_not(reason, row.row_key)
        silence.heard(seen)

    def _looked(self) -> None:
        self.found.taken_back_checked += 1
        self.progress(self.found.taken_back_checked, self._chosen)
