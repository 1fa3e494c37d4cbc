"""When runs start by themselves."""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

from connector.rules import clocks
from connector.rules.clocks import Moment
from connector.rules.due import delayed, due_after, next_due, spread, spread_first
from connector.rules.grammar import Schedule

Fire = Callable[[str, datetime], None]
"""Told the name of an activation that is due, and since when. Does not wait for the run: what the
scheduler waits for it cancels when it ends."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the clocks."""
STEP = timedelta(seconds=10)
"""What the wall clock may gain or lose on real time before it counts as set anew. A smaller step
delays a run by as much, and no more."""


def stepped(before: Moment, now: Moment) -> timedelta:
    """How far the wall clock was set ahead (or, if negative, back) since `before`."""
    return timedelta(seconds=now.wall - before.wall - max(0.0, now.boot - before.boot))


def wall(moment: Moment) -> datetime:
    return datetime.fromtimestamp(moment.wall, UTC)


class Clockwork:
    """Calls `fire` when an activation is due. Belongs to the running event loop.

    Its jobs live in memory and are made from the configuration; what was missed is known from the
    ledger's runs, so that a restart forgets nothing and repeats nothing.
    """

    def __init__(
        self,
        fire: Fire,
        look: Callable[[], Moment] = clocks.now,
        place: Callable[[str], float] = lambda name: 0.0,
    ) -> None:
        """`place`: where an activation has its place among others when many are due at one time."""
        self._fire, self._place = fire, place
        from apscheduler.schedulers.asyncio import AsyncIOScheduler  # only `serve` needs it

        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._schedules: dict[str, Schedule] = {}
        self._triggers: dict[str, Due] = {}
        self._look = look
        self._seen = look()
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fire."""
        self._scheduler.start()
        self._seen = self._look()
        self._looking = asyncio.create_task(self._keep_looking())

    def stop(self) -> None:
        """Fire no more; what was fired goes on."""
        if self._looking:
            self._looking.cancel()
        self._scheduler.shutdown(wait=False)

    def follow(
        self, schedules: Mapping[str, Schedule], last: Callable[[str], datetime | None]
    ) -> None:
        """Follow `schedules` from now on; one that has not changed keeps its rhythm.

        `last`: when the newest run of an activation began.
        """
        for name in self._schedules.keys() - schedules.keys():
            if self._scheduler.get_job(name):  # one that never comes again has none
                self._scheduler.remove_job(name)
            del self._triggers[name]
        for name, schedule in schedules.items():
            if self._schedules.get(name) != schedule:
                now = wall(self._look())
                self._add(name, schedule, next_due(schedule, last(name), now), now)
        self._schedules = dict(schedules)

    def next(self, name: str) -> datetime | None:
        """When `name` is due next; None when it has no schedule."""
        job = self._scheduler.get_job(name)
        return job.next_run_time.astimezone(UTC) if job and job.next_run_time else None

    def look(self) -> None:
        """Look whether the wall clock was set anew, and whether somebody is due.

        A job waits for a time on the wall clock, and the event loop wakes it after a span of
        another clock. So a clock that was put back would keep it waiting until the old time comes
        again, and one that was put ahead, or a machine that slept, would let it come late.
        """
        seen = self._look()
        if abs(step := stepped(self._seen, seen)) >= STEP:
            self._seen = seen
            for name, trigger in self._triggers.items():
                self._set_anew(name, trigger, step, wall(seen))
        dues = [due for name in self._triggers if (due := self.next(name))]
        if dues and min(dues) <= wall(seen):
            self._scheduler.wakeup()

    def _set_anew(self, name: str, trigger: "Due", step: timedelta, now: datetime) -> None:
        """The next time of `name`, after the wall clock was set anew by `step`. What cron names and
        was passed over when it was put ahead is missed, and made up for by one run."""
        due = self.next(name)
        if due is None:
            return
        if trigger.schedule.every:
            due = trigger.shift(due, step)
        elif step < timedelta(0):
            due = trigger.get_next_fire_time(None, now)
        self._scheduler.modify_job(name, next_run_time=due)

    def _add(self, name: str, schedule: Schedule, first: datetime | None, now: datetime) -> None:
        place = self._place(name)
        own = spread(schedule, place)
        trigger = self._triggers[name] = Due(schedule, first, own)
        if first is not None and first > now:
            trigger.shift(first, -own)  # what the newest run began after has it in it
            first = delayed(first, schedule, random.random())
        elif first is not None:
            first += spread_first(schedule, place)
        self._scheduler.add_job(
            self._due,
            trigger,
            [name],
            id=name,
            next_run_time=first,
            misfire_grace_time=None,  # the default drops a run that is a second late
            coalesce=True,  # however many were missed, one run makes up for them
            max_instances=1,
            replace_existing=True,
        )

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()

    async def _due(self, name: str) -> None:
        self._fire(name, wall(self._look()))


class Due(BaseTrigger):  # type: ignore[misc]
    """Tells APScheduler when a schedule is due, with our own jitter, all of it in UTC: a time of
    another zone that a span is added to is another time where the clocks are changed."""

    def __init__(
        self,
        schedule: Schedule,
        first: datetime | None,
        own: timedelta = timedelta(0),
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`own`: by how much it is delayed each time, so that it has a time of its own."""
        self.schedule = schedule
        self._beat, self._own = first, own
        self._chance = chance

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """The next time after `now`, whatever was missed before it."""
        now = now.astimezone(UTC)
        due = self._next_beat(now) if self.schedule.every else due_after(self.schedule, now)
        return None if due is None else delayed(due, self.schedule, self._chance()) + self._own

    def shift(self, due: datetime, step: timedelta) -> datetime:
        """What `due` and the beat are on a wall clock that was set anew by `step`."""
        if self._beat is not None:
            self._beat += step
        return due + step

    def _next_beat(self, now: datetime) -> datetime:
        """An interval goes on from when it was due, not from when it was late."""
        every = self.schedule.every
        assert every is not None
        beat = now if self._beat is None else self._beat
        self._beat = beat + ((now - beat) // every + 1) * every
        return self._beat
