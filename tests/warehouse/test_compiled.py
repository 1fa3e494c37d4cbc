"""What SQL Server and Oracle are asked, word for word: no server of either is there to ask.

SQL Server takes no WITH and no ORDER BY in a derived table; Oracle has no LIMIT, and no AS before
the name of a table. That both read what stands here is what their documentation says.
"""

import pytest
import sqlglot
from sqlalchemy.dialects.mssql import pymssql, pyodbc
from sqlalchemy.dialects.oracle import oracledb

from connector.rules.errors import ConfigurationError
from connector.warehouse.derived import as_table, with_first
from connector.warehouse.models import one_query
from tests.warehouse.compiled import QUESTIONS, statements

MODEL = """with best as (select * from reviews)
select * from best where rating > 3
order by at -- newest last"""
SQL_SERVER = """
(
select * from best where rating > 3
 -- newest last
) as model"""
ORACLE = f"""
(
{MODEL}
) "model\""""

ASKED_OF_SQL_SERVER = {
    "columns": ["select * from{model} where 1 = 0"],
    "count from a bound": ["select count(*) from{model} where [at] >= ?"],
    "highest": ["select max([at]) from{model} where [at] is not null"],
    "any row": ["SELECT TOP 1 1 FROM{model}"],
    "a sample": ["SELECT TOP 3 [rating] FROM{model}"],
    "keys that stand twice": [
        "select count(*) from ( select [id] from{model} where [id] is not null group by [id]"
        " having count(*) > 1 ) as repeated",
        "select [id] from{model} where [id] is not null group by [id] having count(*) > 1"
        " order by [id]",
    ],
    "rows in their order": [
        "select [id], [at], [rating] from{model} where [at] >= ? order by [at], [id]",
        "select [id], [at], [rating] from{model} where [at] is null order by [at], [id]",
    ],
}
ASKED_OF_ORACLE = {
    "columns": ["select * from{model} where 1 = 0"],
    "count from a bound": ['select count(*) from{model} where "at" >= :connector_lower_bound'],
    "highest": ['select max("at") from{model} where "at" is not null'],
    "any row": ["SELECT 1 FROM{model} FETCH FIRST 1 ROWS ONLY"],
    "a sample": ['SELECT "rating" FROM{model} FETCH FIRST 3 ROWS ONLY'],
    "keys that stand twice": [
        'select count(*) from ( select "id" from{model} where "id" is not null group by "id"'
        ' having count(*) > 1 ) "repeated"',
        'select "id" from{model} where "id" is not null group by "id" having count(*) > 1'
        ' order by "id"',
    ],
    "rows in their order": [
        'select "id", "at", "rating" from{model} where "at" >= :connector_lower_bound'
        ' order by "at", "id"',
        'select "id", "at", "rating" from{model} where "at" is null order by "at", "id"',
    ],
}


def plain(sql: str) -> str:
    """`sql` with one blank wherever it has some."""
    return " ".join(sql.split())


@pytest.mark.parametrize("question", QUESTIONS)
def test_sql_server_is_asked_with_the_with_first_and_no_order_within(question: str) -> None:
    asked = statements(pyodbc.dialect(paramstyle="qmark"), question, MODEL)

    lifted = "with best as (select * from reviews) "
    expected = [lifted + each.format(model=SQL_SERVER) for each in ASKED_OF_SQL_SERVER[question]]
    assert list(map(plain, asked)) == list(map(plain, expected))
    for each in asked:
        sqlglot.parse_one(each, read="tsql")


@pytest.mark.parametrize("question", QUESTIONS)
def test_oracle_is_asked_without_as_and_limit(question: str) -> None:
    asked = statements(oracledb.dialect(), question, MODEL)

    expected = [each.format(model=ORACLE) for each in ASKED_OF_ORACLE[question]]
    assert list(map(plain, asked)) == list(map(plain, expected))
    for each in asked:
        sqlglot.parse_one(each, read="oracle")


def test_another_driver_of_sql_server_is_asked_the_same() -> None:
    for question in QUESTIONS:
        asked = statements(pymssql.dialect(paramstyle="pyformat"), question, MODEL)
        other = statements(pyodbc.dialect(paramstyle="qmark"), question, MODEL)
        assert [each.replace("%(connector_lower_bound)s", "?") for each in asked] == other


LIFTED = {
    "two, of which one names its columns": (
        "with a (x) as (select 1), b as (select x from a where x <> ')') select x from b",
        "with a (x) as (select 1), b as (select x from a where x <> ')')\n",
        "select x from b",
    ),
    "an order with a top": (
        "with a as (select top 2 x from t order by x) select top 3 x from a order by x desc",
        "with a as (select top 2 x from t order by x)\n",
        "select top 3 x from a order by x desc",
    ),
    "no with": ("select x from t order by x", "", "select x from t "),
    "an order of a union": (
        "select top 3 x from t union all select x from u order by x",
        "",
        "select top 3 x from t union all select x from u ",
    ),
    "pages": (
        "select x from t order by x offset 3 rows fetch next 2 rows only",
        "",
        "select x from t order by x offset 3 rows fetch next 2 rows only",
    ),
    "an order of a window": (
        "select row_number() over (order by x) as n from t",
        "",
        "select row_number() over (order by x) as n from t",
    ),
    "words in texts, names and comments": (
        "select 'with ( order by' as [order by], x /* (with */ from t -- order by (",
        "",
        "select 'with ( order by' as [order by], x /* (with */ from t -- order by (",
    ),
    "what cannot be read": ("select 'without an end", "", "select 'without an end"),
}


@pytest.mark.parametrize(("model", "first", "rest"), LIFTED.values(), ids=LIFTED)
def test_what_sql_server_does_not_take_is_moved_or_left_out(model, first, rest) -> None:
    asked = f"select count(*) from {as_table('mssql', model, 'model')} where [x] >= ?"

    found = with_first(asked)

    assert found == f"{first}select count(*) from {as_table('mssql', rest, 'model')} where [x] >= ?"


def test_the_semicolon_that_people_write_before_with_is_none_of_another_statement():
    assert one_query(";WITH a AS (SELECT 1 AS id) SELECT * FROM a;", "mssql", "m").startswith(
        "WITH"
    )
    with pytest.raises(ConfigurationError, match="more than one statement"):
        one_query(";WITH a AS (SELECT 1 AS id) SELECT * FROM a; DELETE FROM a", "mssql", "m")
