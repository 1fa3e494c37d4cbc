"""Answers that nobody would give, and what each of an Engage's calls makes of them.

Run as a script it goes on for a while: python -m tests.destinations.fuzzing --examples 5000
"""

import argparse
import asyncio
import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from unittest import mock

import orjson
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from connector.destinations.engage import ContactMapping, Identifier
from connector.destinations.engage.client import Engage
from connector.destinations.matching import likeness
from connector.destinations.port import Applied
from connector.rules.definition import Definition
from connector.rules.delivery import (
    Accepted,
    Ambiguous,
    Found,
    Malformed,
    Missing,
    NotApplied,
    Refused,
    Removed,
    Unknown,
)
from connector.rules.errors import DestinationUnusable
from connector.rules.interaction import differences
from connector.rules.read_back import Absent, ReadBack, Shown, Unread
from connector.rules.schema import InteractionSchema
from tests.destinations.engages import GUID, a_client, sent
from tests.destinations.test_outcomes import Script

BY_EMAIL = ContactMapping(column="c", identifier=Identifier.EMAIL)
DEFINITION = Definition("visit", "Visit", {"type": "object"})
Call = Callable[[Engage], Awaitable[object]]
CALLS: dict[str, tuple[Call, tuple[type, ...]]] = {
    "schema": (lambda e: e.schema("visit"), (InteractionSchema, type(None))),
    "schema_ids": (lambda e: e.schema_ids(), (list,)),
    "definitions": (lambda e: e.definitions(), (list,)),
    "create_schema": (
        lambda e: e.create_schema(DEFINITION),
        (Applied, Refused, NotApplied, Unknown),
    ),
    "delete_schema": (lambda e: e.delete_schema("visit"), (Applied, Refused, NotApplied, Unknown)),
    "look_up": (
        lambda e: e.look_up("anna@example.com", BY_EMAIL),
        (Found, Missing, Ambiguous, Malformed, NotApplied),
    ),
    "send": (sent, (Accepted, Refused, NotApplied, Unknown)),
    "read_back": (lambda e: e.read_back(GUID, "visit"), (ReadBack,)),
    "interaction": (lambda e: e.interaction("i-1"), (Shown, Absent, Unread)),
    "delete": (lambda e: e.delete("i-1"), (Removed, Refused, Unknown)),
}

# --- answers --------------------------------------------------------------------------------------

