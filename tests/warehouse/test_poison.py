"""A value that cannot be held spoils its own row, and no other; and none becomes another value."""

import json
import math
import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from unittest.mock import Mock, patch

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.ledger.home import Home
from connector.ledger.questions import Questions
from connector.rules.errors import ConfigurationError, WarehouseUnavailable
from connector.rules.interaction import Interaction, Invalid
from connector.rules.values import Finer, Unreadable, exact_time, single
from connector.rules.watermark import Watermark
from connector.sync.reading import Source, plan
from connector.sync.sorting import sort_out
from connector.warehouse.conversion import reading
from connector.warehouse.sessions import prepare
from tests.factories import STOCKHOLM, a_schema
from tests.warehouse.factories import Shop, an_activation

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TIMES = {
    "date": ("infinity", "-infinity", "20260-01-03", "BC"),
    "timestamp": ("infinity", "-infinity", "20260-01-03 00:00", "BC"),
    "timestamptz": ("infinity", "-infinity", "20260-01-03 00:00+00", "BC"),
    "time": ("24:00",),
    "timetz": ("24:00:00+00",),
}
BC = {"duckdb": "0044-03-15 (BC)"}
GOOD = {
    "date": "2026-01-31",
    "timestamp": "2026-01-31 12:00",
    "timestamptz": "2026-01-31 12:00+00",
    "time": "12:00",
    "timetz": "12:00:00+00",
}
POISON = [(kind, value) for kind, values in TIMES.items() for value in values]


