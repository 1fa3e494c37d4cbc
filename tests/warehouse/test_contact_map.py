"""A map from identifiers to contactIds in the warehouse: asked for what is needed, then closed."""

from datetime import timedelta
from uuid import UUID

import duckdb
import psycopg
import pytest

from connector.rules.errors import ConfigurationError, WarehouseUnavailable
from connector.warehouse import ContactMap, lookup_columns
from tests.warehouse.factories import an_activation

ONE = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
TWO = "3f2504e0-4f89-11d3-9a0c-0305e82c3302"
FILL = (
    "create table crm (email varchar(99), contact_id varchar(40), number integer)",
    f"insert into crm values ('a@x.se', '{ONE}', 12), ('b@x.se', ' {TWO} ', 13),"
    f" ('b@x.se', '{ONE}', 13), ('b@x.se', '{ONE}', 13), ('c@x.se', null, 14),"
    f" ('d@x.se', ' ', 15), (null, '{ONE}', null), ('it''s%:x@x.se', '{TWO}', 16)",
)

strict = pytest.mark.parametrize("shop", ["duck", "postgres"], indirect=True)
"""Warehouses that have UUIDs, and refuse a cast that cannot be."""


def a_map(shop, **lookup):
    wanted = {"table": "crm", "key": "email"} | lookup
    if {"sql", "file"} & lookup.keys():
        del wanted["table"]
    activation = an_activation(
        "select 1 as id", contact={"column": "id", "lookup": wanted | {"contact_id": "contact_id"}}
    )
    assert activation.contact.lookup is not None
    return ContactMap(
        shop.warehouse(lock_timeout=timedelta(seconds=1)).open,
        activation,
        activation.contact.lookup,
    )


def test_every_contact_id_of_an_identifier_is_found_once(shop):
    shop.execute(*FILL)

    found = a_map(shop).find(["a@x.se", "b@x.se", "c@x.se", "d@x.se", "e@x.se", "it's%:x@x.se"])

    assert {contact: sorted(ids) for contact, ids in found.items()} == {
        "a@x.se": [ONE],
        "b@x.se": [ONE, TWO],
        "it's%:x@x.se": [TWO],
    }


def test_identifiers_are_compared_to_the_letter(shop):
    shop.execute(*FILL)

    assert a_map(shop).find(["A@x.se", "a@x.se "]) == {}


def test_numbers_are_compared_as_text(shop):
    shop.execute(*FILL)

    assert a_map(shop, key="number").find(["12", "012", "12.0"]) == {"12": [ONE]}


def test_a_select_is_taken_as_it_stands(shop):
    shop.execute(*FILL)
    sql = "with x as (select *, '50%:y' as note from crm) select * from x where note like '%:y'; --"

    assert a_map(shop, sql=sql).find(["a@x.se"]) == {"a@x.se": [ONE]}
    shop.write("maps/crm.sql", "select lower(email) as email, contact_id from crm -- all")
    assert a_map(shop, file="maps/crm.sql").find(["a@x.se"]) == {"a@x.se": [ONE]}


def test_more_identifiers_than_a_statement_takes_are_asked_for(shop):
    shop.execute(*FILL)
    many = [f"{n}@x.se" for n in range(1200)]

    assert a_map(shop).find([*many, "a@x.se"]) == {"a@x.se": [ONE]}


@strict
def test_ids_that_are_uuids_are_read_as_text(shop):
    shop.execute(*FILL)
    sql = "select email, cast(trim(contact_id) as uuid) as contact_id from crm where number = 12"

    assert a_map(shop, sql=sql).find(["a@x.se"]) == {"a@x.se": [str(UUID(ONE))]}


def test_columns_are_found_whatever_their_capitals(shop):
    shop.execute(*FILL)
    contact_map = a_map(shop, key="EMAIL")

    assert contact_map.find(["a@x.se"]) == {"a@x.se": [ONE]}
    with shop.warehouse().open() as reader:
        found = lookup_columns(contact_map.activation, contact_map.lookup, reader)
    assert found == ("email", "contact_id")


