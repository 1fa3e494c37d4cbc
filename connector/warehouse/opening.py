"""Open a warehouse: read-only where it can be, in UTC, and with no more memory than it may have."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from connector.basis.near import perhaps
from connector.rules.errors import ConfigurationError, Problem, WarehouseUnavailable
from connector.warehouse.asking import first_line, of_others
from connector.warehouse.derived import with_first
from connector.warehouse.drivers import DRIVERS, brought_for, cautions, is_motherduck
from connector.warehouse.reader import Reader
from connector.warehouse.sessions import IN_EACH_TRANSACTION, mask, names_file, prepare, say

MEMORY = ("64MB", "128MB", "256MB", "1GB")
"""What DuckDB gets; without a bound it takes most of the RAM. A sort that does not fit is done
range by range, and what still does not fit (wide rows, large joins) is asked again with the next.
A URL that names a memory_limit has the last word: duckdb:///shop.duckdb?memory_limit=4GB."""
THREADS = 1
"""Each would need memory of its own."""
TELL_THEIR_ENCODING = ("psycopg", "psycopg2")
"""Drivers of PostgreSQL that say how texts are to come when they connect."""


class Warehouse:
    """A warehouse behind a SQLAlchemy URL. `open` gives a reader; nothing stays open between."""

    def __init__(
        self,
        url: URL,
        base: Path,
        manifest: Path | None = None,
        lock_timeout: timedelta = timedelta(seconds=60),
        connect_args: Mapping[str, Any] | None = None,
        session: Sequence[str] = (),
    ) -> None:
        """`connect_args`: what the driver is given beside the URL; `session`: SQL that is run on
        each connection before anything is read."""
        self.url = url
        self._base = base
        self._manifest = manifest or base / "target/manifest.json"
        self._lock_timeout = lock_timeout
        self._arguments = {
            name: _beside(base, value) if names_file(name) else value
            for name, value in (connect_args or {}).items()
        }
        self._session = session
        self._masked = mask(connect_args or {}, url.password)

    def cautions(self) -> list[str]:
        """What somebody who reads through this driver should know: see `drivers`."""
        return cautions(self.url)

    @contextmanager
    def open(self) -> Iterator[Reader]:
        """A reader on one read-only connection, closed at the end so that others can write.

        Raises WarehouseUnavailable when it cannot be reached, or a writer holds the file for
        longer than the lock time-out; ConfigurationError when no driver fits the URL.
        """
        engine = self._engine()
        try:
            with self._connect(engine) as connection:
                set_already = self._arguments.get("config", {}) | self.url.query
                roomier = () if "memory_limit" in set_already else MEMORY[1:]
                yield Reader(connection, self._base, self._manifest, roomier)
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        try:
            url, arguments = _read_only(_with_driver(self.url), self._arguments)
            # texts of the user that look like binds of another style stay what they are
            style = {"paramstyle": "named"} if url.get_backend_name() == "sqlite" else {}
            engine = create_engine(url, poolclass=NullPool, connect_args=arguments, **style)
        except (NoSuchModuleError, ImportError) as error:
            raise ConfigurationError(Problem(("warehouse", "url"), _no_driver(self.url))) from error
        except ArgumentError as error:
            said = self._masked(str(error))
            raise ConfigurationError(Problem(("warehouse", "url"), said)) from None
        except Exception as error:
            # of a dialect, for what it was given: a file of credentials that is not there, say
            raise self._not_taken(error) from None
        _listen(engine)
        return engine

    def _connect(self, engine: Engine) -> Connection:
        deadline = time.monotonic() + self._lock_timeout.total_seconds()
        pause = 0.05
        while True:
            try:
                connection = engine.connect()
                break
            except DBAPIError as error:
                holder = _lock_holder(str(error.orig))
                if holder is None or time.monotonic() + pause > deadline:
                    raise WarehouseUnavailable(self._why_not(error, holder)) from None
            except of_others() as error:
                raise WarehouseUnavailable(self._why_not(error, None)) from None
            except Exception as error:  # from the driver, for what it was given
                raise self._not_taken(error) from None
            time.sleep(pause)
            pause = min(pause * 2, 2)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _not_taken(self, error: Exception) -> ConfigurationError:
        key = "connect_args" if self._arguments else "url"
        named = f" ({', '.join(self._arguments)})" if self._arguments else ""
        wrong = f"{key}{named}: the driver does not take it: {self._said(error)}"
        return ConfigurationError(Problem(("warehouse", key), wrong))

    def _set_up(self, connection: Connection) -> None:
        try:
            prepare(connection)
        except of_others() as error:
            raise WarehouseUnavailable(self._why_not(error, None)) from None
        say(connection, self._session, self._masked)

    def _why_not(self, error: Exception, holder: str | None) -> str:
        # options may hold secrets too, such as a token
        where = self.url.set(query={}).render_as_string(hide_password=True)
        if holder:
            return (
                f"the warehouse {where} is held by {holder}; waited"
                f" {self._lock_timeout.total_seconds():g} s for it to be released"
            )
        return f"cannot open the warehouse {where}: {self._said(error)}"

    def _said(self, error: Exception) -> str:
        return self._masked(first_line(error))


