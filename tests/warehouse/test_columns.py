"""The columns of a model, and how the names that a user writes find them."""

import pytest

from connector.rules.errors import ConfigurationError
from tests.warehouse.factories import an_activation


def test_columns_come_in_the_order_of_the_model(shop):
    columns = shop.columns(an_activation("select 1 as b, 'x' as a, 2 as c"))

    assert [column.name for column in columns] == ["b", "a", "c"]


def test_a_model_without_rows_has_columns(shop):
    columns = shop.columns(an_activation("select 1 as id where 1 = 0"))

    assert [column.name for column in columns] == ["id"]


def test_duckdb_tells_types_and_which_of_them_are_nested(duck):
    sql = "select 1 as a, [1] as b, {'x': 1} as c, map {1: 2} as d, timestamp_ns '2026-01-01' as e"

    columns = duck.columns(an_activation(sql))

    assert [column.type for column in columns][0::4] == ["INTEGER", "TIMESTAMP_NS"]
    assert [column.nested for column in columns] == [False, True, True, True, False]


def test_where_the_warehouse_tells_no_types_there_are_none(lite, postgres):
    for shop in (lite, postgres):
        (column,) = shop.columns(an_activation("select 1 as id"))

        assert (column.type, column.nested) == ("", False)


def test_names_are_found_whatever_their_capitals(shop):
    activation = an_activation(
        'select 1 as "ID", 2 as "Cursor", 3 as "X"', cursor="CURSOR", payload={"p": "x"}
    )

    assert shop.read(activation) == [(1, 2, 3)]
    with shop.warehouse().open() as reader:
        found, _ = reader.resolve(activation)
    assert set(found.columns.values()) == {"ID", "Cursor", "X"}
    assert found.name == "reviews"


def test_of_two_names_that_differ_in_capitals_the_exact_one_counts(postgres):
    sql = 'select 1 as "id", 2 as "ID"'

    assert postgres.read(an_activation(sql, row_key="ID")) == [(2,)]
    with pytest.raises(ConfigurationError, match='no column "Id"'):
        postgres.read(an_activation(sql, row_key="Id"))


def test_every_unknown_column_is_named_with_its_place_and_the_nearest_name(shop):
    activation = an_activation(
        "select 1 as id, 2 as rating, 3 as reviewed_at",
        cursor="reviewd_at",
        payload={"r": "ratng", "s": "nothing_like_it"},
    )

    with pytest.raises(ConfigurationError) as refused:
        shop.read(activation)

    assert {problem.path: problem.message for problem in refused.value.problems} == {
        ("activations", "reviews", "cursor"): 'activation "reviews": the model has no column'
        ' "reviewd_at"; did you mean "reviewed_at"?',
        ("activations", "reviews", "payload", "r"): 'activation "reviews": the model has no column'
        ' "ratng"; did you mean "rating"?',
        ("activations", "reviews", "payload", "s"): 'activation "reviews": the model has no column'
        ' "nothing_like_it"; there are: id, rating, reviewed_at',
    }


@pytest.mark.parametrize("second", ["amount", "AMOUNT"])
def test_a_column_that_stands_twice_is_refused_where_it_is_used(shop, second):
    sql = f"select 1 as id, 2 as amount, 3 as {second}, 4 as x, 5 as x"

    with pytest.raises(ConfigurationError) as refused:
        shop.read(an_activation(sql, payload={"a": "amount"}))

    assert {problem.path: problem.message for problem in refused.value.problems} == {
        ("activations", "reviews", "payload", "a"): 'activation "reviews": the model has more than'
        ' one column "amount"; give each a name of its own'
    }
    assert shop.read(an_activation(sql)) == [(1,)]


def test_a_column_that_only_looks_like_a_second_one_is_read(shop):
    sql = "select 1 as id, 2 as amount, 3 as amount_1, 4 as amount_1_1"

    assert shop.read(an_activation(sql, payload={"a": "amount", "b": "amount_1"})) == [(1, 2, 3)]


def test_a_scan_reads_each_named_column_once_and_no_other(shop):
    activation = an_activation(
        "select 1 as id, 2 as a, 3 as b, 4 as unused", payload={"x": "a", "y": "a", "z": "b"}
    )

    assert shop.read(activation) == [(1, 2, 3)]


def test_a_model_that_does_not_run_does_not_spoil_the_reader_for_the_next(shop):
    with shop.warehouse().open() as reader:
        with pytest.raises(ConfigurationError, match="does not run"):
            reader.columns(an_activation("select nothing from nowhere"))

        assert [c.name for c in reader.columns(an_activation("select 1 as id"))] == ["id"]


def test_a_sample_has_the_columns_that_are_asked_for_and_no_more_rows(shop):
    activation = an_activation("select 1 as id, 'x' as \"a b\" union all select 2, 'x'")
    with shop.warehouse().open() as reader:
        assert reader.sample(activation, ["a b"], 1) == [("x",)]
        assert len(reader.sample(activation, ["id"], 5)) == 2
        assert reader.sample(an_activation("select 1 as id where 1 = 0"), ["id"], 5) == []
