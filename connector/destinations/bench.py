"""A bench for the conformance kit: an API on loopback, of which one says only what it answers.

Whoever writes a destination writes a `Served`: what the API does with one request. Losing answers,
before or after something was stored, refusing and lying is done here.
"""

import base64
import json
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from itertools import cycle
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable
from urllib.parse import parse_qsl, unquote, urlsplit

from connector.basis import dataclass


class Fault(StrEnum):
    """What becomes of a request that would store a row."""

    LOST_BEFORE = "lost_before"
    """The connection breaks, and nothing is stored."""
    LOST_AFTER = "lost_after"
    """It is stored, and the connection breaks before the answer."""
    ERROR_BEFORE = "error_before"
    """503 or another 5xx, and nothing is stored."""
    ERROR_AFTER = "error_after"
    """503 or another 5xx, although it is stored."""
    PAGE_AFTER = "page_after"
    """It is stored, and the answer is a success with a page of HTML."""
    BUSY = "busy"
    """429, and nothing is stored."""
    NOT_LET_IN = "not_let_in"
    """401, and nothing is stored."""
    REFUSED = "refused"
    """The API's own refusal of a row, in words that hold every secret of the request."""


STORES = {Fault.LOST_AFTER, Fault.ERROR_AFTER, Fault.PAGE_AFTER}


class Trouble(StrEnum):
    """What else may befall requests: those that would store a row, and all others."""

    PAGE_BEFORE = "page_before"
    """Nothing is stored, and the answer is a success with a page of HTML: somebody between the two
    has answered."""
    REDIRECT = "redirect"
    """Nothing is stored, and the answer points to another address."""
    NOTHING_READ = "nothing_read"
    """Whatever is asked: the connection breaks."""
    ERROR_READ = "error_read"
    """Whatever is asked: 503 or another 5xx."""
    PAGE_READ = "page_read"
    """Whatever is asked: a success with a page of HTML."""
    EMPTY_READ = "empty_read"
    """Whatever is asked: a success (200) without a byte in it."""
    HALF_READ = "half_read"
    """Whatever is asked: a success whose JSON stops half-way."""
    KEY_READ = "key_read"
    """Whatever is asked: 401."""
    UNFILTERED = "unfiltered"
    """Lists show all that there is, whatever is asked for."""


WRITING = (Trouble.PAGE_BEFORE, Trouble.REDIRECT)
UNREAD = tuple(trouble for trouble in Trouble if trouble.endswith("_read"))


class Bench(Protocol):
    """A sandbox of an API, with nothing in it when a check begins."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The keys of the destination in activations.yaml."""
        ...

    @property
    def activation(self) -> Mapping[str, Any]:
        """The keys of an activation that goes there."""
        ...

    @property
    def contact(self) -> str:
        """A contact, as the API takes it."""
        ...

    @property
    def payloads(self) -> Sequence[bytes]:
        """Two payloads that differ."""
        ...

    def fail(self, fault: Fault | None) -> None:
        """From now on each request that would store a row ends so; None: as it should."""

    def stored(self) -> int:
        """How many interactions there are: the truth, whatever was answered."""
        ...

    def last_request(self) -> tuple[str, str, bytes]:
        """Method, url and body of the last request that would store a row."""
        ...


@runtime_checkable
class Troubled(Protocol):
    """A bench that can do more than fail; a `Served` is one."""

    def trouble(self, trouble: Trouble | None) -> bool:
        """From now on it is so; None: nothing is. False: the bench cannot do that."""
        ...


