"""What the warehouse says of rows by digests is what reading them would say; and rows are found by
their keys, whatever those are."""

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from connector.rules.activation import Activation
from connector.rules.mapping import RowMapper, key_text
from connector.rules.values import Unreadable
from connector.warehouse import DIGEST, Scan
from tests.factories import STOCKHOLM
from tests.targets import PROVE
from tests.warehouse.factories import Shop, an_activation

ODD = (
    "",
    "a",
    "a ",
    "'",
    '"',
    "a:b",
    ":x",
    "\\",
    "%(x)s",
    "é😀",
    "1:a",
    "-",
    "a\nb",
    "NULL",
    "{a,b}",
)
TYPES: dict[str, dict[str, Sequence[str | None]]] = {
    "text": {"both": (None, *ODD)},
    "integer": {"both": (None, "0", "1", "-1", "11")},
    "bigint": {
        "both": (None, "9223372036854775807", "9223372036854775806", "-9223372036854775808")
    },
    "boolean": {"both": (None, "true", "false")},
    "double precision": {
        "both": (None, "0", "0.1", "0.10000000000000002", "1e22", "1e-300", "NaN", "Infinity", "-1")
    },
    "real": {"both": (None, "0.1", "19.99", "19.990002", "16777216", "1e-30", "NaN", "-Infinity")},
    "decimal(18,3)": {"both": (None, "0", "0.001", "-0.001", "100000000000.123")},
    "date": {"both": (None, "2026-01-31", "1970-01-01", "0001-01-01", "infinity", "-infinity")},
    "timestamp": {
        "both": (None, "2026-01-31 12:00", "2026-01-31 12:00:00.000001", "infinity", "-infinity")
    },
    "timestamptz": {
        "both": (
            None,
            "2026-01-31 12:00+00",
            "2026-01-31 12:00+02",
            "2026-10-25 00:30:00+00",
            "2026-10-25 01:30:00+00",
            "2026-01-31 12:00:00.000001+00",
            "infinity",
            "-infinity",
        )
    },
    "time": {"both": (None, "00:00", "12:00:00.000001", "23:59:59.999999")},
    "interval": {"both": (None, "1 month", "30 days", "1 hour", "60 minutes", "1 second")},
    "uuid": {
        "both": (
            None,
            "00000000-0000-0000-0000-000000000001",
            "00000000-0000-0000-0000-000000000002",
        )
    },
    "numeric": {"postgresql": (None, "1", "1.0", "NaN", "1e100", "0.1", "0.10")},
    "bytea": {"postgresql": (None, "", "a", "\\x00", "\\x5c78")},
    "jsonb": {"postgresql": (None, "1", '"1"', "true", "null", '{"a": 1}')},
    "char(3)": {"postgresql": (None, "a", "ab", "abc")},
    "timetz": {"postgresql": (None, "12:00+00", "12:00+02", "14:00+02")},
    "timestamp_ns": {
        "duckdb": (None, "2026-01-31 12:00", "2026-01-31 12:00:00.000000001", "infinity")
    },
    "timestamp_s": {"duckdb": (None, "2026-01-31 12:00", "2026-01-31 12:00:01")},
    "hugeint": {"duckdb": (None, "170141183460469231731687303715884105727", "0")},
    "blob": {"duckdb": (None, "", "a", "\\x00", "\\x5Cx00")},
}
"""Values of each type, as the warehouses read them; some of them are one value written twice."""


def types_of(kind: str) -> dict[str, Sequence[str | None]]:
    found = {name: each.get("both") or each.get(kind) for name, each in TYPES.items()}
    return {name: values for name, values in found.items() if values}


def quoted(value: str | None) -> str:
    return "null" if value is None else "'" + value.replace("'", "''") + "'"


def read(shop: Shop, activation: Activation, size: int = 7) -> tuple[Scan, list[Any]]:
    """All rows, each with its digest at its end."""
    with shop.warehouse().open() as reader:
        resolved, columns = reader.resolve(activation)
        scan = reader.digested(reader.scan(resolved, columns), "salt")
        assert scan is not None
        return scan, [r for batch in reader.rows(resolved, scan, None, size) for r in batch]


def by_keys(shop: Shop, activation: Activation, keys: Sequence[Sequence[Any]]) -> list[Any]:
    """The rows that are found by `keys`, each with its digest at its end."""
    with shop.warehouse().open() as reader:
        resolved, columns = reader.resolve(activation)
        scan = reader.digested(reader.scan(resolved, columns), "salt")
        assert scan is not None
        with closing(reader.rows_of(resolved, scan, keys, 3)) as batches:
            return [row for batch in batches for row in batch]


