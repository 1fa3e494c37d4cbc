"""How activations that share a key divide its slots: the rule alone, without any waiting."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.lanes import LEAST, LONGEST, Lane, Rota, parts_of

FAST = 1000.0
"""Slots a second: so many that what is guaranteed in seconds plays no part."""


@dataclass(eq=False)
class Row:
    """Those who wait in a lane; `left`: how many of them."""

    lane: Lane
    left: int = 10**9
    got: list[int] = field(default_factory=list)
    """Which slots it got."""


def hand_out(
    rows: list[Row], number: int, rate: float = FAST, rota: Rota[Row] | None = None
) -> None:
    """So many slots to whoever waits."""
    rota = rota or Rota[Row]()
    for slot in range(number):
        waiting = [row for row in rows if row.left]
        if not waiting:
            return
        row = rota.next(waiting, rate)
        row.left -= 1
        row.got.append(slot)


def parts(*lanes: Lane, rate: float = FAST) -> list[float]:
    return [round(part, 6) for part in parts_of(lanes, rate)]


LIVE, FILL = Lane("live"), Lane("fill", share=0.2)


def test_a_share_is_what_it_says_whatever_the_priorities() -> None:
    assert parts(LIVE, FILL) == [0.8, 0.2]
    assert parts(Lane("live", 1000), Lane("fill", -1000, 0.2)) == [0.8, 0.2]
    assert parts(Lane("live", -1000), Lane("fill", 1000, 0.2)) == [0.8, 0.2]
    assert parts(LIVE, Lane("b"), FILL, Lane("c", share=0.3)) == [0.25, 0.25, 0.2, 0.3]


def test_who_is_alone_has_everything() -> None:
    assert parts(FILL) == parts(LIVE) == parts(Lane("a", -5)) == [1.0]


def test_without_shares_the_highest_priority_goes_first_and_nobody_starves() -> None:
    assert parts(Lane("a"), Lane("b")) == [0.5, 0.5]
    assert parts(Lane("a", 1), Lane("b")) == [0.95, 0.05]
    assert parts(Lane("a", 9), Lane("b", 9), Lane("c", 8), Lane("d")) == [
        0.475,
        0.475,
        0.025,
        0.025,
    ]


def test_what_shares_leave_goes_by_priority_among_them_where_nobody_else_wants() -> None:
    assert parts(FILL, Lane("c", share=0.3)) == [0.4, 0.6]
    assert parts(Lane("a", 1, 0.2), Lane("b", 0, 0.3)) == [0.7, 0.3]


def test_shares_that_are_all_leave_something_for_those_without() -> None:
    assert parts(Lane("a", share=0.6), Lane("b", share=0.4)) == [0.6, 0.4]
    assert parts(Lane("a", share=0.6), Lane("b", share=0.4), LIVE) == [0.57, 0.38, 0.05]


def test_at_a_slow_pace_nobody_waits_for_longer_than_a_moment() -> None:
    """What waits is on record, and goes back from there after a while."""
    assert parts(Lane("a", 1), Lane("b"), rate=2) == [0.75, 0.25]
    assert parts(Lane("a", 1), Lane("b"), rate=0.1) == [0.5, 0.5]
    assert parts(Lane("a", 1), Lane("b"), rate=10) == [0.95, 0.05]


LANES = st.builds(
    Lane,
    st.text(max_size=3),
    st.integers(-2, 2),
    st.none() | st.sampled_from([0.01, 0.05, 0.2, 0.25, 0.3, 0.5, 0.7, 0.95, 1.0]),
)
RATES = st.sampled_from([0.1, 0.5, 2.0, 5.0, 10.0, 50.0, 200.0, 5000.0])


@given(st.lists(LANES, min_size=1, max_size=7), RATES)
def test_parts_are_all_there_is(lanes: list[Lane], rate: float) -> None:
    found = parts_of(lanes, rate)

    assert sum(found) == pytest.approx(1)
    assert min(found) >= min(1 / (LONGEST * rate), 1 / len(lanes)) - 1e-9
    shares = sum(lane.share or 0 for lane in lanes)
    everybody = [lane for lane in lanes if lane.share is None]
    if shares <= 1 - LEAST and min(found) > 1 / (LONGEST * rate) + 1e-9:
        for lane, part in zip(lanes, found, strict=True):
            if lane.share and everybody:
                assert part == pytest.approx(lane.share)
            elif lane.share:
                assert part >= lane.share - 1e-9


@given(st.lists(LANES, min_size=1, max_size=7), RATES, st.integers(1, 400))
def test_nobody_is_a_slot_ahead_or_behind_while_all_of_them_wait(
    lanes: list[Lane], rate: float, number: int
) -> None:
    rows = [Row(lane) for lane in lanes]

    hand_out(rows, number, rate)

    assert sum(len(row.got) for row in rows) == number
    for row, part in zip(rows, parts_of(lanes, rate), strict=True):
        for slots in {number, number // 2, number // 3}:
            got = sum(slot < slots for slot in row.got)
            assert abs(got - part * slots) <= 1 + 1e-6


WAVES = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), max_size=40)


@given(st.lists(LANES, min_size=2, max_size=6), WAVES, RATES)
def test_whatever_comes_and_goes_every_slot_is_used_and_nobody_starves(
    lanes: list[Lane], waves: list[tuple[int, int]], rate: float
) -> None:
    """Who waits all the time, while others come and go, has its part of what was handed out."""
    always, *others = [Row(lane, left=0) for lane in lanes]
    always.left, rota, slots = 10**9, Rota[Row](), 0
    longest, waited = 0, 0
    for which, number in waves:
        others[which % len(others)].left += number
        for _ in range(number):
            before = len(always.got)
            hand_out([always, *others], 1, rate, rota)
            slots += 1
            waited = 0 if len(always.got) > before else waited + 1
            longest = max(longest, waited)

    assert len(always.got) + sum(len(row.got) for row in others) == slots
    smallest = min(parts_of([always.lane, *(row.lane for row in others)], rate)[0], LEAST / 6)
    assert longest <= 3 / smallest


def test_equal_lanes_take_turns() -> None:
    rows = [Row(Lane(name)) for name in "abc"]

    hand_out(rows, 9)

    order = sorted((slot, row.lane.name) for row in rows for slot in row.got)
    assert "".join(name for _, name in order) in {"abc" * 3, "acb" * 3}


def test_who_waited_for_nothing_has_saved_up_nothing() -> None:
    """A backfill that was alone for long owes nothing, and who comes then has its part, no more."""
    live, fill = Row(LIVE, left=0), Row(FILL)
    rota = Rota[Row]()
    hand_out([live, fill], 1000, rota=rota)
    assert len(fill.got) == 1000

    live.left = 80
    hand_out([live, fill], 100, rota=rota)

    assert (len(live.got), len(fill.got)) == (80, 1020)


def test_one_live_row_waits_for_nobody() -> None:
    live, fill = Row(Lane("live", 10), left=0), Row(Lane("fill"))
    rota = Rota[Row]()
    found = Counter[int]()
    for slot in range(200):
        live.left += slot % 4 == 0
        before = len(live.got)
        hand_out([live, fill], 1, rota=rota)
        found[slot % 4] += len(live.got) - before

    assert (found[0], found.total()) == (50, 50)
