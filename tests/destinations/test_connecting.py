"""Before the one write nothing of a request goes anywhere, by whatever way; after it, nowhere
else."""

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest

from connector.destinations import connections as module
from connector.destinations.answers import NeverSent, NoAnswer, Request, Response
from connector.destinations.bodies import json_body
from connector.destinations.connections import Connection, Connections
from connector.destinations.credentials import api_key
from connector.destinations.hooks import CalledOff
from connector.destinations.http import Http
from connector.destinations.pacing import Pacer, Wire
from connector.destinations.reaching import reached
from connector.rules.delivery import NotApplied, Unknown, Withheld
from connector.rules.network import Network
from tests.destinations.test_connections import (
    BODY,
    LONG,
    PATH,
    PEM,
    SHORT,
    Peer,
    Server,
    answer,
    echoes,
    holds_nothing_of_a_request,
    hung_up,
    playing,
    post,
    resets,
    says_nothing,
    two_posts,
    url_of,
    with_http,
)
from tests.destinations.test_network import PASSWORD, Destination, Proxy, destination

__all__ = ["destination"]


# --- by a proxy ----------------------------------------------------------------------------------


def by_proxy(url: str, proxy: str, timeout: float = LONG) -> Response | NotApplied | Unknown:
    async def once() -> Response | NotApplied | Unknown:
        span = timedelta(seconds=timeout)
        http = Http(url, api_key("apikey", "k"), span, Wire(4, Pacer(1000)))
        http.go_out(Network.model_validate({"proxy": proxy, "ca_file": str(PEM)}), Path())
        try:
            return await http.once("POST", PATH, json_body(BODY))
        finally:
            await http.aclose()

    return asyncio.run(once())


def says(head: bytes) -> Callable[[Peer], None]:
    def scene(peer: Peer) -> None:
        peer.request()
        peer.say(head)

    return scene