def test_the_key_is_named_as_the_column_of_the_contact_where_nothing_else_is_said(shop):
    shop.execute(*FILL)
    lookup = {"sql": "select email as id, contact_id from crm"}
    activation = an_activation("select 1 as id", contact={"column": "id", "lookup": lookup})

    assert activation.contact.lookup is not None
    contact_map = ContactMap(shop.warehouse().open, activation, activation.contact.lookup)

    assert contact_map.find(["a@x.se"]) == {"a@x.se": [ONE]}


@pytest.mark.parametrize(
    ("lookup", "words"),
    [
        ({"key": "emial"}, 'the lookup has no column "emial"; did you mean "email"?'),
        (
            {"sql": "select email, contact_id, 'x' as contact_id from crm"},
            'the lookup has more than one column "contact_id"; give each a name of its own',
        ),
        ({"table": "crmm"}, "the lookup does not run"),
        ({"sql": "select 1; select 2"}, "the lookup: holds more than one statement"),
        ({"sql": "drop table crm"}, "the lookup: is not a query"),
        ({"file": "nowhere.sql"}, "there is no file"),
    ],
)
def test_a_lookup_that_cannot_be_asked_is_told_where_it_is_written(shop, lookup, words):
    shop.execute(*FILL)

    with pytest.raises(ConfigurationError) as caught:
        a_map(shop, **lookup).find(["a@x.se"])

    (problem,) = caught.value.problems
    assert words in problem.message
    assert problem.path == ("activations", "reviews", "contact", "lookup")


@strict
def test_nobody_is_named_when_the_warehouse_fails_over_a_value(shop):
    shop.execute(*FILL)
    sql = "select email, cast(email as integer) as contact_id from crm"

    with pytest.raises(WarehouseUnavailable, match="reading the lookup failed") as caught:
        a_map(shop, sql=sql).find(["a@x.se"])

    assert "x.se" not in str(caught.value)


def test_the_file_is_let_go_of_between_two_questions(duck):
    duck.execute(*FILL)
    contact_map = a_map(duck)
    contact_map.find(["a@x.se"])

    with duckdb.connect(str(duck.url.database)) as connection:
        connection.execute(f"insert into crm values ('new@x.se', '{TWO}', 99)")

    assert contact_map.find(["new@x.se"]) == {"new@x.se": [TWO]}


def test_an_index_of_postgresql_serves_the_question(postgres):
    postgres.execute(
        "create table crm (email text, contact_id uuid)",
        "insert into crm select 'c' || i || '@x.se', gen_random_uuid()"
        " from generate_series(1, 50000) i",
        "create index on crm (email)",
        "analyze crm",
    )

    assert list(a_map(postgres).find(["c7@x.se"])) == ["c7@x.se"]
    with psycopg.connect(postgres.url.render_as_string(hide_password=False)) as server:
        plan = server.execute(
            "explain select distinct cast(email as varchar), contact_id from (select * from crm)"
            " as contacts where cast(email as varchar) in ('c1@x.se', 'c2@x.se')"
        ).fetchall()

    assert "Index" in str(plan)


def test_identifiers_that_the_warehouse_takes_for_equal_are_found_each(shop):
    """By a collation, capitals are one; and DISTINCT leaves one of what is one."""
    folds = shop.url.get_backend_name() in ("sqlite", "duckdb")
    folding = "collate nocase" if folds else ""
    shop.execute(
        f"create table crm (email varchar(99) {folding}, contact_id varchar(40))",
        f"insert into crm values ('A@x.se', '{ONE}'), ('a@x.se', '{ONE}'), ('B@x.se', '{TWO}')",
    )

    found = a_map(shop).find(["a@x.se", "A@x.se", "b@x.se"])

    assert {name: found.get(name) for name in ("a@x.se", "A@x.se", "b@x.se")} == {
        "a@x.se": [ONE],
        "A@x.se": [ONE],
        "b@x.se": None,
    }
