"""A way to Engage that is cut for a while, and then delivers what it had taken: whoever sent that
has given it up by then.

Run as a script it is a proxy on a port of this machine; imported, it starts one.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from tests.proof.apart import Apart


class Partition(Apart):
    """The proxy, as seen from the process that started it."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        super().__init__("tests.proof.killing_partition", host, port)
        self.url = f"http://127.0.0.1:{self.answer()}"

    def cut(self, seconds: float) -> None:
        """What comes within so many seconds is delivered when they are over."""
        self.ask(str(seconds))

    def late(self) -> Counter[str]:
        """How many pieces came late, and of how many the sender was gone."""
        return Counter(self.ask("0"))


class Keeping:
    """What passes, and when."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self.until = 0.0
        self.late: Counter[str] = Counter()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry everything both ways; what was taken is delivered, whoever is gone."""
        with suppress(OSError):
            there, back = await asyncio.open_connection(*self._there)
            answers = asyncio.ensure_future(self._carry(there, writer))
            await self._deliver(reader, back)
            if self.late["taken"]:
                await asyncio.sleep(0.2)  # Engage would hear that nobody is there any more
            back.close()
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
        writer.transport.abort()

    async def _deliver(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        gone = False
        while not gone:
            try:
                data = await reader.read(65536)
            except OSError:
                return
            if not data:
                return
            if (rest := self.until - time.monotonic()) > 0:
                self.late["taken"] += 1
                await asyncio.sleep(rest)
                gone = reader.at_eof() or reader.exception() is not None
                self.late["delivered for nobody"] += gone
            back.write(data)
            await back.drain()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if (rest := self.until - time.monotonic()) > 0:
                    await asyncio.sleep(rest)
                target.write(data)
                await target.drain()
        target.transport.abort()


async def serve(host: str, port: int) -> None:
    """Carry, and obey what standard input says, until it ends."""
    keeping = Keeping(host, port)
    listening = await asyncio.start_server(keeping.connected, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        keeping.until = max(keeping.until, time.monotonic() + float(word))
        print(json.dumps(keeping.late), flush=True)


def main(arguments: Sequence[str]) -> None:
    """The arguments are Engage's host and port."""
    asyncio.run(serve(arguments[0], int(arguments[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
