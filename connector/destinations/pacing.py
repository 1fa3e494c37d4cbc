"""One pace for everything that uses one API key, divided among the activations that share it.

GCRA: a single due time. A token bucket as commonly used lets nearly twice the rate through in one
second (its burst and its refill); this spreads requests evenly.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Protocol

from connector.rules.errors import ConnectorError
from connector.rules.lanes import Lane, Rota
from connector.rules.sent_lately import SentLately
from connector.rules.shares import Share, grown, halved

CATCH_UP = 0.0045
"""Seconds of lost time that may be made good: enough to keep the rate although timers are late."""
TOGETHER = 0.0052
"""Seconds within which slots are handed out at once to those who wait: where the pace is fast, a
process that wakes for each of them works most of the time for its waking."""
APART = 1.01
"""How much further apart requests are than the rate has it: else the first and the last within just
a second would be one more than the rate. It leaves 0.01 seconds in each, and both of the above
together are less."""
FEW, FEW_APART = 50, 1.025
"""Of fewer than so many a second, one more would be over 2 % of the rate. They are further apart:
that one is 0.02 seconds longer on its way than the next changes nothing."""
HORIZON = 0.2
"""Seconds in which a request should get its turn that is on record already. With more of them there
would be more doubts when the process is killed, and more to take back in a pause."""
SMOOTH = 32
TICK, SLICE = 0.001, 0.5
NOTHING_LENT = 0.25
"""Seconds until somebody who needs a share looks again, if nobody tells them before."""

NO_LANE = Lane()
IN_LANE: ContextVar[Lane] = ContextVar("IN_LANE", default=NO_LANE)
"""In which lane the task waits, and whatever it begins."""


@contextmanager
def in_lane(lane: Lane) -> Iterator[None]:
    """All that is asked of destinations in this context waits in `lane`."""
    before = IN_LANE.set(lane)
    try:
        yield
    finally:
        IN_LANE.reset(before)


def never() -> bool:
    """Nobody asks to stop."""
    return False


class Line:
    """Those who wait, in the order in which they came; some of them before all others."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[None], Callable[[], object]]] = deque()
        self._ahead = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, stopping: Callable[[], object], ahead: bool = False) -> "asyncio.Future[None]":
        """A place at the end, or `ahead` of the others; it is done when its turn has come."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.insert(self._ahead if ahead else len(self._waiting), (turn, stopping))
        self._ahead += ahead
        return turn

    def let_one_through(self) -> bool:
        """Whoever waits longest; False when nobody waits."""
        while self._waiting:
            turn, _ = self._waiting.popleft()
            self._ahead = max(self._ahead - 1, 0)
            if not turn.done():
                turn.set_result(None)
                return True
        return False

    def give_up(self, error: Exception) -> None:
        """Nobody's turn will come, by reason of the `error`."""
        for turn, _ in self._waiting:
            if not turn.done():
                turn.set_exception(error)
        self._waiting, self._ahead = deque(), 0

    def let_stopping_through(self) -> int:
        """Everyone who is to stop; gives their number."""
        before, ahead = self._waiting, self._ahead
        self._waiting, self._ahead, let = deque(), 0, 0
        for number, (turn, stopping) in enumerate(before):
            if turn.done():
                continue
            if not stopping():
                self._waiting.append((turn, stopping))
                self._ahead += number < ahead
            else:
                turn.set_result(None)
                let += 1
        return let


async def its(turn: "asyncio.Future[None]", give_back: Callable[[], None]) -> None:
    """Until the `turn` has come. `give_back`: called when the task is cancelled just after that."""
    try:
        await turn
    except asyncio.CancelledError:
        if turn.done() and not turn.cancelled():
            give_back()
        raise


class Places:
    """Room for so many requests at a time, on the way to one destination. Below 0 while more are
    there, since whoever is to stop comes through."""

    def __init__(self, free: float = math.inf) -> None:
        self.free = free


