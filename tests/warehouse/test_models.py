"""From what a user writes under `model:` to one SELECT, untouched; and what is refused."""

import json

import pytest

from connector.rules.errors import ConfigurationError
from connector.warehouse.models import one_query
from tests.warehouse.factories import an_activation

SHOP = ("create table reviews (id integer, email varchar(50))",)
ONE = "insert into reviews values (1, 'a')"


def payload_of(shop, sql, *columns, row_key="id"):
    """The values of `columns` in the first row of the model `sql`."""
    activation = an_activation(sql, row_key=row_key, payload={c: c for c in columns})
    return tuple(shop.read(activation)[0][-len(columns) :])


def refusal(shop, sql):
    with pytest.raises(ConfigurationError) as refused:
        shop.columns(an_activation(sql))
    return str(refused.value)


# --- the user's SQL stands as it is written -------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("select 1 as id, '12:30' as x", "12:30"),
        ("select 1 as id, ':lower :1 ::x' as x", ":lower :1 ::x"),
        ("select 1 as id, 'a\\:b \\\\:c \\' as x", "a\\:b \\\\:c \\"),
        ("select 1 as id, '50% %s %(x)s %%' as x", "50% %s %(x)s %%"),
        ("select 1 as id, '? $1 {x} @y' as x", "? $1 {x} @y"),
        ("select 1 as id, 'a;b' as x", "a;b"),
        ("select 1 as id, 'a''b;''' as x;", "a'b;'"),
        ("select 1 as id, '-- no comment' as x", "-- no comment"),
        ("select 1 as id, 'ö;é\U0001f600;' as x ; ", "ö;é\U0001f600;"),
        ("select 1 as id, 'x' as x -- a comment; it's the end", "x"),
        ("select 1 as id, 'x' as x; -- a comment; it's the end", "x"),
        ("select 1 as id, 'x' as x /* a ; 'b */", "x"),
        ("select 1 as id, 'x' as x\r\n;;\n ; \t", "x"),
        ("-- first; a comment\nselect 1 as id, 'x' as x", "x"),
        ("with a as (select 1 as id), b as (select *, 'x' as x from a) select * from b", "x"),
        ("select 1 as id, 'x' as x union all select 2, 'y' order by 1", "x"),
        ("select 1 as id, case when 'axb' like 'a%b' then 'like' end as x", "like"),
        ("select id, x from (select 1 as id, 'x' as x) as model", "x"),
    ],
)
def test_the_sql_of_a_model_means_what_it_says(shop, sql, value):
    assert payload_of(shop, sql, "x") == (value,)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("select 1 as id, '7'::integer::varchar as x", "7"),
        ("select 1 as id, {'a': 1, 'b': {'c': 2}}.b.c as x", 2),
        ("""select 1 as id, '{"a": {"b": 5}}'::json ->> '$.a.b' as x""", "5"),
        ("select 1 as id, [1, 2, 3, 4][2:3]::varchar as x", "[2, 3]"),
        ("select 1 as id, map {'a': 1}['a'] as x", 1),
        ("select 1 as id, $$a;b:c$$ as x", "a;b:c"),
        ("select 1 as id, $tag$a;b:c$tag$ as x;", "a;b:c"),
        ("select 1 as id, e'it\\'s; ok' as x", "it's; ok"),
        ("from (select 1 as id, 'x' as x)", "x"),
        ("pivot (select 1 as id, 'x' as name, 3 as n) on name using sum(n)", 3),
        ("select 1 as id, strftime(timestamp '2026-01-02 03:04:05', '%H:%M') as x", "03:04"),
        ("select 1 as id, 7 % 4 as x", 3),
    ],
)
def test_the_dialect_of_duckdb_means_what_it_says(duck, sql, value):
    assert payload_of(duck, sql, "x") == (value,)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("select 1 as id, '7'::integer::text as x", "7"),
        ("""select 1 as id, '{"a": {"b": 5}}'::jsonb #>> '{a,b}' as x""", "5"),
        ("""select 1 as id, ('{"a": 1}'::jsonb ? 'a')::text as x""", "true"),
        ("""select 1 as id, ('{"a": 1}'::jsonb @? '$.a')::text as x""", "true"),
        ("select 1 as id, $$a;b:c$$ as x", "a;b:c"),
        ("select 1 as id, $tag$a;b:c%s$tag$ as x;", "a;b:c%s"),
        ("select 1 as id, e'it\\'s; ok' as x", "it's; ok"),
        ("select 1 as id, (array[1, 2, 3])[2:3]::text as x", "{2,3}"),
        ("select 1 as id, to_char(timestamp '2026-01-02 03:04:05', 'HH24:MI') as x", "03:04"),
        ("select 1 as id, 7 % 4 as x", 3),
    ],
)
def test_the_dialect_of_postgresql_means_what_it_says(postgres, sql, value):
    assert payload_of(postgres, sql, "x") == (value,)


