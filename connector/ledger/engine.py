"""Open the ledger's database so that what it acknowledges survives a power cut."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

import connector.ledger.mirrored
import connector.ledger.rates  # noqa: F401 -- they have tables, too
from connector.ledger.generation import create_folder
from connector.ledger.migrations import HEAD, migrate, version_of
from connector.ledger.postgresql import (
    acknowledge_what_is_written,
    be_patient,
    lock_to_migrate,
    refuse_unusable,
    tell_at_begin,
)
from connector.ledger.room import kept_by
from connector.ledger.sqlite import Connection as SQLiteConnection
from connector.ledger.sqlite import is_local, put_aside_foreign_log, sound
from connector.ledger.tables import metadata
from connector.ledger.transaction import (
    IN_SCHEMA,
    READS,
    reading,
    repeated,
    shown,
    transaction,
)
from connector.rules.errors import (
    ConfigurationError,
    LedgerNowhere,
    LedgerOfAnotherVersion,
    LedgerUnavailable,
    Problem,
)

BUSY_TIMEOUT = 10_000
"""Milliseconds for which another writer is waited for: it is quick, or stopped in its work."""
PATIENCE = 600_000
"""Milliseconds for which a commit waits for readers. Nobody else can write meanwhile, so no lease
is lost by it; without it, answers that are known already would be."""
FEW = 5
"""Connections beside those of runs: one in which leases are renewed, and what persons ask for.
Whoever comes when all are in use waits for one."""
SOON = 1000
"""Milliseconds for which another writer is waited for by whoever asks again anyway."""
SEEN = 1.0
"""Seconds for which those who read one after the other believe which tables there are."""
WAITS = "connector: for how long it waits for others"
"""Under which a connection says so, in milliseconds."""
EMPTY_THE_LOG = "PRAGMA wal_checkpoint(TRUNCATE)"
SQLITE = sound()
"""What every part of this process opens a SQLite ledger with; None: Python's own."""
DURABLE = (
    f"busy_timeout = {BUSY_TIMEOUT}",
    "synchronous = FULL",  # anything less forgets acknowledged attempts in a power cut
    "foreign_keys = ON",
    "secure_delete = ON",  # what is dropped of a contact is overwritten in the file, too
    "journal_size_limit = 67108864",  # a log that a slow reader made long is cut again
)


def writing_engine(url: URL, runs: int = 0) -> Engine:
    """An engine whose transactions take the write lock at once, with the newest tables in place;
    with a connection for each of so many `runs`, and a few more.

    Creates a SQLite file that is not there yet, readable by its owner alone. Raises
    LedgerUnavailable, or ConfigurationError when the URL is of another kind of database.
    """
    engine = plain_engine(url, runs + FEW)
    if engine.dialect.name == "sqlite":
        _create_file(url)
        _put_aside_foreign_log(engine, url)
        event.listen(engine, "connect", _durable_at(Path(url.database or "")))
        _hold_to_file(engine, Path(url.database or ""))
        event.listen(engine, "begin", _begin_immediate)
    else:
        event.listen(engine, "connect", acknowledge_what_is_written)
    with _disposed_on_failure(engine):
        if _is_outdated(engine):
            _bring_up_to_date(engine)
    return engine


@repeated
def _is_outdated(engine: Engine) -> bool:
    with reading(engine) as connection:
        return _version(connection) != HEAD


def _bring_up_to_date(engine: Engine) -> None:
    """Put the newest tables in place, if nobody else has done so meanwhile."""
    with transaction(engine) as connection:
        on_server = engine.dialect.name == "postgresql"
        if on_server:
            lock_to_migrate(connection)
        if _version(connection) != HEAD:
            if on_server:
                be_patient(connection)
            migrate(connection)
    settle_log(engine)  # so that a new ledger is one file as soon as it is there


def reading_engine(url: URL) -> Engine | None:
    """An engine that cannot write; None when there is no ledger yet. Creates nothing.

    Raises LedgerUnavailable when the tables are of another version than this connector's.
    """
    if not _may_be_there(url):
        return None
    engine = _engine_to_read(url)
    with _disposed_on_failure(engine):
        is_there = _is_there(engine)
    if not is_there:
        engine.dispose()
        return None
    return engine


