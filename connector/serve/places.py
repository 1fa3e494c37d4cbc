"""Places for runs: so many go on at once and no more, the API keys take turns, and a run that has
sent for its time gives its place to others that wait.

A run that waits for its place has nothing open: no thread, no connection, no lease.
"""

import asyncio
import heapq
import math
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import field
from datetime import timedelta
from itertools import count

from connector.basis import dataclass
from connector.project.app import App
from connector.rules.errors import ConnectorError

SPAN = timedelta(minutes=2)
"""What a key has used within it counts when the next place is handed out."""
OF_A_PLACE = 0.1
LOOK_EVERY = 0.25
"""Seconds between two looks at who has had their time."""
ASK_EVERY = 1.0
"""Seconds between two questions to the ledger, at least; and ten times as long as one takes."""


def used(rows: int, rate: float, seconds: float) -> float:
    """What a run has used of its key's rate, in seconds of the whole of it; and a little of what it
    had its place for, so that a key which reads for long and sends little has its turns, too."""
    return min(rows / rate, seconds) + seconds * OF_A_PLACE


@dataclass(eq=False, slots=True)
class Place:
    """What a run has as long as it goes on, or until it gives way to others. `rate`: of
    its key, in requests a second; `since` and `sends_since`: seconds of the monotonic clock."""

    key: str
    priority: int
    rate: float
    since: float
    rows: int = 0
    """That have come to an end."""
    gives_way: Callable[[], None] | None = None
    """Ends the run in order; None: it keeps its place until it has ended."""
    sends_since: float | None = None
    """None: it reads still. A run that is ended before it sends has achieved nothing."""
    asked: bool = False
    """It was told to give way."""

    def used(self, now: float) -> float:
        """What it has used so far."""
        return used(self.rows, self.rate, now - self.since)

    def has_had(self, slice: float, now: float) -> bool:
        """Whether it has sent for its time: at least as long as it took to come to that."""
        if self.sends_since is None:
            return False
        return now - self.sends_since >= max(slice, self.sends_since - self.since)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What other processes do for a key: runs that go on, and what others have used within SPAN."""

    going_on: int = 0
    used: float = 0.0


Turn = asyncio.Future[Place | None]


@dataclass(slots=True)
class Line:
    """Those that wait of one key: the highest priority first, then as they came."""

    turns: list[tuple[int, int, float, Turn]] = field(default_factory=list)

    @property
    def priority(self) -> int:
        return -self.turns[0][0]


class Places:
    """Hands out places. Belongs to the running event loop.

    The next one is for the key that has the fewest runs going on, in whatever process; among those
    for the one that has used the least of its rate lately; then for the one that had its turn the
    longest ago. So no key, however many activations it has and however long its runs take, keeps
    the others waiting. Of one key the highest priority comes first.
    """

    def __init__(self, most: Callable[[], int], slice: Callable[[], timedelta] = timedelta) -> None:
        """`most`: how many places there are now; `slice`: how long a run sends before it gives its
        place to others that wait, 0 for until its end."""
        self._most, self._slice = most, slice
        self._held: set[Place] = set()
        self._waiting: dict[str, Line] = {}
        self._had_turn: dict[str, int] = {}
        self._ended = deque[tuple[float, str, int]]()
        """When runs on which key have ended here, and what they had used, in microseconds."""
        self._used = Counter[str]()
        """The sum of those, by key."""
        self._elsewhere: Mapping[str, Elsewhere] = {}
        self._chance = defaultdict[str, float](random.random)
        """Processes that begin together begin with other keys each."""
        self._numbers = count(1)
        self._closed = False

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for a place."""
        return bool(self._waiting)

    @asynccontextmanager
    async def one(
        self, key: str, priority: int = 0, rate: float = 1.0
    ) -> AsyncIterator[Place | None]:
        """A place for a run on `key`, as long as the context lasts; None: there will be none."""
        place = await self._turn(key, priority, rate)
        if place is None:
            yield None
            return
        try:
            yield place
        finally:
            self._give_back(place)

    async def _turn(self, key: str, priority: int, rate: float) -> Place | None:
        if self._closed:
            return None
        loop = asyncio.get_running_loop()
        turn: Turn = loop.create_future()
        line = self._waiting.setdefault(key, Line())
        heapq.heappush(line.turns, (-priority, next(self._numbers), rate, turn))
        loop.call_soon(self.look)  # when those have come, too, that are due at the same moment
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and (place := turn.result()):
                self._give_back(place)
            raise

    def elsewhere(self, known: Mapping[str, Elsewhere]) -> None:
        """What other processes do for the keys now."""
        self._elsewhere = known

    def look(self) -> None:
        """Hand out what is free; to be called when there may be more places than before."""
        while self._waiting and len(self._held) < self._most():
            now = time.monotonic()
            key = self._next(now)
            line = self._waiting[key]
            priority, _, rate, turn = heapq.heappop(line.turns)
            if not line.turns:
                del self._waiting[key]
            if not turn.done():
                place = Place(key, -priority, rate, now)
                self._held.add(place)
                self._had_turn[key] = next(self._numbers)
                turn.set_result(place)

    def make_way(self) -> None:
        """Tell runs that have had their time to give way, as many as others wait; to be called
        again and again."""
        slice, now = self._slice().total_seconds(), time.monotonic()
        asked = sum(place.asked for place in self._held)
        left = sum(len(line.turns) for line in self._waiting.values()) - asked
        if not slice or len(self._held) < self._most():
            return
        for place in sorted(self._held, key=lambda held: held.sends_since or now):
            if left <= 0:
                return
            ended = (
                not place.asked and place.has_had(slice, now) and self._is_for_others(place, now)
            )
            if ended and place.gives_way:
                place.asked, left = True, left - 1
                place.gives_way()

    def _is_for_others(self, place: Place, now: float) -> bool:
        """Whether the place would be another one's when it was given back, and asked for again."""
        key = self._next(now)
        if key == place.key:
            return self._waiting[key].priority >= place.priority
        going_on, has_used, _, _ = self._standing(place.key, now)
        return self._standing(key, now)[:2] < (going_on - 1, has_used)

    def _next(self, now: float) -> str:
        while self._ended and self._ended[0][0] < now - SPAN.total_seconds():
            _, key, took = self._ended.popleft()
            self._used[key] -= took
        return min(self._waiting, key=lambda key: self._standing(key, now))

    def _standing(self, key: str, now: float) -> tuple[int, float, int, float]:
        """By which keys stand in line: who has least is next."""
        mine = [place for place in self._held if place.key == key]
        others = self._elsewhere.get(key, Elsewhere())
        going_on = len(mine) + others.going_on
        has_used = sum(place.used(now) for place in mine) + others.used + self._used[key] / 1e6
        return going_on, has_used, self._had_turn.get(key, 0), self._chance[key]

    def close(self) -> None:
        """Hand out none any more; whoever waits is told so."""
        self._closed = True
        for line in self._waiting.values():
            for *_, turn in line.turns:
                if not turn.done():
                    turn.set_result(None)
        self._waiting.clear()

    def _give_back(self, place: Place) -> None:
        now = time.monotonic()
        took = round(place.used(now) * 1e6)
        self._held.discard(place)
        self._ended.append((now, place.key, took))
        self._used[place.key] += took
        self.look()


