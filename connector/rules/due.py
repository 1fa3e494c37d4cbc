"""When a schedule is due: cron in the zone of its user, each due time once, and none skipped.

Pure. cronsim reads the expression and finds the next date and time that it names, on a clock that
no zone disturbs; what such a wall time means where clocks are changed is decided here.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from connector.rules.grammar import Schedule
from connector.rules.walltime import change, first_second, first_shown, offset

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = (
    "a minute, 0-59",
    "an hour, 0-23",
    "a day of the month, 1-31",
    "a month, 1-12 or jan-dec",
    "a day of the week, 0-7 (0 and 7 are Sunday) or sun-sat",
)
ONE_VALUE = re.compile(r"(?<![\w-])(\w+)-\1/\d+\b")
"""A range of one value with a step, 5-5/15, which cronsim takes for 5/15."""
ALL_HOURS = set(range(24))
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
SPREAD, MOST_SPREAD, MOST_SPREAD_FIRST = 0.1, timedelta(minutes=5), timedelta(seconds=10)
"""Over how much of an interval without a jitter of its own activations are spread, and at most; and
over how long where their first run is due, or one that was missed."""
APART = timedelta(seconds=30)
"""How far apart clocks of machines that serve one ledger may be, and nothing comes of it."""
SPREAD_FROM = timedelta(minutes=1)
"""Shorter intervals are not spread."""
SOME_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 -- a wall time
UTC_ZONE = ZoneInfo("UTC")


class ByLedger(NamedTuple):
    """A moment by the ledger's clock."""

    at: datetime


Since = datetime | ByLedger
"""A moment by the clock of this process, or by the ledger's."""


@lru_cache(maxsize=1024)
def five_fields(cron: str) -> str:
    """`cron` as its five fields. Raises ValueError where it is not cron's language, or names a day
    that never comes."""
    written = cron.strip().lower()
    if written.startswith("@"):
        if written not in MACROS:
            raise ValueError(f'there is no "{cron}"; use {", ".join(MACROS)}, or {{every: 15m}}')
        return MACROS[written]
    fields = written.split()
    if len(fields) != len(FIELDS):
        raise ValueError("expected the five fields of cron, such as */15 * * * *, or {every: 15m}")
    for place, (field, expected) in enumerate(zip(fields, FIELDS, strict=True)):
        alone = ["*"] * len(FIELDS)
        alone[place] = field
        if not _is_cron(" ".join(alone)):
            raise ValueError(f'"{field}" does not stand for {expected}')
    written = ONE_VALUE.sub(r"\1", " ".join(fields))
    if not _is_cron(written) or _next_wall(written, SOME_YEAR) is None:
        raise ValueError(f'"{cron}" never comes: no month that it names has such a day')
    return written


def due_after(schedule: Schedule, moment: datetime) -> datetime | None:
    """When a cron `schedule` is due next after `moment`, in UTC; None when never any more.

    A wall time that the clocks skip is due as soon as they have skipped it, one that they show
    twice is due the first time. A schedule that names every hour goes by real time instead: it is
    due in both hours that are called the same, and makes up for none that was left out.
    """
    cron, zone = five_fields(str(schedule.cron)), schedule.timezone or UTC_ZONE
    moment = moment.astimezone(UTC).replace(microsecond=0)
    try:
        if _hours(cron) == ALL_HOURS:
            return _next_reading(cron, zone, moment)
        wall = _next_wall(cron, _latest_wall(zone, moment))
        return None if wall is None else first_shown(wall, zone)
    except (OverflowError, ValueError):  # the end of the calendar
        return None


def next_due(schedule: Schedule, last: datetime | None, now: datetime) -> datetime | None:
    """When a run is due, the newest one having begun at `last`: now where one was missed, and
    where an interval has never run. A clock that was put back since then delays nothing."""
    if schedule.every is not None:
        return now if last is None else min(max(now, last + schedule.every), now + schedule.every)
    due = due_after(schedule, now if last is None else min(last, now))
    return None if due is None else max(now, due)


