"""Rows in the order of (cursor, row key), from a lower bound on, each one exactly as it is."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from connector.rules.watermark import Kind, kind_of_value
from tests.warehouse.factories import an_activation, firsts, rows


def local(*parts):
    return datetime(*parts)  # noqa: DTZ001 -- times without a zone are what is tested


DUCKDB_CURSORS = {
    "timestamp": (
        "timestamp",
        [local(2026, 1, 1), local(2026, 1, 1, 0, 0, 0, 1), local(2026, 3, 29, 2, 30)],
    ),
    "timestamptz": (
        "timestamptz",
        [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)],
    ),
    "timestamp_s": ("timestamp_s", [local(2026, 1, 1), local(2026, 1, 2)]),
    "timestamp_ms": ("timestamp_ms", [local(2026, 1, 1), local(2026, 1, 1, 0, 0, 0, 1000)]),
    "timestamp_ns": ("timestamp_ns", [local(2026, 1, 1), local(2026, 1, 1, 0, 0, 0, 1)]),
    "timestamptz_ns": (
        "timestamptz_ns",
        [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)],
    ),
    "date": ("date", [date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 2)]),
    "integer": ("integer", [-1, 0, 7]),
    "bigint": ("bigint", [0, 2**62]),
    "hugeint": ("hugeint", [-(2**100), 0, 2**100]),
    "ubigint": ("ubigint", [0, 2**64 - 1]),
    "decimal": ("decimal(38, 4)", [Decimal("-0.0001"), Decimal("1.5"), Decimal(10) ** 30]),
    "text": ("varchar", ["", "A", "a", "ö"]),
}
POSTGRESQL_CURSORS = {
    "timestamp": DUCKDB_CURSORS["timestamp"],
    "timestamptz": DUCKDB_CURSORS["timestamptz"],
    "date": DUCKDB_CURSORS["date"],
    "integer": DUCKDB_CURSORS["integer"],
    "bigint": DUCKDB_CURSORS["bigint"],
    "numeric": ("numeric", [-(10**30), Decimal("1.5"), 10**30]),
    "text": ('text collate "C"', ["", "A", "a", "ö"]),
}
SQLITE_CURSORS = {
    "integer": ("integer", [-1, 0, 2**62]),
    "text": ("text", ["2025-12-31 23:59:59", "2026-01-01 00:00:00", "2026-01-01 00:00:00.5"]),
}
CURSORS = [
    pytest.param(shop, *cursor, id=f"{shop}-{name}")
    for shop, cursors in (
        ("duck", DUCKDB_CURSORS),
        ("postgres", POSTGRESQL_CURSORS),
        ("lite", SQLITE_CURSORS),
    )
    for name, cursor in cursors.items()
]
TABLE = {"table": "reviews"}
BY_CURSOR = an_activation(model=TABLE, cursor="seen")


def sql_text(value):
    return "null" if value is None else f"'{value}'"


@pytest.fixture
def filled(request):
    """A function that fills a table `reviews` of (id, seen) in a shop."""

    def fill(shop, type_, *found):
        values = ", ".join(f"({key}, {sql_text(value)})" for key, value in found)
        shop.execute(
            f"create table reviews (id integer, seen {type_})",
            f"insert into reviews values {values}",
        )
        return shop

    return fill


@pytest.mark.parametrize(("kind", "type_", "values"), CURSORS)
def test_every_cursor_type_orders_and_bounds_a_scan(kind, type_, values, filled, request):
    """Each value stands at two rows, written in an order that is not theirs; one has none."""
    shop = request.getfixturevalue(kind)
    twice = [(2 * i + 1, v) for i, v in enumerate(values)] + [
        (2 * i, v) for i, v in enumerate(values)
    ]
    filled(shop, type_, (99, None), *reversed(twice))
    expected = list(range(2 * len(values)))

    assert firsts(shop.read(BY_CURSOR)) == [*expected, 99]
    for i, value in enumerate(values):
        assert firsts(shop.read(BY_CURSOR, lower=value)) == [*expected[2 * i :], 99]


@pytest.mark.parametrize(("kind", "type_", "values"), CURSORS)
def test_the_highest_cursor_is_a_lower_bound_that_finds_its_rows(
    kind, type_, values, filled, request
):
    shop = request.getfixturevalue(kind)
    filled(shop, type_, (99, None), *enumerate(values))

    with shop.warehouse().open() as reader:
        highest = reader.highest(BY_CURSOR, "seen")
        at_least = reader.count(BY_CURSOR, "seen", highest)
        everything = reader.count(BY_CURSOR, "seen", None)

    assert highest == values[-1]
    assert (at_least, everything) == (1, len(values))
    assert kind_of_value(highest, "seen", "reviews")


@pytest.mark.parametrize("kind", ["duck", "postgres"])
def test_times_with_a_zone_come_in_utc_whatever_was_written(kind, filled, request, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    monkeypatch.setenv("PGTZ", "America/New_York")
    shop = request.getfixturevalue(kind)
    filled(shop, "timestamptz", (1, "2026-07-01 12:00:00+02:00"))

    ((_, seen),) = shop.read(BY_CURSOR)

    assert seen == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert seen.utcoffset() == timedelta(0)


@pytest.mark.parametrize("kind", ["duck", "postgres"])
def test_a_lower_bound_may_be_in_any_zone(kind, filled, request):
    shop = request.getfixturevalue(kind)
    filled(shop, "timestamptz", (1, "2026-07-01 09:59:59+00"), (2, "2026-07-01 10:00:00+00"))
    stockholm = timezone(timedelta(hours=2))

    assert firsts(shop.read(BY_CURSOR, lower=datetime(2026, 7, 1, 12, tzinfo=stockholm))) == [2]


def test_rows_with_one_cursor_come_in_the_order_of_their_keys(shop, filled):
    filled(shop, "integer", (3, 1), (1, 1), (2, 1), (0, 2))

    assert firsts(shop.read(BY_CURSOR)) == [1, 2, 3, 0]


def test_a_key_of_several_columns_orders_by_all_of_them(shop):
    sql = "select 2 as a, 1 as b union all select 1, 2 union all select 1, 1"

    assert shop.read(an_activation(sql, row_key=["a", "b"])) == [(1, 1), (1, 2), (2, 1)]


def test_without_a_cursor_the_whole_model_comes_in_the_order_of_its_keys(shop, filled):
    filled(shop, "integer", (3, 1), (1, None), (2, 5))

    assert firsts(shop.read(an_activation(model=TABLE))) == [1, 2, 3]


def test_rows_without_a_cursor_come_last_and_whatever_the_lower_bound(shop, filled):
    filled(shop, "integer", (1, None), (2, 5), (3, None), (4, 1))

    assert firsts(shop.read(BY_CURSOR)) == [4, 2, 1, 3]
    assert firsts(shop.read(BY_CURSOR, lower=5)) == [2, 1, 3]
    assert firsts(shop.read(BY_CURSOR, lower=6)) == [1, 3]


def test_a_cursor_may_be_the_row_key_itself(shop, filled):
    filled(shop, "integer", (2, 0), (1, 0), (3, 0))

    assert firsts(shop.read(an_activation(model=TABLE, cursor="id"), lower=2)) == [2, 3]


def test_batches_hold_as_many_rows_as_asked_for(shop, filled):
    filled(shop, "integer", *[(i, i) for i in range(7)], (7, None))

    batches = shop.batches(BY_CURSOR, size=3)

    assert [len(batch) for batch in batches] == [3, 3, 1, 1]


def test_a_model_without_rows_gives_none(shop):
    activation = an_activation("select 1 as id, 2 as seen where 1 = 0", cursor="seen")

    assert shop.read(activation) == []
    with shop.warehouse().open() as reader:
        assert reader.highest(activation, "seen") is None
        assert reader.count(activation, "seen", None) == 0
        assert reader.repeated_keys(activation) == (0, ())


def test_a_scan_may_be_left_half_way(shop, filled):
    filled(shop, "integer", *[(i, i) for i in range(50)])

    with shop.warehouse().open() as reader:
        _, batches = rows(reader, BY_CURSOR, size=5)
        assert firsts(next(batches)) == [0, 1, 2, 3, 4]
        batches.close()

        assert reader.count(BY_CURSOR, "seen", None) == 50


def test_a_question_in_the_middle_of_a_scan_is_refused_and_harms_nothing(shop, filled):
    filled(shop, "integer", *[(i, i) for i in range(20)])

    with shop.warehouse().open() as reader:
        _, batches = rows(reader, BY_CURSOR, size=5)
        found = next(batches)
        with pytest.raises(RuntimeError, match="in the middle of a scan"):
            reader.count(BY_CURSOR, "seen", None)
        with pytest.raises(RuntimeError, match="in the middle of a scan"):
            reader.columns(BY_CURSOR)
        found = [*found, *[row for batch in batches for row in batch]]

        assert firsts(found) == list(range(20))
        assert reader.count(BY_CURSOR, "seen", None) == 20


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "beginning"),
    [
        ("timestamp_ns", "2026-01-01 00:00:00."),
        ("time_ns", "00:00:00."),
        ("timestamptz_ns", "2026-01-01 00:00:00."),
    ],
)
def test_row_keys_that_differ_in_nanoseconds_stay_two(duck, type_, beginning):
    one, two = f"{beginning}123456001", f"{beginning}123456002"
    sql = f"select '{one}'::{type_} as k union all select '{two}'::{type_} as k"
    activation = an_activation(sql, row_key="k", cursor="k")

    with duck.warehouse().open() as reader:
        scan, batches = rows(reader, activation, size=10)
        (batch,) = [batch for batch in batches if batch]

    place = scan.columns.index(scan.key[0])
    assert [row[place][: len(one)] for row in batch] == [one, two]


def test_keys_that_stand_twice_are_counted_with_an_example(shop):
    shop.execute(
        "create table keys (a integer, b integer)",
        "insert into keys values (1, 1), (1, 1), (1, 1), (1, 2), (2, 2), (2, 2), (null, 3),"
        " (null, 3), (4, null)",
    )
    model = {"table": "keys"}

    with shop.warehouse().open() as reader:
        assert reader.repeated_keys(an_activation(model=model, row_key="a")) == (2, (1,))
        assert reader.repeated_keys(an_activation(model=model, row_key=["a", "b"])) == (2, (1, 1))
        activation = an_activation(model=model, row_key="a")
        assert reader.count_null(activation, ["a"]) == 2
        assert reader.count_null(activation, ["a", "b"]) == 3
        assert reader.count_null(activation, ["b"]) == 1


@pytest.mark.parametrize(("kind", "type_", "values"), CURSORS)
def test_the_newest_rows_behind_a_place_come_newest_first(kind, type_, values, filled, request):
    shop = filled(request.getfixturevalue(kind), type_, (99, None), *enumerate(values))
    upper = values[-1]
    if type_.endswith("_ns"):  # Python cuts what DuckDB compares
        upper = upper + timedelta.resolution

    with shop.warehouse().open() as reader:
        activation, columns = reader.resolve(BY_CURSOR)
        scan = reader.scan(activation, columns)
        behind = reader.newest_behind(activation, scan, None, upper, 9)
        last = reader.newest_behind(activation, scan, None, upper, 1)
        none = reader.newest_behind(activation, scan, upper, upper, 9)
        highest = reader.highest(activation, "seen", before=upper)
        some = reader.any_value(activation, "seen")

    expected = [i for i, value in enumerate(values) if value < upper]
    assert firsts(behind) == expected[::-1]
    assert firsts(last) == expected[-1:]
    assert none == []
    assert highest == values[expected[-1]]
    assert kind_of_value(some, "seen", "reviews") in Kind


def test_a_model_without_a_cursor_value_has_no_kind(shop):
    shop.execute(
        "create table reviews (id integer, seen integer)", "insert into reviews values (1, null)"
    )

    with shop.warehouse().open() as reader:
        assert reader.any_value(BY_CURSOR, "seen") is None
        assert reader.highest(BY_CURSOR, "seen") is None
