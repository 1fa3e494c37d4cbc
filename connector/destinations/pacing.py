"""One pace for everything that uses one API key.

GCRA: a single due time. A token bucket as commonly used lets nearly twice the rate through in one
second (its burst and its refill); this spreads requests evenly.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

CATCH_UP = 0.01
"""Seconds of lost time that may be made good: enough to keep the rate although timers are late, and
at most 1 % more than the rate in any second."""
SLOWEST = 0.1
GROWTH_PER_SECOND = 1.05


UNUSED = 0.02
"""How much of a second's slots may be handed out without being used yet. More would go out at once
when a destination that was slow takes requests again."""
HORIZON = 0.2
"""Seconds in which a request should get through that has its slot already."""
SMOOTH = 32
SLICE = 0.5
FORGOTTEN = 1.0


def none() -> float:
    """No slot in advance."""
    return 0.0


def never() -> bool:
    """Nobody asks to stop."""
    return False


class Pacer:
    """Hands out slots at `rate` per second; halves on request and grows back by 5 % a second.

    Whoever takes a slot says when it is `used`, whether a request went out or not.
    """

    def __init__(self, rate: float) -> None:
        self._full = self.rate = rate
        self._due = 0.0
        self._changed = time.monotonic()
        self._unused = 0
        self._use = asyncio.Event()
        self._turn = asyncio.Lock()

    def limit(self, rate: float) -> None:
        """Another rate from now on."""
        if rate != self._full:
            self._full = self.rate = rate

    async def slot(
        self, ahead: Callable[[], float] = none, stopping: Callable[[], bool] = never
    ) -> None:
        """Wait for the next slot, or until `stopping`. `ahead`: how many slots more than one may
        be handed out by then that are not used yet."""
        async with self._turn:  # one waits for the clock, the others for their turn
            while self._unused > min(ahead(), self.rate * UNUSED):
                await self._wait_for_use()
            # again and again, for a pause may have come
            while (wait := self._due - time.monotonic()) > 0 and not stopping():
                await asyncio.sleep(min(wait, SLICE))
            now = time.monotonic()
            self._recover(now)
            self._due = max(self._due, now - CATCH_UP) + 1 / self.rate
            self._unused += 1

    def used(self) -> None:
        """A slot has been used, or is given back."""
        self._unused = max(0, self._unused - 1)
        self._use.set()

    async def _wait_for_use(self) -> None:
        """One that nobody uses or gives back, for its task was ended by force, is forgotten."""
        self._use.clear()
        try:
            await asyncio.wait_for(self._use.wait(), FORGOTTEN)
        except TimeoutError:
            self._unused = 0

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


class Wire:
    """At most `width` requests under way at a time, in the order in which they come."""

    def __init__(self, width: int) -> None:
        self._free = width
        self._waiting: deque[tuple[asyncio.Future[None], object]] = deque()
        self._interval = self._last = HORIZON

    async def enter(self, group: object = None) -> None:
        """Wait for a place; `leave` gives it back. `group`: with whom to be let through."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(group)
        now = time.monotonic()
        self._interval += (min(now - self._last, 1.0) - self._interval) / SMOOTH
        self._last = now

    async def _wait(self, group: object) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, group))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Whoever waits longest has the place."""
        while self._waiting and self._free >= 0:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def let_through(self, group: object) -> None:
        """Let those of a group through that wait now, to a last look that refuses them."""
        mine = [turn for turn, whose in self._waiting if whose is group]
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not group)
        for turn in mine:
            if not turn.done():
                self._free -= 1  # until they leave
                turn.set_result(None)

    def soon(self) -> float:
        """How many requests get through within the HORIZON, as things go."""
        return HORIZON / self._interval
