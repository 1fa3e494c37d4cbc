"""One pace for everything that uses one API key.

GCRA: a single due time. A token bucket as commonly used lets nearly twice the rate through in one
second (its burst and its refill); this spreads requests evenly.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

CATCH_UP = 0.005
"""Seconds of lost time that may be made good: enough to keep the rate although timers are late, and
at most half a percent more than the rate in any second."""
SLOWEST = 0.1
GROWTH_PER_SECOND = 1.05
HORIZON = 0.2
"""Seconds in which a request should get its turn that is on record already. With more of them there
would be more doubts when the process is killed, and more to take back in a pause."""
SMOOTH = 32
TICK, SLICE = 0.001, 0.5


def never() -> bool:
    """Nobody asks to stop."""
    return False


class Line:
    """Those who wait, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[None], Callable[[], bool]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self, stopping: Callable[[], bool], give_back: Callable[[], None]) -> None:
        """Until let through. `give_back`: called when the task is cancelled just after that."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, stopping))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                give_back()
            raise

    def let_one_through(self) -> bool:
        """Whoever waits longest; False when nobody waits."""
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return True
        return False

    def let_stopping_through(self) -> int:
        """Everyone who is to stop; gives their number."""
        before, self._waiting = self._waiting, deque()
        let = 0
        for turn, stopping in before:
            if not stopping():
                self._waiting.append((turn, stopping))
            elif not turn.done():
                turn.set_result(None)
                let += 1
        return let


class Pacer:
    """Hands out slots at `rate` per second; halves on request and grows back by 5 % a second."""

    def __init__(self, rate: float) -> None:
        self._full = self.rate = rate
        self._due = 0.0
        self._changed = time.monotonic()
        self._line = Line()
        self._alarm = Alarm(self._hand_out)

    def limit(self, rate: float) -> None:
        """Another rate from now on."""
        if rate != self._full:
            self._full = self.rate = rate

    async def slot(self, stopping: Callable[[], bool] = never) -> None:
        """Wait for the next slot; or until `stopping`, without one."""
        if stopping():
            return
        if not self._line and self.wait() <= 0:
            self._take()
            return
        self._alarm.set(self.wait())
        await self._line.wait(stopping, give_back=lambda: None)

    def wait(self) -> float:
        """Seconds until the next slot that nobody has taken; not above 0 when it is there."""
        return self._due - time.monotonic()

    def call_off(self) -> None:
        """Whoever is to stop does not wait any more."""
        self._line.let_stopping_through()

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

    def _hand_out(self) -> None:
        self.call_off()
        while self.wait() <= 0 and self._line.let_one_through():
            self._take()
        if self._line:
            self._alarm.set(self.wait())

    def _take(self) -> None:
        now = time.monotonic()
        self._recover(now)
        self._due = max(self._due, now - CATCH_UP) + 1 / self.rate

    def _recover(self, now: float) -> None:
        if self.rate < self._full and now - self._changed >= 1:
            self.rate = min(self._full, self.rate * GROWTH_PER_SECOND ** (now - self._changed))
            self._changed = now


class Wire:
    """The way to a destination: `width` requests under way at most, each in a slot of its own.

    A request that is to be put on record before comes near first, so that few are on record which
    are not under way.
    """

    def __init__(self, width: int, pacer: Pacer) -> None:
        self.pacer = pacer
        self._free, self._near = width, 0
        self._places, self._threshold = Line(), Line()
        self._interval, self._last = 1 / pacer.rate, time.monotonic()
        self._alarm = Alarm(self._call)

    async def come_near(self, stopping: Callable[[], bool] = never) -> None:
        """Wait for leave to put a request on record, or until `stopping`. It enters then, or goes
        away."""
        if not self._threshold and self._may_come():
            self._near += 1
            return
        self._call_after_a_pause()
        await self._threshold.wait(stopping, give_back=self.go_away)

    def go_away(self) -> None:
        """A request that came near does not enter."""
        self._near -= 1
        self._call()

    async def enter(self, stopping: Callable[[], bool] = never, came_near: bool = False) -> None:
        """Wait for a place and then a slot, or until `stopping`. `leave` gives the place back."""
        try:
            if self._free > 0 or stopping():
                self._free -= 1
            else:
                await self._places.wait(stopping, give_back=self.leave)
            try:
                await self.pacer.slot(stopping)
            except BaseException:
                self.leave()
                raise
        finally:
            self._measure()
            if came_near:
                self.go_away()

    def leave(self) -> None:
        """Whoever waits longest has the place."""
        if self._free < 0 or not self._places.let_one_through():
            self._free += 1

    def call_off(self) -> None:
        """Whoever is to stop does not wait any more."""
        self._near += self._threshold.let_stopping_through()
        self._free -= self._places.let_stopping_through()  # until they leave
        self.pacer.call_off()

    def _may_come(self) -> bool:
        """As many as get through within the HORIZON, as things go; in a pause nobody."""
        most = HORIZON / max(self._interval, 1 / self.pacer.rate)
        return self._near < max(1, most) and self.pacer.wait() <= HORIZON

    def _call(self) -> None:
        while self._may_come() and self._threshold.let_one_through():
            self._near += 1
        if self._threshold:
            self._call_after_a_pause()

    def _call_after_a_pause(self) -> None:
        """Without one, whoever goes on calls the next."""
        if (pause := self.pacer.wait() - HORIZON) > 0:
            self._alarm.set(pause)

    def _measure(self) -> None:
        now = time.monotonic()
        self._interval += (min(now - self._last, 1.0) - self._interval) / SMOOTH
        self._last = now


class Alarm:
    """Calls once after a while: between TICK and SLICE, in seconds."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where a call is to come; it never does where the loop has ended before."""

    def set(self, seconds: float) -> None:
        """Call in so many seconds, unless a call is to come already."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(max(TICK, min(seconds, SLICE)), self._ring)

    def _ring(self) -> None:
        self._loop = None
        self._call()
