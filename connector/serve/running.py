"""What runs now: the runs that go on, the configuration that they began under, and whether their
destination is tried with a single row first."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from connector.ledger.records import Run, Tally
from connector.project.app import App, Workshop
from connector.rules.errors import ConnectorError, DestinationUnusable
from connector.sync.flow import Orders
from connector.sync.progress import Progress
from connector.sync.result import Result

FAILURES_IN_A_ROW = 3
"""Runs that the destination stopped, after which the next one begins with a single row."""


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

    async def id(self, within: float) -> str | None:
        """The run's id as soon as it has one; None when that takes so many seconds, or when it did
        not come to a run."""
        until = time.monotonic() + within
        while not self.run_id and not self.is_over and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return self.run_id


class Watching(Progress):
    """Keeps a `Live` up to date."""

    def __init__(self, live: Live) -> None:
        self.live = live

    def begun(self, run: Run) -> None:
        self.live.run_id = run.run_id

    def reading(self, activation: str, rows: int) -> None:
        self.live.read = rows

    def sending(self, activation: str, tally: Tally, total: int) -> None:
        self.live.sent, self.live.total = tally, total


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
        tally = ended.tally
        if isinstance(ended.error, DestinationUnusable):
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