class Reader:
    """Reads one ledger again and again: what statements are in the words of its database is worked
    out once, and not for each who asks. Nothing is open while nobody is about it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._engine: Engine | None = None
        self._seen = -SEEN
        self._about_it = 0
        self._nowhere_is_none = False

    def only_look(self) -> None:
        """From now on there is none yet where there can be none, since that is told elsewhere."""
        self._nowhere_is_none = True

    @contextmanager
    def reading(self, url: URL) -> Iterator[Engine | None]:
        """What reading_engine gives, for a while; `url`: the same each time."""
        if not self._may_be_there(url):
            yield None
            return
        with self.going_on():
            with self._lock:
                engine = self._engine = self._engine or _engine_to_read(url)
            if time.monotonic() - self._seen < SEEN:
                yield engine
            elif _is_there(engine):
                self._seen = time.monotonic()
                yield engine
            else:
                yield None

    def _may_be_there(self, url: URL) -> bool:
        try:
            return _may_be_there(url)
        except LedgerNowhere:
            if self._nowhere_is_none:
                return False
            raise

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Several readings follow each other: what one has opened stays for the next."""
        with self._lock:
            self._about_it += 1
        try:
            yield
        finally:
            with self._lock:
                self._about_it -= 1
                if self._engine and not self._about_it:
                    self._engine.dispose()
                    self._seen = -SEEN


def _may_be_there(url: URL) -> bool:
    """Raises LedgerNowhere where a file cannot be."""
    if url.get_backend_name() != "sqlite":
        return True
    file = Path(url.database or "")
    try:
        file.stat()
    except FileNotFoundError:
        return False
    except OSError as error:  # a part of its path is no folder, or may not be looked into
        raise LedgerNowhere(f"the ledger {file} cannot be read: {kept_by(file, error)}") from None
    return True


def _engine_to_read(url: URL) -> Engine:
    """An engine that cannot write. Whoever reads does not wait for others who do."""
    file = Path(url.database or "")
    if url.get_backend_name() == "sqlite":
        # rw, not ro: after a crash SQLite must be let roll back the torn transaction it finds
        url = url.set(database=f"file:{quote(url.database or '')}").update_query_dict(
            {"mode": "rw", "uri": "true"}
        )
    engine = plain_engine(url, reading=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _query_only)
        _hold_to_file(engine, file)
    return engine


@repeated
def _is_there(engine: Engine) -> bool:
    """Whether there is a ledger behind an engine that reads. Raises LedgerUnavailable when its
    tables are of another version than this connector's."""
    with transaction(engine) as connection:
        version = _version(connection)
        if version is None and engine.dialect.name == "postgresql":
            refuse_unusable(connection)
    if version not in (None, HEAD):
        raise LedgerOfAnotherVersion(
            "the ledger was written by an older connector; a `connector sync` brings it up to date"
        )
    return version is not None


def engine_for_rates(url: URL, is_known: bool = False) -> Engine | None:
    """An engine of one connection that waits for nobody for long; None where there is no ledger
    with today's tables. Creates nothing. `is_known`: this process writes the ledger, so that it is
    not asked which tables there are. Raises LedgerUnavailable."""
    file = Path(url.database or "")
    if url.get_backend_name() == "sqlite":
        if not file.exists():
            return None
        engine = plain_engine(url)
        event.listen(engine, "connect", _durable_at(file))
        _hold_to_file(engine, file)
        event.listen(engine, "begin", _begin_soon)
    else:
        engine = plain_engine(url, pool_pre_ping=False)
    if is_known:
        return engine
    with _disposed_on_failure(engine), reading(engine) as connection:
        current = version_of(connection) == HEAD
    if not current:
        engine.dispose()
        return None
    return engine


