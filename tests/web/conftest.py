"""A served project whose rows, reasons, description and schema hold what attackers write."""

from pathlib import Path

import pytest

from tests.web.hostile import DESCRIPTION, ROWS, SCHEMA, WORDS
from tests.whole.conftest import sandbox, shop
from tests.whole.shop import Shop
from tests.whole.test_serve import Served, started

__all__ = ["sandbox", "shop"]


@pytest.fixture
def hostile_shop(shop: Shop) -> Shop:
    """Every row is invalid; some carry the destination's words as their reason."""
    shop.sandbox.engage.add_schema(SCHEMA)
    Path(shop.path, "schemas").mkdir()
    shop.configure(more=f"description: {DESCRIPTION!r}")
    shop.add(*({"id": key, "sku": key[:200], "rating": 9} for key in ROWS))
    shop.add({"id": "good", "sku": ROWS[0]})
    shop.sync()
    with shop.ledger_connection() as ledger:
        for number, words in enumerate(WORDS):
            change = "update deliveries set reason = ? where row_key = ?"
            ledger.execute(change, (words, ROWS[number]))
        ledger.execute("update runs set error = ?, notes = ?", (ROWS[0], f'["{ROWS[2]}"]'))
    shop.add({"id": "next", "sku": ROWS[0]}, {"id": ROWS[0] + "2", "rating": 9})
    return shop


@pytest.fixture
def served(hostile_shop: Shop) -> Served:
    return started(hostile_shop)
