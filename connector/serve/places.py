"""Places for runs: so many go on at once and no more, and the API keys take turns.

A run that waits for its place has nothing open: no thread, no connection, no lease.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

Turn = asyncio.Future[bool]


class Places:
    """Hands out places. Belongs to the running event loop.

    The next one is for the key that has the fewest runs going on, and among those for the one that
    had its turn the longest ago; so no key, however many activations it has and however long its
    runs take, keeps the others waiting. Of one key the highest priority comes first.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        """`most`: how many places there are now."""
        self._most = most
        self._taken = Counter[str]()
        self._waiting: dict[str, list[tuple[int, int, Turn]]] = {}
        self._had_turn: dict[str, int] = {}
        self._numbers = count(1)
        self._closed = False

    @asynccontextmanager
    async def one(self, key: str, priority: int = 0) -> AsyncIterator[bool]:
        """A place for a run on `key`, as long as the context lasts; False: there will be none."""
        if not await self._turn(key, priority):
            yield False
            return
        try:
            yield True
        finally:
            self._give_back(key)

    async def _turn(self, key: str, priority: int) -> bool:
        if self._closed:
            return False
        loop = asyncio.get_running_loop()
        turn: Turn = loop.create_future()
        line = self._waiting.setdefault(key, [])
        heapq.heappush(line, (-priority, next(self._numbers), turn))
        loop.call_soon(self.look)  # when those have come, too, that are due at the same moment
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._give_back(key)
            raise

    def look(self) -> None:
        """Hand out what is free; to be called when there may be more places than before."""
        while self._waiting and self._taken.total() < self._most():
            key = min(self._waiting, key=lambda k: (self._taken[k], self._had_turn.get(k, 0)))
            line = self._waiting[key]
            _, _, turn = heapq.heappop(line)
            if not line:
                del self._waiting[key]
            if not turn.done():
                self._taken[key] += 1
                self._had_turn[key] = next(self._numbers)
                turn.set_result(True)

    def close(self) -> None:
        """Hand out none any more; whoever waits is told so."""
        self._closed = True
        for line in self._waiting.values():
            for _, _, turn in line:
                if not turn.done():
                    turn.set_result(False)
        self._waiting.clear()

    def _give_back(self, key: str) -> None:
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]
        self.look()
