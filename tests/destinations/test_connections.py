"""What of a request arrives, whatever becomes of its connection: counted at the server."""

import asyncio
import fcntl
import gzip
import itertools
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from connector.destinations.answers import Failure, NeverSent, NoAnswer, Request, Response
from connector.destinations.bodies import json_body
from connector.destinations.connections import Connections
from connector.destinations.credentials import api_key
from connector.destinations.http import Http
from connector.destinations.pacing import Pacer, Wire
from connector.rules.delivery import NotApplied, Unknown, Withheld

T = TypeVar("T")
FIRST, PATH, BODY, KEY = "/first", "/the-path", b'{"the": "body"}', "the-key"
METHODS = ("POST", "DELETE", "GET")
SHORT = 0.4
LONG = 10.0
PEM = Path(__file__).parent / "loopback.pem"
"""A key of no value, and its certificate for 127.0.0.1 that nobody but these tests trusts."""


class Peer:
    """One connection as the server has it, and every byte that came on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket, self.received, self._left = connection, b"", b""

    def hear(self, most: int = 65536) -> bytes:
        data = self.socket.recv(most)
        self.received += data
        self._left += data
        return data

    def request(self) -> bytes | None:
        """The body of the next request; None when there comes no more."""
        while b"\r\n\r\n" not in self._left:
            if not self.hear():
                return None
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        while len(self._left) < length:
            if not self.hear():
                return None
        body, self._left = self._left[:length], self._left[length:]
        return body

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def deliver(self) -> None:
        """Wait until the client's machine has all that was said, whether it is read or not."""
        while struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0]:
            time.sleep(0.001)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Scene = Callable[[Peer], object]


class Server:
    """Plays the first scene on the first connection and so on, and then the last for ever."""

    def __init__(self, *scenes: Scene) -> None:
        self.peers: list[Peer] = []
        self._scenes = scenes
        self._players: list[Any] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self._socket.getsockname()
        self._goodbye = ("", 0)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        for number in itertools.count():
            connection, address = self._socket.accept()
            if address == self._goodbye:
                connection.close()
                break
            self.peers.append(peer := Peer(connection))
            scene = self._scenes[min(number, len(self._scenes) - 1)]
            self._players.append(threading.Thread(target=_play, args=(peer, scene), daemon=True))
            self._players[-1].start()

    def end(self) -> None:
        """Take every connection there is, and hear it to its end."""
        with socket.socket() as last:
            last.bind(("127.0.0.1", 0))
            self._goodbye = last.getsockname()
            last.connect(self.address)
            self._accepting.join(10)
        self._socket.close()
        for player in self._players:
            player.join(10)
            assert not player.is_alive()

    @property
    def received(self) -> bytes:
        return b"\n".join(peer.received for peer in self.peers)

    def arrived(self, method: str = "POST") -> int:
        return self.received.count(f"{method} {PATH} ".encode())


def _play(peer: Peer, scene: Scene) -> None:
    try:
        with suppress(OSError):
            scene(peer)
            while peer.hear():
                pass
    finally:
        peer.socket.close()


@contextmanager
def playing(*scenes: Scene) -> Iterator[Server]:
    server = Server(*scenes)
    try:
        yield server
    finally:
        server.end()


def url_of(server: Server, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.address[1]}"


