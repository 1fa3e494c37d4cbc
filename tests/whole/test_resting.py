"""Rows that the destination has told to come later are told apart from those that go now."""

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from connector.sandbox.behaviour import Faults
from tests.whole.shop import Shop, behaving

LATER = 120
"""Seconds of a Retry-After; a run waits for less than that."""


@pytest.fixture
def resting(shop: Shop) -> Shop:
    """A row that was answered with a 429."""
    shop.configure(concurrency=1)
    shop.add({"id": "v0"})
    shop.sandbox.behaviour = behaving(faults=Faults(too_many=1.0), retry_after=LATER)
    first = shop.sync()
    assert (first.code, first.run["status"], first.run["kind"]) == (3, "stopped", "destination")
    assert "1 row is left to a later run" in first.run["error"]
    shop.sandbox.behaviour = behaving()
    with shop.ledger_connection() as ledger:  # the key may be used again
        ledger.execute("update rates set slowed_until = null")
    return shop


def preview(shop: Shop) -> Any:
    return shop.connector("preview", "visits", "--json").json


def in_order(shop: Shop) -> str:
    return " ".join(shop.connector("preview", "visits").out.split())


def test_a_row_that_rests_is_not_told_as_one_to_be_sent(resting: Shop) -> None:
    alone, text = preview(resting), in_order(resting)
    checked = resting.connector("check", "--json").json["activations"][0]["outlook"]
    resting.add({"id": "v1"})
    beside = preview(resting)

    assert (alone["new"], alone["pending"], alone["resting"]) == (0, 0, 1)
    assert (alone["requests"], alone["estimated_seconds"]) == ([], 0)
    assert alone["outlook"]["would"] == "send_nothing"
    assert alone["next_try"] in alone["outlook"]["because"]
    assert checked == alone["outlook"]
    assert "1 recorded before, which may be tried again at" in text
    assert "Nothing would be sent now: 1 row rests; it may be tried again at" in text
    assert [row["row_key"] for row in beside["requests"]] == ["v1"]
    assert (beside["new"], beside["pending"], beside["resting"]) == (1, 0, 1)
    assert beside["outlook"]["would"] == "send"


def test_a_run_says_which_rows_rest_and_until_when(resting: Shop) -> None:
    nothing = resting.sync()
    resting.add({"id": "v1"})
    beside, text = resting.sync(), " ".join(resting.connector("sync").out.split())

    due = datetime.fromisoformat(nothing.run["next_try"])
    for done, delivered in ((nothing, 0), (beside, 1)):
        # they wait for their time, and for no person
        assert (done.code, done.run["status"], done.run["done"]) == (0, "succeeded", False)
        assert (done.run["delivered"], done.run["pending"], done.run["resting"]) == (
            delivered,
            1,
            1,
        )
    assert f"1 row rests; it may be tried again at {due:%Y-%m-%d %H:%M:%S}Z" in text
    assert resting.stored == Counter(["v1"])


def test_what_rested_long_enough_is_sent(resting: Shop) -> None:
    with resting.ledger_connection() as ledger:
        ledger.execute("update deliveries set due_at = due_at - ?", (LATER * 1000,))

    before, done = preview(resting), resting.sync()

    assert (before["pending"], before["resting"], before["next_try"]) == (1, 0, None)
    assert (done.code, done.run["delivered"], done.run["resting"]) == (0, 1, 0)
    assert done.run["next_try"] is None