@pytest.mark.parametrize(
    ("said", "timeout"),
    [
        (b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nContent-Length: 9\r\n\r\n", LONG),
        (b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1/\r\n\r\n", LONG),
        (b"HTTP/1.1 200 X\r\nX: " + b"x" * 100_000, LONG),
        (b"SSH-2.0-OpenSSH\r\n\r\n", LONG),
        (b"HTTP/1.1 103 X\r\n\r\n" * 10_000, LONG),
        (b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", LONG),
        (b"HTTP/1.1 200 X\r\n\r\nno TLS at all", LONG),
        (b"", SHORT),
        (b"HTTP/1.1 200 X\r\n\r\n", SHORT),
    ],
)
def test_whatever_a_proxy_says_instead_of_a_tunnel_nothing_is_sent(
    said: bytes, timeout: float
) -> None:
    with playing(says(said)) as proxy:
        outcome = by_proxy("https://127.0.0.1:1", url_of(proxy), timeout)

    assert isinstance(outcome, NotApplied)
    assert proxy.received.startswith(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
    assert not any(part in proxy.received for part in (PATH.encode(), BODY, b"apikey"))


def test_a_proxy_may_be_spoken_to_by_tls(destination: Destination) -> None:
    proxy = Proxy()
    real = proxy._serve

    def serve(client: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        outer = context.wrap_socket(client, server_side=True)
        real(outer)

    # TLS within TLS cannot be passed on by a `select` on sockets alone: one side at a time
    def tunnel(client: socket.socket, server: socket.socket) -> None:
        def pump(source: socket.socket, sink: socket.socket) -> None:
            while data := source.recv(65536):
                sink.sendall(data)

        back = threading.Thread(target=pump, args=(server, client), daemon=True)
        back.start()
        pump(client, server)

    proxy._serve, proxy._tunnel = serve, tunnel  # type: ignore[method-assign]

    made = by_proxy(destination.url, f"https://shop:{PASSWORD}@{proxy.address}")

    assert isinstance(made, Response)
    assert proxy.asked == [f"CONNECT {destination.url.removeprefix('https://')}"]
    assert len(destination.bodies) == 1
    proxy.close()


def test_plain_http_goes_to_a_proxy_with_the_whole_url() -> None:
    with playing(echoes) as proxy:
        made = by_proxy("http://127.0.0.1:1/api", url_of(proxy).replace("//", "//a:%40@"))

    assert isinstance(made, Response)
    head = proxy.received.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[:2] == [
        f"POST http://127.0.0.1:1/api{PATH} HTTP/1.1".encode(),
        b"Host: 127.0.0.1:1",
    ]
    assert b"Proxy-Authorization: Basic YTpA" in head


# --- which address -------------------------------------------------------------------------------


def of_addresses(*places: tuple[str, int]) -> Callable[..., list[Any]]:
    def resolved(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

    return resolved


def test_the_next_address_is_tried_where_one_takes_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with playing(says_nothing) as gone:
        pass
    with playing(echoes) as server:
        monkeypatch.setattr(socket, "getaddrinfo", of_addresses(gone.address, server.address))
        outcome = post("http://engage.invalid")

    assert isinstance(outcome, Response)
    assert (server.arrived(), len(server.peers)) == (1, 1)


def test_no_other_address_is_tried_once_a_request_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with playing(resets) as first, playing(echoes) as second:
        monkeypatch.setattr(socket, "getaddrinfo", of_addresses(first.address, second.address))
        outcome = post("http://engage.invalid")

    assert isinstance(outcome, Unknown)
    assert (first.arrived(), second.received) == (1, b"")


@pytest.mark.parametrize("addresses", [1, 2])
def test_whoever_gives_up_connecting_leaves_no_connection_behind(addresses: int) -> None:
    """Wherever it was: while a socket is connected, or has just been."""

    async def is_reached(server: Server, turns: int) -> bool:
        """Whether it was, within so many turns of the loop; else it is given up."""
        loop = asyncio.get_running_loop()
        found = of_addresses(*[server.address] * addresses)()
        with patch.object(loop, "getaddrinfo", AsyncMock(return_value=found)):
            connecting = asyncio.create_task(reached("engage.invalid", 80))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            try:
                (await connecting).close()
            except asyncio.CancelledError:
                return False
        return True

    async def each(server: Server) -> list[bool]:
        return [await is_reached(server, turns) for turns in range(20)]

    gc.disable()  # which closes what is left behind, some time later
    try:
        with playing(says_nothing) as server:  # it hears every connection to its end
            ends = asyncio.run(each(server))
    finally:
        gc.enable()

    assert set(ends) == {False, True}


def test_an_address_of_ipv6_is_one() -> None:
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with listening:
        threading.Thread(target=_answer_one, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        made = post(f"http://[::1]:{port}")

    assert isinstance(made, Response)
    assert made.content == f"[::1]:{port}".encode()


def _answer_one(listening: socket.socket) -> None:
    with listening.accept()[0] as connection:
        head = connection.recv(10_000).partition(b"Host: ")[2].partition(b"\r\n")[0]
        connection.sendall(answer(head))


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\x00", "a\x7f"])
def test_a_header_is_never_two(value: str) -> None:
    async def sent() -> None:
        await Connections("http://127.0.0.1:1", 5, 5).exchange(
            Request("POST", PATH, (("X", value),)), lambda: None
        )

    with pytest.raises(ValueError, match="no header of HTTP"):
        asyncio.run(sent())


def test_a_path_never_ends_its_line() -> None:
    with playing(echoes) as server:
        with_http(lambda http: http.get("/a b\r\nX: y/%2F/é#f", {"q": "ä &\r\n"}), url_of(server))

    assert server.received.startswith(
        b"GET /a%20b%0D%0AX:%20y/%2F/%C3%A9%23f?q=%C3%A4+%26%0D%0A HTTP/1.1\r\nHost: 127.0.0.1"
    )


# --- when ----------------------------------------------------------------------------------------


def test_an_answer_before_the_end_of_the_request_is_taken_and_the_rest_not_sent() -> None:
    """Such as a 413 (RFC 9112, section 9.3: the connection is good for nothing more)."""
    large = b"x" * 40_000_000

    def refuses(peer: Peer) -> None:
        peer.hear()
        peer.say(answer(b"too large", 413))

    async def both(http: Http) -> list[object]:
        return [
            await http.once("POST", PATH, json_body(large)),
            await http.once("POST", PATH, json_body(b"two")),
        ]

    with playing(refuses, echoes) as server:
        first, second = with_http(both, url_of(server))

    assert isinstance(first, Response)
    assert (first.status_code, first.content) == (413, b"too large")
    assert isinstance(second, Response)
    assert second.content == b"two"
    assert len(server.peers) == 2
    assert len(server.peers[0].received) < len(large) * 3 // 4


@pytest.mark.parametrize("phase", ["name", "handshake", "answer", "tunnel"])
def test_a_request_that_is_cancelled_leaves_no_connection(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = "http" if phase in ("name", "answer") else "https"
    heard = threading.Event()

    def hears(peer: Peer) -> None:
        peer.hear()
        heard.set()

    async def cancelled(url: str, proxy: str | None) -> None:
        http = Http(url, api_key("apikey", "k"), timedelta(seconds=LONG), Wire(4, Pacer(1000)))
        if proxy:
            http.go_out(Network.model_validate({"proxy": proxy}), Path())
        asking = asyncio.create_task(http.once("POST", PATH, json_body(BODY)))
        await asyncio.get_running_loop().run_in_executor(None, heard.wait, LONG)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await http.aclose()
        await hung_up()

    def silent(*_: object, **__: object) -> list[Any]:
        heard.set()
        done.wait(LONG)
        return []

    done = threading.Event()
    with playing(hears) as server:
        url = url_of(server, scheme)
        if phase == "name":
            monkeypatch.setattr(socket, "getaddrinfo", silent)
            url = "http://engage.invalid"
        threading.Timer(SHORT, done.set).start()
        asyncio.run(cancelled(url, url_of(server) if phase == "tunnel" else None))

    assert (phase == "answer") is not holds_nothing_of_a_request(
        server.received.replace(b"CONNECT 127.0.0.1:%d HTTP/1.1" % server.address[1], b"")
    )


def test_a_connection_that_has_idled_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEEPALIVE", 0.0)

    with playing(echoes) as server:
        assert two_posts(server) == [b"one", b"two"]

    assert (server.arrived(), len(server.peers)) == (2, 2)


def test_a_connection_that_nobody_uses_is_closed_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEEPALIVE", 0.05)

    async def one_and_then_none(http: Http) -> int:
        await http.once("POST", PATH, json_body(BODY))
        idle = len(http._connections._idle)
        await hung_up()
        return idle

    with playing(echoes) as server:
        assert with_http(one_and_then_none, url_of(server)) == 1


# --- and each of it is needed ---------------------------------------------------------------------


def test_without_the_look_at_the_socket_another_answer_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def between(peer: Peer) -> None:
        peer.say(answer(b"another"))
        peer.deliver()

    monkeypatch.setattr(Connection, "is_silent", Connection.is_open)

    with playing(echoes) as server:
        assert two_posts(server, between) == [b"one", b"another"]


def test_by_the_kind_of_its_error_a_request_that_arrived_would_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = Connection.ask

    async def by_its_kind(connection: Connection, *args: Any, **kwargs: Any) -> Response:
        try:
            return await ask(connection, *args, **kwargs)
        except NoAnswer as error:
            raise NeverSent(str(error)) from None

    monkeypatch.setattr(Connection, "ask", by_its_kind)

    with playing(resets) as server:
        outcome = post(url_of(server))

    assert isinstance(outcome, NotApplied)
    assert server.received.count(BODY) == 1


def test_with_the_last_look_before_connecting_a_request_would_be_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late: list[str] = []
    real, connected = Connections.exchange, Connections._connected

    async def looking_early(connections: Connections, request: Request, look: Any) -> Response:
        if why_not := look():
            raise CalledOff(why_not)
        return await real(connections, request, lambda: None)

    async def slowly(connections: Connections, until: float) -> Connection:
        late.append("it is too late by now")
        return await connected(connections, until)

    def look() -> str | None:
        return late[0] if late else None

    monkeypatch.setattr(Connections, "_connected", slowly)
    with playing(echoes) as server:
        right = with_http(
            lambda http: http.once("POST", PATH, json_body(BODY), look), url_of(server)
        )
        late.clear()
        monkeypatch.setattr(Connections, "exchange", looking_early)
        wrong = with_http(
            lambda http: http.once("POST", PATH, json_body(BODY), look), url_of(server)
        )

    assert isinstance(right, Withheld)
    assert isinstance(wrong, Response)
