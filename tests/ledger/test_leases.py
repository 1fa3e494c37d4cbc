"""One writer an activation: who gets it, who keeps it, and what becomes of rows left behind."""

import json
import re
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from connector.ledger.attempts import DIED
from connector.ledger.processes import new_run_id
from connector.ledger.records import Tally
from connector.ledger.store import Ledger
from connector.rules.delivery import Accepted, NotApplied, Refused, State, Unknown
from connector.rules.errors import ActivationBusy, ConfigurationError, LeaseLost
from tests.ledger.factories import (
    a_mark,
    a_row,
    an_identity,
    answered,
    attempts,
    begun,
    closing,
    delivered,
    doubted,
    due,
    execute,
    expire_lease,
    forget_holder,
    only,
    opening,
    refused,
    select,
    sent,
    staged,
    states,
    stored,
    waits,
)
from tests.ledger.processes import process, until

SHORT = timedelta(milliseconds=1)
on_postgresql = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


def lease(engine):
    return only(engine, "select * from leases")


def is_lost(result):
    return isinstance(result, LeaseLost)


# --- taking and letting go ----------------------------------------------------------------------


def test_a_run_has_its_activation_until_it_ends(ledger, engine):
    run = begun(ledger)

    assert lease(engine).run_id == run.run_id
    ledger.finish(run, "succeeded", Tally(), None)
    assert lease(engine).run_id is None
    assert lease(engine).holder is None


def test_a_second_run_is_told_who_holds_the_activation(ledger):
    run = begun(ledger)

    with pytest.raises(ActivationBusy) as busy:
        begun(ledger)
    assert f'activation "reviews" is held by run {run.run_id} (process' in str(busy.value)
    assert f"on {socket.gethostname()})" in str(busy.value)
    assert re.search(r"taken over if that run stays silent for (600|59\d) s", str(busy.value))


def test_a_refused_run_leaves_no_trace(ledger, engine):
    run = begun(ledger)
    with pytest.raises(ActivationBusy):
        begun(ledger)

    assert select(engine, "select run_id from runs") == [(run.run_id,)]
    ledger.heartbeat(run)


def test_activations_do_not_hold_each_other(ledger):
    assert begun(ledger, "one").activation == "one"
    assert begun(ledger, "two").activation == "two"


def test_every_run_has_a_higher_fence_than_the_one_before(ledger):
    first = begun(ledger)
    ledger.finish(first, "succeeded", Tally(), None)
    second = begun(ledger)

    assert second.fence == first.fence + 1
    assert second.run_id != first.run_id


def test_of_two_runs_that_begin_at_once_one_gets_the_activation(ledger):
    outcomes: list[Any] = []
    barrier = threading.Barrier(6)

    def begin():
        barrier.wait()
        try:
            outcomes.append(begun(ledger))
        except ActivationBusy as busy:
            outcomes.append(busy)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ActivationBusy"] * 5 + [
        "Run"
    ]


def test_runs_that_begin_in_one_second_have_ids_of_their_own_that_sort_by_time():
    ids = [new_run_id(1_700_000_000_000 + n) for n in range(300)]

    assert len(set(ids)) == 300
    assert max(ids) < new_run_id(1_700_000_001_000)


def test_a_heartbeat_prolongs_the_lease(ledger, engine):
    run = begun(ledger)
    expire_lease(engine)

    ledger.heartbeat(run)

    assert lease(engine).expires_at > 1
    with pytest.raises(ActivationBusy):
        begun(ledger)


# --- taking over --------------------------------------------------------------------------------


def test_a_silent_run_is_taken_over_when_its_lease_has_expired(ledger, engine):
    old = begun(ledger)
    expire_lease(engine)

    assert begun(ledger).fence == old.fence + 1


def test_a_holder_that_nobody_can_see_keeps_its_lease_until_it_expires(ledger, engine):
    begun(ledger)
    forget_holder(engine)

    with pytest.raises(ActivationBusy, match="another process"):
        begun(ledger)


def test_a_process_on_another_host_is_not_taken_for_dead(ledger, engine):
    begun(ledger)
    elsewhere = '{"host": "elsewhere", "pid": 999999, "born": "1"}'
    execute(engine, "update leases set holder = :holder", holder=elsewhere)

    with pytest.raises(ActivationBusy, match="process 999999 on elsewhere"):
        begun(ledger)


