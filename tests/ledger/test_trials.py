"""Trials on record: what is left is found again, what is over keeps no person, ids are nobody's."""

from dataclasses import replace
from datetime import timedelta

import pytest

from connector.ledger.records import Repeated, Settlement
from connector.ledger.trials import Opened
from connector.rules.delivery import Accepted, NotApplied, Refused, State, Unknown
from connector.rules.place import Place
from connector.rules.trial import Aim, Trial
from tests.ledger.factories import (
    REVIEWS,
    a_mark,
    a_row,
    an_identity,
    closing,
    delivered,
    doubted,
    execute,
    opening,
    select,
    sent,
    states,
)
from tests.ledger.factories import only as only_row

HERE = Place("engage", "https://engage.example")
TRIAL = Trial(
    aim=Aim.TEST,
    target="review",
    contact="c-1",
    created="2026-02-02T00:00:00.000Z",
    payload=b'{"rating":4}',
    activation=REVIEWS,
    row_key="r1",
)


@pytest.fixture
def trials(ledger):
    return ledger.trials(HERE, "engage")


def stored(engine, number):
    return only_row(engine, "select * from trials where id = :id", id=number)


def a_delivered_row(ledger, name):
    """A row of an activation at HERE that owns the interaction `name`."""
    run = ledger.begin(REVIEWS, an_identity(place=HERE))
    ledger.stage(run, [a_row("r1")], [], a_mark(), begun=True)
    (row,) = ledger.due(REVIEWS, "pending", 0, 9)
    assert ledger.record(run, [opening(row)]) == [True]
    assert ledger.record(run, [closing(opening(row), Accepted(name, 201))]) == [True]


def test_a_trial_is_on_record_with_all_that_it_takes_to_know_it_again(trials):
    number = trials.open(TRIAL, Opened(boot=7, boot_at=8, destination_at=9))

    (left,) = trials.left()

    assert (left.number, left.trial, left.interaction_id) == (number, TRIAL, None)
    assert (left.boot, left.boot_at, left.destination_at) == (7, 8, 9)
    assert timedelta(0) <= left.age < timedelta(minutes=1)
    assert left.living


def test_what_nobody_can_be_at_work_on_is_told(trials, engine):
    trials.open(TRIAL)
    execute(engine, 'update trials set holder = replace(holder, \'"born": "\', \'"born": "1\')')

    (left,) = trials.left()

    assert not left.living


@pytest.mark.parametrize(("age", "living"), [(0, True), (3_600_000, False)])
def test_a_process_that_cannot_be_seen_counts_as_living_for_a_while(trials, engine, age, living):
    trials.open(TRIAL)
    execute(
        engine,
        'update trials set holder = replace(holder, \'"host": "\', \'"host": "far-\'),'
        " opened_at = opened_at - :age",
        age=age,
    )

    (left,) = trials.left()

    assert left.living is living


def test_of_a_trial_that_is_over_no_person_is_kept(trials, engine):
    number = trials.open(TRIAL)
    assert trials.close(number, "i-1", Accepted("i-1", 201))
    (left,) = trials.left()
    assert left.interaction_id == "i-1"

    trials.removed(number)

    row = stored(engine, number)
    assert trials.left() == []
    assert (row.state, row.contact, row.payload, row.interaction_id) == (
        "removed",
        None,
        None,
        "i-1",
    )


def test_one_that_is_kept_is_not_left_and_stays_known(trials, engine):
    number = trials.open(TRIAL)
    trials.close(number, "i-1", Accepted("i-1", 201))

    trials.kept(number)

    assert trials.left() == []
    assert stored(engine, number).contact == "c-1"


@pytest.mark.parametrize("outcome", [Refused("no", 400), NotApplied("busy", 429)])
def test_what_was_not_stored_is_over(trials, engine, outcome):
    number = trials.open(TRIAL)

    assert trials.close(number, None, outcome)

    assert trials.left() == []
    assert (stored(engine, number).state, stored(engine, number).contact) == ("absent", None)


