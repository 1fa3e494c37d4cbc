"""The story of a row: every change of its state is told, in the order of time, once each."""

from datetime import UTC, datetime, timedelta

import pytest

from connector.ledger.decisions import Discarded, Person, Retried, SaidAbsent
from connector.ledger.records import Settlement
from connector.ledger.takeback import DELETED, Released, TakenBack
from connector.rules.delivery import Accepted, NotApplied, Refused, State, Unknown
from connector.rules.interaction import Interaction
from tests.ledger.factories import (
    REVIEWS,
    a_mark,
    a_row,
    an_invalid_row,
    answered,
    begun,
    closing,
    delivered,
    doubted,
    due,
    expire_lease,
    refused,
    sent,
    staged,
    waits,
)

ANNA = Person("anna", "I looked")
CONTENT = Interaction("anna@example.com", None, b"{}")


@pytest.fixture
def told(reports):
    """What stands in the story of r1: what happened, and what the row became."""

    def tell():
        story = reports.delivery(REVIEWS, "r1")["story"]
        assert [e["at"] for e in story] == sorted(e["at"] for e in story)
        return [(e["what"], e["state"]) for e in story]

    return tell


def read_again(ledger, run, row, value=2):
    """As a run that finds that the row reads differently now."""
    before = ledger.known(REVIEWS, ["r1"])["r1"]
    ledger.stage(run, [], [(before, row)], a_mark(value), begun=True)


def test_a_row_that_just_went_is_its_attempt(ledger, told):
    run = staged(ledger, "r1")
    delivered(ledger, run, "r1")

    assert told() == [("attempt 1", "delivered")]


def test_rejected_corrected_and_delivered(ledger, told, reports):
    run = staged(ledger, "r1")
    assert ledger.record(run, [refused(due(ledger)["r1"])]) == [True]
    read_again(ledger, run, a_row("r1", text="corrected"))
    delivered(ledger, run, "r1")

    assert told() == [
        ("rejected", "rejected"),
        ("corrected", "pending"),
        ("attempt 1", "delivered"),
    ]
    first, second, _ = reports.delivery(REVIEWS, "r1")["story"]
    assert first["reason"] == second["because"] == "several contacts have this email"
    assert first["by"] == f"run {run.run_id}"


def test_refused_by_the_destination_corrected_refused_again_and_delivered(ledger, told):
    run = staged(ledger, "r1")
    answered(ledger, run, "r1", Refused("no", 400))
    read_again(ledger, run, a_row("r1", text="better"))
    answered(ledger, run, "r1", Refused("no", 400))
    read_again(ledger, run, a_row("r1", text="best"), 3)
    delivered(ledger, run, "r1")

    assert told() == [
        ("attempt 1", "rejected"), ("corrected", "pending"), ("attempt 2", "rejected"),
        ("corrected", "pending"), ("attempt 3", "delivered"),
    ]  # fmt: skip


def test_invalid_from_the_beginning_and_changed_twice(ledger, told, reports):
    run = staged(ledger, an_invalid_row("r1", "rating: missing"))
    read_again(ledger, run, an_invalid_row("r1", "rating: too high"))
    read_again(ledger, run, a_row("r1"), 3)

    assert told() == [("recorded", "invalid"), ("corrected", "invalid"), ("corrected", "pending")]
    reasons = [e["reason"] for e in reports.delivery(REVIEWS, "r1")["story"]]
    assert reasons == ["rating: missing", "rating: too high", None]


def test_waiting_for_a_contact_is_told_once_however_often_it_is_looked_up(ledger, told):
    run = staged(ledger, "r1")
    for state in (State.PENDING, State.WAITING, State.WAITING):
        assert ledger.record(run, [waits(due(ledger, state)["r1"], timedelta(0))]) == [True]
    assert ledger.record(run, [refused(due(ledger, State.WAITING)["r1"])]) == [True]

    assert told() == [("waiting", "waiting"), ("rejected", "rejected")]


