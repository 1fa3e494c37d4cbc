"""What runs tell later ones: only those that ended well, and are like any other."""

from connector.ledger.records import Judged, Tally
from connector.rules.contacts import Matches
from tests.ledger.factories import REVIEWS, begun, staged


def a_run(ledger, judged=None, status="succeeded", matched=None):
    run = begun(ledger)
    contacts = Matches(found=matched, unknown=10 - matched) if matched is not None else None
    ledger.finish(run, status, Tally(judged=judged or Judged(), contacts=contacts), None)


def test_rows_are_those_of_comparable_runs_that_ended_well(ledger, reports):
    a_run(ledger, Judged(5, comparable=True))
    a_run(ledger, Judged(6, comparable=True), "attention")
    a_run(ledger, Judged(0, comparable=True))
    a_run(ledger, Judged(70))
    a_run(ledger, Judged(80, comparable=True), "held")
    a_run(ledger, Judged(90, comparable=True), "stopped")
    a_run(ledger)

    assert sorted(due for _, due in ledger.rows_of_runs(REVIEWS)) == [5, 6]
    assert ledger.rows_of_runs(REVIEWS) == reports.rows_of_runs(REVIEWS)


def test_matches_are_those_of_the_sample_where_there_was_one(ledger):
    a_run(ledger, Judged(5, matched=0.5, comparable=True), matched=9)
    a_run(ledger, Judged(5, comparable=True), matched=8)
    a_run(ledger, Judged(5, comparable=True))

    assert sorted(ledger.matches_of_runs(REVIEWS)) == [0.5, 0.8]


def test_readings_are_known_where_rows_were_read_or_none_was_there(ledger):
    a_run(ledger, Judged(0, empty=True, comparable=True))
    a_run(ledger, Judged(0, comparable=True))

    assert ledger.readings(REVIEWS) == [False]


def test_what_is_to_be_sent_is_told(ledger, reports):
    staged(ledger, "r1", "r2")

    assert [row[0] for row in reports.to_be_sent(REVIEWS)] == ["r1", "r2"]
    assert all(not has_waited for *_, has_waited in ledger.to_be_sent(REVIEWS))
