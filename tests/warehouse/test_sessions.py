"""What a driver is given beside the URL, and what is said on a connection before a model is read.

Secrets stand in both; none of them comes back in an error.
"""

import gc
import traceback
from typing import Any

import pytest
from sqlalchemy import make_url, text

from connector.rules.errors import ConfigurationError, WarehouseUnavailable
from connector.warehouse import Warehouse
from connector.warehouse.sessions import mask
from tests.warehouse.factories import Shop, an_activation

ONE = an_activation("select 1 as id")
SECRET = "hunter2-of-the-warehouse"


def asked(shop: Shop, question: str, **options: Any) -> Any:
    """One value, by a reader that was opened with `options`."""
    with shop.warehouse(**options).open() as reader:
        return reader._connection.execute(text(question)).scalar()


def told(refused: pytest.ExceptionInfo[BaseException]) -> str:
    return "".join(traceback.format_exception(refused.value))


def test_statements_are_run_on_each_connection_in_their_order(duck: Shop) -> None:
    session = ["create temp table t as select 40 as x", "update t set x = x + 2; -- 100%"]

    assert asked(duck, "select x from t", session=session) == 42
    assert asked(duck, "select x from t", session=session) == 42


def test_a_role_or_a_path_that_is_set_stays_set(postgres: Shop) -> None:
    postgres.execute("create schema mart", "create table mart.t as select 1 as id")
    session = ["SET search_path = mart"]

    with postgres.warehouse(session=session).open() as reader:
        with pytest.raises(ConfigurationError):
            reader.columns(an_activation("select nothing from nowhere"))
        assert reader.count(an_activation(model={"table": "t"}), None, None) == 1


def test_a_connection_leaves_nothing_behind_that_psycopg_keeps(postgres: Shop) -> None:
    """A process that serves makes one for each run, for months."""
    from psycopg.adapt import Loader

    assert asked(postgres, "select 1") == 1
    before = len(Loader.__subclasses__())

    assert [asked(postgres, "select 1") for _ in range(3)] == [1, 1, 1]

    gc.collect()
    assert len(Loader.__subclasses__()) == before


def test_a_session_stays_read_only_and_in_utc_whatever_is_said(postgres: Shop) -> None:
    session = [
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET TIME ZONE 'Europe/Stockholm'",
    ]

    assert asked(postgres, "show transaction_read_only", session=session) == "on"
    assert asked(postgres, "show timezone", session=session) == "UTC"


def test_a_statement_that_is_wrong_is_named_without_what_it_holds(shop: Shop) -> None:
    session = ["select 1", f"  FROBNICATE session SET token = '{SECRET}'"]

    with pytest.raises((ConfigurationError, WarehouseUnavailable)) as refused:
        asked(shop, "select 1", session=session)

    assert "session, statement 2 (FROBNICATE session …) failed: " in str(refused.value)
    assert SECRET not in told(refused)
    if isinstance(refused.value, ConfigurationError):
        (problem,) = refused.value.problems
        assert problem.path == ("warehouse", "session", 1)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("set x7hunter2 = 1", "(set …)"),
        (f"'{SECRET}'", "(…)"),
        ("LOAD no_such_extension", "(LOAD no_such_extension …)"),
    ],
)
def test_only_words_are_shown_of_a_statement(duck: Shop, statement: str, words: str) -> None:
    with pytest.raises((ConfigurationError, WarehouseUnavailable)) as refused:
        asked(duck, "select 1", session=[statement])

    assert words in str(refused.value)
    assert "hunter2" not in told(refused)


def test_a_driver_is_given_its_arguments(postgres: Shop, duck: Shop, lite: Shop) -> None:
    named = {"application_name": "the connector"}

    assert asked(postgres, "show application_name", connect_args=named) == "the connector"
    assert asked(lite, "select 1", connect_args={"timeout": 1}) == 1
    limit = "select current_setting('memory_limit')"
    assert asked(duck, limit, connect_args={"config": {"memory_limit": "100MiB"}}) == "100.0 MiB"


def test_a_password_may_be_an_argument(tmp_path) -> None:
    url = make_url("postgresql://anna@127.0.0.1:1/shop")
    warehouse = Warehouse(url, tmp_path, connect_args={"password": SECRET, "options": SECRET})

    with pytest.raises(WarehouseUnavailable) as refused, warehouse.open():
        pass

    assert SECRET not in told(refused)


@pytest.mark.parametrize("kind", ["duck", "lite", "postgres"])
def test_an_argument_that_a_driver_does_not_know_is_named_without_its_value(kind, request) -> None:
    shop = request.getfixturevalue(kind)

    with pytest.raises((ConfigurationError, WarehouseUnavailable)) as refused:
        asked(shop, "select 1", connect_args={"no_such_thing": SECRET})

    assert "no_such_thing" in str(refused.value)
    assert SECRET not in told(refused)


def test_a_file_of_an_argument_is_found_beside_the_configuration(tmp_path) -> None:
    (tmp_path / "keys").mkdir()
    warehouse = Warehouse(
        make_url("postgresql://host/db"),
        tmp_path / "keys",
        connect_args={"private_key_file": "key.p8", "token_file_path": "/run/token", "role": "r"},
    )

    assert warehouse._arguments == {
        "private_key_file": str((tmp_path / "keys/key.p8").resolve()),
        "token_file_path": "/run/token",
        "role": "r",
    }


def test_secrets_are_taken_out_of_a_text_and_names_of_files_stay() -> None:
    masked = mask(
        {
            "token": SECRET,
            "deep": {"list": ["another secret"]},
            "key_file": "/keys/a.p8",
            "on": "1",
        },
        "p4ssword",
    )

    said = f"1: {SECRET} of another secret in /keys/a.p8 by p4ssword"
    assert masked(said) == "1: *** of *** in /keys/a.p8 by ***"
