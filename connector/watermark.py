"""The watermark: the stored position in a model's cursor up to which every row is recorded.

What a cursor can be, its text form in the ledger, how far behind the watermark a run reads again,
and how far ahead the watermark may go. The database orders and compares; nothing here sorts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from connector.activation import Activation
from connector.errors import ConfigurationError, Problem


class Kind(StrEnum):
    """What a cursor column holds."""

    LOCAL_TIME = "local_time"
    """Times without a zone."""
    INSTANT = "instant"
    """Times with a zone."""
    DATE = "date"
    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"


TEXT_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"
)
TIMES = (Kind.LOCAL_TIME, Kind.INSTANT, Kind.DATE)

DEFAULT_OVERLAP: dict[Kind, timedelta | int] = {
    Kind.LOCAL_TIME: timedelta(hours=1),
    Kind.INSTANT: timedelta(hours=1),
    Kind.DATE: timedelta(days=1),
    Kind.INTEGER: 1000,
    Kind.DECIMAL: 1000,
}
"""Transactions commit out of order, so a cursor that was read is no proof that nothing comes before
it. Reading again costs a scan and never a send."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """A stored position in `column`. `value` None: nothing is recorded yet. `floor`: the position
    before which rows are history, since the activation started with `start: now`."""

    column: str | None = None
    kind: Kind | None = None
    value: Any = None
    floor: Any = None

    @property
    def text(self) -> str | None:
        """The position as text, for people and for the ledger."""
        return None if self.value is None else to_text(self.value)


def kind_of_value(value: Any, column: str, activation: str) -> Kind:
    """What kind of cursor `value` comes from. Raises ConfigurationError for unusable ones."""
    match value:
        case datetime():
            return Kind.INSTANT if value.tzinfo else Kind.LOCAL_TIME
        case date():
            return Kind.DATE
        case bool():
            pass
        case int():
            return Kind.INTEGER
        case Decimal() if value.is_finite():
            return Kind.DECIMAL
        case str():
            return Kind.TEXT
    raise ConfigurationError(
        Problem(
            ("activations", activation, "cursor"),
            f'activation "{activation}": the cursor {column} holds {type(value).__name__} values;'
            " a cursor is a time, a date, an integer, a decimal or a text",
        )
    )


def shape(text: str) -> tuple[str, str] | None:
    """How a text writes a time: what parts date and hours, and its zone; None when it is no time.

    Some warehouses keep times as text (SQLite has no other way). Their order is the order of time
    only as long as all are written alike.
    """
    match = TEXT_TIME.fullmatch(text)
    return (match[1] or "", match[2] or "") if match else None


def check_cursors(activation: Activation, mark: Watermark, values: Sequence[Any]) -> Kind | None:
    """The kind of all of `values`, the cursors of a batch. Raises ConfigurationError when they are
    of several kinds, or of another than `mark` has: their order would not be the order of rows."""
    if not values or activation.cursor is None:
        return mark.kind
    column = activation.cursor.column
    samples = {type(value): value for value in values}.values()
    kinds = {kind_of_value(value, column, activation.name) for value in samples}
    if mark.kind is not None:
        kinds.add(mark.kind)
    if len(kinds) > 1:
        raise _mixed(activation, "values of kind " + " and ".join(sorted(kinds)))
    (kind,) = kinds
    if kind is Kind.TEXT:
        first = shape(values[0] if mark.value is None else mark.value)
        if first is not None and any(shape(value) != first for value in values):
            raise _mixed(activation, "times that are written in different ways, or are none")
    return kind


def _mixed(activation: Activation, what: str) -> ConfigurationError:
    return ConfigurationError(
        Problem(
            ("activations", activation.name, "cursor"),
            f'activation "{activation.name}": the cursor holds {what}, so its rows have no common'
            " order; cast it in the model to one kind of value",
        )
    )


def to_text(value: Any) -> str:
    """`value` in a form that `from_text` reads back exactly."""
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def from_text(kind: Kind, text: str) -> Any:
    """The cursor value that `to_text` wrote."""
    match kind:
        case Kind.LOCAL_TIME | Kind.INSTANT:
            return datetime.fromisoformat(text)
        case Kind.DATE:
            return date.fromisoformat(text)
        case Kind.INTEGER:
            return int(text)
        case Kind.DECIMAL:
            return Decimal(text)
        case Kind.TEXT:
            return text


def read_from(activation: Activation, mark: Watermark, zone: ZoneInfo | None) -> Any | None:
    """The cursor value from which a run reads (inclusive); None means from the beginning.

    Raises ConfigurationError where `overlap` or `start` do not go with the cursor's kind.
    """
    floor = mark.floor if mark.kind is None else _start_floor(activation, mark, zone)
    lower = _behind(activation, mark)  # first, since it refuses an overlap that does not fit
    if mark.value is None:
        return floor
    if floor is None or mark.kind is Kind.TEXT:  # the order of texts is the database's alone
        return lower
    return max(lower, floor)


def advance(mark: Watermark, position: Any, now: datetime, zone: ZoneInfo | None) -> Watermark:
    """`mark` after every row up to `position` was recorded.

    It never goes back, and a time never goes past `now`: one row dated 2062 would otherwise hide
    every row that comes after it.
    """
    if position is None:
        return mark
    if mark.kind is Kind.TEXT and (written := shape(position)):
        position = min(position, _text_of(now, written, zone))
    elif mark.kind in TIMES:
        position = min(position, _now_as(mark.kind, now, zone))
        if mark.value is not None:
            position = max(position, mark.value)
    elif mark.kind is not Kind.TEXT and mark.value is not None:
        position = max(position, mark.value)
    return replace(mark, value=position)


def history_floor(highest: Any, mark: Watermark, now: datetime, zone: ZoneInfo | None) -> Watermark:
    """The watermark of an activation that starts now, in a model whose largest cursor is `highest`.

    Rows below the floor are history and never read. Rows at or above it that are there at the
    first run are history too; those are recorded, so that later ones beside them count as new.
    """
    floor = min(highest, _now_as(mark.kind, now, zone)) if mark.kind in TIMES else highest
    return replace(mark, floor=floor)


def _start_floor(activation: Activation, mark: Watermark, zone: ZoneInfo | None) -> Any | None:
    start = activation.start
    if not isinstance(start, datetime):
        return mark.floor
    if mark.kind not in TIMES:
        raise ConfigurationError(
            Problem(
                ("activations", activation.name, "start"),
                f'activation "{activation.name}": start is a time, but the cursor is of kind'
                f" {mark.kind}; use start: all or start: now, or a cursor that is a time",
            )
        )
    return _now_as(mark.kind, start, zone)


def _behind(activation: Activation, mark: Watermark) -> Any:
    """The watermark less the overlap; None while there is no watermark."""
    overlap = activation.cursor.overlap if activation.cursor else None
    if mark.kind is None:
        return None
    written = shape(mark.value) if mark.kind is Kind.TEXT and mark.value is not None else None
    _check_overlap(activation, mark, overlap, written)
    if mark.value is None:
        return None
    if written is not None:
        return _text_behind(mark.value, written, overlap)
    if overlap is None:
        overlap = DEFAULT_OVERLAP.get(mark.kind)
    return _minus(mark.value, overlap) if overlap else mark.value


def _check_overlap(
    activation: Activation,
    mark: Watermark,
    overlap: timedelta | int | None,
    written: tuple[str, str] | None,
) -> None:
    unknown = mark.kind is Kind.TEXT and mark.value is None
    if not overlap or unknown:
        return
    wants_time = mark.kind in TIMES or written is not None
    if (mark.kind is Kind.TEXT and written is None) or wants_time != isinstance(overlap, timedelta):
        hint = "a duration" if wants_time else "a whole number"
        what = (
            f"use {hint}"
            if mark.kind is not Kind.TEXT or written
            else "a text cursor has no overlap, unless its texts are times"
        )
        raise ConfigurationError(
            Problem(
                ("activations", activation.name, "cursor", "overlap"),
                f'activation "{activation.name}": overlap does not go with a cursor of kind'
                f" {mark.kind}; {what}",
            )
        )


def _text_behind(text: str, written: tuple[str, str], overlap: timedelta | int | None) -> str:
    """`text`, a time, less the overlap; cut to the minute, so that it is before all that share it
    however their seconds and zones are written."""
    parted, _ = written
    if not parted:
        span = overlap if isinstance(overlap, timedelta) else DEFAULT_OVERLAP[Kind.DATE]
        return str(_minus(date.fromisoformat(text), span))
    span = overlap if isinstance(overlap, timedelta) else DEFAULT_OVERLAP[Kind.LOCAL_TIME]
    moment = datetime.fromisoformat(text).replace(tzinfo=None)
    return str(_minus(moment, span).isoformat(parted, timespec="minutes"))


def _text_of(now: datetime, written: tuple[str, str], zone: ZoneInfo | None) -> str:
    """The present, written in the same way."""
    parted, suffix = written
    if suffix:
        there = datetime.fromisoformat(f"2000-01-01T00:00{suffix}").tzinfo
        return now.astimezone(there).replace(tzinfo=None).isoformat(parted, "seconds") + suffix
    local = now.astimezone(zone or UTC).replace(tzinfo=None)
    return local.isoformat(parted, "seconds") if parted else local.date().isoformat()


def _minus(value: Any, overlap: timedelta | int) -> Any:
    """`value` less `overlap`, never rounded up, since what lies between would not be read."""
    if isinstance(value, Decimal):
        return Context(prec=100, rounding=ROUND_FLOOR).subtract(value, Decimal(str(overlap)))
    if isinstance(overlap, timedelta) and not isinstance(value, datetime):
        overlap = timedelta(days=-(-overlap // timedelta(days=1)))  # a date has only whole days
    try:
        return value - overlap
    except OverflowError:
        first = datetime.min.replace(tzinfo=getattr(value, "tzinfo", None))
        return first if isinstance(value, datetime) else first.date()


def _now_as(kind: Kind | None, moment: datetime, zone: ZoneInfo | None) -> Any:
    """The aware `moment` as a cursor of `kind` would show it."""
    if kind is Kind.INSTANT:
        return moment
    try:
        local = moment.astimezone(zone or UTC).replace(tzinfo=None)
    except OverflowError:  # start: 0001-01-01T00:00:00Z, west of Greenwich
        local = moment.replace(tzinfo=None)
    return local.date() if kind is Kind.DATE else local
