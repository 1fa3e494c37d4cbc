"""When runs start by themselves."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from connector.activation import Schedule

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


Fire = Callable[[str, datetime], None]
"""Told the name of an activation that is due, and since when. Does not wait for the run: what the
scheduler waits for it cancels when it ends."""


class Clockwork:
    """Calls `fire` when an activation is due. Belongs to the running event loop.

    Its jobs live in memory and are made from the configuration; what was missed is known from the
    ledger's runs, so that a restart forgets nothing and repeats nothing.
    """

    def __init__(self, fire: Fire) -> None:
        self._fire = fire
        from apscheduler.schedulers.asyncio import AsyncIOScheduler  # only `serve` needs it

        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._schedules: dict[str, Schedule] = {}

    def start(self) -> None:
        """Begin to fire."""
        self._scheduler.start()

    def stop(self) -> None:
        """Fire no more; what was fired goes on."""
        self._scheduler.shutdown(wait=False)

    def follow(
        self, schedules: Mapping[str, Schedule], last: Callable[[str], datetime | None]
    ) -> None:
        """Follow `schedules` from now on; one that has not changed keeps its rhythm.

        `last`: when the newest run of an activation began.
        """
        for name in self._schedules.keys() - schedules.keys():
            self._scheduler.remove_job(name)
        for name, schedule in schedules.items():
            if self._schedules.get(name) != schedule:
                self._add(name, schedule, first_due(schedule, last(name), datetime.now(UTC)))
        self._schedules = dict(schedules)

    def next(self, name: str) -> datetime | None:
        """When `name` is due next; None when it has no schedule."""
        job = self._scheduler.get_job(name)
        return job.next_run_time.astimezone(UTC) if job and job.next_run_time else None

    def _add(self, name: str, schedule: Schedule, first: datetime | None) -> None:
        self._scheduler.add_job(
            self._due,
            trigger_of(schedule),
            [name],
            id=name,
            next_run_time=first,
            misfire_grace_time=None,  # the default drops a run that is a second late
            coalesce=True,  # however many were missed, one run makes up for them
            max_instances=1,
            replace_existing=True,
        )

    async def _due(self, name: str) -> None:
        self._fire(name, datetime.now(UTC))


def first_due(schedule: Schedule, last: datetime | None, now: datetime) -> datetime | None:
    """When a schedule fires first after a start at `now`, its newest run having begun at `last`.

    At once where a run was missed meanwhile, and where an interval has never run.
    """
    if schedule.every is not None:
        return now if last is None else max(now, last + schedule.every)
    due = trigger_of(_punctual(schedule)).get_next_fire_time(None, last or now)
    return None if due is None else max(now, due)


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
    due = trigger_of(_punctual(schedule)).get_next_fire_time(None, now)
    return due.astimezone(UTC) if due else None


def _punctual(schedule: Schedule) -> Schedule:
    return schedule.model_copy(update={"jitter": None})


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
