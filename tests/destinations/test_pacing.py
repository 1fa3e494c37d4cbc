"""One pace for everything that uses one key."""

import asyncio
import time

import pytest

from connector.destinations.pacing import Pacer


def slots(rate: float, number: int, waiters: int = 8, setup: object = None) -> list[float]:
    """The times at which `number` slots were given."""

    async def take() -> list[float]:
        pacer, times = Pacer(rate), []
        if setup:
            setup(pacer)  # type: ignore[operator]

        async def one() -> None:
            for _ in range(number // waiters):
                await pacer.slot()
                pacer.used()
                times.append(time.monotonic())

        await asyncio.gather(*(one() for _ in range(waiters)))
        return times

    return asyncio.run(take())


@pytest.mark.parametrize("rate", [50, 400])
def test_no_window_holds_more_than_its_share(rate: int) -> None:
    times = slots(rate, rate)

    for window in (0.2, 0.5):
        most = max(sum(t <= u < t + window for u in times) for t in times)
        assert most <= rate * window * 1.05 + 2


def test_a_pause_reaches_those_that_already_wait() -> None:
    started = time.monotonic()

    times = slots(1000, 8, setup=lambda pacer: pacer.pause(0.3))

    assert min(times) >= started + 0.29


def test_the_rate_halves_once_for_a_wave_of_busy_answers() -> None:
    pacer = Pacer(100)
    for _ in range(10):
        pacer.slow_down(0)

    assert pacer.rate == 50


def test_few_slots_are_handed_out_before_the_others_are_used() -> None:
    async def take() -> list[int]:
        pacer, given, numbers = Pacer(1000), 0, []

        async def one() -> None:
            nonlocal given
            await pacer.slot(ahead=lambda: 4)
            given += 1

        waiting = [asyncio.create_task(one()) for _ in range(20)]
        for used in (0, 3):
            for _ in range(used):
                pacer.used()
            await asyncio.sleep(0.2)
            numbers.append(given)
        for task in waiting:
            task.cancel()
        return numbers

    assert asyncio.run(take()) == [5, 8]


def test_slots_that_nobody_gives_back_stop_nobody_for_good() -> None:
    async def take() -> None:
        pacer = Pacer(1000)
        await pacer.slot()
        await asyncio.wait_for(pacer.slot(), 10)

    asyncio.run(take())
