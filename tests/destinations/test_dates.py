"""The destination's clock is known within bounds, or not at all."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.destinations.dates import DestinationClock
from connector.rules.clocks import Moment

EPOCH = 1_800_000_000.0


def at(seconds: float) -> Moment:
    return Moment(seconds, seconds, seconds)


def answered(clock: DestinationClock, sent: float, received: float, date: float | str) -> None:
    text = date if isinstance(date, str) else formatdate(date, usegmt=True)
    clock.saw({"Date": text}, at(sent), at(received))


@given(
    ahead=st.floats(-1e6, 1e6),
    sent=st.floats(0, 1e5),
    way=st.floats(0, 60),
    back=st.floats(0, 60),
    behind=st.floats(0, 1),
    rest=st.floats(0, 1e5),
)
def test_what_time_it_is_there_lies_between_the_earliest_and_the_latest(
    ahead: float, sent: float, way: float, back: float, behind: float, rest: float
) -> None:
    """Whatever the request took there and back, and however seldom a server looks at its clock."""
    clock = DestinationClock()
    answered(clock, sent, sent + way + back, EPOCH + ahead + sent + way - behind)
    now = sent + way + back + rest

    earliest, latest = clock.earliest(at(now)), clock.latest(at(now))

    assert earliest is not None
    assert latest is not None
    assert earliest - 2 <= (EPOCH + ahead + now) * 1000 <= latest + 2


@pytest.mark.parametrize(
    "dates",
    [
        [EPOCH, EPOCH],
        [EPOCH, EPOCH + 3700],
        [EPOCH, EPOCH - 3500],
        [EPOCH, "nonsense"],
        ["Thu, 99 Foo 20261 25:61:61 XYZ", EPOCH],
        ["", EPOCH],
        ["Thu, 01 Jan 999999999999 00:00:00 GMT", EPOCH],
        [EPOCH, EPOCH + 3700, EPOCH + 200],
    ],
    ids=[
        "it stands still",
        "it steps forward",
        "it steps back",
        "it becomes nonsense",
        "it is nonsense",
        "it is empty",
        "a year that there is not",
        "it steps and comes back",
    ],
)
def test_a_clock_that_is_once_seen_to_be_wrong_is_unknown_for_good(
    dates: list[float | str],
) -> None:
    clock = DestinationClock()
    for n, date in enumerate(dates):
        answered(clock, 100.0 * n, 100.0 * n + 0.1, date)
    answered(clock, 1000.0, 1000.1, EPOCH + 1000)

    assert clock.earliest(at(1001)) is None
    assert clock.latest(at(1001)) is None


def test_several_machines_behind_one_address_may_differ_a_little() -> None:
    clock = DestinationClock()
    for n, wrong in enumerate((0, 3, -2, 1, 0)):
        answered(clock, 10.0 * n, 10.0 * n + 0.1, EPOCH + 10 * n + wrong)

    assert clock.earliest(at(50)) is not None


def test_the_date_of_a_cache_is_none_of_the_destination() -> None:
    clock = DestinationClock()
    clock.saw({"Date": formatdate(EPOCH), "Age": "600"}, at(0), at(1))

    assert clock.earliest(at(2)) is None


def test_a_machine_that_slept_makes_the_bounds_wider_not_wrong() -> None:
    """CLOCK_MONOTONIC does not count the sleep: nobody knows how long it was, only how short."""
    clock = DestinationClock()
    clock.saw({"Date": formatdate(EPOCH, usegmt=True)}, at(0), at(0))
    awake = Moment(1, 601, 601)

    assert clock.earliest(awake) == (EPOCH + 1) * 1000
    assert (clock.latest(awake) or 0) >= (EPOCH + 601) * 1000
