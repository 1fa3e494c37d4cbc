"""What a mirror reads of its model: of unchanged rows a digest, of others what they say last."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connector.rules.errors import WarehouseUnavailable
from connector.sync import unchanged
from connector.warehouse import DIGEST, Reader
from tests.whole.shop import Shop, contact_id
from tests.whole.test_mirror import mirror as mirror
from tests.whole.test_mirror import model, there
from tests.whole.test_undo import counts, deletions

Batches = Iterator[Any]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many rows are read: `digest`s with their keys, and `whole` ones."""
    number: Counter[str] = Counter()

    def counting(method: Callable[..., Batches]) -> Callable[..., Batches]:
        def counted(reader: Reader, activation: Any, scan: Any, *others: Any) -> Batches:
            brief = scan.columns == (*scan.key, DIGEST)
            for batch in method(reader, activation, scan, *others):
                number["digest" if brief else "whole"] += len(batch)
                yield batch

        return counted

    for name in ("rows", "rows_of"):
        monkeypatch.setattr(Reader, name, counting(getattr(Reader, name)))
    return number


def test_of_what_is_unchanged_no_payload_is_read(mirror: Shop, read: Counter[str]) -> None:
    mirror.add_many(50)
    mirror.sync()
    read.clear()

    done = mirror.sync()
    assert (done.run["read"], dict(read)) == (50, {"digest": 50})

    mirror.execute("update visits set rating = 1 + rating % 5 where id in ('v3', 'v40')")
    mirror.execute("delete from visits where id = 'v7'")
    mirror.add({"id": "new"})
    read.clear()
    told = mirror.connector("preview", "visits", "--json").json
    assert (told["new"], told["removed"], told["replaced"]) == (1, 1, 2)
    assert dict(read) == {"digest": 50, "whole": 3}

    read.clear()
    done = mirror.sync()
    assert dict(read) == {"digest": 50, "whole": 3}
    assert (done.run["read"], done.run["delivered"]) == (50, 3)
    assert (done.run["removed"], done.run["replaced"]) == (1, 2)


def test_what_cannot_be_sent_is_read_once(mirror: Shop, read: Counter[str]) -> None:
    model(mirror, a=1, b=9)
    mirror.sync()
    read.clear()

    mirror.sync()
    assert (dict(read), counts(mirror)) == ({"digest": 2}, {"delivered": 1, "invalid": 1})

    mirror.execute("update visits set rating = 2 where id = 'b'")
    mirror.sync()
    assert there(mirror) == {"a": 1, "b": 2}


def test_where_many_have_changed_the_whole_model_is_read(
    mirror: Shop, read: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "MOST_LEFT", 3)
    model(mirror, a=1, b=1, c=1, d=1)
    mirror.add({"id": None})
    mirror.sync()
    mirror.execute("update visits set rating = 2")
    read.clear()

    done = mirror.sync()

    assert read["whole"] == done.run["read"] == 5
    assert done.run["replaced"] == 4
    assert "1 row without a usable row key" in " ".join(done.run["notes"])
    assert there(mirror) == {"a": 2, "b": 2, "c": 2, "d": 2}


def test_rows_are_asked_for_in_parts(mirror: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "TOGETHER", 2)
    mirror.add_many(40)
    mirror.sync()
    mirror.execute("update visits set rating = 1 + rating % 5 where id in ('v1', 'v2', 'v3')")
    mirror.add({"id": "x"}, {"id": "y"})

    done = mirror.sync()

    assert (done.run["delivered"], done.run["replaced"], len(there(mirror))) == (5, 3, 42)


def test_a_repeated_key_is_told_as_ever_and_moves_nothing(mirror: Shop) -> None:
    mirror.add({"id": "a", "rating": 1}, {"id": "a", "rating": 2}, {"id": "b"})
    first = mirror.sync()
    stored = there(mirror)
    mirror.add({"id": "b", "rating": 3}, {"id": "c"}, {"id": "c"}, {"id": None})

    second, third = mirror.sync(), mirror.sync()

    assert "1 row repeated a row key" in " ".join(first.run["notes"])
    for done in (second, third):
        assert "3 rows repeated a row key" in " ".join(done.run["notes"])
        assert "1 row without a usable row key" in " ".join(done.run["notes"])
    assert there(mirror) == stored | {"c": 4}
    assert mirror.posts == 3


