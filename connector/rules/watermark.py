"""The watermark: the stored position in a model's cursor up to which every row is recorded.

What a cursor can be, its text form in the ledger, how far behind the watermark a run reads again,
and which cursors may become the watermark. The database orders and compares; nothing here sorts.
"""

import re
from collections.abc import Sequence
from dataclasses import field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import ROUND_FLOOR, Context, Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.errors import ConfigurationError, of_activation
from connector.rules.walltime import EASTERNMOST, WESTERNMOST, earliest, lowest_shown, minus, shown


class Kind(StrEnum):
    LOCAL_TIME = "local_time"
    """Times without a zone."""
    INSTANT = "instant"
    """Times with a zone."""
    DATE = "date"
    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"


TEXT_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?"
)
IN_WORDS = {
    Kind.LOCAL_TIME: "times without a zone",
    Kind.INSTANT: "times with a zone",
    Kind.DATE: "dates",
    Kind.INTEGER: "integers",
    Kind.DECIMAL: "decimals",
    Kind.TEXT: "texts",
}
OFFSET = "±"
"""The zone of texts that carry an offset of their own, which may be another in summer."""
TIMES = (Kind.LOCAL_TIME, Kind.INSTANT, Kind.DATE)
NUMBERS = (Kind.INTEGER, Kind.DECIMAL)
CLOCKS_APART = timedelta(minutes=5)
"""By so much two machines that are right may differ: what is new by one of them may lie so far in
the past of another one."""
UNKNOWN_CLOCKS = timedelta(hours=2)
"""How far clocks in a zone that nobody has named may have been set back or forward."""

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
    before which rows are history, since the activation started with `start: now`; all that stood
    at or after it then is recorded. `left`: how many of the newest rows behind the place that is
    read from were not recorded when the model was first read as it is written now; None: not yet
    counted. `sample`: of a cursor of texts, one that the model has now, which says how they are
    written while there is no `value`; it is not stored."""

    column: str | None = None
    kind: Kind | None = None
    value: Any = None
    floor: Any = None
    left: int | None = None
    sample: Any = field(default=None, compare=False)

    @property
    def example(self) -> Any:
        """A value of the cursor, if one is known."""
        return self.sample if self.value is None else self.value

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
    text = (
        f"the cursor {column} holds {type(value).__name__} values;"
        " a cursor is a time, a date, an integer, a decimal or a text"
    )
    raise ConfigurationError(of_activation(activation, "cursor", text=text))


def shape(text: str) -> tuple[str, str] | None:
    """How a text writes a time: what parts date and hours, and its zone ("", "Z" or OFFSET); None
    when it is no time.

    Some warehouses keep times as text (SQLite has no other way). Their order is the order of what
    clocks show only as long as all are written alike.
    """
    match = TEXT_TIME.fullmatch(text)
    if match is None:
        return None
    parted, zone = match[1] or "", match[2] or ""
    return parted, zone if zone in ("", "Z") else OFFSET


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
    text = (
        f"the cursor holds {what}, so its rows have no common order; cast it in the model to one"
        " kind of value"
    )
    return ConfigurationError(of_activation(activation.name, "cursor", text=text))


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
    lower = _behind(activation, mark, zone)  # first, since it refuses an overlap that is none
    if lower is None:
        return floor
    if floor is None or (mark.kind is Kind.TEXT and shape(lower) is None):
        return lower  # the order of texts is the database's alone, unless they are times
    return max(lower, floor)


def advance(
    mark: Watermark, cursors: Sequence[Any], now: datetime, zone: ZoneInfo | None
) -> Watermark:
    """`mark` after a batch with these `cursors`, in their order, was recorded: at the newest one
    that is not in the future, if there is one.

    So it is always a place that was read. A row dated 2062 is recorded, and read again by each run
    until its time comes; as a watermark it would hide every row that comes before it. It never
    goes back.
    """
    if not cursors:
        return mark
    if not _is_time(mark, cursors[0]):
        position = cursors[-1]
    else:
        place = zone or WESTERNMOST  # where nobody says which zone, it must have come in all
        position = next((c for c in reversed(cursors) if _has_come(c, now, place)), None)
    if position is None:
        return mark
    # only the database knows the order of texts that are no times
    ordered = mark.value is not None and (mark.kind is not Kind.TEXT or shape(mark.value))
    return mark if ordered and position < mark.value else replace(mark, value=position)


def is_to_come(mark: Watermark, now: datetime, zone: tzinfo | None) -> bool:
    """Whether `mark` stands in the future, so that what was read up to it is no proof of anything:
    the clock was set back, or the zone of the cursor was changed."""
    if mark.value is None or not _is_time(mark, mark.value):
        return False
    first = _instant(mark.value, zone or EASTERNMOST)
    return first is not None and first > now


def floor_is_to_come(mark: Watermark, now: datetime, zone: tzinfo | None) -> bool:
    """Whether history ends in the future: what is new by now would be taken for it."""
    if mark.kind is Kind.TEXT and mark.value is not None and (written := shape(mark.value)):
        # a floor of texts is cut to the minute: it has lost its zone
        zone = {"": zone, "Z": UTC, OFFSET: EASTERNMOST}[written[1]]
    return is_to_come(replace(mark, value=mark.floor), now, zone)


def end_of_past(mark: Watermark, highest: Any, now: datetime, zone: ZoneInfo | None) -> Any | None:
    """The cursor value from which on rows may be in the future (exclusive); None when not even
    `highest` is."""
    if not _is_time(mark, highest) or _has_come(highest, now, zone or WESTERNMOST):
        return None
    if mark.kind is Kind.INSTANT:
        return now
    written = shape(highest) if mark.kind is Kind.TEXT else None
    place = UTC if written and written[1] == "Z" else zone or WESTERNMOST
    local = shown(now, WESTERNMOST if written and written[1] == OFFSET else place)
    if mark.kind is Kind.DATE:
        return local.date() + timedelta(days=1)
    return _text_of(local, written[0]) if written else local


def history_floor(
    activation: Activation, newest: Any, mark: Watermark, zone: ZoneInfo | None, now: datetime
) -> Watermark:
    """The watermark of an activation that starts `now`, in a model whose `newest` cursor that is
    not in the future is this; None: all are.

    Rows below the floor are history and never read. The floor lies behind `newest` by the overlap,
    so that rows which come late are read, and behind `now` by CLOCKS_APART, whatever the overlap;
    what stands there at the first run is recorded as history, and so later ones beside it count as
    new.
    """
    floor = _behind(activation, replace(mark, value=newest), zone)
    if floor is not None and _is_time(mark, newest):
        floor = min(floor, _surely_past(mark, newest, minus(now, CLOCKS_APART), zone))
    return replace(mark, floor=floor)


def _surely_past(mark: Watermark, example: Any, moment: datetime, zone: ZoneInfo | None) -> Any:
    """The lowest cursor, written as `example` where it is a text, that means `moment` or later."""
    if mark.kind is Kind.INSTANT:
        return moment
    parted, suffix = (shape(example) if mark.kind is Kind.TEXT else None) or ("", "")
    if suffix == "Z":
        local = shown(moment, UTC)
    elif zone is None or suffix:
        local = shown(moment, WESTERNMOST)
    else:
        local = lowest_shown(moment, zone)
    if mark.kind is Kind.LOCAL_TIME:
        return local
    return local.date() if mark.kind is Kind.DATE else _text_of(local, parted)


def converted(mark: Watermark, lower: Any, kind: Kind) -> Any | None:
    """The floor of `mark` in a cursor of `kind`, when rows from `lower` on may be new.

    A place before which all history stands, and no row that may be new; None where there is none,
    so that history would be sent, or a row lost.
    """
    history, new = _places(mark.kind, mark.floor, kind), _places(mark.kind, lower, kind)
    if history is None or new is None:
        return None
    return history[1] if history[1] <= new[0] else None


def _places(before: Kind | None, value: Any, kind: Kind) -> tuple[Any, Any] | None:
    """The lowest and the highest place to which a cast to `kind` can move `value`; None: any. Only
    the model knows in which zone it casts."""
    day = timedelta(days=1)
    match before, kind:
        case Kind.INTEGER, Kind.DECIMAL:
            return Decimal(value), Decimal(value)
        case Kind.DECIMAL, Kind.INTEGER:
            whole = value.as_tuple().exponent >= 0
            low = int(value.to_integral_value(ROUND_FLOOR))
            return low, low if whole else low + 2  # rounded up, and what was there already
        case Kind.DATE, Kind.LOCAL_TIME:
            return (midnight := datetime.combine(value, time.min)), midnight
        case Kind.DATE, Kind.INSTANT:
            return _places(Kind.LOCAL_TIME, datetime.combine(value, time.min), kind)
        case Kind.LOCAL_TIME, Kind.DATE:
            return value.date(), value.date() + day * (value.time() != time.min)
        case Kind.LOCAL_TIME, Kind.INSTANT:
            return earliest(value, EASTERNMOST), earliest(value, WESTERNMOST)
        case Kind.INSTANT, Kind.LOCAL_TIME:
            return shown(value, WESTERNMOST), shown(value, EASTERNMOST)
        case Kind.INSTANT, Kind.DATE:
            return shown(value, WESTERNMOST).date(), shown(value, EASTERNMOST).date() + day
    return None


def _is_time(mark: Watermark, value: Any) -> bool:
    """Whether the cursor of `mark`, which holds `value`, is a time, be it as text."""
    if mark.kind is not Kind.TEXT:
        return mark.kind in TIMES
    return shape(value if mark.value is None else mark.value) is not None


def _has_come(value: Any, now: datetime, zone: tzinfo) -> bool:
    first = _instant(value, zone)
    return first is not None and first <= now


def _instant(value: Any, zone: tzinfo) -> datetime | None:
    """The first instant that a time, a date or a text that is one can mean; None: it is none, such
    as 2026-02-30."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    return value if value.tzinfo else earliest(value, zone)