def answer(body: bytes = b'{"id": "i1"}', status: int = 201, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def connections_to(url: str, timeout: float = LONG) -> Connections:
    """As http.py makes them."""
    return Connections(url, timeout / 2, timeout)


async def once(
    connections: Connections, method: str, path: str, body: bytes = BODY
) -> Response | Failure:
    """One request, as http.py makes it."""
    request = Request(method, path, (("apikey", KEY),), body if method == "POST" else b"")
    try:
        return await connections.exchange(request, lambda: None)
    except Failure as failure:
        return failure


async def hung_up() -> None:
    """Until no connection is left: with TLS, each takes its leave of the server."""
    waits_for = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
    async with asyncio.timeout(LONG):
        while len(waits_for) > 1:  # the loop itself is one
            await asyncio.sleep(0.001)
    await settled()


async def settled() -> None:
    """Until nobody goes on by himself."""
    for _ in range(5):
        await asyncio.sleep(0)


def side_by_side(
    server: Server, timeout: float, kept: bool = False, scheme: str = "http"
) -> list[Response | Failure]:
    """What becomes of a request by each method, each with its own connections; `kept`: these are
    not fresh."""

    url = url_of(server, scheme)

    async def one(method: str, connections: Connections) -> Response | Failure:
        try:
            if kept:
                first = await once(connections, method, FIRST)
                assert isinstance(first, Response)
                connections._whole = timeout
            return await once(connections, method, PATH)
        finally:
            await connections.aclose()

    async def all_of_them() -> list[Response | Failure]:
        fresh = [connections_to(url, LONG if kept else timeout) for _ in METHODS]
        ends = await asyncio.gather(*map(one, METHODS, fresh))
        await hung_up()
        return ends

    return asyncio.run(all_of_them())


def with_http(use: Callable[[Http], Awaitable[T]], url: str, timeout: float = LONG) -> T:
    async def used() -> T:
        span = timedelta(seconds=timeout)
        http = Http(url, api_key("apikey", KEY), span, Wire(4, Pacer(1000)))
        try:
            return await use(http)
        finally:
            await http.aclose()
            await hung_up()

    return asyncio.run(used())


def post(url: str, timeout: float = LONG) -> Response | NotApplied | Unknown:
    return with_http(lambda http: http.once("POST", PATH, json_body(BODY)), url, timeout)


# --- no answer ---------------------------------------------------------------------------------


def resets(peer: Peer) -> None:
    peer.request()
    peer.reset()


def resets_at_the_first_byte(peer: Peer) -> None:
    peer.hear(1)
    peer.reset()


def closes(peer: Peer) -> None:
    peer.request()
    peer.close()


def closes_at_the_first_byte(peer: Peer) -> None:
    peer.hear(1)
    peer.close()


def closes_within_the_head(peer: Peer) -> None:
    peer.request()
    peer.say(answer()[:20])
    peer.close()


def closes_within_the_answer(peer: Peer) -> None:
    peer.request()
    peer.say(answer()[:-5])
    peer.close()


def resets_within_the_answer(peer: Peer) -> None:
    peer.request()
    peer.say(answer()[:-5])
    peer.deliver()
    peer.reset()


def closes_within_a_chunk(peer: Peer) -> None:
    peer.request()
    peer.say(b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{")
    peer.close()


def breaks_its_chunks(peer: Peer) -> None:
    peer.request()
    peer.say(b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{")


def breaks_its_chunks_later(peer: Peer) -> None:
    peer.request()
    peer.say(b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    peer.deliver()
    peer.say(b"zz\r\n{")


def breaks_its_gzip(peer: Peer) -> None:
    peer.request()
    peer.say(answer(b"no gzip at all", headers="Content-Encoding: gzip\r\n"))


def talks_something_else(peer: Peer) -> None:
    peer.request()
    peer.say(b"220 mail.example.com ESMTP\r\n")


def has_a_header_without_end(peer: Peer) -> None:
    peer.request()
    peer.say(b"HTTP/1.1 201 X\r\nX: " + b"x" * 100_000)


def has_two_lengths(peer: Peer) -> None:
    peer.request()
    peer.say(answer(headers="Content-Length: 3\r\n"))


def says_continue_and_closes(peer: Peer) -> None:
    peer.request()
    peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    peer.close()


def says_nothing(peer: Peer) -> None:
    peer.request()


def stops_within_the_answer(peer: Peer) -> None:
    peer.request()
    peer.say(answer()[:-5])


def trickles(peer: Peer) -> None:
    peer.request()
    peer.say(answer(b"x" * 1_000_000)[:100])
    while True:
        peer.say(b"x")
        time.sleep(0.02)


def hints_for_ever(peer: Peer) -> None:
    peer.request()
    while True:
        peer.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.02)


SILENT = [
    says_nothing,
    stops_within_the_answer,
    trickles,
    hints_for_ever,
]
BROKEN = [
    resets,
    resets_at_the_first_byte,
    closes,
    closes_at_the_first_byte,
    closes_within_the_head,
    closes_within_the_answer,
    resets_within_the_answer,
    closes_within_a_chunk,
    breaks_its_chunks,
    breaks_its_chunks_later,
    breaks_its_gzip,
    talks_something_else,
    has_a_header_without_end,
    has_two_lengths,
    says_continue_and_closes,
]
WITHOUT_AN_ANSWER = [(scene, SHORT) for scene in SILENT] + [(scene, LONG) for scene in BROKEN]


def names(value: object) -> str | None:
    return getattr(value, "__name__", "")


def on_a_kept_connection(scene: Scene) -> Scene:
    def played(peer: Peer) -> None:
        peer.request()
        peer.say(answer())
        scene(peer)

    return played


@pytest.mark.parametrize(("scene", "timeout"), WITHOUT_AN_ANSWER, ids=names)
def test_a_post_or_a_delete_without_an_answer_is_unknown_and_arrives_once(
    scene: Scene, timeout: float
) -> None:
    async def both(http: Http) -> tuple[object, ...]:
        return await asyncio.gather(
            http.once("POST", PATH, json_body(BODY)), http.once("DELETE", PATH)
        )

    with playing(scene) as server:
        outcomes = with_http(both, url_of(server), timeout)

    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]
    assert len(server.peers) == 2
    assert server.arrived("POST") <= 1 >= server.arrived("DELETE")


@pytest.mark.parametrize("kept", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize(("scene", "timeout"), WITHOUT_AN_ANSWER, ids=names)
def test_no_request_is_repeated_and_none_that_began_counts_as_never_sent(
    scene: Scene, timeout: float, kept: bool
) -> None:
    with playing(on_a_kept_connection(scene) if kept else scene) as server:
        began = time.monotonic()
        errors = side_by_side(server, timeout, kept)
        took = time.monotonic() - began

    assert took < LONG / 2
    for error in errors:
        assert isinstance(error, NoAnswer)
    assert len(server.peers) == len(METHODS)
    assert max(server.arrived(method) for method in METHODS) <= 1
    assert server.received.count(BODY) <= 1 + kept


def test_a_request_on_a_kept_connection_has_all_of_its_time() -> None:
    """One alarm looks after many requests: what it was set for is answered long since."""

    async def second(url: str) -> float:
        connections, loop = connections_to(url, SHORT), asyncio.get_running_loop()
        assert isinstance(await once(connections, "POST", FIRST), Response)
        await asyncio.sleep(SHORT / 2)
        began = loop.time()
        failure = await once(connections, "POST", PATH)
        took = loop.time() - began
        await connections.aclose()
        assert str(failure) == "no answer within the time-out"
        return took

    with playing(on_a_kept_connection(says_nothing)) as server:
        took = asyncio.run(second(url_of(server)))

    assert len(server.peers) == 1
    assert SHORT <= took < LONG / 2


# --- answers that a client may act upon ----------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    with playing(lambda peer: peer.request()) as elsewhere:

        def redirects(peer: Peer) -> None:
            peer.request()
            peer.say(answer(b"", status, f"Location: {url_of(elsewhere)}{PATH}\r\n"))

        with playing(redirects) as server:
            response = post(url_of(server))

    assert isinstance(response, Response)
    assert response.status_code == status
    assert elsewhere.peers == []
    assert (server.arrived(), len(server.peers)) == (1, 1)


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (401, "WWW-Authenticate: Basic realm=x"),
        (401, 'WWW-Authenticate: Digest realm="x", nonce="y", qop="auth"'),
        (407, "Proxy-Authenticate: Basic realm=x"),
        (408, "Retry-After: 0"),
        (408, "Connection: close"),
        (417, "X: y"),
        (421, "X: y"),
        (425, "Retry-After: 0"),
        (426, "Upgrade: h2c\r\nConnection: upgrade"),
        (429, "Retry-After: 0"),
        (503, "Retry-After: 0"),
    ],
)
def test_an_answer_that_invites_to_try_again_is_an_answer(status: int, header: str) -> None:
    def invites(peer: Peer) -> None:
        peer.request()
        peer.say(answer(b"no", status, f"{header}\r\n"))

    with playing(invites) as server:
        response = post(url_of(server))

    assert isinstance(response, Response)
    assert (response.status_code, response.content) == (status, b"no")
    assert (server.arrived(), server.received.count(BODY), len(server.peers)) == (1, 1, 1)


@pytest.mark.parametrize("hint", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_what_comes_before_the_answer_is_not_the_answer(hint: str) -> None:
    def hints(peer: Peer) -> None:
        peer.request()
        peer.say(f"HTTP/1.1 {hint}\r\n\r\n".encode() * 2 + answer())

    with playing(hints) as server:
        response = post(url_of(server))

    assert isinstance(response, Response)
    assert response.status_code == 201
    assert (server.arrived(), server.received.count(BODY)) == (1, 1)


# --- never sent ----------------------------------------------------------------------------------


def secured(scene: Scene, setting: Callable[[ssl.SSLContext], object] = id) -> Scene:
    def played(peer: Peer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        setting(context)
        peer.socket = context.wrap_socket(peer.socket, server_side=True)
        scene(peer)

    played.__name__ = f"{scene.__name__} {setting.__name__}"
    return played


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))


def holds_nothing_of_a_request(received: bytes) -> bool:
    return not any(part in received for part in (PATH.encode(), BODY, KEY.encode(), b"HTTP/1.1"))


def answers_in_plain_text(peer: Peer) -> None:
    peer.hear()
    peer.say(answer(b"", 400))


def closes_within_the_handshake(peer: Peer) -> None:
    peer.hear()
    peer.close()


def resets_within_the_handshake(peer: Peer) -> None:
    peer.hear()
    peer.reset()


def stops_within_the_handshake(peer: Peer) -> None:
    peer.hear()


@pytest.mark.parametrize(
    ("scene", "timeout"),
    [
        (answers_in_plain_text, LONG),
        (closes_within_the_handshake, LONG),
        (resets_within_the_handshake, LONG),
        (stops_within_the_handshake, SHORT),
    ],
    ids=names,
)
def test_nothing_is_sent_before_the_handshake_is_done(scene: Scene, timeout: float) -> None:
    with playing(scene) as server:
        outcome = post(url_of(server, "https"), timeout)
        errors = side_by_side(server, timeout, scheme="https")

    assert isinstance(outcome, NotApplied)
    assert all(isinstance(error, NeverSent) for error in errors)
    assert len(server.peers) == 1 + len(METHODS)
    for peer in server.peers:
        (length,) = struct.unpack(">H", peer.received[3:5])
        assert peer.received[0] == 22  # the client's greeting, and at most one alert
        assert peer.received[5 + length :][:1] in (b"", b"\x15")
        assert holds_nothing_of_a_request(peer.received)


def test_nothing_is_sent_to_a_server_whose_certificate_nobody_trusts() -> None:
    with playing(secured(says_nothing)) as server:
        outcome = post(url_of(server, "https"))

    assert isinstance(outcome, NotApplied)
    assert server.received == b""


@pytest.mark.usefixtures("trusted")
def test_nothing_is_sent_to_a_server_whose_certificate_is_for_another_name() -> None:
    with playing(secured(says_nothing)) as server:
        outcome = post(f"https://localhost:{server.address[1]}")

    assert isinstance(outcome, NotApplied)
    assert server.received == b""


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_is_sent_where_nobody_listens(scheme: str) -> None:
    with playing(says_nothing) as server:
        pass

    assert post(url_of(server, scheme)) == NotApplied("not sent: could not connect")


def test_nothing_is_sent_where_nobody_takes_the_connection() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        place = listening.getsockname()
        before_us = [socket.socket() for _ in range(3)]  # as many as wait, and more
        for other in before_us:
            other.setblocking(False)
            other.connect_ex(place)

        outcome = post(f"http://127.0.0.1:{place[1]}", SHORT)

        for other in before_us:
            other.close()
        listening.setblocking(False)
        received = b""
        with suppress(BlockingIOError):
            while True:
                with listening.accept()[0] as connection:
                    received += connection.recv(1000)
    assert outcome == NotApplied("not sent: connecting took too long")
    assert received == b""


def test_nothing_is_sent_where_the_name_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert post("http://engage.invalid") == NotApplied("not sent: could not connect")


def test_nothing_is_sent_while_nobody_tells_what_the_name_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()

    def silent(*_: object, **__: object) -> None:
        answered.wait(LONG)
        raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")

    async def sent(http: Http) -> object:
        try:
            return await http.once("POST", PATH, json_body(BODY))
        finally:
            answered.set()

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    outcome = with_http(sent, "http://engage.invalid", SHORT)
    assert outcome == NotApplied("not sent: connecting took too long")


def wants_a_certificate(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(PEM)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("scene", "timeout"),
    [
        (secured(closes), LONG),
        (secured(closes_at_the_first_byte), LONG),
        (secured(closes_within_the_answer), LONG),
        (secured(resets), LONG),
        (secured(resets_within_the_answer), LONG),
        (secured(Peer.close), LONG),
        (secured(says_nothing), SHORT),
        (secured(says_nothing, wants_a_certificate), LONG),
    ],
    ids=names,
)
def test_what_fails_after_the_handshake_may_have_been_sent(scene: Scene, timeout: float) -> None:
    with playing(scene) as server:
        outcome = post(url_of(server, "https"), timeout)
        errors = side_by_side(server, timeout, scheme="https")

    assert isinstance(outcome, Unknown)
    for error in errors:
        assert isinstance(error, NoAnswer)
    assert len(server.peers) == 1 + len(METHODS)
    assert server.received.count(BODY) <= 2


def test_a_reason_in_the_last_look_keeps_everything_from_being_sent() -> None:
    async def refused(http: Http) -> list[object]:
        return [
            await http.once("POST", PATH, json_body(BODY), lambda: "the lease is lost"),
            await http.once("DELETE", PATH, None, lambda: "the lease is lost"),
        ]

    with playing(says_nothing) as server:
        outcomes = with_http(refused, url_of(server))

    assert outcomes == [Withheld("not sent: the lease is lost")] * 2
    assert server.peers == []


# --- what lies on a connection -------------------------------------------------------------------


def echoes(peer: Peer) -> None:
    while (body := peer.request()) is not None:
        peer.say(answer(body))


UNASKED = {
    "another answer": answer(b"another"),
    "an answer without a body": b"HTTP/1.1 204 X\r\n\r\n",
    "a 408": answer(b"", 408, "Connection: close\r\n"),
    "a hint": b"HTTP/1.1 103 X\r\n\r\n",
    "something else": b"so long\r\n\r\n",
}


def two_posts(
    server: Server, between: Callable[[Peer], Awaitable[None]] | None = None
) -> list[bytes]:
    """What two POSTs are answered; `between` them it is the server's turn."""

    async def both(http: Http) -> list[bytes]:
        responses = [await http.once("POST", PATH, json_body(b"one"))]
        if between:
            await between(server.peers[0])
        responses.append(await http.once("POST", PATH, json_body(b"two")))
        return [r.content if isinstance(r, Response) else b"" for r in responses]

    return with_http(both, url_of(server))


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "not yet seen"])
@pytest.mark.parametrize("unasked", UNASKED)
def test_what_comes_between_two_requests_is_not_the_answer_to_the_second(
    unasked: str, seen: bool
) -> None:
    async def between(peer: Peer) -> None:
        peer.say(UNASKED[unasked])
        peer.deliver()
        if seen:  # by the event loop
            await settled()

    with playing(echoes) as server:
        assert two_posts(server, between) == [b"one", b"two"]

    assert (server.arrived(), len(server.peers)) == (2, 2)


@pytest.mark.parametrize("unasked", [*UNASKED.values(), answer()[:20], b"H", b"\x00"])
def test_what_is_in_one_piece_with_an_answer_is_not_the_answer_to_the_next(unasked: bytes) -> None:
    def echoes_and_goes_on(peer: Peer) -> None:
        while (body := peer.request()) is not None:
            peer.say(answer(body) + unasked)

    with playing(echoes_and_goes_on) as server:
        assert two_posts(server) == [b"one", b"two"]

    assert (server.arrived(), len(server.peers)) == (2, 2)


def test_the_beginning_of_something_unasked_is_no_part_of_the_next_answer() -> None:
    async def between(peer: Peer) -> None:
        peer.say(answer(b"another")[:20])
        peer.deliver()
        await settled()

    with playing(echoes) as server:
        assert two_posts(server, between) == [b"one", b"two"]

    assert server.arrived() == 2


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "not yet seen"])
def test_a_connection_that_was_closed_in_time_is_not_used_again(seen: bool) -> None:
    async def between(peer: Peer) -> None:
        peer.socket.shutdown(socket.SHUT_WR)
        peer.deliver()
        if seen:
            await settled()

    with playing(echoes) as server:
        assert two_posts(server, between) == [b"one", b"two"]

    assert (server.arrived(), len(server.peers)) == (2, 2)


