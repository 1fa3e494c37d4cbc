"""SQLite as the ledger uses it: of a version that may write ahead, in the shape of `sqlite3`.

Python's own sqlite3 is as old as the machine, and before 3.51.3 a write-ahead log that several
connections write could corrupt its database. apsw brings a current SQLite along. In one process
exactly one of the two may open a ledger: each would let go of the other's locks, which belong to
the process.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

WAL_IS_SOUND = (3, 51, 3)
"""From 3.7.0 to 3.51.2 SQLite's write-ahead log could corrupt a database that several connections
write (sqlite.org, release notes of 3.51.3); older versions use a rollback journal instead."""
CHANGES = ("INSERT", "UPDATE", "DELETE")
WRITTEN, BELOW = "user_version", "application_id"
"""Where a ledger that writes ahead counts its commits, and which of them the file below the log had
at the last of them: see `Connection.commit`."""
WRITTEN_AT = 60
"""The offset of the first in the file's header."""
REPLACED = (
    "the file was replaced while its log stayed: what is left is neither. Nothing was sent on the"
    " strength of it; end every connector that uses it, and begin again: the log is put aside then,"
    " and the file counts as put back from a backup"
)


def sound() -> "Driver | None":
    """What SQLAlchemy takes for the module sqlite3; None where only Python's own is there."""
    try:
        driver = Driver()
    except ImportError:
        return None
    return driver if driver.sqlite_version_info >= WAL_IS_SOUND else None


class Driver:
    """What SQLAlchemy takes for the module sqlite3."""

    paramstyle = "qmark"
    vfs: str | None = None
    """The file system below SQLite; None: its own."""

    def __init__(self) -> None:
        import apsw

        self.apsw = apsw
        self.sqlite_version = apsw.sqlite_lib_version()
        self.sqlite_version_info = tuple(int(n) for n in self.sqlite_version.split("."))

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)  # the errors: apsw's are raised as those

    def connect(self, filename: str, uri: bool = False, **_: Any) -> "Connection":
        """As sqlite3.connect, with `isolation_level = None`."""
        return Connection(self, self.open(filename, uri))

    def open(self, filename: str, uri: bool = False) -> Any:
        """A connection of apsw's. The file must be there: one that was removed is not made anew."""
        apsw = self.apsw
        flags = apsw.SQLITE_OPEN_READWRITE
        with self.errors():
            raw = apsw.Connection(filename, flags | apsw.SQLITE_OPEN_URI * uri, vfs=self.vfs)
            # the end of a process must not bring a log over to a file that was replaced below it
            raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return raw

    @contextmanager
    def errors(self) -> Iterator[None]:
        """apsw's errors as those of sqlite3."""
        try:
            yield
        except self.apsw.ConstraintError as error:
            raise sqlite3.IntegrityError(str(error)) from error
        except self.apsw.Error as error:
            raise sqlite3.OperationalError(str(error)) from error


class Connection:
    """As sqlite3.Connection with `isolation_level = None`: it begins no transactions by itself."""

    def __init__(self, driver: Driver, raw: Any) -> None:
        self.driver, self.raw = driver, raw
        self.isolation_level: str | None = None
        self.writes_ahead = False
        self._changes = 0

    def cursor(self) -> "Cursor":
        return Cursor(self)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> "Cursor":
        return self.cursor().execute(statement, parameters)

    def create_function(
        self, name: str, arguments: int, function: Any, *, deterministic: bool = False
    ) -> None:
        self.raw.create_scalar_function(name, function, arguments, deterministic=deterministic)

    def wait(self, milliseconds: int) -> None:
        """Let it wait so long for others from now on; no statement, for it stands before each."""
        self.raw.set_busy_timeout(milliseconds)

    def commit(self) -> None:
        """As in sqlite3; but refused where the file was replaced below its log.

        A log does not know whose it is: put onto another file, a copy from yesterday say, it makes
        a mixture in which what was sent stands as unsent, and the newest figures beside it. So each
        commit is counted, and says up to which count the file below had them; that is less only in
        another file. What the file has was in the log before; more is only in another file.
        """
        if not self.raw.in_transaction:
            return
        if self.writes_ahead and (changes := self.raw.total_changes()) != self._changes:
            self._changes = changes
            self._count()
        self._commit()

    def _commit(self) -> None:
        self.execute("COMMIT")

    def _count(self) -> None:
        if self.is_replaced():
            raise sqlite3.OperationalError(REPLACED)
        self.execute(f"PRAGMA {WRITTEN} = {_signed(self._pragma(WRITTEN) + 1)}")
        if (below := self._below()) != self._pragma(BELOW):
            self.execute(f"PRAGMA {BELOW} = {below}")

    def is_replaced(self) -> bool:
        """Whether the file below the log has fewer commits than it had, or more than the log has
        ever brought."""
        alone = not self.raw.in_transaction
        if alone:  # what is asked is of one moment, whatever others commit and bring over
            self.execute("BEGIN")
        try:
            had, brought = self._pragma(BELOW), self._pragma(WRITTEN)
            below = self._below()
        finally:
            if alone:
                self.rollback()
        return _signed(below - had) < 0 or _signed(brought - below) < 0

    def _below(self) -> int:
        """How many commits the file itself has, whatever the log says."""
        with self.driver.errors():
            read, header = self.raw.read("main", 0, WRITTEN_AT, 4)
        return int.from_bytes(header, "big", signed=True) if read else 0

    def _pragma(self, name: str) -> int:
        return int(self.execute(f"PRAGMA {name}").fetchone()[0])

    def rollback(self) -> None:
        if self.raw.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """As in sqlite3: what is not committed is gone, and nothing is raised."""
        with suppress(self.driver.apsw.Error):
            self.raw.close()


