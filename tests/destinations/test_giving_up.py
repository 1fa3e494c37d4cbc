"""A request goes out in time or not at all, and once it is given up, nothing of it arrives."""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from connector.destinations.answers import Response
from connector.destinations.bodies import json_body
from connector.destinations.http import Http
from connector.rules.delivery import NotApplied, Unknown, Withheld
from tests.destinations.test_connections import (
    BODY,
    LONG,
    PATH,
    SHORT,
    Peer,
    echoes,
    playing,
    post,
    says_nothing,
    secured,
    trusted,
    url_of,
    with_http,
)

__all__ = ["trusted"]
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
LATE = "it is too late by now"
LARGE = b"x" * 40_000_000
"""More than the kernels of both sides keep."""
Sent = Callable[[Http, Callable[[], str | None]], object]
Outcome = Response | NotApplied | Unknown


async def posted(http: Http, look: Callable[[], str | None]) -> Outcome:
    return await http.once("POST", PATH, json_body(BODY), look)


async def deleted(http: Http, look: Callable[[], str | None]) -> Outcome:
    return await http.once("DELETE", PATH, None, look)


@pytest.mark.parametrize("send", [posted, deleted])
def test_the_last_look_is_taken_when_the_connection_is_there(
    send: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make one takes longer than a request may lie about."""
    real, connecting = socket.getaddrinfo, []

    def resolved(*arguments: Any, **more: Any) -> object:
        connecting.append(arguments)
        return real("127.0.0.1", *arguments[1:], **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)

    async def late_then_in_time(http: Http) -> list[object]:
        late = await send(http, lambda: LATE if connecting else None)  # type: ignore[misc]
        return [late, await http.once("POST", PATH, json_body(BODY))]

    with playing(echoes) as server:
        url = url_of(server).replace("127.0.0.1", "engage.invalid")
        late, in_time = with_http(late_then_in_time, url)

    assert late == Withheld(f"not sent: {LATE}")
    assert isinstance(in_time, Response)
    assert server.received.count(PATH.encode()) == 1
    assert len(server.peers) == 1, "the connection was good"


@pytest.mark.parametrize("send", [posted, deleted])
def test_a_reason_in_any_look_keeps_every_byte_from_being_written(send: Sent) -> None:
    looks = 0

    def outcome_with(url: str, reason_from: int) -> Outcome:
        nonlocal looks
        looks = 0

        def look() -> str | None:
            nonlocal looks
            looks += 1
            return LATE if looks >= reason_from else None

        return with_http(lambda http: send(http, look), url)  # type: ignore[arg-type, return-value]

    with playing(echoes) as server:
        assert isinstance(outcome_with(url_of(server), 1000), Response)
    taken = looks

    with playing(echoes) as server:
        for number in range(1, taken + 1):
            assert outcome_with(url_of(server), number) == Withheld(f"not sent: {LATE}")

    assert taken >= 3  # before and after it has its turn, and with its connection
    assert server.received.strip() == b""


class Listener:
    """Reads nothing until it may, and then a piece after the other; tells how it ended."""

    __name__ = "listens"

    def __init__(self, at_once: bool) -> None:
        self.may_read, self.end, self.received = threading.Event(), "", 0
        if at_once:
            self.may_read.set()

    def __call__(self, peer: Peer) -> None:
        self.may_read.wait(LONG)
        try:
            while data := peer.socket.recv(200_000):
                self.received += len(data)
                threading.Event().wait(0.01)  # slower than it is written
            self.end = "a farewell"
        except ConnectionResetError:
            self.end = "a reset"


@pytest.mark.parametrize(
    "body", [BODY, LARGE], ids=["that the kernel has taken", "that it has not"]
)
def test_of_a_request_that_was_given_up_nothing_more_arrives(body: bytes) -> None:
    deaf = Listener(at_once=False)
    with playing(deaf) as server:
        outcome = with_http(
            lambda http: http.once("POST", PATH, json_body(body)), url_of(server), SHORT
        )
        deaf.may_read.set()

    assert isinstance(outcome, Unknown)
    assert deaf.end == "a reset"
    assert deaf.received < len(LARGE) // 2


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_was_not_written_yet_is_not_written_any_more(scheme: str) -> None:
    slow = Listener(at_once=True)
    with playing(secured(slow) if scheme == "https" else slow) as server:
        outcome = with_http(
            lambda http: http.once("POST", PATH, json_body(LARGE)), url_of(server, scheme), SHORT
        )

    assert isinstance(outcome, Unknown)
    assert slow.end == "a reset" or scheme == "https"  # which reads a reset as an end
    assert slow.received < len(LARGE) * 3 // 4


def test_a_task_that_is_cancelled_leaves_nothing_on_its_way() -> None:
    deaf = Listener(at_once=False)

    async def cancelled(http: Http) -> None:
        sending = asyncio.create_task(http.once("POST", PATH, json_body(LARGE)))
        await asyncio.sleep(SHORT)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    with playing(deaf) as server:
        with_http(cancelled, url_of(server))
        deaf.may_read.set()

    assert deaf.end == "a reset"


def test_a_connection_that_idles_is_closed_as_one_closes_connections() -> None:
    ends: list[str] = []

    def answers_and_listens(peer: Peer) -> None:
        body = peer.request()
        assert body is not None
        peer.say(b"HTTP/1.1 201 X\r\nContent-Length: 2\r\n\r\n{}")
        try:
            ends.append("a farewell" if peer.hear() == b"" else "something")
        except ConnectionResetError:
            ends.append("a reset")

    with playing(answers_and_listens) as server:
        post(url_of(server))

    assert ends == ["a farewell"]


MONTH = 30 * 86400.0


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has it")
@pytest.mark.parametrize(("seconds", "expected"), [(SHORT, 400), (MONTH, 2**31 - 1)])
def test_the_kernel_gives_up_when_we_would_though_the_process_stands_still(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: int
) -> None:
    """As late as it can, where that is later than it counts."""
    limits: list[int] = []
    real = socket.socket.setsockopt

    def watched(sock: socket.socket, level: int, option: int, *value: int) -> None:
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT):
            limits.append(value[0])
        real(sock, level, option, *value)

    class Watched(socket.socket):
        setsockopt = watched  # type: ignore[assignment]

    monkeypatch.setattr(socket, "socket", Watched)

    with playing(says_nothing if seconds == SHORT else echoes) as server:
        post(url_of(server), seconds)

    assert limits == [expected]
