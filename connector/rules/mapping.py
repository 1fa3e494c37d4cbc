"""Turn one row into one interaction, or say why that cannot be.

Pure: the same row gives the same bytes. A value is converted only where nothing is lost; text is
never read as a number or a boolean, since a cast belongs in the model, where it can be seen.
"""

import base64
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from connector.rules.activation import Activation, PayloadField
from connector.rules.errors import ConfigurationError, Path, Problem
from connector.rules.interaction import INSTANT, Interaction, Invalid, instant_text
from connector.rules.schema import InteractionSchema, Property, kind_of
from connector.rules.values import Finer, Unreadable, has_place, is_storable, is_text
from connector.rules.walltime import first_shown

Row = Sequence[Any]
JsonScalar = str | int | float | bool
ANYTHING = Property("", (), None)

EXACT_SUFFIX = "::exact"
"""Marks a column that is read a second time, for all of its digits."""
LARGEST_INTEGER = 2**63 - 1
SMALLEST_INTEGER = -(2**63)
LARGEST_EXACT_FLOAT = 2**53
LONGEST_KEY = 1000
STRUCTURES = (list, tuple, set, dict)
NUMBERS = (int, float, Decimal)
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?\s?(Z|[+-]\d\d(:?\d\d)?)?")
NANOSECONDS = re.compile(r"\.\d{6}\d*[1-9]")


class Misfit(Exception):
    """A value that cannot become what the schema wants."""


class RowMapper:
    """The mapping of an activation, made ready for rows with the given `columns`.

    `schema` None means that the destination was not asked: values take their natural JSON form.
    `zone` is what times without a zone mean where the activation does not say otherwise. `key`
    names the columns that hold the row key, where those are not the ones of the activation.
    Calling it raises ConfigurationError for a time without a zone that nothing explains.
    """

    def __init__(
        self,
        activation: Activation,
        schema: InteractionSchema | None,
        columns: Sequence[str],
        zone: ZoneInfo | None = None,
        key: Sequence[str] | None = None,
    ) -> None:
        self._position = {name: i for i, name in enumerate(columns)}
        self._schema = schema
        self._key = [self._position[name] for name in key or activation.row_key]
        self._contact = self._exact(activation.contact.column)
        self._contact_column = activation.contact.column
        self._cursor = self._position[activation.cursor.column] if activation.cursor else None
        self._cursor_column = activation.cursor.column if activation.cursor else ""
        self._names = list(activation.sent)
        self._reads: list[tuple[str, Callable[[Row], Any]]] = [
            ("contact", self._contact_text),
            (activation.created_key, self._created_from(activation, zone)),
            *(
                (name, self._field(activation, name, field, wanted_by(schema, name), zone))
                for name, field in activation.sent.items()
            ),
        ]

    def __call__(self, row: Row) -> Interaction | Invalid:
        """The interaction of `row`, or every reason why there is none."""
        reasons: list[str] = []
        if self._cursor is not None and not has_place(row[self._cursor]):
            reasons.append(f"cursor: {_no_place(row[self._cursor], self._cursor_column)}")
        values = []
        for name, read in self._reads:
            try:
                values.append(read(row))
            except Misfit as misfit:
                reasons.append(f"{name}: {misfit}")
        if reasons:
            return Invalid("; ".join(reasons))
        contact, created, *rest = values
        named = zip(self._names, rest, strict=True)
        return self._checked(contact, created, {n: v for n, v in named if v is not None})

    def key(self, row: Row) -> str | None:
        """The row key as text, or None when it cannot identify a row (NULL, or unusable)."""
        return key_text(self.key_values(row))

    def keys(self, rows: Sequence[Row]) -> list[str | None]:
        """The row key of each of `rows`."""
        return [self.key(row) for row in rows]

    def key_values(self, row: Row) -> Sequence[Any]:
        return [row[i] for i in self._key]

    def _checked(
        self, contact: Any, created: Any, payload: dict[str, Any]
    ) -> Interaction | Invalid:
        try:
            body = orjson.dumps(payload)
        except TypeError:  # a lone surrogate: no UTF-8, so no JSON
            broken = [name for name, value in payload.items() if not is_text(str(value))]
            return Invalid("; ".join(f"{name}: a text that is no Unicode" for name in broken))
        # what is validated is what will be sent: the bytes, not the objects they came from
        if self._schema and not self._schema.accepts(sent := orjson.loads(body)):
            return Invalid(self._schema.violations(sent))
        if self._schema and self._schema.text:
            body = orjson.dumps({name: as_text(value) for name, value in payload.items()})
        return Interaction(contact, created, body)

    def _contact_text(self, row: Row) -> str:
        value = _readable(row[self._contact], self._contact_column)
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            raise Misfit(f"the column {self._contact_column} is {kind_of(value)}")
        if isinstance(value, float | Decimal):  # 46701234567.0 is how some columns hold a phone
            value = to_integer(value, ANYTHING, None, ())
        if isinstance(value, bool) or not isinstance(value, str | int | UUID):
            raise Misfit(f"{kind_of(value)} identifies no contact; cast it to a text in the model")
        text = str(value)
        if not is_storable(text):
            raise Misfit(f"the column {self._contact_column} holds characters that are no text")
        return text

    def _created_from(
        self, activation: Activation, zone: ZoneInfo | None
    ) -> Callable[[Row], str | None]:
        if activation.happened is None:
            return lambda row: None
        column = activation.happened.column
        position = self._exact(column)
        own_zone = activation.happened.timezone or zone
        path: Path = ("activations", activation.name, activation.created_key)

        def read(row: Row) -> str:
            value = _readable(row[position], column)
            if value is None:
                raise Misfit("the column is NULL")
            return _written(instant_text, value, own_zone, path)

        return read

    def _exact(self, column: str) -> int:
        """Where `column` stands with all of its digits."""
        return self._position.get(column + EXACT_SUFFIX, self._position[column])

    def _field(
        self,
        activation: Activation,
        name: str,
        field: PayloadField,
        wanted: Property,
        zone: ZoneInfo | None,
    ) -> Callable[[Row], JsonScalar | None]:
        if field.column is None:
            return lambda row: field.value
        column = field.column
        position = self._exact(column)
        own_zone = field.timezone or zone
        path: Path = ("activations", activation.name, *activation.path_to(name))
        if wanted.types == ("string",) and wanted.format is None:  # most values, fast

            def read_text(row: Row) -> JsonScalar | None:
                value = row[position]
                if type(value) is str or value is None:
                    return value
                return convert(_readable(value, column), wanted, own_zone, path)

            return read_text

        def read(row: Row) -> JsonScalar | None:
            value = _readable(row[position], column)
            return None if value is None else convert(value, wanted, own_zone, path)

        return read


