"""Attempts: on record before they go out, closed with what they brought, each moved once."""

import time
from datetime import timedelta

import pytest

from connector.ledger.decisions import Person, SaidAbsent
from connector.ledger.records import SetAside, Settlement, Tally
from connector.rules.delivery import Accepted, NotApplied, Refused, State, Unknown
from connector.rules.errors import LedgerUnavailable
from tests.ledger.factories import (
    CONTACT_ID,
    REVIEWS,
    answered,
    attempts,
    closing,
    delivered,
    doubted,
    due,
    execute,
    opening,
    refused,
    select,
    sent,
    staged,
    states,
    stored,
    waits,
)

MINUTE = timedelta(minutes=1)


def milliseconds_from_now(instant):
    return instant - time.time() * 1000


def close(ledger, run, opened, outcome, rest=timedelta(0)):
    (moved,) = ledger.record(run, [closing(opened, outcome, rest)])
    return moved


# --- opening ----------------------------------------------------------------------------


def test_an_attempt_is_on_record_before_it_goes_out(ledger, engine):
    run = staged(ledger, "r1")
    before = time.time() * 1000

    assert ledger.record(run, [opening(due(ledger)["r1"])]) == [True]

    row, (attempt,) = stored(engine), attempts(engine)
    assert (row.state, row.attempt, row.contact_id) == ("sending", 1, CONTACT_ID)
    assert (attempt.number, attempt.run_id) == (1, run.run_id)
    assert before - 5 <= attempt.opened_at <= time.time() * 1000 + 5
    assert (attempt.closed_at, attempt.outcome, attempt.http_status) == (None, None, None)


def test_a_row_is_opened_by_one_of_those_who_saw_it_pending(ledger, engine):
    run = staged(ledger, "r1")
    row = due(ledger)["r1"]

    assert ledger.record(run, [opening(row)]) == [True]
    assert ledger.record(run, [opening(row)]) == [False]
    assert len(attempts(engine)) == 1


def test_two_openings_of_one_row_in_one_group_open_it_once(ledger, engine):
    run = staged(ledger, "r1")
    row = due(ledger)["r1"]

    assert ledger.record(run, [opening(row), opening(row)]) == [True, False]
    assert [a.number for a in attempts(engine)] == [1]


def test_of_a_group_only_the_rows_that_somebody_moved_are_refused(ledger, engine):
    keys = [f"r{number}" for number in range(50)]
    run = staged(ledger, *keys)
    rows = due(ledger)
    discard = "update deliveries set state = 'discarded', reason = 'by hand' where row_key = :key"
    for key in ("r0", "r7", "r49"):
        execute(engine, discard, key=key)

    results = ledger.record(run, [opening(rows[key]) for key in keys])

    moved = {key for key, result in zip(keys, results, strict=True) if result}
    assert moved == set(keys) - {"r0", "r7", "r49"}
    assert {key for key, state in states(engine).items() if state == "sending"} == moved
    assert select(engine, "select count(*) from attempts") == [(47,)]


def test_an_opening_names_the_attempt_that_it_believes_in(ledger, engine):
    run = staged(ledger, "r1")
    seen = due(ledger)["r1"]
    answered(ledger, run, "r1", NotApplied("busy", 429))
    assert stored(engine).state == "pending"

    assert ledger.record(run, [opening(seen)]) == [False]
    assert len(attempts(engine)) == 1


def test_a_waiting_row_whose_contact_was_found_is_opened(ledger, engine):
    run = staged(ledger, "r1")
    ledger.record(run, [waits(due(ledger)["r1"], timedelta(0))])

    assert ledger.record(run, [opening(due(ledger, State.WAITING)["r1"])]) == [True]
    assert (stored(engine).state, stored(engine).due_at) == ("sending", None)


# --- closing ----------------------------------------------------------------------------


def test_an_accepted_row_keeps_its_interaction_and_nothing_private(ledger, engine):
    run = staged(ledger, "r1")
    opened = sent(ledger, run, "r1")["r1"]

    assert close(ledger, run, opened, Accepted("i-1", 201)) is True

    row, (attempt,) = stored(engine), attempts(engine)
    assert (row.state, row.interaction_id, row.reason) == ("delivered", "i-1", None)
    assert (row.payload, row.contact, row.contact_id, row.created_date) == (None,) * 4
    assert row.digest is not None
    assert (attempt.outcome, attempt.http_status, attempt.reason) == ("accepted", 201, None)
    assert attempt.closed_at >= attempt.opened_at


