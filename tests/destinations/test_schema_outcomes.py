"""What each answer of an Engage means for a schema that is read, created or deleted."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest

from connector.destinations.engage.client import Engage
from connector.destinations.port import Applied
from connector.rules.definition import DIALECT, Definition
from connector.rules.delivery import NotApplied, Refused, Unknown
from connector.rules.errors import DestinationUnusable
from tests.destinations.engages import GUID, a_client
from tests.destinations.test_outcomes import Script, scripted

VISIT = Definition("visit", "Visit", {"$schema": DIALECT, "type": "object", "properties": {}})
Question = Callable[[Engage], Awaitable[object]]


def create(engage: Engage) -> Awaitable[object]:
    return engage.create_schema(VISIT)


def delete(engage: Engage) -> Awaitable[object]:
    return engage.delete_schema("visit")


def ask(url: str, question: Question) -> object:
    async def once() -> object:
        engage = a_client(url)
        try:
            return await question(engage)
        finally:
            await engage.aclose()

    return asyncio.run(once())


both = pytest.mark.parametrize("question", [create, delete])


@both
@pytest.mark.parametrize(("status", "body"), [(200, '{"id": "visit"}'), (201, ""), (204, "")])
def test_a_2xx_says_that_it_is_done(question: Question, status: int, body: str) -> None:
    with scripted(status, body) as server:
        assert ask(server.url, question) == Applied(status)
        assert server.requests == 1


@both
@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415, 422])
def test_an_answer_about_the_schema_is_a_refusal_in_its_words(
    question: Question, status: int
) -> None:
    with scripted(status, '{"errorCode": "ValidationError", "message": "too many"}') as server:
        outcome = ask(server.url, question)

    assert outcome == Refused(f"HTTP {status}: ValidationError: too many", status)


@both
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_any_other_error_is_unknown_and_not_repeated(question: Question, status: int) -> None:
    with scripted(status) as server:
        assert isinstance(ask(server.url, question), Unknown)
        assert server.requests == 1


@both
def test_a_connection_that_breaks_is_unknown_and_not_repeated(question: Question) -> None:
    with scripted(200) as server:
        server.answer = b""
        assert isinstance(ask(server.url, question), Unknown)
        assert server.requests == 1


@both
def test_a_429_and_a_refused_connection_were_not_applied(question: Question) -> None:
    with scripted(429) as server:
        assert isinstance(ask(server.url, question), NotApplied)
    assert isinstance(ask("http://127.0.0.1:9", question), NotApplied)


@both
@pytest.mark.parametrize("status", [301, 307, 401, 403])
def test_a_redirect_and_a_refused_key_are_told(question: Question, status: int) -> None:
    with scripted(status, "", "Location: http://127.0.0.1:1/\r\n") as server:
        with pytest.raises(DestinationUnusable):
            ask(server.url, question)
        assert server.requests == 1


@pytest.mark.parametrize("as_text", [False, True])
def test_a_definition_is_read_whether_its_rules_come_as_an_object_or_as_a_text(
    as_text: bool,
) -> None:
    rules = json.dumps(VISIT.json_schema) if as_text else dict(VISIT.json_schema)
    body = json.dumps({**VISIT.content, "jsonSchema": rules, "self": {"href": "/x"}})

    with scripted(200, body) as server:
        assert ask(server.url, lambda engage: engage.definition("visit")) == VISIT


@pytest.mark.parametrize("status", [400, 404])
def test_a_schema_that_is_not_there_gives_nothing(status: int) -> None:
    with scripted(status) as server:
        assert ask(server.url, lambda engage: engage.definition("visit")) is None


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"jsonSchema": 5}', '{"jsonSchema": "{"}'])
def test_a_schema_without_rules_is_no_answer(body: str) -> None:
    with scripted(200, body) as server, pytest.raises(DestinationUnusable):
        ask(server.url, lambda engage: engage.definition("visit"))


def test_broken_rules_can_be_read_though_not_used() -> None:
    body = json.dumps({"id": "visit", "displayName": "Visit", "jsonSchema": {"type": "objekt"}})

    with scripted(200, body) as server:
        found = ask(server.url, lambda engage: engage.definition("visit"))
        with pytest.raises(DestinationUnusable, match="broken"):
            ask(server.url, lambda engage: engage.schema("visit"))

    assert found == Definition("visit", "Visit", {"type": "objekt"})


def test_a_definition_is_read_where_names_begin_with_capitals() -> None:
    body = json.dumps({f"{name[0].upper()}{name[1:]}": v for name, v in VISIT.content.items()})

    with scripted(200, body) as server:
        assert ask(server.url, lambda engage: engage.definition("visit")) == VISIT


@pytest.mark.parametrize("question", ["of_person", "shelves"])
def test_interactions_are_not_gone_with_a_schema_that_is_listed(question: str) -> None:
    """Whoever is in between knows no schema, and says so."""

    class Listing(Script):
        listed = b"[]"

        def _read(self, connection: socket.socket) -> bytes:  # type: ignore[override]
            head = super()._read(connection)
            if head.startswith(b"GET /api/v3/interactionschemas HTTP"):
                told = b"HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                connection.sendall(told % len(self.listed) + self.listed)
            return head

    def of(engage: Engage) -> Awaitable[object]:
        if question == "of_person":
            return engage.of_person(GUID, "visit")
        return engage.shelves("visit", None)

    with scripted(404, "<html>no such page</html>", kind=Listing) as server:
        assert not ask(server.url, of)
        Listing.listed = b'[{"id": "other"}, {"id": "visit"}]'
        with pytest.raises(DestinationUnusable, match="is listed, and not shown by its id"):
            ask(server.url, of)
