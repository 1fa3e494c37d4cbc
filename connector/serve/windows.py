"""A run when a send window opens, or the turn of a row comes: rows that waited for that do not wait
for the schedule, too.

Only of activations that have a schedule: whatever is run by hand stays so.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from connector.ledger.records import moment
from connector.project.app import App
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.delivery import State
from connector.rules.errors import LedgerUnavailable
from connector.rules.turns import Cap, cap_of
from connector.rules.window import window_of

LOOK_EVERY = 1.0
"""Seconds between two looks at the clock."""
TURNS_EVERY = timedelta(seconds=5)
"""How far apart two looks at the turns of an activation are, for which the ledger is asked."""
AT_MOST = 24
"""Runs for turns within the `every` of a cap: each reads the model, and turns of many contacts come
one by one. So a row goes that part of it later at the most."""
EPOCH = datetime.fromtimestamp(0, UTC)

Due = Callable[[str, datetime], Coroutine[Any, Any, None]]


class Openings:
    """Looks when windows open and turns come. `due`: begins a run, unless one has begun since."""

    def __init__(self, app: Callable[[], App], busy: Callable[[], Collection[str]], due: Due):
        self._app, self._busy, self._due = app, busy, due
        self._seen: dict[str, datetime] = {}
        """For which opening it was looked already."""
        self._turns: dict[str, datetime] = {}
        """For which turn, the latest that had come, a run was begun already."""
        self._looked: dict[str, datetime] = {}
        """When it was looked for turns."""

    async def keep_looking(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look(clocks.wall())

    async def look(self, now: datetime) -> None:
        """Begin runs of what may send since a while, and has rows that waited for that."""
        zone = self._app().settings.project.warehouse.timezone
        for name, activation in self._app().settings.project.activations.items():
            if activation.schedule is None or activation.paused or name in self._busy():
                continue
            window = window_of(activation, zone)
            since = window.opened_at(now) if window else None
            if since and self._seen.get(name) != since:
                self._seen[name] = since
                if await asyncio.to_thread(self._have_waited, activation):
                    await self._due(name, since)
            elif window is None or window.is_open(now):
                await self._look_for_turns(activation, now)

    async def _look_for_turns(self, activation: Activation, now: datetime) -> None:
        """The same where the turn of a row has come, once for each."""
        name, cap = activation.name, cap_of(activation)
        looked = self._looked.get(name)
        if cap is None or (looked and abs(now - looked) < TURNS_EVERY):
            return
        self._looked[name] = now
        since = await asyncio.to_thread(self._turn, name, cap)
        if since and self._turns.get(name) != since:
            self._turns[name] = since
            await self._due(name, since if since > EPOCH else now)

    def _turn(self, name: str, cap: Cap) -> datetime | None:
        """When the latest turn has come of rows that wait still; None where no run is to begin."""
        try:
            with self._app().reports() as reports:
                came = reports.turn_came(name, cap)
                if came is None or reports.waits_for_approval(name):
                    return None
                began, now = reports.last_began(name), moment(reports.now())
        except LedgerUnavailable:
            return None  # as below
        pause = timedelta(milliseconds=cap.every / AT_MOST)
        return None if began and began <= now < began + pause else came

    def _have_waited(self, activation: Activation) -> bool:
        """Whether rows are to be sent, and no person is to let them go before."""
        try:
            with self._app().reports() as reports:
                if reports.waits_for_approval(activation.name):
                    return False
                counts = reports.counts(activation.name)
                return bool(
                    counts[State.PENDING]
                    or reports.for_window(activation.name)
                    or (activation.mirrors and reports.to_be_replaced(activation.name))
                )
        except LedgerUnavailable:
            return False  # the next scheduled run is stopped by it, which is told and counted