class Queue:
    """What one activation has on the way to one destination, or wants to have."""

    def __init__(self, lane: Lane, places: Places, interval: float) -> None:
        self.lane, self.places = lane, places
        self.line, self.threshold = Line(), Line()
        self.near = 0
        self.interval, self._last = interval, time.monotonic()
        """Seconds from one request to the next, lately."""

    def measure(self) -> None:
        """Another request has got through."""
        now = time.monotonic()
        self.interval += (min(now - self._last, 1.0) - self.interval) / SMOOTH
        self._last = now


class Loan(Protocol):
    """What this process was lent of a key's rate, where several use it."""

    full: float
    """What the configuration allows for the key."""
    share: Share | None
    is_whole: bool
    """There is nobody to divide by: all of it is this process's."""
    trouble: ConnectorError | None
    """Why nothing has been lent for so long that nobody should wait for it any more."""
    changed: Callable[[], None]
    """Called in some thread when something else is lent."""
    busy_until: float | None
    """The destination was busy, and nobody has been told yet."""
    unused: int
    """Slots that are taken, and whose requests are not written yet."""

    def holds(self) -> bool:
        """Whether anything may be sent now: asked before each byte."""
        ...

    def want(self) -> bool:
        """The same of somebody who would send now. What is not lent is asked for."""
        ...

    def sent(self) -> None:
        """Another slot was taken."""

    def busy(self, pause: float) -> None:
        """The destination wants nothing for so many seconds: others are told, too."""

    def give_up(self) -> None:
        """Nobody sends any more. Waits until that is known, for a moment."""


