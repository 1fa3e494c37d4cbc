"""The one thread that works on the ledger, and the journal whose entries share its commits."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Generic, ParamSpec, Self, TypeVar

from connector.ledger.parcels import Closed, Opened
from connector.ledger.records import Repeated

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E")
Written = bool | Repeated | Opened | Closed
"""What became of an entry."""


GATHER, LONGEST_GATHER, ENOUGH = 0.003, 0.1, 20
"""Seconds that a commit waits for more entries, at the least and at the most; in between, as long
as it takes the pace to bring so many."""


def gather_for(rate: float) -> float:
    """Seconds that a commit waits for more entries where so many requests are sent a second."""
    return max(GATHER, min(ENOUGH / rate, LONGEST_GATHER))


class LedgerThread:
    """Calls methods of the ledger, one at a time; when its context ends, all of them have ended."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "ledger")

    async def call(self, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`method`, in the thread; what it gives or raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(method, *args, **kwargs))

    def __enter__(self) -> Self:
        self._thread.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.__exit__(None, None, None)


class Journal(Generic[E]):
    """Group commit: whoever has an entry waits for the commit that holds it, not for its own.

    Entries gather for a while, and while the commit before is under way.
    """

    def __init__(
        self,
        record: Callable[[Sequence[E]], Sequence[Any]],
        thread: LedgerThread,
        gather: float = 0.0,
        writers: Callable[[], int] = lambda: 0,
    ) -> None:
        """`record` commits entries together, in `thread`; what it gives for each is passed on.
        `gather`: seconds that a commit waits for more entries, unless all `writers` have come."""
        self._record, self._thread = record, thread
        self._gather, self._writers = gather, writers
        self._waiting: list[tuple[E, asyncio.Future[Written]]] = []
        self._all_here = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def write(self, entry: E) -> Written:
        """Commit `entry`; False when the row is no longer where the entry believes it to be,
        Repeated when the answer that it is about proves nothing. Of a request with many rows:
        Opened, or Closed.

        Raises LeaseLost or LedgerUnavailable; then nothing is known to be recorded.
        """
        future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        elif len(self._waiting) >= self._writers():
            self._all_here.set()
        return await future

    async def _write_all(self) -> None:
        while self._waiting:
            await self._gathered()
            batch, self._waiting = self._waiting, []
            entries = [entry for entry, _ in batch]
            try:
                results = await self._thread.call(self._record, entries)
            except BaseException as error:  # told to everyone who waits, never passed over
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    async def _gathered(self) -> None:
        self._all_here.clear()
        if len(self._waiting) < self._writers():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._gather):
                    await self._all_here.wait()