def _start_floor(activation: Activation, mark: Watermark, zone: ZoneInfo | None) -> Any | None:
    start = activation.start
    if not isinstance(start, datetime):
        return mark.floor
    floor = _start_as(activation, start, mark, zone)
    return floor if mark.floor is None else max(floor, mark.floor)  # history stays history


def _start_as(
    activation: Activation, start: datetime, mark: Watermark, zone: ZoneInfo | None
) -> Any:
    """`start` as the cursor of `mark` has it."""
    if mark.kind is Kind.TEXT:
        return _start_as_text(activation, start, mark.example, zone)
    if mark.kind not in TIMES:
        raise _start_is_a_time(activation, f"the cursor is of kind {mark.kind}")
    if mark.kind is Kind.INSTANT:
        return start
    # a time that clocks show both before the start and after it is taken: nothing is lost
    local = lowest_shown(start, zone or UTC)
    return local.date() if mark.kind is Kind.DATE else local


def _start_as_text(
    activation: Activation, start: datetime, example: str | None, zone: ZoneInfo | None
) -> str:
    """`start` as the beginning of every text that has this time and is written as `example`."""
    if example is None:  # no row has a cursor now
        return _text_of(shown(start, WESTERNMOST), "")
    if (written := shape(example)) is None:
        raise _start_is_a_time(activation, "the cursor holds texts that are none")
    parted, suffix = written
    if suffix == OFFSET:
        raise _start_is_a_time(
            activation,
            "the texts of the cursor have offsets of their own, and their order is not that of"
            " time; cast it in the model to a time, or to texts in UTC",
        )
    if parted and not suffix and zone is None:
        raise _start_is_a_time(
            activation,
            "the cursor holds times without a zone; say what they mean with cursor.timezone or"
            " warehouse.timezone",
        )
    local = shown(start, UTC) if suffix else lowest_shown(start, zone or UTC)
    if parted and local.second:
        return local.isoformat(parted, "seconds")
    return _text_of(local, parted)