ODD_TEXTS = st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "\x1b[2J",
        "a\nb",
        "é",
        "٣",
        "'\"",
        "x" * 300,
        "x" * 70_000,
        "http://[",
        "NaN",
    ]
) | st.text(max_size=20)
ODD_NUMBERS = st.sampled_from([0, -1, 2**31, 2**63, 2**64 - 1, 1.5, 1e308, -0.0])
ODD = st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXTS
NESTED = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXTS, inner, max_size=3),
    max_leaves=6,
)
LINKS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "rel": st.sampled_from(["next", "self", "prev"]) | NESTED,
            "href": st.sampled_from(["?continuation=t1", "?continuation=", "http://["]) | NESTED,
        },
    ),
    max_size=3,
)
INTERACTION = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just("i-1") | NESTED,
        "interactionId": NESTED,
        "contactId": st.just(GUID) | NESTED,
        "createdDate": st.sampled_from(
            ["2026-11-01T10:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
        )
        | NESTED,
        "payload": st.dictionaries(ODD_TEXTS, NESTED, max_size=3) | NESTED,
        "self": NESTED,
    },
)
JSON = (
    NESTED
    | INTERACTION
    | st.fixed_dictionaries(
        {},
        optional={
            "items": st.lists(INTERACTION, max_size=3) | NESTED,
            "data": st.lists(INTERACTION, max_size=3) | NESTED,
            "links": LINKS | NESTED,
        },
    )
    | st.fixed_dictionaries(
        {},
        optional={
            "errorCode": st.sampled_from(["ContactNotFound", "MultipleMatches"]) | NESTED,
            "message": NESTED,
            "validationErrors": NESTED | st.lists(NESTED, max_size=2),
            "messageDetails": NESTED | st.fixed_dictionaries({"multipleMatchesFound": NESTED}),
        },
    )
    | st.fixed_dictionaries(
        {},
        optional={
            "id": st.just("visit") | NESTED,
            "displayName": NESTED,
            "jsonSchema": NESTED
            | st.sampled_from(
                [
                    {"type": "object"},
                    {"properties": []},
                    {"properties": {"a": {"type": 7}}},
                    {"required": 7},
                    {"required": [[]]},
                    {"$ref": "http://127.0.0.1:9/x"},
                    {"$ref": "#"},
                    {"properties": {"a": {"pattern": "(("}}},
                    '{"type": "object"}',
                    "[" * 2000,
                ]
            ),
        },
    )
    | st.lists(st.fixed_dictionaries({}, optional={"id": st.just("visit") | NESTED}), max_size=3)
)
ODD_BODIES = st.sampled_from(
    [
        b"",
        b"null",
        b"<html>",
        b"{",
        b'{"id": NaN}',
        b'{"id": "\\ud800"}',
        b'{"id": "a", "id": "b"}',
        b'{"id": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"items": [{"id": "i", "payload": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}]}",
        b'{"id": "i-1", "contactId": "c", "payload": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'"' + GUID.encode() + b'"',
        GUID.encode(),
        b'{"id": "i-1"}',
    ]
)
BODIES = (
    JSON.map(lambda value: orjson.dumps(value, default=str)) | ODD_BODIES | st.binary(max_size=60)
)
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "gzip, deflate": lambda body: zlib.compress(gzip.compress(body)),
    "br": bytes,
    "gzip ": lambda body: gzip.compress(body)[:-4],
    "GZIP": bytes,
}
RETRY_AFTER = st.sampled_from(
    [
        "99999999999999999999",
        "1" * 5000,
        "-1",
        "NaN",
        "inf",
        "1e400",
        "٣",
        "0.5",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "Fri, 31 Dec 0000 23:59:59 -9999",
        "é",
    ]
)
HEADERS_BY_NAME: dict[str, st.SearchStrategy[str]] = {
    "Retry-After": RETRY_AFTER,
    "Content-Type": st.sampled_from(
        [
            "application/json; charset=zlib",
            "text/html; charset=hex",
            "application/json; charset=utf-16",
            "text/plain; charset=" + "x" * 500,
            ";;;=",
        ]
    ),
    "Location": st.sampled_from(["http://[", "//", "http://127.0.0.1:1/"]),
    "Date": ODD_TEXTS.filter(lambda text: text.isprintable() and len(text) < 400),
    "Set-Cookie": st.sampled_from(["a=b; Max-Age=99999999999999999999", "=;;"]),
    "X-Long": st.sampled_from(["x" * 9000, "x" * 200_000]),
    "Link": st.sampled_from(["<http://[>; rel=next", "<"]),
    "Content-Length": st.sampled_from(["-1", "x", "99999999999999999999", "1, 2", "3"]),
    "Transfer-Encoding": st.sampled_from(["chunked", "gzip", "chunked, chunked"]),
    "Content-Encoding": st.sampled_from(["zlib", "gzip", "deflate", "x" * 200]),
}
HEADERS = st.lists(
    st.sampled_from(sorted(HEADERS_BY_NAME)).flatmap(
        lambda name: HEADERS_BY_NAME[name].map(lambda value: (name, value))
    ),
    max_size=2,
).map(dict)
USUAL = [200, 200, 200, 201, 404, 400, 409, 429]
STATUSES = st.sampled_from(USUAL) | st.sampled_from(
    [code for code in range(100, 1000) if code < 210 or code % 7 == 0 or 400 <= code < 430]
)
FIRST_LINES = st.sampled_from(
    [b"HTTP/0.9 200 OK", b"HTTP/9.9 200 OK", b"HTTP/1.1 abc X", b"HTTP/1.1 200", b"ICY 200 OK", b""]
) | st.binary(max_size=20)
CHUNKED = [
    b'5\r\n{"id"\r\n0\r\n\r\n',
    b"zz\r\n{}\r\n",
    b"ffffffffffffffffffffffff\r\n{}",
    b"2;x=" + b"y" * 300 + b"\r\n{}\r\n0\r\nTrailer: \x00\r\n\r\n",
    b"-2\r\n{}\r\n0\r\n\r\n",
]