def test_a_connection_on_which_nothing_lies_is_used_again() -> None:
    with playing(echoes) as server:
        assert two_posts(server) == [b"one", b"two"]

    assert (server.arrived(), len(server.peers)) == (2, 1)


@pytest.mark.usefixtures("trusted")
def test_a_connection_with_tls_is_used_again() -> None:
    with playing(secured(echoes)) as server:
        server_url = url_of(server, "https")

        async def three(http: Http) -> list[object]:
            return [await http.once("POST", PATH, json_body(BODY)) for _ in range(3)]

        responses = with_http(three, server_url)

    assert all(isinstance(response, Response) for response in responses)
    assert (server.arrived(), len(server.peers)) == (3, 1)


# --- answers of every form -----------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n"
FORMS = {
    "in chunks": CHUNKED + b'5\r\n{"id"\r\n6;x=y\r\n: "i1"\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n',
    "compressed": answer(gzip.compress(b'{"id": "i1"}'), headers="Content-Encoding: gzip\r\n"),
    "one that names its length": answer(),
}
LAST = {
    "HTTP/1.0": b'HTTP/1.0 201 X\r\n\r\n{"id": "i1"}',
    "HTTP/1.0 with a length": answer().replace(b"1.1", b"1.0"),
    "Connection: close": answer(headers="Connection: close\r\n"),
    "without a length": b'HTTP/1.1 201 X\r\n\r\n{"id": "i1"}',
}


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_is_read_in_every_form(form: str) -> None:
    def answers(peer: Peer) -> None:
        while peer.request() is not None:
            peer.say(FORMS[form])

    with playing(answers) as server:
        assert two_posts(server) == [b'{"id": "i1"}'] * 2

    assert (server.arrived(), len(server.peers)) == (2, 1)


