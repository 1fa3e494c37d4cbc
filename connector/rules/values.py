"""Values of a warehouse that Python's own types do not hold, or would change on the way."""

import re
import struct
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from connector.basis import dataclass

SINGLE_DIGITS = range(6, 10)
"""Six digits of a float of 32 bits are always kept, nine always tell it from its neighbours."""
LEAST_NORMAL = 2.0**-126
FINER = re.compile(r"(.*\d\d:\d\d:\d\d)(?:\.(\d+))?(.*)")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a value that cannot be held, in its row; other rows are as they are.

    `what` is the kind of value, in words for people, and never the value."""

    what: str

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class Finer:
    """A time of more digits than microseconds: `cut` to those, and the `digits` that follow."""

    cut: datetime | time
    digits: str


PLACED = frozenset((datetime, date, int))
"""Types of which every value has a place in the order of a model."""


def has_place(cursor: Any) -> bool:
    """Whether a row with this `cursor` has a place in the order of a model: one that can be stored
    as the position up to which all rows were read."""
    if cursor is None or isinstance(cursor, Unreadable):
        return False
    if isinstance(cursor, Decimal):
        return cursor.is_finite()
    return not isinstance(cursor, str) or is_storable(cursor)


def is_text(value: str) -> bool:
    """Whether `value` is Unicode; what a driver could not decode holds half surrogate pairs."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_storable(text: str) -> bool:
    """Whether every database takes `text`: no NUL, and no half of a surrogate pair."""
    return "\x00" not in text and (text.isascii() or is_text(text))


def single(value: Any) -> Any:
    """A float of 32 bits that a driver widened to 64, as the shortest number that it was: 19.99,
    and not 19.989999771118164."""
    if not isinstance(value, float) or value != value or value in (float("inf"), -float("inf")):
        return value
    for digits in SINGLE_DIGITS if abs(value) >= LEAST_NORMAL else range(1, 10):
        shortest = float(f"{value:.{digits}g}")
        try:
            if _as_single(shortest) == value:
                return value if shortest == value else shortest
        except OverflowError:  # rounded up, it is more than 32 bits hold
            continue
    return value


def shown_or_single(text: Any) -> Any:
    """The float of 32 bits that is written twice in `text`: as the warehouse shows it, which may be
    cut, and widened to 64. As it is shown where that is all of it."""
    if text is None:
        return None
    shown, whole = _twice(text)
    return shown if _as_single(shown) == whole else single(whole)


def shown_whole(text: Any) -> Any:
    """The same as a row key, which is the number that is shown; unreadable where that is cut, so
    that no two keys become one."""
    if text is None:
        return None
    shown, whole = _twice(text)
    return shown if _as_single(shown) == whole else Unreadable("a float of more than six digits")


def _twice(text: Any) -> tuple[float, float]:
    shown, whole = (text if isinstance(text, str) else bytes(text).decode()).split()
    return float(shown), float(whole)


def _as_single(value: float) -> float:
    """What becomes of `value` in 32 bits."""
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


def exact_time(text: Any, kind: str) -> Any:
    """The `text` of a time with nanoseconds as a datetime or a time, or as Finer where its last
    digits count. `kind` is what the warehouse calls its type."""
    if not isinstance(text, str):
        return text
    match = FINER.fullmatch(text)
    if match is None:
        return Unreadable(f"an infinite {kind}" if "inf" in text else f"an unusual {kind}")
    base, fraction, zone = match.groups()
    fraction = (fraction or "").ljust(6, "0")
    digits = fraction[6:].rstrip("0")
    written = f"{base}.{fraction[:6]}{zone}"
    if (hours := base[-8:-6]) == "24":
        return Unreadable(f"a {kind} of {hours}:00, which no day has")
    try:
        cut = time.fromisoformat(written) if len(base) == 8 else datetime.fromisoformat(written)
    except ValueError:
        return Unreadable(f"an unusual {kind}")
    return Finer(cut, digits) if digits else cut


class Kind(StrEnum):
    """What the values of a column are, as far as it decides how a row key writes them."""

    TEXT = "texts"
    BOOLEAN = "booleans"
    INTEGER = "integers"
    NUMBER = "numbers"
    LOCAL_TIME = "times without a zone"
    INSTANT = "times with a zone"
    DATE = "dates"
    TIME_OF_DAY = "times of day"
    UUID = "UUIDs"
    BYTES = "bytes"
    INTERVAL = "intervals"
    OTHER = "values of another type"


TYPES: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (str, Kind.TEXT),
    (bool, Kind.BOOLEAN),
    (int, Kind.INTEGER),
    ((float, Decimal), Kind.NUMBER),
    (datetime, Kind.LOCAL_TIME),
    (date, Kind.DATE),
    (time, Kind.TIME_OF_DAY),
    (UUID, Kind.UUID),
    ((bytes, bytearray, memoryview), Kind.BYTES),
    (timedelta, Kind.INTERVAL),
)
"""In this order: a boolean is an int, and a datetime a date, to Python."""


def kind_of(value: Any) -> Kind:
    """The kind of a value that is not NULL."""
    kind = next((kind for types, kind in TYPES if isinstance(value, types)), Kind.OTHER)
    return Kind.INSTANT if kind is Kind.LOCAL_TIME and value.tzinfo is not None else kind
