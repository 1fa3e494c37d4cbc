"""One beat for all runs of a process on one ledger: it keeps their leases while a slow model is
read or a slow answer is waited for, and tells each run that must not go on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.rules.errors import LedgerUnavailable

ONCE_MORE = 0.05
"""Seconds after which those are asked together once more in whose leases somebody was writing: it
was themselves, as a rule."""

T = TypeVar("T")
R = TypeVar("R")


class Beat:
    """Belongs to the running event loop. Beats as long as it keeps a run."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: dict[str, tuple[Run, Callable[[Exception], None]]] = {}
        self._alone: dict[str, asyncio.Task[None]] = {}
        """Those that are asked one by one: whoever waits for a lock keeps no other one waiting."""
        self._under_way = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def keeping(self, run: Run, stop: Callable[[Exception], None]) -> AsyncIterator[None]:
        """Keep the lease of `run`. When it is lost, the ledger with it, or out of reach, `stop` is
        called with the reason. When the context ends no beat is about the run any more."""
        self._kept[run.run_id] = run, stop
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            del self._kept[run.run_id]
            try:
                async with self._under_way:
                    pass
                if alone := self._alone.get(run.run_id):
                    await asyncio.wait([alone])
            finally:
                await self._rest()

    async def _rest(self) -> None:
        if self._beating and not self._kept:
            beating, self._beating = self._beating, None
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self) -> None:
        with ThreadPoolExecutor(1, "beat") as thread:
            while True:
                await asyncio.sleep(self._ledger.lease.total_seconds() / 3)
                async with self._under_way:
                    await self._once(thread)

    async def _once(self, thread: Executor) -> None:
        unsure: Sequence[Run]
        runs = [run for run, _ in self._kept.values() if run.run_id not in self._alone]
        if not runs:
            return
        try:
            unsure = await _in(thread, self._ledger.beat, runs)
            if len(unsure) > 1:
                await asyncio.sleep(ONCE_MORE)
                unsure = await _in(thread, self._ledger.beat, unsure)
        except Exception as error:
            # what keeps one connection from the ledger need not stop all of them
            unsure = runs
            if len(runs) == 1 and isinstance(error, LedgerUnavailable):
                unsure = self._tell(runs[0], error)
        for run in unsure:
            if run.run_id in self._kept:
                self._alone[run.run_id] = asyncio.create_task(self._ask(run))

    async def _ask(self, run: Run) -> None:
        try:
            with ThreadPoolExecutor(1, "beat") as thread:
                await _in(thread, self._ledger.heartbeat, run)
        except Exception as error:
            self._tell(run, error)
        finally:
            del self._alone[run.run_id]

    def _tell(self, run: Run, error: Exception) -> Sequence[Run]:
        if found := self._kept.get(run.run_id):
            found[1](error)
        return ()


async def _in(thread: Executor, method: Callable[[T], R], what: T) -> R:
    return await asyncio.get_running_loop().run_in_executor(thread, partial(method, what))
