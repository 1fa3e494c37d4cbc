"""A value that nothing can hold, or a model that ends in the middle, keeps nobody else waiting."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.whole.shop import Shop, contact_id


@pytest.mark.parametrize("end", ["infinity", "-infinity", "20260-01-01", "0044-03-15 (BC)"])
def test_rows_beside_a_poisoned_one_are_sent_and_it_is_told(shop: Shop, end: str) -> None:
    shop.add_many(20)
    shop.add({"id": "poison", "seen_at": end})

    first = shop.sync()
    shop.add({"id": "later", "seen_at": "2026-11-02 10:00:00"})
    second = shop.sync()

    assert (first.code, first.run["status"]) == (1, "attention")
    assert (first.run["delivered"], first.run["invalid"]) == (20, 1)
    assert first.run["watermark"].startswith("2026-11-01 00:00:02")
    assert second.run["delivered"] == 1
    assert sum(shop.stored.values()) == 21
    (row,) = shop.connector("quarantine", "list", "--json").json["rows"]
    assert (row["row_key"], row["state"]) == ("poison", "invalid")
    assert "the column seen_at holds a" in row["reason"]


def test_a_poisoned_row_that_comes_late_is_told_wherever_it_stands(shop: Shop) -> None:
    shop.add_many(20)
    shop.sync()
    shop.add({"id": "poison", "seen_at": "-infinity"})

    late = shop.sync()

    assert (late.code, late.run["invalid"], late.run["delivered"]) == (1, 1, 0)


def failing_model(shop: Shop, rows: int, fails_at: int) -> Path:
    """SQLite computes each row as it is fetched, so it may fail at one after it gave others."""
    file = shop.path / "shop.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("create table visits (id integer primary key, contact, bad)")
        connection.executemany(
            "insert into visits values (?, ?, ?)",
            [(n, contact_id(n % 10), n == fails_at) for n in range(rows)],
        )
    shop.configure(
        cursor="cursor: {column: id, overlap: 0}",
        model="select id, contact, id as sku, case when bad then abs(-9223372036854775807 - 1)"
        " else 3 end as rating, '2026-11-01' as seen_at from visits",
        payload="{visitId: id, rating: rating}",
    )
    shop.config.write_text(
        shop.config.read_text().replace("duckdb:///shop.duckdb", f"sqlite:///{file}")
    )
    return file


def test_what_was_recorded_before_reading_failed_is_sent_in_the_same_run(shop: Shop) -> None:
    file = failing_model(shop, rows=2600, fails_at=2500)

    stopped = shop.sync()

    assert (stopped.code, stopped.run["status"]) == (3, "stopped")
    assert stopped.run["error"]
    assert "integer overflow" in str(stopped.run["error"])
    assert stopped.run["delivered"] == sum(shop.stored.values()) == 2000
    assert stopped.run["pending"] == 0

    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("update visits set bad = 0")
    done = shop.sync()

    assert (done.code, done.run["delivered"]) == (0, 600)
    assert set(shop.stored.values()) == {1}
    assert len(shop.stored) == 2600


def test_a_warehouse_out_of_reach_keeps_no_recorded_row_waiting(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"contact": "late@example.com"})
    assert shop.sync().run["waiting"] == 1
    shop.sandbox.engage.add_contact({"contactId": contact_id(77), "email": "late@example.com"})
    (shop.path / "shop.duckdb").rename(shop.path / "away")

    stopped = shop.sync()

    assert (stopped.code, stopped.run["status"]) == (3, "stopped")
    assert (stopped.run["delivered"], stopped.run["waiting"]) == (1, 0)
    assert shop.stored == {"v1": 1}


def test_a_limit_holds_what_was_read_before_it_failed(shop: Shop) -> None:
    failing_model(shop, rows=2600, fails_at=2500)
    shop.config.write_text(shop.config.read_text().replace("limits: {}", "limits: {rows: 100}"))

    stopped = shop.sync()

    assert (stopped.code, stopped.run["status"], shop.posts) == (3, "stopped", 0)
    assert shop.connector("status", "--json").json["activations"][0]["held"]