def engine_to_look(url: URL) -> Engine | None:
    """As reading_engine; None also where the tables are of another version, or there can be none,
    since that is told elsewhere."""
    try:
        return reading_engine(url)
    except (LedgerOfAnotherVersion, LedgerNowhere):
        return None


@cache
def nothing() -> Engine:
    """An engine of a ledger with nothing in it: what is read where there is none yet."""
    shared = {"check_same_thread": False}  # nothing is written through it
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args=shared)
    metadata.create_all(engine)
    return engine


def pack(engine: Engine, patiently: bool = True) -> bool:
    """Write a SQLite database anew, so that it holds nothing that is not in its tables.

    What it drops SQLite overwrites (secure_delete), but not the copies that stay behind when it
    moves rows from page to page; nor does it give back the room of bodies that are gone. False
    when that cannot be now (somebody reads, the disk is full), and for PostgreSQL, whose VACUUM
    does it.
    """
    return _outside_transactions(engine, ("VACUUM", EMPTY_THE_LOG), patiently)


A_MOMENT = 50
"""Milliseconds that others are waited for who are about to be done: a question about what is lent
takes less."""


def settle_log(engine: Engine) -> None:
    """Bring SQLite's log over to the file and empty it, unless somebody reads: so one file is the
    whole ledger while nothing writes, and no log keeps what was dropped from the tables."""
    _outside_transactions(engine, (EMPTY_THE_LOG,), patiently=False)


def _outside_transactions(engine: Engine, statements: Sequence[str], patiently: bool) -> bool:
    """Whether SQLite could do all of that now; the last one says whether it was busy."""
    if engine.dialect.name != "sqlite":
        return False
    try:
        raw = engine.raw_connection()
        try:
            connection: Any = raw.driver_connection
            if SQLITE is not None and connection.is_replaced():
                return False
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT if patiently else A_MOMENT}")
            found = [connection.execute(statement).fetchone() for statement in statements]
            return not found[-1][0]
        finally:
            raw.invalidate()  # with the time-out that was set
            raw.close()
    except (sqlite3.Error, SQLAlchemyError, LedgerUnavailable):
        return False