def mapped(activation: Activation, scan: Scan, row: Any) -> str:
    """What is made of a row, whole."""
    return repr(RowMapper(activation, None, scan.columns, STOCKHOLM, scan.key)(row))


@pytest.fixture(params=["duck", "postgres"])
def maker(request: pytest.FixtureRequest) -> Shop:
    """An empty warehouse of each kind that makes digests."""
    shop: Shop = request.getfixturevalue(request.param)
    return shop


def a_table(shop: Shop, types: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    columns = ", ".join(f'"c{n}" {kind}' for n, kind in enumerate(types))
    literals = (
        f"({n}, {', '.join(f'cast({quoted(v)} as {k})' for v, k in zip(row, types, strict=True))})"
        for n, row in enumerate(rows)
    )
    shop.execute(
        "drop table if exists t",
        f"create table t (id integer, {columns})",
        f"insert into t values {', '.join(literals)}",
    )


def of_columns(number: int, **over: Any) -> Activation:
    payload = {f"p{n}": f"c{n}" for n in range(number)}
    wanted = {"model": {"table": "t"}, "contact": {"column": "id", "identifier": "customKey"}}
    return an_activation(**{"payload": payload, **wanted, **over})


@pytest.mark.parametrize("name", TYPES)
def test_rows_have_one_digest_only_if_one_content(maker: Shop, name: str) -> None:
    values = types_of(maker.kind).get(name)
    if values is None:
        pytest.skip(f"{maker.kind} has no {name}")
    a_table(maker, [name], [[value] for value in values])
    # one contact for all, so that contents differ by the column alone
    activation = of_columns(1, contact={"column": "one", "identifier": "customKey"}).model_copy(
        update={"model": an_activation("select *, 'x' as one from t").model}
    ).named("reviews")  # fmt: skip

    scan, found = read(maker, activation)

    key = scan.columns.index("id")
    for one in found:
        for other in found:
            assert_told_apart(_without(one, key), _without(other, key), one[-1] == other[-1])


def assert_told_apart(one: Sequence[Any], other: Sequence[Any], equal: bool) -> None:
    """Digests are `equal` exactly if the values are that Python has; what Python has as less than
    the warehouse (an infinite time, an interval, a JSON null) costs at most a reading."""
    if equal or not any(isinstance(v, Unreadable | timedelta | None) for v in (*one, *other)):
        assert equal == (repr(one) == repr(other))


def a_row(kind: str) -> st.SearchStrategy[tuple[list[str], list[list[str | None]]]]:
    """Types of some columns, and rows of them that have much in common."""

    def of(types: list[str]) -> st.SearchStrategy[tuple[list[str], list[list[str | None]]]]:
        values = [st.sampled_from(list(types_of(kind)[name])[:3]) for name in types]
        row = st.tuples(*values).map(list)
        return st.tuples(st.just(types), st.lists(row, min_size=2, max_size=12))

    return st.lists(st.sampled_from(sorted(types_of(kind))), min_size=1, max_size=4).flatmap(of)


FEWER = settings(
    max_examples=400 if PROVE else 40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
"""Each makes a table and reads it back."""


@FEWER
@given(data=st.data())
def test_whatever_the_columns_equal_digests_are_equal_contents(maker: Shop, data: Any) -> None:
    types, rows = data.draw(a_row(maker.kind))
    a_table(maker, types, rows)
    activation = an_activation(
        "select *, 'x' as one from t",
        contact={"column": "one", "identifier": "customKey"},
        payload={f"p{n}": f"c{n}" for n in range(len(types))},
    )
    scan, found = read(maker, activation)
    key = scan.columns.index("id")
    keyed = {row[key]: row for row in found}

    for one, mine in keyed.items():
        for other, its in keyed.items():
            equal = mine[-1] == its[-1]
            assert_told_apart(_without(mine, key), _without(its, key), equal)
            if equal:
                assert mapped(activation, scan, keyed[one]) == mapped(
                    activation, scan, keyed[other]
                )


def _without(row: Sequence[Any], key: int) -> list[Any]:
    """The values of a row, less its key and its digest."""
    return [value for place, value in enumerate(row[:-1]) if place != key]


@FEWER
@given(
    rows=st.lists(
        st.lists(st.one_of(st.none(), st.text("ab:1-'\\|é", max_size=3)), min_size=3, max_size=3),
        min_size=2,
        max_size=20,
        unique_by=tuple,
    )
)
def test_no_two_rows_make_one_text(maker: Shop, rows: list[list[str | None]]) -> None:
    a_table(maker, ["text"] * 3, rows)

    _, found = read(maker, of_columns(3, contact={"column": "c0", "identifier": "customKey"}))

    assert len({row[-1] for row in found}) == len(rows)


def test_only_what_is_sent_is_in_the_digest(maker: Shop) -> None:
    a_table(maker, ["text", "text"], [["a", "b"]])
    activation = of_columns(1)
    before = read(maker, activation)[1][0][-1]

    maker.execute("update t set c1 = 'other'")
    assert read(maker, activation)[1][0][-1] == before

    maker.execute("update t set c0 = 'other'")
    assert read(maker, activation)[1][0][-1] != before


@pytest.mark.parametrize("part", ["contact", "created_date", "payload"])
def test_whom_when_and_what_are_all_in_it(maker: Shop, part: str) -> None:
    parts: dict[str, dict[str, Any]] = {
        "contact": {"contact": {"column": "c0", "identifier": "customKey"}, "payload": {}},
        "created_date": {"created_date": "c1", "payload": {}},
        "payload": {"payload": {"x": "c2"}},
    }
    a_table(maker, ["text", "timestamptz", "real"], [["a", "2026-01-31 12:00+00", "1"]])
    activation = of_columns(0, **parts[part])
    seen = {read(maker, activation)[1][0][-1]}

    for change in ("c0 = 'b'", "c1 = '2026-01-31 12:00:01+00'", "c2 = 2"):
        maker.execute(f"update t set {change}")
        seen.add(read(maker, activation)[1][0][-1])

    assert len(seen) == 2


def test_a_column_of_another_type_and_another_salt_give_another_digest(maker: Shop) -> None:
    activation = an_activation("select 1 as id, 1 as x", payload={"x": "x"})
    text = an_activation("select 1 as id, cast(1 as text) as x", payload={"x": "x"})
    found = {read(maker, activation)[1][0][-1], read(maker, text)[1][0][-1]}
    with maker.warehouse().open() as reader:
        resolved, columns = reader.resolve(activation)
        salted = reader.digested(reader.scan(resolved, columns), "another")
        assert salted is not None
        found.add(next(reader.rows(resolved, salted, None, 2))[0][-1])

    assert len(found) == 3


SESSIONS = {
    "postgresql": (
        "set time zone 'Asia/Tokyo'",
        "set datestyle = 'German'",
        "set extra_float_digits = -15",
        "set intervalstyle = 'sql_standard'",
        "set bytea_output = 'escape'",
    ),
    "duckdb": ("set TimeZone = 'Asia/Tokyo'",),
}


def test_what_the_session_is_set_to_is_not_in_it(maker: Shop) -> None:
    types = [name for name in types_of(maker.kind) if "json" not in name]
    rows = [[types_of(maker.kind)[name][n % 3] for name in types] for n in range(1, 3)]
    a_table(maker, types, rows)
    activation = of_columns(len(types))
    with maker.warehouse().open() as reader:
        resolved, columns = reader.resolve(activation)
        scan = reader.digested(reader.scan(resolved, columns), "salt")
        assert scan is not None
        before = [row for batch in reader.rows(resolved, scan.brief, None, 9) for row in batch]
        for statement in SESSIONS[maker.kind]:
            reader._connection.exec_driver_sql(statement)
        after = [row for batch in reader.rows(resolved, scan.brief, None, 9) for row in batch]

    assert after == before
    assert len({row[-1] for row in before}) == 2


def test_what_is_compared_is_a_key_and_a_digest_in_the_order_of_keys(maker: Shop) -> None:
    a_table(maker, ["text"], [[f"row {n % 4}"] for n in range(40)])
    twice = "select id % 30 as id, c0 from t"
    activation = of_columns(1, row_key=["c0", "id"]).model_copy(
        update={"model": an_activation(twice).model}
    ).named("reviews")  # fmt: skip
    with maker.warehouse().open() as reader:
        resolved, columns = reader.resolve(activation)
        scan = reader.digested(reader.scan(resolved, columns), "salt")
        assert scan is not None
        assert scan.brief.columns == ("c0", "id", DIGEST)
        found = [row for batch in reader.rows(resolved, scan.brief, None, 7) for row in batch]
        whole = [row for batch in reader.rows(resolved, scan, None, 7) for row in batch]

    assert len(found) == 40
    assert [tuple(row) for row in found] == sorted(tuple(row) for row in found)
    assert [row[-1] for row in whole] == [row[-1] for row in found]


def test_a_file_gives_one_digest_whether_the_values_are_read_or_not(duck: Shop) -> None:
    written = {
        "timestamp": "2026-11-01 10:00",
        "int": "01",
        "double": "1e1",
        "date": "2026-1-1",
        "boolean": "TRUE",
        "decimal(9,2)": "1.5",
    }
    file = duck.base / "rows.csv"
    file.write_text(f"id,{','.join(f'c{n}' for n in range(6))}\n1,{','.join(written.values())}\n")
    columns = ", ".join(f"'c{n}': '{kind}'" for n, kind in enumerate(written))
    model = f"select * from read_csv('{file}', columns = {{'id': 'int', {columns}}})"
    activation = an_activation(model, payload={f"p{n}": f"c{n}" for n in range(6)})
    scan, whole = read(duck, activation)
    with duck.warehouse().open() as reader:
        resolved, _ = reader.resolve(activation)
        brief = [row for batch in reader.rows(resolved, scan.brief, None, 9) for row in batch]

    assert brief[0][-1] == whole[0][-1]


@pytest.mark.parametrize("name", TYPES)
def test_rows_are_found_by_keys_of_every_type(maker: Shop, name: str) -> None:
    values = types_of(maker.kind).get(name)
    if values is None:
        pytest.skip(f"{maker.kind} has no {name}")
    a_table(maker, [name], [[value] for value in values])
    activation = of_columns(1, row_key=["c0", "id"])
    scan, rows = read(maker, activation)
    places = [scan.columns.index(column) for column in scan.key]
    keyed = {key_text([row[i] for i in places]): row for row in rows}
    usable = {key: row for key, row in keyed.items() if key is not None}
    assert usable

    for key, row in usable.items():
        (found,) = by_keys(maker, activation, [[row[i] for i in places]])
        assert repr(found) == repr(row), key
    some = list(usable.values())[::2]
    found = by_keys(maker, activation, [[row[i] for i in places] for row in some])
    assert sorted(map(repr, found)) == sorted(map(repr, some))


def test_keys_are_whole_and_other_rows_are_not_found(maker: Shop) -> None:
    rows = [[a, b] for a in ODD for b in ODD]
    a_table(maker, ["text", "text"], rows)
    activation = of_columns(2, row_key=["c0", "c1"])
    wanted = [[a, a + "x"] for a in ODD] + [list(pair) for pair in pairwise(ODD)]

    found = by_keys(maker, activation, wanted)

    assert sorted(tuple(row[:2]) for row in found) == sorted(pairwise(ODD))


def test_of_a_repeated_key_all_rows_are_found_and_of_one_that_is_gone_none(maker: Shop) -> None:
    a_table(maker, ["text"], [["a"], ["b"]])
    maker.execute("insert into t values (0, 'c')")

    found = by_keys(maker, of_columns(1), [[0], [99]])

    assert sorted(row[1] for row in found) == ["a", "c"]
    assert by_keys(maker, of_columns(1), []) == []


def test_a_collation_makes_no_other_key_of_one(duck: Shop) -> None:
    model = "select 'a' collate nocase as id union all select 'A'"

    assert [row[0] for row in by_keys(duck, an_activation(model), [["A"]])] == ["A"]


def test_a_row_that_changes_in_between_has_the_digest_of_what_was_read(maker: Shop) -> None:
    a_table(maker, ["text"], [["a"]])
    activation = of_columns(1)
    before = read(maker, activation)[1][0][-1]

    maker.execute("update t set c0 = 'b'")
    (row,) = by_keys(maker, activation, [[0]])
    after = read(maker, activation)[1][0]

    assert (row[1], row[-1]) == ("b", after[-1])
    assert row[-1] != before


def test_others_make_none(lite: Shop) -> None:
    lite.execute("create table t (id integer, x text)", "insert into t values (1, 'a'), (2, 'b')")
    activation = an_activation(model={"table": "t"}, payload={"x": "x"})
    with lite.warehouse(lock_timeout=timedelta(seconds=5)).open() as reader:
        resolved, columns = reader.resolve(activation)
        scan = reader.scan(resolved, columns)
        assert reader.digested(scan, "salt") is None
        # … and find rows by their keys all the same
        assert list(reader.rows_of(resolved, scan, [[2]], 5)) == [[(2, "b")]]


def test_names_and_texts_with_colons_are_what_they_are(maker: Shop) -> None:
    sql = """select 1 as id, 'x:y' as "a:b", ':z' as "it's" """
    activation = an_activation(sql, payload={"x": "a:b", "y": "it's"})

    (row,) = by_keys(maker, activation, [[1]])

    assert row[1:3] == ("x:y", ":z")
    assert len(row[-1]) == 32


def test_no_md5_is_asked_of_postgresql(postgres: Shop) -> None:
    """It fails where only approved cryptography is allowed; sha256() does not."""
    asked = list[str]()

    def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    a_table(postgres, ["text"], [["a"]])
    event.listen(Engine, "before_cursor_execute", look)
    try:
        read(postgres, of_columns(1))
    finally:
        event.remove(Engine, "before_cursor_execute", look)

    assert any("sha256(" in statement for statement in asked)
    assert not any("md5(" in statement for statement in asked)
