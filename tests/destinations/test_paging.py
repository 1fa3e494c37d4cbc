"""A list is read to its end, or said not to be: no list is endless, and none goes in circles."""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connector.destinations.engage import client, schemas
from connector.destinations.engage.pages import PAGE_SIZE
from connector.rules.errors import DestinationUnusable
from connector.rules.read_back import ReadBack
from tests.destinations.engages import GUID, a_client
from tests.destinations.test_outcomes import Script

Page = dict[str, Any]


class Pages(Script):
    """Answers each request with what `page` makes of its number and its token."""

    def __init__(self, page: Callable[[int, str | None], Any]) -> None:
        self.page, self.asked = page, 0
        super().__init__(b"")

    def _read(self, connection: socket.socket) -> None:  # type: ignore[override]
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        target = data.split(b" ")[1].decode()
        token = parse_qs(urlsplit(target).query).get("continuation", [None])[0]
        body = json.dumps(self.page(self.asked, token)).encode()
        self.asked += 1
        head = b"HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.answer = head + body


def a_page(ids: list[str], token: str | None = None, rel: str = "next") -> Page:
    """A page with a link to the next, if there is one."""
    links = [{"rel": rel, "href": f"/x?continuation={token}"}] if token else []
    items = [{"id": i, "createdDate": "2026-11-01T10:00:00Z", "payload": {}} for i in ids]
    return {"links": links, "items": items}


def read_back(
    pages: Callable[[int, str | None], Any], stopping: Callable[[], bool] = lambda: False
) -> tuple[ReadBack, int]:
    """What was read, and how many requests that took."""
    server = Pages(pages)

    async def ask() -> ReadBack:
        engage = a_client(server.url)
        try:
            return await engage.heeding(stopping).read_back(GUID, "visit")
        finally:
            await engage.aclose()

    try:
        return asyncio.run(ask()), server.asked
    finally:
        server.socket.close()


@pytest.mark.parametrize("rel", ["next", "nextPage", "more", ""])
def test_all_pages_are_read_to_the_last(rel: str) -> None:
    shown, asked = read_back(lambda n, _: a_page([f"i{n}"], f"t{n}" if n < 4 else None, rel))

    assert (shown.gap, [s.id for s in shown.stored]) == (None, ["i0", "i1", "i2", "i3", "i4"])
    assert asked == 5


