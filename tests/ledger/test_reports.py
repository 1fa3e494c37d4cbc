"""What people ask of the ledger; nothing private is in an answer."""

import json
from datetime import datetime

import pytest

from connector.delivery import NotApplied, State
from connector.ledger.records import Tally
from connector.ledger.reports import Reports
from connector.watermark import Watermark
from tests.ledger.factories import (
    CONTACT,
    CONTACT_ID,
    REVIEWS,
    SECRET,
    a_mark,
    an_invalid_row,
    answered,
    begun,
    delivered,
    doubted,
    due,
    execute,
    refused,
    staged,
    waits,
)

NONE_OF_ALL = dict.fromkeys((state.value for state in State), 0)


def test_a_ledger_that_does_not_exist_answers_that_nothing_is_there():
    nothing = Reports(None)

    assert nothing.watermark(REVIEWS) == (Watermark(), False)
    assert nothing.known(REVIEWS, ["r1"]) == {}
    assert nothing.counts(REVIEWS) == NONE_OF_ALL
    assert nothing.runs() == []
    assert nothing.run("x") is None
    assert nothing.delivery(REVIEWS, "r1") is None
    assert nothing.similar_keys(REVIEWS, "r") == []
    assert nothing.quarantine() == []


def test_an_activation_that_never_ran_has_nothing(reports):
    assert reports.watermark(REVIEWS) == (Watermark(), False)
    assert reports.counts(REVIEWS) == NONE_OF_ALL
    assert reports.delivery(REVIEWS, "r1") is None


def test_both_sides_know_the_same_rows_and_the_same_watermark(ledger, reports):
    staged(ledger, "r1", an_invalid_row("r2"))

    keys = ["r1", "r2", "r3"]
    assert reports.known(REVIEWS, keys) == ledger.known(REVIEWS, keys)
    assert reports.known(REVIEWS, keys).keys() == {"r1", "r2"}
    assert reports.watermark(REVIEWS) == ledger.watermark(REVIEWS) == (a_mark(), True)


def test_counts_have_every_state(ledger, reports):
    run = staged(ledger, "r1", "r2", "r3", an_invalid_row("r4"))
    delivered(ledger, run, "r1")
    doubted(ledger, run, "r2")

    expected = {"delivered": 1, "in_doubt": 1, "pending": 1, "invalid": 1}
    assert reports.counts(REVIEWS) == NONE_OF_ALL | expected


def test_runs_come_newest_first_and_as_many_as_asked_for(ledger, engine, reports):
    ids = []
    for _ in range(3):
        run = begun(ledger)
        ledger.finish(run, "succeeded", Tally(), None)
        execute(engine, "update runs set started_at = started_at - 1000")
        ids.insert(0, run.run_id)
    other = begun(ledger, "another")

    assert [run["run_id"] for run in reports.runs(REVIEWS)] == ids
    assert [run["run_id"] for run in reports.runs(REVIEWS, limit=2)] == ids[:2]
    assert [run["run_id"] for run in reports.runs()] == [other.run_id, *ids]


def test_a_run_tells_how_it_ended(ledger, reports):
    run = staged(ledger, "r1")
    counts = {"read": 9, "staged": 8, "delivered": 7, "invalid": 6, "rejected": 5}
    tally = Tally(**counts, waiting=4, in_doubt=3, pending=2, notes=["a sentence", "two: ö"])
    ledger.finish(run, "attention", tally, "what stopped it")

    document = reports.run(run.run_id)

    started, ended = document.pop("started_at"), document.pop("finished_at")
    assert datetime.fromisoformat(started) == run.started_at
    assert datetime.fromisoformat(ended) >= run.started_at
    assert document == {
        "run_id": run.run_id,
        "activation": REVIEWS,
        "status": "attention",
        **counts,
        "waiting": 4,
        "in_doubt": 3,
        "pending": 2,
        "watermark": "1",
        "error": "what stopped it",
        "notes": ["a sentence", "two: ö"],
    }