def local(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 -- a time without a zone


class Nothing(Questions):
    """A memory of an activation that has never run, or that stands at `mark`."""

    def __init__(self, mark: Watermark | None = None) -> None:
        self.mark = mark

    def home(self, activation: str) -> Home:
        return Home(mark=self.mark or Watermark(), begun=self.mark is not None)

    def known(self, activation: str, keys: Any) -> dict[str, Any]:
        return {}

    def some_keys(self, activation: str, after: int, limit: int) -> list[tuple[int, str]]:
        return []


def staged(shop: Any, activation: Any, mark: Watermark | None = None) -> tuple[Any, Any]:
    """What a run would record, by row key, and the watermark after it."""
    schema = a_schema(**dict.fromkeys(activation.payload, "string"))
    found: dict[str, Interaction | Invalid] = {}
    without = 0
    with shop.warehouse().open() as reader:
        planned = plan(Source(activation, schema, reader, Nothing(mark), STOCKHOLM, NOW))
        position = planned.mark
        for rows in planned.rows():
            batch = sort_out(rows, planned, {}, "run")
            position = planned.advanced(position, batch.cursors, NOW)
            found |= {row.row_key: row.content for row in batch.new}
            without += batch.without_key
    return (found, without), position


def table(shop: Any, kind: str, value: str) -> None:
    """Three rows, the second of which is poisoned."""
    poison = BC.get(shop.kind, "0044-03-15 BC") if value == "BC" else value
    rows = ", ".join(f"({n}, '{x}')" for n, x in ((1, GOOD[kind]), (2, poison), (3, GOOD[kind])))
    shop.execute(f"create table t (id integer, x {kind})", f"insert into t values {rows}")


@pytest.mark.parametrize("shop_kind", ["duck", "postgres", "psycopg2", "redshift"])
@pytest.mark.parametrize(("kind", "value"), POISON)
def test_in_a_payload_it_makes_its_row_invalid_and_no_other(shop_kind, kind, value, request):
    shop = request.getfixturevalue(shop_kind)
    table(shop, kind, value)
    activation = an_activation(model={"table": "t"}, payload={"when": "x"})

    (found, _), _ = staged(shop, activation)

    assert [type(found[key]) for key in "123"] == [Interaction, Invalid, Interaction]
    assert found["2"].reason.startswith("when: the column x holds a")
    assert kind in found["2"].reason
    assert "20260" not in found["2"].reason


@pytest.mark.parametrize("shop_kind", ["duck", "postgres", "psycopg2", "redshift"])
@pytest.mark.parametrize(
    ("kind", "value"), [each for each in POISON if not each[0].startswith("time") or "-" in each[1]]
)
def test_as_a_cursor_and_a_created_date_it_moves_no_watermark(shop_kind, kind, value, request):
    shop = request.getfixturevalue(shop_kind)
    table(shop, kind, value)
    for over in ({"cursor": "x"}, {"created_date": "x"}, {"cursor": "x", "created_date": "x"}):
        (found, _), mark = staged(shop, an_activation(model={"table": "t"}, **over))

        assert [type(found[key]) for key in "123"] == [Interaction, Invalid, Interaction]
        for part in over:
            assert f"{part}: the column x holds a" in found["2"].reason
        if "cursor" in over:
            assert str(mark.value)[:10] == "2026-01-31"
            # … and the row is seen again by the next run, wherever it stands in the order
            (again, _), _ = staged(shop, an_activation(model={"table": "t"}, **over), mark)
            assert "2" in again


@pytest.mark.parametrize("shop_kind", ["duck", "postgres", "psycopg2", "redshift"])
@pytest.mark.parametrize(("kind", "value"), POISON)
def test_as_a_row_key_it_is_told_and_the_others_go_on(shop_kind, kind, value, request):
    shop = request.getfixturevalue(shop_kind)
    table(shop, kind, value)
    activation = an_activation(model={"table": "t"}, row_key=["id", "x"])

    (found, without), _ = staged(shop, activation)

    assert (len(found), without) == (2, 1)


@pytest.mark.parametrize(
    ("shop_kind", "kind", "good", "value"),
    [
        *(
            (shop_kind, kind, GOOD[kind], value)
            for shop_kind in ("duck", "postgres", "psycopg2", "redshift")
            for kind in ("date", "timestamp", "timestamptz")
            for value in TIMES[kind]
        ),
        *(("postgres", "numeric", "1.5", value) for value in ("NaN", "Infinity", "-Infinity")),
    ],
)
def test_where_it_comes_first_it_is_not_taken_for_what_the_cursor_is(
    shop_kind, kind, good, value, request
):
    shop = request.getfixturevalue(shop_kind)
    poison = BC.get(shop.kind, "0044-03-15 BC") if value == "BC" else value
    values = f"(1, '{poison}'), (2, '{good}')"
    shop.execute(f"create table t (id integer, x {kind})", f"insert into t values {values}")
    activation = an_activation(model={"table": "t"}, cursor="x")
    (_, _), mark = staged(shop, activation)
    shop.execute("delete from t where id = 2", f"insert into t values (3, '{good}')")

    (found, _), again = staged(shop, activation, mark)  # what is known of it is looked at anew

    assert isinstance(found["3"], Interaction)
    assert again == mark
    shop.execute("delete from t where id > 1")
    assert staged(shop, activation, mark)[1] == mark  # and where there is nothing else


@pytest.mark.parametrize("start", ["all", "now"])
@pytest.mark.parametrize("shop_kind", ["duck", "postgres"])
@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_a_model_that_ends_in_infinity_can_be_started(shop_kind, kind, start, request):
    shop = request.getfixturevalue(shop_kind)
    table(shop, kind, "infinity")

    (_, _), mark = staged(shop, an_activation(model={"table": "t"}, cursor="x", start=start))

    assert mark.kind is not None
    assert str(mark.value)[:10] == "2026-01-31"


@pytest.mark.parametrize("end", ["infinity", "-infinity"])
def test_nanoseconds_may_be_infinite_too(duck, end):
    values = f"(1, '2026-01-30'), (2, '{end}'), (3, '2026-01-31')"
    duck.execute("create table t (id integer, x timestamp_ns)", f"insert into t values {values}")
    for start in ("all", "now"):
        activation = an_activation(model={"table": "t"}, cursor="x", start=start)
        (found, _), mark = staged(duck, activation)
        assert str(mark.value)[:10] == "2026-01-31"
        assert isinstance(found.get("2", Invalid("")), Invalid)
        (again, _), _ = staged(duck, activation, mark)
        assert isinstance(again["2"], Invalid)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_spoils_its_own_row(postgres, value):
    table_of = f"insert into t values (1, 1.5), (2, '{value}'), (3, 2.5)"
    postgres.execute("create table t (id integer, x numeric)", table_of)
    for over in ({"cursor": "x"}, {"payload": {"x": "x"}}):
        (found, _), _ = staged(postgres, an_activation(model={"table": "t"}, **over))

        assert [type(found[key]) for key in "123"] == [Interaction, Invalid, Interaction]


def test_the_last_day_of_the_calendar_is_a_day(duck, postgres):
    for shop in (duck, postgres):
        shop.execute(
            "create table t (id integer, x date, y timestamp)",
            "insert into t values (1, '9999-12-31', '9999-12-31 23:59:59.999999'),"
            " (2, '0001-01-01', '0001-01-01')",
        )
        activation = an_activation(model={"table": "t"}, payload={"x": "x", "y": "y"})

        found = shop.read(activation)

        assert [tuple(row) for row in found] == [
            (1, date.max, local(9999, 12, 31, 23, 59, 59, 999_999)),
            (2, date.min, local(1, 1, 1)),
        ]


@pytest.mark.parametrize("kind", ["json", "jsonb"])
@pytest.mark.parametrize(
    "deep", ["repeat('9', 5000)", "repeat('[', 2000) || repeat(']', 2000)"], ids=["wide", "deep"]
)
def test_json_that_python_cannot_hold_spoils_its_own_row(postgres, kind, deep):
    postgres.execute(
        f"create table t (id integer, x {kind})",
        f"insert into t values (1, '5'), (2, ({deep})::{kind}), (3, '6')",
    )
    activation = an_activation(model={"table": "t"}, payload={"p": "x"})

    (found, _), _ = staged(postgres, activation)

    assert [type(found[key]) for key in "123"] == [Interaction, Invalid, Interaction]


def test_a_text_that_is_no_utf8_spoils_its_own_row(lite):
    lite.execute(
        "create table t (id text, x text)",
        "insert into t values ('1', 'a'), ('2', cast(x'ff61' as text)), ('3', 'é')",
    )
    (found, _), _ = staged(lite, an_activation(model={"table": "t"}, payload={"p": "x"}))

    assert found["2"] == Invalid("p: a text that is no Unicode")
    assert json.loads(found["3"].payload) == {"p": "é"}
    (found, without), _ = staged(lite, an_activation(model={"table": "t"}, row_key="x"))
    assert (sorted(found), without) == (["a", "é"], 1)
    (found, _), mark = staged(lite, an_activation(model={"table": "t"}, cursor="x"))
    assert isinstance(found["2"], Invalid)
    assert mark.value == "é"


def test_a_text_with_a_nul_is_no_place_in_the_order(lite):
    """PostgreSQL keeps none, and so no watermark of it."""
    lite.execute(
        "create table t (id text, x text)",
        "insert into t values ('1', 'a'), ('2', 'b' || char(0)), ('3', 'é')",
    )

    (found, _), mark = staged(lite, an_activation(model={"table": "t"}, cursor="x"))

    assert found["2"] == Invalid(
        "cursor: the column x holds a text with characters that are none,"
        " so the row has no place in the order"
    )
    assert [type(found[key]) for key in "13"] == [Interaction, Interaction]
    assert mark.value == "é"


@pytest.mark.parametrize(
    "setting",
    ["datestyle = 'German, DMY'", "intervalstyle = 'iso_8601'", "extra_float_digits = -5"],
)
def test_what_a_role_has_set_changes_no_value(postgres, setting):
    database = postgres.url.database
    postgres.execute(f'alter database "{database}" set {setting}')
    try:
        sql = "select 1 as id, date '2026-02-01' as d, 0.1::float8 + 0.2::float8 as f,"
        sql += " timestamptz '2026-02-01 12:00+01' as t"
        activation = an_activation(sql, payload={"d": "d", "f": "f", "t": "t"})
        ((_, day, number, moment),) = postgres.read(activation)
    finally:
        postgres.execute(f'alter database "{database}" reset all')

    assert (day, number) == (date(2026, 2, 1), 0.1 + 0.2)
    assert moment == datetime(2026, 2, 1, 11, tzinfo=UTC)


@pytest.fixture
def psycopg2(postgres: Shop) -> Shop:
    """The same warehouse through another driver of PostgreSQL, which Redshift has alone."""
    pytest.importorskip("psycopg2")
    return Shop(postgres.url.set(drivername="postgresql+psycopg2"), postgres.base)


@pytest.mark.parametrize("shop_kind", ["postgres", "psycopg2"])
@pytest.mark.parametrize("session", [(), ("set client_encoding to 'LATIN1'",)])
@pytest.mark.parametrize("preferred", ["LATIN1", "SQL_ASCII"])
def test_a_text_is_the_same_whatever_encoding_a_server_prefers(
    shop_kind, session, preferred, request
):
    shop = request.getfixturevalue(shop_kind)
    database = shop.url.database
    shop.execute(f"alter database \"{database}\" set client_encoding = '{preferred}'")
    try:
        with shop.warehouse(session=session).open() as reader:
            resolved, columns = reader.resolve(activation := an_activation("select 'bäd 😀' as id"))
            ((row,),) = [
                b for b in reader.rows(activation, reader.scan(resolved, columns), None, 2) if b
            ]
    finally:
        shop.execute(f'alter database "{database}" reset all')

    assert row[0] == "bäd 😀"


@pytest.fixture
def redshift(psycopg2: Shop) -> Shop:
    """The same with Redshift's dialect."""
    pytest.importorskip("sqlalchemy_redshift")
    return Shop(psycopg2.url.set(drivername="redshift+psycopg2"), psycopg2.base)


@pytest.mark.parametrize("shop_kind", ["postgres", "psycopg2"])
@pytest.mark.parametrize(
    "value", ["true", "'\\x00'::bytea", "gen_random_uuid()", "'[1]'::jsonb", "'[1,5)'::int4range"]
)
def test_what_is_no_cursor_is_a_mistake_of_the_configuration(shop_kind, value, request):
    """PostgreSQL knows no largest of some of them, and says no more than that."""
    shop = request.getfixturevalue(shop_kind)
    activation = an_activation(f"select 1 as id, {value} as x", cursor="x")

    with pytest.raises(ConfigurationError, match="a cursor is a time, a date, an integer"):
        staged(shop, activation)


def test_what_a_driver_cannot_hold_stops_the_reading_and_is_no_defect(postgres):
    activation = an_activation("select 1 as id")
    with postgres.warehouse().open() as reader:
        resolved, columns = reader.resolve(activation)
        scan = reader.scan(resolved, columns)
        rows = Mock(side_effect=ValueError("year 20260 of anna@example.com is out of range"))
        with (
            patch("sqlalchemy.engine.CursorResult.partitions", rows),
            pytest.raises(WarehouseUnavailable, match="driver cannot hold") as raised,
        ):
            list(reader.rows(resolved, scan, None, 10))

    assert "anna" not in str(raised.value)


# --- digits ---------------------------------------------------------------------------------------


def texts(shop: Any, expression: str, **spec: Any) -> Any:
    """What a property is sent as, for a value that a model selects."""
    activation = an_activation(f"select 1 as id, {expression} as x", payload={"p": "x"})
    schema = a_schema(p=spec or {"type": "string"})
    with shop.warehouse().open() as reader:
        planned = plan(Source(activation, schema, reader, Nothing(), STOCKHOLM, NOW))
        ((row,),) = planned.rows()
    content = planned.mapper(row)
    return content.reason if isinstance(content, Invalid) else json.loads(content.payload)["p"]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("19.99::float", "19.99"),
        ("0.1::float", "0.1"),
        ("1e22::float", "10000000000000000000000"),
        ("16777217::float", "16777216.0"),
        ("-0.5::float", "-0.5"),
        ("19.99::double", "19.99"),
        ("4.50::decimal(9,2)", "4.50"),
        ("timestamp_ns '2026-01-01 00:00:00.123456789'", "2026-01-01T00:00:00.123456789+01:00"),
        ("timestamp_ns '2026-01-01 00:00:00.000000009'", "2026-01-01T00:00:00.000000009+01:00"),
        ("timestamp_ns '1960-01-01 00:00:00.000000001'", "1960-01-01T00:00:00.000000001+01:00"),
        ("timestamp_ns '2026-01-01 00:00:00.12'", "2026-01-01T00:00:00.120000+01:00"),
        (
            "timestamptz_ns '2026-01-01 00:00:00.123456789+00'",
            "2026-01-01T00:00:00.123456789+00:00",
        ),
        ("time_ns '12:00:00.123456789'", "12:00:00.123456789"),
        ("time_ns '12:00:00'", "12:00:00"),
        ("time_ns '24:00:00'", "p: the column x holds a time_ns of 24:00, which no day has"),
        ("170141183460469231731687303715884105727::hugeint", str(2**127 - 1)),
    ],
)
def test_every_digit_of_duckdb_is_sent(duck, expression, text):
    assert texts(duck, expression) == text