def _start_is_a_time(activation: Activation, but: str) -> ConfigurationError:
    ways = "" if "; " in but else "; use start: all or start: now, or a cursor that is a time"
    text = f"start is a time, but {but}{ways}"
    return ConfigurationError(of_activation(activation.name, "start", text=text))


def _behind(activation: Activation, mark: Watermark, zone: ZoneInfo | None) -> Any:
    """The watermark less the overlap; None while there is no watermark."""
    overlap = activation.cursor.overlap if activation.cursor else None
    if mark.kind is None:
        return None
    example = mark.example if mark.kind is Kind.TEXT else None
    written = None if example is None else shape(example)
    _check_overlap(activation, mark, overlap, written)
    if mark.value is None:
        return None
    if written is not None:
        return _text_behind(mark.value, written, overlap, zone)
    if overlap is None:
        overlap = DEFAULT_OVERLAP.get(mark.kind, 0)
    if isinstance(overlap, timedelta) or mark.kind in TIMES:
        return _time_behind(mark.value, overlap or timedelta(0), zone)
    if not overlap or not isinstance(mark.value, Decimal):
        return mark.value - overlap if overlap else mark.value
    # never rounded up, since what lies between would not be read
    return Context(prec=100, rounding=ROUND_FLOOR).subtract(mark.value, Decimal(overlap))


