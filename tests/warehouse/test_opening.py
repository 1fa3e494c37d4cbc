"""Opening a warehouse: read-only, patient with a writer, and with sentences where it cannot be."""

import sqlite3
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from connector.rules.errors import ConfigurationError, WarehouseUnavailable
from connector.warehouse import Warehouse
from tests.warehouse.factories import Shop, an_activation

ONE = an_activation("select 1 as id")
HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
connection.close()
print("released", flush=True)
sys.stdin.readline()
"""


@contextmanager
def held(shop):
    """Another process that has the file open for writing, until it is told to let go."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(shop.url.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()


def open_and_close(warehouse):
    with warehouse.open():
        pass


def release(holder):
    holder.stdin.write("go\n")
    holder.stdin.flush()


# --- a writer holds the file ----------------------------------------------------------------------


def test_a_file_that_a_writer_holds_for_too_long_is_out_of_reach_and_the_writer_named(duck):
    impatient = duck.warehouse(lock_timeout=timedelta(milliseconds=200))

    with held(duck) as holder, pytest.raises(WarehouseUnavailable) as refused, impatient.open():
        pass

    said = str(refused.value)
    assert f"(process {holder.pid}); waited 0.2 s for it to be released" in said
    assert "warehouse.duckdb is held by" in said


def test_a_file_that_a_writer_releases_in_time_is_read(duck):
    duck.execute("create table reviews as select 7 as id")

    with held(duck) as holder:
        soon = threading.Timer(0.3, release, [holder])
        soon.start()

        assert duck.read(an_activation(model={"table": "reviews"})) == [(7,)]
        assert holder.stdout.readline() == "released\n"
        soon.join()


def test_the_file_is_free_for_writers_as_soon_as_the_reader_is_closed(duck):
    with duck.warehouse().open() as reader:
        reader.columns(ONE)

    with held(duck):
        pass
    duck.execute("create table written_after_reading (id integer)")


def test_a_reader_that_failed_frees_the_file_too(duck):
    with pytest.raises(ConfigurationError), duck.warehouse().open() as reader:
        reader.columns(an_activation("select nothing from nowhere"))

    with held(duck):
        pass


def test_two_readers_read_one_file_at_once(shop):
    with shop.warehouse().open() as one, shop.warehouse().open() as two:
        assert one.columns(ONE) == two.columns(ONE)


# --- read-only ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write", ["insert into t values (2)", "drop table t", "create table u (id integer)"]
)
def test_nothing_can_be_written_even_by_our_own_mistake(shop, write):
    shop.execute("create table t (id integer)", "insert into t values (1)")

    with shop.warehouse().open() as reader, pytest.raises(Exception, match=r"read[- ]?only"):
        reader._connection.execute(text(write))

    assert shop.read(an_activation(model={"table": "t"})) == [(1,)]


def test_postgresql_stays_read_only_after_a_failure(postgres):
    with postgres.warehouse().open() as reader:
        with pytest.raises(ConfigurationError):
            reader.columns(an_activation("select nothing from nowhere"))
        setting = reader._connection.execute(text("show transaction_read_only")).scalar()
        zone = reader._connection.execute(text("show timezone")).scalar()

    assert (setting, zone) == ("on", "UTC")


def test_duckdb_stays_in_utc_after_a_failure(duck):
    with duck.warehouse().open() as reader:
        with pytest.raises(ConfigurationError):
            reader.columns(an_activation("select nothing from nowhere"))
        zone = reader._connection.execute(text("select current_setting('TimeZone')")).scalar()

    assert zone == "UTC"


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        (kind, folder)
        for kind in ("sqlite", "duckdb")
        for folder in ("order #1", "what?", "100%25", "ö & ü", "a'b")
        if (kind, folder) != ("duckdb", "what?")  # DuckDB itself cannot write there
    ],
)
def test_a_file_may_have_any_path(tmp_path, folder, kind):
    (tmp_path / folder).mkdir()
    url = make_url(f"{kind}://").set(database=f"{tmp_path}/{folder}/warehouse.x")
    shop = Shop(url, tmp_path)
    shop.execute("create table t (id integer)", "insert into t values (1)")

    assert shop.read(an_activation(model={"table": "t"})) == [(1,)]


# --- what cannot be opened ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_file_that_is_not_there_is_out_of_reach_and_not_created(tmp_path, kind):
    warehouse = Warehouse(make_url(f"{kind}:///{tmp_path}/nothing.db"), tmp_path)

    with pytest.raises(WarehouseUnavailable, match=r"cannot open the warehouse .*nothing\.db"):
        open_and_close(warehouse)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_file_that_is_no_database_is_out_of_reach(tmp_path, kind):
    (tmp_path / "a.db").write_text("this is not a database, and long enough for a header" * 200)
    warehouse = Warehouse(make_url(f"{kind}:///{tmp_path}/a.db"), tmp_path)

    with (
        pytest.raises((WarehouseUnavailable, ConfigurationError), match="not a"),
        warehouse.open() as reader,
    ):
        reader.columns(an_activation(model={"table": "t"}))


