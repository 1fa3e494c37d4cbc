"""Rows that wait are made due, and contacts forgotten, because of news about contacts."""

from datetime import UTC, datetime, timedelta

import pytest

from connector.ledger.leases import WOKEN
from connector.ledger.records import Tally
from connector.rules.delivery import State
from tests.ledger.factories import (
    CONTACT,
    REVIEWS,
    an_identity,
    begun,
    due,
    execute,
    opening,
    select,
    staged,
    stored,
    waits,
)
from tests.ledger.test_contacts import a_contact, cached


def set_aside(ledger, *keys):
    """A run of whose rows these wait for their contact, for an hour."""
    run = staged(ledger, "sent", *keys)
    rows = due(ledger)
    ledger.record(run, [waits(rows[key]) for key in keys])
    return run, [rows[key].id for key in keys]


def test_only_rows_that_wait_are_due_at_once_and_wait_as_long_as_before(ledger, engine, reports):
    _, ids = set_aside(ledger, "r1", "r2", "r3")
    before = stored(engine, "r1")
    assert due(ledger, State.WAITING) == {}

    ledger.wake(REVIEWS, [*ids[:2], ids[2] + 100])
    ledger.wake("another", ids)

    assert set(due(ledger, State.WAITING)) == {"r1", "r2"}
    after = stored(engine, "r1")
    changed = {k for k in after._fields if getattr(after, k) != getattr(before, k)}
    assert changed == {"due_at"}
    assert [row for row, _ in reports.sleepers(REVIEWS, 0, 10)] == ids
    assert reports.sleepers(REVIEWS, ids[1], 1) == [(ids[2], CONTACT)]
    assert reports.newest_sleepers(REVIEWS, None, 2) == [ids[2], ids[1]]
    assert reports.newest_sleepers(REVIEWS, ids[1], 2) == [ids[0]]


def test_a_row_that_is_being_sent_is_woken_by_nobody(ledger, engine):
    run, ids = set_aside(ledger, "r1")
    ledger.wake(REVIEWS, ids)
    (row,) = due(ledger, State.WAITING).values()
    assert ledger.record(run, [opening(row)]) == [True]
    before = stored(engine, "r1")

    ledger.wake(REVIEWS, ids)

    assert stored(engine, "r1") == before


def test_a_run_of_woken_rows_is_no_reading_that_the_schedule_counts(ledger, reports):
    run = begun(ledger)
    ledger.finish(run, "succeeded", Tally())
    read = reports.last_began(REVIEWS)

    woken = ledger.begin(REVIEWS, an_identity(), True)
    ledger.finish(woken, "succeeded", Tally())

    assert woken.run_id.startswith(WOKEN)
    assert reports.last_began(REVIEWS) == read
    assert next(r["run_id"] for r in reports.runs(REVIEWS)) == woken.run_id
    assert read is not None
    assert datetime.now(UTC) - read < timedelta(minutes=5)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into pauses (activation, at, by) values ('reviews', 1, 'anna')",
        "update watermarks set held = '{}'",
    ],
)
def test_what_a_person_keeps_is_told(ledger, engine, reports, statement):
    begun(ledger)
    assert not reports.is_kept(REVIEWS)

    execute(engine, statement)

    assert reports.is_kept(REVIEWS)


def test_contacts_are_forgotten_by_their_id_or_all_of_one_destination(ledger, engine):
    run = staged(ledger, "r1", "r2", "r3", "r4")
    rows = due(ledger)
    for key, found in {
        "r1": a_contact("d1", "ABC-1"),
        "r2": a_contact("d2", "abc-2"),
        "r3": a_contact("d3", "abc-3"),
        "r4": a_contact("d4", "abc-1", destination="another"),
    }.items():
        entry = opening(rows[key])
        ledger.record(run, [type(entry)(entry.delivery, found.contact_id, found)])

    ledger.forget_found("engage", {"abc-1", "abc-9"})
    assert set(cached(ledger, "d1", "d2", "d3")) == {"d2", "d3"}

    ledger.forget_found("engage", None)
    assert [tuple(r) for r in select(engine, "select destination from contacts")] == [("another",)]