class Pacer:
    """Hands out slots at `rate` per second; halves on request and grows back by 5 % a second. Where
    other processes use the same key, `rate` is what this one was lent of it; while it has nothing,
    no slot is there."""

    def __init__(self, rate: float, loan: Loan | None = None) -> None:
        self._full, self.rate, self.sent_lately = rate, rate, SentLately()
        self.loan, self._share = loan, None if loan is None else loan.share
        self._loop: asyncio.AbstractEventLoop | None = None
        self._believed = 0.0
        """Until when it is not asked again whether what was lent may be used."""
        self._wires = set[Wire]()
        """The ways that are open."""
        if loan is not None:
            loan.changed = self._tell
        self._due = 0.0
        self._changed = self._asked = time.monotonic()
        self._waiting: list[Queue] = []
        """Whose lines are not empty."""
        self._rota = Rota[Queue]()
        self._alone = Queue(Lane(), Places(), 1 / rate)
        """Those who take slots, and no way."""
        self._alarm = Alarm(self.hand_out)

    def limit(self, rate: float) -> None:
        """Another rate from now on."""
        if self.loan is not None:
            self.loan.full = rate
            if not self.loan.is_whole:  # as the next answer says; never more than now until then
                rate = min(rate, self._full)
        if rate != self._full:
            self._full = self.rate = rate

    async def slot(
        self,
        stopping: Callable[[], object] = never,
        queue: Queue | None = None,
        first: bool = False,
    ) -> None:
        """Wait for the next slot, and for a place where those of the `queue` need one; or until
        `stopping`, without a slot. Between queues it goes by their lanes; `first`: of its queue."""
        queue = queue or self._alone
        places = queue.places
        if stopping():
            places.free -= 1
            return
        if not self._waiting and places.free > 0 and self.wait() <= 0:
            places.free -= 1
            self._take(time.monotonic())
            return
        if not queue.line:
            self._waiting.append(queue)
        turn = queue.line.join(stopping, first)
        self._alarm.set(self._rest(self.wait()) if places.free > 0 else SLICE)

        def give_back() -> None:
            places.free += 1
            self.hand_out()

        await its(turn, give_back)

    def wait(self) -> float:
        """Seconds until the next slot that nobody has taken; not above 0 when it is there. Whoever
        asks wants one: it is borrowed if need be."""
        if self.loan is not None and not self._may_send():
            return max(NOTHING_LENT, self._due - time.monotonic())
        return self._due - time.monotonic()

    def hand_out(self) -> None:
        """Let those through who may go now, and look again when the next one may."""
        if not self._waiting:
            return
        now = time.monotonic()
        if now - self._asked > SLICE / 5:
            self.call_off()
        if self.loan is not None and not self._may_send():
            self._alarm.set(SLICE)
            return
        ready = self._ready()
        while ready and self._due <= now:
            queue = self._rota.next(ready, self.rate)
            if queue.line.let_one_through():
                queue.places.free -= 1
                self._take(now)
            if not queue.line:
                self._waiting.remove(queue)
            if not queue.line or queue.places.free <= 0:
                ready = self._ready()
        if self._waiting:
            self._alarm.set(self._rest(self._due - now) if ready else SLICE)

    def _rest(self, wait: float) -> float:
        """Seconds until it is worth while to hand out. `wait`: until the next slot."""
        waiting = sum(len(queue.line) for queue in self._waiting)
        return wait + min(waiting - 1, self._besides) * self._apart

    def _ready(self) -> list[Queue]:
        """Who waits for nothing but a slot."""
        return [queue for queue in self._waiting if queue.places.free > 0]

    def call_off(self) -> None:
        """Whoever is to stop does not wait any more."""
        self._asked = time.monotonic()
        for queue in self._waiting:
            queue.places.free -= queue.line.let_stopping_through()  # until they leave
        self._waiting = [queue for queue in self._waiting if queue.line]

    def slow_down(self, pause: float) -> None:
        """The destination is busy: half the rate, and nothing for `pause` seconds."""
        now = time.monotonic()
        if (
            now - self._changed > 1 or self.rate == self._full
        ):  # one halving for one wave of answers
            self.rate = halved(self.rate, self._full)
            self._changed = now
        self.pause(pause)
        if self.loan is not None:
            self.loan.busy(pause)

    def pause(self, seconds: float) -> None:
        """Nothing for `seconds` from now."""
        self._due = max(self._due, time.monotonic() + seconds)

    def _take(self, now: float) -> None:
        self._recover(now)
        if self.loan is not None:
            self.loan.sent()
        catch_up = CATCH_UP + self._besides * self._apart
        self._due = max(self._due, now - catch_up) + self._apart

    @property
    def _apart(self) -> float:
        """Seconds between two slots."""
        return (FEW_APART if self.rate < FEW else APART) / self.rate

    @property
    def _besides(self) -> int:
        """Slots that are handed out besides another one."""
        return int(TOGETHER / self._apart)

    def _recover(self, now: float) -> None:
        if self.rate < self._full and now - self._changed >= 1:
            self.rate = grown(self.rate, now - self._changed, self._full)
            self._changed = now

    # --- what is lent ---------------------------------------------------------------------------

    def open(self, wire: "Wire") -> None:
        """`wire` goes by this pace."""
        self._wires.add(wire)

    async def close(self, wire: "Wire") -> None:
        """Nothing goes over `wire` any more. After the last one, what was lent is given up."""
        self._wires.discard(wire)
        if self.loan is not None and not self._wires and self.loan.share is not None:
            await asyncio.to_thread(self.loan.give_up)

    def _may_send(self) -> bool:
        """Whether anything is lent now; it goes by what was lent last. Raises to those who wait
        where there is nobody to lend."""
        loan = self.loan
        assert loan is not None
        if loan.share is self._share and time.monotonic() < self._believed:
            return True  # before each byte it is asked anyway
        self._loop = asyncio.get_running_loop()
        may = loan.want()
        self._believed = time.monotonic() + TICK if may else 0.0
        if loan.is_whole and self._full != loan.full:
            self._full = self.rate = loan.full
        if (share := loan.share) is not self._share:
            self._take_over(loan, share)
        if not may and loan.trouble is not None:
            for queue in self._waiting:
                queue.line.give_up(loan.trouble)
            self._waiting.clear()
        return may

    def _take_over(self, loan: Loan, share: Share | None) -> None:
        before, self._share = self._share, share
        if share is None or not share.rate:
            return
        apart, self._full = self._apart, share.rate
        # it may not have heard yet that the destination was busy just now
        self.rate = share.rate if loan.busy_until is None else min(self.rate, share.rate)
        had = 0.0 if before is None else before.rate
        if share.rate < had:  # the next one is as far from the last
            self._due += max(0.0, self._apart - apart)
        elif share.rate > had and (before is not None or share.rate < loan.full):
            # others have sent what was theirs until now
            self._due = max(self._due, time.monotonic() + self._apart)
        self._due = max(self._due, share.not_before)

    def _tell(self) -> None:
        """In another thread: there is another share."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(self._go_on)

    def _go_on(self) -> None:
        self.hand_out()
        for wire in list(self._wires):
            wire.call_all()


class Wire:
    """The way to a destination: `width` requests under way at most, each in a slot of its own. A
    request that is to be put on record before comes near first, so that few are on record which
    are not under way: few of each lane, by its own pace."""

    def __init__(self, width: int, pacer: Pacer) -> None:
        self.pacer = pacer
        self._places = Places(width)
        self._queues: dict[str, Queue] = {}
        self._alarm = Alarm(self.call_all)
        pacer.open(self)

    @property
    def _queue(self) -> Queue:
        """Where whoever calls has to wait."""
        lane = IN_LANE.get()
        queue = self._queues.get(lane.name)
        if queue is None:
            queue = self._queues[lane.name] = Queue(lane, self._places, 1 / self.pacer.rate)
        return queue

    async def come_near(self, stopping: Callable[[], object] = never) -> None:
        """Wait for leave to put a request on record, or until `stopping`. It enters then, or goes
        away."""
        queue = self._queue
        if not queue.threshold and self._may_come(queue):
            queue.near += 1
            return
        self._call_after_a_pause()
        await its(queue.threshold.join(stopping), give_back=partial(self._away, queue))

    def go_away(self) -> None:
        """A request that came near does not enter."""
        self._away(self._queue)

    async def enter(self, stopping: Callable[[], object] = never, came_near: bool = False) -> None:
        """Wait for a place and a slot, or until `stopping`. `leave` gives the place back. What is
        on record comes before look-ups and the like, since it goes within seconds or not at all."""
        queue = self._queue
        try:
            await self.pacer.slot(stopping, queue, came_near)
        finally:
            queue.measure()
            if came_near:
                self._away(queue)

    def leave(self) -> None:
        """The place is free for another one."""
        self._places.free += 1
        self.pacer.hand_out()

    def call_off(self) -> None:
        """Whoever is to stop does not wait any more."""
        for queue in self._queues.values():
            queue.near += queue.threshold.let_stopping_through()
        self.pacer.call_off()

    def _away(self, queue: Queue) -> None:
        queue.near -= 1
        self._call(queue)

    def _may_come(self, queue: Queue) -> bool:
        """As many as get through within the HORIZON, as things go; in a pause nobody."""
        most = HORIZON / max(queue.interval, 1 / self.pacer.rate)
        return queue.near < max(1, most) and self.pacer.wait() <= HORIZON

    def _call(self, queue: Queue) -> None:
        while self._may_come(queue) and queue.threshold.let_one_through():
            queue.near += 1
        if queue.threshold:
            self._call_after_a_pause()

    async def close(self) -> None:
        """Nothing goes over it any more."""
        await self.pacer.close(self)

    def call_all(self) -> None:
        """Let those come near who may."""
        for queue in self._queues.values():
            self._call(queue)

    def _call_after_a_pause(self) -> None:
        """Without one, whoever goes on calls the next of its lane."""
        if (pause := self.pacer.wait() - HORIZON) > 0:
            self._alarm.set(pause)


class Alarm:
    """Calls once after a while: between TICK and SLICE, in seconds."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where a call is to come; it never does where the loop has ended before."""
        self._at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Call in so many seconds, unless a call is to come before that."""
        loop = asyncio.get_running_loop()
        if self._loop is loop and seconds >= SLICE:
            return
        at = loop.time() + max(TICK, min(seconds, SLICE))
        if self._loop is loop:
            if self._at <= at:
                return
            assert self._handle is not None
            self._handle.cancel()
        self._loop, self._at = loop, at
        self._handle = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._loop = None
        self._call()
