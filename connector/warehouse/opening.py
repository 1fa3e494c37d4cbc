"""Open a warehouse: read-only where it can be, in UTC, and with no more memory than it may have."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from connector.rules.errors import ConfigurationError, Problem, WarehouseUnavailable
from connector.warehouse.asking import OF_OTHERS, first_line
from connector.warehouse.conversion import prepare_postgresql, prepare_sqlite
from connector.warehouse.reader import Reader

EXTRAS = {
    "postgresql": "postgres",
    "snowflake": "snowflake",
    "bigquery": "bigquery",
    "redshift": "redshift",
    "databricks": "databricks",
}
"""By the dialect, the extra of ours that brings its driver."""
MEMORY = ("64MB", "128MB", "256MB", "1GB")
"""What DuckDB gets; without a bound it takes most of the RAM. A sort that does not fit is done
range by range, and what still does not fit (wide rows, large joins) is asked again with the next.
A URL that names a memory_limit has the last word: duckdb:///shop.duckdb?memory_limit=4GB."""
THREADS = 1
"""Each would need memory of its own."""
POSTGRESQL_SESSION = (
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET TIME ZONE 'UTC'",
    # a role or a database may have others, by which values are shown cut, or cannot be read
    "SET DateStyle = 'ISO'",
    "SET IntervalStyle = 'postgres'",
    "SET extra_float_digits = 3",
    "SET client_encoding = 'UTF8'",
)


class Warehouse:
    """A warehouse behind a SQLAlchemy URL. `open` gives a reader; nothing stays open between."""

    def __init__(
        self,
        url: URL,
        base: Path,
        manifest: Path | None = None,
        lock_timeout: timedelta = timedelta(seconds=60),
    ) -> None:
        self.url = url
        self._base = base
        self._manifest = manifest or base / "target/manifest.json"
        self._lock_timeout = lock_timeout

    @contextmanager
    def open(self) -> Iterator[Reader]:
        """A reader on one read-only connection, closed at the end so that others can write.

        Raises WarehouseUnavailable when it cannot be reached, or a writer holds the file for
        longer than the lock time-out; ConfigurationError when no driver fits the URL.
        """
        engine = self._engine()
        try:
            with self._connect(engine) as connection:
                roomier = () if "memory_limit" in self.url.query else MEMORY[1:]
                yield Reader(connection, self._base, self._manifest, roomier)
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        try:
            url, connect_args = _read_only(self.url)
            return create_engine(url, poolclass=NullPool, connect_args=connect_args)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigurationError(Problem(("warehouse", "url"), _no_driver(self.url))) from error
        except ArgumentError as error:
            raise ConfigurationError(Problem(("warehouse", "url"), str(error))) from None

    def _connect(self, engine: Engine) -> Connection:
        deadline = time.monotonic() + self._lock_timeout.total_seconds()
        pause = 0.05
        while True:
            try:
                connection = engine.connect()
                prepare(connection)
                return connection
            except DBAPIError as error:
                holder = _lock_holder(str(error.orig))
                if holder is None or time.monotonic() + pause > deadline:
                    raise WarehouseUnavailable(self._why_not(error, holder)) from None
            except OF_OTHERS as error:
                raise WarehouseUnavailable(self._why_not(error, None)) from None
            time.sleep(pause)
            pause = min(pause * 2, 2)

    def _why_not(self, error: Exception, holder: str | None) -> str:
        # options may hold secrets too, such as a token
        where = self.url.set(query={}).render_as_string(hide_password=True)
        if holder:
            return (
                f"the warehouse {where} is held by {holder}; waited"
                f" {self._lock_timeout.total_seconds():g} s for it to be released"
            )
        return f"cannot open the warehouse {where}: {first_line(error)}"


def _no_driver(url: URL) -> str:
    dialect, _, driver = url.drivername.partition("+")
    if dialect == "postgres":
        return "write postgresql:// instead of postgres://"
    if dialect not in EXTRAS:
        return f"no driver for {dialect} is installed; install its package for SQLAlchemy"
    install = f'run: pip install "engage-connector[{EXTRAS[dialect]}]"'
    if dialect == "postgresql" and driver not in ("", "psycopg"):
        return f"no driver {driver} for {dialect} is installed; {install}, and write {dialect}://"
    return f"no driver for {dialect} is installed; {install}"


def _read_only(url: URL) -> tuple[URL, dict[str, Any]]:
    """The URL and connection arguments that make the warehouse refuse writes, where it can."""
    name, database = url.get_backend_name(), url.database or ""
    if name == "duckdb" and database and not database.startswith((":memory:", "md:")):
        limits = {"memory_limit": MEMORY[0], "threads": THREADS}
        limits = {name: value for name, value in limits.items() if name not in url.query}
        config = {**limits, "temp_directory": gettempdir()}
        return url, {"read_only": True, "config": config}
    if name == "sqlite" and database and not database.startswith(("file:", ":memory:")):
        read_only = url.set(database=f"file:{quote(database)}").update_query_dict(
            {"mode": "ro", "uri": "true"}
        )
        return read_only, {}
    return url, {}


def prepare(connection: Connection) -> None:
    """Set up a session, so that values come as they are and times in UTC."""
    if connection.dialect.name == "duckdb":
        # times with a zone come in UTC, whatever the machine's zone is
        connection.exec_driver_sql("SET TimeZone = 'UTC'")
        # it would be drawn on stdout, terminal or not, where --json has its one document
        connection.exec_driver_sql("SET enable_progress_bar = false")
    if connection.dialect.name == "postgresql":
        for statement in POSTGRESQL_SESSION:
            connection.exec_driver_sql(statement)
        connection.commit()
        prepare_postgresql(connection.connection.dbapi_connection)
    if connection.dialect.name in ("mysql", "mariadb"):
        # TIMESTAMP is an instant, shown in the zone of the session
        connection.exec_driver_sql("SET time_zone = '+00:00'")
    if connection.dialect.name == "sqlite":
        prepare_sqlite(connection.connection.dbapi_connection)


def _lock_holder(message: str) -> str | None:
    """Who holds a DuckDB file, from DuckDB's own words; None when the error is another one."""
    if "Could not set lock" not in message and "Conflicting lock" not in message:
        return None
    match = re.search(r"held in (.+?) \(PID (\d+)\)", message)
    return f"{match[1]} (process {match[2]})" if match else "another process"