def test_a_float_of_32_bits_is_the_number_that_was_written(duck, postgres):
    for shop, kind in ((duck, "float"), (postgres, "real")):
        assert texts(shop, f"19.99::{kind}", type="number") == 19.99


@pytest.mark.parametrize("shop_kind", ["postgres", "psycopg2"])
@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
        ("1.10", "1.10"),
        ("-0.5", "-0.5"),
        ("12345678901234567890", "12345678901234567890"),
        ("1e999", "p: the column x holds a json too large"),
        ("1e-999", "p: the column x holds a json too large"),
        ("1e-999999999", "p: the column x holds a json too large"),
    ],
)
def test_every_digit_of_json_is_sent(shop_kind, number, text, request):
    assert texts(request.getfixturevalue(shop_kind), f"'{number}'::json") == text


@pytest.mark.parametrize("shop_kind", ["postgres", "psycopg2"])
def test_a_number_of_json_is_a_number(shop_kind, request):
    shop = request.getfixturevalue(shop_kind)

    assert texts(shop, "' 19.990 '::jsonb", type="number") == 19.99
    (found, _), _ = staged(shop, an_activation("select '19.990'::jsonb as id"))
    assert list(found) == ["19.99"]


def test_nanoseconds_of_a_created_date_are_sent(duck):
    sql = "select 1 as id, timestamp_ns '2026-01-31 12:00:00.123456789' as x"
    (found, _), _ = staged(duck, an_activation(sql, created_date="x", cursor="x"))

    assert found["1"].created == "2026-01-31T11:00:00.123456789Z"
    assert found["1"].digest


