"""However an answer is cut into pieces, the same is made of it; and after the one write of a
request nothing at all makes it one that was never sent."""

import asyncio
import socket
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.destinations.answers import (
    LARGEST_ANSWER,
    LARGEST_HEAD,
    AnswerTooLarge,
    NoAnswer,
    Reading,
    Request,
    Response,
)
from connector.destinations.connections import Connection, Connections
from tests.destinations.fuzzing import ANSWERS

POST = Request("POST", "/x", (("apikey", "k"),), b"{}")
WHOLE = b'HTTP/1.1 201 X\r\nContent-Length: 12\r\n\r\n{"id": "i1"}'
STREAMS = st.lists(
    ANSWERS
    | st.sampled_from(
        [
            WHOLE,
            b"\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            b"HTTP/1.0 200 X\r\n\r\n",
            b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nDate: x\r\n\r\n",
            b"HTTP/1.1 200 X\r\nX: " + b"x" * LARGEST_HEAD + b"\r\n\r\n",
        ]
    ),
    max_size=3,
).map(b"".join)
Made = tuple[object, ...]


def cut(stream: bytes, at: Sequence[int]) -> list[bytes]:
    """`stream` in pieces that end at these places."""
    places = [0, *sorted({each for each in at if 0 < each < len(stream)}), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


def made_of(pieces: Sequence[bytes], ended: bool) -> Made:
    """What is made of an answer that comes in `pieces`, and of its connection thereafter."""
    reading = Reading()
    try:
        for piece in pieces:
            if reading.is_whole:
                reading.may_go_on = False  # as a connection, which is closed by then
                break
            reading.feed(piece)
        if ended and not reading.is_whole:
            reading.end()
        if not reading.is_whole:
            return ("waits",)
        response = reading.response(POST)
    except NoAnswer as failure:
        return (type(failure), str(failure))
    fields = dict(response.headers)
    return (response.status_code, fields, response.content, reading.may_go_on)


@given(stream=STREAMS, places=st.lists(st.integers(0, 400), max_size=6), ended=st.booleans())
def test_what_is_made_of_an_answer_does_not_depend_on_its_pieces(
    stream: bytes, places: list[int], ended: bool
) -> None:
    at_once = made_of([stream] if stream else [], ended)

    in_pieces = made_of(cut(stream, places), ended)
    byte_by_byte = made_of(cut(stream, range(min(len(stream), 3000))), ended)

    # white space after an answer is nobody's in one piece with it, and unasked in another
    assert in_pieces[:3] == byte_by_byte[:3] == at_once[:3]


@pytest.mark.parametrize("piece", [1000, 65_536, 1 << 25])
def test_what_is_too_large_is_so_by_the_byte(piece: int) -> None:
    def of(head: int, body: int) -> Made:
        start = b"HTTP/1.1 200 X\r\nX: "
        told = start + b"x" * (head - len(start) - 4) + b"\r\n\r\n"
        stream = told + bytes(body)
        return made_of(cut(stream, range(0, len(stream), piece)), ended=True)

    assert of(LARGEST_HEAD, LARGEST_ANSWER - LARGEST_HEAD)[0] == 200
    assert of(LARGEST_HEAD, LARGEST_ANSWER - LARGEST_HEAD + 1)[0] is AnswerTooLarge
    assert of(LARGEST_HEAD + 1, 0)[0] is NoAnswer


def test_trailers_change_nothing() -> None:
    """RFC 9110, section 6.5.1."""
    stream = (
        b"HTTP/1.1 200 X\r\nDate: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
        b"0\r\nDate: b\r\nContent-Encoding: gzip\r\n\r\n"
    )

    status, fields, content, _ = made_of([stream], ended=False)

    assert (status, content) == (200, b"{}")
    assert fields == {"date": "a", "transfer-encoding": "chunked"}


@pytest.mark.parametrize("coding", [b"gzip", b"chunked, gzip", b"gzip, chunked", b"x"])
def test_a_coding_that_was_not_asked_for_is_no_answer(coding: bytes) -> None:
    stream = b"HTTP/1.1 200 X\r\nTransfer-Encoding: " + coding + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    assert made_of([stream], ended=True)[0] is NoAnswer


ENDS = st.sampled_from(["an end", "a reset", "time is up"])


@given(stream=STREAMS, places=st.lists(st.integers(0, 400), max_size=4), end=ENDS)
def test_nothing_that_comes_after_the_write_says_that_it_was_never_sent(
    stream: bytes, places: list[int], end: str
) -> None:
    async def played() -> tuple[Response | NoAnswer, bytes]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        connections = Connections("http://127.0.0.1", 5, 0.01 if end == "time is up" else 5)
        _, connection = await loop.create_connection(
            lambda: Connection(5, connections._open), sock=ours
        )
        connections._keep(connection)
        with theirs:
            asking = asyncio.create_task(connections.exchange(POST, lambda: None))
            await asyncio.sleep(0)
            arrived = theirs.recv(1000)
            for piece in cut(stream, places):
                connection.data_received(piece)
            if end == "an end":
                theirs.shutdown(socket.SHUT_WR)
            elif end == "a reset":
                connection.connection_lost(ConnectionResetError())
                connection.connection_lost = lambda error: None  # type: ignore[method-assign]
            try:
                return await asking, arrived
            except NoAnswer as failure:
                return failure, arrived
            finally:
                connection.transport.abort()
                await connections.aclose()

    made, arrived = asyncio.run(played())

    assert arrived.startswith(b"POST /x HTTP/1.1\r\n")
    if isinstance(made, Response):
        assert made.status_code >= 200
        assert b"HTTP/" in stream
