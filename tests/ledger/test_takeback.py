"""Taking back and releasing, on both databases: whose rows they are, and compare-and-set."""

from datetime import timedelta

import pytest

from connector.ledger.moving import FORGOTTEN
from connector.ledger.records import Tally
from connector.ledger.takeback import (
    ALREADY_GONE,
    DELETED,
    MAY_APPEAR,
    NOT_FOUND,
    Released,
    Standing,
    TakenBack,
)
from connector.rules.delivery import Accepted, NotApplied, State
from connector.rules.errors import ActivationBusy, LeaseLost
from connector.rules.interaction import Interaction
from tests.ledger.factories import (
    REVIEWS,
    a_mark,
    a_row,
    answered,
    begun,
    closing,
    delivered,
    doubted,
    due,
    execute,
    expire_lease,
    forget_holder,
    opening,
    select,
    sent,
    staged,
    states,
    stored,
)

BY = "person: anna"
AGAIN = Interaction("bert@example.com", "2026-02-02T00:00:00.000Z", b'{"text": "new"}')


def finished(ledger, run):
    ledger.finish(run, "succeeded", Tally(), None)


def a_finished_run(ledger, *keys):
    """A run that has delivered `keys` under the ids i-<key>."""
    run = staged(ledger, *keys)
    for key in keys:
        delivered(ledger, run, key, f"i-{key}")
    finished(ledger, run)
    return run.run_id


def taken(ledger, run_id, word=DELETED):
    """Take back everything that the run sent."""
    lease = ledger.take_lease(REVIEWS)
    rows = ledger.deletable(run_id, 0, 100)
    moved = ledger.take_back(lease, BY, [TakenBack(row, word) for row in rows])
    ledger.let_go(lease)
    return moved


def test_rows_become_undone_and_keep_their_id_and_their_run(ledger, engine):
    run_id = a_finished_run(ledger, "r1", "r2")

    assert taken(ledger, run_id) == [True, True]

    row = stored(engine)
    assert (row.state, row.interaction_id, row.run_id) == ("undone", "i-r1", run_id)
    assert ledger.standing(run_id) == Standing(undone=2)
    assert ledger.deletable(run_id, 0, 100) == []
    (decision, _) = select(engine, "select * from decisions order by delivery_id")
    assert (decision.by, decision.decision, decision.was, decision.state) == (
        BY,
        "deleted",
        "delivered",
        "undone",
    )


def test_a_row_is_taken_back_once(ledger):
    run_id = a_finished_run(ledger, "r1")
    (row,) = ledger.deletable(run_id, 0, 100)
    lease = ledger.take_lease(REVIEWS)

    first = ledger.take_back(lease, BY, [TakenBack(row, DELETED)])
    second = ledger.take_back(lease, "person: bert", [TakenBack(row, ALREADY_GONE)])

    assert (first, second) == ([True], [False])


def test_a_row_that_has_another_interaction_by_now_is_not_taken_back(ledger, engine):
    run_id = a_finished_run(ledger, "r1")
    (row,) = ledger.deletable(run_id, 0, 100)
    execute(engine, "update deliveries set interaction_id = 'another'")

    assert ledger.take_back(ledger.take_lease(REVIEWS), BY, [TakenBack(row, DELETED)]) == [False]
    assert states(engine) == {"r1": "delivered"}


def test_what_was_not_found_can_be_asked_for_again(ledger, engine):
    run_id = a_finished_run(ledger, "r1")

    taken(ledger, run_id, NOT_FOUND)
    between = ledger.standing(run_id)
    release_of_the_unsure = ledger.releasable(run_id)
    reason = stored(engine).reason
    taken(ledger, run_id, ALREADY_GONE)

    assert between == Standing(not_found=1)
    assert release_of_the_unsure == []
    assert reason == MAY_APPEAR
    assert ledger.standing(run_id) == Standing(undone=1)
    assert stored(engine).reason is None


def test_a_run_owns_what_its_last_attempt_sent(ledger):
    first = staged(ledger, "r1", "r2", "r3")
    delivered(ledger, first, "r1")
    answered(ledger, first, "r2", NotApplied("busy"))
    finished(ledger, first)
    second = begun(ledger)
    delivered(ledger, second, "r2", "i-2")
    finished(ledger, second)

    assert ledger.standing(first.run_id) == Standing(delivered=1, unsent=1)
    assert ledger.standing(second.run_id) == Standing(delivered=1)
    assert [row.row_key for row in ledger.deletable(first.run_id, 0, 9)] == ["r1"]


def test_every_row_of_a_run_has_its_place_in_the_standing(ledger, engine):
    run = staged(ledger, *"abcdefg")
    for key in "abcd":
        delivered(ledger, run, key, f"i-{key}")
    doubted(ledger, run, "e")
    sent(ledger, run, "f")
    execute(engine, "update deliveries set interaction_id = null where row_key = 'b'")
    execute(engine, "update deliveries set state = 'undone' where row_key in ('c', 'd')")
    execute(engine, "update deliveries set reason = :r where row_key = 'd'", r=FORGOTTEN)

    assert ledger.standing(run.run_id) == Standing(
        delivered=1, without_id=1, undone=1, forgotten=1, in_doubt=2, unsent=1
    )