@pytest.mark.parametrize(
    ("outcome", "state", "word"),
    [
        (Refused("sku unknown", 400), "rejected", "refused"),
        (NotApplied("could not connect"), "pending", "not_applied"),
        (NotApplied("slow down", 429, MINUTE, busy=True), "pending", "not_applied"),
        (Unknown("no answer within the time-out"), "in_doubt", "unknown"),
        (Unknown("HTTP 500", 500), "in_doubt", "unknown"),
    ],
)
def test_every_other_outcome_says_what_happened_and_keeps_the_body(
    ledger, engine, outcome, state, word
):
    run = staged(ledger, "r1")
    before = stored(engine)
    opened = sent(ledger, run, "r1")["r1"]

    assert close(ledger, run, opened, outcome) is True

    row, (attempt,) = stored(engine), attempts(engine)
    assert (row.state, row.reason, row.interaction_id) == (state, outcome.reason, None)
    assert (row.payload, row.created_date) == (before.payload, before.created_date)
    assert (attempt.outcome, attempt.http_status, attempt.reason) == (
        word,
        outcome.http_status,
        outcome.reason,
    )


def test_a_row_rests_after_an_attempt_as_long_as_it_was_told(ledger, engine):
    run = staged(ledger, "r1")
    opened = sent(ledger, run, "r1")["r1"]
    close(ledger, run, opened, NotApplied("slow down", 429, MINUTE, busy=True), MINUTE)

    assert due(ledger) == {}
    assert 55_000 < milliseconds_from_now(stored(engine).due_at) <= 60_000


def test_attempts_are_numbered_one_after_the_other(ledger, engine):
    run = staged(ledger, "r1")
    for _ in range(3):
        answered(ledger, run, "r1", NotApplied("busy", 429))
    delivered(ledger, run, "r1")

    assert [(a.number, a.outcome) for a in attempts(engine)] == [
        (1, "not_applied"),
        (2, "not_applied"),
        (3, "not_applied"),
        (4, "accepted"),
    ]


def test_an_answer_to_an_earlier_attempt_moves_nothing(ledger, engine):
    run = staged(ledger, "r1")
    first = answered(ledger, run, "r1", NotApplied("busy", 429))
    second = sent(ledger, run, "r1")["r1"]

    assert close(ledger, run, first, Accepted("i-1", 201)) is False
    assert close(ledger, run, first, Refused("no", 400)) is False

    assert (stored(engine).state, stored(engine).attempt) == ("sending", 2)
    assert close(ledger, run, second, Accepted("i-2", 201)) is True
    assert stored(engine).interaction_id == "i-2"


def test_an_answer_to_the_last_attempt_of_a_pending_row_delivers_it(ledger, engine):
    run = staged(ledger, "r1")
    opened = answered(ledger, run, "r1", NotApplied("taken for absent"))

    assert close(ledger, run, opened, Accepted("i-1", 201)) is True
    assert (stored(engine).state, due(ledger)) == ("delivered", {})


def test_an_answer_after_a_doubt_settles_it(ledger, engine):
    run = staged(ledger, "r1", "r2", "r3")
    opened = {key: doubted(ledger, run, key) for key in ("r1", "r2", "r3")}

    assert close(ledger, run, opened["r1"], Accepted("i-1", 201)) is True
    assert close(ledger, run, opened["r2"], Refused("no", 400)) is True
    assert close(ledger, run, opened["r3"], NotApplied("never left")) is True
    assert states(engine) == {"r1": "delivered", "r2": "rejected", "r3": "pending"}


def test_of_two_equal_rows_both_do_not_end_with_one_interaction(ledger, engine):
    """A read-back gave it to one of them, before the answer came that says whose it was."""
    run = staged(ledger, "r1", "r2")
    opened = {key: doubted(ledger, run, key) for key in ("r1", "r2")}
    first, second = ledger.doubts("reviews", 0, 10)
    adoption = Settlement(first, State.DELIVERED, "found", "i-1")

    assert ledger.settle(run, [adoption]) == [True]
    assert close(ledger, run, opened["r2"], Accepted("i-1", 201)) is False
    assert states(engine) == {"r1": "delivered", "r2": "in_doubt"}

    assert ledger.settle(run, [Settlement(second, State.PENDING, "absent")]) == [True]
    assert close(ledger, run, opened["r2"], Accepted("i-1", 201)) is False
    assert states(engine) == {"r1": "delivered", "r2": "pending"}