@contextmanager
def _disposed_on_failure(engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def plain_engine(
    url: URL, connections: int = FEW, pool_pre_ping: bool = True, reading: bool = False
) -> Engine:
    """An engine of which nothing is asked yet, of so many connections at the most. `pool_pre_ping`:
    a server is asked each time whether the connection still stands; `reading`: what is sent to one
    cannot write, and whoever comes when all are in use gets another. Raises ConfigurationError."""
    name = refuse_others(url)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    more = -1 if reading else 0
    pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": connections, "max_overflow": more}
    driver = SQLITE if name == "sqlite" else None
    try:
        if driver:
            return create_engine(url, module=driver, **pool)
        engine = create_engine(url, pool_pre_ping=pool_pre_ping and name == "postgresql", **pool)
    except (NoSuchModuleError, ImportError):
        hint = 'run: pip install "engage-connector[postgres]"'
        if url.drivername != "postgresql+psycopg":
            hint += ", and write postgresql://"
        raise _refused(f"no driver for {name} is installed; {hint}") from None
    except ArgumentError as error:
        raise _refused(str(error)) from None
    if name == "postgresql":
        event.listen(engine, "do_connect", _connected)
        tell_at_begin(engine, reading)
    return engine


def refuse_others(url: URL) -> str:
    """The database of a ledger. Raises ConfigurationError where there is no ledger for it."""
    name = url.get_backend_name()
    if name not in ("sqlite", "postgresql"):
        raise _refused(f"a ledger is SQLite or PostgreSQL, not {name}")
    return name


def _connected(dialect: Any, _record: Any, _args: Any, given: dict[str, Any]) -> None:
    given.pop(IN_SCHEMA, None)  # it is told at the beginning of each transaction
    if dialect.driver in ("psycopg", "psycopg2"):  # a server may prefer another
        given["client_encoding"] = "utf8"


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError(Problem(("ledger", "url"), why))


def _create_file(url: URL) -> None:
    """The file holds identifiers of contacts until their rows are sent: for its owner alone."""
    path = ledger_path(url)
    try:
        create_folder(path.parent)
        with suppress(FileExistsError):
            path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        why = kept_by(path, error)
        raise LedgerUnavailable(f"cannot create the ledger {path}: {why}") from None


def ledger_path(url: URL) -> Path:
    """Where a SQLite ledger is. Raises ConfigurationError where it would be in no file."""
    if not url.database or url.database == ":memory:":
        raise _refused("a ledger in memory forgets; use a file")
    if url.database.startswith("file:"):
        raise _refused("a ledger is named by its file's path, not by a URI: sqlite:///PATH")
    return Path(url.database)


def _version(connection: Connection) -> str | None:
    version = version_of(connection)
    if version is not None and version > HEAD:
        raise LedgerOfAnotherVersion(
            f"the ledger {shown(connection.engine.url)} was written by a newer connector (tables"
            f" {version}, this one knows {HEAD}); upgrade this one"
        )
    return version


def _durable_at(file: Path) -> Callable[[Any, Any], None]:
    """What makes a connection to `file` durable."""
    ahead = SQLITE is not None and is_local(file)

    def durable(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun by _begin_immediate
        connection.execute("PRAGMA busy_timeout = 0")
        with suppress(sqlite3.OperationalError):  # somebody uses it: it stays as it is
            found = connection.execute(f"PRAGMA journal_mode = {'WAL' if ahead else 'TRUNCATE'}")
            if ahead:
                connection.writes_ahead = found.fetchone()[0] == "wal"
        for pragma in DURABLE:
            connection.execute(f"PRAGMA {pragma}")

    return durable


def _hold_to_file(engine: Engine, path: Path) -> None:
    """Whoever writes would write into a file without a name once another has taken its place, and
    whoever reads would show what stands in that one, for as long as the process lives."""

    def remember(_connection: Any, record: Any) -> None:
        record.info["path"], record.info["file"] = path, _identity_of(path)

    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", _same_file)


def _same_file(_connection: Any, record: Any, _proxy: Any) -> None:
    """A file that took the ledger's place is not the one that is open. Opened anew, it is compared
    with what is known of it."""
    path = record.info["path"]
    now = _identity_of(path)
    if now is None:
        raise LedgerUnavailable(f"the ledger {path} is gone: it was removed while it was open")
    # the log comes with the first write; one that was removed is written on without a name, too
    log = _identity_of(path.with_name(f"{path.name}-wal"))
    before = record.info.setdefault("log", log) or log
    record.info["log"] = before
    if now != record.info["file"] or log != before:
        raise DisconnectionError("another file has taken the ledger's place")


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _put_aside_foreign_log(engine: Engine, url: URL) -> None:
    if SQLITE is None:
        return
    try:
        put_aside_foreign_log(SQLITE, Path(url.database or ""))
    except sqlite3.OperationalError as error:
        raise LedgerUnavailable(f"the ledger {shown(engine.url)}: {error}") from None


def _query_only(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    connection.execute("PRAGMA query_only = ON")


def _begin_immediate(connection: Connection) -> None:
    _wait(connection, BUSY_TIMEOUT)
    reads = connection.get_execution_options().get(READS)
    if reads is None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _wait(connection, PATIENCE)
    elif reads:
        connection.exec_driver_sql(reads)


def _begin_soon(connection: Connection) -> None:
    _wait(connection, SOON)
    reads = connection.get_execution_options().get(READS)
    if begins := "BEGIN IMMEDIATE" if reads is None else reads:
        connection.exec_driver_sql(begins)


def _wait(connection: Connection, span: int) -> None:
    """Let it wait for others for so many milliseconds from now on."""
    if connection.info.get(WAITS, BUSY_TIMEOUT) == span:
        return
    raw: Any = connection.connection.driver_connection
    if isinstance(raw, SQLiteConnection):
        raw.wait(span)
    else:
        raw.execute(f"PRAGMA busy_timeout = {span}")
    connection.info[WAITS] = span
