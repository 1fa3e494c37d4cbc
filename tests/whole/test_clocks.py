"""Clocks step and stand still under a run: nothing is sent twice, and the run goes on."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest

from connector.rules import absence, clocks
from connector.rules.clocks import Moment
from connector.sandbox.behaviour import Faults
from connector.sync import deliver, settle
from tests.targets import in_short
from tests.whole.shop import Shop, behaving

NOW = clocks.now
Wrong = Callable[[Moment, int], Moment]
"""What the clocks tell instead, when they are asked for the so-many-th time."""


def once(moment: Moment, number: int, **jumps: float) -> Moment:
    return moment._replace(**{name: getattr(moment, name) + by for name, by in jumps.items()})


def steps_at(number: int, **jumps: float) -> Wrong:
    """From the so-many-th reading on, these clocks are ahead by so much."""
    return lambda moment, n: once(moment, n, **jumps) if n >= number else moment


def steps_all_the_time(moment: Moment, number: int) -> Moment:
    """The wall clock is set right every second, and is wrong by an hour again."""
    return moment._replace(wall=moment.wall + 3600 * (int(moment.monotonic) % 2))


def with_clocks(monkeypatch: pytest.MonkeyPatch, wrong: Wrong) -> list[int]:
    readings: list[int] = []

    def now() -> Moment:
        readings.append(1)
        return wrong(NOW(), len(readings))

    monkeypatch.setattr(clocks, "now", now)
    return readings


@pytest.mark.parametrize("name", ["wall", "boot"])
@pytest.mark.parametrize("seconds", [10.0, 3600.0, -3600.0])
def test_a_clock_that_jumps_once_holds_up_what_was_under_way_and_nothing_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str, seconds: float
) -> None:
    """Whatever the moment: rows that were on record go back, and are put on record anew."""
    shop.add_many(40)
    with_clocks(monkeypatch, steps_at(60, **{name: seconds}))

    done = shop.sync()

    assert (done.code, done.run["delivered"]) == (0, 40)
    assert shop.stored == Counter(f"v{i}" for i in range(40))
    with shop.ledger_connection() as ledger:
        withheld = ledger.execute("select reason from attempts where outcome = 'not_applied'")
        assert any("clocks" in reason or "more than" in reason for (reason,) in withheld)


def test_a_wall_clock_that_steps_all_the_time_slows_and_stops_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add_many(200)
    with_clocks(monkeypatch, steps_all_the_time)

    done = shop.sync()

    assert (done.code, done.run["delivered"]) == (0, 200)
    assert set(shop.stored.values()) == {1}


def doubted(shop: Shop, **behaviour: object) -> None:
    """A row in doubt that was never stored."""
    faults = Faults(status_before={500: 1.0})
    shop.sandbox.behaviour = behaving(faults=faults, **behaviour)
    shop.add({"id": "v1"})
    assert shop.sync().run["in_doubt"] == 1
    shop.sandbox.behaviour = behaving(**behaviour)


def the_ledgers_clock_steps(shop: Shop, by: timedelta) -> None:
    """As seen from the attempts that there are."""
    with shop.ledger_connection() as ledger:
        shift = round(by.total_seconds() * 1000)
        ledger.execute("update attempts set opened_at = opened_at - ?", (shift,))


DATES = [{}, {"date": "none"}, {"date": "frozen"}, {"date": "nonsense"}]


@pytest.mark.parametrize(
    ("boot", "hours", "behaviour"),
    in_short(product(["the same", "another"], [1, -1], DATES), slice(0, None, 3)),
    ids=str,
)
def test_when_the_ledgers_clock_steps_no_young_doubt_is_taken_for_an_old_one(
    shop: Shop, behaviour: dict[str, object], boot: str, hours: int
) -> None:
    shop.configure(timeout="1s", settle_after="3m")
    doubted(shop, **behaviour)
    the_ledgers_clock_steps(shop, timedelta(hours=hours))
    if boot == "another":
        with shop.ledger_connection() as ledger:
            ledger.execute("update attempts set boot = 1")

    again = shop.sync()

    assert again.run["in_doubt"] == 1
    assert shop.posts == 1


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_when_the_destinations_clock_steps_neither(shop: Shop, ahead: float) -> None:
    shop.configure(timeout="1s", settle_after="3m")
    doubted(shop)
    shop.sandbox.behaviour = behaving(clock_ahead=ahead)

    assert shop.sync().run["in_doubt"] == 1
    assert shop.posts == 1


@pytest.mark.parametrize(
    ("behaviour", "boot"),
    in_short(product(DATES, ["the same", "another", "none"]), slice(0, None, 2)),
    ids=str,
)
def test_whoever_waits_sees_it_settled_whatever_clocks_there_are(
    shop: Shop, behaviour: dict[str, object], boot: str
) -> None:
    """None: the attempt was made before any clock but the ledger's was kept."""
    shop.configure(timeout="1s", settle_after="0s")
    doubted(shop, **behaviour)
    with shop.ledger_connection() as ledger:
        if boot == "another":
            ledger.execute("update attempts set boot = 1")
        if boot == "none":
            ledger.execute("update attempts set boot = null, boot_at = null, destination_at = null")

    done = shop.sync("--wait")

    assert (done.code, done.run["delivered"]) == (0, 1)
    assert shop.stored == {"v1": 1}


def test_the_modules_that_decide_read_no_clock_but_that_one() -> None:
    for module in (deliver, settle, absence):
        assert not hasattr(module, "time"), module.__name__