# --- a bench over HTTP ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `parts` of its path; names in `headers` are in small letters."""

    method: str
    parts: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered; `content` as JSON, None without a body."""

    status: int
    content: Any = None


class Served:
    """An API on loopback, as long as `running` lasts. What it stores belongs into `kept`."""

    contact: str
    payloads: Sequence[bytes]
    activation: Mapping[str, Any]
    refusal: ClassVar[int] = 422
    """The status by which the API refuses a row."""
    errors: ClassVar[Sequence[int]] = (503, 500, 502, 504)
    """After which nobody knows what became of a request; each in its turn."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        """What is stored, by id: the truth."""
        self.url = ""
        self.requests = 0
        """That would store a row."""
        self.lock = threading.Lock()
        self.faults: Iterator[Fault | None] = iter(())
        self._trouble: Trouble | None = None
        self._last = ("", "", b"")
        self._errors = cycle(self.errors)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The keys of the destination in activations.yaml; the API is at `url`."""
        raise NotImplementedError

    def answer(self, asked: Asked) -> Reply:
        """What the API does with one request, and says."""
        raise NotImplementedError

    def creates(self, asked: Asked) -> bool:
        """Whether a request would store a row."""
        return asked.method == "POST"

    def refuse(self, words: str) -> Reply:
        """A row is not taken; `words` belong where `Api.said` finds them."""
        return Reply(self.refusal, {"message": words})

    # --- what is asked of a bench ---------------------------------------------------------------

    def fail(self, *faults: Fault | None) -> None:
        """What becomes of the next requests that would store a row, and from the last one on of
        all."""
        self.faults = _then(faults)

    def trouble(self, trouble: Trouble | None) -> bool:
        """What else befalls all requests."""
        self._trouble = trouble
        return True

    def stored(self) -> int:
        """How many there are."""
        return len(self.kept)

    def last_request(self) -> tuple[str, str, bytes]:
        """The last one that would store a row."""
        return self._last

    # --- one request ----------------------------------------------------------------------------

    def handle(self, asked: Asked, path: str) -> Reply | str:
        """A reply; or a text that is sent as it is, "" for a connection that breaks."""
        with self.lock:
            if not self.creates(asked):
                return self._read(asked)
            self.requests += 1
            self._last = (asked.method, f"{self.url}{path}", asked.body)
            fault = next(self.faults, None)
            if self._trouble in WRITING:
                page = self._trouble is Trouble.PAGE_BEFORE
                return PAGE if page else Reply(307, {"Location": f"{self.url}/elsewhere"})
            reply = self.answer(asked) if fault is None or fault in STORES else Reply(0)
            return self._spoilt(fault, asked, reply)

    def _spoilt(self, fault: Fault | None, asked: Asked, reply: Reply) -> Reply | str:
        match fault:
            case None:
                return reply
            case Fault.LOST_BEFORE | Fault.LOST_AFTER:
                return ""
            case Fault.ERROR_BEFORE | Fault.ERROR_AFTER:
                return Reply(next(self._errors), {"message": "something broke"})
            case Fault.PAGE_AFTER:
                return PAGE
            case Fault.BUSY:
                return Reply(429, {"message": "not so fast"})
            case Fault.NOT_LET_IN:
                return Reply(401, {"message": "who are you?"})
            case Fault.REFUSED:
                return self.refuse(f"no, {_secrets(asked)}")

    def _read(self, asked: Asked) -> Reply | str:
        match self._trouble:
            case Trouble.NOTHING_READ:
                return ""
            case Trouble.ERROR_READ:
                return Reply(next(self._errors), {"message": "something broke"})
            case Trouble.PAGE_READ:
                return PAGE
            case Trouble.EMPTY_READ:
                return Reply(200)
            case Trouble.HALF_READ:
                whole = json.dumps(self.answer(asked).content) if asked.method == "GET" else "{}"
                return whole[: len(whole) // 2] or "{"
            case Trouble.KEY_READ:
                return Reply(401, {"message": "who are you?"})
            case Trouble.UNFILTERED:
                return self.answer(replace(asked, query={}))
            case _:
                return self.answer(asked)


PAGE = "<html>One moment, please</html>"


def _then(faults: Sequence[Fault | None]) -> Iterator[Fault | None]:
    yield from faults
    while True:
        yield faults[-1]


def _secrets(asked: Asked) -> str:
    """Whatever let a request in, also as it was before it was packed."""
    usual = ("host", "user-agent", "accept", "content-", "connection", "transfer-")
    values = [value for name, value in asked.headers.items() if not name.startswith(usual)]
    for value in [*values]:
        scheme, _, packed = value.partition(" ")
        if scheme == "Basic":
            values.insert(0, base64.b64decode(packed).decode())
    return " ".join(values)


class Counter(BaseHTTPRequestHandler):
    """Hands requests to a `Served`, and its replies back."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one piece, or the other side waits for the second
    served: Served

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def _do(self) -> None:
        parts = urlsplit(self.path)
        asked = Asked(
            self.command,
            tuple(unquote(part) for part in parts.path.strip("/").split("/")),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("Content-Length", 0))),
        )
        match self.served.handle(asked, self.path):
            case "":
                self._break()
            case str() as text:
                self._write(200, text.encode(), {})
            case Reply(307, content):
                self._write(307, b"", content)
            case Reply(status, content):
                self._write(status, b"" if content is None else json.dumps(content).encode(), {})

    def __getattr__(self, name: str) -> Any:
        """The same for every method: `do_GET`, `do_POST` …"""
        if name.startswith("do_"):
            return self._do
        raise AttributeError(name)

    def _write(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _break(self) -> None:
        """A reset, as of a machine that is gone."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()
        self.wfile = self.rfile = open("/dev/null", "r+b")  # noqa: PTH123, SIM115


S = TypeVar("S", bound=Served)


@contextmanager
def running(served: S, port: int = 0) -> Iterator[S]:
    """`served` on loopback, as long as the context lasts; `port` 0: any that is free."""
    handler = type("Handler", (Counter,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main(arguments: Sequence[str]) -> int:
    """Serve the `BENCH` of a module until it is interrupted: a sandbox to develop against."""
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python -m connector.destinations.bench MODULE [PORT]\n")
        return 2
    bench: Served = import_module(arguments[0]).BENCH()
    with running(bench, int(arguments[1]) if arguments[1:] else 0), suppress(KeyboardInterrupt):
        sys.stdout.write(f"{bench.url}\n")
        sys.stdout.flush()
        threading.Event().wait()
    return 0


if __name__ == "__main__":  # by its own name, or it would know no reply of the module
    sys.exit(import_module("connector.destinations.bench").main(sys.argv[1:]))