def test_a_process_that_got_the_number_of_a_dead_one_does_not_pass_for_it(ledger, engine):
    begun(ledger)
    holder = lease(engine).holder.replace('"born": "', '"born": "9')
    execute(engine, "update leases set holder = :holder", holder=holder)

    assert begun(ledger)


@pytest.mark.parametrize("without", [("boot",), ("space",), ("boot", "space")], ids=" and ".join)
def test_a_holder_that_does_not_say_where_its_number_counts_is_not_taken_for_dead(
    ledger, engine, without
):
    """As an earlier version wrote it."""
    begun(ledger)
    holder = json.loads(lease(engine).holder) | {"pid": 4_000_000}
    kept = {name: value for name, value in holder.items() if name not in without}
    execute(engine, "update leases set holder = :holder", holder=json.dumps(kept))

    with pytest.raises(ActivationBusy, match="process 4000000"):
        begun(ledger)


@pytest.mark.parametrize("name", ["boot", "space"])
def test_a_number_of_another_boot_or_namespace_says_nothing_here(ledger, engine, name):
    """Two containers may have one host name."""
    begun(ledger)
    holder = json.loads(lease(engine).holder) | {"pid": 4_000_000, name: "another"}
    execute(engine, "update leases set holder = :holder", holder=json.dumps(holder))

    with pytest.raises(ActivationBusy, match="process 4000000"):
        begun(ledger)


def test_what_a_later_version_says_of_a_holder_is_passed_over(ledger, engine):
    begun(ledger)
    holder = json.loads(lease(engine).holder) | {"pid": 4_000_000, "colour": "green"}
    execute(engine, "update leases set holder = :holder", holder=json.dumps(holder))

    assert begun(ledger)


