"""A postbox over HTTP that can be told to lose answers, before or after it has stored a letter."""

import base64
import itertools
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from connector.destinations.conformance import STORES, Fault

USER, PASSWORD = "anna", "a-secret-password"
STATUS = {
    Fault.ERROR_BEFORE: 503,
    Fault.ERROR_AFTER: 503,
    Fault.BUSY: 429,
    Fault.NOT_LET_IN: 401,
    Fault.REFUSED: 422,
}


class Office:
    """What is in the boxes, and how the next letters fare."""

    def __init__(self) -> None:
        self.letters: dict[int, dict[str, str]] = {}
        self.faults: Iterator[Fault | None] = itertools.repeat(None)
        self.last: tuple[str, str, bytes] = ("", "", b"")
        self.posts = 0
        self.url = ""
        self.lock = threading.Lock()
        self._numbers = itertools.count(1)

    def fail(self, *faults: Fault | None) -> None:
        """What becomes of the next letters, and from the last one on of all."""
        self.faults = itertools.chain(faults, itertools.repeat(faults[-1]))

    def store(self, body: bytes) -> int:
        """Put a letter into its box."""
        number = next(self._numbers)
        self.letters[number] = dict(parse_qsl(body.decode()))
        return number

    def per_reference(self) -> list[int]:
        """How many letters each reference has: the truth."""
        found: dict[str, int] = {}
        for letter in self.letters.values():
            found[letter["ref"]] = found.get(letter["ref"], 0) + 1
        return list(found.values())


class Counter(BaseHTTPRequestHandler):
    """Where letters are handed in."""

    protocol_version = "HTTP/1.1"
    office: Office

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
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {wanted}":
            return True
        self._answer(401)
        return False

    def do_POST(self) -> None:
        """A letter, and what is to become of it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._is_let_in():
            return
        with self.office.lock:
            self.office.posts += 1
            self.office.last = ("POST", f"{self.office.url}{self.path}", body)
            fault = next(self.office.faults)
            number = self.office.store(body) if fault is None or fault in STORES else 0
        if fault in (Fault.LOST_BEFORE, Fault.LOST_AFTER):
            self._break()
        elif fault is Fault.PAGE_AFTER:
            self._answer(200, html=True)
        elif fault is not None:
            why = f"no, {self.headers['Authorization']} {PASSWORD}"
            self._answer(STATUS[fault], {"why": why})
        else:
            self._answer(201, {"number": number})

    def do_GET(self) -> None:
        """A box, a list or a letter."""
        if not self._is_let_in():
            return
        parts = urlsplit(self.path)
        names = [unquote(part) for part in parts.path.strip("/").split("/")]
        with self.office.lock:
            if names[0] == "boxes":
                self._answer(200 if names[1] == "club" else 404, {})
            elif len(names) == 2:
                letter = self.office.letters.get(int(names[1]))
                self._answer(*((200, _shown(int(names[1]), letter)) if letter else (404, {})))
            else:
                reference = parse_qs(parts.query)["ref"][0]
                found = [
                    _shown(number, letter)
                    for number, letter in self.office.letters.items()
                    if letter["ref"] == reference
                ]
                self._answer(200, found)

    def do_DELETE(self) -> None:
        """A letter."""
        if not self._is_let_in():
            return
        with self.office.lock:
            gone = self.office.letters.pop(int(self.path.rpartition("/")[2]), None)
        self._answer(204 if gone else 404)


def _shown(number: int, letter: dict[str, str]) -> dict[str, Any]:
    return {"number": number, **letter}


@contextmanager
def running() -> Iterator[Office]:
    """A post office as long as the context lasts."""
    office = Office()
    handler = type("Handler", (Counter,), {"office": office})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    office.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield office
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