@pytest.mark.parametrize(
    "name",
    [
        "Mixed Case",
        "lower :lower",
        ":b",
        "a:b",
        "50 %",
        "%s %(x)s %%",
        'quo"te',
        "back\\slash",
        "back\\:slash",
        "ö;é",
        "select",
        "it's",
    ],
)
def test_a_column_may_have_any_name(shop, name):
    spelt = name.replace('"', '""')
    sql = f"""select 1 as "{spelt}", 'x' as x"""
    activation = an_activation(sql, row_key=name, cursor=name, payload={"p": "x"})

    assert shop.read(activation, lower=1) == [(1, "x")]
    with shop.warehouse().open() as reader:
        assert reader.highest(activation, name) == 1
        assert reader.count(activation, name, 1) == 1
        assert reader.repeated_keys(activation) == (0, ())
        assert reader.count_null(activation, [name]) == 0


# --- files, tables, dbt ---------------------------------------------------------------------------


def test_a_model_is_read_from_its_file(shop):
    shop.write("models/a.sql", "\ufeffselect 1 as id, 'ö' as x;\n-- end\n")

    assert shop.read(an_activation(model="models/a.sql", payload={"x": "x"})) == [(1, "ö")]


def test_a_file_that_is_not_there_is_named_with_the_nearest(duck):
    duck.write("models/reviews.sql", "select 1 as id")

    with pytest.raises(ConfigurationError, match=r"no file .*reveiws\.sql; did you mean \"rev"):
        duck.columns(an_activation(model="models/reveiws.sql"))
    with pytest.raises(ConfigurationError, match=r"there is no file .*nowhere/a\.sql"):
        duck.columns(an_activation(model="nowhere/a.sql"))
    for text in ("select 1 as id", f"with a as\n(select {'1,' * 300}) ", "crm.reviews", "reviews"):
        with pytest.raises(ConfigurationError, match=r"a query is written \{sql: …\}, a table"):
            duck.columns(an_activation(model=text))


def test_a_file_that_is_no_text_is_refused(duck):
    (duck.base / "a.sql").write_bytes(b"select\n'\xff\xfe'")
    (duck.base / "b.sql").write_bytes("select 1".encode("utf-16"))

    with pytest.raises(ConfigurationError, match=r"a\.sql:2:1: not a text in UTF-8; save"):
        duck.columns(an_activation(model="a.sql"))
    with pytest.raises(ConfigurationError, match=r"b\.sql:1:1: not a text in UTF-8 \(UTF-16"):
        duck.columns(an_activation(model="b.sql"))
    with pytest.raises(ConfigurationError, match=r"cannot read it: Is a directory"):
        duck.columns(an_activation(model="."))


@pytest.mark.parametrize(
    "sql",
    [
        "select * from {{ ref('reviews') }}",
        "{{ config(materialized='table') }}\nselect 1 as id",
        "select 1 as id {% if x %} where true {% endif %}",
    ],
)
@pytest.mark.parametrize("dialect", ["duckdb", "postgresql", "snowflake", "bigquery", "mssql"])
def test_a_model_that_is_written_for_dbt_says_how_to_name_it(sql, dialect):
    with pytest.raises(ConfigurationError, match=r"a\.sql: holds Jinja .* model: \{dbt: NAME\}"):
        one_query(sql, dialect, "a.sql")


@pytest.mark.parametrize(
    "sql",
    [
        "select '{{ x }} {% y %}' as id",
        "select 1 as id -- {{ x }}",
        "select {'a': {'b': 1}} as id",
        "select $${{ x }}$$ as id",
    ],
)
def test_braces_in_texts_comments_and_values_are_no_jinja(sql):
    assert one_query(sql, "duckdb", "a.sql") == sql


@pytest.mark.parametrize("text", ["", "\n\n", "-- nothing yet", "/* nothing */", ";"])
def test_an_empty_file_is_refused_by_name(shop, text):
    shop.write("model.sql", text)

    with pytest.raises(
        ConfigurationError, match=r"^model\.sql: is not a query; a model is one SEL"
    ):
        shop.columns(an_activation())


def test_a_table_is_a_model(shop):
    shop.execute(*SHOP, ONE)

    assert shop.read(an_activation(model={"table": "reviews"})) == [(1,)]