def test_an_interaction_that_was_answered_for_meanwhile_is_not_adopted(ledger, engine):
    run = staged(ledger, "r1", "r2")
    opened = {key: doubted(ledger, run, key) for key in ("r1", "r2")}
    first, _ = ledger.doubts("reviews", 0, 10)
    adoption = Settlement(first, State.DELIVERED, "found", "i-1")

    assert close(ledger, run, opened["r2"], Accepted("i-1", 201)) is True
    assert ledger.settle(run, [adoption]) == [False]
    assert states(engine) == {"r1": "in_doubt", "r2": "delivered"}


@pytest.mark.parametrize("outcome", [Refused("no", 400), NotApplied("x"), Unknown("y")])
def test_a_delivered_row_stays_delivered_whatever_comes_later(ledger, engine, outcome):
    run = staged(ledger, "r1")
    opened = delivered(ledger, run, "r1")

    assert close(ledger, run, opened, outcome) is False
    assert (stored(engine).state, stored(engine).interaction_id) == ("delivered", "i-1")


def test_a_row_that_a_person_discarded_is_not_brought_back_by_an_answer(ledger, engine):
    run = staged(ledger, "r1")
    opened = doubted(ledger, run, "r1")
    execute(engine, "update deliveries set state = 'discarded', reason = 'by hand'")

    assert close(ledger, run, opened, Accepted("i-1", 201)) is False
    assert stored(engine).state == "discarded"
    assert [a.outcome for a in attempts(engine)] == ["accepted"]


def test_a_group_of_closings_moves_those_that_are_still_open(ledger, engine):
    keys = [f"r{number}" for number in range(20)]
    run = staged(ledger, *keys)
    opened = sent(ledger, run, *keys)
    close(ledger, run, opened["r3"], Accepted("i-3", 201))

    results = ledger.record(
        run, [closing(opened[key], Accepted(f"again-{key}", 201)) for key in keys]
    )

    assert results == [key != "r3" for key in keys]
    assert stored(engine, "r3").interaction_id == "i-3"
    assert stored(engine, "r4").interaction_id == "again-r4"


def test_a_group_is_answered_entry_by_entry_in_its_own_order(ledger, engine):
    run = staged(ledger, "r1", "r2", "r3", "r4", "r5")
    opened, rows = sent(ledger, run, "r1", "r2"), due(ledger)
    entries = [
        opening(rows["r3"]),
        closing(opened["r1"], Accepted("i-1", 201)),
        waits(rows["r4"]),
        opening(rows["r3"]),
        closing(opened["r2"], Unknown("no answer")),
        refused(rows["r5"]),
    ]

    assert ledger.record(run, entries) == [True, True, True, False, True, True]
    assert states(engine) == {
        "r1": "delivered",
        "r2": "in_doubt",
        "r3": "sending",
        "r4": "waiting",
        "r5": "rejected",
    }


def test_nothing_to_record_is_recorded(ledger):
    assert ledger.record(staged(ledger), []) == []


def test_an_odd_answer_does_not_keep_the_others_from_being_recorded(ledger, engine):
    run = staged(ledger, "r1", "r2")
    opened = sent(ledger, run, "r1", "r2")
    entries = [
        closing(opened["r1"], Refused("a NUL \x00 and a \U0001f600", 400)),
        closing(opened["r2"], Accepted("i-2", 201)),
    ]

    assert ledger.record(run, entries) == [True, True]
    assert stored(engine, "r1").reason == "a NUL \ufffd and a \U0001f600"
    assert attempts(engine, "r1")[0].reason == "a NUL \ufffd and a \U0001f600"


# --- setting aside ----------------------------------------------------------------------


def test_a_row_whose_contact_is_unknown_waits_and_remembers_since_when(ledger, engine):
    run = staged(ledger, "r1")
    assert ledger.record(run, [waits(due(ledger)["r1"], timedelta(0))]) == [True]
    first = stored(engine)
    execute(engine, "update deliveries set waiting_since = waiting_since - 1000")

    assert ledger.record(run, [waits(due(ledger, State.WAITING)["r1"], MINUTE)]) == [True]

    row = stored(engine)
    assert (row.state, row.waiting_since) == ("waiting", first.waiting_since - 1000)
    assert 55_000 < milliseconds_from_now(row.due_at) <= 60_000
    assert (row.attempt, attempts(engine)) == (0, [])