class Sharing:
    """What other processes on the same ledger do for each key is looked up while somebody waits
    here, and runs are told to give way. Belongs to the running event loop. `asking`: so many ask
    the ledger at a time."""

    def __init__(self, app: Callable[[], App], places: Places, asking: asyncio.Semaphore) -> None:
        self._app, self._places, self._asking = app, places, asking
        self._mine: dict[str, float] = {}
        """The ids of runs that have begun here, and when they ended."""

    async def keep_looking(self) -> None:
        """Until cancelled."""
        asked = 0.0
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._places.is_waited_for:
                continue
            self._places.make_way()
            if time.monotonic() >= asked:
                began = time.monotonic()
                async with self._asking:
                    self._places.elsewhere(await asyncio.to_thread(self._elsewhere))
                asked = time.monotonic() + max(ASK_EVERY, 10 * (time.monotonic() - began))

    def begun(self, run_id: str) -> None:
        """A run of this process."""
        self._mine[run_id] = math.inf

    def ended(self, run_id: str) -> None:
        """It goes on no more; runs that have ended long ago are not looked up any more."""
        self._mine[run_id] = now = time.monotonic()
        for old in [name for name, at in self._mine.items() if at < now - 2 * SPAN.total_seconds()]:
            del self._mine[old]

    def _elsewhere(self) -> dict[str, Elsewhere]:
        """What others do for each key. Where nobody knows, each process goes by what it does."""
        app = self._app()
        project = app.settings.project
        there = {
            name: project.destinations[project.destination_of(activation)]
            for name, activation in project.activations.items()
        }
        going_on, has_used = Counter[str](), defaultdict[str, float](float)
        try:
            with app.reports() as reports:
                found = reports.lately(there, SPAN)
        except ConnectorError:
            return {}
        for each in found:
            if each.run_id not in self._mine and (key := there.get(each.activation)):
                going_on[key.pace] += each.goes_on
                has_used[key.pace] += used(each.rows, key.requests_per_second, each.seconds)
        return {key: Elsewhere(going_on[key], has_used[key]) for key in has_used}
