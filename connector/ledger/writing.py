"""Whether the ledger can be written, found out without leaving anything in it."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote

from sqlalchemy import URL, Connection, text

from connector.ledger.engine import BUSY_TIMEOUT, SQLITE, ledger_path, plain_engine
from connector.ledger.migrations import version_of
from connector.ledger.postgresql import trouble_with_encoding, trouble_with_schema
from connector.ledger.room import full_disk, nearest
from connector.ledger.tables import metadata
from connector.ledger.transaction import schema_of, transaction
from connector.rules.errors import ConnectorError
from connector.rules.needs import no_room

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def trouble_writing(url: URL, generation: Path) -> str | None:
    """Why a run could not write the ledger at `url`, or the file `generation` that belongs to it;
    None when it could."""
    if folder := full_disk(url):
        return no_room(folder)
    try:
        trouble = _trouble_in_file(url) if url.get_backend_name() == "sqlite" else _on_server(url)
    except ConnectorError as error:
        return str(error)
    return trouble or _trouble_with_file(generation)


def _trouble_in_file(url: URL) -> str | None:
    """A SQLite file: a transaction that changes its first page, which needs a journal beside it,
    and is rolled back."""
    path = ledger_path(url)
    if not path.exists():
        return _trouble_with_file(path)
    if not os.access(path, os.W_OK):
        return f"the ledger {path} may not be written"
    address = f"file:{quote(str(path))}?mode=rw"
    # as all of this process: another library would let go of its locks, and take its log away
    connect = SQLITE.connect if SQLITE else sqlite3.connect
    try:
        with closing(connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
            if Path(f"{path}-journal").exists():
                (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
                if mode != "wal":
                    connection.execute("PRAGMA journal_mode = TRUNCATE")  # which leaves it there
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return f"the ledger {path} cannot be written: {error}"
    return None


def _trouble_with_file(path: Path) -> str | None:
    """Whether the file can be made, or replaced by another, in its folder."""
    folder = nearest(path.parent)
    if not folder.is_dir():
        return f"{path} cannot be written: {folder} is no folder"
    if reason := _no_file_in(folder):
        return f"{path} cannot be written: {folder}: {reason}"
    return None


def _no_file_in(folder: Path) -> str | None:
    """Why no file can be made in `folder`: by making one that is gone at once, which also finds out
    a full disk, and a folder in which nobody can make any. It has no name where the system knows
    such files."""
    try:
        os.close(os.open(folder, os.O_RDWR | os.O_TMPFILE))
    except (AttributeError, IsADirectoryError):
        pass  # a system that knows no such files
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOENT):
            return error.strerror or str(error)
    else:
        return None if os.access(folder, os.W_OK | os.X_OK) else "nothing may be written there"
    try:
        with TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _on_server(url: URL) -> str | None:
    """PostgreSQL: a standby, a session that only reads, and rights that are missing."""
    engine = plain_engine(url)
    try:
        with transaction(engine) as connection:
            return _trouble_on(connection)
    finally:
        engine.dispose()


def _trouble_on(connection: Connection) -> str | None:
    def ask(query: str, **facts: str) -> object:
        return connection.execute(text(query), facts).scalar()

    if ask("select pg_is_in_recovery()"):
        return "the ledger's server is a standby, which cannot be written"
    if ask("show transaction_read_only") == "on":
        return "the ledger's server lets this user read only (default_transaction_read_only)"
    schema = schema_of(connection.engine.url)
    if schema and (trouble := trouble_with_schema(connection, schema)):
        return trouble
    if version_of(connection) is None:
        may = schema or ask("select has_schema_privilege(current_schema(), 'CREATE')")
        if not may:
            return "the ledger's user may not create tables in its schema"
        return trouble_with_encoding(connection)
    missing = [
        f"{right} on {table}"
        for table in metadata.tables
        for right in RIGHTS
        if ask("select has_table_privilege(to_regclass(:t), :r)", t=table, r=right) is not True
    ]
    missing += [
        f"USAGE on {sequence}"
        for table in metadata.tables.values()
        if "id" in table.columns
        and (sequence := ask("select pg_get_serial_sequence(:t, 'id')", t=table.name))
        and ask("select has_sequence_privilege(:s, 'USAGE')", s=str(sequence)) is not True
    ]
    if missing:
        return f"the ledger's user lacks rights: {', '.join(missing)}"
    return None
