"""SQLAlchemy's way to DuckDB, as far as reading a model needs it: a thin dialect of our own.

It stands under a name of its own, `duckdb+connector`, so that another dialect for `duckdb` that is
installed beside it stays what it is for everybody else in the process.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from types import ModuleType
from typing import Any

import duckdb
from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import BIND_TEMPLATES

DRIVER = "duckdb+connector"
DOLLAR = "dollar"
"""DuckDB finds `$name` by itself, outside of texts and comments; SQLAlchemy would look for binds by
their pattern, and take what a user's text holds for one."""

BIND_TEMPLATES[DOLLAR] = "$%(name)s"
registry.register("duckdb.connector", __name__, "DuckDB")


class Cursor:
    """The statement that runs on a session."""

    arraysize = 1

    def __init__(self, client: duckdb.DuckDBPyConnection) -> None:
        self._client = client

    @property
    def description(self) -> Any:
        return self._client.description

    @property
    def rowcount(self) -> int:
        return -1

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        bound = {name: _bound(value) for name, value in (parameters or {}).items()}
        self._client.execute(statement, bound or None)

    def fetchone(self) -> Any:
        return self._client.fetchone()

    def fetchmany(self, size: int = 1) -> Any:
        return self._client.fetchmany(size)

    def fetchall(self) -> Any:
        return self._client.fetchall()

    def close(self) -> None:
        """What it gave is gone when the session is asked the next thing."""


def _bound(value: Any) -> Any:
    """`value` as DuckDB compares it with a column. A time with a zone goes as its text, which
    becomes what the column is: it compares no TIMESTAMPTZ with one of nanoseconds."""
    return value.isoformat() if isinstance(value, datetime) and value.tzinfo else value


class Session:
    """One connection of DuckDB's client as the DB-API has it. The client's own cursor() is another
    session, which knows nothing of what was SET in the first."""

    def __init__(self, client: duckdb.DuckDBPyConnection) -> None:
        self._client = client

    def cursor(self) -> Cursor:
        return Cursor(self._client)

    def begin(self) -> None:
        self._client.begin()

    def commit(self) -> None:
        with suppress(duckdb.TransactionException):  # none is open
            self._client.commit()

    def rollback(self) -> None:
        with suppress(duckdb.TransactionException):
            self._client.rollback()

    def close(self) -> None:
        self._client.close()


class DuckDB(DefaultDialect):
    """`duckdb:///file`, `duckdb:///:memory:`, and what else DuckDB's client opens by a name. What a
    URL says after its `?` are settings of DuckDB."""

    name = "duckdb"
    driver = "connector"
    supports_statement_cache = True
    supports_native_boolean = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "paramstyle": DOLLAR})

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        return duckdb

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        return [], {"database": url.database or ":memory:", "settings": dict(url.query)}

    def connect(self, *_: Any, **arguments: Any) -> Any:
        settings = arguments.pop("settings", {})
        config = {**arguments.pop("config", {}), **settings}
        return Session(duckdb.connect(**arguments, config=config))

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.begin()