IN_A_SPACE_OF_ITS_OWN = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def in_a_space_of_its_own() -> bool:
    try:
        return subprocess.run([*IN_A_SPACE_OF_ITS_OWN, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not in_a_space_of_its_own(), reason="PID namespaces cannot be made here")
def test_a_living_process_in_another_pid_namespace_keeps_its_lease(ledger_url, ledger):
    """There it has a number that here nobody has, or somebody else."""
    with process("hold", ledger_url, inside=IN_A_SPACE_OF_ITS_OWN) as other:
        other.said()

        with pytest.raises(ActivationBusy):
            begun(ledger)


def test_a_killed_process_is_taken_over_at_once(ledger_url, ledger, engine):
    with process("hold", ledger_url) as other:
        old = other.said()
        with pytest.raises(ActivationBusy, match=f"process {other.pid}"):
            begun(ledger)
        other.kill()

        run = begun(ledger)

    assert states(engine) == {"sending": "in_doubt", "pending": "pending", "waiting": "waiting"}
    assert stored(engine, "sending").reason == DIED
    assert attempts(engine, "sending")[0].run_id == old
    assert due(ledger).keys() == {"pending"}
    assert select(engine, "select run_id, status from runs order by started_at, status desc") == [
        (old, "stopped"),
        (run.run_id, "running"),
    ]


def test_a_killed_process_that_nobody_waited_for_is_taken_over_at_once(ledger_url, ledger):
    with process("hold", ledger_url) as other:
        other.said()
        other.kill_unnoticed()

        assert begun(ledger)


# --- what a dead run leaves behind ----------------------------------------------------------------


def test_rows_that_were_being_sent_become_in_doubt_when_the_next_run_begins(ledger, engine):
    run = staged(ledger, "r1", "r2", "r3")
    delivered(ledger, run, "r1")
    sent(ledger, run, "r2")
    expire_lease(engine)

    begun(ledger)

    assert states(engine) == {"r1": "delivered", "r2": "in_doubt", "r3": "pending"}
    assert [(a.outcome, a.reason) for a in attempts(engine, "r2")] == [("unknown", DIED)]
    assert attempts(engine, "r2")[0].closed_at >= attempts(engine, "r2")[0].opened_at
    assert [a.outcome for a in attempts(engine, "r1")] == ["accepted"]


def test_only_the_attempt_that_was_open_is_closed_as_unknown(ledger, engine):
    run = staged(ledger, "r1")
    answered(ledger, run, "r1", NotApplied("busy", 429))
    sent(ledger, run, "r1")
    expire_lease(engine)

    begun(ledger)

    assert [(a.outcome, a.reason) for a in attempts(engine)] == [
        ("not_applied", "busy"),
        ("unknown", DIED),
    ]


def test_rows_in_doubt_are_never_due_again_by_themselves(ledger, engine):
    run = staged(ledger, "r1")
    sent(ledger, run, "r1")
    for _ in range(3):
        expire_lease(engine)
        begun(ledger)

    assert due(ledger) == {}
    assert due(ledger, State.WAITING) == {}
    assert ledger.next_due("reviews") is None
    assert len(attempts(engine)) == 1


def test_a_run_that_begins_leaves_other_activations_alone(ledger, engine):
    run = staged(ledger, "r1")
    sent(ledger, run, "r1")

    begun(ledger, "another")

    assert states(engine) == {"r1": "sending"}


def test_a_run_that_died_is_marked_as_stopped(ledger, engine, reports):
    old = begun(ledger)
    expire_lease(engine)
    begun(ledger)

    assert reports.run(old.run_id)["status"] == "stopped"
    assert reports.run(old.run_id)["error"] == "the process ended before the run did"


# --- a run that lost its lease --------------------------------------------------------------------


@pytest.fixture
def replaced(ledger, engine):
    """A run with r1 and r2 on the wire and r3 pending, replaced by another while it was silent."""
    run = staged(ledger, "r1", "r2", "r3")
    openings = sent(ledger, run, "r1", "r2")
    expire_lease(engine)
    begun(ledger)
    return run, openings


def test_a_run_that_was_replaced_learns_it_from_its_heartbeat(ledger, replaced):
    run, _ = replaced

    with pytest.raises(LeaseLost, match=f'run {run.run_id} of "reviews" was silent for longer'):
        ledger.heartbeat(run)


def test_a_run_that_was_replaced_can_stage_nothing(ledger, engine, replaced):
    run, _ = replaced

    with pytest.raises(LeaseLost):
        ledger.stage(run, [a_row("r9")], [], a_mark(9), begun=True)
    assert "r9" not in states(engine)
    assert ledger.watermark("reviews")[0].value == 1


def test_a_run_that_was_replaced_can_begin_no_attempt(ledger, engine, replaced):
    run, _ = replaced
    row = due(ledger)["r3"]

    (result,) = ledger.record(run, [opening(row)])

    assert is_lost(result)
    assert states(engine, ["r3"]) == {"r3": "pending"}
    assert attempts(engine, "r3") == []


@pytest.mark.parametrize("set_aside", [waits, refused])
def test_a_run_that_was_replaced_can_set_nothing_aside(ledger, engine, replaced, set_aside):
    run, _ = replaced

    (result,) = ledger.record(run, [set_aside(due(ledger)["r3"])])

    assert is_lost(result)
    assert states(engine, ["r3"]) == {"r3": "pending"}


def test_answers_to_a_run_that_was_replaced_are_recorded_all_the_same(ledger, engine, replaced):
    run, openings = replaced
    entries = [
        opening(due(ledger)["r3"]),
        closing(openings["r1"], Accepted("i-1", 201)),
        closing(openings["r2"], NotApplied("busy", 429)),
    ]

    lost, first, second = ledger.record(run, entries)

    assert is_lost(lost)
    assert (first, second) == (True, True)
    assert states(engine) == {"r1": "delivered", "r2": "pending", "r3": "pending"}


def test_a_run_that_was_replaced_does_not_let_go_of_the_new_ones_lease(ledger, engine, replaced):
    run, _ = replaced
    ledger.finish(run, "stopped", Tally(delivered=1), LeaseLost("replaced"))

    assert lease(engine).run_id is not None
    with pytest.raises(ActivationBusy):
        begun(ledger)


def test_a_late_acceptance_settles_the_doubt(ledger, engine, replaced):
    run, openings = replaced

    assert ledger.record(run, [closing(openings["r1"], Accepted("i-1", 201))]) == [True]
    assert stored(engine).state == "delivered"
    assert stored(engine).interaction_id == "i-1"
    assert stored(engine).payload is None
    assert [(a.outcome, a.http_status, a.reason) for a in attempts(engine)] == [
        ("accepted", 201, None)
    ]


def test_a_late_refusal_settles_the_doubt(ledger, engine, replaced):
    run, openings = replaced

    assert ledger.record(run, [closing(openings["r1"], Refused("no", 400))]) == [True]
    assert states(engine, ["r1"]) == {"r1": "rejected"}


def test_a_late_answer_that_means_nothing_leaves_the_doubt(ledger, engine, replaced):
    run, openings = replaced

    assert ledger.record(run, [closing(openings["r1"], Unknown("time-out"))]) == [False]
    assert states(engine, ["r1"]) == {"r1": "in_doubt"}


@on_postgresql
def test_a_run_that_is_replaced_while_it_records_an_answer_keeps_the_answer(ledger, engine):
    """The two need the same rows; neither may wait for the other for ever."""
    run = staged(ledger, "r1", "r2", "r3")
    openings = sent(ledger, run, "r1", "r2")
    expire_lease(engine)
    entries = [
        closing(openings["r1"], Accepted("i-1", 201)),
        closing(openings["r2"], Accepted("i-2", 201)),
        opening(due(ledger)["r3"]),
    ]
    row_of_r2 = "select * from deliveries where row_key = 'r2' for update"

    results, replaced = crossed(
        engine, row_of_r2, lambda: ledger.record(run, entries), lambda: taken_over(ledger)
    )

    assert results == [True, True, True]
    assert replaced is False
    assert states(engine) == {"r1": "delivered", "r2": "delivered", "r3": "sending"}


@on_postgresql
def test_a_run_that_is_replaced_while_it_finishes_does_finish(ledger, engine):
    run = staged(ledger, "r1")
    sent(ledger, run, "r1")
    expire_lease(engine)

    _, replaced = crossed(
        engine,
        "select * from runs for update",
        lambda: ledger.finish(run, "attention", Tally(), None),
        lambda: taken_over(ledger),
    )

    assert replaced is True
    assert select(engine, "select status from runs order by status") == [
        ("attention",),
        ("running",),
    ]


def crossed(engine, blocking, first, second):
    """What `first` and `second` give when they meet half-way: `first` has begun and waits for the
    rows that `blocking` holds, then `second` begins."""
    with ThreadPoolExecutor(2) as threads, engine.connect() as blocker:
        blocker.exec_driver_sql(blocking)
        one = threads.submit(first)
        until(lambda: number_waiting(engine) == 1)
        two = threads.submit(second)
        until(lambda: number_waiting(engine) == 2)
        blocker.rollback()
        return one.result(), two.result()


def number_waiting(engine):
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    return only(engine, f"{query} and datname = current_database()")[0]


# --- what an activation is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"destination": "other"}, "destination was engage when its rows were recorded and is now"),
        ({"schema_id": "other"}, "schema_id was review"),
        ({"row_key": ("id", "line")}, r'row_key was \["id"\] .* is now \["id", "line"\]'),
    ],
)
def test_an_activation_that_became_another_is_refused(ledger, engine, change, words):
    run = begun(ledger)
    ledger.finish(run, "succeeded", Tally(), None)

    with pytest.raises(ConfigurationError, match=words) as refused:
        ledger.begin("reviews", an_identity(**change))
    assert refused.value.problems[0].path == ("activations", "reviews", next(iter(change)))
    assert select(engine, "select count(*) from runs") == [(1,)]


def test_a_short_lease_is_as_long_as_it_says(engine):
    ledger = Ledger(engine, SHORT)
    run = begun(ledger)
    until(lambda: only(engine, "select expires_at from leases")[0] > 0 and taken_over(ledger))

    with pytest.raises(LeaseLost):
        ledger.heartbeat(run)


def taken_over(ledger):
    try:
        return bool(begun(ledger))
    except ActivationBusy:
        return False


def test_a_doubt_of_an_earlier_run_is_not_touched_by_the_next(ledger, engine):
    run = staged(ledger, "r1")
    doubted(ledger, run, "r1")
    ledger.finish(run, "attention", Tally(in_doubt=1), None)
    begun(ledger)

    assert [(a.outcome, a.reason) for a in attempts(engine)] == [("unknown", "no answer")]
    assert stored(engine).run_id == run.run_id
