"""What the database itself refuses, whatever the code believes: raw SQL, past every method."""

from collections import deque
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from connector.ledger.moving import KEEPS
from connector.rules.delivery import FIRST_STATES, SUSPICIOUS, TRANSITIONS, State
from tests.ledger.factories import execute, select

BODY = {"payload": "{}", "contact": "anna@example.com", "created_date": "2026-01-01T00:00:00Z"}
NO_BODY = dict.fromkeys(BODY)
REASON = {"reason": "because"}
SENT = {"attempt": 1, "contact_id": "c-1"}
NOTHING = {
    **NO_BODY,
    "attempt": 0,
    "contact_id": None,
    "reason": None,
    "waiting_since": None,
    "due_at": None,
    "interaction_id": None,
}
FACTS: dict[State, dict[str, Any]] = {
    State.PENDING: BODY,
    State.SENDING: BODY | SENT,
    State.DELIVERED: {"attempt": 1, "interaction_id": "i-1"},
    State.INVALID: REASON,
    State.REJECTED: BODY | REASON,
    State.WAITING: BODY | {"waiting_since": 1, "due_at": 2},
    State.IN_DOUBT: BODY | SENT | REASON,
    State.SUBMITTED: BODY | SENT,
    State.DISCARDED: REASON,
    State.UNDONE: {"attempt": 1, "interaction_id": "i-1"},
    State.REMOVED: {"attempt": 1, "interaction_id": "i-1"},
}
"""The facts that each state needs, and no others."""


def columns(state, **over):
    return {**NOTHING, **FACTS[state], "state": state.value, **over}


def insert(engine, key, values):
    values = {"activation": "reviews", "row_key": key, "run_id": "x", "changed_at": 1, **values}
    names = ", ".join(values)
    binds = ", ".join(f":{name}" for name in values)
    execute(engine, f"insert into deliveries ({names}) values ({binds})", **values)


def move(engine, key, values):
    changes = ", ".join(f"{name} = :{name}" for name in values)
    execute(engine, f"update deliveries set {changes} where row_key = :key", key=key, **values)


def way_to(state):
    """The moves that bring a row to `state`, from one in which it can be recorded."""
    ways = deque([first] for first in FIRST_STATES)
    while ways:
        way = ways.popleft()
        if way[-1] is state:
            return way
        ways.extend([*way, target] for source, target in TRANSITIONS if source is way[-1])
    raise AssertionError(f"no row can come to be {state}")


def a_row_in(engine, key, state):
    first, *rest = way_to(state)
    insert(engine, key, columns(first))
    for each in rest:
        move(engine, key, columns(each))


def count_refused(act, *arguments):
    try:
        act(*arguments)
    except IntegrityError:
        return True
    return False


def test_a_row_can_be_recorded_only_in_a_first_state(engine):
    allowed = [s for s in State if not count_refused(insert, engine, s.value, columns(s))]

    assert set(allowed) == set(FIRST_STATES)


def test_a_row_moves_only_as_the_table_of_moves_says(engine):
    allowed = set()
    for source in State:
        for target in State:
            key = f"{source}>{target}"
            a_row_in(engine, key, source)
            if not count_refused(move, engine, key, columns(target)):
                allowed.add((source, target))

    assert allowed == set(TRANSITIONS) | {(state, state) for state in State}


def test_a_refused_move_leaves_the_row_where_it_was(engine):
    a_row_in(engine, "r1", State.DELIVERED)

    assert count_refused(move, engine, "r1", columns(State.REJECTED))
    assert select(engine, "select state, interaction_id from deliveries") == [("delivered", "i-1")]


