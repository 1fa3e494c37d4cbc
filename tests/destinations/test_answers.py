"""Whatever a destination answers is read as what it is: bounded, and never taken for more."""

import gzip
import os
import time
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest

from connector.destinations.answers import (
    LARGEST_ANSWER,
    AnswerTooLarge,
    Headers,
    NoAnswer,
    Response,
    unpacked,
)
from connector.destinations.http import LONGEST_PAUSE, asked_to_wait, parsed
from connector.rules.delivery import Accepted, NotApplied, Unknown
from tests.destinations.fuzzing import run_fuzz
from tests.destinations.test_connections import Peer, Server
from tests.destinations.test_outcomes import scripted, send

LONG = bool(os.environ.get("CONNECTOR_PROVE"))
ENDLESS = 7 * LARGEST_ANSWER
"""Bytes: more than a reader that goes on may ever have held when its memory is looked at."""


def test_no_answer_is_more_than_it_can_be() -> None:
    found = run_fuzz(4000 if LONG else 120)

    for what in ("send: Unknown", "read_back: ReadBack", "look_up: NotApplied"):
        assert found[what], what


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"status":', "}")])
@pytest.mark.parametrize("deep", [101, 900, 2000])
def test_what_is_too_deep_for_anybody_to_go_through_is_no_json(
    opening: str, closing: str, deep: int
) -> None:
    assert parsed(opening * deep + "1" + closing * deep) is None
    assert parsed((opening * deep + "1" + closing * deep).encode()) is None


def test_what_is_long_and_not_deep_is_json() -> None:
    many = [{"id": str(n), "payload": {"said": "[[{"}} for n in range(500)]
    said = "[" * 500

    assert parsed(orjson.dumps(many)) == many
    assert parsed(orjson.dumps(said)) == said
    assert parsed("[" * 100 + "]" * 100) is not None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("9" * 20, 300),
        ("1" * 5000, 300),
        ("0" * 20 + "7", 7),
        ("-5", None),
        ("NaN", None),
        ("1e3", None),
        ("٣", None),
        ("", None),
        ("0.25", 0.25),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
    ],
)
def test_a_wait_that_is_asked_for_is_one_or_none(value: str, seconds: float | None) -> None:
    response = Response(429, Headers.of({"Retry-After": value}))

    wait = asked_to_wait(response)

    assert wait == (None if seconds is None else timedelta(seconds=seconds))
    assert wait is None or timedelta(0) <= wait <= LONGEST_PAUSE


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=20), -timedelta(days=400)])
def test_until_when_to_wait_is_told_by_the_clock_that_says_so(ahead: timedelta) -> None:
    """Ours, or theirs, may be set wrong."""
    there = datetime.now(UTC) + ahead
    until = format_datetime(there + timedelta(seconds=60), usegmt=True)
    made = format_datetime(there, usegmt=True)

    assert asked_to_wait(answer_with(until, made)) == timedelta(seconds=60)


def test_a_date_that_is_none_or_a_caches_is_not_gone_by() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    old = "Sun, 06 Nov 1994 08:49:37 GMT"

    for response in (answer_with(until, "today"), answer_with(until, old, Age="3")):
        wait = asked_to_wait(response)
        assert wait is not None
        assert timedelta(seconds=60) < wait <= timedelta(seconds=100)


def answer_with(until: str, made: str, **more: str) -> Response:
    return Response(429, Headers.of({"Retry-After": until, "Date": made, **more}))


@pytest.mark.parametrize("charset", ["zlib", "hex", "rot13", "utf-16", "no-such", "\x80"])
def test_the_encoding_that_an_answer_claims_changes_nothing(charset: str) -> None:
    head = f"Content-Type: application/json; charset={charset}\r\n"

    with scripted(200, '{"id": "i1"}', head) as server:
        assert send(server.url) == Accepted("i1", 200)
    with scripted(429, '{"message": "slowly"}', head) as server:
        assert isinstance(send(server.url), NotApplied)


def packed_by(*packers: Callable[[bytes], bytes]) -> bytes:
    """Zeros without end, packed by one packer after the other."""
    packed = bytes(ENDLESS)
    for pack in packers:
        packed = pack(packed)
    return packed


@pytest.mark.parametrize(
    ("packers", "how"),
    [
        ([gzip.compress], "gzip"),
        ([gzip.compress, gzip.compress], "gzip, gzip"),
        ([zlib.compress], "deflate"),
    ],
    ids=["gzip", "twice", "deflate"],
)
def test_what_would_unpack_without_end_is_not_unpacked(
    packers: list[Callable[[bytes], bytes]], how: str
) -> None:
    packed = packed_by(*packers)
    head = b"HTTP/1.1 200 X\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"

    def scene(peer: Peer) -> None:
        peer.request()
        peer.say(head % (how.encode(), len(packed)) + packed)

    server = Server(scene)
    tracemalloc.start()
    try:
        outcome = send(f"http://127.0.0.1:{server.address[1]}")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        server.end()

    assert isinstance(outcome, Unknown)
    assert "larger than 16 MiB" in outcome.reason
    assert most < 6 * LARGEST_ANSWER


def test_a_body_without_an_end_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.destinations.answers.LARGEST_ANSWER", 1 << 20)

    def scene(peer: Peer) -> None:
        peer.request()
        peer.say(b"HTTP/1.1 200 X\r\n\r\n")
        while True:
            peer.say(b" " * 65536)

    server = Server(scene)
    outcome = send(f"http://127.0.0.1:{server.address[1]}")
    server.end()

    assert isinstance(outcome, Unknown)
    assert "larger than" in outcome.reason


def test_an_answer_that_trickles_in_ends_with_the_time_out() -> None:
    def scene(peer: Peer) -> None:
        peer.request()
        peer.say(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n")
        while True:
            peer.say(b" ")
            time.sleep(0.02)

    server = Server(scene)
    began = time.monotonic()
    outcome = send(f"http://127.0.0.1:{server.address[1]}", timeout=0.4)
    took = time.monotonic() - began
    server.end()

    assert outcome == Unknown("no answer: no answer within the time-out")
    assert took < 20


@pytest.mark.parametrize("how", ["gzip", "x-gzip", "deflate", "GZIP", "identity", ""])
@pytest.mark.parametrize("body", [b"", b'{"id": "i1"}', bytes(100_000)])
def test_what_was_packed_is_what_is_read(how: str, body: bytes) -> None:
    packs: dict[str, Callable[[bytes], bytes]] = {
        "deflate": zlib.compress,
        "identity": bytes,
        "": bytes,
    }
    pack = packs.get(how, gzip.compress)

    assert unpacked(pack(body), [how]) == body


def test_deflate_without_its_wrapping_is_read_too() -> None:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    assert unpacked(packing.compress(b"a" * 99) + packing.flush(), ["deflate"]) == b"a" * 99


@pytest.mark.parametrize("how", ["gzip", "deflate", "br", "zlib", "gzip, br"])
def test_what_cannot_be_unpacked_is_no_answer(how: str) -> None:
    with pytest.raises(NoAnswer) as raised:
        unpacked(b"{}", [how])

    assert not isinstance(raised.value, AnswerTooLarge)
