"""Interactions that a probe of an Engage makes: their bodies, and how each is known again."""

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import orjson

from connector.basis import dataclass
from connector.destinations.probing import Asker, Exchange
from connector.rules.definition import DIALECT, Definition
from connector.rules.errors import ConfigurationError
from connector.rules.probing import Evidence
from connector.rules.schema import InteractionSchema

OWN = "connectorProbe"
"""The id of the schema that a probe makes for itself, always the same: an Engage has fifteen, and
remembers which properties one had."""
MARK, NEEDED, UNKNOWN = "probeMark", "probeNeeded", "probeUnknown"
LONG_AGO = timedelta(minutes=30)
"""Before the first interaction of a probe: none is of the future, whatever the clocks say."""
EAST = timezone(timedelta(hours=2))


def own_schema(name: str) -> Definition:
    """The schema of a probe, called `name`."""
    hidden = {"type": "string", "showInContactCard": "false"}
    rules = {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            MARK: {**hidden, "displayName": "Mark"},
            NEEDED: {**hidden, "displayName": "Needed"},
        },
        "required": [MARK, NEEDED],
    }
    return Definition(OWN, name, rules)


@dataclass(slots=True)
class Sample:
    """One interaction that was sent to see what becomes of it."""

    name: str
    number: int
    """Of its trial."""
    order: int
    contact: str
    target: str
    created: str
    payload: Mapping[str, Any]
    mark: str
    sent: Exchange
    id: str | None = None
    seen: Exchange | None = None
    """The first answer that showed it."""
    listed: bool = False
    unseen: Exchange | None = None
    """The last answer that did not."""
    gone: bool = False
    """Deleted, and seen to be gone."""
    evidence: list[Evidence] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return self.sent.succeeded

    @property
    def shown(self) -> Mapping[str, Any]:
        """The interaction as it is shown; empty where it is not."""
        content = self.seen.content if self.seen else None
        return content if isinstance(content, dict) else {}


@dataclass(slots=True, kw_only=True)
class Seen:
    """All that a probe has seen."""

    asker: Asker
    samples: dict[str, Sample] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    """What was measured beside the samples, by the name of the question."""


@dataclass(slots=True)
class Bodies:
    """Makes bodies for one schema, each with a mark and a second of its own."""

    schema: InteractionSchema
    filled: Mapping[str, Any]
    """A payload that the schema takes, without the mark."""
    marked: str | None
    """The property that carries the mark; None: the second alone tells them apart."""
    breakable: str | None
    """A property without which the schema is broken; None: there is none."""
    run: str = field(default_factory=lambda: uuid4().hex[:8])
    start: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(microsecond=0) - LONG_AGO
    )
    number: int = 0

    def moment(self) -> datetime:
        """The next second."""
        self.number += 1
        return self.start + timedelta(seconds=self.number)

    def mark(self) -> str:
        """The mark of this second's."""
        return f"connector-probe-{self.run}-{self.number}" if self.marked else ""

    def payload(self, mark: str) -> dict[str, Any]:
        """One that the schema takes."""
        return {**self.filled, **({self.marked: mark} if self.marked else {})}


def bodies_for(definition: Definition) -> Bodies:
    """What can be sent under a schema. Raises ConfigurationError where that cannot be made up."""
    schema = definition.schema
    rules = definition.properties
    now = datetime.now(UTC)
    filled = {name: _value(rules.get(name), now) for name in schema.required}
    marked = next(
        (name for name in (*schema.required, *rules) if _can_carry_a_mark(rules.get(name))), None
    )
    bodies = Bodies(schema, filled, marked, None)
    example = bodies.payload("connector-probe-00000000-000")
    if not schema.accepts(example):
        raise ConfigurationError(
            f'no interaction can be made up for the schema "{schema.id}"'
            f" ({schema.violations(example)}); name another one with --schema"
        )
    without = (name for name in schema.required if name != marked)
    bodies.breakable = next(without, None) or (marked if marked in schema.required else None)
    return bodies


def written(moment: datetime, form: str = "milliseconds") -> str:
    """A createdDate as the connector writes it; `microseconds` more precisely, `offset` elsewhere
    than in UTC."""
    match form:
        case "microseconds":
            return moment.replace(microsecond=123456).isoformat().replace("+00:00", "Z")
        case "offset":
            return moment.astimezone(EAST).isoformat(timespec="milliseconds")
        case _:
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def content_of(contact: str, target: str, created: str, payload: Mapping[str, Any]) -> bytes:
    """The body of a POST, with its fields as the connector sends them."""
    return orjson.dumps(
        {"contactId": contact, "schemaId": target, "createdDate": created, "payload": payload}
    )


def _can_carry_a_mark(spec: Any) -> bool:
    if not isinstance(spec, dict) or spec.get("type") not in ("string", ["string"]):
        return False
    limits = ("enum", "const", "pattern", "format")
    return not any(name in spec for name in limits) and spec.get("maxLength", 40) >= 40


def _value(spec: Any, now: datetime) -> Any:
    """Something that a property may hold; what it may not, a check of the whole finds out."""
    if not isinstance(spec, dict):
        return "probe"
    if isinstance(spec.get("enum"), list) and spec["enum"]:
        return spec["enum"][0]
    if "const" in spec:
        return spec["const"]
    kinds = spec.get("type")
    match kinds[0] if isinstance(kinds, list) and kinds else kinds:
        case "boolean":
            return True
        case "integer":
            return _number(spec)
        case "number":
            return float(_number(spec))
        case _:
            return _text(spec, now)


def _number(spec: Mapping[str, Any]) -> int:
    least = spec.get("minimum", spec.get("exclusiveMinimum", 0) + 1)
    step = spec.get("multipleOf", 1)
    number = max(int(least), 1)
    if isinstance(step, int) and step > 1:
        number += -number % step
    return min(number, int(spec["maximum"])) if "maximum" in spec else number


def _text(spec: Mapping[str, Any], now: datetime) -> str:
    match spec.get("format"):
        case "date-time":
            return now.isoformat(timespec="seconds")
        case "date":
            return now.date().isoformat()
        case "email":
            return "probe@example.com"
        case "uuid":
            return str(uuid4())
        case "uri":
            return "https://example.com/probe"
        case _:
            text = "probe".ljust(int(spec.get("minLength", 0)), "-")
            return text[: int(spec["maxLength"])] if "maxLength" in spec else text


def evidence_of(*samples: Sample | None) -> list[Evidence]:
    """What was seen of samples: the request, and the look that decided."""
    found: list[Evidence] = []
    for sample in samples:
        if sample is None:
            found.append({"why": "it was not made: no more interactions were allowed"})
            continue
        found += sample.evidence
        if sample.seen:
            fields = ("createdDate", "schemaId", "payload")
            shown: Mapping[str, Any] = {n: sample.shown.get(n) for n in fields}
            found.append(sample.seen.shown(shown=shown))
        elif sample.unseen:
            found.append(sample.unseen.shown(shown=None))
    return found
