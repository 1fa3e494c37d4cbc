"""A way to PostgreSQL that breaks: connections are cut anywhere, and most of all around a COMMIT.

Run as a script it is a proxy on a port of this machine; imported, it starts one. After a cut behind
a COMMIT nobody on this side knows whether it was done.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import make_url

from tests.proof.apart import Apart

COMMIT = b"COMMIT"
CUT_SHARE = 0.25
"""Of the connections: those that are cut after some bytes, wherever that is."""
MOST_BYTES = 60_000
COMMIT_SHARE = 0.02
"""Of the commits: those after which, or before which, the connection is cut."""


class Proxy(Apart):
    """The proxy, as seen from the process that started it."""

    def __init__(self, server: str, seed: int) -> None:
        super().__init__("tests.proof.killing_proxy", server, str(seed))
        self._port = int(self.answer())

    def address(self, url: str) -> str:
        """The database at `url`, through the proxy."""
        through = make_url(url).set(host="127.0.0.1", port=self._port, query={})
        return through.render_as_string(hide_password=False)

    def calm(self) -> None:
        """Cut nothing any more."""
        self.ask("calm")

    def wild(self) -> None:
        """Cut again."""
        self.ask("wild")

    def cuts(self) -> Counter[str]:
        """How many connections were cut, and where."""
        return Counter(self.ask("cuts"))


class Cutting:
    """What is cut, decided with a seed."""

    def __init__(self, server: str, seed: int) -> None:
        url = make_url(server)
        self._folder = Path(str(url.query["host"]))
        self._socket = self._folder / f".s.PGSQL.{url.port or 5432}"
        self._dice = random.Random(seed)
        self.cuts: Counter[str] = Counter()
        self.calm = False

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry everything from one to the other, until one has enough or it is cut."""
        with suppress(OSError):
            there, back = await asyncio.open_unix_connection(str(self._socket))
            left = [self._dice.randrange(MOST_BYTES) if self._drawn(CUT_SHARE) else None]
            both = (
                asyncio.ensure_future(self._carry(reader, back, left, asks=True)),
                asyncio.ensure_future(self._carry(there, writer, left, asks=False)),
            )
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            back.transport.abort()
        writer.transport.abort()

    async def _carry(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        left: list[int | None],
        asks: bool,
    ) -> None:
        while data := await source.read(65536):
            if asks and COMMIT in data and self._drawn(COMMIT_SHARE):
                await self._cut_at_commit(target, data)
                return
            if left[0] is not None and not self.calm:
                left[0] -= len(data)
                if left[0] <= 0:
                    self.cuts["anywhere"] += 1
                    target.write(data[: self._dice.randrange(len(data))])
                    await target.drain()
                    return
            target.write(data)
            await target.drain()

    async def _cut_at_commit(self, target: asyncio.StreamWriter, data: bytes) -> None:
        if self._drawn(0.3):
            self.cuts["before a commit"] += 1
            return
        self.cuts["after a commit"] += 1
        target.write(data)
        await target.drain()
        await asyncio.sleep(self._dice.choice((0, 0.03)))  # it is done by then, or it may not be

    def _drawn(self, share: float) -> bool:
        return not self.calm and self._dice.random() < share


async def serve(server: str, seed: int) -> None:
    """Carry and cut, and obey what standard input says, until it ends."""
    cutting = Cutting(server, seed)
    listening = await asyncio.start_server(cutting.connected, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        cutting.calm = {"calm": True, "wild": False}.get(word, cutting.calm)
        print(json.dumps(cutting.cuts), flush=True)


def main(arguments: Sequence[str]) -> None:
    """The arguments are the server's address and a seed."""
    asyncio.run(serve(arguments[0], int(arguments[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