def test_a_run_that_goes_on_has_no_end_yet(ledger, reports):
    run = begun(ledger)

    document = reports.run(run.run_id)

    assert (document["status"], document["finished_at"]) == ("running", None)
    assert (document["notes"], document["error"], document["watermark"]) == ([], None, None)
    assert reports.run("unknown") is None


def test_the_story_of_a_row_has_every_attempt(ledger, reports):
    run = staged(ledger, "r1")
    answered(ledger, run, "r1", NotApplied("HTTP 429", 429))
    delivered(ledger, run, "r1")

    story = reports.delivery(REVIEWS, "r1")

    times = [story.pop("since")]
    times += [attempt.pop(name) for attempt in story["attempts"] for name in ("opened_at",)]
    times += [attempt.pop("closed_at") for attempt in story["attempts"]]
    assert all(datetime.fromisoformat(time).tzinfo for time in times)
    common = {"run_id": run.run_id}
    assert story == {
        "activation": REVIEWS,
        "row_key": "r1",
        "state": "delivered",
        "reason": None,
        "interaction_id": "i-1",
        "due_at": None,
        "waiting_since": None,
        **common,
        "attempts": [
            {"number": 1, "outcome": "not_applied", "http_status": 429, "reason": "HTTP 429"}
            | common,
            {"number": 2, "outcome": "accepted", "http_status": 201, "reason": None} | common,
        ],
    }


def test_a_waiting_row_tells_since_when_and_until_when(ledger, reports):
    run = staged(ledger, "r1")
    ledger.record(run, [waits(due(ledger)["r1"])])

    story = reports.delivery(REVIEWS, "r1")

    since = datetime.fromisoformat(story["waiting_since"])
    assert (datetime.fromisoformat(story["due_at"]) - since).total_seconds() == 3600
    assert (story["state"], story["attempts"]) == ("waiting", [])


def test_quarantine_has_what_waits_for_a_person_and_the_oldest_first(ledger, engine, reports):
    run = staged(ledger, "pending", "doubt", "rejected", "delivered", an_invalid_row("invalid"))
    execute(engine, "update deliveries set changed_at = 1")
    delivered(ledger, run, "delivered")
    doubted(ledger, run, "doubt")
    execute(engine, "update deliveries set changed_at = changed_at - 60000 where changed_at > 1")
    ledger.record(run, [refused(due(ledger)["rejected"])])

    rows = reports.quarantine(REVIEWS)

    assert [(row["row_key"], row["state"], row["reason"]) for row in rows] == [
        ("invalid", "invalid", "rating: missing"),
        ("doubt", "in_doubt", "no answer"),
        ("rejected", "rejected", "several contacts have this email"),
    ]
    assert rows[0]["since"] == "1970-01-01T00:00:00.001Z"
    assert reports.quarantine(REVIEWS, limit=2) == rows[:2]
    assert reports.quarantine() == rows
    assert reports.quarantine("another") == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("ORDER", {"Order-1", "order-2"}),
        ("_", {"a_b"}),
        ("%", {"5%"}),
        ("\\", {"c\\d"}),
        ("nothing like it", set()),
    ],
)
def test_similar_keys_hold_what_was_asked_whatever_the_capitals(ledger, reports, asked, found):
    staged(ledger, "Order-1", "order-2", "a_b", "axb", "5%", "50", "c\\d")

    assert set(reports.similar_keys(REVIEWS, asked)) == found


def test_no_more_similar_keys_than_asked_for(ledger, reports):
    staged(ledger, *[f"r{number}" for number in range(10)])

    assert len(reports.similar_keys(REVIEWS, "r")) == 5
    assert len(reports.similar_keys(REVIEWS, "r", limit=3)) == 3


def test_no_report_shows_a_contact_or_a_payload(ledger, reports):
    run = staged(ledger, "r1", "r2", an_invalid_row("r3"))
    doubted(ledger, run, "r1")

    told = json.dumps(
        [
            reports.delivery(REVIEWS, "r1"),
            reports.delivery(REVIEWS, "r2"),
            reports.quarantine(),
            reports.runs(),
            reports.counts(REVIEWS),
        ]
    )

    for private in (CONTACT, CONTACT_ID, SECRET):
        assert private not in told