@pytest.mark.parametrize("method", ["rows", "rows_of"])
def test_a_model_that_fails_half_way_takes_nothing_back(
    mirror: Shop, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.configure(timeout="20s")  # an answer that is slow is no doubt here
    mirror.add_many(50)
    mirror.sync()
    mirror.execute("delete from visits where id = 'v7'")
    mirror.execute("update visits set rating = 1 + rating % 5 where id in ('v3', 'v4')")
    before = there(mirror)
    reading = getattr(Reader, method)

    def failing(*arguments: Any) -> Batches:
        for batch in reading(*arguments):
            yield batch[: len(batch) // 2]
        raise WarehouseUnavailable("reading the model failed: it was gone")

    with monkeypatch.context() as patched:
        patched.setattr(Reader, method, failing)
        done = mirror.sync()
    assert (done.run["status"], there(mirror), deletions(mirror)) == ("stopped", before, 0)

    assert mirror.sync().run["replaced"] == 2
    assert len(there(mirror)) == 49


def test_a_warehouse_without_digests_is_compared_whole_and_check_says_so(
    mirror: Shop, read: Counter[str]
) -> None:
    assert "computes no digests" not in mirror.connector("check").out
    with closing(sqlite3.connect(mirror.path / "shop.db")) as connection, connection:
        connection.execute("create table visits (id, seen_at, contact, sku, rating)")
        rows = [(f"v{n}", "2026-11-01 10:00:00", contact_id(1), "sku", 1) for n in range(3)]
        connection.executemany("insert into visits values (?, ?, ?, ?, ?)", rows)
    config = mirror.config.read_text().replace("duckdb:///shop.duckdb", "sqlite:///shop.db")
    mirror.config.write_text(config)
    mirror.sync()
    read.clear()

    assert "computes no digests" in mirror.connector("check").out
    read.clear()
    assert mirror.sync().run["delivered"] == 0
    assert dict(read) == {"whole": 3}
    assert there(mirror) == {"v0": 1, "v1": 1, "v2": 1}


class Model:
    """A file that may change while it is read."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = Path(shop.path, "visits.csv")
        self._patch, self._rows_of = monkeypatch, Reader.rows_of
        columns = "'id': 'text', 'seen_at': 'timestamp', 'contact': 'text', 'rating': 'int'"
        shop.configure(
            model=f"select * from read_csv('{self.file}', columns = {{{{{columns}}}}})".replace(
                "{{", "{"
            ).replace("}}", "}"),
            payload="{visitId: id, rating: rating}",
        )

    def has(self, **ratings: int) -> None:
        """It has these rows now."""
        rows = [f"{key},2026-11-01 10:00,{contact_id(1)},{n}" for key, n in ratings.items()]
        self.file.write_text("\n".join(["id,seen_at,contact,rating", *rows]) + "\n")

    def has_when_read_again(self, **ratings: int) -> None:
        """It has these rows from the moment on at which rows are asked for by their keys."""

        def later(*arguments: Any) -> Batches:
            self.has(**ratings)
            return self._rows_of(*arguments)

        self._patch.setattr(Reader, "rows_of", later)


@pytest.fixture
def moving(mirror: Shop, monkeypatch: pytest.MonkeyPatch) -> Model:
    return Model(mirror, monkeypatch)


def test_a_row_that_changes_between_the_readings_counts_as_it_was_last(
    mirror: Shop, moving: Model, read: Counter[str]
) -> None:
    moving.has(a=1, b=1)
    mirror.sync()
    moving.has(a=2, b=1)
    moving.has_when_read_again(a=3, b=4)

    assert mirror.sync().run["replaced"] == 1
    assert there(mirror) == {"a": 3, "b": 1}

    assert mirror.sync().run["replaced"] == 1
    assert there(mirror) == {"a": 3, "b": 4}
    read.clear()
    mirror.sync()
    assert dict(read) == {"digest": 2}


def test_a_row_that_is_as_it_was_at_the_second_reading_stays(mirror: Shop, moving: Model) -> None:
    moving.has(a=1, b=1)
    mirror.sync()
    moving.has(a=2, b=1)
    moving.has_when_read_again(a=1, b=1)

    done = mirror.sync()

    assert (done.run["replaced"], deletions(mirror), there(mirror)) == (0, 0, {"a": 1, "b": 1})


def test_a_row_that_vanishes_between_the_readings_is_not_sent(mirror: Shop, moving: Model) -> None:
    moving.has(a=1, b=1)
    mirror.sync()
    moving.has(a=2, b=1, new=3)
    moving.has_when_read_again(b=1)

    done = mirror.sync()
    assert (done.run["delivered"], done.run["removed"], deletions(mirror)) == (0, 0, 0)
    assert there(mirror) == {"a": 1, "b": 1}

    assert mirror.sync().run["removed"] == 1
    assert there(mirror) == {"b": 1}


def test_what_was_never_sent_and_vanishes_between_the_readings_is_not_sent(
    mirror: Shop, moving: Model
) -> None:
    moving.has(a=1, b=1, c=1)
    mirror.sync("--limit", "1")
    moving.has_when_read_again(a=1, b=1)

    done = mirror.sync()

    assert (done.code, there(mirror)) == (0, {"a": 1, "b": 1})
    assert counts(mirror) == {"delivered": 2, "removed": 1}


def test_a_change_that_waits_and_vanishes_between_the_readings_is_not_carried_out(
    mirror: Shop, moving: Model
) -> None:
    moving.has(a=1, **{f"r{n}": 1 for n in range(30)})
    mirror.sync()
    moving.has(a=2)
    assert mirror.sync().run["status"] == "held"  # with a change beside each of them
    moving.has(a=3, **{f"r{n}": 1 for n in range(30)})
    moving.has_when_read_again(**{f"r{n}": 1 for n in range(30)})

    done = mirror.sync()

    assert (done.run["status"], deletions(mirror)) == ("succeeded", 0)
    assert there(mirror) == {"a": 1, **{f"r{n}": 1 for n in range(30)}}
