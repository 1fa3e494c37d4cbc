"""An interaction's id has one owner for ever, on both databases."""

import threading

import pytest

from connector.ledger.records import Repeated, Settlement
from connector.ledger.takeback import DELETED, Released, TakenBack
from connector.rules.delivery import Accepted, State
from connector.rules.interaction import Interaction
from tests.ledger.factories import (
    REVIEWS,
    a_mark,
    a_row,
    an_identity,
    attempts,
    begun,
    closing,
    delivered,
    doubted,
    opening,
    sent,
    staged,
    states,
    stored,
)

GUID = "3F2504E0-4F89-11D3-9A0C-0305E82C3301"
AGAIN = Interaction("bert@example.com", "2026-02-02T00:00:00.000Z", b'{"text": "new"}')


def taken_back(ledger, run_id, release=True):
    """Delete what the run sent, and let it go again."""
    lease = ledger.take_lease(REVIEWS)
    ledger.take_back(
        lease, "person", [TakenBack(r, DELETED) for r in ledger.deletable(run_id, 0, 9)]
    )
    if release:
        rows = [Released(row, AGAIN) for row in ledger.releasable(run_id)]
        assert all(ledger.release(lease, "person", rows))
    ledger.let_go(lease)


def test_an_id_that_a_row_owns_makes_a_doubt_of_the_next(ledger, engine):
    run = staged(ledger, "r1", "r2")
    delivered(ledger, run, "r1", "i-1")
    second = sent(ledger, run, "r2")["r2"]

    (result,) = ledger.record(run, [closing(second, Accepted("i-1", 201))])

    assert isinstance(result, Repeated)
    assert result.distrust is not None
    assert 'is that of the row "r1"' in result.distrust
    assert states(engine) == {"r1": "delivered", "r2": "in_doubt"}
    assert stored(engine, "r2").interaction_id is None
    (attempt,) = attempts(engine, "r2")
    assert (attempt.outcome, attempt.http_status) == ("unknown", 201)


def test_of_answers_that_come_together_with_one_id_none_is_believed(ledger, engine):
    run = staged(ledger, "r1", "r2", "r3")
    opened = sent(ledger, run, "r1", "r2", "r3")
    answers = [Accepted("i-2", 201), Accepted("i-1", 201), Accepted("i-2", 201)]

    results = ledger.record(
        run, [closing(o, a) for o, a in zip(opened.values(), answers, strict=True)]
    )

    assert results[1] is True
    assert "another request was answered with" in results[0].distrust
    assert "another request was answered with" in results[2].distrust
    assert states(engine) == {"r1": "in_doubt", "r2": "delivered", "r3": "in_doubt"}


def test_an_id_that_came_several_times_is_believed_of_no_later_answer_either(ledger, engine):
    run = staged(ledger, "r1", "r2", "r3")
    opened = list(sent(ledger, run, "r1", "r2", "r3").values())
    again = Accepted("i-1", 201)
    ledger.record(run, [closing(opened[0], again), closing(opened[1], again)])

    (result,) = ledger.record(run, [closing(opened[2], again)])

    assert isinstance(result, Repeated)
    assert states(engine) == {"r1": "in_doubt", "r2": "in_doubt", "r3": "in_doubt"}


def test_a_rows_own_answer_that_comes_again_is_no_offence(ledger, engine):
    run = staged(ledger, "r1")
    opened = delivered(ledger, run, "r1", "i-1")

    assert ledger.record(run, [closing(opened, Accepted("i-1", 201))]) == [False]
    assert states(engine) == {"r1": "delivered"}


@pytest.mark.parametrize("spelling", [GUID, GUID.lower()])
def test_an_id_that_was_deleted_is_nobodys_again(ledger, engine, spelling):
    run = staged(ledger, "r1", "r2")
    delivered(ledger, run, "r1", GUID)
    ledger.let_go(run)
    taken_back(ledger, run.run_id)
    run = begun(ledger)
    opened = sent(ledger, run, "r1", "r2")

    results = ledger.record(run, [closing(o, Accepted(spelling, 201)) for o in opened.values()])

    assert ["and is deleted" in result.distrust for result in results] == [True, True]
    assert states(engine) == {"r1": "in_doubt", "r2": "in_doubt"}
    assert ledger.owned(REVIEWS, [spelling, "i-9"]) == {spelling}
    doubt, _ = ledger.doubts(REVIEWS, 0, 9)
    found = Settlement(doubt, State.DELIVERED, "found", spelling)
    assert ledger.settle(run, [found]) == [False]


def test_what_was_forgotten_is_nobodys_again(ledger, engine):
    run = staged(ledger, "r1")
    delivered(ledger, run, "r1", "i-1")
    ledger.let_go(run)
    lease = ledger.take_lease(REVIEWS)
    ledger.forget(lease, "person", _held(ledger, "i-1"))

    assert stored(engine).interaction_id is None
    assert ledger.owned(REVIEWS, ["i-1"]) == {"i-1"}


def _held(ledger, name):
    return list(ledger.owned_rows([name], [REVIEWS]).values())


def test_an_answer_after_a_read_back_gave_the_interaction_away_is_a_doubt_and_no_distrust(
    ledger, engine
):
    """Two equal rows: a read-back has taken the one's interaction for the other's. Counting goes
    on, and the destination has said nothing wrong."""
    run = staged(ledger, "r1", "r2")
    doubted(ledger, run, "r1")
    second = sent(ledger, run, "r2")["r2"]
    (doubt,) = ledger.doubts(REVIEWS, 0, 9)
    ledger.settle(run, [Settlement(doubt, State.DELIVERED, "found", "i-2")])

    (result,) = ledger.record(run, [closing(second, Accepted("i-2", 201))])

    assert result.distrust is None
    assert states(engine) == {"r1": "delivered", "r2": "in_doubt"}


def test_the_same_id_at_another_destination_is_another_one(ledger, engine):
    run = staged(ledger, "r1", "r2")
    delivered(ledger, run, "r1", "1")
    elsewhere = ledger.begin("other", an_identity(destination="second"))
    ledger.stage(elsewhere, [a_row("o1")], [], a_mark(), begun=True)
    (row,) = ledger.due("other", State.PENDING, 0, 9)
    assert ledger.record(elsewhere, [opening(row)]) == [True]

    assert ledger.record(elsewhere, [closing(opening(row), Accepted("1", 201))]) == [True]


def test_of_two_that_record_one_id_at_once_one_owns_it(ledger, engine):
    """Two activations at one destination, in two connections: neither sees the other's yet."""
    runs = [ledger.begin(name, an_identity()) for name in ("one", "two")]
    closings = []
    for run in runs:
        ledger.stage(run, [a_row("r1")], [], a_mark(), begun=True)
        (row,) = ledger.due(run.activation, State.PENDING, 0, 9)
        assert ledger.record(run, [opening(row)]) == [True]
        closings.append(closing(opening(row), Accepted("i-1", 201)))
    together, results = threading.Barrier(2), list[object]()

    def record(run, entry):
        together.wait()
        results.extend(ledger.record(run, [entry]))

    threads = [
        threading.Thread(target=record, args=pair) for pair in zip(runs, closings, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(type(result).__name__ for result in results) == ["Repeated", "bool"]