def wanted_by(schema: InteractionSchema | None, name: str) -> Property:
    """What a value must become to be sent as `name`."""
    return (schema and schema.property_of(name)) or ANYTHING


def as_text(value: JsonScalar) -> str:
    """How a value is sent where every value becomes a text."""
    return to_text(value, ANYTHING, None, ())


def convert(value: Any, wanted: Property, zone: ZoneInfo | None, path: Path) -> JsonScalar:
    """`value` as one of the JSON types that the property `wanted` takes, without loss.

    Raises Misfit when no type takes it, ConfigurationError for a time that has no zone.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, STRUCTURES):
        raise Misfit(f"{kind_of(value)} cannot be sent, since an interaction is flat")
    converters = _converters(wanted.types or _natural_types(value))
    if len(converters) == 1:  # its own reason is the best
        return converters[0](value, wanted, zone, path)
    for converter in converters:
        with suppress(Misfit):
            return converter(value, wanted, zone, path)
    raise Misfit(f"{kind_of(value)} fits none of {', '.join(wanted.types)}")


def to_boolean(value: Any, wanted: Property, zone: ZoneInfo | None, path: Path) -> bool:
    """A boolean; 0 and 1 count, since some warehouses have no other."""
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise Misfit(f"{kind_of(value)} does not fit a boolean")


def to_integer(value: Any, wanted: Property, zone: ZoneInfo | None, path: Path) -> int:
    """A whole number of at most 64 bits."""
    number = _finite(value, "an integer")
    if not SMALLEST_INTEGER <= number <= LARGEST_INTEGER:
        raise Misfit(f"{kind_of(value)} of more digits than an integer of 64 bits holds")
    if number != math.floor(number):
        raise Misfit(f"{kind_of(value)} with a fraction does not fit an integer")
    if isinstance(number, float) and abs(number) > LARGEST_EXACT_FLOAT:
        raise Misfit("a number so large that its last digits are lost")
    return int(number)


def to_number(value: Any, wanted: Property, zone: ZoneInfo | None, path: Path) -> int | float:
    """A number that survives the way through a double, as JSON numbers are commonly read."""
    number = _finite(value, "a number")
    if isinstance(number, float):
        return number
    if isinstance(number, int) and abs(number) <= LARGEST_EXACT_FLOAT:
        return number
    as_float = float(Decimal(number))
    if not math.isfinite(as_float) or Decimal(repr(as_float)) != number:
        raise Misfit(f"{kind_of(value)} of more digits than a number keeps")
    return as_float


def to_text(value: Any, wanted: Property, zone: ZoneInfo | None, path: Path) -> str:
    """A text: times in RFC 3339 with their offset, bytes in base64, numbers in plain digits."""
    match value:
        case str():
            return _text_as(value, wanted, zone, path)
        case Finer():
            return _fine_text(value, wanted, zone, path)
        case datetime() if wanted.format == "date":
            return _whole_day(value, zone)
        case datetime():
            return offset_text(to_moment(value, zone, path))
        case date() if wanted.format == "date-time":
            return offset_text(to_moment(value, zone, path))
        case time() if wanted.format == "time" and value.tzinfo is None:
            raise Misfit("a time of day without an offset does not fit the format time")
        case date() | time():
            return value.isoformat()
        case bool():
            return "true" if value else "false"
        case UUID() | int():
            return str(value)
        case Decimal() | float():
            return _plain_digits(_finite(value, "a text"))
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case timedelta():
            raise Misfit("an interval; cast it to a text or a number in the model")
        case _:
            raise Misfit(f"{kind_of(value)} cannot be sent; cast it to a text in the model")


Converter = Callable[[Any, Property, ZoneInfo | None, Path], JsonScalar]
CONVERTERS: dict[str, Converter] = {
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
    "string": to_text,
}
"""In the order in which they are tried: 1 becomes true, or "1", only where it cannot stay 1."""


@cache
def _converters(types: tuple[str, ...]) -> list[Converter]:
    return [converter for kind, converter in CONVERTERS.items() if kind in types]


def to_moment(value: Any, zone: ZoneInfo | None, path: Path) -> datetime:
    """`value` (a time, a date, or a text in ISO 8601) as an aware datetime.

    A local time that the clocks skipped is a Misfit: it never was, so the zone is likely wrong. One
    that they showed twice is the first of the two. A date is the first moment of its day.
    """
    value = day = _parsed_time(value) if isinstance(value, str) else value
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise Misfit(f"{kind_of(value)} is not a time")
    if value.tzinfo is not None:
        return _in_calendar(value)
    if zone is None:
        raise ConfigurationError(
            Problem(
                path,
                f"{'.'.join(map(str, path))}: the column holds times without a zone; say what they"
                " mean with `timezone:` here or under `warehouse:`",
            )
        )
    aware = _in_calendar(value.replace(tzinfo=zone))
    there_and_back = aware.astimezone(UTC).astimezone(zone)
    if there_and_back.replace(tzinfo=None) != value:
        aware = first_shown(value, zone).astimezone(zone)
        if value is day or aware.date() != day:  # a day may begin after a midnight that is skipped
            raise Misfit(f"a local time that never was: clocks in {zone.key} skipped it")
    return aware


def _fine_text(value: Finer, wanted: Property, zone: ZoneInfo | None, path: Path) -> str:
    if isinstance(value.cut, datetime):
        if wanted.format == "date":
            raise Misfit("a time with hours does not fit a date")
        return _written(offset_text, value, zone, path)
    if wanted.format == "time":
        raise Misfit("a time of day without an offset does not fit the format time")
    return value.cut.isoformat(timespec="microseconds") + value.digits


def _written(
    write: Callable[[datetime], str], value: Any, zone: ZoneInfo | None, path: Path
) -> str:
    """What it would `write` of a time, with any digits that follow microseconds."""
    if not isinstance(value, Finer):
        return write(to_moment(value, zone, path))
    moment = to_moment(value.cut, zone, path)
    whole = write(moment.replace(microsecond=1))  # with a fraction, whatever it is
    return re.sub(r"\.\d+", f".{moment.microsecond:06}{value.digits}", whole, count=1)


def _readable(value: Any, column: str) -> Any:
    if type(value) is Unreadable:
        raise Misfit(f"the column {column} holds {value.what}")
    return value


def _no_place(value: Any, column: str) -> str:
    what = kind_of(value)
    if isinstance(value, Unreadable):
        what = value.what
    elif isinstance(value, Decimal):
        what = "NaN or infinity"
    elif isinstance(value, str):
        what = "a text with characters that are none"
    held = "is NULL" if value is None else f"{column} holds {what}"
    return f"the column {held}, so the row has no place in the order"


def offset_text(moment: datetime) -> str:
    """RFC 3339 with the offset that the row has: 2018-11-13T20:20:39+00:00, as Engage asks."""
    offset = moment.utcoffset()
    if offset is None or offset % timedelta(minutes=1):  # RFC 3339 has no seconds in an offset
        moment = moment.astimezone(UTC)
    return moment.isoformat()


def key_text(values: Sequence[Any]) -> str | None:
    """The values that identify a row as one text, or None where they cannot.

    Several values are joined by `|`; a `|` or backslash inside one is escaped, so that two
    different keys never give one text.
    """
    parts = key_parts(values)
    if parts is None:
        return None
    if len(parts) > 1:
        parts = [part.replace("\\", "\\\\").replace("|", "\\|") for part in parts]
    text = "|".join(parts)
    return text if len(text) <= LONGEST_KEY and is_storable(text) else None


def key_parts(values: Sequence[Any]) -> list[str] | None:
    """The text of each of the values that identify a row, or None where one has none."""
    parts = []
    for value in values:
        if (part := _key_part(value)) is None:
            return None
        parts.append(part)
    return parts


def _key_part(value: Any) -> str | None:
    match value:
        case None | Unreadable():
            return None
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal() | float():  # 4, 4.0 and 4.00 are one key in every warehouse, and so is -0
            if not _is_finite(value):
                return None
            digits = _plain_digits(value)
            digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
            return "0" if digits == "-0" else digits
        case datetime() if value.tzinfo is not None:
            try:
                return value.astimezone(UTC).isoformat()
            except OverflowError:
                return value.isoformat()
        case date() | time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case _:
            return str(value)


def _natural_types(value: Any) -> tuple[str, ...]:
    match value:
        case bool():
            return ("boolean",)
        case int():
            return ("integer",)
        case float() | Decimal():
            return ("number",)
        case _:
            return ("string",)


def _finite(value: Any, wanted: str) -> int | float | Decimal:
    if isinstance(value, bool) or not isinstance(value, NUMBERS):
        raise Misfit(f"{kind_of(value)} does not fit {wanted}")
    if not _is_finite(value):
        raise Misfit("NaN and infinity cannot be sent")
    return value


def _is_finite(number: int | float | Decimal) -> bool:
    """As math.isfinite, which takes a number that no float can hold for infinite, or raises."""
    if isinstance(number, Decimal):
        return number.is_finite()
    return isinstance(number, int) or math.isfinite(number)


def _plain_digits(value: int | float | Decimal) -> str:
    """`value` without an exponent: 10000000000000000.0 and not 1e+16."""
    return f"{Decimal(repr(value)) if isinstance(value, float) else Decimal(value):f}"


def _in_calendar(moment: datetime, zone: tzinfo = UTC) -> datetime:
    try:
        moment.astimezone(zone)
    except OverflowError:
        raise Misfit("a time outside of the calendar") from None
    return moment


def _text_as(value: str, wanted: Property, zone: ZoneInfo | None, path: Path) -> str:
    """A text column that holds times (SQLite has no other) gets its zone; other texts stay."""
    if wanted.format != "date-time" or INSTANT.fullmatch(value) or not ISO_TIME.fullmatch(value):
        return value
    return offset_text(to_moment(value, zone, path))


def _parsed_time(value: str) -> date:
    if ISO_TIME.fullmatch(value) or re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        kind = datetime if ":" in value else date
        try:
            moment = kind.fromisoformat(re.sub(r"\s(?=[Z+-])", "", value))
        except ValueError:
            pass
        else:
            if NANOSECONDS.search(value):
                raise Misfit("a time of more digits than microseconds")
            return moment
    raise Misfit(f"{kind_of(value)} is not a time; write 2026-01-31T12:00:00+01:00")


def _whole_day(value: datetime, zone: ZoneInfo | None) -> str:
    if value.tzinfo is not None and zone is not None:
        value = _in_calendar(value, zone).astimezone(zone)
    if value.time() != time():
        raise Misfit("a time with hours does not fit a date")
    return value.date().isoformat()
