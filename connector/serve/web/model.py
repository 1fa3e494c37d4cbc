"""What the page of an activation tells of its model and its mapping: SQL in colours, the rules of
the destination's schema beside what is mapped, and when it runs next."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import field
from datetime import datetime
from typing import Any

from sqlglot import TokenType
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Tokenizer

from connector.basis import dataclass
from connector.project.app import App
from connector.rules.activation import Activation
from connector.rules.due import due_after
from connector.rules.errors import ConnectorError
from connector.rules.grammar import Schedule
from connector.rules.interaction import instant_text

MOMENT = 0.2
"""Seconds for which a page waits for the destination: it does not hang on it."""
PATIENCE = 10.0
"""Seconds for which the destination is asked, for whoever looks next."""
FRESH = 60.0
"""Seconds for which what it said is good."""
LONGEST_MODEL = 20_000
"""Characters of SQL that are shown."""
RULES = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "length at least {}",
    "maxLength": "length at most {}",
    "pattern": "like {}",
    "multipleOf": "a multiple of {}",
    "const": "always {}",
}
Said = tuple[dict[str, Any] | None, str | None]
"""A JSON Schema, and why it is not known."""
TIMES = 5
"""Of the next runs that are shown."""
NOT_YET: Said = (None, "the destination is asked; look again in a moment")
NAMES = (TokenType.VAR, TokenType.IDENTIFIER)


@dataclass(frozen=True, slots=True)
class Mapped:
    """One property: where it comes from, and what the schema says of it."""

    name: str
    source: str
    rules: str
    required: bool


@dataclass(slots=True)
class Shapes:
    """What destinations said last of their schemas, for a minute."""

    _known: dict[tuple[str, str], tuple[float, Said]] = field(default_factory=dict)
    _asking: dict[tuple[str, str], "asyncio.Task[None]"] = field(default_factory=dict)

    async def of(self, app: App, activation: Activation) -> Said:
        """What payloads of `activation` must be like, as far as that is said in a moment."""
        place = (app.settings.project.destination_of(activation), activation.target)
        if self._known.get(place, (0.0, NOT_YET))[0] < time.monotonic():
            if place not in self._asking:
                self._asking[place] = asyncio.create_task(self._ask(app, activation, place))
            await asyncio.wait([self._asking[place]], timeout=MOMENT)
        return self._known.get(place, (0.0, NOT_YET))[1]

    async def _ask(self, app: App, activation: Activation, place: tuple[str, str]) -> None:
        try:
            said = await _asked(app, activation, place[0])
            self._known[place] = (time.monotonic() + FRESH, said)
        finally:
            del self._asking[place]


async def _asked(app: App, activation: Activation, destination: str) -> Said:
    try:
        async with asyncio.timeout(PATIENCE), app.destination(destination) as client:
            shape = await client.preflight(activation)
    except TimeoutError:
        return None, "the destination did not say in time what payloads must be like"
    except ConnectorError as error:
        return None, str(error)
    return getattr(shape, "json_schema", None), None


def mapped(activation: Activation, schema: dict[str, Any] | None) -> list[Mapped]:
    """The properties that are mapped, and those that the schema has besides."""
    properties = (schema or {}).get("properties", {})
    required = set((schema or {}).get("required", ()))
    found = list[Mapped]()
    for name, part in activation.payload.items():
        source = part.column or f"always {part.value!r}"
        rules = ", ".join(_rules(properties.get(name, {}))) if schema else ""
        found.append(Mapped(name, source, rules, name in required))
    for name in properties:
        if name not in activation.payload:
            rules = ", ".join(_rules(properties[name]))
            found.append(Mapped(name, "", rules, name in required))
    return found


def _rules(spec: Any) -> Iterator[str]:
    if not isinstance(spec, dict):
        return
    kind = spec.get("type")
    if kind:
        yield " or ".join(kind) if isinstance(kind, list) else str(kind)
    if shape := spec.get("format"):
        yield str(shape)
    for name, text in RULES.items():
        if name in spec:
            yield text.format(spec[name])
    if among := spec.get("enum"):
        shown = ", ".join(map(str, among[:8]))
        yield f"one of {shown}{', …' if len(among) > 8 else ''}"


def next_times(schedule: Schedule | None, first: str | None) -> list[str]:
    """When it runs next, as far as the schedule says; `first`: what is known of the next one."""
    if schedule is None or first is None:
        return []
    at: datetime | None = datetime.fromisoformat(first)
    found = list[str]()
    while at is not None and len(found) < TIMES:
        found.append(instant_text(at))
        at = at + schedule.every if schedule.every else due_after(schedule, at)
    return found


# --- SQL ----------------------------------------------------------------------------------------


def sql_of(app: App, activation: Activation) -> str | None:
    """The model's SQL as it stands in the configuration or its file; None where it is a table."""
    model = activation.model
    if model.sql:
        return model.sql
    if model.file:
        with suppress(OSError, UnicodeError):
            return (app.settings.base / model.file).read_text(encoding="utf-8-sig")
    return None


def coloured(sql: str) -> list[tuple[str, str]]:
    """The text of a query in pieces, each with the kind that gives it its colour: key, text,
    number, note, or none. All pieces together are the text."""
    sql = sql[:LONGEST_MODEL]
    try:
        tokens = Tokenizer().tokenize(sql)
    except (SqlglotError, ValueError):
        return [("", sql)]
    pieces, at = list[tuple[str, str]](), 0
    for token in tokens:
        if token.start < at:  # a token that is made of several
            continue
        pieces += _between(sql[at : token.start])
        pieces.append((_kind(token.token_type, token.text), sql[token.start : token.end + 1]))
        at = token.end + 1
    return [*pieces, *_between(sql[at:])]


def _between(text: str) -> Iterator[tuple[str, str]]:
    """What stands between tokens: space, and what people note."""
    if text:
        yield ("note" if text.strip() else "", text)


def _kind(token: TokenType, text: str) -> str:
    if token in (TokenType.STRING, TokenType.NATIONAL_STRING):
        return "text"
    if token is TokenType.NUMBER:
        return "number"
    return "key" if token not in NAMES and text.replace("_", "").isalpha() else ""
