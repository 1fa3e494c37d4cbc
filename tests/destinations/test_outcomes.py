"""What each answer of an Engage means for the row: the outcome table, line by line."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from connector.destinations.engage import ContactMapping, Identifier
from connector.rules.delivery import (
    Accepted,
    Ambiguous,
    Found,
    Missing,
    NotApplied,
    Refused,
    Unknown,
)
from connector.rules.errors import DestinationUnusable
from tests.destinations.engages import GUID, a_client, a_parcel, an_activation, sent

COUNTED = b"HTTP/1.1 200 X\r\nContent-Length: 1\r\nConnection: close\r\n\r\n5"
"""How many contacts there are."""


class Script:
    """A server that gives one scripted answer to every request, byte for byte."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.requests, self.counts = answer, 0, False
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):
                head = self._read(connection)
                self.requests += 1
                counts = self.counts and b"/contacts/count" in head
                connection.sendall(COUNTED if counts else self.answer)

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65536)):
                raise ConnectionError("it has gone without a request")
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        for line in head.lower().splitlines():
            if line.startswith(b"content-length:"):
                missing = int(line.split(b":")[1]) - len(rest)
                while missing > 0:
                    missing -= len(connection.recv(65536))
        return head


def answer_of(status: int, body: str = "", headers: str = "") -> bytes:
    """An answer, byte for byte."""
    content = body.encode()
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nConnection: close\r\n{headers}"
    )
    return head.encode() + b"\r\n" + content


@contextmanager
def scripted(
    status: int, body: str = "", headers: str = "", cut: int = 0, kind: type[Script] = Script
) -> Iterator[Script]:
    answer = answer_of(status, body, headers)
    script = kind(answer[:-cut] if cut else answer)
    try:
        yield script
    finally:
        script.socket.close()


def send(url: str, timeout: float = 5) -> object:
    async def once() -> object:
        engage = a_client(url, timeout)
        try:
            return await sent(engage)
        finally:
            await engage.aclose()

    return asyncio.run(once())


def in_flight(url: str) -> list[int]:
    """How many requests were in flight whenever that changed, while one was sent."""

    async def once() -> list[int]:
        seen, engage = [0], a_client(url, 0.5)
        engage.in_flight = lambda more: seen.append(seen[-1] + more)
        try:
            await sent(engage)
            return seen
        finally:
            await engage.aclose()

    return asyncio.run(once())


def look_up(url: str, contact: str, identifier: Identifier) -> object:
    async def once() -> object:
        engage = a_client(url)
        try:
            mapping = ContactMapping(column="c", identifier=identifier)
            return await engage.look_up(contact, mapping)
        finally:
            await engage.aclose()

    return asyncio.run(once())


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(
    "body", ['{"id": "i1"}', '{"Id": "i1"}', '{"interactionId": "i1", "x": 1}']
)
def test_a_2xx_with_an_id_is_accepted(status: int, body: str) -> None:
    with scripted(status, body) as server:
        assert send(server.url) == Accepted("i1", status)
        assert server.requests == 1


@pytest.mark.parametrize(
    "body",
    [
        *("", "{}", '{"id": ""}', '{"id": null}', "null", "[]", "<html>", "{"),
        '{"id": ["i1"]}',
        '{"id": {"id": "i1"}}',
        '{"id": true}',
        '{"id": 1.5}',
        '{"id": "a\\u0000b"}',
        '{"id": "\\u001b[2J"}',
        '{"id": "' + "x" * 201 + '"}',
        '{"id": "\\ud800"}',
        "[" * 3000 + "]" * 3000,
        '[{"id": "i1"}]',
        '{"id": "00000000-0000-0000-0000-000000000000"}',
        '{"id": "{00000000000000000000000000000000}"}',
    ],
)
def test_a_2xx_without_an_id_that_is_one_is_unknown(body: str) -> None:
    with scripted(200, body) as server:
        assert isinstance(send(server.url), Unknown)


def test_a_request_is_in_flight_until_it_has_ended_whatever_came_of_it() -> None:
    with scripted(201, '{"id": "i1"}') as server, scripted(201, "x", cut=40) as cut:
        assert in_flight(server.url) == [0, 1, 0]
        assert in_flight(cut.url) == [0, 1, 0]
    assert in_flight(server.url) == [0, 1, 0]  # nobody is there any more


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_an_answer_about_this_interaction_is_a_refusal_in_its_words(status: int) -> None:
    body = '{"errorCode": "ContactNotFound", "message": "No contact anna@example.com found"}'

    with scripted(status, body) as server:
        outcome = send(server.url)

    assert isinstance(outcome, Refused)
    assert outcome.http_status == status
    assert "ContactNotFound: No contact … found" in outcome.reason


