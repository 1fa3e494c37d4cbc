"""Ledgers for the proof: empty ones with today's tables, as many as are asked for, made quickly."""

import os
import shutil
from abc import ABC, abstractmethod
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from connector.ledger.engine import writing_engine
from tests.proof.forks import Fork


class Ledgers(ABC):
    """Ledgers of one kind of database."""

    name: str

    @abstractmethod
    def nothing(self, path: Path) -> str:
        """The URL of a place where a ledger may be made."""

    @abstractmethod
    def migrated(self, path: Path) -> str:
        """The URL of an empty ledger with today's tables."""

    @abstractmethod
    def drop(self, url: str) -> None:
        """It is not needed any more."""


class SQLiteFiles(Ledgers):
    """Files in the folder of each project."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self._template = path / "template.db"
        _migrate(f"sqlite:///{self._template}", path)

    def nothing(self, path: Path) -> str:
        return f"sqlite:///{path / 'ledger.db'}"

    def migrated(self, path: Path) -> str:
        path.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._template, path / "ledger.db")
        return self.nothing(path)

    def drop(self, url: str) -> None:
        pass  # it goes with its folder


class PostgreSQLDatabases(Ledgers):
    """Databases of one server."""

    name = "postgresql"

    def __init__(self, server: str, path: Path) -> None:
        self._server = make_url(server).set(drivername="postgresql")
        self._numbers = count(1)
        self._template = make_url(self.nothing(path))
        _migrate(_text(self._template), path)

    def nothing(self, path: Path) -> str:
        return self._new("template1")

    def migrated(self, path: Path) -> str:
        assert self._template.database is not None
        return self._new(self._template.database)

    def drop(self, url: str) -> None:
        self._execute(f"drop database {make_url(url).database} with (force)")

    def close(self) -> None:
        """Remove the template."""
        self.drop(_text(self._template))

    def _new(self, template: str) -> str:
        name = f"proof_{os.getpid()}_{next(self._numbers)}"
        self._execute(f'create database {name} template "{template}" strategy file_copy')
        return _text(self._server.set(database=name))

    def _execute(self, statement: str) -> None:
        with psycopg.connect(_text(self._server), autocommit=True) as connection:
            connection.execute(statement)


def ledgers(name: str, path: Path, server: str | None) -> Ledgers:
    """The ledgers of the database `name`; `server` is the address of a PostgreSQL."""
    if name == "sqlite":
        return SQLiteFiles(path)
    assert server is not None, "PostgreSQL needs the address of a server"
    return PostgreSQLDatabases(server, path)


def _migrate(url: str, path: Path) -> None:
    """In a process of its own, so that the pool and its connections end with it."""

    def migrate() -> int:
        writing_engine(make_url(url)).dispose()
        return 0

    fork = Fork(migrate, path / "migrate.txt")
    assert fork.wait(60) == 0, fork.words()


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
