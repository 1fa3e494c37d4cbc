"""SQLite through apsw, in the shape of the standard library's sqlite3.

apsw lets Python be the file system below SQLite, which sqlite3 does not. SQLAlchemy is given this
module in place of sqlite3, so that all code above it is the product's own.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import apsw

WRITES = ("INSERT", "UPDATE", "DELETE")
Observer = Callable[["Connection", str], None]


class Driver:
    """What SQLAlchemy takes for the module sqlite3; its files lie on the VFS `vfs`.

    `about_to_commit` and `committed` are told of every COMMIT, before it and once it is
    acknowledged.
    """

    paramstyle = "qmark"
    sqlite_version_info = tuple(int(n) for n in apsw.sqlite_lib_version().split("."))
    sqlite_version = apsw.sqlite_lib_version()
    Binary = bytes
    Warning, Error, InterfaceError = sqlite3.Warning, sqlite3.Error, sqlite3.InterfaceError
    DatabaseError, DataError = sqlite3.DatabaseError, sqlite3.DataError
    OperationalError, IntegrityError = sqlite3.OperationalError, sqlite3.IntegrityError
    InternalError, ProgrammingError = sqlite3.InternalError, sqlite3.ProgrammingError
    NotSupportedError = sqlite3.NotSupportedError

    def __init__(
        self,
        vfs: str,
        about_to_commit: Callable[[apsw.Connection], None] = lambda _: None,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        self.vfs, self.about_to_commit, self.committed = vfs, about_to_commit, committed
        self.opened: list[apsw.Connection] = []

    def connect(self, filename: str, uri: bool = False, **_: Any) -> "Connection":
        """As sqlite3.connect."""
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        with _errors():
            raw = apsw.Connection(filename, flags | apsw.SQLITE_OPEN_URI * uri, vfs=self.vfs)
        self.opened.append(raw)
        return Connection(self, raw)

    def close(self) -> None:
        """Close what was opened, whoever still holds it."""
        for raw in self.opened:
            with suppress(apsw.Error):
                raw.close(force=True)


class Connection:
    """As sqlite3.Connection with `isolation_level = None`: it begins no transactions by itself."""

    def __init__(self, driver: Driver, raw: apsw.Connection) -> None:
        self.driver, self.raw = driver, raw
        self.isolation_level: str | None = None

    def cursor(self) -> "Cursor":
        """As in sqlite3."""
        return Cursor(self)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> "Cursor":
        """As in sqlite3."""
        cursor = self.cursor()
        cursor.execute(statement, parameters)
        return cursor

    def create_function(
        self, name: str, arguments: int, function: Any, *, deterministic: bool = False
    ) -> None:
        """As in sqlite3."""
        self.raw.create_scalar_function(name, function, arguments, deterministic=deterministic)

    def commit(self) -> None:
        """As in sqlite3."""
        if self.raw.in_transaction:
            self.driver.about_to_commit(self.raw)
            self.execute("COMMIT")
            self.driver.committed()

    def rollback(self) -> None:
        """As in sqlite3."""
        if self.raw.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """As in sqlite3: what is not committed is gone, and nothing is raised."""
        with suppress(apsw.Error):
            self.raw.close()


class Cursor:
    """As sqlite3.Cursor; rows are fetched at once."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount, self.lastrowid = -1, 0
        self._rows: Iterator[Any] = iter(())

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> "Cursor":
        """As in sqlite3."""
        raw = self._connection.raw
        cursor = raw.cursor()
        cursor.exec_trace = self._describe
        with _errors():
            self._rows = iter(cursor.execute(statement, parameters).fetchall())
        if statement.lstrip()[:6].upper() in WRITES:
            self.rowcount, self.lastrowid = raw.changes(), raw.last_insert_rowid()
        else:
            self.rowcount = -1
        return self

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> "Cursor":
        """As in sqlite3."""
        changed = 0
        for row in rows:
            changed += self.execute(statement, row).rowcount
        self.rowcount = changed
        return self

    def _describe(self, cursor: apsw.Cursor, _statement: str, _parameters: Any) -> bool:
        columns = cursor.get_description()
        self.description = [(name, *[None] * 6) for name, _ in columns] or None
        return True

    def fetchone(self) -> Any:
        """As in sqlite3."""
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[Any]:
        """As in sqlite3."""
        return [row for _, row in zip(range(size), self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        """As in sqlite3."""
        return list(self._rows)

    def close(self) -> None:
        """As in sqlite3."""


@contextmanager
def _errors() -> Iterator[None]:
    """apsw's errors as those of sqlite3."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise sqlite3.IntegrityError(str(error)) from error
    except apsw.Error as error:
        raise sqlite3.OperationalError(str(error)) from error