def test_what_nobody_knows_stays_open(trials):
    number = trials.open(TRIAL)

    assert trials.close(number, None, Unknown("no answer"))

    (left,) = trials.left()
    assert (left.number, left.interaction_id) == (number, None)


def test_trials_of_another_place_are_not_ours(ledger, trials):
    ledger.trials(Place("engage", "https://other.example"), "other").open(TRIAL)

    assert trials.left() == []


def test_those_of_a_place_that_has_moved_are(ledger, trials):
    number = trials.open(TRIAL)
    moved = Place("engage", "https://new.example", earlier=HERE.address)

    assert [left.number for left in ledger.trials(moved, "engage").left()] == [number]


def test_an_id_that_a_row_owns_is_never_a_trials(ledger, trials, engine):
    a_delivered_row(ledger, "i-1")
    number = trials.open(TRIAL)

    assert not trials.close(number, "i-1", Accepted("i-1", 201))
    assert not trials.adopt(number, "i-1")

    (left,) = trials.left()
    assert left.interaction_id is None
    assert stored(engine, number).outcome == "unknown"


def test_an_id_of_a_trial_that_is_gone_is_not_believed(trials):
    first = trials.open(TRIAL)
    trials.close(first, "i-1", Accepted("i-1", 201))
    trials.removed(first)
    second = trials.open(TRIAL)

    assert not trials.close(second, "i-1", Accepted("i-1", 201))


def test_two_requests_that_are_answered_with_one_id_are_both_told(trials):
    """Whether a destination does that is what a probe asks."""
    numbers = [trials.open(TRIAL), trials.open(TRIAL)]

    assert all(trials.close(number, "i-1", Accepted("i-1", 201)) for number in numbers)

    assert [left.interaction_id for left in trials.left()] == ["i-1", "i-1"]


def test_what_was_found_is_adopted_once(trials):
    first, second = trials.open(TRIAL), trials.open(TRIAL)

    assert trials.adopt(first, "i-1")
    assert not trials.adopt(second, "i-1")
    assert not trials.adopt(first, "i-2")

    assert [left.interaction_id for left in trials.left()] == ["i-1", None]


def test_a_schema_that_was_made_is_on_record_alone(trials, engine):
    number = trials.open(Trial(aim=Aim.SCHEMA, target="probe1"))

    (left,) = trials.left()
    trials.removed(number)

    assert (left.trial.aim, left.trial.target) == (Aim.SCHEMA, "probe1")
    assert select(engine, "select state, aim from trials") == [("removed", "schema")]


# --- what rows may not take -----------------------------------------------------------------------


def begun_here(ledger, *keys):
    run = ledger.begin(REVIEWS, an_identity(place=HERE))
    ledger.stage(run, [a_row(key) for key in keys], [], a_mark(), begun=True)
    return run


@pytest.mark.parametrize("end", [None, "removed", "kept"])
def test_the_id_of_a_trial_is_no_rows_by_an_answer_nor_by_a_read_back(ledger, trials, engine, end):
    number = trials.open(TRIAL)
    trials.close(number, "i-1", Accepted("i-1", 201))
    if end:
        getattr(trials, end)(number)
    run = begun_here(ledger, "r1")
    opened = sent(ledger, run, "r1")["r1"]

    (result,) = ledger.record(run, [closing(opened, Accepted("i-1", 201))])

    assert isinstance(result, Repeated)
    assert "was made by a test or a probe" in str(result.distrust)
    assert ledger.owned(REVIEWS, ["i-1", "i-2"]) == {"i-1"}
    (doubt,) = ledger.doubts(REVIEWS, 0, 9)
    assert ledger.settle(run, [Settlement(doubt, State.DELIVERED, "found", "i-1")]) == [False]
    assert states(engine) == {"r1": "in_doubt"}


def test_the_same_id_elsewhere_is_another_one(ledger, engine):
    there = ledger.trials(Place("engage", "https://other.example"), "other")
    there.close(there.open(TRIAL), "i-1", Accepted("i-1", 201))
    run = begun_here(ledger, "r1")
    opened = sent(ledger, run, "r1")["r1"]

    assert ledger.record(run, [closing(opened, Accepted("i-1", 201))]) == [True]


