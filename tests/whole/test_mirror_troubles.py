"""Mirrors in trouble: what is edited, what the destination refuses, what cannot be read."""

from collections.abc import Iterator
from typing import Any

import pytest

from connector.sandbox.engage.schemas import parse_schema
from tests.whole.shop import SCHEMA, Shop
from tests.whole.test_mirror import never_two, there
from tests.whole.test_undo import deletions


@pytest.fixture
def mirror(shop: Shop) -> Iterator[Shop]:
    """The shop, with a mirror; and at no time was there more than one interaction of a row."""
    shop.configure(more="mode: mirror", cursor="", settle_after="0s", timeout="1s")
    yield shop
    assert never_two(shop)


def test_an_edit_stays_held_until_somebody_approves_it(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    mirror.configure(payload="{visitId: id, productSku: sku, rating: rating, price: price}")
    mirror.sync()

    again = mirror.sync()
    preview = mirror.connector("preview", "visits", "--json").json

    assert (again.run["status"], deletions(mirror)) == ("held", 0)
    assert "after an edit" in again.run["notes"][0]
    assert preview["outlook"]["would"] == "be_held"
    assert mirror.sync("--approve").run["replaced"] == 40
    assert mirror.sync().run["status"] == "succeeded"


def test_an_edit_that_is_taken_back_is_held_no_more(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    payload = mirror.options["payload"]
    mirror.configure(payload="{visitId: id, productSku: sku, rating: rating, price: price}")
    mirror.sync()
    mirror.configure(payload=payload)

    done = mirror.sync()

    assert (done.run["status"], deletions(mirror), len(there(mirror))) == ("succeeded", 0, 40)


def test_a_schema_that_makes_all_rows_read_otherwise_is_held(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    rules: dict[str, Any] = SCHEMA["jsonSchema"]
    texts = rules["properties"] | {"rating": {"type": "string", "displayName": "Rating"}}
    changed = parse_schema({**SCHEMA, "jsonSchema": {**rules, "properties": texts}}, 0)
    mirror.sandbox.engage._schemas._by_folded_id["visit"] = changed

    held = mirror.sync(), mirror.sync()

    assert [each.run["status"] for each in held] == ["held", "held"]
    assert "40 of 40 rows" in held[1].run["notes"][0]
    assert "schema" in held[1].run["notes"][0]
    assert deletions(mirror) == 0


def test_a_mirror_without_any_row_key_takes_nothing_back(mirror: Shop) -> None:
    mirror.add_many(4)
    mirror.sync()
    mirror.execute("update visits set id = null")

    done = mirror.sync()

    assert (done.run["status"], deletions(mirror), len(there(mirror))) == ("held", 0, 4)
    assert "no row with a row key" in done.run["notes"][0]