def test_pages_go_on_after_the_last_row(ledger):
    run_id = a_finished_run(ledger, "r1", "r2", "r3")

    first = ledger.deletable(run_id, 0, 2)
    rest = ledger.deletable(run_id, first[-1].delivery_id, 2)

    assert [row.row_key for row in (*first, *rest)] == ["r1", "r2", "r3"]


def test_a_deletion_tells_how_young_an_interaction_can_be_seen(ledger, engine):
    run_id = a_finished_run(ledger, "r1", "r2")
    nothing_yet = ledger.youngest_seen(run_id)
    taken(ledger, run_id)
    execute(engine, "update attempts set opened_at = 1000")
    execute(engine, "update decisions set at = 8000")
    execute(engine, "update decisions set at = 6000, decision = 'already_gone' where id = 1")

    assert nothing_yet is None
    assert ledger.youngest_seen(run_id) == timedelta(seconds=7)


def test_a_released_row_is_pending_with_a_new_body_and_the_next_attempt(ledger, engine):
    run_id = a_finished_run(ledger, "r1")
    taken(ledger, run_id)
    (row,) = ledger.releasable(run_id)
    lease = ledger.take_lease(REVIEWS)

    moved = ledger.release(lease, BY, [Released(row, AGAIN)])
    again = ledger.release(lease, BY, [Released(row, AGAIN)])
    ledger.let_go(lease)

    assert (moved, again) == ([True], [False])
    (pending,) = due(ledger).values()
    assert (pending.contact, pending.payload) == ("bert@example.com", '{"text": "new"}')
    assert (pending.created_date, pending.contact_id) == ("2026-02-02T00:00:00.000Z", None)
    assert stored(engine).interaction_id is None
    run = begun(ledger)
    opened = opening(pending)
    assert opened.number == 2
    assert ledger.record(run, [opened]) == [True]
    assert ledger.record(run, [closing(opened, Accepted("i-2"))]) == [True]
    assert ledger.standing(run_id) == Standing(sent_again=1)
    assert ledger.standing(run.run_id) == Standing(delivered=1)


def test_a_row_without_a_date_gets_the_time_of_its_release(ledger):
    run_id = a_finished_run(ledger, "r1")
    taken(ledger, run_id)
    (row,) = ledger.releasable(run_id)

    ledger.release(
        ledger.take_lease(REVIEWS), BY, [Released(row, Interaction("a@b.c", None, b"{}"))]
    )

    assert due(ledger)["r1"].created_date.endswith("Z")


def test_a_row_that_was_suspect_when_it_was_undone_is_suspect_when_it_is_released(ledger, engine):
    run_id = a_finished_run(ledger, "r1")
    taken(ledger, run_id)
    ledger.distrust()
    (row,) = ledger.releasable(run_id)

    ledger.release(ledger.take_lease(REVIEWS), BY, [Released(row, AGAIN)])

    assert due(ledger)["r1"].suspect


def test_a_lease_keeps_runs_away_and_runs_keep_leases_away(ledger):
    run = staged(ledger, "r1")
    with pytest.raises(ActivationBusy, match=f"held by run {run.run_id}"):
        ledger.take_lease(REVIEWS)
    finished(ledger, run)

    lease = ledger.take_lease(REVIEWS)
    with pytest.raises(ActivationBusy, match="held by a command given by hand"):
        begun(ledger)
    ledger.let_go(lease)

    begun(ledger)


def test_a_lease_makes_doubts_of_what_a_dead_run_had_on_the_wire(ledger, engine):
    run = staged(ledger, "r1")
    sent(ledger, run, "r1")
    forget_holder(engine)
    expire_lease(engine)

    ledger.take_lease(REVIEWS)

    assert states(engine) == {"r1": "in_doubt"}
    assert select(engine, "select count(*) from runs") == [(1,)]


def test_a_lease_that_was_replaced_records_deletions_and_releases_nothing(ledger, engine):
    run_id = a_finished_run(ledger, "r1", "r2")
    first, second = ledger.deletable(run_id, 0, 2)
    lease = ledger.take_lease(REVIEWS)
    ledger.take_back(lease, BY, [TakenBack(first, DELETED)])
    forget_holder(engine)
    expire_lease(engine)
    begun(ledger)

    late = ledger.take_back(lease, BY, [TakenBack(second, DELETED)])  # a fact is a fact
    with pytest.raises(LeaseLost):
        ledger.release(lease, BY, [Released(ledger.releasable(run_id)[0], AGAIN)])

    assert late == [True]
    assert states(engine) == {"r1": "undone", "r2": "undone"}


def test_an_undone_row_is_known_and_therefore_not_recorded_again(ledger):
    run_id = a_finished_run(ledger, "r1")
    taken(ledger, run_id)
    run = begun(ledger)

    ledger.stage(run, [a_row("r1", "another text")], [], a_mark(), begun=True)

    assert ledger.known(REVIEWS, ["r1"])["r1"].state is State.UNDONE
    assert due(ledger) == {}
