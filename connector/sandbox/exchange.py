"""A request to an imitated API, and its answer, without a network in between."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

import orjson

from connector.basis import dataclass


class Answer(NamedTuple):
    """What goes back to a caller."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json; charset=utf-8"
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class Request:
    """What a caller sent. `route` is method and path without version and id."""

    method: str
    path: str
    version: str
    route: str
    item: str  #: the id in the path, or ""
    query: dict[str, str]
    headers: dict[bytes, bytes]
    body: bytes = b""
    late_by: float = 0  #: how much later than now what is sent is stored


@dataclass(eq=False)
class Refusal(Exception):
    """The request is refused with `status`; how an API words that is its own."""

    status: int
    code: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    problems: Sequence[str] = field(default=(), kw_only=True)

    def __str__(self) -> str:
        return self.message


def json_answer(body: Any, status: int = 200) -> Answer:
    """Return an answer whose body is JSON."""
    return Answer(status, orjson.dumps(body))
