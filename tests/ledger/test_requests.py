"""Requests that carry many rows: on record with all of them or not at all, whatever happens."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from connector.ledger.parcels import (
    ABSENT,
    SPLIT,
    Asked,
    Closed,
    ClosingAll,
    Opened,
    OpeningAll,
    Request,
)
from connector.ledger.records import Run, Settlement
from connector.ledger.store import Ledger
from connector.rules.delivery import (
    Accepted,
    NotApplied,
    Outcome,
    Refused,
    State,
    Submitted,
    Unknown,
)
from connector.rules.errors import LeaseLost, LedgerChanged
from tests.ledger.factories import (
    REVIEWS,
    attempts,
    begun,
    closing,
    due,
    execute,
    expire_lease,
    opening,
    select,
    sent,
    staged,
    states,
    stored,
)

KEYS = ("r1", "r2", "r3")
LATER = timedelta(minutes=1)


def parcel(
    ledger: Ledger, *keys: str, reference: str = "a", again: int | None = None
) -> OpeningAll:
    rows = due(ledger)
    return OpeningAll(reference, "digest", [opening(rows[key]) for key in keys], again)


def opened(ledger: Ledger, run: Run, *keys: str, reference: str = "a") -> tuple[int, OpeningAll]:
    """A request that is on the wire, with its id."""
    entry = parcel(ledger, *keys, reference=reference)
    (result,) = ledger.record(run, [entry])
    assert isinstance(result, Opened)
    return result.request, entry


def answer(request: int, entry: OpeningAll, whole: Outcome, **each: Outcome) -> ClosingAll:
    """What it brought; `each`: for rows by their keys."""
    outcomes = [(o, each.get(o.delivery.row_key, whole)) for o in entry.openings]
    return ClosingAll(request, whole, [closing(o, outcome) for o, outcome in outcomes])


def answered_all(ledger: Ledger, run: Run, whole: Outcome, *keys: str, **each: Outcome) -> int:
    request, entry = opened(ledger, run, *keys)
    (result,) = ledger.record(run, [answer(request, entry, whole, **each)])
    assert result == Closed([True] * len(keys))
    return request


def the_request(engine: Engine) -> Any:
    (row,) = select(engine, "select * from requests")
    return row


def asked_about(ledger: Ledger, run: Run) -> Request:
    (request,) = ledger.requests_open(run, 0, 10)
    return request


def told(
    ledger: Ledger, request: Request, state: State, word: str, keys: Sequence[str] = KEYS
) -> list[Settlement]:
    doubts = {doubt.row_key: doubt for doubt in ledger.doubts_in(request)}
    return [Settlement(doubts[key], state, word, reason="because") for key in keys]


def test_a_request_is_on_record_with_all_of_its_rows_in_their_order(ledger, engine):
    run = staged(ledger, *KEYS)
    request, _ = opened(ledger, run, "r2", "r1")

    row = the_request(engine)
    assert (row.id, row.reference, row.rows, row.times) == (request, "a", 2, 1)
    assert row.closed_at is row.outcome is row.ended_at is None
    assert states(engine) == {"r1": "sending", "r2": "sending", "r3": "pending"}
    placed = select(engine, "select request, place from attempts order by place")
    assert placed == [(request, 0), (request, 1)]
    assert [attempt.place for attempt in attempts(engine, "r2")] == [0]


def test_a_request_is_on_record_with_all_of_its_rows_or_not_at_all(ledger, engine):
    run = staged(ledger, *KEYS)
    entry = parcel(ledger, *KEYS)
    sent(ledger, run, "r2")

    assert ledger.record(run, [entry]) == [False]
    assert states(engine) == {"r1": "pending", "r2": "sending", "r3": "pending"}
    assert select(engine, "select * from requests") == []
    assert select(engine, "select count(*) from attempts") == [(1,)]


def test_one_of_two_requests_in_a_commit_may_fail_alone(ledger, engine):
    run = staged(ledger, *KEYS)
    late, good = parcel(ledger, "r1", "r2"), parcel(ledger, "r2", "r3", reference="b")

    first, second = ledger.record(run, [good, late])

    assert isinstance(first, Opened)
    assert second is False
    assert states(engine) == {"r1": "pending", "r2": "sending", "r3": "sending"}


def test_rows_that_are_taken_over_are_submitted_and_keep_what_was_sent(ledger, engine, reports):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Submitted(None, 202), *KEYS)

    assert set(states(engine).values()) == {"submitted"}
    assert stored(engine).payload
    row = the_request(engine)
    assert (row.outcome, row.http_status) == ("submitted", 202)
    assert row.seen_at == row.closed_at
    assert row.ended_at is None
    assert attempts(engine)[0].outcome == "submitted"
    assert reports.counts(REVIEWS)["submitted"] == 3
    assert due(ledger) == {}


def test_a_request_is_over_once_no_row_of_it_is_open(ledger, engine):
    run = staged(ledger, *KEYS)
    outcomes: dict[str, Outcome] = {"r2": Refused("too long", 207), "r3": NotApplied("busy")}
    answered_all(ledger, run, Accepted(None, 200), *KEYS, **outcomes)

    assert states(engine) == {"r1": "delivered", "r2": "rejected", "r3": "pending"}
    assert the_request(engine).ended_at
    assert ledger.requests_open(run, 0, 10) == []


def test_an_id_of_the_destinations_is_kept_and_asked_for(ledger, engine):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Submitted("theirs-1", 202), *KEYS)

    assert asked_about(ledger, run).name == "theirs-1"


def test_what_a_killed_run_left_is_in_doubt_and_asked_for_by_its_request(ledger, engine):
    run = staged(ledger, *KEYS)
    opened(ledger, run, *KEYS)
    expire_lease(engine)

    begun(ledger)

    assert set(states(engine).values()) == {"in_doubt"}
    request = asked_about(ledger, run)
    assert (request.reference, request.rows, request.seen) == ("a", 3, False)
    doubts = ledger.doubts_in(request)
    assert [(d.row_key, d.place, d.submitted) for d in doubts] == [
        ("r1", 0, False),
        ("r2", 1, False),
        ("r3", 2, False),
    ]


def test_a_late_answer_is_recorded_though_another_run_has_taken_over(ledger, engine):
    run = staged(ledger, *KEYS)
    request, entry = opened(ledger, run, *KEYS)
    expire_lease(engine)
    begun(ledger)

    (result,) = ledger.record(run, [answer(request, entry, Submitted(None, 202))])

    assert result == Closed([True] * 3)
    assert set(states(engine).values()) == {"submitted"}
    assert asked_about(ledger, run).seen


def test_a_late_answer_to_what_was_found_absent_says_that_it_is_there(ledger, engine):
    run = staged(ledger, *KEYS)
    request, entry = opened(ledger, run, *KEYS)
    expire_lease(engine)
    other = begun(ledger)
    about = asked_about(ledger, run)
    ledger.asked(other, Asked(about, told(ledger, about, State.PENDING, "absent"), ABSENT))
    assert set(states(engine).values()) == {"pending"}

    ledger.record(run, [answer(request, entry, Submitted(None, 202))])

    assert set(states(engine).values()) == {"submitted"}
    assert asked_about(ledger, run).seen
    assert ledger.requests_again(other) == []


def test_nothing_is_begun_without_the_lease(ledger, engine):
    run = staged(ledger, *KEYS)
    entry = parcel(ledger, *KEYS)
    expire_lease(engine)
    begun(ledger)

    (result,) = ledger.record(run, [entry])

    assert isinstance(result, LeaseLost)
    assert select(engine, "select * from requests") == []


def test_an_answer_to_a_request_that_the_ledger_does_not_know_stops_the_run(ledger, engine):
    run = staged(ledger, *KEYS)
    request, entry = opened(ledger, run, *KEYS)
    execute(engine, "delete from attempts")

    (result,) = ledger.record(run, [answer(request, entry, Submitted())])

    assert isinstance(result, LedgerChanged)


def test_what_the_destination_says_of_a_request_moves_all_rows_or_none(ledger, engine):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Submitted(), *KEYS)
    request = asked_about(ledger, run)
    settlements = told(ledger, request, State.DELIVERED, "processed")
    reject = told(ledger, request, State.REJECTED, "turned_down", ["r2"])
    assert ledger.asked(run, Asked(request, reject))

    assert not ledger.asked(run, Asked(request, settlements, ended=True))
    assert states(engine) == {"r1": "submitted", "r2": "rejected", "r3": "submitted"}
    assert the_request(engine).ended_at is None

    left = told(ledger, request, State.DELIVERED, "processed", ["r1", "r3"])
    assert ledger.asked(run, Asked(request, left, ended=True))
    assert states(engine) == {"r1": "delivered", "r2": "rejected", "r3": "delivered"}
    assert the_request(engine).ended_at
    assert stored(engine).payload is None


def test_a_request_is_not_asked_for_before_its_time(ledger, engine):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Submitted(), *KEYS)
    assert ledger.asked(run, Asked(asked_about(ledger, run), [], seen=True, next_in=LATER))

    assert ledger.requests_open(run, 0, 10) == []
    wait = ledger.next_request_in(REVIEWS)
    assert wait is not None
    assert timedelta(0) < wait <= LATER


def test_a_request_that_was_asked_for_while_the_clock_was_ahead_is_asked_for_once_that_is_put_back(
    ledger, engine
):
    """Its rows would stand as submitted for as long as that was."""
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Submitted(), *KEYS)
    assert ledger.asked(run, Asked(asked_about(ledger, run), [], seen=True, next_in=LATER))
    ahead = "asked_at = asked_at + 86400000, next_at = next_at + 86400000"
    execute(engine, f"update requests set {ahead}")

    assert asked_about(ledger, run)
    assert ledger.next_request_in(REVIEWS) == timedelta(0)


def test_what_is_absent_goes_again_under_the_same_reference(ledger, engine):
    run = staged(ledger, *KEYS)
    request = answered_all(ledger, run, Unknown("no answer"), *KEYS)
    about = asked_about(ledger, run)
    ledger.asked(run, Asked(about, told(ledger, about, State.PENDING, "absent"), ABSENT))
    assert ledger.requests_open(run, 0, 10) == []

    (again,) = ledger.requests_again(run)
    assert (again.id, again.reference, again.digest) == (request, "a", "digest")
    assert [row.row_key for row in again.rows] == list(KEYS)
    (result,) = ledger.record(run, [parcel(ledger, *KEYS, again=again.id)])

    assert result == Opened(request)
    row = the_request(engine)
    assert (row.times, row.closed_at, row.outcome) == (2, None, None)
    assert [a.request for a in attempts(engine)] == [request, request]
    assert ledger.record(run, [parcel(ledger, again=again.id)]) != [Opened(request)]


def test_what_is_absent_and_not_whole_any_more_does_not_go_again(ledger, engine):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Unknown("no answer"), *KEYS)
    about = asked_about(ledger, run)
    ledger.asked(run, Asked(about, told(ledger, about, State.PENDING, "absent"), ABSENT))
    sent(ledger, run, "r2")

    assert ledger.requests_again(run) == []
    assert the_request(engine).ended_at


def test_rows_of_a_request_that_is_split_know_their_half(ledger, engine):
    run = staged(ledger, *KEYS, "r4")
    request = answered_all(ledger, run, Unknown("HTTP 400", 400), *KEYS)
    about = asked_about(ledger, run)
    assert about.http_status == 400
    split = Asked(about, told(ledger, about, State.PENDING, "split"), SPLIT, ended=True)
    assert ledger.asked(run, split)

    rows = due(ledger)
    ids = sorted(row.id for row in rows.values())
    halves = ledger.halves(REVIEWS, ids[0], ids[-1])
    by_key = {key: halves.get(row.id) for key, row in rows.items()}
    assert by_key == {"r1": (request, 0), "r2": (request, 0), "r3": (request, 1), "r4": None}
    assert ledger.requests_again(run) == []


def test_after_a_restore_every_request_may_have_been_seen(ledger, engine):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Unknown("no answer"), *KEYS)
    assert not asked_about(ledger, run).seen

    ledger.distrust()

    assert asked_about(ledger, run).seen


def test_a_run_counts_what_its_requests_brought(ledger, reports):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Submitted(), *KEYS, r2=Refused("too long"))
    request = asked_about(ledger, run)
    processed = told(ledger, request, State.DELIVERED, "processed", ["r1"])
    ledger.asked(run, Asked(request, processed))

    document = reports.run(run.run_id)
    figures = ("delivered", "rejected", "submitted")
    assert [document[name] for name in figures] == [1, 1, 1]


@pytest.mark.parametrize("became", [State.SUBMITTED, State.IN_DOUBT])
def test_a_request_that_is_found_under_way_and_lost_again(ledger, engine, became):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Unknown("no answer"), *KEYS)
    request = asked_about(ledger, run)
    found = told(ledger, request, State.SUBMITTED, "underway")
    assert ledger.asked(run, Asked(request, found, seen=True))
    assert set(states(engine).values()) == {"submitted"}

    if became is State.IN_DOUBT:
        request = asked_about(ledger, run)
        assert request.seen
        ledger.asked(run, Asked(request, told(ledger, request, State.IN_DOUBT, "undecided")))
        assert stored(engine).reason == "because"
    assert set(states(engine).values()) == {became.value}


def test_whether_requests_are_known_by_our_references_is_learnt_from_what_is_asked(ledger, engine):
    run = staged(ledger, *KEYS)
    answered_all(ledger, run, Submitted(), "r1")
    assert ledger.knows_references(REVIEWS) is False  # it may know it by another id alone

    request = asked_about(ledger, run)
    found = told(ledger, request, State.DELIVERED, "processed", ["r1"])
    ledger.asked(run, Asked(request, found, seen=True, ended=True))
    assert ledger.knows_references(REVIEWS) is True

    other, entry = opened(ledger, run, "r2", reference="b")
    ledger.record(run, [answer(other, entry, Submitted("theirs-1"))])
    assert ledger.knows_references(REVIEWS) is None
