"""What the clocks of a zone show: which instants a time without a zone can mean, and how low the
clocks will stand again.

Clocks are set forward and back, so times without a zone are not in the order of what happened: an
hour in autumn comes twice, and one in spring never.
"""

from collections.abc import Callable
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


def first_shown(wall: datetime, zone: tzinfo) -> datetime:
    """The first instant, in UTC, at which clocks in `zone` show `wall`, or have gone past it."""
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if shown(first, zone) == wall:
        return first
    # it is skipped: read with the offset of before it lies behind the gap, with that of after ahead
    ahead = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return first_second(ahead, first, lambda moment: shown(moment, zone) >= wall)


def lowest_shown(moment: datetime, zone: tzinfo) -> datetime:
    """The lowest time that clocks in `zone` show at `moment` or at any time after it."""
    lowest, at = shown(moment, zone), moment
    try:
        for _ in range(FURTHEST_BACK):
            after = at + HOUR
            if offset(after, zone) < offset(at, zone):
                lowest = min(lowest, shown(change(at, after, zone), zone))
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


def offset(moment: datetime, zone: tzinfo) -> timedelta:
    """How far clocks in `zone` are ahead of UTC at `moment`."""
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def offsets(first: datetime, last: datetime, zone: tzinfo) -> list[tuple[datetime, timedelta]]:
    """From which instant on, between two of them, clocks in `zone` are how far ahead of UTC."""
    found, at = [(first, offset(first, zone))], first
    while at < last:
        after = min(at + 24 * HOUR, last)
        if offset(after, zone) != found[-1][1]:
            found.append((change(at, after, zone), offset(after, zone)))
        at = after
    return found


def change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """When, to the second, the clocks of `zone` are set between two instants."""
    was = offset(before, zone)
    return first_second(before, after, lambda moment: offset(moment, zone) != was)


def first_second(before: datetime, after: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """The first whole second for which it `holds`: not yet at `before`, and still at `after`."""
    low, high = int(before.timestamp() // 1), int(after.timestamp() // 1)
    while high - low > 1:
        middle = (low + high) // 2
        if holds(datetime.fromtimestamp(middle, UTC)):
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return _nearest_end(moment).replace(tzinfo=UTC)


def _nearest_end(moment: datetime) -> datetime:
    return datetime.min if moment.year < 5000 else datetime.max  # noqa: DTZ901 -- a bare bound
