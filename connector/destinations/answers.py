"""The bytes of an answer: no more than can be held, however they are packed."""

import zlib
from collections.abc import AsyncIterator, Iterable

import httpx

LARGEST_ANSWER = 16 << 20
"""Bytes, packed or not: a page of fifty interactions has some thousand."""
CHUNK = 1 << 16
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class AnswerTooLarge(httpx.DecodingError):
    """It goes on where nobody reads on; or it would, if it were unpacked."""


async def bounded(chunks: AsyncIterator[bytes]) -> bytes:
    """All of `chunks`. Raises AnswerTooLarge."""
    whole = bytearray()
    async for chunk in chunks:
        whole += chunk
        _refuse_more_than_the_largest(len(whole))
    return bytes(whole)


def unpacked(content: bytes, encodings: Iterable[str]) -> bytes:
    """`content` without its `encodings`, the last of them first. Raises AnswerTooLarge, or
    DecodingError for one that was not asked for or does not fit."""
    named = [name.strip().lower() for each in encodings for name in each.split(",")]
    for encoding in reversed([name for name in named if name not in ("", "identity")]):
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise httpx.DecodingError(f"packed as {encoding[:20]!r}")
        try:
            content = _inflated(content, GZIP_OR_ZLIB)
        except zlib.error as error:
            if encoding != "deflate":
                raise httpx.DecodingError(str(error)) from None
            content = _raw(content)
    return content


def _raw(content: bytes) -> bytes:
    """What was deflated without its wrapping, as some send it."""
    try:
        return _inflated(content, -zlib.MAX_WBITS)
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from None


def _inflated(content: bytes, form: int) -> bytes:
    if not content:  # an answer that can have no body may still say how it would be packed
        return content
    inflating, whole = zlib.decompressobj(form), bytearray()
    while not inflating.eof:
        more = inflating.decompress(content, CHUNK)
        whole += more
        _refuse_more_than_the_largest(len(whole))
        if not more and not inflating.unconsumed_tail:
            break
        content = inflating.unconsumed_tail
    if not inflating.eof:
        raise zlib.error("the end is missing")
    return bytes(whole)


def _refuse_more_than_the_largest(size: int) -> None:
    if size > LARGEST_ANSWER:
        raise AnswerTooLarge("too large")
