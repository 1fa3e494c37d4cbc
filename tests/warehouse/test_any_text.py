"""Whatever stands in a user's SQL, wrapping it never changes what it means."""

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from connector.warehouse import Warehouse
from tests.warehouse.factories import an_activation, rows

COLONS = [":", "::", ":lower", ":1", "\\", "\\:"]
PERCENTS = ["%", "%s", "%%", "%(lower)s"]
ENDINGS = [";", "--", "/*", "*/", "'", '"', "$$", "E'", "\n", "\r\n", "\t", " "]
OTHERS = ["$1", "?", "{", "}", "@", "#", "`", "ö", "\U0001f600"]
TRICKY = st.sampled_from([*COLONS, *PERCENTS, *ENDINGS, *OTHERS])
TEXTS = st.lists(
    TRICKY | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4),
    max_size=12,
).map("".join)
ANYTHING = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@pytest.fixture(scope="module")
def duckdb_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "warehouse.duckdb"
    duckdb.connect(path).close()
    return path


@pytest.fixture(params=["duckdb", "sqlite", "postgresql"])
def reader(request, duckdb_file, tmp_path):
    if request.param == "duckdb":
        url = make_url(f"duckdb:///{duckdb_file}")
    elif request.param == "sqlite":
        (tmp_path / "warehouse.db").touch()
        url = make_url(f"sqlite:///{tmp_path}/warehouse.db")
    else:
        url = request.getfixturevalue("postgresql").address
    with Warehouse(url, tmp_path).open() as reader:
        yield reader


@ANYTHING
@example("", "", ";")
@example("it's", "\\", "")
@example("a\\:b", "%(lower)s", " -- '")
@example("E'", "\\'", "; -- ';")
@given(TEXTS, TEXTS, st.sampled_from(["", ";", " ; ", " -- ; '", "; -- '", " /* ; ' */", "\n;\n"]))
def test_texts_in_the_sql_of_a_model_come_out_as_they_went_in(reader, one, two, ending):
    sql = f"select {literal(one)} as id, {literal(two)} as x, 1 as at{ending}"
    activation = an_activation(sql, cursor="at", payload={"x": "x"})

    _, batches = rows(reader, activation, lower=1)

    assert [tuple(row) for batch in batches for row in batch] == [(one, 1, two)]


@ANYTHING
@given(TEXTS.filter(lambda name: name and name.upper() not in ("TRUE", "FALSE")))
def test_a_column_of_any_name_is_found(reader, name):
    """SQLite calls a column of a subquery that is named TRUE "column1"."""
    name = name.encode()[:63].decode(errors="ignore") or "a"  # PostgreSQL cuts them there
    escaped = name.replace('"', '""')
    activation = an_activation(f'select 1 as "{escaped}"', row_key=name)

    _, batches = rows(reader, activation)

    assert [tuple(row) for batch in batches for row in batch] == [(1,)]
