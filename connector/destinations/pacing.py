"""One pace for everything that uses one API key.

GCRA: a single due time. A token bucket as commonly used lets nearly twice the rate through in one
second (its burst and its refill); this spreads requests evenly.
"""

import asyncio
import time

CATCH_UP = 0.01
"""Seconds of lost time that may be made good: enough to keep the rate although timers are late, and
at most 1 % more than the rate in any second."""
SLOWEST = 0.1
GROWTH_PER_SECOND = 1.05


class Pacer:
    """Hands out slots at `rate` per second; halves on request and grows back by 5 % a second."""

    def __init__(self, rate: float) -> None:
        self._full = self.rate = rate
        self._due = 0.0
        self._changed = time.monotonic()
        self._turn = asyncio.Lock()

    def limit(self, rate: float) -> None:
        """Another rate from now on."""
        if rate != self._full:
            self._full = self.rate = rate

    async def slot(self) -> None:
        """Wait for the next slot."""
        async with self._turn:  # one waits for the clock, the others for their turn
            while (wait := self._due - time.monotonic()) > 0:  # again, for a pause may have come
                await asyncio.sleep(wait)
            now = time.monotonic()
            self._recover(now)
            self._due = max(self._due, now - CATCH_UP) + 1 / self.rate

    def slow_down(self, pause: float) -> None:
        """The destination is busy: half the rate, and nothing for `pause` seconds."""
        now = time.monotonic()
        if (
            now - self._changed > 1 or self.rate == self._full
        ):  # one halving for one wave of answers
            self.rate = max(self.rate / 2, min(SLOWEST, self._full))
            self._changed = now
        self.pause(pause)

    def pause(self, seconds: float) -> None:
        """Nothing for `seconds` from now."""
        self._due = max(self._due, time.monotonic() + seconds)

    def _recover(self, now: float) -> None:
        if self.rate < self._full and now - self._changed >= 1:
            self.rate = min(self._full, self.rate * GROWTH_PER_SECOND ** (now - self._changed))
            self._changed = now