def _time_behind(value: Any, overlap: Any, zone: ZoneInfo | None) -> Any:
    """The lowest cursor of any row that happened at `value`, or less than `overlap` before it, or
    at any time after: an overlap is real time, and clocks are set forward and back."""
    if isinstance(value, datetime):
        if value.tzinfo:
            return minus(value, overlap)
        if zone is None:
            return minus(value, overlap + UNKNOWN_CLOCKS)
        return min(value, lowest_shown(minus(earliest(value, zone), overlap), zone))
    days = timedelta(days=-(-overlap // timedelta(days=1)))  # every day that is begun
    first = datetime.combine(value, time.min)
    lower = minus(first, days).date()
    if zone is None:
        return lower
    return min(lower, lowest_shown(minus(earliest(first, zone), overlap), zone).date())


def _check_overlap(
    activation: Activation,
    mark: Watermark,
    overlap: timedelta | int | None,
    written: tuple[str, str] | None,
) -> None:
    if not overlap or (mark.kind is Kind.TEXT and mark.example is None):
        return
    is_span = isinstance(overlap, timedelta)
    if mark.kind is Kind.TEXT and written is None:
        what = (
            "a text cursor has no overlap, unless its texts are times as ISO 8601 writes them; cast"
            " it to a timestamp in the model, or take the overlap out"
        )
    elif is_span != (mark.kind in TIMES or written is not None):
        what = f"use {'a whole number' if is_span else 'a duration'}"
    else:
        return
    text = f"overlap does not go with a cursor of kind {mark.kind}; {what}"
    raise ConfigurationError(of_activation(activation.name, "cursor", "overlap", text=text))


def _text_behind(
    text: str, written: tuple[str, str], overlap: timedelta | int | None, zone: ZoneInfo | None
) -> str:
    """`text`, a time, less the overlap; cut to the minute, so that it is before all that share it
    however their seconds and zones are written."""
    parted, suffix = written
    fallback = DEFAULT_OVERLAP[Kind.LOCAL_TIME if parted else Kind.DATE]
    span = fallback if overlap is None else overlap or timedelta(0)
    assert isinstance(span, timedelta)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # 2026-02-30, of an earlier version
        return text
    if not parted:
        return str(_time_behind(moment.date(), span, zone))
    if suffix == OFFSET:  # rows with any other offset may come, as they do in summer
        return _text_of(shown(minus(moment, span), WESTERNMOST), parted)
    lower = _time_behind(moment, span, zone)
    return _text_of(lower.replace(tzinfo=None), parted)


def _text_of(local: datetime, parted: str) -> str:
    """The beginning of every text that has this time, to the minute."""
    return local.isoformat(parted, "minutes") if parted else local.date().isoformat()
