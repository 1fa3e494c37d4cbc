"""When runs start by themselves."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from connector.activation import Schedule

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def trigger_of(schedule: Schedule) -> BaseTrigger:
    """The trigger of `schedule`. Raises ValueError for a cron expression that is none.

    Days of the week are numbered as cron does (0 and 7 are Sunday); APScheduler counts from Monday.
    """
    jitter = schedule.jitter.total_seconds() if schedule.jitter else None
    zone = schedule.timezone or ZoneInfo("UTC")
    if schedule.every is not None:
        return IntervalTrigger(seconds=schedule.every.total_seconds(), timezone=zone, jitter=jitter)
    fields = str(schedule.cron).split()
    if len(fields) != 5:
        raise ValueError("expected the five fields of cron, such as */15 * * * *")
    minute, hour, day, month, weekday = fields
    return CronTrigger(
        minute=minute,
        hour=hour,
        day=day,
        month=month,
        day_of_week=_weekdays(weekday.lower()),
        timezone=zone,
        jitter=jitter,
    )


def next_run(schedule: Schedule | None, paused: bool, now: datetime) -> datetime | None:
    """When the next run is due after `now`; None when there is no schedule or it is paused."""
    if schedule is None or paused:
        return None
    trigger = trigger_of(schedule.model_copy(update={"jitter": None}))
    due = trigger.get_next_fire_time(None, now)
    return due.astimezone(UTC) if due else None


def _weekdays(field: str) -> str:
    """cron's day-of-week field as a list of names, so that no numbering is left."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0-6" if span == "*" else span).partition("-")
        start, end = _weekday(first), _weekday(last or first)
        if step and not last:
            end = 6
        days.update(d % 7 for d in range(start, end + 1, int(step or 1)))
    if not days:
        raise ValueError(f"the days of the week {field} are none")
    return ",".join(DAYS[day] for day in sorted(days))


def _weekday(word: str) -> int:
    if word in DAYS:
        return DAYS.index(word)
    if word.isdigit() and int(word) <= 7:
        return int(word)
    raise ValueError(f'"{word}" is no day of the week; use 0-7 or sun-sat')
