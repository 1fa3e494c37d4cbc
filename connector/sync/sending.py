"""One request on its way: when it goes, what came of it, and what that says of the destination."""

import random
from datetime import timedelta

from connector.destinations.port import Answer, AnyDestination, Parcel
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.clocks import Deadline
from connector.rules.delivery import (
    Missing,
    NotApplied,
    Outcome,
    Refused,
    Withheld,
    pause_after,
)
from connector.rules.errors import DestinationUnusable
from connector.sync.health import Health
from connector.sync.side_by_side import Stop


class Sending:
    """The requests of one run, and how the destination is."""

    def __init__(
        self, activation: Activation, there: AnyDestination, stop: Stop, health: Health
    ) -> None:
        self._activation, self._there, self._stop = activation, there, stop
        self._health = health

    async def send(self, parcel: Parcel, deadline: Deadline) -> Answer:
        """Send it, unless that is too late by now; what came of it."""

        def last_look() -> str | None:
            return deadline.passed() or ("the run was to stop" if self._stop.asked else None)

        try:
            return await self._there.send(self._activation, parcel, last_look)
        except DestinationUnusable as unusable:
            self._stop.now(unusable)  # no row would get through: this one goes back, none is burnt
            return Answer(NotApplied(str(unusable), unusable.http_status))

    async def call_off_on_stop(self) -> None:
        """What is on record and waits for its turn is known not to be sent: say so at once."""
        await self._stop.event.wait()
        self._there.wire.call_off()

    def rest_after(self, outcome: Outcome, in_a_row: int) -> timedelta:
        """How long a row rests after so many attempts; who is busy is asked less often from now."""
        rest = timedelta(0)
        if isinstance(outcome, NotApplied):
            if not (isinstance(outcome, Withheld) and self._stop.asked):
                rest = pause_after(outcome, in_a_row, random.random())
            if outcome.busy:
                asked = outcome.retry_after or timedelta(0)
                self._there.wire.pacer.slow_down(asked.total_seconds())
        return rest

    def judge(self, outcome: Outcome) -> None:
        """What it says of the destination; at once, for others are sent while it is recorded."""
        try:
            pause = self._health.saw(outcome, clocks.now().monotonic)
            if pause:
                self._there.wire.pacer.pause(pause)
        except DestinationUnusable as unusable:
            self._stop.now(unusable)

    def looked_up(self, found: Missing | Refused | NotApplied) -> None:
        """The same of a look-up; what we refuse ourselves says nothing."""
        if isinstance(found, NotApplied):
            self._health.no_look_up += 1
            self.judge(found)
        elif isinstance(found, Missing) or found.http_status:
            self._health.answered()
