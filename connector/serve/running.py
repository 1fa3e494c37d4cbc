"""What runs now: the runs that go on, the configuration that they began under, and whether their
destination is tried with a single row first."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import field, replace
from datetime import timedelta
from typing import Protocol

from connector.basis import dataclass
from connector.basis.log import Log
from connector.ledger.history import ENDED_WELL
from connector.ledger.records import Run, Tally
from connector.project.app import App, Workshop
from connector.rules.due import ByLedger
from connector.rules.errors import (
    ConnectorError,
    DestinationUnusable,
    NothingGotThrough,
    TimeOver,
)
from connector.rules.tempo import Tempo
from connector.sync.flow import Orders
from connector.sync.progress import Progress
from connector.sync.result import Result
from connector.sync.side_by_side import Stop

log = Log(__name__)

FAILURES_IN_A_ROW = 3
"""Runs that the destination stopped, after which the next one begins with a single row."""


class Asked(Protocol):
    """What is needed of connector.serve.following.Asked."""

    runs: list[str]
    is_over: bool
    error: ConnectorError | None


class Place(Protocol):
    """What is needed of connector.serve.places.Place."""

    gives_way: Callable[[], None] | None
    sends_since: float | None
    asked: bool
    rows: int


@dataclass(slots=True)
class Live:
    """What a run that goes on is doing."""

    activation: str
    began: float
    waits: bool = True
    """It waits for a place; nothing has begun."""
    run_id: str | None = None
    error: ConnectorError | None = None
    """Why it did not come to a run."""
    tempo: Tempo | None = None
    """Of its requests, from when it has begun."""
    read: int = 0
    sent: Tally | None = None
    total: int = 0
    approved: Orders | None = None
    """A person has let its rows go meanwhile, if it ends held."""
    woken: frozenset[int] | None = None
    """It reads no model, and sends only those of these rows that wait for a contact."""
    wanted: Orders | None = None
    """A run that reads the model was asked for meanwhile; it follows."""
    is_over: bool = False
    turn: tuple[str, int, float] = ("", 0, 1.0)
    """By which it stands in line: its key, its priority, and the key's rate."""
    orders: Orders = field(default_factory=Orders)
    """With which it goes on, or will."""
    began_at: ByLedger | None = None
    """After which another run does what it has left, by the ledger's clock; None: it has begun
    nothing."""
    asked: list[Asked] = field(default_factory=list)
    """Those who wait for it, each by an id that they were given."""
    place: Place | None = None
    """The one that it has, or had last."""

    @property
    def gave_way(self) -> bool:
        """It was told to give its place to others that wait."""
        return self.place is not None and self.place.asked

    @property
    def in_flight(self) -> int:
        """Requests that were begun and have not ended."""
        return self.tempo.in_flight if self.tempo else 0

    def has(self, place: Place) -> None:
        """It has a place, and begins."""
        self.place, self.waits = place, False
        self.read, self.sent, self.total, self.began = 0, None, 0, time.monotonic()
        self.tempo = None

    def ends_by(self, stop: Stop) -> None:
        """Its next run is one that gives way by `stop`; but what was woken is little, and another
        run would not know of it."""
        if self.place and self.woken is None:
            self.place.gives_way = lambda: stop.now(TimeOver("others wait for its place"))

    def goes_on_after(self, ended: Result) -> bool:
        """Whether it gave its place to others and has something left; then it waits again."""
        if ended.run is None or not self.gave_way:
            return False
        rest = rest_of(ended, self.orders)
        if rest is None and self.wanted is None:
            return False
        log.info("serve.gave_way", activation=self.activation, left=ended.tally.pending)
        self.orders, self.waits, self.run_id = rest or self.orders, True, None
        self.began_at = ByLedger(ended.run.started_at + timedelta(milliseconds=1))
        return True

    async def id(self, within: float, in_line: float | None = None) -> str | None:
        """The run's id as soon as it has one; None when that takes so many seconds, or so many
        while it waits for its place (`in_line`), or when it did not come to a run."""
        now = time.monotonic()
        until, in_line_until = now + within, now + (within if in_line is None else in_line)
        while not self.run_id and not self.is_over and now < until:
            if self.waits and now >= in_line_until:
                break
            await asyncio.sleep(0.01)
            now = time.monotonic()
        return self.run_id

    def over(self) -> None:
        """Nothing more comes of it."""
        self.is_over = True
        for each in self.asked:
            each.is_over, each.error = True, self.error


class Watching(Progress):
    """Keeps a `Live` up to date."""

    def __init__(self, live: Live, begun: Callable[[str], None]) -> None:
        self.live, self._begun = live, begun

    def begun(self, run: Run, tempo: Tempo) -> None:
        self.live.run_id, self.live.tempo = run.run_id, tempo
        if self.live.woken is None:
            for each in self.live.asked:
                each.runs.append(run.run_id)
        self._begun(run.run_id)

    def reading(self, activation: str, rows: int) -> None:
        self.live.read = rows

    def sending(self, activation: str, tally: Tally, total: int) -> None:
        self.live.sent, self.live.total = tally, total
        self._sends(tally.delivered + tally.rejected)

    def counting(self, activation: str, verb: str, done: int, total: int) -> None:
        self._sends(done)

    def approved(self, activation: str) -> None:
        if self.live.place:
            self.live.place.gives_way = None

    def _sends(self, rows: int) -> None:
        if place := self.live.place:
            place.rows = max(rows, place.rows)
            place.sends_since = place.sends_since or time.monotonic()


def rest_of(ended: Result, orders: Orders) -> Orders | None:
    """The orders for what a run with `orders` has left that gave its place to others; None: there
    is nothing left, or it has not ended by that."""
    if ended.run is None or ended.error or ended.tally.done or ended.status not in ENDED_WELL:
        return None
    limit, tally = orders.limit, ended.tally
    if limit is not None:
        limit -= tally.delivered + tally.submitted + tally.removed + tally.replaced
        if limit <= 0:
            return None
    return replace(orders, limit=limit, approve=False, full=False, run_id=None)


@dataclass(slots=True)
class Breaker:
    """Counts runs of one destination that it stopped; open, the next one tries a single row."""

    failures: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the next run begins with a single row."""
        return self.failures >= FAILURES_IN_A_ROW

    def saw(self, ended: Result) -> None:
        """Count how a run ended. A single row that only became a doubt has proven nothing."""
        # where nothing got through, it may lie with those rows alone
        tally, rests = ended.tally, isinstance(ended.error, NothingGotThrough)
        if isinstance(ended.error, DestinationUnusable) and not rests:
            self.failures += 1
        elif not (self.is_open and tally.in_doubt and not tally.delivered):
            self.failures = 0


@dataclass(slots=True)
class Era:
    """A configuration, what its runs share, and the runs that still go on under it."""

    app: App
    workshop: Workshop
    stack: AsyncExitStack
    runs: set[str] = field(default_factory=set)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self, name: str) -> AsyncIterator[None]:
        """Keeps what is shared open while `name` runs."""
        self.runs.add(name)
        self.quiet.clear()
        try:
            yield
        finally:
            self.runs.discard(name)
            if not self.runs:
                self.quiet.set()


def asked_by_whom(orders: Orders) -> str:
    """Who a run begins for that did not come by itself."""
    return "an approval" if orders.approve else "a request"