@pytest.mark.parametrize("form", LAST)
def test_after_the_last_answer_of_a_connection_comes_another_connection(form: str) -> None:
    def answers_and_closes(peer: Peer) -> None:
        peer.request()
        peer.say(LAST[form])
        peer.close()

    with playing(answers_and_closes) as server:
        assert two_posts(server) == [b'{"id": "i1"}'] * 2

    assert (server.arrived(), len(server.peers)) == (2, 2)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_can_have_no_body_is_whole_after_its_head(status: int) -> None:
    def answers(peer: Peer) -> None:
        while peer.request() is not None:
            peer.say(f"HTTP/1.1 {status} X\r\n\r\n".encode())

    with playing(answers) as server:
        responses = side_by_side(server, LONG, kept=True)

    assert [r.status_code for r in responses if isinstance(r, Response)] == [status] * 3
    assert len(server.peers) == len(METHODS)


# --- many at once --------------------------------------------------------------------------------


def test_two_hundred_at_once_arrive_once_each_and_get_their_own_answers() -> None:
    numbers = [f'{{"n": {number}}}'.encode() for number in range(1000, 1200)]

    def takes_its_time(peer: Peer) -> None:
        while (body := peer.request()) is not None:
            time.sleep(0.05)
            peer.say(answer(body))

    async def all_of_them() -> list[object]:
        connections = connections_to(url)
        try:
            requests = (once(connections, "POST", PATH, number) for number in numbers)
            return await asyncio.gather(*requests)
        finally:
            await connections.aclose()
            await hung_up()

    with playing(takes_its_time) as server:
        url = url_of(server)
        responses = asyncio.run(all_of_them())

    assert [r.content for r in responses if isinstance(r, Response)] == numbers
    assert [server.received.count(number) for number in numbers] == [1] * 200
    assert len(server.peers) == 200
