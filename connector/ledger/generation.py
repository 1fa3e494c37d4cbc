"""Notice that the ledger was put back from a backup, and distrust what it then calls unsent.

The ledger counts its *generations* (a run begins, beats, ends), and a file beside it holds the
last count. A ledger that is behind the file, or another one than the file knows, has forgotten
sends. Its open rows, and all rows recorded until the model was read to its end once more, are
*suspect*: each is read back at the destination before its first send.
"""

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, or_, select, text, update
from sqlalchemy.exc import DBAPIError

from connector.delivery import SUSPICIOUS
from connector.errors import LedgerUnavailable
from connector.ledger.records import upsert
from connector.ledger.tables import (
    CLOCKS_OF_DOUBTS,
    OPEN,
    attempts,
    deliveries,
    leases,
    ledgers,
    watermarks,
)

FILE_GONE = "the file that belongs beside it is gone"


@dataclass(frozen=True, slots=True)
class Generation:
    """Which ledger this is, and how often it has counted."""

    ledger: str
    number: int


class GenerationFile:
    """The file beside the ledger. Raises LedgerUnavailable when it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Generation | None:
        """What was written last; None when there is no file."""
        try:
            content = json.loads(self.path.read_text())
            return Generation(str(content["ledger"]), int(content["number"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return Generation("damaged", 0)  # no ledger's: the one that is here becomes suspect
        except OSError as error:
            raise LedgerUnavailable(f"cannot read {self.path}: {error.strerror}") from None

    def write(self, generation: Generation) -> None:
        """Replace the content; it is on the disk when this returns."""
        new = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w") as file:
                json.dump(asdict(generation), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise LedgerUnavailable(f"cannot write {self.path}: {error.strerror}") from None


def check(c: Connection, file: GenerationFile, now: int) -> str | None:
    """What says that the ledger was put back from a backup, once it is marked so; else None."""
    mine, server = _current(c)
    last = file.read()
    # PostgreSQL may be used from machines that keep no files
    missed = last is None and mine.number > 0 and c.dialect.name == "sqlite"
    reason = FILE_GONE if missed else _contradiction(mine, last)
    here = _server(c)
    if reason is None and server and here and server != here:
        reason = f"the database server is another one now ({here}) than it was ({server})"
    if here != server:
        c.execute(update(ledgers).values(server=here or server))
    if reason:
        distrust(c, now)
        newest = max(mine.number, last.number if last else 0)
        c.execute(update(ledgers).values(generation=newest))
    return reason


def distrust(c: Connection, now: int) -> None:
    """Mark everything suspect that could have been sent without the ledger's knowing.

    Whoever still runs on what the ledger was before loses its lease.
    """
    c.execute(update(ledgers).values(restored_at=now))
    # attempts may have been made since then, that it knows nothing of
    c.execute(
        update(attempts)
        .where(or_(attempts.c.boot.is_not(None), attempts.c.destination_at.is_not(None)))
        .values({column.name: None for column in CLOCKS_OF_DOUBTS})
    )
    c.execute(update(watermarks).values(suspect=True))
    c.execute(
        update(deliveries).where(deliveries.c.state.in_(SUSPICIOUS), OPEN).values(suspect=True)
    )
    c.execute(
        update(leases).values(fence=leases.c.fence + 1, run_id=None, holder=None, expires_at=0)
    )


def advance(c: Connection) -> None:
    """Count one generation on."""
    c.execute(update(ledgers).values(generation=ledgers.c.generation + 1))


def remember(c: Connection, file: GenerationFile) -> None:
    """Write the file, inside a transaction that holds the ledger's row, so that it never goes back.

    After the commit that counted: a file that is ahead of its ledger would be a false alarm.
    """
    generation, _ = _current(c)
    file.write(generation)


def _contradiction(mine: Generation, last: Generation | None) -> str | None:
    if last and last.ledger != mine.ledger:
        return "it is not the ledger that was here before"
    if last and last.number > mine.number:
        return f"it is at generation {mine.number} and was at {last.number} before"
    return None


def _current(c: Connection) -> tuple[Generation, str | None]:
    """The ledger's generation, and its server as it was when it was last looked at."""
    c.execute(
        upsert(c, ledgers).values(id=1, identity=secrets.token_hex(8)).on_conflict_do_nothing()
    )
    row: Any = c.execute(select(ledgers).with_for_update()).one()
    return Generation(row.identity, row.generation), row.server


def _server(c: Connection) -> str | None:
    """PostgreSQL's cluster and timeline, both of which change with a restore; None where the
    server does not tell, and for SQLite."""
    if c.dialect.name != "postgresql":
        return None
    query = (
        "select system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
        " from pg_control_system()"
    )
    with suppress(DBAPIError), c.begin_nested():
        return str(c.execute(text(query)).scalar_one())
    return None


def _sync_directory(path: Path) -> None:
    with suppress(PermissionError):  # Windows opens no directory
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