def test_what_nobody_knows_of_is_told_where_rows_are_settled(ledger, trials):
    begun_here(ledger, "r1")
    number = trials.open(TRIAL)
    trials.open(Trial(aim=Aim.SCHEMA, target="review"))
    trials.open(replace(TRIAL, target="another"))

    assert ledger.claims(REVIEWS, ["i-1"]) == (set(), [TRIAL])

    trials.close(number, "i-1", Accepted("i-1", 201))
    assert ledger.claims(REVIEWS, ["i-1"]) == ({"i-1"}, [])


def test_trials_go_where_their_destination_goes(ledger):
    ledger.let_go(begun_here(ledger, "r1"))
    ledger.trials(HERE, "engage").open(TRIAL)
    moved = Place("engage", "https://new.example", earlier=HERE.address)

    ledger.begin(REVIEWS, an_identity(place=moved))

    assert ledger.claims(REVIEWS, [])[1] == [TRIAL]


@pytest.mark.parametrize(
    ("contact", "row", "payload", "looks"),
    [
        ("{C-1}", ("x", "y"), "{}", True),
        ("c-2", (REVIEWS, "r1"), "{}", True),
        ("c-2", ("x", "y"), '{"rating": 4.0}', True),
        ("c-2", (REVIEWS, "r2"), '{"rating": 5}', False),
    ],
)
def test_what_a_trial_looks_like(contact, row, payload, looks):
    assert TRIAL.looks_like(contact, row, payload, lambda c: c.strip("{}").lower()) is looks


# --- what is counted when a trial is looked for ---------------------------------------------------


def test_rows_that_are_not_settled_are_told_with_their_ages(ledger, trials):
    run = begun_here(ledger, "r1", "r2", "r3")
    delivered(ledger, run, "r1", "i-1")
    doubted(ledger, run, "r2")
    sent(ledger, run, "r3")
    elsewhere = ledger.begin("other", an_identity(place=Place("engage", "https://other.example")))
    ledger.stage(elsewhere, [a_row("o1")], [], a_mark(), begun=True)

    second, third = trials.unsettled()

    assert (second.row_key, third.row_key) == ("r2", "r3")
    assert (second.activation, second.origin, second.attempt) == (REVIEWS, REVIEWS, 1)
    assert second.contact_id == "c-1"
    assert timedelta(0) <= second.age < timedelta(minutes=1)


def test_nothing_is_adopted_while_a_row_that_was_not_counted_may_own_it(ledger, trials):
    number = trials.open(TRIAL)
    run = begun_here(ledger, "r1")
    doubted(ledger, run, "r1")

    assert not trials.adopt(number, "i-1", lambda row: row.row_key == "r1")
    assert trials.adopt(number, "i-1", lambda row: row.row_key == "r2")


def test_what_is_owned_at_a_place_is_a_rows_or_a_trials(ledger, trials):
    a_delivered_row(ledger, "i-1")
    number = trials.open(TRIAL)
    trials.close(number, "i-2", Accepted("i-2", 201))
    trials.removed(number)

    assert trials.owned(["i-1", "i-2", "i-3"]) == {"i-1", "i-2"}
    assert [trials.is_a_rows(name) for name in ("i-1", "i-2")] == [True, False]


def test_one_that_was_taken_for_absent_and_is_answered_is_open_again(trials, engine):
    number = trials.open(TRIAL)
    trials.absent(number)

    assert trials.close(number, "i-1", Accepted("i-1", 201))

    (left,) = trials.left()
    assert (left.interaction_id, stored(engine, number).state) == ("i-1", "open")


def test_one_of_another_boot_is_seen_by_this_clock(trials):
    number = trials.open(TRIAL, Opened(boot=1, boot_at=2))

    trials.saw(number, 3, 4)

    (left,) = trials.left()
    assert (left.boot, left.boot_at) == (3, 4)