def test_a_row_that_is_refused_before_it_is_sent_has_no_attempt(ledger, engine):
    run = staged(ledger, "r1")

    assert ledger.record(run, [refused(due(ledger)["r1"])]) == [True]
    assert (stored(engine).state, stored(engine).attempt) == ("rejected", 0)
    assert attempts(engine) == []


def test_a_pending_row_whose_look_up_failed_stays_pending_and_rests_for_nothing(ledger, engine):
    run = staged(ledger, "r1")
    row = due(ledger)["r1"]

    assert ledger.record(run, [SetAside(row, row.state, "no answer")]) == [True]

    assert (stored(engine).state, stored(engine).waiting_since) == ("pending", None)
    assert stored(engine).reason == "no answer"
    assert (list(due(ledger)), ledger.next_due("reviews")) == (["r1"], None)


def test_a_row_that_somebody_moved_is_not_set_aside(ledger, engine):
    run = staged(ledger, "r1")
    row = due(ledger)["r1"]
    sent(ledger, run, "r1")

    assert ledger.record(run, [waits(row)]) == [False]
    assert ledger.record(run, [refused(row)]) == [False]
    assert stored(engine).state == "sending"


@pytest.mark.parametrize("settled_by", ["read-back", "person", "answer"])
def test_a_wait_is_over_once_the_row_was_sent(ledger, engine, settled_by):
    """A contact that is lost again later is waited for as long as any other one."""
    run = staged(ledger, "r1")
    ledger.record(run, [waits(due(ledger)["r1"], timedelta(0))])
    opened = opening(due(ledger, State.WAITING)["r1"])
    ledger.record(run, [opened])
    assert stored(engine).waiting_since is None
    end = NotApplied("away") if settled_by == "answer" else Unknown("no answer")
    ledger.record(run, [closing(opened, end)])

    if settled_by == "read-back":
        (doubt,) = ledger.doubts(REVIEWS, 0, 10)
        assert ledger.settle(run, [Settlement(doubt, State.PENDING, "absent")]) == [True]
    if settled_by == "person":
        ledger.finish(run, "attention", Tally())
        lease, case = ledger.take_lease(REVIEWS), ledger.cases(REVIEWS, ["r1"])["r1"]
        ledger.decide(lease, Person("anna"), [SaidAbsent(case, None)])

    assert (stored(engine).state, stored(engine).waiting_since) == ("pending", None)


def test_an_attempt_that_is_closed_twice_at_once_moves_its_row_once(ledger, engine):
    run = staged(ledger, "r1")
    opened = sent(ledger, run, "r1")["r1"]
    entries = [closing(opened, Refused("no", 400)), closing(opened, Refused("still no", 400))]

    assert ledger.record(run, entries) == [True, False]
    assert stored(engine).reason == "no"


def test_half_a_character_is_refused_as_a_database_refuses_it(ledger, engine):
    run = staged(ledger, "r1")
    opened = sent(ledger, run, "r1")["r1"]

    with pytest.raises(LedgerUnavailable, match="UnicodeError"):
        ledger.record(run, [closing(opened, Refused("half of \ud83d", 400))])

    assert stored(engine).state == "sending"


def test_rows_are_delivered_without_ids_where_there_are_none(ledger, engine):
    run = staged(ledger, "r1", "r2", "r3")
    sends = sent(ledger, run, "r1", "r2", "r3")
    answers = [closing(sends[key], Accepted(None, 200)) for key in ("r1", "r2")]

    assert ledger.record(run, answers) == [True, True]
    assert ledger.record(run, answers) == [False, False]
    ledger.record(run, [closing(sends["r3"], Unknown("no answer"))])
    late = closing(sends["r3"], Accepted(None, 200))

    assert ledger.record(run, [late]) == [True]
    assert states(engine) == {"r1": "delivered", "r2": "delivered", "r3": "delivered"}
    assert stored(engine, "r1").interaction_id is None
    assert [a.outcome for a in attempts(engine, "r3")] == ["accepted"]
