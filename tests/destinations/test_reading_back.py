"""What each answer to GET /interactions/{id} means: there, gone, or nobody can say."""

import asyncio
import json
import socket

import pytest

from connector.rules.errors import DestinationUnusable
from connector.rules.read_back import Absent, Shown, Unread
from tests.destinations.engages import GUID, a_client
from tests.destinations.test_outcomes import Script, scripted

INTERACTION = {
    "id": "i-1",
    "contactId": GUID,
    "schemaId": "visit",
    "createdDate": "2026-11-01T10:00:00.000Z",
    "payload": {"visitId": "v1"},
    "self": {"href": "unknown fields are passed over"},
}
GONE = '{"errorCode": "InteractionNotFound", "message": "Interaction not found"}'
NO_ROUTE = '{"Message": "No HTTP resource was found that matches \'/api/v3/interactions/i-1\'."}'


def read(url: str, interaction_id: str = "i-1") -> object:
    async def ask() -> object:
        engage = a_client(url)
        try:
            return await engage.interaction(interaction_id)
        finally:
            await engage.aclose()

    return asyncio.run(ask())


def body(**over: object) -> str:
    return json.dumps({name: v for name, v in (INTERACTION | over).items() if v is not ...})


@pytest.mark.parametrize("interaction_id", ["i-1", "I-1"])
def test_an_interaction_is_shown_with_its_contact(interaction_id: str) -> None:
    with scripted(200, body()) as server:
        shown = read(server.url, interaction_id)

    assert isinstance(shown, Shown)
    assert (shown.contact_id, shown.stored.id) == (GUID, "i-1")
    assert shown.stored.payload == {"visitId": "v1"}
    assert shown.stored.created is not None
    assert shown.stored.created.isoformat() == "2026-11-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, GONE),
        (410, ""),
        (400, GONE),
        (400, '{"message": "There is no such interaction"}'),
        (404, '{"message": "The interaction does not exist"}'),
    ],
)
def test_an_interaction_that_is_not_there_is_absent(status: int, words: str) -> None:
    with scripted(status, words) as server:
        assert read(server.url) == Absent()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, ""),
        (403, "{}"),
        (301, ""),
        (405, ""),
        (404, ""),
        (404, "<html>not here</html>"),
        (404, NO_ROUTE),
        (404, '{"message": "no Route matched with those values"}'),
        (500, '{"errorCode": "InvalidSystemConfiguration"}'),
    ],
)
def test_what_would_meet_every_interaction_is_not_taken_for_absence(
    status: int, words: str
) -> None:
    location = "Location: http://127.0.0.1:1/\r\n"

    with scripted(status, words, location) as server, pytest.raises(DestinationUnusable):
        read(server.url)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "null",
        "[]",
        "<html>",
        "{",
        "{}",
        body(id=...),
        body(contactId=...),
        body(contactId=""),
        body(contactId=7),
        body(id="i-2"),
    ],
)
def test_a_2xx_without_the_interaction_says_nothing(answer: str) -> None:
    with scripted(200, answer) as server:
        unread = read(server.url)

    assert isinstance(unread, Unread)
    assert unread.answered


@pytest.mark.parametrize("status", [400, 409, 418, 422])
def test_another_error_says_nothing(status: int) -> None:
    with scripted(status, '{"message": "oh"}') as server:
        assert read(server.url) == Unread(f"reading back failed: HTTP {status}: oh")
        assert server.requests == 1


def test_a_server_that_fails_each_time_is_silent() -> None:
    with scripted(503, "") as server:
        assert read(server.url) == Unread("reading back failed: HTTP 503", answered=False)
        assert server.requests == 4


class Listener(Script):
    """A server that remembers the first line of each request."""

    def __init__(self, answer: bytes) -> None:
        self.lines: list[bytes] = []
        super().__init__(answer)

    def _read(self, connection: socket.socket) -> None:  # type: ignore[override]
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        self.lines.append(data.partition(b"\r\n")[0])


def test_an_id_stays_in_its_place_in_the_path() -> None:
    server = Listener(b"HTTP/1.1 410 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    try:
        read(server.url, "a/../b?c=d#e f")
    finally:
        server.socket.close()

    assert server.lines == [b"GET /api/v3/interactions/a%2F..%2Fb%3Fc%3Dd%23e%20f HTTP/1.1"]
