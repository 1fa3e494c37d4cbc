"""One pace for everything that uses one key, and one way to each destination."""

import asyncio
import random
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connector.destinations.bodies import Body
from connector.destinations.pacing import Pacer, Wire
from connector.rules import clocks
from connector.rules.errors import ConnectorError
from connector.rules.shares import BEAT, Part, Share, next_share
from tests.destinations.engages import a_client


def slots(rate: float, number: int, waiters: int = 8, setup: object = None) -> list[float]:
    """The times at which `number` slots were given."""

    async def take() -> list[float]:
        pacer, times = Pacer(rate), []
        if setup:
            setup(pacer)  # type: ignore[operator]

        async def one() -> None:
            for _ in range(number // waiters):
                await pacer.slot()
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


@pytest.mark.parametrize("rate", [2, 40, 300])
def test_in_no_second_is_one_more_than_the_rate(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    times, now = list[float](), 1000.0
    monkeypatch.setattr("connector.destinations.pacing.time.monotonic", lambda: now)
    pacer = Pacer(rate)
    for turn in range(3 * rate):
        late = 0.004 if turn % 7 == 0 else 0.0  # as timers are
        now += max(0.0, pacer.wait()) + late
        asyncio.run(pacer.slot())
        times.append(now)

    assert max(sum(t <= u <= t + 1 for u in times) for t in times) <= rate
    assert 3 * rate / (times[-1] - times[0]) > 0.97 * rate


class Arrivals(ThreadingHTTPServer):
    """Takes every POST, and notes when it came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.times = list[float]()


class Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Arrivals

    def do_POST(self) -> None:
        self.server.times.append(time.monotonic())
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.parametrize("rate", [5, 60])
def test_requests_that_leave_late_make_no_second_with_too_many(rate: int) -> None:
    late = iter([0.0, 0.0, 0.1])

    def busy() -> None:  # as a machine that has other things to do, directly before the first byte
        time.sleep(next(late))

    async def send(url: str) -> None:
        engage = a_client(url, rate=rate, concurrency=4)
        try:
            await engage.once("POST", "/interactions", Body(b"{}", "application/json"), busy)
            todo = [
                engage.once("POST", "/interactions", Body(b"{}", "application/json"))
                for _ in range(2 * rate)
            ]
            await asyncio.gather(*todo)
        finally:
            await engage.aclose()

    server = Arrivals()
    with ThreadPoolExecutor(1) as beside:
        beside.submit(server.serve_forever, 0.01)
        asyncio.run(send(f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
    server.server_close()

    times = server.times
    assert len(times) == 2 * rate + 1
    assert max(sum(t <= u < t + 1 for u in times) for t in times) <= 1.02 * rate


class LateSelector(selectors.SelectSelector):
    """Where an event loop waits: time passes at once, and a little more than was asked for."""

    def __init__(self, late: float) -> None:
        super().__init__()
        self.now, self.wakes, self._late, self._random = 1000.0, 0, late, random.Random(1)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.now += timeout + self._random.choice([0.0, 0.0, self._late])
            self.wakes += 1
        return super().select(0)


class LateLoop(asyncio.SelectorEventLoop):
    """An event loop by the time of its selector."""

    def __init__(self, selector: LateSelector) -> None:
        self._selector_time = selector
        super().__init__(selector)

    def time(self) -> float:
        return self._selector_time.now


def in_its_time(selector: LateSelector, work: Coroutine[None, None, None]) -> None:
    """Do `work` by the clock of the selector."""
    with (
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner(loop_factory=lambda: LateLoop(selector)) as runner,
    ):
        patch.setattr("connector.destinations.pacing.time.monotonic", lambda: selector.now)
        runner.run(work)


def taken_by_a_crowd(
    rate: float, seconds: int, waiters: int, late: float
) -> tuple[list[float], int]:
    """When each slot was given of those that so many want all the time, whose timers are late; and
    how often they woke for it."""
    selector, times = LateSelector(late), list[float]()

    async def one(pacer: Pacer) -> None:
        while selector.now < 1000 + seconds:
            await pacer.slot()
            times.append(selector.now)

    async def all_of_them() -> None:
        pacer = Pacer(rate)
        await asyncio.gather(*(one(pacer) for _ in range(waiters)))

    in_its_time(selector, all_of_them())
    return times, selector.wakes


@pytest.mark.parametrize("waiters", [1, 2, 3, 50])
@pytest.mark.parametrize("rate", [2, 25, 40, 99, 150, 195, 200, 300, 400, 950])
def test_a_crowd_gets_no_more_than_the_rate_in_any_second(rate: int, waiters: int) -> None:
    times, _ = taken_by_a_crowd(rate, 4, waiters, late=0.004)

    assert max(sum(t <= u <= t + 1 for u in times) for t in times[::7]) <= rate
    assert len(times) / (times[-1] - times[0]) > 0.97 * rate


@pytest.mark.parametrize("rate", [1, 2, 5, 10, 20, 49])
def test_of_few_no_more_than_the_rate_arrive_in_any_second_though_some_are_late(rate: int) -> None:
    times, _ = taken_by_a_crowd(rate, 20, waiters=8, late=0.004)
    dice = random.Random(rate)
    arrived = [at + dice.choice([0.0, 0.0, 0.02]) for at in times]

    assert max(sum(t <= u <= t + 1 for u in arrived) for t in arrived) <= rate
    assert len(times) / (times[-1] - times[0]) > 0.97 * rate


def test_a_fast_pace_wakes_half_as_often_for_those_who_wait_together() -> None:
    alone, woke_alone = taken_by_a_crowd(200, 4, waiters=1, late=0.0)
    together, woke = taken_by_a_crowd(200, 4, waiters=50, late=0.0)
    slowly, woke_slowly = taken_by_a_crowd(50, 4, waiters=50, late=0.0)

    assert woke_alone > 0.9 * len(alone)
    assert woke < 0.6 * len(together)
    assert woke_slowly > 0.7 * len(slowly)


class Lent:
    """What one of several processes is lent of a key."""

    def __init__(self, full: float) -> None:
        self.full = full
        self.share: Share | None = None
        self.is_whole, self.unused = False, 0
        self.trouble: ConnectorError | None = None
        self.busy_until: float | None = None
        self.changed: Callable[[], None] = lambda: None

    def holds(self) -> bool:
        return self.share is not None and self.share.rate > 0

    def want(self) -> bool:
        return self.holds()

    def sent(self) -> None: ...

    def busy(self, pause: float) -> None: ...

    def give_up(self) -> None: ...


def taken_by_several(rate: int, seconds: int, processes: int, seed: int) -> list[float]:
    """When each slot was given of those that several processes want all the time, which come and
    go, and ask twice a second what is theirs."""
    selector, times, dice = LateSelector(0.004), list[float](), random.Random(seed)
    accounts = dict[int, Part]()

    def ask(name: int, lent: Lent) -> float:
        """Seconds until it asks again."""
        uses = lent.share.rate if lent.share else 0.0
        others = [part for other, part in accounts.items() if other != name]
        share = next_share(rate, Part(rate, uses), others)
        accounts[name] = Part(rate, max(share, uses))
        lent.share = Share(share, clocks.now())
        lent.changed()
        return 0.01 if share < uses else BEAT if share else 0.15

    async def sends(pacer: Pacer, end: float) -> None:
        while selector.now < end:
            await pacer.slot(lambda: selector.now >= end)
            if selector.now < end:
                times.append(selector.now)

    async def lives(name: int) -> None:
        while selector.now < 1000 + seconds:
            await asyncio.sleep(dice.uniform(0.1, 3))
            lent, end = Lent(rate), selector.now + dice.uniform(2, 15)
            pacer = Pacer(rate, lent)
            sending = [asyncio.create_task(sends(pacer, end)) for _ in range(2)]
            while selector.now < end:
                await asyncio.sleep(ask(name, lent))
            lent.share = None
            pacer.call_off()
            await asyncio.gather(*sending)
            del accounts[name]

    async def all_of_them() -> None:
        await asyncio.gather(*(lives(name) for name in range(processes)))

    in_its_time(selector, all_of_them())
    return times


@pytest.mark.parametrize(
    ("rate", "processes"), [(5, 2), (10, 3), (15, 2), (20, 3), (25, 3), (50, 3), (50, 8), (200, 4)]
)
def test_several_processes_together_get_no_more_than_the_rate_in_any_second(
    rate: int, processes: int
) -> None:
    for seed in range(3):
        times = taken_by_several(rate, 20, processes, seed)

        assert max(sum(t <= u <= t + 1 for u in times) for t in times[::3]) <= rate
        assert len(times) > 0.7 * rate * 20


def test_a_pause_reaches_those_that_already_wait() -> None:
    started = time.monotonic()

    times = slots(1000, 8, setup=lambda pacer: pacer.pause(0.3))

    assert min(times) >= started + 0.29


def test_the_rate_halves_once_for_a_wave_of_busy_answers() -> None:
    pacer = Pacer(100)
    for _ in range(10):
        pacer.slow_down(0)

    assert pacer.rate == 50


class Crowd:
    """Tasks on their way over a wire. Each stays near, and then on it, until it is let go."""

    def __init__(self, number: int, width: int = 100, rate: float = 1e6) -> None:
        self.pacer = Pacer(rate)
        self.wire = Wire(width, self.pacer)
        self.near: list[int] = []
        self.through: list[int] = []
        self.stopped: set[int] = set()
        self.gates = [(asyncio.Event(), asyncio.Event()) for _ in range(number)]
        self.tasks = [asyncio.create_task(self._go(i)) for i in range(number)]

    async def _go(self, number: int) -> None:
        def stopping() -> bool:
            return number in self.stopped

        recorded, answered = self.gates[number]
        await self.wire.come_near(stopping)
        self.near.append(number)
        try:
            await recorded.wait()
        except asyncio.CancelledError:
            self.wire.go_away()
            raise
        await self.wire.enter(stopping, came_near=True)
        try:
            self.through.append(number)
            await answered.wait()
        finally:
            self.wire.leave()

    async def record(self, *numbers: int) -> list[int]:
        """These are on record. Gives who has come through to the wire."""
        for number in numbers:
            self.gates[number][0].set()
        await settled()
        return self.through

    async def answer(self, *numbers: int) -> list[int]:
        """These have their answer. Gives who has come through to the wire."""
        for number in numbers:
            self.gates[number][1].set()
        await settled()
        return self.through

    def stop(self, *numbers: int) -> None:
        """These are to stop."""
        self.stopped |= set(numbers)
        self.wire.call_off()


async def settled() -> None:
    """Until nothing happens any more without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_wire_takes_so_many_at_a_time_in_the_order_in_which_they_come() -> None:
    async def story() -> None:
        crowd = Crowd(6, width=2)
        assert await crowd.record(*range(6)) == [0, 1]
        assert await crowd.answer(1) == [0, 1, 2]
        assert await crowd.answer(0, 2) == [0, 1, 2, 3, 4]
        assert await crowd.answer(3, 4, 5) == [0, 1, 2, 3, 4, 5]
        await asyncio.gather(*crowd.tasks)

    asyncio.run(story())


@pytest.mark.parametrize("when", ["waiting", "just let in", "inside"])
def test_whoever_is_cancelled_at_a_wire_costs_nobody_a_place(when: str) -> None:
    async def story() -> None:
        crowd = Crowd(4, width=1)
        await crowd.record(*range(4))
        if when == "inside":
            await crowd.answer(0)
        elif when == "just let in":
            crowd.gates[0][1].set()
            await asyncio.sleep(0)  # 0 has left, and 1 has not moved yet
            assert crowd.through == [0]
        crowd.tasks[1].cancel()
        await crowd.answer(0)
        before = [0, 1] if when == "inside" else [0]
        assert crowd.through == [*before, 2]
        assert await crowd.answer(2) == [*before, 2, 3]
        await crowd.answer(3)
        assert [task.cancelled() for task in crowd.tasks] == [False, True, False, False]

    asyncio.run(story())


def test_whoever_is_to_stop_comes_through_and_takes_nobody_elses_place() -> None:
    async def story() -> None:
        crowd = Crowd(6, width=1)
        assert await crowd.record(*range(6)) == [0]
        crowd.stop(1, 3, 5)
        assert await crowd.answer() == [0, 1, 3, 5]
        assert await crowd.answer(1, 3) == [0, 1, 3, 5]  # there were three too many
        assert await crowd.answer(5) == [0, 1, 3, 5]
        assert await crowd.answer(0) == [0, 1, 3, 5, 2]
        assert await crowd.answer(2, 4) == [0, 1, 3, 5, 2, 4]
        await asyncio.gather(*crowd.tasks)

    asyncio.run(story())


def test_few_come_near_before_the_others_are_on_their_way() -> None:
    async def story() -> None:
        crowd = Crowd(20, width=1, rate=20)  # four in the time for which one looks ahead
        await settled()
        assert crowd.near == [0, 1, 2, 3]
        assert await crowd.record(0) == [0]  # with the first slot
        assert crowd.near == [0, 1, 2, 3, 4]
        crowd.tasks[1].cancel()
        await settled()
        assert crowd.near == [0, 1, 2, 3, 4, 5]
        assert await crowd.record(2, 3) == [0]  # for the one place
        assert crowd.near == [0, 1, 2, 3, 4, 5]

    asyncio.run(story())


@pytest.mark.parametrize("when", ["waiting", "just let near"])
def test_whoever_is_cancelled_before_coming_near_keeps_nobody_away(when: str) -> None:
    async def story() -> None:
        crowd = Crowd(4, rate=5)  # one at a time
        await settled()
        if when == "just let near":
            crowd.gates[0][0].set()
            await asyncio.sleep(0)
        crowd.tasks[1].cancel()
        await crowd.record(0)
        async with asyncio.timeout(10):
            while crowd.near == [0]:
                await asyncio.sleep(0.001)
        assert crowd.near == [0, 2]

    asyncio.run(story())


def test_what_is_on_record_waits_for_no_look_ups_that_came_before_it() -> None:
    async def story() -> list[str]:
        wire, went = Wire(100, Pacer(20)), list[str]()

        async def enter(name: str, came_near: bool) -> None:
            await wire.enter(came_near=came_near)
            went.append(name)

        looks = [asyncio.create_task(enter("look-up", False)) for _ in range(10)]
        await asyncio.sleep(0)
        for name in ("first", "second"):
            await wire.come_near()
            looks.append(asyncio.create_task(enter(name, True)))
            await asyncio.sleep(0)
        await asyncio.gather(*looks)
        return went

    went = asyncio.run(story())

    assert len(went) == 12
    assert went.index("first") < went.index("second") <= 4


def test_in_a_pause_nobody_comes_near_and_after_it_all_do() -> None:
    async def story() -> None:
        crowd = Crowd(3, rate=1000)
        began = time.monotonic()
        crowd.pacer.pause(0.8)
        await settled()
        assert crowd.near == []
        for recorded, answered in crowd.gates:
            recorded.set()
            answered.set()
        await asyncio.gather(*crowd.tasks)
        assert time.monotonic() >= began + 0.7

    asyncio.run(story())


def test_whoever_is_to_stop_waits_for_no_pause_and_takes_no_slot() -> None:
    async def story() -> None:
        crowd = Crowd(6, rate=1000)
        await settled()
        crowd.pacer.pause(3600)
        await crowd.record(0, 1, 2)
        assert crowd.through == []
        crowd.stop(1, 2)
        await settled()
        assert crowd.through == [1, 2]
        crowd.stop(0)
        await crowd.answer(0, 1, 2)
        assert crowd.through == [1, 2, 0]
        assert crowd.pacer.wait() <= 3600
        for task in crowd.tasks:
            task.cancel()

    asyncio.run(story())


def test_who_waits_for_a_slot_finds_alone_that_it_is_to_stop() -> None:
    """Nobody says so: a row may have become too old for its record, for example."""

    async def story() -> None:
        pacer, end = Pacer(1000), time.monotonic() + 0.2
        pacer.pause(3600)
        await asyncio.wait_for(pacer.slot(lambda: time.monotonic() > end), 10)
        assert pacer.wait() < 3600

    asyncio.run(story())


def test_a_pace_is_kept_over_all_ways() -> None:
    async def story() -> list[float]:
        pacer, times = Pacer(200), []
        wires = [Wire(4, pacer), Wire(50, pacer)]

        async def one(wire: Wire) -> None:
            await wire.come_near()
            await wire.enter(came_near=True)
            times.append(time.monotonic())
            wire.leave()

        await asyncio.gather(*(one(wires[i % 2]) for i in range(100)))
        return times

    times = asyncio.run(story())
    assert max(sum(t <= u < t + 0.2 for u in times) for t in times) <= 40 * 1.05 + 2


def test_a_pace_outlives_an_event_loop_that_ended_while_somebody_waited() -> None:
    pacer = Pacer(5)

    async def given_up() -> None:
        await pacer.slot()
        waiting = asyncio.create_task(pacer.slot())
        await settled()
        waiting.cancel()

    async def next_one() -> None:
        await asyncio.wait_for(pacer.slot(), 10)

    asyncio.run(given_up())
    asyncio.run(next_one())
