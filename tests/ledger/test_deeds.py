"""The list of deeds, on both databases: only added to, and each deed told once."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from connector.ledger.audit import Deeds
from connector.ledger.deeds import PAUSED, Entry, note
from connector.ledger.takeback import DELETED, TakenBack
from connector.ledger.transaction import transaction
from tests.ledger.factories import REVIEWS
from tests.ledger.test_takeback import BY, a_finished_run

CHANGES = ("update audit set by = 'bert'", "delete from audit", "truncate audit")


@pytest.mark.parametrize("change", CHANGES)
def test_the_list_refuses_every_change(engine, reports, change):
    if change.startswith("truncate") and engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no such statement")
    with transaction(engine) as c:
        note(c, Entry(PAUSED, "person: anna", REVIEWS))

    with pytest.raises(DBAPIError, match="only added to"), engine.begin() as c:
        c.execute(text(change))

    assert [entry["by"] for entry in reports.audit()] == ["anna"]


def test_a_deed_that_was_recorded_in_parts_is_told_as_one(ledger, engine, reports):
    run_id = a_finished_run(ledger, "r1", "r2", "r3", "r4")
    lease = ledger.take_lease(REVIEWS)
    for row in ledger.deletable(run_id, 0, 3):
        ledger.take_back(lease, BY, [TakenBack(row, DELETED)], of=run_id)
        with transaction(engine) as c:
            note(c, Entry(PAUSED, "bert", "wishlist"))
    ledger.let_go(lease)
    other = ledger.take_lease(REVIEWS)
    for row in ledger.deletable(run_id, 0, 3):
        ledger.take_back(other, BY, [TakenBack(row, DELETED)], of=run_id)

    told = reports.audit(Deeds((REVIEWS,)))
    newest = reports.audit(limit=3)

    assert [(entry["what"], entry["details"]) for entry in told] == [
        ("undone", {"rows": 1}),
        ("undone", {"rows": 3}),
    ]
    assert {(entry["by"], entry["run_id"]) for entry in told} == {("anna", run_id)}
    assert [entry["what"] for entry in newest] == ["undone", "paused", "undone"]
    assert newest[-1]["details"] == {"rows": 3}
    rest = reports.audit(Deeds(after=newest[-1]["id"]))  # its other parts are told already
    assert [entry["what"] for entry in rest] == ["paused", "paused"]
    first = reports.audit(limit=1)
    assert [entry["what"] for entry in first + reports.audit(Deeds(after=first[0]["id"]))] == [
        entry["what"] for entry in reports.audit()
    ]
    assert {entry["by"] for entry in reports.audit(Deeds(what="paused"))} == {"bert"}
    assert {entry["what"] for entry in reports.audit(Deeds(by="anna"))} == {"undone"}
    assert reports.persons() == ["anna", "bert"]


def test_a_pause_is_told_once_whoever_pauses_as_well(ledger, reports):
    assert ledger.pause(REVIEWS, "anna") is None
    assert ledger.pause(REVIEWS, "bert") == "anna"

    assert [entry["by"] for entry in reports.audit()] == ["anna"]
    assert ledger.resume(REVIEWS, "bert")
    assert not ledger.resume(REVIEWS, "bert")
    assert [entry["what"] for entry in reports.audit()] == ["resumed", "paused"]
