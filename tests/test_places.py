"""Runs wait for their places, and no API key keeps another one waiting."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta

import pytest

from connector.serve.places import Elsewhere, Place, Places


class Runs:
    """Made-up runs that all are due at once; each ends after its number of steps."""

    def __init__(self, most: int) -> None:
        self.places = Places(lambda: most)
        self.began: list[str] = []
        self.now, self.highest = Counter[str](), 0
        self.work = Counter[str]()

    async def one(self, key: str, steps: int, priority: int = 0) -> None:
        async with self.places.one(key, priority) as placed:
            assert placed
            self.began.append(key)
            self.now[key] += 1
            self.highest = max(self.highest, self.now.total())
            for _ in range(steps):
                self.work[key] += 1
                await asyncio.sleep(0)
            self.now[key] -= 1

    async def all(self, due: Sequence[tuple[str, int]]) -> None:
        await asyncio.gather(*(self.one(key, steps) for key, steps in due))


@pytest.mark.parametrize("most", [1, 3, 8])
def test_never_more_than_so_many_go_on_and_all_have_their_turn(most: int) -> None:
    runs = Runs(most)
    due = [(f"k{number % 5}", 1 + number % 4) for number in range(60)]

    asyncio.run(runs.all(due))

    assert runs.highest == most
    assert Counter(runs.began) == Counter(key for key, _ in due)


def test_a_key_with_many_activations_keeps_no_other_waiting() -> None:
    """All of the first key's runs came first."""
    runs = Runs(4)

    asyncio.run(runs.all([("many", 5)] * 40 + [(f"k{number}", 5) for number in range(6)]))

    assert all(f"k{number}" in runs.began[:12] for number in range(6))


def test_a_key_whose_runs_take_long_has_no_more_places_than_the_others() -> None:
    runs = Runs(4)

    async def for_a_while() -> None:
        due = [("slow", 400)] * 10 + [(key, 10) for key in ("b", "c", "d")] * 100
        tasks = [asyncio.create_task(runs.one(*each)) for each in due]
        for _ in range(600):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(for_a_while())

    quick = [runs.work[key] for key in ("b", "c", "d")]
    assert min(quick) >= 0.8 * max(quick)
    assert runs.work["slow"] <= 1.3 * max(quick)


def test_of_one_key_the_highest_priority_comes_first() -> None:
    runs = Runs(1)
    order: list[int] = []

    async def one(priority: int) -> None:
        async with runs.places.one("key", priority):
            order.append(priority)
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        await asyncio.gather(*(one(priority) for priority in (5, 0, -3, 10, 0)))

    asyncio.run(all_of_them())

    assert order == [10, 5, 0, 0, -3]


def test_who_is_cancelled_while_it_waits_takes_no_place() -> None:
    async def work() -> bool:
        places = Places(lambda: 1)
        async with places.one("a"):
            waiting = asyncio.create_task(_enter(places, "b"))
            await asyncio.sleep(0)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
        async with asyncio.timeout(1), places.one("c") as placed:
            return placed is not None

    assert asyncio.run(work())


def test_at_the_end_whoever_waits_is_told_that_there_is_none() -> None:
    async def work() -> list[bool]:
        places = Places(lambda: 1)
        async with places.one("a"):
            waiting = [asyncio.create_task(_enter(places, key)) for key in "bbc"]
            await asyncio.sleep(0)
            places.close()
            return [*await asyncio.gather(*waiting), await _enter(places, "d")]

    assert asyncio.run(work()) == [False] * 4


def test_more_places_are_handed_out_as_soon_as_there_are_more() -> None:
    async def work() -> bool:
        most = 1
        places = Places(lambda: most)
        async with places.one("a"):
            waiting = asyncio.create_task(_enter(places, "b"))
            await asyncio.sleep(0)
            most = 2
            places.look()
            async with asyncio.timeout(1):
                return await waiting

    assert asyncio.run(work())


async def _enter(places: Places, key: str) -> bool:
    async with places.one(key) as placed:
        return placed is not None


@asynccontextmanager
async def _held(
    places: Places, key: str, reads: float = 0.0, sends: float = 60.0
) -> AsyncIterator[Place]:
    """The place of a run that has read, and then sent, for so many seconds."""
    async with places.one(key) as place:
        assert place
        yield _at_work(place, reads, sends)


def _at_work(place: Place, reads: float, sends: float) -> Place:
    place.sends_since = time.monotonic() - sends
    place.since = place.sends_since - reads
    place.gives_way = lambda: None
    return place


@asynccontextmanager
async def _waiting(places: Places, key: str) -> AsyncIterator[None]:
    waiting = asyncio.create_task(_enter(places, key))
    await asyncio.sleep(0)
    yield
    waiting.cancel()


SLICED = timedelta(seconds=10)


def test_a_run_that_has_sent_for_its_time_gives_way_only_when_others_wait() -> None:
    async def work() -> list[bool]:
        places = Places(lambda: 1, lambda: SLICED)
        async with _held(places, "a") as place:
            places.make_way()
            before = place.asked
            async with _waiting(places, "b"):
                places.make_way()
            return [before, place.asked]

    assert asyncio.run(work()) == [False, True]


@pytest.mark.parametrize(
    ("reads", "sends", "slice"), [(0, 5, 10), (40, 20, 10), (5, 600, 0)], ids=str
)
def test_a_run_keeps_its_place_until_it_has_sent_for_long_enough(
    reads: int, sends: int, slice: int
) -> None:
    """As long as a slice, and at least as long as it had to read; for ever without slices."""

    async def work() -> bool:
        places = Places(lambda: 1, lambda: timedelta(seconds=slice))
        async with _held(places, "a", reads, sends) as place, _waiting(places, "b"):
            places.make_way()
            return place.asked

    assert not asyncio.run(work())


def test_no_more_runs_give_way_than_others_wait() -> None:
    async def work() -> int:
        places = Places(lambda: 4, lambda: SLICED)
        async with AsyncExitStack() as stack:
            held = [await stack.enter_async_context(_held(places, key)) for key in "aabc"]
            async with _waiting(places, "d"):
                for _ in range(3):
                    places.make_way()
                return sum(place.asked for place in held)

    assert asyncio.run(work()) == 1


def test_what_other_processes_do_for_a_key_counts() -> None:
    async def work() -> list[str]:
        order, places = list[str](), Places(lambda: 1)

        async def one(key: str) -> None:
            async with places.one(key):
                order.append(key)

        known = {"a": Elsewhere(1, 0.0), "b": Elsewhere(0, 20.0), "c": Elsewhere(0, 5.0)}
        places.elsewhere(known)
        await asyncio.gather(*map(one, "abcd"))
        return order

    assert asyncio.run(work()) == ["d", "c", "b", "a"]
