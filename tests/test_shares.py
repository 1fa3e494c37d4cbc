"""How the rate of a key is divided: all of it, no more, and to each what it can use."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.clocks import Moment
from connector.rules.shares import (
    LENT,
    MOST_KEPT_BACK,
    USED,
    Part,
    Share,
    divided,
    grown,
    is_whole,
    lendable,
    next_share,
    wish,
)

RATES = st.floats(0.5, 500)
WANTS = st.lists(st.floats(0, 500), min_size=1, max_size=8)


@given(RATES, WANTS)
def test_all_of_it_is_divided_and_no_more(total: float, wants: list[float]) -> None:
    parts = divided(total, wants)

    if any(wants):
        assert sum(parts) == pytest.approx(total)
    else:
        assert not any(parts)
    assert all(part >= 0 for part in parts)


@given(RATES, WANTS)
def test_whoever_gets_less_than_they_want_has_as_much_as_any(
    total: float, wants: list[float]
) -> None:
    parts = divided(total, wants)

    for part, wanted in zip(parts, wants, strict=True):
        if part < wanted - 1e-6:
            assert part >= max(parts) - 1e-6


def test_who_wants_little_leaves_the_rest_to_others() -> None:
    assert divided(50, [2, 100, 100]) == [2, 24, 24]


@given(RATES, st.integers(1, 30))
def test_little_is_kept_back_however_many_they_are(rate: float, processes: int) -> None:
    in_whole_requests = 1 if is_whole(rate, processes) else 0
    assert (1 - MOST_KEPT_BACK) * rate - in_whole_requests <= lendable(rate, processes) <= rate
    assert lendable(rate, 1) == rate


ASKED = st.lists(st.tuples(st.integers(0, 4), st.sampled_from((0.0, 1.0, 2.4, 30.0, 500.0))))


@given(RATES, ASKED)
def test_whoever_asks_when_all_together_never_use_more_than_the_rate(
    rate: float, asked: list[tuple[int, float]]
) -> None:
    """What one hears is used at once; what it does not use any more is on account until it asks
    again."""
    for used in as_they_ask(rate, asked):
        assert sum(used) <= rate * (1 + 1e-9)


@given(st.integers(5, 500), ASKED)
def test_where_there_are_enough_each_has_whole_requests_and_nobody_none(
    rate: int, asked: list[tuple[int, float]]
) -> None:
    for used in as_they_ask(rate, asked):
        assert all(share == int(share) for share in used)
    again = [(who, wants) for who, wants in dict(asked).items() if wants]
    *_, last = as_they_ask(rate, [*asked, *again * 6, (0, 0.0)])
    assert all(last[who] >= 1 for who, _ in again if who)


def as_they_ask(
    rate: float, asked: list[tuple[int, float]], number: int = 5
) -> Iterator[list[float]]:
    """What each of so many uses, after each question."""
    used, account = [0.0] * number, dict[int, Part]()
    for who, wants in asked:
        if wants:
            others = [part for name, part in account.items() if name != who]
            share = next_share(rate, Part(wants, used[who]), others)
            account[who] = Part(wants, max(share, used[who]))
            used[who] = share
        else:
            used[who] = 0.0
            account.pop(who, None)
        yield used


@pytest.mark.parametrize("processes", [39, 40, 41])
def test_as_many_as_there_are_requests_a_second_have_something_each(processes: int) -> None:
    asked = [(who, 40.0) for who in range(processes)] * 3

    *_, used = as_they_ask(40, asked, processes)

    assert min(used) > 0


def test_who_is_alone_has_all_of_it() -> None:
    assert next_share(50, Part(1, 0), []) == 50


def test_less_is_taken_at_once_and_more_only_when_it_is_free() -> None:
    assert next_share(100, Part(100, 100), [Part(100, 0)]) == 50
    assert next_share(100, Part(100, 0), [Part(100, 100)]) == 0
    assert next_share(100, Part(100, 0), [Part(100, 60)]) == 40


def test_what_does_not_come_out_even_is_whoevers_asks_first() -> None:
    assert next_share(20, Part(20, 0), [Part(20, 7), Part(20, 7)]) == 6
    assert next_share(20, Part(20, 7), [Part(20, 7), Part(20, 6)]) == 7
    assert next_share(20, Part(20, 8), [Part(20, 6), Part(20, 0)]) == 7


def test_who_uses_up_what_they_have_wants_as_much_as_there_is() -> None:
    assert wish(200, 50, 49) == 200
    assert 10 < wish(200, 50, 10) < 25


def test_what_was_slowed_down_grows_back() -> None:
    assert grown(25, 0, 50) == 25
    assert 25 < grown(25, 2, 50) < 50
    assert grown(25, 1e9, 50) == 50


@pytest.mark.parametrize("clock", ["monotonic", "boot", "wall"])
def test_a_share_is_over_by_whichever_clock_is_first(clock: str) -> None:
    before = Moment(100, 200, 300)
    share = Share(10, before)
    times = {"monotonic": 100, "boot": 200, "wall": 300}

    assert not share.is_over(before)
    assert share.is_over(Moment(**{**times, clock: times[clock] + USED + 0.01}))
    assert USED < LENT
