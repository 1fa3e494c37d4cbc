"""The moves of a row are those of the table, and every outcome has its place in it."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.delivery import (
    CORRECTABLE,
    FIRST_STATES,
    QUARANTINE,
    TRANSITIONS,
    Accepted,
    NotApplied,
    Outcome,
    Refused,
    State,
    Submitted,
    Unknown,
    next_look_up,
    pause_after,
)

OUTCOMES: list[Outcome] = [
    Accepted("i-1"),
    Submitted(),
    Refused("no such contact"),
    NotApplied("busy"),
    Unknown("timed out"),
]
jitters = st.floats(0, 1)
waits = st.timedeltas(timedelta(0), timedelta(days=365))


def reachable(*starts: State) -> set[State]:
    """Every state that a row in one of `starts` can come to."""
    found = set(starts)
    while more := {to for origin, to in TRANSITIONS if origin in found} - found:
        found |= more
    return found


def test_every_state_can_be_reached_from_a_recorded_row():
    assert reachable(*FIRST_STATES) == set(State)


def test_only_a_row_that_was_discarded_stays_for_ever():
    assert set(State) - {origin for origin, _ in TRANSITIONS} == {State.DISCARDED}


def test_every_move_says_what_causes_it():
    assert all(TRANSITIONS.values())
    assert all(origin is not target for origin, target in TRANSITIONS)


def test_a_request_leaves_only_from_an_open_attempt():
    assert {origin for origin, to in TRANSITIONS if to is State.SENDING} == {
        State.PENDING,
        State.WAITING,
    }


def test_a_delivered_row_moves_only_by_being_taken_back():
    left = {to for origin, to in TRANSITIONS if origin is State.DELIVERED}
    assert left == {State.UNDONE, State.REMOVED, State.PENDING, State.INVALID}
    for became in left:
        assert "taken back" in TRANSITIONS[State.DELIVERED, became] or became is State.INVALID


def test_a_row_in_doubt_is_never_sent_before_somebody_has_settled_it():
    assert (State.IN_DOUBT, State.SENDING) not in TRANSITIONS
    assert "absent" in TRANSITIONS[State.IN_DOUBT, State.PENDING]


@pytest.mark.parametrize("state", QUARANTINE)
def test_a_person_can_let_go_of_every_row_in_quarantine(state):
    assert (state, State.DISCARDED) in TRANSITIONS
    assert State.PENDING in reachable(state)


@pytest.mark.parametrize("state", CORRECTABLE)
def test_a_corrected_row_may_be_sent(state):
    assert (state, State.PENDING) in TRANSITIONS


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_closes_an_open_attempt(outcome):
    assert (State.SENDING, outcome.state) in TRANSITIONS


def test_outcomes_lead_to_different_states_and_have_different_words():
    assert len({outcome.state for outcome in OUTCOMES}) == len(OUTCOMES)
    assert len({outcome.word for outcome in OUTCOMES}) == len(OUTCOMES)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Accepted("i-1"), State.DELIVERED),
        (Refused("no such contact"), State.REJECTED),
        (NotApplied("could not connect"), State.PENDING),
        (Unknown("timed out"), State.IN_DOUBT),
    ],
)
def test_only_what_certainly_was_not_stored_becomes_pending_again(outcome, state):
    assert outcome.state is state


@given(waits, st.integers(1, 10**6), jitters, st.booleans())
def test_what_the_destination_asks_for_is_done(asked, attempts, jitter, busy):
    outcome = NotApplied("too many requests", 429, retry_after=asked, busy=busy)

    assert pause_after(outcome, attempts, jitter) == asked


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 10), (2, 30), (3, 60), (4, 300), (5, 300), (10**6, 300)]
)
def test_a_busy_destination_is_left_alone_for_longer_each_time(attempt, seconds):
    outcome = NotApplied("too many requests", 429, busy=True)

    assert pause_after(outcome, attempt, 0) == timedelta(seconds=seconds)


@given(st.integers(1, 10**6), jitters, st.booleans())
def test_a_row_never_comes_back_at_once(attempts, jitter, busy):
    pause = pause_after(NotApplied("no connection", busy=busy), attempts, jitter)

    assert timedelta(seconds=1) <= pause <= timedelta(seconds=375)


@given(st.integers(1, 10), jitters, jitters)
def test_jitter_only_lengthens_a_pause(attempts, one, other):
    busy = NotApplied("too many requests", 429, busy=True)
    low, high = sorted((one, other))

    assert pause_after(busy, attempts, 0) <= pause_after(busy, attempts, low)
    assert pause_after(busy, attempts, low) <= pause_after(busy, attempts, high)


@given(st.lists(waits, min_size=2))
def test_an_unknown_contact_is_looked_up_ever_more_seldom(waits):
    pauses = [next_look_up(waited) for waited in sorted(waits)]

    assert all(a <= b for a, b in pairwise(pauses))
    assert max(pauses) <= timedelta(hours=6)


def test_a_contact_that_never_appears_costs_few_look_ups():
    waited, look_ups = timedelta(minutes=1), 0
    while waited < timedelta(days=3):
        waited += next_look_up(waited)
        look_ups += 1

    assert look_ups < 40