def _beside(base: Path, value: Any) -> Any:
    """A file that is named relative to the configuration."""
    return str((base / value).resolve()) if isinstance(value, str) and value else value


def _with_driver(url: URL) -> URL:
    """`url` with the driver that is meant where it names none, or a better one is ours."""
    match url.drivername.partition("+"):
        case ("duckdb", _, _):
            from connector.warehouse.duck import DRIVER  # late: importing DuckDB takes its time

            return url.set(drivername=DRIVER)
        case ("postgresql", "", _):  # SQLAlchemy 2.0 would take psycopg2
            return url.set(drivername="postgresql+psycopg")
        case (("mysql" | "mariadb") as dialect, "", _) if find_spec("MySQLdb") is None:
            return url.set(drivername=f"{dialect}+pymysql")
        case ("mssql", "", _) if find_spec("pyodbc") is None:
            return url.set(drivername="mssql+pymssql")
        case ("oracle", "", _):  # SQLAlchemy 2.0 would take cx_Oracle
            return url.set(drivername="oracle+oracledb")
        case _:
            return url


def _listen(engine: Engine) -> None:
    """Say what must be said around each statement, or each transaction, of some kinds."""
    if first := IN_EACH_TRANSACTION.get(engine.dialect.name):
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(first))
    if engine.dialect.name == "mssql":

        @event.listens_for(engine, "before_cursor_execute", retval=True)
        def lifted(_c: Any, _u: Any, sql: str, binds: Any, _x: Any, _m: bool) -> tuple[str, Any]:
            return with_first(sql), binds


def _no_driver(url: URL) -> str:
    dialect, _, driver = url.drivername.partition("+")
    if dialect == "postgres":
        return "write postgresql:// instead of postgres://"
    brought = brought_for(dialect)
    if brought is None:
        near = perhaps(dialect, [each.dialect for each in DRIVERS])
        install = near or "; install its package for SQLAlchemy"
        return f"no driver for {dialect} is installed{install}"
    install = f'run: pip install "engage-connector[{brought.extra}]"'
    if url.drivername not in (dialect, brought.url):  # a driver that our extra does not bring
        return f"no driver {driver} for {dialect} is installed; {install}, and write {dialect}://"
    return f"no driver for {dialect} is installed; {install}"


def _read_only(url: URL, given: Mapping[str, Any]) -> tuple[URL, dict[str, Any]]:
    """The URL and connection arguments that make the warehouse refuse writes, where it can; and
    DuckDB take no more than its share of the machine. `given`: what the user says to the driver."""
    name, database = url.get_backend_name(), url.database or ""
    if name == "duckdb":
        limits = {"memory_limit": MEMORY[0], "threads": THREADS, "temp_directory": gettempdir()}
        config = {k: v for k, v in limits.items() if k not in url.query} | given.get("config", {})
        arguments = {**given, "config": config}
        if is_motherduck(url):  # a service, which has machines of its own
            return url, {**given}
        in_memory = not database or database.startswith(":memory:")
        return url, arguments if in_memory else {**arguments, "read_only": True}
    if name == "sqlite" and database and not database.startswith(("file:", ":memory:")):
        read_only = url.set(database=f"file:{quote(database)}").update_query_dict(
            {"mode": "ro", "uri": "true"}
        )
        return read_only, {**given}
    if name == "postgresql" and url.get_driver_name() in TELL_THEIR_ENCODING:
        # said later, psycopg2 would not know it, and read UTF-8 as what the server prefers
        return url, {**given, "client_encoding": "utf8"}
    return url, {**given}


def _lock_holder(message: str) -> str | None:
    """Who holds a DuckDB file, from DuckDB's own words; None when the error is another one."""
    if "Could not set lock" not in message and "Conflicting lock" not in message:
        return None
    match = re.search(r"held in (.+?) \(PID (\d+)\)", message)
    return f"{match[1]} (process {match[2]})" if match else "another process"
