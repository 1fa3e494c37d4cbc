"""No single clock makes a young attempt old, whatever it does; and none keeps a doubt for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.absence import Age, believed_in, send_within, wants_another_look

WAIT = timedelta(seconds=240)
NEVER = timedelta(0)
SPANS = st.timedeltas(timedelta(0), timedelta(days=2))
ANYTHING = st.timedeltas(timedelta(days=-4000), timedelta(days=4000))
WAITS = st.timedeltas(timedelta(seconds=1), timedelta(hours=1))


def believed(age: Age, wait: timedelta) -> bool:
    return believed_in(age, wait) < NEVER


@given(wait=WAITS, share=st.floats(0, 1), wrong=ANYTHING, which=st.integers(0, 2), data=st.data())
def test_one_clock_that_is_wrong_makes_no_young_attempt_absent(
    wait: timedelta, share: float, wrong: timedelta, which: int, data: st.DataObject
) -> None:
    """The right ones may say less than is true, but not more."""
    true = wait * share
    destination, boot = (data.draw(st.none() | st.timedeltas(timedelta(0), true)) for _ in range(2))
    right = Age(true, destination, boot)
    names = ("database", "destination", "boot")

    assert not believed(replace(right, **{names[which]: wrong}), wait)


@given(wait=WAITS, wrong=ANYTHING, name=st.sampled_from(["database", "destination"]))
def test_one_clock_that_is_wrong_keeps_no_old_attempt_in_doubt(
    wait: timedelta, wrong: timedelta, name: str
) -> None:
    true = 2 * wait + timedelta(seconds=1)

    assert believed(replace(Age(true, true, true), **{name: wrong}), wait)


@given(wait=WAITS, wrong=ANYTHING)
def test_a_single_clock_that_was_set_back_is_waited_for_no_longer_than_the_wait(
    wait: timedelta, wrong: timedelta
) -> None:
    rest = believed_in(Age(wrong, boot=2 * wait + timedelta(seconds=1)), wait)

    assert rest <= wait
    assert rest < NEVER or NEVER <= wrong <= wait


@given(wait=WAITS, age=st.builds(Age, ANYTHING, st.none() | ANYTHING, st.none() | SPANS))
def test_a_doubt_that_waits_in_vain_is_looked_at_with_this_boots_clock(
    wait: timedelta, age: Age
) -> None:
    """Nobody waits for two clocks to agree that never will."""
    if believed(age, wait) or age.boot is not None:
        return
    if not wants_another_look(age, wait):
        assert age.destination is not None
        assert age.database <= wait
        assert age.destination <= wait


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (Age(WAIT + timedelta(seconds=1), boot=WAIT + timedelta(seconds=1)), True),
        (Age(WAIT, boot=WAIT), False),
        (Age(timedelta(hours=1), destination=timedelta(seconds=3)), False),
        (Age(timedelta(hours=1), destination=timedelta(hours=1)), True),
        (Age(timedelta(hours=1), destination=timedelta(hours=1), boot=timedelta(seconds=3)), False),
        (Age(timedelta(hours=-1), timedelta(seconds=250), timedelta(seconds=250)), True),
        (Age(timedelta(hours=-1), boot=timedelta(seconds=250)), False),
        (Age(timedelta(hours=-1), boot=timedelta(seconds=481)), True),
        (Age(timedelta(hours=1)), False),
    ],
    ids=[
        "the database and this boot agree",
        "exactly the wait is not longer than it",
        "the database's clock stepped",
        "the database and the destination agree, on another machine",
        "the database and the destination stepped together",
        "the database's clock was set back, and the destination has one",
        "the database's clock was set back, and the destination has none",
        "the same, twice the wait later",
        "one clock alone",
    ],
)
def test_two_clocks_agree_or_it_is_not_believed(age: Age, expected: bool) -> None:
    assert believed(age, WAIT) == expected


@given(st.timedeltas(timedelta(0), timedelta(days=2)))
def test_what_is_on_record_is_sent_within_half_of_the_wait_or_not_at_all(wait):
    assert send_within(wait) <= min(wait.total_seconds() / 2, 5)
