"""What the sandbox of any API needs knows none: a small one, unlike Engage, stands on it alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

import connector.sandbox
from connector.sandbox import TYPES
from connector.sandbox.app import sandbox_app
from connector.sandbox.behaviour import Common, Faults, Shares
from connector.sandbox.control import control_app
from connector.sandbox.exchange import Answer, Request, json_answer
from connector.sandbox.gate import TokenBucket, retry_after
from connector.sandbox.server import served
from connector.sandbox.traffic import RequestLog


class GuestBook(Common):
    """The switches of the book: those of any sandbox, and one that makes writing fail."""

    faults: Faults = Faults()

    def faulty(self) -> dict[str, Shares]:
        return {"POST /guests": self.faults}


class Book:
    """Takes forms at /book/guests, and numbers them."""

    prefixes = ("/book/",)
    creates = ("POST /guests",)

    def __init__(self) -> None:
        self.behaviour = GuestBook()
        self.clock: Callable[[], float] = lambda: 1_795_000_000.0
        self.guests: list[str] = []

    def date(self) -> str | None:
        return self.behaviour.date_at(self.clock(), 0)

    def parse(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
    ) -> Request | None:
        if path != "/book/guests":
            return None
        return Request(method, path, "", f"{method} /guests", "", {}, dict(headers))

    def adopt(self) -> None:
        self._bucket = TokenBucket(self.behaviour.hard_rate or 1, self.clock())

    def refusal(self, request: Request, now: float) -> Answer | None:
        return None if self._bucket.take(now) else self.too_many(now)

    def answer_to(self, request: Request) -> Answer:
        (name,) = parse_qs(request.body.decode())["name"]
        self.guests.append(name)
        return json_answer({"number": len(self.guests)}, 201)

    def nothing_at(self, path: str) -> Answer:
        return Answer(404)

    def too_many(self, now: float) -> Answer:
        return Answer(429, headers=retry_after(self.behaviour, now))

    def failed(self, status: int) -> Answer:
        return Answer(status, b"out of ink", b"text/plain")

    def reset(self, keep: Any) -> None:
        self.guests.clear()


@pytest.fixture
def book() -> Book:
    return Book()


@contextmanager
def open_at(book: Book) -> Iterator[httpx.Client]:
    requests = RequestLog()
    controls = control_app(book, requests, lambda: "<p>a book</p>", [])
    with (
        served(sandbox_app(book, requests, controls)) as url,
        httpx.Client(base_url=url, verify=False, trust_env=False, timeout=5) as client,
    ):
        yield client


def test_it_is_served_and_told_like_any_other(book: Book) -> None:
    with open_at(book) as client:
        answer = client.post("/book/guests", data={"name": "Anna"})

        assert (answer.status_code, answer.json()) == (201, {"number": 1})
        assert client.get("/book/nothing").status_code == 404
        assert client.get("/").text == "<p>a book</p>"
        assert client.get("/sandbox/requests").json()["by_route"] == {
            "GET ?": {"404": 1},
            "POST /guests": {"201": 1},
        }
        client.post("/sandbox/reset")
    assert book.guests == []


def test_it_fails_as_it_is_told(book: Book) -> None:
    with open_at(book) as client:
        told = client.put("/sandbox/behaviour", json={"faults": {"status_after": {503: 1}}})
        answer = client.post("/book/guests", data={"name": "Anna"})

    assert told.json()["faults"]["status_after"] == {"503": 1}
    assert (answer.status_code, answer.text) == (503, "out of ink")
    assert book.guests == ["Anna"]


def test_it_asks_to_slow_down_in_its_own_words(book: Book) -> None:
    book.behaviour = GuestBook(hard_rate=1, retry_after=7)
    with open_at(book) as client:
        answers = [client.post("/book/guests", data={"name": "Anna"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 429]
    assert answers[1].headers["retry-after"] == "7"


def test_what_is_shared_imports_no_api() -> None:
    room = Path(connector.sandbox.__file__).parent

    for module in room.glob("*.py"):
        for api in TYPES:
            named = f"connector.sandbox.{api}"
            assert named not in module.read_text().replace("`", ""), module.name
