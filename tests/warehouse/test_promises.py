"""What is promised of every kind of warehouse, on each of them: the same rows, in the same order,
once; nothing written; and a large model in little memory."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from connector.rules.errors import ConfigurationError, WarehouseUnavailable
from connector.warehouse import DIGEST
from connector.warehouse.drivers import driver_of
from tests.warehouse.factories import an_activation, rows
from tests.warehouse.kinds.places import Place
from tests.warehouse.kinds.words import MANY, ROWS

ROOT = Path(__file__).parent.parent.parent
MORE = 60
"""Megabytes that a large model may take more than a small one."""
KEYS = [f"r{number}" for number in range(ROWS)]


def reviews(place: Place, sql: str = "select * from {}", **over: Any) -> Any:
    """An activation of the reviews, whose columns are written as nobody else writes them."""
    mapped = {"rating": "RATING", "price": "price", "ok": "Verified", "day": "day", "sku": "sku"}
    wanted = {"row_key": "review_id", "cursor": "Reviewed_At", "payload": mapped}
    return an_activation(sql.format(place.reviews), **wanted | over)


def read(place: Place, activation: Any, lower: Any = None) -> list[dict[str, Any]]:
    """The rows from `lower` on, by the names of their columns in small letters."""
    with place.warehouse().open() as reader:
        scan, batches = rows(reader, activation, lower)
        names = [name.lower() for name in scan.columns]
        return [dict(zip(names, row, strict=True)) for batch in batches for row in batch]


def keys(found: list[dict[str, Any]]) -> list[str]:
    return [row["review_id"] for row in found]


def test_columns_are_found_in_any_capitals_and_have_their_values(place: Place) -> None:
    first, *_ = read(place, reviews(place))

    assert (first["review_id"], first["sku"], first["rating"]) == ("r0", "S:0%x", 0)
    assert Decimal(str(first["price"])) == Decimal("0.50")
    assert bool(first["verified"]) is False
    assert str(first["day"]) == "2026-03-01"
    assert isinstance(first["day"], str if place.kind.name == "sqlite" else date)


def test_rows_come_in_the_order_of_their_cursor_those_without_one_last(place: Place) -> None:
    found = read(place, reviews(place))

    assert keys(found) == KEYS
    assert [row["rating"] for row in found] == [0, 1, 2, None, 4, 5, 6]
    assert (found[-1]["reviewed_at"] is None) == place.kind.null_moments


def test_reading_goes_on_from_any_cursor_to_the_microsecond(place: Place) -> None:
    for number, row in enumerate(read(place, reviews(place))[:-1]):
        later = keys(read(place, reviews(place), row["reviewed_at"]))

        if place.kind.microseconds:
            assert later == KEYS[number:]
        else:  # more is read than must be, and found again by its key
            assert set(KEYS[number:]) <= set(later)


def test_rows_are_counted_and_the_highest_cursor_is_found(place: Place) -> None:
    with place.warehouse().open() as reader:
        activation, _ = reader.resolve(reviews(place))
        assert activation.cursor is not None
        highest = reader.highest(activation, activation.cursor.column)

        assert reader.count(activation, None, None) == ROWS
        above = reader.count(activation, activation.cursor.column, highest)
        assert above == 1 if place.kind.microseconds else above >= 1
        assert reader.count_null(activation, activation.row_key) == 0
        without = reader.count_null(activation, [activation.cursor.column])
        assert without == place.kind.null_moments
        assert reader.has_rows(activation)


def test_keys_that_stand_twice_are_found(place: Place) -> None:
    twice = "select * from {0} union all select * from {0} where review_id = 'r1'"
    with place.warehouse().open() as reader:
        once, _ = reader.resolve(reviews(place))
        again, _ = reader.resolve(reviews(place, twice))

        assert reader.repeated_keys(once) == (0, ())
        assert reader.repeated_keys(again) == (1, ("r1",))


@pytest.mark.parametrize(
    "sql",
    [
        "with good as (select * from {} where rating >= 4) select * from good",
        "select * from {} where rating >= 4 order by review_id desc -- the newest first",
        "select * from {} where sku like '%:4%%' or rating > 4; -- 100%;",
    ],
    ids=["with", "order by", "texts"],
)
def test_a_model_is_any_query(place: Place, sql: str) -> None:
    assert keys(read(place, reviews(place, sql))) == ["r4", "r5", "r6"]


def test_an_instant_is_one_whatever_the_zone_of_the_server(place: Place) -> None:
    if place.kind.instant is None:
        pytest.skip("it has no type for instants")
    found = read(place, reviews(place, cursor="seen_at"))

    assert keys(found) == KEYS
    assert [row["seen_at"] for row in found] == [
        datetime(2026, 3, number // 2 + 1, 8, 0, 0, number, tzinfo=UTC) for number in range(ROWS)
    ]


def test_a_bound_of_an_instant_is_one_too(place: Place) -> None:
    if place.kind.instant is None:
        pytest.skip("it has no type for instants")
    bound = datetime(2026, 3, 2, 8, 0, 0, 3, tzinfo=UTC)

    found = keys(read(place, reviews(place, cursor="seen_at"), bound))

    assert found == KEYS[3:] if place.kind.microseconds else set(KEYS[3:]) <= set(found)


def test_a_sample_is_bounded_where_it_is_taken(place: Place) -> None:
    with place.warehouse().open() as reader:
        activation, _ = reader.resolve(reviews(place))
        asked: list[str] = []
        event.listen(
            reader._connection, "before_cursor_execute", lambda *said: asked.append(said[2])
        )

        assert len(reader.sample(activation, ["sku"], 2)) == 2
        assert reader.any_value(activation, "sku") is not None
    assert all("limit" in statement.lower() for statement in asked)


def test_nothing_can_be_written(place: Place) -> None:
    if not place.kind.refuses:
        pytest.skip("here nothing refuses it")
    with place.warehouse().open() as reader, pytest.raises(Exception, match=r"(?i)read[- _]?only"):
        reader._connection.execute(text(place.kind.writes))

    assert len(read(place, reviews(place))) == ROWS


def test_a_model_that_calls_what_writes_is_refused(place: Place) -> None:
    if not place.kind.side_effect:
        pytest.skip("it has no functions that write")
    activation = an_activation(place.kind.called)

    with pytest.raises((ConfigurationError, WarehouseUnavailable), match=r"(?i)read[- ]?only"):
        read(place, activation)
    assert read(place, an_activation("select count(*) as id from written"))[0]["id"] == 0


def test_the_same_rows_have_the_same_digests(place: Place) -> None:
    activation = reviews(place, cursor=None)
    with place.warehouse().open() as reader:
        resolved, columns = reader.resolve(activation)
        scan = reader.digested(reader.scan(resolved, columns), "salt")
        if scan is None:
            pytest.skip("it makes no digests; whole rows are compared")
        assert scan.columns[-1] == DIGEST
        one, other = (
            {row[-1] for batch in reader.rows(resolved, scan, None, 3) for row in batch}
            for _ in range(2)
        )

    assert len(one) == ROWS
    assert one == other


READ = """
import json, resource, sys
from pathlib import Path
from sqlalchemy import make_url
from connector.warehouse import Warehouse
from tests.warehouse.factories import an_activation, rows

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def read(last):
    sql = f"select n as id, {rest} as moved, {wide} as x from {source} where n <= {last}"
    activation = an_activation(sql.replace("{}", "x" * 100), cursor="moved", payload={"x": "x"})
    count = 0
    with Warehouse(make_url(url), Path(), connect_args=arguments).open() as reader:
        for batch in rows(reader, activation, size=2000)[1]:
            count += len(batch)
    return count

url, source, wide, rest, arguments = json.loads(sys.argv[1])
read(1000)
before = peak()
print(json.dumps([read(10**9), peak() - before]))
"""


def test_a_large_model_is_read_in_little_memory(place: Place) -> None:
    driver = driver_of(place.url)
    assert driver is not None
    if place.kind.emulated and "sql" not in place.kind.on.lower():
        pytest.skip("an emulator takes minutes for it")
    url = place.url.render_as_string(hide_password=False)
    kind = place.kind
    told = json.dumps([url, kind.many, kind.wide, kind.rest, dict(place.connect_args)])
    done = subprocess.run(
        [sys.executable, "-c", READ, told],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, more = json.loads(done.stdout)

    assert found == MANY
    assert (more < MORE) == driver.streams, f"{more} MB more"
