"""A ledger on PostgreSQL: in a schema of its own, and never kept by a process that is frozen."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from sqlalchemy import URL, Connection, Engine, event

from connector.ledger import postgresql as postgresql_module
from connector.ledger.engine import engine_for_rates, reading_engine, writing_engine
from connector.ledger.ownership import alone, alone_at
from connector.ledger.rates import Question, Rates
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger
from connector.ledger.transaction import in_schema, shown, transaction
from connector.ledger.writing import trouble_writing
from connector.rules.errors import ConfigurationError, LedgerUnavailable
from connector.rules.place import Place
from tests.ledger.factories import (
    REVIEWS,
    attempts,
    begun,
    delivered,
    due,
    execute,
    opening,
    select,
    staged,
    states,
)
from tests.postgresql import PostgreSQL

SHOP = Place("engage", "https://shop.example")


@pytest.fixture
def opened(postgresql_url: URL) -> Iterator[Callable[..., Ledger]]:
    """Opens a ledger in a schema of one database."""
    engines: list[Engine] = []

    def open_in(schema: str | None) -> Ledger:
        engines.append(writing_engine(in_schema(postgresql_url, schema)))
        return Ledger(engines[-1], timedelta(minutes=10))

    yield open_in
    for engine in engines:
        engine.dispose()


def runs(url: URL, schema: str | None) -> list[str]:
    """The ids of the runs that reports tell of."""
    engine = reading_engine(in_schema(url, schema))
    found = [str(run["run_id"]) for run in Reports(engine).runs(REVIEWS, 9)]
    if engine:
        engine.dispose()
    return found


def test_ledgers_in_schemas_of_one_database_know_nothing_of_each_other(
    opened: Callable[..., Ledger], postgresql_url: URL
) -> None:
    ledgers = {schema: opened(schema) for schema in ("crm", "web", None)}
    began = {}
    for number, (schema, ledger) in enumerate(ledgers.items()):
        run = staged(ledger, "r1", "r2")
        delivered(ledger, run, "r1", f"i-{number}")  # triggers move and count
        began[schema] = [run.run_id]

    for schema, ledger in ledgers.items():
        engine = ledger._engine
        assert states(engine) == {"r1": "delivered", "r2": "pending"}
        assert select(engine, "select sum(number) from delivery_counts") == [(1,)]
        assert runs(postgresql_url, schema) == began[schema]
        assert shown(engine.url).endswith(f"(schema {schema})" if schema else "")
    query = "select distinct table_schema from information_schema.tables where table_name = 'runs'"
    found = select(ledgers[None]._engine, query)
    assert sorted(row[0] for row in found) == ["crm", "public", "web"]


def test_a_pooler_that_gives_another_connection_does_not_lose_the_schema(
    opened: Callable[..., Ledger],
) -> None:
    """What another client has set for a session must be nobody's, and what we set must not stay."""
    ledger = opened("crm")

    @event.listens_for(ledger._engine, "checkout")
    def set_by_others(connection: psycopg.Connection, _record: object, _proxy: object) -> None:
        found = connection.execute("select current_setting('search_path')").fetchone()
        assert found is not None
        assert "crm" not in found[0]
        connection.execute("set search_path = pg_catalog")

    run = staged(ledger, "r1")
    delivered(ledger, run, "r1")

    assert states(ledger._engine) == {"r1": "delivered"}


@pytest.fixture
def guest(postgresql: PostgreSQL, postgresql_url: URL) -> Iterator[URL]:
    """The address for a role that has no right in the database."""
    postgresql.execute("create role guest login")
    yield postgresql_url.set(username="guest")
    engine = writing_engine(postgresql_url)
    execute(engine, "drop owned by guest cascade")
    engine.dispose()
    postgresql.execute("drop role guest")


def test_a_schema_that_may_not_be_made_or_used_says_what_to_grant(
    guest: URL, postgresql_url: URL, opened: Callable[..., Ledger], tmp_path: Path
) -> None:
    url, file = in_schema(guest, "crm"), tmp_path / "a" / "generation"
    owner = opened(None)._engine
    with pytest.raises(ConfigurationError, match='create schema crm authorization "guest"'):
        writing_engine(url)
    assert 'grant create on database "' in (trouble_writing(url, file) or "")
    assert reading_engine(url) is None

    execute(owner, "create schema crm")
    for ask in (writing_engine, reading_engine):
        with pytest.raises(ConfigurationError, match='usage, create on schema crm to "guest"'):
            ask(url)
    assert 'grant usage, create on schema crm to "guest"' in (trouble_writing(url, file) or "")

    execute(owner, "grant usage, create on schema crm to guest")
    assert trouble_writing(url, file) is None
    writing_engine(url).dispose()
    assert trouble_writing(url, file) is None
    assert opened(None)._engine  # and the one in public goes on


def test_rates_are_divided_within_a_schema(
    opened: Callable[..., Ledger], postgresql_url: URL
) -> None:
    for schema in ("crm", "web"):
        opened(schema)
        engine = engine_for_rates(in_schema(postgresql_url, schema))
        assert engine is not None
        assert Rates(engine).ask("a", [Question("k", 50, 50, 0)])["k"].share == 50
        engine.dispose()


@contextmanager
def held(engine: Engine, *takes: Callable[[Connection], None]) -> Iterator[None]:
    """Keep what each of `takes` takes, each in a transaction of its own."""
    with ExitStack() as stack:
        for take in takes:
            c = stack.enter_context(transaction(engine))
            c.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            take(c)
        yield