@st.composite
def structured(draw: st.DrawFn) -> bytes:
    """A head and a body, each odd in its own way."""
    body, packing = draw(BODIES), draw(st.just("") | st.sampled_from(sorted(PACKINGS)))
    headers = dict(draw(HEADERS))
    if packing:
        headers.setdefault("Content-Encoding", packing.strip())
    packed = PACKINGS[packing](body)
    if headers.get("Transfer-Encoding") and draw(st.booleans()):
        packed = draw(st.sampled_from(CHUNKED))
    headers.setdefault("Content-Length", str(len(packed)))
    line = b"HTTP/1.1 %d X" % draw(STATUSES)
    if draw(st.integers(0, 9)) == 0:
        line = draw(FIRST_LINES)
    lines = [line, *(f"{name}: {value}".encode() for name, value in headers.items())]
    hint = draw(st.sampled_from([b"", b"", b"", b"HTTP/1.1 103 Early Hints\r\nLink: <\r\n\r\n"]))
    whole = hint + b"\r\n".join(lines) + b"\r\n\r\n" + packed
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.integers(0, 9)) == 0 else whole


ANSWERS = st.integers(0, 9).flatmap(lambda n: structured() if n else st.binary(max_size=200))

# --- what is made of them -------------------------------------------------------------------------


async def made_of(url: str, name: str) -> object:
    """What one call makes of the server's answer; the error, where it raises the one it may."""
    call, _ = CALLS[name]
    engage = a_client(url, timeout=2)
    try:
        return await call(engage)
    except DestinationUnusable as unusable:
        return unusable
    finally:
        await engage.aclose()


def judged(name: str, answer: bytes, result: object, came: bool = True) -> str:
    """In a word, what was made of `answer`. Raises AssertionError where it must not be. `came`: the
    server has had the request, which a machine under load may keep from being sent in time."""
    _, allowed = CALLS[name]
    assert isinstance(result, (*allowed, DestinationUnusable)), (name, result)
    text = str(result)
    assert "unexpected" not in text
    if isinstance(result, DestinationUnusable):
        assert text.isprintable()
    if name == "send" and isinstance(result, Accepted):
        assert b" 2" in answer
        assert result.interaction_id
        assert result.interaction_id.isprintable()
    if name == "send" and isinstance(result, Refused | NotApplied):
        assert b" 4" in answer if came else "not sent" in text
    if isinstance(result, ReadBack):
        for stored in result.stored:  # what verify and settle do with it
            hash(likeness(stored, ("id",)))
            differences("0" * 64, stored.created, stored.payload)
    return f"{name}: {type(result).__name__}"


async def all_of(server: "Answering") -> list[str]:
    """What each call makes of the same answer."""
    found = []
    for name in CALLS:
        before = server.requests
        result = await made_of(server.url, name)
        found.append(judged(name, server.answer, result, server.requests > before))
    return found


class Answering(Script):
    """Gives the answer of the moment, and takes a client that goes away as it comes."""

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                self._read(connection)
                self.requests += 1
                connection.sendall(self.answer)


def run_fuzz(examples: int, seed_number: int | None = None) -> Counter[str]:
    """Give so many answers to every call; what was made of them."""
    found: Counter[str] = Counter()
    server = Answering(b"")
    asyncio_runner = asyncio.Runner()

    @settings(
        max_examples=examples,
        derandomize=seed_number is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(answer=ANSWERS)
    def answers(answer: bytes) -> None:
        server.answer = answer
        found.update(asyncio_runner.run(all_of(server)))

    tell: Any = answers if seed_number is None else seed(seed_number)(answers)
    try:
        with mock.patch("connector.destinations.http.GET_PAUSES", ()):
            tell()
    finally:
        asyncio_runner.close()
        server.socket.close()
    return found


def main(arguments: Sequence[str]) -> int:
    """Print what was made of the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int)
    given_ = parser.parse_args(arguments)
    for what, number in sorted(run_fuzz(given_.examples, given_.seed).items()):
        print(f"{what} {number}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
