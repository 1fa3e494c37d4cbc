"""A run when a send window opens: rows that waited for it do not wait for the schedule, too.

Only of activations that have a schedule: whatever is run by hand stays so.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from datetime import datetime
from typing import Any

from connector.project.app import App
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.delivery import State
from connector.rules.errors import LedgerUnavailable
from connector.rules.window import window_of

LOOK_EVERY = 1.0
"""Seconds between two looks at the clock."""

Due = Callable[[str, datetime], Coroutine[Any, Any, None]]


class Openings:
    """Looks when windows open. `due`: begins a run, unless one has begun since."""

    def __init__(self, app: Callable[[], App], busy: Callable[[], Collection[str]], due: Due):
        self._app, self._busy, self._due = app, busy, due
        self._seen: dict[str, datetime] = {}
        """For which opening it was looked already."""

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
            if since is None or self._seen.get(name) == since:
                continue
            self._seen[name] = since
            if await asyncio.to_thread(self._have_waited, activation):
                await self._due(name, since)

    def _have_waited(self, activation: Activation) -> bool:
        """Whether rows are to be sent, and no person is to let them go before."""
        try:
            with self._app().reports() as reports:
                if reports.held(activation.name):
                    return False
                counts = reports.counts(activation.name)
                return bool(counts[State.PENDING] or reports.for_window(activation.name))
        except LedgerUnavailable:
            return False  # the next scheduled run is stopped by it, which is told and counted
