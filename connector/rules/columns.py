"""What the columns of a model say about a schema: whether they can fit one, and which they ask for.

A warehouse has its own word for a column's type, or gives none; then the values tell.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from itertools import chain, count
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.definition import DIALECT, PRODUCT, Definition
from connector.rules.errors import Problem
from connector.rules.mapping import STRUCTURES, Misfit, convert
from connector.rules.schema import InteractionSchema, Property
from connector.rules.values import Unreadable, kind_of

UTC_ZONE = ZoneInfo("UTC")


class Kind(StrEnum):
    """What the values of a column are, in words for people."""

    BOOLEAN = "a boolean"
    INTEGER = "an integer"
    NUMBER = "a number"
    TEXT = "a text"
    DATE = "a date"
    TIMESTAMP = "a time"
    LOCAL_TIME = INSTANT = TIMESTAMP
    TIME_OF_DAY = "a time of day"
    UUID = "a UUID"
    BYTES = "bytes"
    INTERVAL = "an interval"
    NESTED = "a list or a structure"


K = Kind

TYPE_NAMES: tuple[tuple[str, Kind], ...] = (
    (r".*\[\d*\]|(STRUCT|MAP|UNION|LIST|ARRAY|RECORD|VARIANT|OBJECT)\b.*", K.NESTED),
    (r"BOOL(EAN)?", K.BOOLEAN),
    (r"U?(TINY|SMALL|BIG|HUGE|MEDIUM)?INT(EGER|\d+)?|LONG|SHORT|BYTEINT", K.INTEGER),
    (r"(DECIMAL|NUMERIC|NUMBER)\(\d+, ?0\)", K.INTEGER),
    (r"(DECIMAL|NUMERIC|BIGNUMERIC|NUMBER|FLOAT\d*|DOUBLE( PRECISION)?|REAL)(\(.*\))?", K.NUMBER),
    (r"DATETIME.*|TIMESTAMP.*", K.TIMESTAMP),
    (r"DATE", K.DATE),
    (r"TIME\b.*|TIMETZ|TIME_NS", K.TIME_OF_DAY),
    (r"UUID", K.UUID),
    (r"(VARCHAR|CHAR|TEXT|STRING|NVARCHAR|BPCHAR|ENUM)\b.*", K.TEXT),
    (r"BLOB|BYTES|BYTEA|(VAR)?BINARY\b.*", K.BYTES),
    (r"INTERVAL.*", K.INTERVAL),
)
"""The words of warehouses; what none of them matches is not known (JSON is a text in one and a
structure in another)."""

SAMPLES: dict[Kind, tuple[Any, ...]] = {
    K.BOOLEAN: (True,),
    K.INTEGER: (1,),
    K.NUMBER: (Decimal(0), Decimal("1.0"), Decimal("1.5")),
    K.DATE: (date(2026, 1, 31),),
    K.TIMESTAMP: (datetime(2026, 1, 31, tzinfo=UTC),),
    K.TIME_OF_DAY: (time(12, tzinfo=UTC), time(12)),
    K.UUID: (UUID(int=1),),
    K.INTERVAL: (timedelta(1),),
    K.NESTED: ([],),
}
"""Values of each kind, such that no value of it fits a type and a format that none of these fits.
Whole numbers and midnights are among them: they fit where others would lose something."""

SPECIFICATIONS: dict[Kind, dict[str, str]] = {
    K.BOOLEAN: {"type": "boolean"},
    K.INTEGER: {"type": "integer"},
    K.NUMBER: {"type": "number"},
    **{kind: {"type": "string", "format": "date-time"} for kind in (K.DATE, K.TIMESTAMP)},
    **{kind: {"type": "string"} for kind in (K.TEXT, K.TIME_OF_DAY, K.UUID, K.BYTES)},
}
"""What is proposed for a column of each kind. Intervals and nested values cannot be sent. A date
becomes its midnight: date-time is the one format that Voyado's documentation shows."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A schema that would fit a model. `columns`: where each property comes from; `left_out`: why a
    column has no property, by its name; `guessed`: columns without a value and without a type."""

    definition: Definition
    columns: Mapping[str, str]
    left_out: Mapping[str, str]
    guessed: Sequence[str]

    def document(self) -> dict[str, Any]:
        return {
            "schema": self.definition.content,
            "payload": dict(self.columns),
            "left_out": dict(self.left_out),
            "guessed": list(self.guessed),
        }


def kind_of_type(name: str) -> Kind | None:
    """The kind of a column whose type the warehouse calls `name`; None when that says nothing."""
    for pattern, kind in TYPE_NAMES:
        if re.fullmatch(pattern, name.strip(), re.IGNORECASE):
            return kind
    return None


def kind_of_values(values: Iterable[Any]) -> Kind | None:
    """The kind that covers all `values`; None when there is none but NULL."""
    kinds = {
        _kind_of_value(value)
        for value in values
        if value is not None and not isinstance(value, Unreadable)
    }
    if len(kinds) <= 1:
        return next(iter(kinds), None)
    if K.NESTED in kinds or K.INTERVAL in kinds:
        return K.NESTED if K.NESTED in kinds else K.INTERVAL
    for several, kind in (({K.INTEGER, K.NUMBER}, K.NUMBER), ({K.DATE, K.TIMESTAMP}, K.TIMESTAMP)):
        if kinds <= several:
            return kind
    return K.TEXT


def never_fits(kind: Kind, wanted: Property) -> bool:
    """Whether no value of `kind` can become what the type and the format of `wanted` ask for."""
    if kind in (K.TEXT, K.BYTES):  # a text, and bytes that are one, may be in any format
        return bool(wanted.types) and "string" not in wanted.types
    spec: dict[str, Any] = {"format": wanted.format} if wanted.format else {}
    if wanted.types:
        spec["type"] = list(wanted.types)
    alone = InteractionSchema("", {"properties": {wanted.name: spec}})
    return not any(_fits(value, wanted, alone) for value in SAMPLES[kind])


def mapping_misfits(
    activation: Activation, schema: InteractionSchema, types: Mapping[str, str]
) -> list[Problem]:
    """Payload columns whose type can never fit their property; `types` by column."""
    found = []
    for name, field in activation.sent.items():
        wanted = schema.property_of(name)
        kind = kind_of_type(types.get(field.column, "")) if field.column else None
        if wanted is None or kind is None or not never_fits(kind, wanted):
            continue
        asked = "/".join(wanted.types) + (
            f" of the format {wanted.format}" if wanted.format else ""
        )
        message = (
            f"the column {field.column} is {kind} ({types[field.column or '']}), which never fits"
            f" the property {name} ({asked}); cast it in the model"
        )
        path = ("activations", activation.name, *activation.path_to(name))
        found.append(Problem(path, message))
    return found


def proposal(
    schema_id: str,
    kinds: Mapping[str, Kind | None],
    activation: Activation | None = None,
    descriptions: Mapping[str, str] = MappingProxyType({}),
) -> Proposal:
    """A schema for a model with columns of these `kinds` (None: not known).

    With an `activation` it has the properties that the activation maps, or all columns but the
    contact's when it maps none; those that carry the row key are required. Without one it has a
    property for each column. `descriptions`: of columns, for people.
    """
    mapping = activation.payload if activation else {}
    contact = activation.contact.column if activation else None
    columns = {name: field.column for name, field in mapping.items() if field.column}
    if not mapping:
        columns = by_property([column for column in kinds if column != contact])
    specs: dict[str, dict[str, str]] = {}
    left_out = {}
    for name in mapping or columns:
        kind = kinds[columns[name]] if name in columns else kind_of_values([mapping[name].value])
        if spec := SPECIFICATIONS.get(kind or K.TEXT):
            kept = SPECIFICATIONS[K.TEXT] if name == PRODUCT else spec  # a number gives its digits
            specs[name] = kept | {
                "displayName": _words(name),
                "showInContactCard": "true",
                "addToSegmentation": "false",
                "sortOrder": str(len(specs)),
            }
            if text := descriptions.get(columns.get(name, "")):
                specs[name]["description"] = text
        else:
            left_out[columns[name]] = f"is {kind}, which an interaction cannot hold"
    key = activation.row_key if activation else ()
    required = [name for name in specs if columns.get(name) in key]
    json_schema = {"$schema": DIALECT, "type": "object", "properties": specs}
    definition = Definition(
        schema_id,
        _words(schema_id),
        json_schema | ({"required": required} if required else {}),
    )
    kept = {name: column for name, column in columns.items() if name in specs}
    guessed = [column for column in kept.values() if kinds[column] is None]
    return Proposal(definition, kept, left_out, guessed)


def property_name(column: str) -> str:
    """`review_id` as `reviewId`, the way Engage's own properties are written."""
    parts = [p.lower() if p.isupper() else p for p in re.split(r"[\W_]+", column) if p]
    name = "".join(part[:1].upper() + part[1:] for part in parts)
    return name[:1].lower() + name[1:] or column


def by_property(columns: Sequence[str]) -> dict[str, str]:
    """Each column under the name of its property, which is numbered where two would have one."""
    found: dict[str, str] = {}
    for column in columns:
        name = property_name(column)
        numbered = (f"{name}{n}" for n in count(2))
        found[next(n for n in chain([name], numbered) if n not in found)] = column
    return found


def _words(name: str) -> str:
    """`reviewId` or `review_id` as `Review id`."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ").replace("-", " ").split()
    text = " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts)
    return text[:1].upper() + text[1:] or name.strip() or "?"


def _fits(value: Any, wanted: Property, alone: InteractionSchema) -> bool:
    try:
        return alone.accepts({wanted.name: convert(value, wanted, UTC_ZONE, ())})
    except Misfit:
        return False


def _kind_of_value(value: Any) -> Kind:
    value = value.value if isinstance(value, Enum) else value
    nested = isinstance(value, STRUCTURES)
    return K.NESTED if nested else K.__members__.get(kind_of(value).name, K.TEXT)
