"""What the ledger holds of a person, and that nothing of it is left, on both databases."""

import pytest
from sqlalchemy import event

from connector.ledger.moving import FORGOTTEN
from connector.ledger.records import Closing, Opening, Staged, Tally
from connector.rules.delivery import NotApplied, State
from connector.rules.errors import StaleMove
from connector.rules.interaction import Interaction
from tests.ledger.factories import (
    REVIEWS,
    a_mark,
    an_identity,
    attempts,
    begun,
    delivered,
    due,
    execute,
    refused,
    select,
    states,
    stored,
    waits,
)

BY = "person: anna"
GUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
OTHER = "5bce7bd9-63a8-4f6c-8ee5-1dbdb4b7f7a2"


def of(contact, key, text="a rather private opinion"):
    return Staged(key, Interaction(contact, None, f'{{"text": "{text}"}}'.encode()))


def recorded(ledger, *rows, activation=REVIEWS):
    """Rows that a run has recorded, and that it still holds."""
    run = ledger.begin(activation, an_identity())
    ledger.stage(run, list(rows), [], a_mark(), begun=True)
    return run


def ended(ledger, run):
    ledger.finish(run, "succeeded", Tally(), None)


def held(ledger, *names, activations=(REVIEWS,)):
    return [row.row_key for row in ledger.held_of(names, activations)]


def forgotten(ledger, *names):
    lease = ledger.take_lease(REVIEWS)
    ledger.forget(lease, BY, ledger.held_of(names, [REVIEWS]))
    ledger.let_go(lease)


def everything(engine):
    """All texts in all tables of the ledger."""
    tables = ("deliveries", "attempts", "decisions", "runs", "watermarks", "leases")
    return "\n".join(
        str(row) for table in tables for row in select(engine, f"select * from {table}")
    )


@pytest.mark.parametrize(
    ("stands", "given"),
    [
        ("Anna@Example.com", "anna@example.COM"),
        ("anna@example.com", "anna@example.com"),
        (GUID, GUID.upper()),
        ("{" + GUID + "}", GUID),
        (GUID.replace("-", ""), GUID),
        (GUID, GUID.replace("-", "").upper()),
        ("+46701234567", "+46701234567"),
    ],
)
def test_a_person_is_found_by_what_stands_in_the_rows(ledger, stands, given):
    recorded(ledger, of(stands, "r1"), of("bert@example.com", "r2"), of(OTHER, "r3"))

    assert held(ledger, given) == ["r1"]


@pytest.mark.parametrize("given", ["anna", "ABC-1", "%", "anna@example.co", "nna@example.com"])
def test_a_part_of_it_or_other_capitals_of_a_key_are_somebody_else(ledger, given):
    recorded(ledger, of("anna@example.com", "r1"), of("abc-1", "r2"))

    assert held(ledger, given) == []


def test_other_names_that_stand_beside_it_are_the_same_person(ledger):
    run = recorded(
        ledger,
        of("anna@example.com", "looked-up"),
        of("anna@example.com", "not-yet"),
        of("bert@example.com", "bert"),
    )
    row = due(ledger)["looked-up"]
    ledger.record(run, [Opening(row, GUID)])
    ledger.record(run, [Closing(row.id, 1, NotApplied("busy"))])
    recorded(ledger, of(GUID, "elsewhere"), activation="others")

    both = (REVIEWS, "others")
    assert held(ledger, "anna@example.com", activations=both) == [
        "looked-up",
        "not-yet",
        "elsewhere",
    ]
    assert held(ledger, GUID, activations=both) == ["looked-up", "not-yet", "elsewhere"]
    assert held(ledger, GUID) == ["looked-up", "not-yet"]
    assert held(ledger, "bert@example.com", activations=both) == ["bert"]


def test_rows_in_every_state_lose_what_they_hold_and_keep_their_key(ledger, engine):
    run = recorded(ledger, *(of("anna@example.com", key) for key in "pwrd"), of("b@b.se", "other"))
    rows = due(ledger)
    ledger.record(run, [waits(rows["w"]), refused(rows["r"]), Opening(rows["d"], GUID)])
    execute(
        engine,
        "update deliveries set state = 'in_doubt', reason = 'Anna not found' where row_key = 'd'",
        "update attempts set closed_at = 1, outcome = 'unknown', reason = 'Anna not found'",
    )
    ended(ledger, run)

    forgotten(ledger, "anna@example.com")

    assert states(engine) == dict.fromkeys("pwrd", "discarded") | {"other": "pending"}
    said = everything(engine).lower()
    assert "anna@" not in said
    assert "anna not found" not in said
    assert GUID not in said
    assert said.count("private opinion") == 1  # the other person's
    assert {stored(engine, key).reason for key in "pwrd"} == {FORGOTTEN}
    assert attempts(engine, "d")[0].outcome == "unknown"
    query = 'select "by", decision, was, state from decisions where "by" = :by order by was'
    decisions = select(engine, query, by=BY)
    assert decisions == [
        (BY, "forgotten", was, "discarded")
        for was in ("in_doubt", "pending", "rejected", "waiting")
    ]