@pytest.mark.parametrize(
    "way",
    [
        {"continuation": "t"},
        {"continuationToken": "t", "links": []},
        {"links": [{"rel": "next", "href": "/x?continuationToken=t"}]},
        {"Links": [{"Rel": "Next", "Href": "/x?continuation=t"}]},
        {"links": {"next": {"href": "/x?continuation=t"}, "self": {"href": "/x"}}},
        {"_links": {"next": [{"href": "/x?continuation=t"}]}},
        {"links": {"Next": "/x?continuation=t", "prev": None}},
        {"links": {"rel": "next", "href": "/x?continuation=t"}},
        {"links": ["/x?continuation=t"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("names", ["small", "capital"])
def test_the_way_to_the_next_page_may_be_written_otherwise(way: Page, names: str) -> None:
    def pages(number: int, token: str | None) -> Page:
        entry = {"id": f"i{number}", "createdDate": "2026-11-01T10:00:00Z", "payload": {"Key": 1}}
        page = {"items": [entry]}
        if names == "capital":
            page = {"Items": [{name[0].upper() + name[1:]: v for name, v in entry.items()}]}
        return page if token else {**page, **way}

    shown, asked = read_back(pages)

    assert (shown.gap, [s.id for s in shown.stored], asked) == (None, ["i0", "i1"], 2)
    assert [s.payload for s in shown.stored] == [{"Key": 1}, {"Key": 1}]


@pytest.mark.parametrize(("href", "whole"), [("/x?page=2", False), ("", True), (None, True)])
def test_a_next_page_that_cannot_be_asked_for_is_missing(href: str | None, whole: bool) -> None:
    links = [{"rel": "next", "href": href}]

    shown, asked = read_back(lambda n, _: {**a_page([f"i{n}"]), "links": links})

    assert ((shown.gap is None), asked) == (whole, 1)


@pytest.mark.parametrize(
    ("more", "whole"),
    [
        ({"links": []}, True),
        ({"links": None}, True),
        ({"links": {"self": {"href": "/x"}, "next": None}}, True),
        ({"_links": {}}, True),
        ({"links": {"next": {"href": "/x?page=2"}}}, False),
        ({"links": {"next": "page 2"}}, False),
        ({"links": "/x?continuation=t"}, True),
        ({"links": 2}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_full_page_is_the_last_where_its_links_lead_nowhere(more: Page, whole: bool) -> None:
    def pages(number: int, token: str | None) -> Page:
        items = a_page([f"i{number}-{n}" for n in range(1 if token else PAGE_SIZE)])["items"]
        return {"items": items, **({"links": []} if token else more)}

    assert (read_back(pages)[0].gap is None) == whole


@pytest.mark.parametrize("rel", ["self", "prev", "previous", "first"])
def test_a_link_to_where_one_has_been_is_not_followed(rel: str) -> None:
    shown, asked = read_back(lambda n, _: a_page([f"i{n}"], f"t{n}", rel))

    assert (shown.gap, asked) == (None, 1)


@pytest.mark.parametrize(
    ("pages", "asked"),
    [
        (lambda n, _: a_page([f"i{n}"], "same"), 2),
        (lambda n, _: a_page([f"i{n}"], f"t{n % 2}"), 3),
        (lambda n, _: a_page(["i"], f"t{n}"), 2),
        (lambda n, _: a_page([], "same"), 2),
        (lambda n, _: a_page([f"i{n}"], "t" * 5000), 1),
    ],
    ids=["the same token", "two in turn", "the same page", "the same token, empty", "a huge token"],
)
def test_a_list_that_goes_in_circles_is_not_whole(pages: Any, asked: int) -> None:
    shown, requests = read_back(pages)

    assert shown.gap == "reading back goes round in circles"
    assert requests == asked


@pytest.mark.parametrize("ids", [["i{n}"], []])
def test_a_list_without_an_end_is_not_whole(
    monkeypatch: pytest.MonkeyPatch, ids: list[str]
) -> None:
    monkeypatch.setattr(client, "MOST_PAGES", 25)

    shown, asked = read_back(lambda n, _: a_page([i.format(n=n) for i in ids], f"t{n}"))

    assert shown.gap is not None
    assert "does not end: 25 pages were read" in shown.gap
    assert asked == 25


def test_a_list_of_more_than_can_be_held_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_READ", 100_000)

    shown, asked = read_back(lambda n, _: a_page([f"{'x' * 190}{n}" for n in range(300)], f"t{n}"))

    assert shown.gap is not None
    assert asked <= 2


def test_who_is_to_stop_asks_for_no_further_page() -> None:
    seen: list[int] = []

    def pages(number: int, _: str | None) -> Page:
        seen.append(number)
        return a_page([f"i{number}"], f"t{number}")

    shown, asked = read_back(pages, lambda: len(seen) >= 3)

    assert shown.gap == "reading back failed: the run was to stop"
    assert not shown.answered
    assert asked == 3


def test_who_is_to_stop_does_not_wait_for_a_better_answer() -> None:
    """Nothing is repeated, and no pause is sat out."""
    server = Script(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async def ask() -> object:
        engage = a_client(server.url)
        try:
            return await engage.heeding(lambda: server.requests > 0).schema("visit")
        finally:
            await engage.aclose()

    with pytest.raises(DestinationUnusable, match="the run was to stop"):
        asyncio.run(ask())
    server.socket.close()

    assert server.requests == 1


def test_a_list_of_schemas_without_an_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "MOST_SCHEMAS", 20)
    server = Pages(lambda *_: [{"id": f"s{n}"} for n in range(21)])

    async def ask() -> object:
        engage = a_client(server.url)
        try:
            return await engage.definitions()
        finally:
            await engage.aclose()

    with pytest.raises(DestinationUnusable, match="lists 21 schemas"):
        asyncio.run(ask())
    server.socket.close()

    assert server.asked == 1
