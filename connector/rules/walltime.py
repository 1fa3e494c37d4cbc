"""What the clocks of a zone show: which instants a time without a zone can mean, and how low the
clocks will stand again.

Clocks are set forward and back, so times without a zone are not in the order of what happened: an
hour in autumn comes twice, and one in spring never.
"""

from datetime import UTC, datetime, timedelta, timezone, tzinfo

HOUR = timedelta(hours=1)
FURTHEST_BACK = 49
"""Hours for which clocks that are to be set back are looked for: no two times that clocks have
shown at one place were more than a day and some hours apart."""

WESTERNMOST, EASTERNMOST = timezone(-12 * HOUR), timezone(14 * HOUR)
"""Where on earth a time comes last, and first."""


def earliest(shown: datetime, zone: tzinfo) -> datetime:
    """The first instant, in UTC, at which clocks in `zone` may have shown `shown`.

    A time that they have shown twice means its first reading; one that they have skipped, the
    earlier of the two that it may stand for.
    """
    return min(_in_utc(shown.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))


def lowest_shown(moment: datetime, zone: tzinfo) -> datetime:
    """The lowest time that clocks in `zone` show at `moment` or at any time after it."""
    lowest, at = shown(moment, zone), moment
    try:
        for _ in range(FURTHEST_BACK):
            after = at + HOUR
            if _offset(after, zone) < _offset(at, zone):
                lowest = min(lowest, shown(_change(at, after, zone), zone))
            at = after
    except OverflowError:  # the calendar ends
        pass
    return lowest


def shown(moment: datetime, zone: tzinfo) -> datetime:
    """What clocks in `zone` show at `moment`."""
    try:
        return moment.astimezone(zone).replace(tzinfo=None, fold=0)
    except OverflowError:
        return _nearest_end(moment)


def minus(moment: datetime, span: timedelta) -> datetime:
    """`moment` less `span`; the beginning of the calendar where it lies before that."""
    try:
        return moment - span
    except OverflowError:
        return datetime.min.replace(tzinfo=moment.tzinfo)


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """When, to the second, the clocks were set between two instants."""
    before = before.replace(microsecond=0)
    seconds = int((after - before).total_seconds()) + 1
    low, high = 0, seconds  # at `low` they are not set yet, at `high` they are
    while high - low > 1:
        middle = (low + high) // 2
        same = _offset(before + timedelta(seconds=middle), zone) == _offset(before, zone)
        low, high = (middle, high) if same else (low, middle)
    return before + timedelta(seconds=high)


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return _nearest_end(moment).replace(tzinfo=UTC)


def _nearest_end(moment: datetime) -> datetime:
    return datetime.min if moment.year < 5000 else datetime.max  # noqa: DTZ901 -- a bare bound
