"""A freight carrier over HTTP that can be told to lose answers, and to forget all it has."""

import itertools
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from connector.destinations.conformance import STORES, Fault

KEY = "a-secret-key"
STATUS = {
    Fault.ERROR_BEFORE: 503,
    Fault.ERROR_AFTER: 503,
    Fault.BUSY: 429,
    Fault.NOT_LET_IN: 401,
    Fault.REFUSED: 422,
}


@dataclass
class Consignment:
    """What was handed in under an id."""

    boxes: list[dict[str, str]]
    status: str = "under way"
    errors: dict[str, str] = field(default_factory=dict)


class Carrier:
    """What was handed in, and how the next consignments fare."""

    def __init__(self) -> None:
        self.consignments: dict[str, Consignment] = {}
        self.arrived: Counter[str] = Counter()
        """How often the box of each row arrived: the truth."""
        self.faults: Iterator[Fault | None] = itertools.repeat(None)
        self.posts: list[tuple[str, bytes]] = []
        self.url = ""
        self.lock = threading.Lock()
        self.at_once = True
        """Consignments are processed as they come; else by `process`."""
        self.ids_of_its_own = False
        self.bad: set[str] = set()
        """What a box may not hold: it is turned down, when it is processed."""
        self.worse: set[str] = set()
        """The same, and the whole consignment is refused."""
        self._numbers = itertools.count(1)

    def fail(self, *faults: Fault | None) -> None:
        """What becomes of the next consignments, and from the last one on of all."""
        self.faults = itertools.chain(faults, itertools.repeat(faults[-1]))

    def store(self, name: str, boxes: list[dict[str, str]]) -> str:
        """Take a consignment over. The same id once more is processed once more."""
        mine = f"theirs-{next(self._numbers)}" if self.ids_of_its_own else name
        self.consignments[mine] = Consignment(boxes)
        if self.at_once:
            self.process(mine)
        return mine

    def process(self, *names: str) -> None:
        """Deliver what was handed in; all of it, where no name is given."""
        for name in names or list(self.consignments):
            consignment = self.consignments[name]
            if consignment.status == "done":
                continue
            for box in consignment.boxes:
                if any(word in box["holds"] for word in self.bad):
                    consignment.errors[box["ref"]] = "not on my ship"
                else:
                    self.arrived[box["ref"]] += 1
            consignment.status = "done"

    def forget(self) -> None:
        """It knows no consignment any more."""
        self.consignments.clear()


class Desk(BaseHTTPRequestHandler):
    """Where consignments are handed in."""

    protocol_version = "HTTP/1.1"
    carrier: Carrier

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def _answer(self, status: int, content: Any = None, html: bool = False) -> None:
        body = b"<html>" if html else b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _break(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()
        self.wfile = self.rfile = open("/dev/null", "r+b")  # noqa: PTH123, SIM115

    def _is_let_in(self) -> bool:
        if self.headers.get("X-Key") == KEY:
            return True
        self._answer(401)
        return False

    def do_POST(self) -> None:
        """A consignment, and what is to become of it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._is_let_in():
            return
        name, carrier = unquote(self.path.rpartition("/")[2]), self.carrier
        with carrier.lock:
            carrier.posts.append((f"{carrier.url}{self.path}", body))
            fault = next(carrier.faults)
            boxes = json.loads(body)
            if fault is None and any(w in box["holds"] for box in boxes for w in carrier.worse):
                fault = Fault.REFUSED
            if fault is None or fault in STORES:
                name = carrier.store(name, boxes)
        if fault in (Fault.LOST_BEFORE, Fault.LOST_AFTER):
            self._break()
        elif fault is Fault.PAGE_AFTER:
            self._answer(200, html=True)
        elif fault is not None:
            self._answer(STATUS[fault], {"why": f"no, {self.headers['X-Key']}"})
        else:
            self._answer(202, {"id": name})

    def do_GET(self) -> None:
        """How a consignment stands."""
        if not self._is_let_in():
            return
        with self.carrier.lock:
            found = self.carrier.consignments.get(unquote(self.path.rpartition("/")[2]))
            if found is None:
                self._answer(404, {})
                return
            content = {"status": found.status, "failed": len(found.errors), "errors": found.errors}
        self._answer(200, content)


@contextmanager
def running() -> Iterator[Carrier]:
    """A carrier as long as the context lasts."""
    carrier = Carrier()
    handler = type("Handler", (Desk,), {"carrier": carrier})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    carrier.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield carrier
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
