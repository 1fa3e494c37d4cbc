"""When runs start by themselves."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connector.rules import clocks
from connector.rules.activation import Schedule
from connector.rules.clocks import Moment
from connector.rules.due import delayed, due_after, next_due

Fire = Callable[[str, datetime], None]
"""Told the name of an activation that is due, and since when. Does not wait for the run."""

LOOK_EVERY = 1.0
"""Most seconds between two looks at the clocks."""
STEP = timedelta(seconds=10)
"""What the wall clock may gain or lose on real time before it counts as set anew. A smaller step
delays a run by as much, and no more."""


def stepped(before: Moment, now: Moment) -> timedelta:
    """How far the wall clock was set ahead (or, if negative, back) since `before`."""
    return timedelta(seconds=now.wall - before.wall - max(0.0, now.boot - before.boot))


def wall(moment: Moment) -> datetime:
    return datetime.fromtimestamp(moment.wall, UTC)


@dataclass(slots=True)
class Due:
    """When a schedule is due next, in UTC: a time of another zone that a span is added to is
    another time where the clocks are changed. `beat`: without the jitter; None: never again."""

    schedule: Schedule
    beat: datetime | None
    at: datetime | None

    def go_on(self, now: datetime) -> None:
        """To the next time after `now`: however many were missed, one run makes up for them."""
        if every := self.schedule.every:  # it goes on from when it was due, not from when it is
            beat = self.beat or now
            self.beat = beat + ((now - beat) // every + 1) * every
        else:
            self.beat = due_after(self.schedule, now)
        self.at = self.beat and delayed(self.beat, self.schedule, random.random())

    def set_anew(self, step: timedelta, now: datetime) -> None:
        """After the wall clock was set anew by `step`. What cron names and was passed over when it
        was put ahead is missed, and made up for by one run."""
        if self.beat is None or self.at is None:
            return
        if self.schedule.every:
            self.beat, self.at = self.beat + step, self.at + step
        elif step < timedelta(0):
            self.go_on(now)


class Clockwork:
    """Calls `fire` when an activation is due. Belongs to the running event loop.

    What is due is kept in memory and made from the configuration; what was missed is known from the
    ledger's runs, so that a restart forgets nothing and repeats nothing.
    """

    def __init__(self, fire: Fire, look: Callable[[], Moment] = clocks.now) -> None:
        self._fire, self._look = fire, look
        self._due: dict[str, Due] = {}
        self._seen = look()
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fire."""
        self._seen = self._look()
        self._looking = asyncio.create_task(self._keep_looking())

    def stop(self) -> None:
        """Fire no more; what was fired goes on."""
        if self._looking:
            self._looking.cancel()

    def follow(
        self, schedules: Mapping[str, Schedule], last: Callable[[str], datetime | None]
    ) -> None:
        """Follow `schedules` from now on; one that has not changed keeps its rhythm.

        `last`: when the newest run of an activation began.
        """
        now, before, self._due = wall(self._look()), self._due, {}
        for name, schedule in schedules.items():
            due = before.get(name)
            if due is None or due.schedule != schedule:
                first = next_due(schedule, last(name), now)
                due = Due(schedule, first, first)
                if first is not None and first > now:
                    due.at = delayed(first, schedule, random.random())
            self._due[name] = due

    def next(self, name: str) -> datetime | None:
        """When `name` is due next; None when it has no schedule."""
        return due.at if (due := self._due.get(name)) else None

    def look(self) -> None:
        """Look whether the wall clock was set anew, and fire what is due.

        A clock that was put back would keep what is due waiting until the old time comes again.
        """
        seen = self._look()
        now = wall(seen)
        if abs(step := stepped(self._seen, seen)) >= STEP:
            self._seen = seen
            for due in self._due.values():
                due.set_anew(step, now)
        for name, due in self._due.items():
            if due.at is not None and due.at <= now:
                due.go_on(now)
                self._fire(name, now)

    async def _keep_looking(self) -> None:
        while True:
            self.look()
            dues = [due.at for due in self._due.values() if due.at]
            left = min(dues) - wall(self._look()) if dues else timedelta(seconds=LOOK_EVERY)
            await asyncio.sleep(min(LOOK_EVERY, max(0.0, left.total_seconds())))