def next_run(
    schedule: Schedule | None, paused: bool, last: datetime | None, now: datetime
) -> datetime | None:
    """When the next run will be due, for people; None when there is no schedule or it is paused."""
    if schedule is None or paused:
        return None
    return due_after(schedule, now) if schedule.cron else next_due(schedule, last, now)


def by_other_clock(
    schedule: Schedule | None, moment: datetime, here: datetime, there: datetime
) -> datetime:
    """`moment`, by a clock that shows `here` now, by one that shows `there`.

    Where they are hardly apart, a time that cron names is the same by both: what began then by
    another's clock began for the same time, were it a little earlier.
    """
    apart = there - here
    named = schedule is not None and schedule.cron is not None and abs(apart) <= APART
    return moment if named else moment + apart


def delayed(due: datetime, schedule: Schedule, share: float) -> datetime:
    """`due`, later by this `share` (0 to 1) of the jitter; but well before it is due again, so that
    each due time has a run of its own."""
    if not schedule.jitter:
        return due
    again = due + schedule.every if schedule.every else due_after(schedule, due)
    room = schedule.jitter if again is None else min(schedule.jitter, (again - due) * 0.9)
    return due + room * share


def place_of(project: str, name: str) -> float:
    """Where an activation has its place among others when many are spread over a span: 0 to 1, and
    always the same, in whatever process."""
    digest = blake2b(f"{project}\n{name}".encode(), digest_size=7).digest()
    return float(int.from_bytes(digest) / 256**7)


def spread(schedule: Schedule, place: float) -> timedelta:
    """By how much each due time of `schedule` is delayed, so that intervals that are many and equal
    are not due in one second: by always the same, which `place` (0 to 1) tells. Nothing where a
    jitter is written, were it 0s."""
    if schedule.every is None or schedule.jitter is not None or schedule.every < SPREAD_FROM:
        return timedelta(0)
    return min(schedule.every * SPREAD, MOST_SPREAD) * place


def spread_first(schedule: Schedule, place: float) -> timedelta:
    """The same for one that is due at once: somebody may be waiting for it."""
    return min(spread(schedule, place), MOST_SPREAD_FIRST * place)


def _latest_wall(zone: ZoneInfo, moment: datetime) -> datetime:
    """The latest wall time that the clocks have shown up to `moment`.

    That is what they show, but while they show an hour for the second time: then it is the last
    second before they were put back.
    """
    local = moment.astimezone(zone)
    if not local.fold:
        return local.replace(tzinfo=None)
    before = local.replace(fold=0).utcoffset() or timedelta(0)
    first = local.replace(fold=0).astimezone(UTC)
    put_back = first_second(first, moment, lambda m: offset(m, zone) != before)
    return (put_back + before).replace(tzinfo=None) - SECOND


def _next_reading(cron: str, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The next moment after `moment` at which the clocks show what `cron` names."""
    after = _wall(zone, moment)
    while True:
        wall = _next_wall(cron, after)
        if wall is None:
            return None
        due = (wall - offset(moment, zone)).replace(tzinfo=UTC)
        changed = _next_change(zone, moment, due)
        if changed is None:
            return due
        moment, after = changed, _wall(zone, changed) - SECOND


def _next_change(zone: ZoneInfo, moment: datetime, until: datetime) -> datetime | None:
    """When the clocks of `zone` are changed first after `moment`, if not after `until`."""
    was = offset(moment, zone)
    while moment < until:
        ahead = min(moment + DAY, until)
        if offset(ahead, zone) != was:
            return change(moment, ahead, zone)
        moment = ahead
    return None


def _next_wall(cron: str, after: datetime) -> datetime | None:
    """The next date and time that `cron` names, on a clock that is never changed."""
    return next(CronSim(cron, after), None)


@lru_cache(maxsize=256)
def _hours(cron: str) -> set[int]:
    return CronSim(cron, SOME_YEAR).hours


def _wall(zone: ZoneInfo, moment: datetime) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _is_cron(fields: str) -> bool:
    try:
        CronSim(fields, SOME_YEAR)
    except (CronSimError, ValueError):
        return False
    return True
