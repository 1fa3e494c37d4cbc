"""What the bare clients share: bodies made beforehand, 32 tasks, and nothing remembered."""

import json
import sys
from asyncio import TaskGroup
from collections.abc import Awaitable, Callable, Iterable

import duckdb

from benchmarks.peers.body import COLUMNS, body_of

CONCURRENCY = 32
HEADERS = {"apikey": "bench", "User-Agent": "bench/1.0", "Content-Type": "application/json"}


def prepared() -> tuple[list[bytes], str]:
    """The bodies of all reviews, and where to send them, as the command line says."""
    warehouse, url = sys.argv[1:]
    with duckdb.connect(warehouse, read_only=True) as connection:
        cursor = connection.execute(f"select {COLUMNS} from reviews order by reviewed_at")
        names = [column[0] for column in cursor.description]
        rows = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
        bodies = [json.dumps(body_of(row), separators=(",", ":")).encode() for row in rows]
    return bodies, f"{url}/api/v3/interactions"


async def send_all(bodies: Iterable[bytes], send: Callable[[bytes], Awaitable[int]]) -> None:
    """Send every body, 32 at a time; `send` gives the status of the answer."""
    left = iter(bodies)

    async def sender() -> None:
        for body in left:
            status = await send(body)
            assert status == 200, status

    async with TaskGroup() as tasks:
        for _ in range(CONCURRENCY):
            tasks.create_task(sender())
