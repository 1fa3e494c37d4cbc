"""A preview of many rows keeps no more keys than those that come again, and counts the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from connector.ledger.engine import nothing
from connector.ledger.reports import Reports
from connector.rules.contacts import ContactCache
from connector.sync import preview as previewing
from connector.sync.once import Once, TooMany
from connector.sync.reading import Plan, Source, plan
from connector.warehouse import Warehouse
from tests.factories import a_schema, an_activation

CACHE = ContactCache.of("engage", "http://engage", "key", timedelta(0))
KEYS = {
    "varchar": ["'a'", "'A'", "'a '", "''", "'a|b'", "null", "'å'", "repeat('k', 1001)"],
    "varchar collate nocase": ["'a'", "'A'", "'b'", "null"],
    "integer": ["1", "2", "null"],
    "decimal(9, 2)": ["1", "1.00", "1.5", "-0.00", "0"],
    "double": ["1", "0.0", "-0.0", "'nan'", "1e300"],
    "timestamp": ["'2026-01-31'", "'2026-01-31 00:00:00'", "'infinity'", "null"],
    "timestamp_ns": ["'2026-01-31 00:00:00.000000001'", "'2026-01-31 00:00:00.000000002'"],
    "timestamptz": ["'2026-01-31 12:00:00+00'", "'2026-01-31 13:00:00+01'"],
}


@given(st.lists(st.sampled_from("abcde")), st.data())
def test_a_key_comes_first_once(keys, data):
    repeated = {key for key in keys if keys.count(key) > 1}
    others = data.draw(st.sets(st.sampled_from("abcdefg")))
    expected = [key not in keys[:i] for i, key in enumerate(keys)]

    assert list(map(Once().comes_first, keys)) == expected
    assert list(map(Once(repeated | others).comes_first, keys)) == expected


def test_more_keys_than_may_be_kept_are_told():
    once = Once(most=2)
    assert [once.comes_first(key) for key in "aabb"] == [True, False, True, False]

    with pytest.raises(TooMany):
        once.comes_first("c")


def counted(warehouse: Path, few: bool = False) -> dict[str, Any]:
    """What a preview counts of the table `visits`."""
    activation = an_activation(
        model={"table": "visits"},
        row_key="id",
        cursor="placed",
        contact={"column": "contact", "identifier": "email"},
        payload={"rating": "rating"},
    )
    schema = a_schema(rating={"type": "integer", "maximum": 5})
    with Warehouse(make_url(f"duckdb:///{warehouse}"), Path()).open() as reader:
        now = datetime.now(UTC)
        source = Source(activation, schema, reader, Reports(nothing()), None, now)
        found = previewing.preview(source, 3, CACHE)
        whole = plan(source, whole=True)
        few = few and reader.groups_keys(whole.scan)
        once = Once(previewing._repeated(whole)) if few else Once()
        behind = previewing._behind(whole, once)
    told = (found.read, found.staged, found.new, found.invalid, found.repeated, found.without_key)
    return {"told": told, "shown": found.shown, "reasons": found.reasons, "behind": behind}


@pytest.mark.parametrize("kind", KEYS)
def test_the_same_is_counted_whatever_the_warehouse_takes_for_one_key(kind, tmp_path, monkeypatch):
    file = tmp_path / "shop.duckdb"
    values = [key for key in KEYS[kind] for _ in range(3)] + KEYS[kind][:1] * 4
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            f"create table visits (id {kind}, placed integer, contact text, rating int)"
        )
        for i, value in enumerate(values):
            row = f"({value}, {i * 7 % 11}, 'c{i}@example.com', {i % 7})"
            connection.execute(f"insert into visits values {row}")
    monkeypatch.setattr("connector.sync.reading.BATCH", 4)
    expected = counted(file)
    asked: list[int] = []
    real = previewing._repeated

    def asking(reading: Plan) -> set[str]:
        asked.append(1)
        return real(reading)

    monkeypatch.setattr(previewing, "_repeated", asking)
    monkeypatch.setattr(previewing, "MANY", 0)

    assert counted(file, few=True) == expected
    assert bool(asked) == (kind not in ("double", "timestamp_ns"))
