"""Who is due, by clocks that are set anew, that sleep, and that are changed twice a year."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.project.schedule import Clockwork, stepped
from connector.rules import clocks
from connector.rules.clocks import Moment
from connector.rules.due import place_of, spread, spread_first
from connector.rules.grammar import Schedule

NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
QUARTERS = Schedule(cron="*/15 * * * *")
EVERY_QUARTER = Schedule(every=15 * MINUTE)


class World:
    """A machine whose time passes when it is told to, and what was due on it."""

    def __init__(self) -> None:
        self.wall, self.boot = NOON, 100.0
        self.due: list[datetime] = []
        self.place = 0.0
        self.begin_anew()

    def begin_anew(self) -> None:
        """As another process would."""
        self.clockwork = Clockwork(
            lambda name, since: self.due.append(since), self.look, lambda name: self.place
        )

    def look(self) -> Moment:
        return Moment(self.boot, self.boot, self.wall.timestamp())

    async def pass_by(self, span: timedelta, step: timedelta = MINUTE) -> list[datetime]:
        """Let time pass; what was due meanwhile."""
        before = len(self.due)
        while span > timedelta(0):
            self.wall, self.boot = self.wall + min(step, span), self.boot + step.total_seconds()
            span -= step
            await self.look_and_wait()
        return self.due[before:]

    async def set(self, step: timedelta) -> list[datetime]:
        """Set the wall clock; what was due at once."""
        before = len(self.due)
        self.wall += step
        await self.look_and_wait()
        return self.due[before:]

    async def look_and_wait(self) -> None:
        self.clockwork.look()
        for _ in range(6):
            await asyncio.sleep(0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()

    class Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return found.wall.astimezone(tz)

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Now)
    return found


@asynccontextmanager
async def following(
    world: World, schedule: Schedule, last: datetime | None = NOON
) -> AsyncIterator[None]:
    world.clockwork.start()
    world.clockwork.follow({"reviews": schedule}, {"reviews": last}.get)
    yield
    world.clockwork.stop()
    await asyncio.sleep(0)


def story(tell: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[World], None]:
    def test(world: World) -> None:
        asyncio.run(tell(world))

    test.__name__ = tell.__name__
    return test


@story
async def test_each_quarter_is_due_once(world: World) -> None:
    async with following(world, QUARTERS):
        found = await world.pass_by(2 * HOUR)

    assert [f"{due:%H:%M}" for due in found] == [
        f"{hour}:{minute:02}" for hour in (12, 13, 14) for minute in (0, 15, 30, 45)
    ][1:9]


@pytest.mark.parametrize("schedule", [QUARTERS, EVERY_QUARTER], ids=["cron", "every"])
def test_a_clock_that_is_put_back_stops_no_schedule(world: World, schedule: Schedule) -> None:
    async def tell() -> None:
        async with following(world, schedule):
            await world.pass_by(HOUR)
            assert await world.set(-5 * HOUR) == []
            next_ = world.clockwork.next("reviews")
            assert next_ is not None
            assert next_ - world.wall <= 15 * MINUTE
            assert len(await world.pass_by(2 * HOUR)) == 8

    asyncio.run(tell())


@story
async def test_what_is_missed_when_a_clock_is_put_ahead_is_made_up_for_by_one_run(
    world: World,
) -> None:
    async with following(world, QUARTERS):
        await world.pass_by(HOUR)
        assert len(await world.set(30 * 24 * HOUR)) == 1
        assert len(await world.pass_by(2 * HOUR)) == 8


@story
async def test_an_interval_is_real_time_however_the_clock_is_set(world: World) -> None:
    async with following(world, EVERY_QUARTER):
        await world.pass_by(5 * MINUTE)
        assert await world.set(7 * HOUR) == []
        assert len(await world.pass_by(9 * MINUTE)) == 0
        assert len(await world.pass_by(1 * MINUTE)) == 1
        assert await world.set(-9 * HOUR) == []
        assert len(await world.pass_by(14 * MINUTE)) == 0
        assert len(await world.pass_by(1 * MINUTE)) == 1
        assert len(await world.pass_by(HOUR)) == 4


@story
async def test_many_small_steps_are_noticed_as_one(world: World) -> None:
    async with following(world, QUARTERS):
        for _ in range(1200):
            await world.set(-3 * timedelta(seconds=1))
        assert len(await world.pass_by(2 * HOUR)) == 8


@story
async def test_a_machine_that_slept_makes_up_for_it_at_once_with_one_run(world: World) -> None:
    async with following(world, QUARTERS):
        assert len(await world.pass_by(10 * HOUR, step=10 * HOUR)) == 1
        assert len(await world.pass_by(2 * HOUR)) == 8


@story
async def test_a_jump_of_centuries_takes_no_time(world: World) -> None:
    async with following(world, Schedule(cron="* * * * *")):
        assert len(await world.set(timedelta(days=100_000))) == 1


@pytest.mark.parametrize("jitter", [30, 10 * 60, 3 * 3600])
@pytest.mark.parametrize("change", ["2026-10-25T00:00:00Z", "2026-03-29T00:00:00Z"])
def test_with_jitter_each_due_time_has_one_run_where_clocks_are_changed(
    world: World, jitter: int, change: str
) -> None:
    zone = ZoneInfo("Europe/Stockholm")
    schedule = Schedule(cron="*/15 * * * *", timezone=zone, jitter=timedelta(seconds=jitter))
    world.wall = datetime.fromisoformat(change) - HOUR

    async def tell() -> None:
        async with following(world, schedule, last=world.wall):
            found = await world.pass_by(5 * HOUR, step=timedelta(seconds=20))
            beats = [int(due.timestamp()) // 900 for due in found]
            assert len(beats) in (19, 20)  # the last one may still be delayed
            assert {b - a for a, b in pairwise(beats)} == {1}

    asyncio.run(tell())


@story
async def test_an_interval_with_jitter_keeps_its_beat(world: World) -> None:
    schedule = Schedule(every=15 * MINUTE, jitter=14 * MINUTE)
    async with following(world, schedule):
        found = await world.pass_by(20 * HOUR)

    assert len(found) in (79, 80)
    assert {int((due - NOON) / (15 * MINUTE)) for due in found} == set(range(1, len(found) + 1))


@story
async def test_a_schedule_that_is_edited_or_gone_is_followed(world: World) -> None:
    async with following(world, QUARTERS):
        world.clockwork.follow({"reviews": EVERY_QUARTER}, lambda _: NOON)
        assert world.clockwork.next("reviews") == NOON + 15 * MINUTE
        world.clockwork.follow({}, lambda _: None)
        assert world.clockwork.next("reviews") is None
        assert await world.pass_by(HOUR) == []


def test_the_clocks_of_the_machine_go_together() -> None:
    before = clocks.now()

    assert abs(stepped(before, clocks.now())) < timedelta(seconds=5)


# --- many at one time -----------------------------------------------------------------------------


@story
async def test_an_interval_has_a_time_of_its_own_that_stays(world: World) -> None:
    world.place = 0.8
    hourly = Schedule(every=HOUR)
    first, later = NOON + timedelta(seconds=8), timedelta(minutes=4)

    async with following(world, hourly, last=None):  # its first run: soon
        assert world.clockwork.next("reviews") == first
        await world.pass_by(MINUTE)
        assert world.clockwork.next("reviews") == NOON + HOUR + later
        due = await world.pass_by(3 * HOUR)
        last = NOON + 2 * HOUR + later
        assert due == [last - HOUR, last]

    world.begin_anew()
    async with following(world, hourly, last=last):  # nothing is added to it
        assert world.clockwork.next("reviews") == last + HOUR
        due = await world.pass_by(2 * HOUR)
    assert due == [last + HOUR, last + 2 * HOUR]


@pytest.mark.parametrize(
    "schedule",
    [Schedule(every=30 * SECOND), Schedule(every=HOUR, jitter=timedelta(0)), QUARTERS],
    ids=["short", "off", "cron"],
)
def test_no_spread_where_none_is_wanted(world: World, schedule: Schedule) -> None:
    world.place = 0.8

    async def tell() -> None:
        async with following(world, schedule, last=NOON - timedelta(days=1)):
            assert world.clockwork.next("reviews") == NOON

    asyncio.run(tell())


def test_hundreds_of_equal_intervals_are_due_in_many_seconds() -> None:
    hourly = Schedule(every=HOUR)
    places = [place_of("postgresql://db/ledger", f"a{number}") for number in range(300)]

    first = Counter(int(spread_first(hourly, place).total_seconds()) for place in places)
    later = Counter(int(spread(hourly, place).total_seconds()) for place in places)

    assert max(first.values()) < 60
    assert max(later.values()) < 10
    assert 280 < max(later) < 300
    assert place_of("one", "a1") != place_of("another", "a1")
    assert place_of("one", "a1") == place_of("one", "a1")
    assert max(first) < 10
