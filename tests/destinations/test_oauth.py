"""Tokens are fetched once however many want one, renewed in time, and told nobody."""

import asyncio
import base64
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs

import pytest

from connector.destinations.answers import Response
from connector.destinations.api import Api
from connector.destinations.bodies import form, json_body
from connector.destinations.hooks import nothing_to_see
from connector.destinations.oauth import client_credentials
from connector.destinations.pacing import Pacer
from connector.destinations.port import Look, Wiring
from connector.destinations.settings import DestinationSettings
from connector.rules.delivery import NotApplied
from connector.rules.errors import DestinationUnusable, KeyRefused

T = TypeVar("T")
CLIENT, SECRET = "anna", "a-client-secret"


class Office:
    """Gives tokens, and takes what comes with the last of them."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: tuple[int, Any] | None = None
        self.life: Any = 3600
        self.lets_in = True
        self.url = ""

    def token(self, headers: Any, body: bytes) -> tuple[int, Any]:
        """A new one, after which the earlier ones are good for nothing."""
        wanted = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        assert headers["Authorization"] == f"Basic {wanted}"
        assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"]}
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        if self.answer:
            return self.answer
        life = {} if self.life is None else {"expires_in": self.life}
        return 200, {"access_token": self.tokens[-1], **life}

    def other(self, headers: Any, body: bytes) -> tuple[int, Any]:
        """Whatever else, with a token."""
        self.seen.append((headers["Authorization"], dict(headers), body))
        good = self.lets_in and headers["Authorization"] == f"Bearer {self.tokens[-1]}"
        return (200, {}) if good else (401, {"message": f"no {headers['Authorization']}"})


@contextmanager
def opened() -> Iterator[Office]:
    office = Office()

    class Counter(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answers = office.token if self.path == "/token" else office.other
            status, content = answers(self.headers, body)
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Counter)
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


@pytest.fixture
def office() -> Iterator[Office]:
    with opened() as office:
        yield office


class Line(Api):
    """An API that wants a token."""

    async def sent(self, *headers: tuple[str, str]) -> Response | NotApplied:
        """What comes of one request; as of a destination that looks at 401 alone."""
        body = json_body({"a": 1})
        look = Look("POST", f"{self.base}/x", body.content, body.type, headers)
        await self.wire.come_near()
        answer = await self.post(look, nothing_to_see)
        assert isinstance(answer, Response)
        if again := self.not_applied(answer):
            return again
        self.refuse_all(answer)
        return answer


def on_line(office: Office, use: Callable[[Line], Awaitable[T]]) -> T:
    async def used() -> T:
        settings = DestinationSettings.model_validate({"type": "line", "url": office.url})
        wiring = Wiring(Pacer(1000))
        bearer = client_credentials(office.url, "/token", CLIENT, SECRET, settings, wiring)
        line = Line(office.url, settings, bearer, wiring, {"workspaceId": "w1"})
        try:
            return await use(line)
        finally:
            await line.aclose()

    return asyncio.run(used())


def test_one_token_is_fetched_for_all_that_want_one_at_once(office: Office) -> None:
    async def many(line: Line) -> list[object]:
        return list(await asyncio.gather(*(line.sent() for _ in range(8))))

    answers = on_line(office, many)

    assert len(office.tokens) == 1
    assert all(isinstance(each, Response) and each.is_success for each in answers)


@pytest.mark.parametrize("life", [3600, "3600", None, "soon", 0, -1, True])
def test_a_token_is_kept_for_as_long_as_it_lasts(office: Office, life: Any) -> None:
    office.life = life

    async def twice(line: Line) -> None:
        await line.sent()
        if life is not True:  # a second
            await line.sent()

    on_line(office, twice)

    assert office.tokens == ["token-1"]


def test_a_token_that_has_expired_meanwhile_burns_no_row_and_is_replaced(office: Office) -> None:
    async def in_the_middle(line: Line) -> tuple[object, object]:
        await line.sent()
        office.tokens.append("of somebody else")
        return await line.sent(), await line.sent()

    first, second = on_line(office, in_the_middle)

    assert isinstance(first, NotApplied)
    assert first.again
    assert isinstance(second, Response)


def test_a_fresh_token_may_be_ended_by_somebody_else_once(office: Office) -> None:
    async def begun(line: Line) -> tuple[object, object]:
        await line.credentials.ready()
        office.tokens.append("of somebody else")
        return await line.sent(), await line.sent()

    first, second = on_line(office, begun)

    assert isinstance(first, NotApplied)
    assert isinstance(second, Response)


def test_two_fresh_tokens_that_are_refused_stop_the_run(office: Office) -> None:
    office.lets_in = False

    async def again(line: Line) -> object:
        first = await line.sent()
        assert isinstance(first, NotApplied)
        return await line.sent()

    with pytest.raises(KeyRefused):
        on_line(office, again)
    assert len(office.tokens) == 2


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (401, {}, KeyRefused),
        (403, {}, KeyRefused),
        (400, {"error": "invalid_client", "error_description": f"not {SECRET}"}, KeyRefused),
        (302, {}, DestinationUnusable),
        (200, {}, DestinationUnusable),
        (200, [], DestinationUnusable),
        (200, {"access_token": ""}, DestinationUnusable),
        (200, {"access_token": "two\nlines"}, DestinationUnusable),
        (400, {"error": "invalid_request"}, DestinationUnusable),
    ],
)
def test_without_a_token_nothing_is_sent_and_no_secret_is_told(
    office: Office, status: int, content: Any, error: type[Exception]
) -> None:
    office.answer = (status, content)

    with pytest.raises(error) as told:
        on_line(office, lambda line: line.sent())

    assert type(told.value) is error
    assert SECRET not in str(told.value)
    assert office.seen == []


def test_a_request_that_was_given_up_leaves_its_place_to_others(office: Office) -> None:
    office.answer = (400, {"error": "temporarily"})

    async def more_than_there_are_places(line: Line) -> int:
        for _ in range(line.concurrency + 1):
            with pytest.raises(DestinationUnusable):
                await line.sent()
        office.answer = None
        answer = await line.sent()
        assert isinstance(answer, Response)
        return answer.status_code

    assert on_line(office, more_than_there_are_places) == 200


def test_headers_of_all_requests_and_of_one_go_along(office: Office) -> None:
    async def some(line: Line) -> None:
        await line.sent(("batchId", "b1"))
        await line.sent(("batchId", "b2"))
        await line.sent()

    on_line(office, some)

    assert [headers.get("batchId") for _, headers, _ in office.seen] == ["b1", "b2", None]
    assert {headers["workspaceId"] for _, headers, _ in office.seen} == {"w1"}


def test_secrets_are_the_client_and_its_tokens(office: Office) -> None:
    async def sent(line: Line) -> tuple[str, ...]:
        await line.sent()
        return line.credentials.secrets

    secrets = on_line(office, sent)

    assert {SECRET, "token-1"} <= set(secrets)


def test_a_form_keeps_what_a_plus_means() -> None:
    written = form({"to": "+46 70", "text": "a & b=c + é"}).content

    assert parse_qs(written.decode()) == {"to": ["+46 70"], "text": ["a & b=c + é"]}
    assert b"%2B46%2070" in written