@pytest.mark.parametrize("status", [404, 500])
def test_the_id_of_a_contact_is_not_among_its_words(status: int) -> None:
    guid = "aca444ef-e3b5-57d0-aec4-6cc107a2799b"
    body = {"message": f'{guid} is gone: {{"contactId":"{guid.upper()}","as":"{{{guid}}}"}}'}

    with scripted(status, json.dumps(body)) as server:
        outcome = send(server.url)

    assert isinstance(outcome, Refused | Unknown)
    assert outcome.reason == f'HTTP {status}: … is gone: {{"contactId":"…","as":"{{…}}"}}'


@pytest.mark.parametrize("before", range(245, 305, 6))
@pytest.mark.parametrize("whom", ["anna.andersson@example.com", GUID, "46701234567"])
@pytest.mark.parametrize("form", ["{} has it", '{{"contact":"{}"}}', "who={}&why=none"])
def test_nobody_is_among_words_that_are_cut_off(before: int, whom: str, form: str) -> None:
    body = {"message": f"{'oh no ' * 60:.{before}} {form.format(whom)} and so on{' and on' * 60}"}

    with scripted(422, json.dumps(body)) as server:
        outcome = send(server.url)

    assert isinstance(outcome, Refused)
    assert whom[:6] not in outcome.reason


@pytest.mark.parametrize("status", [408, 418, 500, 502, 503, 504])
def test_any_other_error_is_unknown_and_not_repeated(status: int) -> None:
    with scripted(status, '{"message": "oh"}') as server:
        assert isinstance(send(server.url), Unknown)
        assert server.requests == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, ""),
        (403, "{}"),
        (301, ""),
        (307, ""),
        (404, "<html>not here</html>"),
        (404, ""),
        (404, '{"Message": "No HTTP resource was found that matches the request URI"}'),
        (400, """{"message": "Schema 'visit' not found"}"""),
        (404, """{"message": "Schema 'visit' not found"}"""),
        (405, ""),
        (411, ""),
        (415, ""),
        (500, '{"errorCode": "InvalidSystemConfiguration"}'),
    ],
)
def test_what_would_meet_every_interaction_stops_the_run(status: int, body: str) -> None:
    with scripted(status, body, "Location: http://127.0.0.1:1/\r\n") as server:
        with pytest.raises(DestinationUnusable):
            send(server.url)
        assert server.requests == 1


@pytest.mark.parametrize("status", [300, 303, 304, 305, 399, 406, 410])
def test_what_does_not_say_that_nothing_was_stored_is_unknown_and_stops_the_run(
    status: int,
) -> None:
    with scripted(status, "", "Location: http://127.0.0.1:1/\r\n") as server:
        outcome = send(server.url)

        assert isinstance(outcome, Unknown)
        assert (outcome.http_status, server.requests) == (status, 1)
        assert f"HTTP {status}" in outcome.distrust


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ("", None),
        ("Retry-After: 7\r\n", 7),
        ("Retry-After: 86400\r\n", 300),
        ("Retry-After: x\r\n", None),
    ],
)
def test_a_429_was_not_applied(headers: str, seconds: int | None) -> None:
    with scripted(429, "", headers) as server:
        outcome = send(server.url)

    assert isinstance(outcome, NotApplied)
    assert outcome.busy
    assert outcome.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_a_connection_that_is_refused_was_not_applied() -> None:
    assert isinstance(send("http://127.0.0.1:9"), NotApplied)


def test_a_connection_that_breaks_inside_the_answer_is_unknown() -> None:
    with scripted(200, '{"id": "i1"}', cut=5) as server:
        assert isinstance(send(server.url), Unknown)
        assert server.requests == 1


def test_a_connection_that_closes_without_an_answer_is_unknown() -> None:
    with scripted(200) as server:
        server.answer = b""
        assert isinstance(send(server.url), Unknown)
        assert server.requests == 1


@pytest.mark.parametrize("written", ["secret-key", "c2VjcmV0LWtleQ=="])
def test_the_key_is_in_no_reason(written: str) -> None:
    with scripted(422, f'{{"message": "bad key {written}"}}') as server:
        outcome = send(server.url)

    assert isinstance(outcome, Refused)
    assert outcome.reason.endswith("bad key …") or "bad key …=" in outcome.reason


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("the rating is too high", "the rating is too high"),
        ('[{"error": "bad rating"}]', "bad rating"),
        (
            '{"title": "Invalid.", "errors": {"rating": ["of anna@example.com: 1 to 5"]}}',
            "Invalid.; rating: of … 1 to 5",
        ),
    ],
)
def test_a_refusal_is_told_in_whatever_form_it_is_said(body: str, said: str) -> None:
    with scripted(422, body) as server:
        assert send(server.url) == Refused(f"HTTP 422: {said}", 422)