class Cursor:
    """As sqlite3.Cursor; rows are fetched at once, so that nothing is read for longer than that."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount, self.lastrowid = -1, 0
        self._rows: Iterator[Any] = iter(())

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> "Cursor":
        raw = self._connection.raw
        cursor = raw.cursor()
        cursor.exec_trace = self._describe
        with self._connection.driver.errors():
            self._rows = iter(cursor.execute(statement, parameters).fetchall())
        if statement.lstrip()[:6].upper() in CHANGES:
            self.rowcount, self.lastrowid = raw.changes(), raw.last_insert_rowid()
        else:
            self.rowcount = -1
        return self

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> "Cursor":
        """As in sqlite3; one by one where it is told how many rows were changed."""
        if statement.lstrip()[:6].upper() == "INSERT":
            with self._connection.driver.errors():
                self._connection.raw.cursor().executemany(statement, rows)
            self.rowcount = -1
            return self
        changed = 0
        for row in rows:
            changed += self.execute(statement, row).rowcount
        self.rowcount = changed
        return self

    def _describe(self, cursor: Any, _statement: str, _parameters: Any) -> bool:
        columns = cursor.get_description()
        self.description = [(name, *[None] * 6) for name, _ in columns] or None
        return True

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[Any]:
        return [row for _, row in zip(range(size), self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def close(self) -> None:
        """As in sqlite3."""


def put_aside_foreign_log(driver: Driver, file: Path) -> None:
    """Remove the log of a file that was replaced below it, as somebody does who knows how to put a
    backup back. Raises sqlite3.OperationalError while another process uses the file."""
    log = file.with_name(file.name + "-wal")
    if not log.exists() or not log.stat().st_size:
        return
    connection = driver.connect(str(file))
    try:
        if not connection.is_replaced():
            return
    except sqlite3.Error:
        return  # whoever opens it next is told what is the matter
    finally:
        connection.close()
    alone = driver.connect(str(file))
    try:
        alone.execute("PRAGMA locking_mode = EXCLUSIVE")
        alone.execute("BEGIN IMMEDIATE")
        for name in ("-wal", "-shm"):
            file.with_name(file.name + name).unlink(missing_ok=True)
    except sqlite3.OperationalError:
        raise sqlite3.OperationalError(REPLACED) from None
    finally:
        alone.close()


NETWORKS = ("nfs", "cifs", "smb", "9p", "drvfs", "vboxsf", "prl_fs", "virtiofs", "ceph", "afs")
MOUNTS = Path("/proc/self/mountinfo")


def is_local(file: Path, mounts: Callable[[], str] = MOUNTS.read_text) -> bool:
    """Whether processes that share `file` share memory as well, as a write-ahead log needs it; so
    does a file on a network's file system not have it. Told by the system's table of mounts; where
    there is none, a file counts as local."""
    try:
        lines = [line.split() for line in mounts().splitlines()]
    except OSError:
        return True
    places = {Path(words[4]): words[words.index("-") + 1] for words in lines if "-" in words}
    for folder in (file.absolute(), *file.absolute().parents):
        if kind := places.get(folder):
            return not kind.startswith((*NETWORKS, "fuse"))
    return True


def _signed(number: int) -> int:
    """As SQLite keeps it, in four bytes: a count that has gone all the way round goes on."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)
