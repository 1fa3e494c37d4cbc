"""Days as the clocks on a wall count them, in SQL."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case

EPOCH = date(1970, 1, 1)
DAY = 86_400_000
"""Milliseconds of a day."""
Offsets = Sequence[tuple[int, int]]
"""From which moment on clocks are how far ahead of UTC, both in milliseconds, the earliest first;
that one holds before it, too."""
UTC: Offsets = ((0, 0),)


def day_number(day: date) -> int:
    """How many days it is after 1970 began."""
    return (day - EPOCH).days


def date_of(number: int) -> date:
    """The day that many days after 1970 began."""
    return EPOCH + timedelta(days=number)


def day_of(at: ColumnElement[Any], offsets: Offsets) -> Any:
    """The day since 1970 on which `at` was, by clocks that are set now and again; named `day`."""
    (_, ahead), *later = offsets
    moved = [(at >= begin, at + by) for begin, by in reversed(later)]
    local = case(*moved, else_=at + ahead) if moved else at + ahead
    return (local // DAY).label("day")