def test_forgotten_rows_are_not_recorded_again_and_not_found_again(ledger):
    run = recorded(ledger, of("anna@example.com", "r1"))
    ended(ledger, run)
    forgotten(ledger, "anna@example.com")
    run = begun(ledger)

    ledger.stage(run, [of("anna@example.com", "r1", "edited")], [], a_mark(), begun=True)

    assert due(ledger) == {}
    assert held(ledger, "anna@example.com") == []


def test_a_delivered_row_is_found_by_its_interaction_and_loses_its_digest(ledger, engine, reports):
    run = recorded(ledger, of("anna@example.com", "r1"), of("anna@example.com", "r2"))
    delivered(ledger, run, "r1", GUID)
    ended(ledger, run)

    owned = reports.owned_rows({GUID, OTHER}, [REVIEWS])
    lease = ledger.take_lease(REVIEWS)
    ledger.forget(lease, BY, [owned[GUID]])

    assert list(owned) == [GUID]
    row = stored(engine)
    assert (row.state, row.reason) == ("undone", FORGOTTEN)
    assert (row.digest, row.interaction_id) == (None, None)
    assert ledger.releasable(run.run_id) == []
    assert ledger.standing(run.run_id).forgotten == 1


def test_interactions_of_other_activations_are_not_owned_here(ledger, reports):
    run = recorded(ledger, of("anna@example.com", "r1"))
    delivered(ledger, run, "r1", GUID)

    assert reports.owned_rows({GUID}, ["others"]) == {}


def test_a_row_that_moved_since_it_was_seen_is_not_forgotten_by_half(ledger, engine):
    run = recorded(ledger, of("anna@example.com", "r1"), of("anna@example.com", "r2"))
    ended(ledger, run)
    rows = ledger.held_of(["anna@example.com"], [REVIEWS])
    execute(engine, "update deliveries set state = 'discarded', reason = 'x' where row_key = 'r2'")

    with pytest.raises(StaleMove):
        ledger.forget(ledger.take_lease(REVIEWS), BY, rows)

    assert states(engine)["r1"] == State.PENDING


def test_row_keys_that_hold_a_name_are_counted(ledger, reports):
    recorded(ledger, of("x@y.se", "Anna@example.com|1"), of("x@y.se", "100%"), of("x@y.se", "1001"))

    assert reports.keys_holding(["anna@EXAMPLE.com"], [REVIEWS]) == 1
    assert reports.keys_holding(["100%"], [REVIEWS]) == 1
    assert reports.keys_holding(["bert"], [REVIEWS]) == 0


@pytest.mark.parametrize("ids", [{GUID}, {GUID, OTHER}])
def test_owners_of_interactions_are_found_without_reading_all_rows(ledger, engine, ids):
    """With a parameter in the index's expression it is not recognised, and all rows are read."""
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL plans with the values")
    recorded(ledger, of("anna@example.com", "r1"))
    asked: list[tuple[str, tuple]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def listen(connection, cursor, statement, parameters, context, executemany):
        asked.append((f"explain query plan {statement}", parameters))

    ledger.owned_rows(ids, [REVIEWS])
    ledger.owned(REVIEWS, ids)
    queries = [query for query in asked if "substr(deliveries.interaction_id" in query[0]]
    with engine.begin() as connection:
        plans = [str(list(connection.exec_driver_sql(*query))) for query in queries]

    assert len(plans) == 2

    assert all("SEARCH deliveries USING INDEX deliveries_interaction" in p for p in plans), plans


def test_what_is_never_sent_again_is_not_suspect_in_a_ledger_from_a_backup(ledger, engine, reports):
    run = recorded(ledger, of("anna@example.com", "r1"))
    delivered(ledger, run, "r1", GUID)
    ended(ledger, run)
    ledger.forget(ledger.take_lease(REVIEWS), BY, [reports.owned_rows({GUID}, [REVIEWS])[GUID]])

    ledger.distrust()

    assert (stored(engine).state, stored(engine).suspect) == ("undone", None)