def test_a_page_is_no_reason() -> None:
    with scripted(422, "<html>Sign in as anna</html>") as server:
        assert send(server.url) == Refused("HTTP 422", 422)


def test_words_of_any_length_are_no_trouble() -> None:
    with scripted(422, '{"message": "' + "x" * 90_000 + '"}') as server:
        outcome = send(server.url)

    assert isinstance(outcome, Refused)
    assert len(outcome.reason) < 400


@pytest.mark.parametrize("body", [f'"{GUID}"', GUID, f' "{GUID}" \n'])
def test_a_look_up_gives_the_guid(body: str) -> None:
    with scripted(200, body) as server:
        assert look_up(server.url, "a@example.com", Identifier.EMAIL) == Found(GUID)


@pytest.mark.parametrize("body", ["", "null", "{}", '"4711"', "<html>"])
def test_a_look_up_without_a_guid_found_nobody(body: str) -> None:
    with scripted(200, body) as server:
        assert isinstance(look_up(server.url, "a@example.com", Identifier.EMAIL), NotApplied)


def test_a_look_up_that_finds_none_or_several_says_so() -> None:
    several = (
        '{"errorCode": "MultipleMatches", "messageDetails": {"multipleMatchesFound": [1, 2, 3]}}'
    )

    with scripted(404, '{"errorCode": "ContactNotFound"}') as server:
        assert isinstance(look_up(server.url, "a@example.com", Identifier.EMAIL), Missing)
    with scripted(409, several) as server:
        found = look_up(server.url, "a@example.com", Identifier.EMAIL)

    assert isinstance(found, Ambiguous)
    assert "3 contacts" in found.reason


def test_a_contact_that_is_being_created_is_missing_for_now() -> None:
    with scripted(409, '{"errorCode": "ContactWithKeyIsBeingCreated"}') as server:
        assert isinstance(look_up(server.url, "a@example.com", Identifier.EMAIL), Missing)


@pytest.mark.parametrize("body", ["", "<html>", '{"Message": "No HTTP resource was found"}'])
def test_a_look_up_that_does_not_exist_stops_the_run(body: str) -> None:
    with scripted(404, body) as server, pytest.raises(DestinationUnusable):
        look_up(server.url, "a@example.com", Identifier.EMAIL)


@pytest.mark.parametrize(("body", "found"), [("", Missing), ("<html>not here</html>", NotApplied)])
def test_a_page_does_not_say_that_there_is_no_such_contact(body: str, found: type) -> None:
    with scripted(404, body) as server:
        server.counts = True

        assert isinstance(look_up(server.url, "a@example.com", Identifier.EMAIL), found)


def test_who_is_in_between_for_a_moment_does_not_say_that_there_is_no_such_contact() -> None:
    mapping = ContactMapping(column="c", identifier=Identifier.EMAIL)

    async def twice(url: str) -> None:
        engage = a_client(url)
        try:
            for _ in range(2):
                assert isinstance(await engage.look_up("a@example.com", mapping), Missing)
            assert server.requests == 3  # that contacts can be looked up is asked once
            server.counts, server.answer = False, answer_of(404, "default backend - 404")
            with pytest.raises(DestinationUnusable, match="contacts cannot be looked up"):
                await engage.look_up("a@example.com", mapping)
        finally:
            await engage.aclose()

    with scripted(404) as server:
        server.counts = True
        asyncio.run(twice(server.url))


def test_a_look_up_with_a_refused_key_stops_the_run() -> None:
    with scripted(401) as server, pytest.raises(DestinationUnusable):
        look_up(server.url, "a@example.com", Identifier.EMAIL)


def test_the_body_holds_the_payload_byte_for_byte() -> None:
    payload = '{"å":1.50,"b":"\\u0000"}'.encode()
    client = a_client("http://127.0.0.1:1")

    look = client.compose(an_activation('a-"b'), a_parcel(payload))

    body = look.body
    assert (look.method, look.url) == ("POST", "http://127.0.0.1:1/api/v3/interactions")

    assert (
        body
        == (
            f'{{"contactId":"{GUID}","schemaId":"a-\\"b","createdDate":"2026-01-01T00:00:00.000Z",'
            '"payload":{"å":1.50,"b":"\\u0000"}}'
        ).encode()
    )