def in_one_second(engine: Engine) -> None:
    """Take all locks of a ledger."""
    with transaction(engine) as c:
        c.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
        alone(c, REVIEWS)
        alone_at(c, SHOP)
        postgresql_module.lock_to_migrate(c)


@pytest.mark.parametrize("schema", ["web", None])
def test_no_lock_of_one_ledger_holds_another(
    opened: Callable[..., Ledger], schema: str | None
) -> None:
    mine, other = opened("crm")._engine, opened(schema)._engine
    for ledger in (mine, other):
        staged(Ledger(ledger, timedelta(minutes=1)), "r1")

    with held(
        mine,
        lambda c: alone(c, REVIEWS),
        lambda c: alone_at(c, SHOP),
        postgresql_module.lock_to_migrate,
    ):
        in_one_second(other)
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            in_one_second(mine)


# --- a process that is frozen ---------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Ledger]) -> Ledger:
    """A ledger whose server ends a silent transaction soon."""
    monkeypatch.setattr(postgresql_module, "MOST_SILENT", 300)
    return opened(None)


def frozen_once(engine: Engine, at: str) -> list[str]:
    """Stand still for longer than the server waits, once: before a COMMIT, or a statement."""
    slept: list[str] = []

    def sleep(connection: Connection, *others: object) -> None:
        statement = str(others[1]) if len(others) > 1 else "COMMIT"
        if not slept and statement.startswith(at):
            slept.append(statement)
            time.sleep(0.8)

    event.listen(engine, "before_cursor_execute", sleep)
    event.listen(engine, "commit", sleep)
    return slept


@pytest.mark.parametrize("at", ["INSERT INTO attempts", "UPDATE deliveries", "COMMIT"])
def test_a_transaction_that_the_server_ended_is_done_again_and_once(
    impatient: Ledger, at: str
) -> None:
    """Before the COMMIT has gone out nothing has happened, and the server says so."""
    engine = impatient._engine
    run = staged(impatient, "r1", "r2")
    slept = frozen_once(engine, at)

    assert impatient.record(run, [opening(due(impatient)["r1"])]) == [True]

    assert slept
    assert len(attempts(engine)) == 1
    assert states(engine) == {"r1": "sending", "r2": "pending"}
    impatient.heartbeat(run)


class Frozen(psycopg.Cursor[Any]):
    """Finds the connection closed while it sends, as a process does that was stopped meanwhile."""

    asleep: ClassVar[list[str]] = []

    def execute(self, query: Any, *others: Any, **more: Any) -> Any:
        if self.asleep and str(query).startswith(self.asleep[0]):
            self.asleep.clear()
            pgconn = self.connection.pgconn
            time.sleep(0.8)
            pgconn.send_query(b"SELECT 1")
            for _ in range(3):  # the server's last words, and then that there are no more
                pgconn.consume_input()
        return super().execute(query, *others, **more)


def test_the_last_words_of_the_server_are_heard(impatient: Ledger) -> None:
    engine = impatient._engine
    run = staged(impatient, "r1")
    row = due(impatient)["r1"]

    @event.listens_for(engine, "checkout")
    def freezing(connection: psycopg.Connection, _record: object, _proxy: object) -> None:
        connection.cursor_factory = Frozen

    Frozen.asleep[:] = ["INSERT INTO attempts"]

    assert impatient.record(run, [opening(row)]) == [True]
    assert not Frozen.asleep
    assert len(attempts(engine)) == 1


def test_whoever_is_frozen_keeps_nobody_for_longer_than_the_server_waits(
    impatient: Ledger,
) -> None:
    run = staged(impatient, "r1")

    with pytest.raises(LedgerUnavailable, match="idle-in-transaction"):
        freeze_in(impatient, lambda: delivered(impatient, run, "r1"))

    assert states(impatient._engine) == {"r1": "delivered"}
    assert begun(impatient, "other").run_id


def freeze_in(ledger: Ledger, meanwhile: Callable[[], object]) -> None:
    """Take what others need, say nothing while they want it, and go on."""
    with transaction(ledger._engine) as frozen:
        alone(frozen, REVIEWS)
        for table in ("leases", "ledgers"):
            frozen.exec_driver_sql(f"select * from {table} for update")
        began = time.monotonic()
        meanwhile()
        assert 0.2 < time.monotonic() - began < 2
        frozen.exec_driver_sql("select 1")


@pytest.fixture
def database_in(postgresql: PostgreSQL) -> Iterator[Callable[[str], URL]]:
    """Makes a database of an encoding."""
    made: list[URL] = []

    def make(encoding: str) -> URL:
        url = postgresql.address.set(database=f"in_{encoding}_{os.getpid()}".lower())
        postgresql.execute(
            f"create database {url.database} encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
            " template template0"
        )
        made.append(url)
        return url

    yield make
    for url in made:
        postgresql.drop(url)


@pytest.mark.parametrize("schema", [None, "crm"])
def test_a_database_that_holds_not_every_text_gets_no_new_ledger(
    database_in: Callable[[str], URL], schema: str | None, tmp_path: Path
) -> None:
    url = in_schema(database_in("LATIN1"), schema)

    assert "encoding LATIN1" in (trouble_writing(url, tmp_path / "a" / "generation") or "")
    with pytest.raises(ConfigurationError, match="create database … encoding 'UTF8'"):
        writing_engine(url)


def test_a_ledger_keeps_every_text_where_the_server_prefers_no_encoding(
    database_in: Callable[[str], URL],
) -> None:
    engine = writing_engine(database_in("SQL_ASCII"))
    ledger = Ledger(engine, timedelta(minutes=10))
    staged(ledger, "é😀")

    assert states(engine) == {"é😀": "pending"}
    engine.dispose()