def test_one_illegal_move_among_many_undoes_them_all(engine):
    insert(engine, "r1", columns(State.PENDING))
    a_row_in(engine, "r2", State.DELIVERED)
    to_sending = "update deliveries set state = 'sending', attempt = 1, contact_id = 'c',"
    to_sending += " payload = '{}', contact = 'a', created_date = 'd', interaction_id = null"

    assert count_refused(execute, engine, to_sending)
    assert select(engine, "select count(*) from deliveries where state = 'sending'") == [(0,)]


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        (State.PENDING, {"payload": None}),
        (State.PENDING, {"contact": None}),
        (State.PENDING, {"created_date": None}),
        (State.PENDING, {"interaction_id": "i-1"}),
        (State.WAITING, {"payload": None}),
        (State.WAITING, {"waiting_since": None}),
        (State.WAITING, {"due_at": None}),
        (State.SENDING, {"payload": None}),
        (State.SENDING, {"attempt": 0}),
        (State.SENDING, {"contact_id": None}),
        (State.IN_DOUBT, {"payload": None}),
        (State.IN_DOUBT, {"attempt": 0}),
        (State.IN_DOUBT, {"contact_id": None}),
        (State.IN_DOUBT, {"reason": None}),
        (State.SUBMITTED, {"payload": None}),
        (State.SUBMITTED, {"attempt": 0}),
        (State.SUBMITTED, {"contact_id": None}),
        (State.DELIVERED, {"payload": "{}"}),
        (State.DELIVERED, {"contact": "anna@example.com"}),
        (State.DELIVERED, {"contact_id": "c-1"}),
        (State.INVALID, {"reason": None}),
        (State.REJECTED, {"reason": None}),
        (State.REJECTED, {"interaction_id": "i-1"}),
        (State.DISCARDED, {"reason": None}),
    ],
)
def test_a_state_and_its_facts_cannot_disagree(engine, state, facts):
    a_row_in(engine, "r1", state)

    assert count_refused(move, engine, "r1", facts)


@pytest.mark.parametrize("state", State)
def test_a_state_keeps_what_it_needs(state):
    needed = {fact for fact, value in FACTS[state].items() if fact != "attempt" and value}
    assert needed <= KEEPS[state]
    for fact in {"payload", "contact", "contact_id"} & KEEPS[state]:
        assert state not in (State.DELIVERED, State.UNDONE, State.DISCARDED, State.INVALID), fact
        assert state is not State.REMOVED, fact
    has_id = state in (State.DELIVERED, State.UNDONE, State.REMOVED)
    assert ("interaction_id" in KEEPS[state]) is has_id
    assert ("suspect" in KEEPS[state]) is (state in SUSPICIOUS)


def test_a_row_key_is_recorded_once_in_an_activation(engine):
    insert(engine, "r1", columns(State.PENDING))
    insert(engine, "r1", columns(State.PENDING, activation="another"))

    assert count_refused(insert, engine, "r1", columns(State.PENDING))


@pytest.mark.parametrize("facts", ["closed_at = 1", "outcome = 'accepted'"])
def test_an_attempt_is_closed_with_an_outcome_or_not_at_all(engine, facts):
    a_row_in(engine, "r1", State.SENDING)
    attempt = "insert into attempts (delivery_id, number, run_id, opened_at) select id, 1, 'x', 1"
    execute(engine, f"{attempt} from deliveries")

    assert count_refused(execute, engine, f"update attempts set {facts}")


def test_an_attempt_number_is_opened_once(engine):
    a_row_in(engine, "r1", State.SENDING)
    attempt = "insert into attempts (delivery_id, number, run_id, opened_at) select id, 1, 'x', 1"
    execute(engine, f"{attempt} from deliveries")

    assert count_refused(execute, engine, f"{attempt} from deliveries")


def test_an_attempt_belongs_to_a_row(engine):
    attempt = "insert into attempts (delivery_id, number, run_id, opened_at) values (99, 1, 'x', 1)"

    assert count_refused(execute, engine, attempt)


def test_rows_that_are_due_are_found_without_reading_delivered_ones(ledger, engine):
    plan = "explain query plan" if engine.dialect.name == "sqlite" else "explain"
    query = f"{plan} select id from deliveries where activation = 'a' and state = 'pending'"
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("set local enable_seqscan = off"))
        steps = connection.execute(text(f"{query} and state <> 'delivered' and id > 0 order by id"))

        assert "deliveries_open" in str(list(steps))
