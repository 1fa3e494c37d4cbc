"""What was delivered long ago is pruned: it is never sent again, and nothing else goes."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from connector.ledger import pruning
from connector.ledger.ownership import remember_removed
from connector.ledger.records import Judged, Settlement, Tally
from connector.rules.delivery import Accepted, State
from connector.rules.errors import LeaseLost, LedgerUnavailable
from connector.rules.history import ENOUGH, WEEKDAYS, Usual, usual_rows
from tests.ledger.factories import (
    REVIEWS,
    a_mark,
    a_row,
    an_identity,
    begun,
    closing,
    delivered,
    doubted,
    execute,
    only,
    select,
    sent,
    staged,
    states,
)
from tests.ledger.test_promises import a_row_in

DAY = 86_400_000
YEAR = timedelta(days=365)


def aged(engine, days=400):
    """As if all that is there had happened so many days ago."""
    past = f"- {days * DAY}"
    execute(
        engine,
        f"update deliveries set changed_at = changed_at {past}",
        f"update attempts set opened_at = opened_at {past}, closed_at = closed_at {past}",
        f"update runs set started_at = started_at {past}, finished_at = finished_at {past}",
    )


def ended(ledger, run, number=0):
    ledger.finish(run, "succeeded", Tally(delivered=number), None)


def of_long_ago(ledger, engine, *keys):
    """A run that has delivered these rows 400 days ago."""
    run = staged(ledger, *keys)
    for key in keys:
        delivered(ledger, run, key, f"i-{key}")
    ended(ledger, run, len(keys))
    aged(engine)
    return run


def pruned(ledger, span=YEAR, **how):
    """What a run prunes, that has nothing else to do; it records `newest`, which stays."""
    run = staged(ledger, "newest")
    found = ledger.prune(run, span, **{"most": 1_000, **how})
    ended(ledger, run)
    return found


def test_a_pruned_row_is_known_and_never_recorded_again(ledger, engine):
    of_long_ago(ledger, engine, "r1", "r2")

    assert pruned(ledger) == pruning.Pruned(2, 0)

    assert states(engine) == {"newest": "pending"}
    assert select(engine, "select * from attempts") == []
    known = ledger.known(REVIEWS, {"r1", "r2", "r3", "newest"})
    assert {key: each.state for key, each in known.items()} == {
        "r1": "delivered", "r2": "delivered", "newest": "pending"
    }  # fmt: skip
    run = staged(ledger, "r1", "r2", "r3")  # whoever has not asked before does not record it either
    assert {*states(engine)} == {"newest", "r3"}
    assert only(engine, "select staged from runs where run_id = :r", r=run.run_id).staged == 1


def test_only_what_is_older_goes(ledger, engine):
    of_long_ago(ledger, engine, "r1")

    assert pruned(ledger, timedelta(days=402)) == pruning.Pruned()
    assert states(engine, ["r1"]) == {"r1": "delivered"}


def test_what_is_not_delivered_stays_however_old_it_is(ledger, engine):
    run = begun(ledger)
    for state in State:
        a_row_in(engine, state.value, state)
    ended(ledger, run)
    aged(engine)

    assert pruned(ledger, most=None).rows == 1

    assert {*states(engine)} == {*State, "newest"} - {State.DELIVERED}


def test_what_is_told_does_not_shrink(ledger, engine, reports):
    of_long_ago(ledger, engine, "r1", "r2")
    then = datetime.now(UTC) - timedelta(days=400)
    before = reports.counts(REVIEWS), reports.days(REVIEWS, then, 2), reports.standings([REVIEWS])
    last = reports.last_delivered([REVIEWS])

    pruned(ledger)

    assert reports.counts(REVIEWS) == {**before[0], "pending": 1}
    assert reports.days(REVIEWS, then, 2) == before[1]
    assert reports.standings([REVIEWS])[REVIEWS].counts["delivered"] == 2
    assert reports.last_delivered([REVIEWS]).keys() == last.keys()
    counted = select(engine, "select state, number from delivery_counts where number <> 0")
    assert [tuple(row) for row in counted] == [("pruned", 2)]


def test_the_interaction_of_a_pruned_row_is_never_believed_to_be_another_rows(ledger, engine):
    of_long_ago(ledger, engine, "r1")
    pruned(ledger)
    run = begun(ledger)
    doubted(ledger, run, "newest")
    (doubt,) = ledger.doubts(REVIEWS, 0, 10)

    assert ledger.owned(REVIEWS, {"i-r1", "i-other"}) == {"i-r1"}
    settled = ledger.settle(run, [Settlement(doubt, State.DELIVERED, "found", "i-r1")])
    assert settled == [False]


def test_without_what_is_kept_of_it_a_row_would_be_sent_twice_or_lost(ledger, engine, monkeypatch):
    """So nothing of it can be left out."""
    monkeypatch.setattr(pruning, "_remember", lambda *_: None)
    of_long_ago(ledger, engine, "r1")
    pruned(ledger)
    run = staged(ledger, "r1")  # twice
    assert states(engine)["r1"] == "pending"
    doubted(ledger, run, "newest")
    (doubt,) = ledger.doubts(REVIEWS, 0, 10)

    settled = ledger.settle(run, [Settlement(doubt, State.DELIVERED, "found", "i-r1")])

    assert settled == [True]  # and what is in doubt is never sent


def test_an_answer_with_the_id_of_a_pruned_row_is_no_delivery(ledger, engine):
    of_long_ago(ledger, engine, "r1")
    pruned(ledger)
    run = begun(ledger)
    opened = sent(ledger, run, "newest")["newest"]

    (result,) = ledger.record(run, [closing(opened, Accepted("i-r1", 201))])

    assert "a row that was pruned" in result.reason
    assert states(engine) == {"newest": "in_doubt"}


def test_the_newest_row_stays_so_that_no_id_is_given_twice(ledger, engine):
    of_long_ago(ledger, engine, "r1", "r2")
    run = begun(ledger)

    assert ledger.prune(run, YEAR, most=None).rows == 1
    assert states(engine) == {"r2": "delivered"}


def test_what_was_pruned_goes_along_with_another_name(ledger, engine, reports):
    of_long_ago(ledger, engine, "r1")
    pruned(ledger)
    run = ledger.begin("opinions", an_identity(renamed_from=REVIEWS))

    ledger.stage(run, [a_row("r1")], [], a_mark(), begun=True)

    assert {*ledger.known("opinions", {"r1"})} == {"r1"}
    assert states(engine) == {"newest": "pending"}
    assert reports.counts("opinions")["delivered"] == 1


def test_nothing_is_looked_for_twice_a_day(ledger, engine):
    of_long_ago(ledger, engine, "r1")
    pruned(ledger)
    run, told = begun(ledger), []
    event.listen(engine, "before_cursor_execute", lambda *given: told.append(given[2]))

    assert ledger.prune(run, YEAR, most=1_000) == pruning.Pruned()

    assert len([each for each in told if not each.startswith(("PRAGMA", "BEGIN"))]) == 1


def test_runs_go_with_their_rows_except_those_that_are_asked_for(ledger, engine, monkeypatch):
    monkeypatch.setattr(pruning, "RUNS_THAT_STAY", 2)
    first = of_long_ago(ledger, engine, "r1")
    second = of_long_ago(ledger, engine, "r2")
    held = begun(ledger)
    ledger.finish(held, "held", Tally(), None)
    idle = begun(ledger)
    ended(ledger, idle)
    aged(engine)

    assert pruned(ledger) == pruning.Pruned(2, 1)

    left = {row.run_id for row in select(engine, "select run_id from runs")}
    assert first.run_id not in left
    # the newest that has delivered, that was held, that ended well
    assert {second.run_id, held.run_id, idle.run_id} <= left


def test_runs_stay_by_which_limits_know_what_is_usual(ledger, engine, reports, monkeypatch):
    monkeypatch.setattr(pruning, "RUNS_THAT_STAY", 2)
    for _ in range(12 * 7):  # one a day, for twelve weeks
        run = begun(ledger)
        judged = Judged(5, matched=0.5, comparable=True)
        ledger.finish(run, "succeeded", Tally(judged=judged), None)
        aged(engine, 1)
    before = {usual_rows(reports.rows_of_runs(REVIEWS), day, UTC) for day in a_week()}

    assert pruned(ledger, timedelta(days=30), rows=False) == pruning.Pruned(0, 2 * 7)

    after = {usual_rows(reports.rows_of_runs(REVIEWS), day, UTC) for day in a_week()}
    assert before == after == {(Usual(5, 10), day) for day in WEEKDAYS}
    assert len(reports.matches_of_runs(REVIEWS)) >= ENOUGH


def a_week():
    return [datetime.now(UTC) + timedelta(days=n) for n in range(7)]


def test_a_part_is_pruned_at_a_time_and_the_next_run_goes_on(ledger, engine, monkeypatch):
    monkeypatch.setattr(pruning, "WINDOW", 2)
    of_long_ago(ledger, engine, *(f"r{n}" for n in range(5)))

    assert pruned(ledger, most=3) == pruning.Pruned(4, 0, False)
    assert pruned(ledger, most=3) == pruning.Pruned(1, 0)
    assert [*states(engine)] == ["newest"]


def test_what_no_run_tells_of_is_found_by_a_look_at_all_rows(ledger, engine):
    of_long_ago(ledger, engine, "r1")
    execute(engine, "update runs set first_delivery = null, last_delivery = null")

    assert pruned(ledger).rows == 0
    assert pruned(ledger, most=None).rows == 1


STANDING_BESIDE = {
    "a change of a mirror": "insert into changes (delivery_id, aim, run_id, found_at)"
    " select id, 'remove', run_id, 1 from deliveries where row_key = 'r1'",
    "a mirror's own": "update deliveries set about = 'x' where row_key = 'r1'",
    "a turn that counts": "insert into turns (delivery_id, attempt, activation, contact, at, void)"
    " select id, 1, activation, 'c', 9000000000000, false from deliveries where row_key = 'r1'",
    "a request that is asked about": "insert into requests (id, activation, run_id, reference,"
    " \"rows\", digest, opened_at) select 1, activation, run_id, 'q', 1, 'd', 1"
    " from deliveries where row_key = 'r1'",
}


@pytest.mark.parametrize("beside", STANDING_BESIDE)
def test_what_is_still_needed_stays(ledger, engine, beside):
    of_long_ago(ledger, engine, "r1", "r2")
    execute(engine, STANDING_BESIDE[beside])
    if "request" in beside:
        execute(engine, "update attempts set request = 1 where delivery_id in"
                " (select id from deliveries where row_key = 'r1')")  # fmt: skip

    assert pruned(ledger, most=None).rows == 1

    assert {*states(engine)} == {"r1", "newest"}


def test_who_has_lost_the_activation_prunes_nothing_more(ledger, engine):
    of_long_ago(ledger, engine, "r1")
    late = staged(ledger, "newest")
    execute(engine, "update leases set expires_at = 1, holder = null")
    begun(ledger)

    with pytest.raises(LeaseLost):
        ledger.prune(late, YEAR)
    assert {*states(engine)} == {"r1", "newest"}


def test_a_row_is_never_in_neither_place(ledger, engine):
    """A transaction that ends in the middle has done nothing."""
    of_long_ago(ledger, engine, "r1")
    run = staged(ledger, "newest")

    def dies(*given):
        if given[2].startswith("DELETE FROM deliveries"):
            raise OSError(5, "it ends here")

    event.listen(engine, "before_cursor_execute", dies)
    with pytest.raises(LedgerUnavailable):
        ledger.prune(run, YEAR)

    assert select(engine, "select * from pruned_keys") == []
    assert {*states(engine)} == {"r1", "newest"}


def test_interactions_that_a_pruned_row_had_before_stay_its_own(ledger, engine):
    of_long_ago(ledger, engine, "r1")
    row = only(engine, "select id from deliveries").id
    with engine.begin() as c:
        remember_removed(c, [(row, "i-former")])

    pruned(ledger)

    assert ledger.owned(REVIEWS, {"i-former", "i-r1"}) == {"i-former", "i-r1"}
    assert select(engine, "select * from removed_interactions") == []


@pytest.mark.parametrize("held", ["the activation", "the schedules"])
def test_nothing_is_pruned_while_an_older_connector_is_at_work(ledger, engine, held):
    """It does not ask what was pruned, and would record the row once more."""
    of_long_ago(ledger, engine, "r1")
    old = '{"host": "elsewhere", "pid": 1, "born": "1"}'
    if held == "the activation":
        ledger.begin("others", an_identity())
        execute(engine, "update leases set holder = :old where activation = 'others'", old=old)
    else:
        ledger.serve("s", {})
        execute(engine, "update services set holder = :old", old=old)

    assert pruned(ledger) == pruning.Pruned(done=False)
    execute(engine, "update leases set expires_at = 1", "delete from services")
    assert pruned(ledger).rows == 1


def test_a_turn_that_is_over_goes_with_its_row(ledger, engine):
    of_long_ago(ledger, engine, "r1")
    execute(engine, STANDING_BESIDE["a turn that counts"].replace("9000000000000", "1"))

    assert pruned(ledger).rows == 1
    assert select(engine, "select * from turns") == []


def test_a_pruned_row_whose_interaction_is_deleted_is_counted_off_once(ledger, engine, reports):
    """It may go on being listed for a while after it was deleted."""
    of_long_ago(ledger, engine, "r1", "r2")
    pruned(ledger)

    def told():
        return reports.counts(REVIEWS)["delivered"]

    ledger.take_back_asking_pruned("i-r1", REVIEWS)
    ledger.ask_pruned("i-other", REVIEWS)
    assert told() == 2
    ledger.ask_pruned("i-r1", REVIEWS)
    assert told() == 1
    ledger.take_back_asking_pruned("i-r1", REVIEWS)
    assert told() == 2
    for _ in range(2):
        ledger.ask_pruned("i-r1", REVIEWS)
        ledger.forget_pruned("person: anna", "i-r1", REVIEWS)
    assert told() == 1
    assert ledger.owned(REVIEWS, {"i-r1"}) == {"i-r1"}