def test_a_server_out_of_reach_is_named_without_its_secrets(tmp_path):
    url = "postgresql://anna:hunter2@127.0.0.1:1/shop?passfile=hunter3"

    with pytest.raises(WarehouseUnavailable) as refused:
        open_and_close(Warehouse(make_url(url), tmp_path))

    told = "".join(traceback.format_exception(refused.value))
    assert "cannot open the warehouse postgresql://anna:***@127.0.0.1:1/shop: " in told
    assert "hunter" not in told


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://host/db", "write postgresql:// instead of postgres://"),
        ("postgresql+pg8000://host/db", r"engage-connector\[postgres\]\", and write postgresql://"),
    ],
)
def test_a_url_for_another_driver_of_postgresql_says_what_to_write(tmp_path, url, expected):
    with pytest.raises(ConfigurationError, match=expected):
        open_and_close(Warehouse(make_url(url), tmp_path))


def test_a_kind_of_warehouse_without_a_driver_says_what_to_install(tmp_path):
    with pytest.raises(ConfigurationError, match=r'pip install "engage-connector\[databricks\]"'):
        open_and_close(Warehouse(make_url("databricks://u:p@account/db"), tmp_path))
    with pytest.raises(ConfigurationError, match=r"no driver for nonsense is installed; install"):
        open_and_close(Warehouse(make_url("nonsense://x"), tmp_path))
    with pytest.raises(ConfigurationError, match=r'no driver for duckbd .*; did you mean "duckdb"'):
        open_and_close(Warehouse(make_url("duckbd:///shop.duckdb"), tmp_path))


# --- what errors tell -----------------------------------------------------------------------------


PRIVATE = "o'brien@example.com"
FAILING = {
    "duck": [
        "cast(value as integer)",
        "cast(value || chr(10) || 'next' as integer)",
        "strptime(value, '%Y')",
        "json_extract(value, '$.a')",
        "error(value)",
        "cast(phone as smallint)",
        "cast(value as date)",
    ],
    "postgres": [
        "cast(value as integer)",
        "cast(value || chr(10) || 'next' as integer)",
        "to_date(value, 'YYYY')",
        "cast(value as json)",
        "cast(phone as smallint)",
        "cast(value as date)",
        "cast(value as uuid)",
    ],
    "lite": ["json_extract(value, '$.a')"],
}


@pytest.mark.parametrize(
    ("kind", "expression"), [(kind, each) for kind, many in FAILING.items() for each in many]
)
def test_an_error_while_reading_shows_no_value_of_a_row(kind, expression, request):
    shop = request.getfixturevalue(kind)
    escaped = PRIVATE.replace("'", "''")
    shop.execute(
        "create table t (id integer, value varchar(99), phone bigint)",
        f"insert into t values (1, '{escaped}', 46701234567)",
    )
    activation = an_activation(f"select id, {expression} as x from t", payload={"x": "x"})

    with pytest.raises(WarehouseUnavailable, match=r"^reading the model failed: .") as refused:
        shop.read(activation)

    told = "".join(traceback.format_exception(refused.value))
    for part in ("brien", "example", "46701", "next"):
        assert part not in told


def test_an_error_while_reading_still_says_what_went_wrong(duck, postgres):
    for shop, words in ((duck, "Could not convert string … to INT32"), (postgres, "integer: …")):
        shop.execute("create table t (id integer, x varchar(9))", "insert into t values (1, 'a')")
        activation = an_activation("select id, cast(x as integer) as x from t", payload={"x": "x"})

        with pytest.raises(WarehouseUnavailable, match=words):
            shop.read(activation)


def test_a_file_that_vanishes_under_a_reader_is_out_of_reach(lite):
    lite.execute("create table t (id integer)")
    with lite.warehouse().open() as reader:
        reader.columns(an_activation(model={"table": "t"}))
        other = sqlite3.connect(str(lite.url.database))
        other.execute("drop table t")
        other.commit()
        other.close()

        with pytest.raises(WarehouseUnavailable, match="no such table"):
            reader.count(an_activation(model={"table": "t"}), None, None)


# --- drivers that have a way of their own ---------------------------------------------------------


class Odd(SQLiteDialect_pysqlite):
    """A driver that reads a file of credentials, and finds out late that nobody answers."""

    supports_statement_cache = True

    def create_connect_args(self, url):
        if file := url.query.get("credentials"):
            open(file).close()  # noqa: PTH123
        return super().create_connect_args(url.set(query={}, database=None))

    def do_execute(self, cursor, statement, parameters, context=None):
        if "1 = 0" not in statement:
            super().do_execute(cursor, statement, parameters, context)
            return
        try:
            raise ConnectionRefusedError("nobody answers")
        except OSError as error:
            raise sqlite3.OperationalError("failed to execute") from error

    def connect(self, *arguments, **more):
        if "broken" in more:
            raise NotImplementedError("no such way to sign in")
        return super().connect(*arguments, **more)


@pytest.fixture
def odd(monkeypatch):
    registry.register("odd", __name__, "Odd")
    return lambda url, **more: Warehouse(make_url(url), Path(), **more)


def test_what_a_driver_wants_and_is_not_there_is_a_mistake_of_the_configuration(odd):
    with (
        pytest.raises(ConfigurationError, match=r"url: the driver does not take it: .*nope\.json"),
        odd("odd://?credentials=nope.json").open(),
    ):
        pass


def test_whatever_a_driver_raises_for_what_it_is_given_is_told(odd):
    with (
        pytest.raises(ConfigurationError, match=r"does not take it: .*no such way to sign in"),
        odd("odd://", connect_args={"broken": True}).open(),
    ):
        pass


def test_a_warehouse_that_is_first_asked_with_a_statement_and_not_there_is_out_of_reach(odd):
    with odd("odd://").open() as reader, pytest.raises(WarehouseUnavailable, match="failed"):
        reader.columns(ONE)