def test_what_persons_decide(ledger, told):
    run = staged(ledger, an_invalid_row("r1"))
    for decision in (
        lambda case: Retried(case, CONTENT),
        lambda case: Discarded(case, "not worth it"),
    ):
        (case,) = ledger.cases(REVIEWS, ["r1"]).values()
        ledger.decide(run, ANNA, [decision(case)])

    assert told() == [("recorded", "invalid"), ("retried", "pending"), ("discarded", "discarded")]


def test_a_doubt_that_a_read_back_settles_and_one_that_a_person_does(ledger, told):
    run = staged(ledger, "r1")
    doubted(ledger, run, "r1")
    (doubt,) = ledger.doubts(REVIEWS, 0, 1)
    assert ledger.settle(run, [Settlement(doubt, State.PENDING, "absent")]) == [True]
    doubted(ledger, run, "r1")
    (case,) = ledger.cases(REVIEWS, ["r1"]).values()
    ledger.decide(run, ANNA, [SaidAbsent(case, None)])

    assert told() == [
        ("attempt 1", "in_doubt"), ("absent", "pending"),
        ("attempt 2", "in_doubt"), ("not delivered", "pending"),
    ]  # fmt: skip


def test_taken_back_released_and_sent_again(ledger, told):
    run = staged(ledger, "r1")
    delivered(ledger, run, "r1")
    (row,) = ledger.deletable(run.run_id, 0, 9)
    ledger.take_back(run, "person: anna", [TakenBack(row, DELETED)])
    (row,) = ledger.releasable(run.run_id)
    assert ledger.release(run, "person: anna", [Released(row, CONTENT)]) == [True]
    delivered(ledger, run, "r1", "i-2")

    assert told() == [
        ("attempt 1", "delivered"), ("deleted", "undone"),
        ("released", "pending"), ("attempt 2", "delivered"),
    ]  # fmt: skip


def test_an_attempt_that_brought_nothing_and_a_run_that_died(ledger, engine, told):
    run = staged(ledger, "r1")
    answered(ledger, run, "r1", NotApplied("busy", 429))
    sent(ledger, run, "r1")
    expire_lease(engine)
    begun(ledger)

    assert told() == [("attempt 1", "pending"), ("attempt 2", "in_doubt")]


def test_an_answer_that_came_after_its_run_was_given_up(ledger, engine, told, reports):
    run = staged(ledger, "r1")
    opened = sent(ledger, run, "r1")["r1"]
    expire_lease(engine)
    begun(ledger)
    assert ledger.record(run, [closing(opened, Accepted("i-1", 201))]) == [True]

    assert told() == [("attempt 1", "delivered"), ("answered late", "delivered")]
    last = reports.delivery(REVIEWS, "r1")["story"][-1]
    assert (last["was"], last["because"]) == (
        "in_doubt",
        "the process ended before the answer was recorded",
    )


def test_what_holds_a_row_up_is_told(ledger, reports):
    from connector.ledger.records import Tally
    from connector.rules.hold import Hold

    run = staged(ledger, "r1")
    ledger.hold_back(run, Hold(1, 1, 0))
    ledger.finish(run, "held", Tally(notes=["held: too many rows"]), None)

    assert reports.delivery(REVIEWS, "r1")["held"] == "held: too many rows"


def test_a_plain_row_costs_the_story_nothing(ledger, engine):
    from tests.ledger.factories import select

    run = staged(ledger, "r1", "r2")
    delivered(ledger, run, "r1")
    answered(ledger, run, "r2", Unknown("no answer"))

    assert select(engine, "select * from decisions") == []


def test_nothing_of_a_person_is_left_in_a_story(ledger, engine, reports):
    run = staged(ledger, "r1")
    assert ledger.record(run, [refused(due(ledger)["r1"])]) == [True]
    ledger.forget(run, "person: anna", ledger.held_of(["anna@example.com"], [REVIEWS]))

    story = reports.delivery(REVIEWS, "r1")["story"]
    assert [e["what"] for e in story] == ["rejected", "forgotten"]
    assert {e["reason"] for e in story} == {None}
    assert datetime.fromisoformat(story[0]["at"]) <= datetime.now(UTC)
