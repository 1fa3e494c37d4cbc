"""Whoever reaches the port takes nothing from the runs, and gets in by nothing but the token."""

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from connector.serve.web import bounds, gate
from connector.serve.web.bounds import Bounded
from connector.serve.web.gate import OPEN_PATHS, TRIES_WITHIN, WRONG_TRIES, Gate, Tries
from connector.serve.web.server import Server
from tests.whole.shop import Shop
from tests.whole.test_serve import EVERY_SECOND, Served, started, until

TOKEN = "open sesame"
MIB = 1024 * 1024


def asked(path: bytes, host: str, **headers: str) -> int:
    """What the gate says to a request, before any page is asked."""
    given = {"host": host, **headers}
    scope = {
        "type": "http",
        "method": "GET",
        "path": path.decode(),
        "raw_path": path,
        "query_string": b"",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("10.0.0.1", 1),
        "headers": [(k.encode(), v.encode("latin-1")) for k, v in given.items()],
    }
    answer = Gate(lambda *_: None, TOKEN)._refusal(Request(scope))  # type: ignore[arg-type, return-value]
    return 200 if answer is None else answer.status_code


@pytest.mark.parametrize(
    "host", ["x/login?", "x/login#", "x/static/style.css?", "x/healthz?a=", "user@x/login?", "["]
)
def test_no_host_opens_a_page(host: str) -> None:
    assert asked(b"/quarantine", host) in (401, 421)
    assert asked(b"/login", host) == 200


@given(host=st.text(st.characters(max_codepoint=255), max_size=30), origin=st.text(max_size=9))
def test_no_header_at_all_opens_a_page_or_breaks_the_gate(host: str, origin: str) -> None:
    assert asked(b"/quarantine", host, origin=origin.encode().decode("latin-1")) == 401
    assert {asked(path.encode(), host) for path in OPEN_PATHS} == {200}


def test_a_host_header_on_the_wire_opens_nothing(shop: Shop) -> None:
    served = started(shop, CONNECTOR_TOKEN=TOKEN)

    for host in ("x/login?", "x/healthz#", "["):
        told = exchange(served, f"GET /quarantine HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert told.split()[1] in (b"401", b"400"), (host, told)


def test_a_long_body_is_refused_before_it_is_kept(shop: Shop) -> None:
    served = started(shop, CONNECTOR_TOKEN=TOKEN)
    before = memory(served)

    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b"a" * MIB

    long = httpx.post(f"{served.url}/login", content=b"token=" + b"a" * (2 * MIB), timeout=30)
    endless = httpx.post(f"{served.url}/login", content=parts(), timeout=30)
    head = exchange(served, f"GET / HTTP/1.1\r\nHost: x\r\nA: {'a' * MIB}\r\n\r\n")

    assert (long.status_code, endless.status_code) == (413, 413)
    assert head.split()[1] == b"400"
    assert memory(served) - before < 40 * MIB
    assert served.get("/healthz").status_code == 200


def test_after_a_few_wrong_tokens_none_counts_for_a_while_but_a_session_does(shop: Shop) -> None:
    served = started(shop, CONNECTOR_TOKEN=TOKEN)
    right = {"data": {"token": TOKEN}, "timeout": 30}
    session = httpx.post(f"{served.url}/login", **right).headers["set-cookie"]  # type: ignore[arg-type]

    for number in range(WRONG_TRIES):
        if number % 2:
            assert served.get("/", Authorization=f"Bearer {number}").status_code == 401
        else:
            wrong = httpx.post(f"{served.url}/login", data={"token": str(number)}, timeout=30)
            assert wrong.status_code == 401
    refused = httpx.post(f"{served.url}/login", **right)  # type: ignore[arg-type]

    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
    assert served.get("/", Authorization=f"Bearer {TOKEN}").status_code == 429
    assert served.get("/", Cookie=session.partition(";")[0]).status_code == 200
    assert served.get("/healthz").status_code == 200


def test_wrong_tokens_are_forgotten_after_a_while_and_counted_by_network() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for number in range(WRONG_TRIES):
        tries.failed((f"2001:db8::{number}", 1))

    assert tries.seconds_to_wait(("2001:db8::ffff", 1)) == TRIES_WITHIN
    assert tries.seconds_to_wait(("2001:db8:0:1::1", 1)) == 0
    assert tries.seconds_to_wait(None) == 0
    now[0] = TRIES_WITHIN + 1
    assert tries.seconds_to_wait(("2001:db8::1", 1)) == 0


def test_the_addresses_of_wrong_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MOST_ADDRESSES", 3)
    tries = Tries(lambda: 0.0)
    for number in range(10):
        tries.failed((f"10.0.0.{number}", 1))

    assert len(tries._wrong) == 3


def test_runs_go_on_while_somebody_opens_connections_without_end(shop: Shop) -> None:
    shop.configure(more=EVERY_SECOND)
    served = started(shop)
    resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (128, 128))
    address = httpx.URL(served.url)
    with ExitStack() as flood:
        for _ in range(200):
            connection = socket.create_connection((address.host, address.port or 80), timeout=10)
            flood.enter_context(connection)
            with suppress(ConnectionError):  # some are ended already
                connection.sendall(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nt")
        shop.add_many(50)
        until(lambda: shop.posts == 50)
        answer = served.get("/healthz")

    assert answer.status_code == 200
    assert set(shop.stored.values()) == {1}
    assert served.end() == 0


# --- time and number, on a server of its own ------------------------------------------------------


@contextmanager
def bounded_server() -> Iterator[int]:
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    server = Server(uvicorn.Config(app, http=Bounded, lifespan="off", ws="none", log_config=None))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"],
)
def test_a_request_that_does_not_end_is_ended(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "REQUEST_WITHIN", 0.3)
    with bounded_server() as port, closing(connection_to(port)) as connection:
        connection.sendall(beginning)
        begun = time.monotonic()

        assert ended(connection)
        assert time.monotonic() - begun < 5


def test_dripping_bytes_wins_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REQUEST_WITHIN", 0.3)
    with bounded_server() as port, closing(connection_to(port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
        with suppress(ConnectionError):
            for _ in range(500):
                connection.sendall(b"a")
                time.sleep(0.01)
            pytest.fail("it was never ended")


def test_where_there_are_too_many_the_newest_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_CONNECTIONS", 5)
    with bounded_server() as port:
        idle = [connection_to(port) for _ in range(20)]
        answer = httpx.get(f"http://127.0.0.1:{port}/")
        gone = sum(ended(connection) for connection in idle[:14])
        for connection in idle:
            connection.close()

    assert (answer.text, gone) == ("0", 14)


def test_a_client_that_asks_often_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REQUEST_WITHIN", 0.3)
    with bounded_server() as port, httpx.Client() as client:
        for number in range(8):
            answer = client.post(f"http://127.0.0.1:{port}/", content=b"a" * number)
            assert answer.text == str(number)
            time.sleep(0.1)


def connection_to(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def exchange(served: Served, request: str) -> bytes:
    address = httpx.URL(served.url)
    with closing(socket.create_connection((address.host, address.port or 80), timeout=10)) as s:
        s.sendall(request.encode())
        return s.recv(100)


def memory(served: Served) -> int:
    pages = Path(f"/proc/{served.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
