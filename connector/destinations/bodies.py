"""What a request carries: bytes, and what they are."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from connector.basis import dataclass


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a request and their media type; empty: none is told."""

    content: bytes
    type: str


def json_body(content: Any) -> Body:
    """`content` as JSON; bytes are taken for JSON already, and go as they are."""
    encoded = content if isinstance(content, bytes) else orjson.dumps(content)
    return Body(encoded, "application/json")


def json_lines(records: Iterable[Any]) -> Body:
    """One JSON document a line."""
    lines = [r if isinstance(r, bytes) else orjson.dumps(r) for r in records]
    return Body(b"".join(line + b"\n" for line in lines), "application/x-ndjson")


def form(fields: Mapping[str, str]) -> Body:
    """A form: a blank is %20, which is one for everybody, and a plus is %2B."""
    content = urlencode(fields, quote_via=quote)
    return Body(content.encode(), "application/x-www-form-urlencoded")
