"""What is kept of verifications, which rows one looks at, and that one process is about it."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from connector.ledger.receipts import Claim, Kept
from connector.ledger.store import Ledger
from connector.rules.draw import PRIME, Draw
from connector.rules.receipt import Deviation, sign
from tests.ledger.factories import REVIEWS, an_identity, delivered, staged

COUNTS: dict[str, Any] = {
    "rows": 1,
    "interactions": 1,
    "missing": 0,
    "twice": 0,
    "changed": 0,
    "not_proven": 0,
    "result": "ok",
}


def a_receipt(claim: Claim, deviations: Sequence[Deviation] = (), until: int = 5) -> Kept:
    signed = sign({"activation": claim.activation, "until": until}, b"x" * 32)
    name = f"{claim.token}-{until}"
    return Kept(name, claim.activation, claim.began_at, until, signed, tuple(deviations))


def claimed(ledger: Ledger, activation: str = REVIEWS) -> Claim:
    claim = ledger.verifications.claim(activation)
    assert claim is not None
    return claim


def test_a_receipt_comes_back_as_it_was_kept(ledger, reports):
    claim = claimed(ledger)
    receipt = a_receipt(claim, [Deviation(7, "rö", "run", ("missing",))])

    assert ledger.verifications.keep(claim, receipt, COUNTS)

    assert reports.last_receipt(REVIEWS) == receipt
    assert reports.receipts() == reports.receipts(REVIEWS) == [receipt]
    assert reports.receipts("another") == []


def test_one_process_is_about_a_verification(ledger):
    first = claimed(ledger)

    assert ledger.verifications.claim(REVIEWS) is None
    assert ledger.verifications.claim("another") is not None
    ledger.verifications.give_up(first)
    assert ledger.verifications.claim(REVIEWS) is not None


def test_who_was_silent_for_too_long_is_replaced_and_keeps_nothing_any_more(
    ledger, engine, reports
):
    first = claimed(ledger)
    with engine.begin() as connection:
        connection.execute(text("update verifications set expires_at = 0"))

    second = claimed(ledger)

    assert not ledger.verifications.go_on(first)
    assert not ledger.verifications.keep(first, a_receipt(first), COUNTS)
    ledger.verifications.give_up(first)
    assert ledger.verifications.go_on(second)
    assert ledger.verifications.keep(second, a_receipt(second), COUNTS)
    assert len(reports.receipts()) == 1


def test_the_newest_of_each_is_found_at_once(ledger, reports):
    staged(ledger, "r1")
    for until in (3, 5, 4):  # what one ends at is no order
        claim = claimed(ledger)
        ledger.verifications.keep(claim, a_receipt(claim, until=until), COUNTS)

    newest = reports.last_receipt(REVIEWS)
    assert reports.last_receipts(["never", REVIEWS]) == {REVIEWS: newest}


def test_receipts_follow_a_new_name(ledger, reports):
    staged(ledger, "r1")
    claim = claimed(ledger)
    ledger.verifications.keep(claim, a_receipt(claim), COUNTS)
    with ledger._engine.begin() as connection:
        connection.execute(text("update leases set expires_at = 0"))

    ledger.begin("opinions", an_identity(renamed_from=REVIEWS))

    assert reports.receipts(REVIEWS) == []
    assert [kept.activation for kept in reports.receipts("opinions")] == ["opinions"]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_ledger_draws_what_python_does(ledger, engine, reports, share):
    keys = [f"r{number}" for number in range(60)]
    run = staged(ledger, *keys)
    for number, key in enumerate(keys[:50]):
        delivered(ledger, run, key, f"i-{number}")
    with engine.begin() as connection:
        connection.execute(text("update deliveries set changed_at = 10 * id"))
    below = round(share * PRIME)
    draw = Draw(300, 450, 1_999_999_973, 1_234_567_891, older_below=below, again=frozenset({3}))

    rows = reports.drawn(REVIEWS, draw, 0, 100)

    every = reports.drawn(REVIEWS, Draw(0, 1000, 1, 0), 0, 100)
    assert len(every) == 50
    assert rows == [row for row in every if draw.takes(row.id, row.changed_at)]
    assert {row.id for row in rows} >= {3, *range(31, 46)}
    assert not {row.id for row in rows} & set(range(46, 61))
    assert all(row.activation == REVIEWS for row in rows)


def test_rows_that_stand_as_delivered_are_counted(ledger, engine, reports):
    run = staged(ledger, *(f"r{number}" for number in range(6)))
    for number in range(5):
        delivered(ledger, run, f"r{number}", f"i-{number}")
    with engine.begin() as connection:
        connection.execute(text("update deliveries set changed_at = 10 * id"))
        connection.execute(text("update deliveries set interaction_id = null where id = 1"))

    found = reports.stands(REVIEWS, 20, 40)

    assert (found.rows, found.new, found.unverifiable) == (3, 2, 1)
    assert reports.still_delivered([1, 2, 6, 99]) == {1, 2}
    assert reports.stands("another", 0, 1000).rows == 0