@pytest.mark.parametrize("name", ["Order Lines", "50%", "a:b :c", "select"])
def test_a_table_may_have_any_name(shop, name):
    shop.execute(f'create table "{name}" (id integer)', f'insert into "{name}" values (1)')

    assert shop.read(an_activation(model={"table": name})) == [(1,)]


@pytest.mark.parametrize("kind", ["duck", "postgres"])
def test_a_table_may_stand_in_a_schema(kind, request):
    shop = request.getfixturevalue(kind)
    shop.execute("create schema mart", "create table mart.reviews as select 1 as id")

    assert shop.read(an_activation(model={"table": "mart.reviews"})) == [(1,)]


def test_a_table_that_is_not_there_is_refused(shop):
    with pytest.raises(ConfigurationError, match=r'"reviews": the model does not run: .*nowhere'):
        shop.columns(an_activation(model={"table": "nowhere"}))


def manifest(**models):
    nodes = {
        f"model.shop.{name}": {"resource_type": kind, "name": name, "relation_name": relation}
        for name, (kind, relation) in models.items()
    }
    return json.dumps({"metadata": {}, "nodes": nodes})


def test_a_dbt_model_is_found_in_the_manifest(shop):
    shop.execute(*SHOP, ONE)
    shop.write("target/manifest.json", manifest(stg=("model", '"reviews"')))

    assert shop.read(an_activation(model={"dbt": "stg"})) == [(1,)]


def test_a_dbt_model_that_is_not_there_is_named_with_the_nearest(duck):
    models = manifest(reviews=("model", "r"), review_test=("test", None), eph=("model", None))
    duck.write("target/manifest.json", models)

    with pytest.raises(ConfigurationError, match='no model "review"; did you mean "reviews"'):
        duck.columns(an_activation(model={"dbt": "review"}))
    with pytest.raises(ConfigurationError, match='no relation of "eph"; run `dbt build`'):
        duck.columns(an_activation(model={"dbt": "eph"}))


def test_without_a_manifest_it_is_said_how_to_get_one(duck):
    with pytest.raises(ConfigurationError, match=r"no dbt manifest at .*; run `dbt parse`"):
        duck.columns(an_activation(model={"dbt": "reviews"}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": []}', '{"nodes": {"a": 1}}', "nul"])
def test_a_manifest_that_is_none_is_refused(duck, text):
    duck.write("target/manifest.json", text)

    with pytest.raises(ConfigurationError, match=r"is not a dbt manifest|dbt has no model"):
        duck.columns(an_activation(model={"dbt": "reviews"}))


# --- what is not one query ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 as id; select 2 as id",
        "select 1 as id; drop table reviews",
        "select ';' as id; -- and\n delete from reviews;",
        ";select 1 as id",
    ],
)
def test_more_than_one_statement_is_refused(shop, sql):
    shop.execute(*SHOP)

    assert refusal(shop, sql) == ("the model: holds more than one statement; a model is one SELECT")


@pytest.mark.parametrize(
    "sql",
    [
        "insert into reviews values (1, 'a')",
        "update reviews set id = 2",
        "delete from reviews",
        "with gone as (delete from reviews returning *) select * from gone",
        "merge into reviews using reviews as r on true when matched then delete",
        "drop table reviews",
        "truncate reviews",
        "create table copied as select * from reviews",
        "copy reviews to 'reviews.csv'",
        "copy (select 1 as id) to 'reviews.csv'",
        "set timezone = 'UTC'",
        "explain select 1 as id",
        "attach 'other.db' as other",
        "call something()",
        "vacuum",
        "begin",
    ],
)
def test_what_is_not_a_query_is_refused_and_does_nothing(shop, sql, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shop.execute(*SHOP, ONE)

    said = refusal(shop, sql)

    assert "is not a query; a model is one SELECT" in said or "does not run" in said
    assert shop.read(an_activation(model={"table": "reviews"})) == [(1,)]
    assert not (tmp_path / "reviews.csv").exists()


@pytest.mark.parametrize("sql", ["select 'abc as id", 'select "abc as id', "select 1 as id /* x"])
def test_a_text_without_an_end_is_refused_in_the_warehouses_words(shop, sql):
    assert 'activation "reviews": the model does not run: ' in refusal(shop, sql)


@pytest.mark.parametrize("sql", ["selec 1 as id", "select 1 as id from nowhere", "select 1 as"])
def test_sql_that_does_not_run_is_refused(shop, sql):
    assert "is not a query" in refusal(shop, sql) or "does not run" in refusal(shop, sql)


def test_a_query_that_would_lock_rows_is_refused(postgres):
    postgres.execute(*SHOP)

    assert "read-only transaction" in refusal(postgres, "select id from reviews for update")
