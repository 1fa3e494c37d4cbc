"""A loopback Engage, and MXO for batches, that is never the bottleneck: it takes every POST and
counts, and checks nothing.

    python -m benchmarks.sink --port 9900 [--core 1] [--delay 0.1]

It prints its port. `GET /bench/figures` tells what came since the last `PUT /bench/reset`, which
takes `?delay=SECONDS`: how long each POST waits for its answer. Any path may be POSTed to. Batches
are processed at once, and have no errors. Any interaction can be deleted, and none is shown.
"""

import argparse
import asyncio
import json
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

SCHEMA_ID = "productReview"
SCHEMA = {
    "id": SCHEMA_ID,
    "displayName": "Product review",
    "jsonSchema": {
        "type": "object",
        "properties": {
            "reviewId": {"type": "string"},
            "productSku": {"type": "string"},
            "productName": {"type": "string"},
            "category": {"type": "string"},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5},
            "price": {"type": "number"},
            "isVerifiedPurchase": {"type": "boolean"},
            "reviewText": {"type": "string"},
        },
        "required": ["reviewId", "productSku", "rating"],
        "additionalProperties": False,
    },
}
CONTACT = '"3f2504e0-4f89-41d3-9a0c-000000000000"'
ROW_KEY = re.compile(rb'"reviewId"(?:: ?|,"value":)"([^"]+)"')
BATCH_ID = re.compile(rb"\r\nbatchid: *(\S+)", re.IGNORECASE)
BATCHES = "/batchv2/interactions/"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
ACCEPTED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 45\r\n\r\n"
    b'{"id":"%08x-0b1d-4c55-8e0a-%012d"}'
)
SPREAD = 2_654_435_761
"""Odd and large, so that the ids begin differently, as GUIDs do: ledgers index their beginning."""


class Arrivals:
    """What was POSTed since the last reset."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.number = 0  # never reset: it makes the ids
        self.reset(delay)

    def reset(self, delay: float) -> None:
        """Forget what came; from now on each POST waits `delay` seconds for its answer."""
        self.delay = delay
        self.times: list[float] = []
        self.bodies: list[bytes] = []
        self.batches: dict[str, int] = {}
        """How many records each has, by its id."""
        self.connections = self.deleted = 0
        self._cpu = time.process_time()

    def figures(self) -> dict[str, Any]:
        """What came: `seconds` from the first POST to the last, `busiest` the most POSTs in any
        second, `cpu` the sink's own seconds."""
        keys = Counter(key for body in self.bodies for key in ROW_KEY.findall(body))
        return {
            "posts": len(self.times),
            "rows": len(keys),
            "repeated": sum(number - 1 for number in keys.values()),
            "bytes": sum(map(len, self.bodies)),
            "seconds": self.times[-1] - self.times[0] if self.times else 0.0,
            "busiest": busiest_second(self.times),
            "deleted": self.deleted,
            "connections": self.connections,
            "cpu": time.process_time() - self._cpu,
        }


def busiest_second(times: Sequence[float]) -> int:
    """The most of these moments, in their order, that lie within less than a second."""
    most = first = 0
    for last, moment in enumerate(times):
        while moment - times[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


class Connection(asyncio.Protocol):
    """One client: requests come whole or in pieces, one after the other."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._arrivals.connections += 1

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        while (head := data.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(data, 0, head)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(data) < end:
                break
            if data.startswith(b"POST /batchv2/"):
                self._take_batch(data[:head], data[head + 4 : end])
            elif data.startswith(b"POST /one/oauth2token"):
                self._transport.write(_json({"access_token": "bench"}))
            elif data.startswith(b"POST "):
                self._take(data[head + 4 : end])
            else:
                self._transport.write(answer(self._arrivals, data[: data.index(b"\r\n")].decode()))
            data = data[end:]
        self._rest = data

    def _take(self, body: bytes) -> None:
        arrivals = self._arrivals
        arrivals.times.append(time.monotonic())
        arrivals.bodies.append(body)
        arrivals.number = number = arrivals.number + 1
        response = ACCEPTED % (number * SPREAD & 0xFFFFFFFF, number)
        if arrivals.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(arrivals.delay, self._transport.write, response)
        else:
            self._transport.write(response)

    def _take_batch(self, head: bytes, body: bytes) -> None:
        arrivals, given = self._arrivals, BATCH_ID.search(head)
        arrivals.times.append(time.monotonic())
        arrivals.bodies.append(body)
        name = given[1].decode() if given else "none"
        arrivals.batches[name] = len(ROW_KEY.findall(body))
        self._transport.write(_json({"batchId": name}, "202 Accepted"))


def answer(arrivals: Arrivals, request_line: str) -> bytes:
    """Everything but a POST: what a sync asks before it sends, and the control routes."""
    method, target, _ = request_line.split(" ")
    path, _, query = target.partition("?")
    match method, path.removeprefix("/api/v3"):
        case "GET", "/interactionschemas":
            return _json([{"id": SCHEMA_ID, "displayName": SCHEMA["displayName"]}])
        case "GET", name if name == f"/interactionschemas/{SCHEMA_ID}":
            return _json(SCHEMA)
        case "GET", "/contacts/id":
            return _json(json.loads(CONTACT))
        case "GET", "/contacts/count":
            return _json(1)
        case "GET", "/interactions":
            return _json({"links": [], "items": []})
        case "GET", name if (batch := name.rpartition("/")[2]) in arrivals.batches:
            rows = arrivals.batches[batch]
            return _json({"status": "COMPLETED", "total": rows, "processed": rows, "failed": 0})
        case "DELETE", name if name.startswith("/interactions/"):
            arrivals.deleted += 1
            return _json({})
        case "GET", "/bench/figures":
            return _json(arrivals.figures())
        case "PUT", "/bench/reset":
            arrivals.reset(float(parse_qs(query).get("delay", ["0"])[0]))
            return _json({})
        case _:
            return _json({"errorCode": "NotFound", "message": path}, "404 Not Found")


def _json(content: object, status: str = "200 OK") -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


async def serve(port: int, delay: float) -> None:
    """Answer until the process is ended; prints the port."""
    arrivals = Arrivals(delay)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(arrivals), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    try:
        from uvloop import run  # it must never be the bottleneck of what is timed
    except ImportError:
        from asyncio import run
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--core", type=int, help="the one core to run on")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    run(serve(options.port, options.delay))


if __name__ == "__main__":
    main()
