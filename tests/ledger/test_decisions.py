"""What persons decide: all of it or nothing, only of rows as they were seen, and on record."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from connector.ledger.decisions import Discarded, Person, Retried, SaidAbsent, SaidDelivered
from connector.ledger.records import Tally
from connector.rules.delivery import Accepted, State
from connector.rules.errors import ActivationBusy, ConfigurationError, LeaseLost, StaleMove
from connector.rules.interaction import Interaction, Invalid
from tests.ledger.factories import (
    CONTACT,
    REVIEWS,
    a_row,
    an_identity,
    an_invalid_row,
    attempts,
    begun,
    closing,
    delivered,
    doubted,
    due,
    execute,
    expire_lease,
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
from tests.ledger.processes import process

ANNA = Person("anna", "asked the shop")
CORRECTED = Interaction(CONTACT, "2026-01-01T00:00:00.000Z", b'{"text": "corrected"}')


def a_quarantine(ledger, *rows):
    """`rows` are recorded (keys alone can be sent), rejected where they can be, and left alone."""
    run = staged(ledger, *rows)
    ledger.record(run, [refused(row) for row in due(ledger).values()])
    ledger.finish(run, "attention", Tally(), None)


def a_doubt(ledger, *keys):
    """A row in doubt under each of `keys`; nobody holds the activation."""
    run = staged(ledger, *keys)
    opened = {key: doubted(ledger, run, key) for key in keys}
    ledger.finish(run, "attention", Tally(), None)
    return run, opened


def case(ledger, key="r1"):
    return ledger.cases(REVIEWS, [key])[key]


def decisions(engine, key="r1"):
    """What persons and read-backs decided about the row; what runs did stands beside it."""
    query = "select s.* from decisions s join deliveries d on d.id = s.delivery_id"
    rows = select(engine, f"{query} where d.row_key = :key order by s.id", key=key)
    return [row for row in rows if not row.by.startswith("run ")]


def decided(ledger, *entries, person=ANNA):
    """Carry out `entries` under a lease of their own."""
    lease = ledger.take_lease(REVIEWS)
    try:
        ledger.decide(lease, person, entries)
    finally:
        ledger.let_go(lease)


# --- holding the activation ---------------------------------------------------------------------


def test_a_lease_keeps_runs_and_other_leases_away_until_it_is_let_go(ledger):
    lease = ledger.take_lease(REVIEWS)

    for take in (begun, lambda ledger: ledger.take_lease(REVIEWS)):
        with pytest.raises(ActivationBusy, match="held by a command given by hand"):
            take(ledger)
    ledger.let_go(lease)
    begun(ledger)


def test_a_run_keeps_leases_away(ledger):
    run = begun(ledger)

    with pytest.raises(ActivationBusy, match=f"held by run {run.run_id}"):
        ledger.take_lease(REVIEWS)


def test_a_lease_is_no_run(ledger, engine, reports):
    ledger.let_go(ledger.take_lease(REVIEWS))

    assert reports.runs() == []
    assert only(engine, "select run_id, holder, expires_at from leases") == (None, None, 0)


def test_a_lease_lives_by_its_heartbeat(ledger, engine):
    lease = ledger.take_lease(REVIEWS)
    expire_lease(engine)

    ledger.heartbeat(lease)

    with pytest.raises(ActivationBusy):
        begun(ledger)


def test_a_lease_that_was_replaced_decides_nothing(ledger, engine):
    a_quarantine(ledger, "r1")
    lease, seen = ledger.take_lease(REVIEWS), case(ledger)
    expire_lease(engine)
    begun(ledger)

    with pytest.raises(LeaseLost, match="by hand"):
        ledger.decide(lease, ANNA, [Discarded(seen, "enough")])
    ledger.let_go(lease)
    assert states(engine) == {"r1": "rejected"}
    assert decisions(engine) == []
    with pytest.raises(ActivationBusy):  # it let go of nothing that is not its own
        ledger.take_lease(REVIEWS)


def test_of_persons_who_ask_at_once_one_gets_the_activation(ledger):
    outcomes, barrier = [], threading.Barrier(4)

    def lease():
        barrier.wait()
        try:
            outcomes.append(ledger.take_lease(REVIEWS))
        except ActivationBusy as busy:
            outcomes.append(busy)

    threads = [threading.Thread(target=lease) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(type(o).__name__ for o in outcomes) == ["ActivationBusy"] * 3 + ["Run"]


def test_a_lease_finds_the_doubts_of_a_run_that_was_killed(ledger, ledger_url, engine):
    with process("hold", ledger_url) as other:
        run_id = other.said()
        other.kill()

        ledger.take_lease(REVIEWS)

    assert states(engine) == {"sending": "in_doubt", "pending": "pending", "waiting": "waiting"}
    run = only(engine, "select status from runs where run_id = :run_id", run_id=run_id)
    assert run.status == "stopped"


def test_an_activation_that_became_another_is_not_taken(ledger):
    ledger.finish(begun(ledger), "succeeded", Tally(), None)

    with pytest.raises(ConfigurationError, match="row_key was"):
        ledger.take_lease(REVIEWS, an_identity(row_key=("other",)))
    begun(ledger)  # and nothing is held


def test_a_lease_does_not_settle_what_an_activation_is(ledger, engine):
    ledger.let_go(ledger.take_lease(REVIEWS, an_identity(row_key=("a first thought",))))

    assert select(engine, "select * from watermarks") == []


# --- retry --------------------------------------------------------------------------------------


def test_a_retried_row_is_pending_as_the_model_has_it_today(ledger, engine):
    a_quarantine(ledger, "r1")

    decided(ledger, Retried(case(ledger), CORRECTED))

    row = stored(engine)
    assert (row.state, row.payload, row.contact) == ("pending", '{"text": "corrected"}', CONTACT)
    assert (row.created_date, row.digest) == (CORRECTED.created, CORRECTED.digest)
    assert (row.reason, row.due_at, row.contact_id, row.waiting_since) == (None,) * 4
    assert list(due(ledger)) == ["r1"]


def test_an_invalid_row_can_be_retried_too_and_is_sent_like_any_other(ledger, engine):
    a_quarantine(ledger, an_invalid_row("r1"))

    decided(ledger, Retried(case(ledger), a_row().content))

    row = stored(engine)
    created = datetime.fromisoformat(row.created_date)
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    delivered(ledger, begun(ledger), "r1")
    assert states(engine) == {"r1": "delivered"}


def test_the_time_of_staging_stays_what_it_was(ledger, engine):
    """A request that was sent with it could otherwise not be recognised any more."""
    a_quarantine(ledger, "r1")
    before = stored(engine).created_date
    time.sleep(0.002)  # it has milliseconds

    decided(ledger, Retried(case(ledger), a_row().content))

    assert stored(engine).created_date == before


def test_a_rejected_row_may_turn_out_to_be_invalid(ledger, engine):
    a_quarantine(ledger, "r1")

    decided(ledger, Retried(case(ledger), Invalid("rating: missing")))

    row = stored(engine)
    assert (row.state, row.reason) == ("invalid", "rating: missing")
    assert (row.payload, row.contact, row.created_date, row.digest) == (None,) * 4


@pytest.mark.parametrize(("reason", "since_then"), [("rating: missing", True), ("other", False)])
def test_a_row_that_stays_invalid_has_todays_reason(ledger, engine, reason, since_then):
    a_quarantine(ledger, an_invalid_row("r1", "rating: missing"))
    execute(engine, "update deliveries set changed_at = 1")

    decided(ledger, Retried(case(ledger), Invalid(reason)))

    row = stored(engine)
    assert (row.state, row.reason, row.changed_at == 1) == ("invalid", reason, since_then)
    assert [d.decision for d in decisions(engine)] == ["retried"]


def test_many_rows_are_retried_together(ledger, engine):
    rows = [an_invalid_row(f"bad{n}") for n in range(700)]
    a_quarantine(ledger, *rows, *(f"r{n}" for n in range(700)))
    seen = ledger.cases_in(REVIEWS, (State.INVALID, State.REJECTED))

    decided(ledger, *(Retried(each, CORRECTED) for each in seen))

    assert len(seen) == 1400
    assert set(states(engine).values()) == {"pending"}
    assert only(engine, "select count(distinct delivery_id) from decisions") == (1400,)


# --- settle -------------------------------------------------------------------------------------


@pytest.mark.parametrize("interaction_id", ["i-7", None])
def test_a_doubt_that_a_person_says_was_delivered_keeps_no_body(ledger, engine, interaction_id):
    run, _ = a_doubt(ledger, "r1")

    decided(ledger, SaidDelivered(case(ledger), interaction_id))

    row = stored(engine)
    assert (row.state, row.interaction_id) == ("delivered", interaction_id)
    assert (row.payload, row.contact, row.contact_id, row.reason) == (None,) * 4
    assert row.run_id == run.run_id  # the run that sent it


@pytest.mark.parametrize("spelling", ["ab-1", "AB-1"])
def test_an_interaction_belongs_to_one_row(ledger, engine, spelling):
    run = staged(ledger, "r1", "r2")
    delivered(ledger, run, "r1", "ab-1")
    doubted(ledger, run, "r2")
    ledger.finish(run, "attention", Tally(), None)

    with pytest.raises(ConfigurationError, match="belongs to another row already"):
        decided(ledger, SaidDelivered(case(ledger, "r2"), spelling))
    assert states(engine, ["r2"]) == {"r2": "in_doubt"}
    assert decisions(engine, "r2") == []


def test_another_destination_may_give_the_same_id(ledger, engine):
    other = ledger.begin("elsewhere", an_identity(destination="another"))
    ledger.stage(other, [a_row("x")], [], ledger.watermark("elsewhere")[0], begun=True)
    (row,) = ledger.due("elsewhere", State.PENDING, after=0, limit=1)
    ledger.record(other, [opened := opening(row)])
    ledger.record(other, [closing(opened, Accepted("i-1", 201))])
    a_doubt(ledger, "r1")

    decided(ledger, SaidDelivered(case(ledger), "i-1"))

    assert states(engine, ["r1"]) == {"r1": "delivered"}


def test_a_row_that_never_arrived_rests_until_its_request_cannot_arrive(ledger, engine):
    a_doubt(ledger, "r1")
    seen = case(ledger)

    decided(ledger, SaidAbsent(seen, seen.opened_at + timedelta(hours=1)))

    row, (attempt,) = stored(engine), attempts(engine)
    assert (row.state, row.reason, row.attempt) == ("pending", None, 1)
    assert row.due_at == attempt.opened_at + 3_600_000
    assert due(ledger) == {}
    assert timedelta(minutes=59) < ledger.next_due(REVIEWS) <= timedelta(hours=1)


def test_a_row_whose_request_is_long_past_is_due_at_once(ledger, engine):
    a_doubt(ledger, "r1")

    decided(ledger, SaidAbsent(case(ledger), None))

    assert list(due(ledger)) == ["r1"]
    assert stored(engine).due_at is None


def test_an_answer_that_comes_after_all_counts_more_than_what_was_said(ledger, engine):
    run, opened = a_doubt(ledger, "r1")
    decided(ledger, SaidAbsent(case(ledger), None))

    assert ledger.record(run, [closing(opened["r1"], Accepted("i-1", 201))]) == [True]

    row = stored(engine)
    assert (row.state, row.interaction_id, row.payload) == ("delivered", "i-1", None)
    assert due(ledger) == {}


# --- discard ------------------------------------------------------------------------------------


def test_a_discarded_row_is_never_due_and_keeps_no_body(ledger, engine):
    run = staged(ledger, "pending", "waiting", "rejected", "doubt", an_invalid_row("invalid"))
    ledger.record(run, [waits(due(ledger)["waiting"]), refused(due(ledger)["rejected"])])
    doubted(ledger, run, "doubt")
    ledger.finish(run, "attention", Tally(), None)
    seen = ledger.cases(REVIEWS, list(states(engine)))

    decided(ledger, *(Discarded(each, f"no more {key}") for key, each in seen.items()))

    assert set(states(engine).values()) == {"discarded"}
    for key in seen:
        row = stored(engine, key)
        assert row.reason == f"no more {key}"
        assert (row.payload, row.contact, row.contact_id, row.due_at, row.waiting_since) == (
            None,
        ) * 5
        assert [d.was for d in decisions(engine, key)] == [seen[key].state]
    assert due(ledger) == due(ledger, State.WAITING) == {}


def test_a_late_answer_does_not_bring_a_discarded_row_back_and_is_on_record(ledger, engine):
    run, opened = a_doubt(ledger, "r1")
    decided(ledger, Discarded(case(ledger), "enough"))

    assert ledger.record(run, [closing(opened["r1"], Accepted("i-1", 201))]) == [False]

    assert states(engine) == {"r1": "discarded"}
    assert [a.outcome for a in attempts(engine)] == ["accepted"]


# --- as seen, and on record ---------------------------------------------------------------------


def test_a_decision_is_on_record_with_who_when_and_why(ledger, engine, reports):
    a_quarantine(ledger, "r1")
    before = time.time() * 1000

    decided(ledger, Discarded(case(ledger), "enough"))

    (row,) = decisions(engine)
    assert (row.by, row.decision, row.was, row.state) == (
        "person: anna", "discarded", "rejected", "discarded",
    )  # fmt: skip
    assert (row.reason, row.note) == ("several contacts have this email", "asked the shop")
    assert before - 5 <= row.at <= time.time() * 1000 + 5
    (told,) = reports.delivery(REVIEWS, "r1")["decisions"]
    assert abs(datetime.fromisoformat(told.pop("at")).timestamp() * 1000 - row.at) < 1
    assert told == {name: getattr(row, name) for name in told}


def test_decisions_are_told_in_their_order(ledger, reports):
    a_quarantine(ledger, "r1")
    decided(ledger, Retried(case(ledger), CORRECTED), person=Person("anna"))
    run = begun(ledger)
    doubted(ledger, run, "r1")
    ledger.finish(run, "attention", Tally(), None)
    decided(ledger, SaidAbsent(case(ledger), None), person=Person("bo"))
    decided(ledger, Discarded(case(ledger), "enough"), person=Person("cleo"))

    told = reports.delivery(REVIEWS, "r1")["decisions"]

    assert [(d["by"], d["was"], d["decision"], d["state"]) for d in told] == [
        ("person: anna", "rejected", "retried", "pending"),
        ("person: bo", "in_doubt", "not_delivered", "pending"),
        ("person: cleo", "pending", "discarded", "discarded"),
    ]


@pytest.mark.parametrize(
    "again",
    [
        lambda seen: SaidDelivered(seen, "i-9"),
        lambda seen: SaidAbsent(seen, None),
        lambda seen: Discarded(seen, "enough"),
    ],
)
def test_of_two_who_saw_the_same_doubt_one_decides(ledger, engine, again):
    a_doubt(ledger, "r1")
    seen = case(ledger)
    decided(ledger, SaidAbsent(seen, None), person=Person("first"))

    with pytest.raises(StaleMove, match="nothing was changed"):
        decided(ledger, again(seen), person=Person("second"))
    assert states(engine) == {"r1": "pending"}
    assert [d.by for d in decisions(engine)] == ["person: first"]


def test_a_doubt_about_another_attempt_than_the_one_seen_is_left_alone(ledger, engine):
    a_doubt(ledger, "r1")
    seen = case(ledger)
    decided(ledger, SaidAbsent(seen, None))
    run = begun(ledger)
    doubted(ledger, run, "r1")
    ledger.finish(run, "attention", Tally(), None)

    with pytest.raises(StaleMove):
        decided(ledger, SaidAbsent(seen, None))
    assert states(engine) == {"r1": "in_doubt"}


def test_an_answer_that_comes_before_the_decision_wins(ledger, engine):
    run, opened = a_doubt(ledger, "r1")
    lease, seen = ledger.take_lease(REVIEWS), case(ledger)
    ledger.record(run, [closing(opened["r1"], Accepted("i-1", 201))])

    with pytest.raises(StaleMove):
        ledger.decide(lease, ANNA, [SaidAbsent(seen, None)])
    assert states(engine) == {"r1": "delivered"}


def test_one_row_that_moved_keeps_all_others_where_they_were(ledger, engine):
    a_quarantine(ledger, "r1", "r2", an_invalid_row("r3"))
    seen = ledger.cases(REVIEWS, ["r1", "r2", "r3"])
    decided(ledger, Discarded(seen["r2"], "enough"))

    with pytest.raises(StaleMove, match="1 of 3 rows"):
        decided(ledger, *(Retried(each, CORRECTED) for each in seen.values()))
    assert states(engine) == {"r1": "rejected", "r2": "discarded", "r3": "invalid"}
    assert decisions(engine, "r1") == decisions(engine, "r3") == []


# --- which rows ---------------------------------------------------------------------------------


def test_cases_are_found_by_state_and_by_a_part_of_the_reason(ledger):
    a_quarantine(
        ledger, "r1", an_invalid_row("r2", "rating: 9% too much"), an_invalid_row("r3", "Rating: 0")
    )

    def keys(*states, reason=None):
        return [each.row_key for each in ledger.cases_in(REVIEWS, states, reason)]

    assert keys(State.INVALID, State.REJECTED) == ["r1", "r2", "r3"]
    assert keys(State.INVALID) == ["r2", "r3"]
    assert keys(State.INVALID, State.REJECTED, reason="rating") == ["r2", "r3"]
    assert keys(State.INVALID, reason="9%") == ["r2"]
    assert keys(State.IN_DOUBT) == []
    assert ledger.cases_in("another", (State.INVALID,)) == []


def test_the_quarantine_is_counted_by_reason_and_narrowed_down(ledger, reports):
    a_quarantine(ledger, "r1", *(an_invalid_row(f"bad{n}", "rating: missing") for n in range(3)))

    groups = reports.quarantine_groups(REVIEWS)

    assert groups == [
        {
            "activation": REVIEWS,
            "state": "invalid",
            "reason": "rating: missing",
            "count": 3,
            "example_key": "bad0",
        },
        {
            "activation": REVIEWS,
            "state": "rejected",
            "reason": "several contacts have this email",
            "count": 1,
            "example_key": "r1",
        },
    ]
    assert reports.quarantine_groups(REVIEWS, State.REJECTED) == groups[1:]
    assert reports.quarantine_groups(reason="RATING") == groups[:1]
    assert reports.quarantine_groups("another") == []
    rows = reports.quarantine(REVIEWS, state=State.INVALID, reason="miss", limit=2)
    assert [row["row_key"] for row in rows] == ["bad0", "bad1"]


def test_a_case_tells_when_its_last_attempt_began(ledger, engine):
    a_doubt(ledger, "r1")
    decided(ledger, SaidAbsent(case(ledger), None))
    run = begun(ledger)
    sent(ledger, run, "r1")
    execute(engine, "update attempts set opened_at = 1000 * number")

    assert case(ledger).opened_at == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert case(ledger).attempt == 2