def test_the_text_of_a_key_stays_what_it_was(duck):
    """Rows are recorded under it."""
    for kind, key in (("19.99::float", "19.989999771118164"), ("4::float", "4")):
        sql = f"select {kind} as id"
        (found, _), _ = staged(duck, an_activation(sql, payload={"p": "id"}))

        assert list(found) == [key]


@given(st.floats(width=32))
@example(2.0**-149)
@example(38794232.0)
@example(struct.unpack("f", struct.pack("I", 0x7F7FFFFF))[0])
def test_the_shortest_number_of_a_float_of_32_bits_is_that_float(value: float) -> None:
    found = single(value)

    if not math.isfinite(value):
        assert found is value
        return
    assert struct.unpack("f", struct.pack("f", found))[0] == value
    assert math.copysign(1, found) == math.copysign(1, value)
    with duckdb.connect() as connection:
        ((text,),) = connection.execute("select cast(?::float as varchar)", [value]).fetchall()
    assert digits(repr(found)) <= digits(text)


def digits(number: str) -> int:
    """How many digits a number has, however it is written."""
    return len(Decimal(number).normalize().as_tuple().digits)


@given(st.datetimes(local(1700, 1, 1), local(2200, 1, 1)), st.integers(0, 999))
def test_a_time_of_nanoseconds_is_read_as_it_is_written(moment: datetime, nanos: int) -> None:
    text = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond:06}{nanos:03}".rstrip("0").rstrip(".")
    expected = Finer(moment, f"{nanos:03}".rstrip("0")) if nanos else moment

    assert exact_time(text, "timestamp_ns") == expected


# --- MySQL ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_a_session_of_mysql_is_in_utc_and_its_timestamps_are_instants(dialect):
    connection = Mock()
    connection.dialect.name = dialect

    prepare(connection)

    connection.exec_driver_sql.assert_any_call("SET time_zone = '+00:00'")
    timestamp, day, without = (reading(dialect, code) for code in ("7", "10", "12"))
    moment = local(2026, 1, 1)
    assert timestamp is not None
    assert day is not None
    assert without is not None
    assert timestamp(moment) == moment.replace(tzinfo=UTC)
    assert without(moment) == moment
    assert isinstance(day("0000-00-00"), Unreadable)
