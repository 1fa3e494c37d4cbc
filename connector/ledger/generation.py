"""Notice that the ledger was put back from a backup, and distrust what it then calls unsent.

The ledger counts its *generations* (a run begins, beats, ends), and in the lease of each activation
the *writes* of whoever holds it. Files beside it hold what was counted last, and a run remembers
what it has seen committed (see footing.py). A ledger that is behind them, or another one than they
know, has forgotten sends. Its open rows, and all rows recorded until the model was read to its end
once more, are *suspect*: each is read back at the destination before its first send.
"""

import glob
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, case, or_, select, text, update
from sqlalchemy.exc import DBAPIError

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
from connector.rules.delivery import SUSPICIOUS, State
from connector.rules.errors import LedgerChanged, LedgerUnavailable

PATIENCE = 2.0
"""Seconds that others are waited for who change the file: it takes them milliseconds, unless they
are frozen."""
FILE_GONE = "the file that belongs beside it is gone"


@dataclass(frozen=True, slots=True)
class Generation:
    """Which ledger this is, and how often it has counted. `accused`: what a run has seen that says
    that the ledger went back, as long as nothing was marked because of it."""

    ledger: str
    number: int
    accused: str | None = None


class GenerationFile:
    """The files beside the ledger. Raises LedgerUnavailable when they cannot be read or written.

    No number in them ever goes back, whoever writes last; only `restart` begins anew.
    """

    def __init__(self, path: Path) -> None:
        """`path`: the generation's; the writes stand beside it, in a file for each holder of a
        lease, so that none ever waits for another one, which may be frozen. They are not synced,
        for they are written before every request: they outlive the process, not a power cut."""
        self.path = path
        self._writes = f"{path.with_suffix('').name}.writes"

    @property
    def writes(self) -> list[Path]:
        """The files of those who hold, or have held, a lease."""
        return list(self.path.parent.glob(f"{glob.escape(self._writes)}.*"))

    def read(self) -> Generation | None:
        """What was written last; None when there is no file."""
        try:
            content = json.loads(self.path.read_text())
            accused = content.get("accused")
            return Generation(str(content["ledger"]), int(content["number"]), accused)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return Generation("damaged", 0)  # no ledger's: the one that is here becomes suspect
        except OSError as error:
            raise LedgerUnavailable(f"cannot read {self.path}: {error.strerror}") from None

    def raise_to(self, ledger: str, number: int) -> None:
        """Write the number, if it is a higher one; it is on the disk when this returns."""
        with self._alone():
            last = self.read()
            if last is None:
                self._write(Generation(ledger, number))
            elif last.ledger != ledger:
                raise LedgerChanged(f"{self.path} is another ledger's now")
            elif last.number < number:
                self._write(replace(last, number=number))

    def accuse(self, ledger: str, reason: str) -> None:
        """Let whoever begins next take the ledger for one from a backup."""
        with self._alone():
            last = self.read() or Generation(ledger, 0)
            if last.accused is None:
                self._write(replace(last, accused=reason))

    def restart(self, ledger: str, number: int) -> None:
        """Begin anew, once the ledger is marked."""
        with self._alone():
            for file in self.writes:
                file.unlink(missing_ok=True)
            self._write(Generation(ledger, number))

    def written(self, ledger: str, activation: str, fence: int, number: int) -> bool:
        """Keep how often the activation's holders have written, as the one with this fence knows
        it; False when another one has come after it. Called by one thread at a time."""
        content = {"ledger": ledger, "activation": activation, "writes": number}
        mine = f"{self._writes}.{_short(activation)}."
        try:
            _replace(self.path.with_name(f"{mine}{fence}"), content, synced=False)
            files = [file for file in self.path.parent.iterdir() if file.name.startswith(mine)]
            others = [(int(file.name[len(mine) :].split(".")[0]), file) for file in files]
            for earlier in (file for other, file in others if other < fence):
                earlier.unlink(missing_ok=True)
        except OSError as error:
            where = self.path.with_name(mine)
            raise LedgerUnavailable(f"cannot write {where}: {error.strerror}") from None
        return max((other for other, _ in others), default=fence) <= fence

    def read_writes(self, ledger: str) -> dict[str, int]:
        """By activation, how often its holders have written. What is of another ledger, or torn by
        a power cut, is left out."""
        found: dict[str, int] = {}
        for file in self.writes:
            try:
                content = json.loads(file.read_text())
                if content["ledger"] == ledger:
                    name, number = str(content["activation"]), int(content["writes"])
                    found[name] = max(found.get(name, 0), number)
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                continue
            except OSError as error:
                raise LedgerUnavailable(f"cannot read {file}: {error.strerror}") from None
        return found

    def _write(self, generation: Generation) -> None:
        content: dict[str, Any] = {"ledger": generation.ledger, "number": generation.number}
        if generation.accused:
            content["accused"] = generation.accused
        _replace(self.path, content, synced=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process, and no other thread, changes the files meanwhile."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _locked(self.path.parent)
        except OSError as error:
            raise LedgerUnavailable(f"cannot write {self.path}: {error.strerror}") from None
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _short(activation: str) -> str:
    return blake2b(activation.encode(), digest_size=8).hexdigest()


def _replace(path: Path, content: Mapping[str, Any], synced: bool) -> None:
    # the process in the name: one that was frozen for long may be writing, too
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with open(new, "w", opener=_for_its_owner) as file:
            file.write(json.dumps(content))
            if synced:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
        if synced:
            _sync_directory(path.parent)
    except OSError as error:
        raise LedgerUnavailable(f"cannot write {path}: {error.strerror}") from None


def contradiction(
    c: Connection, last: Generation | None, writes: Mapping[str, int], beside: bool
) -> tuple[str | None, int]:
    """What says that the ledger was put back from a backup, and the newest number that is known of
    it. Locks nothing. `last` and `writes` are what the files said *before* this: a ledger goes on
    while others are looking. `beside`: there are files, if nothing is wrong."""
    mine, server = _current(c)
    # PostgreSQL may be used from machines that keep no files
    missed = beside and last is None and mine.number > 0 and c.dialect.name == "sqlite"
    reason = FILE_GONE if missed else _contradiction(mine, last)
    reason = reason or _forgotten_writes(c, writes)
    here = server_of(c)
    if reason is None and server and here and server != here:
        reason = f"the database server is another one now ({here}) than it was ({server})"
    return reason, max(mine.number, last.number if last else 0)


def _contradiction(mine: Generation, last: Generation | None) -> str | None:
    if last and last.ledger != mine.ledger:
        return "it is not the ledger that was here before"
    if last and last.number > mine.number:
        return f"it is at generation {mine.number} and was at {last.number} before"
    return last.accused if last else None


def _forgotten_writes(c: Connection, writes: Mapping[str, int]) -> str | None:
    known = {row[0]: row[1] for row in c.execute(select(leases.c.activation, leases.c.writes))}
    for activation, number in writes.items():
        if known.get(activation, 0) < number:
            return (
                f'it knows {known.get(activation, 0)} of the {number} times that "{activation}" was'
                " written"
            )
    return None


def lock_everything(c: Connection) -> None:
    """The lease of every activation, then its watermark: the order in which all lock them."""
    for table in (leases, watermarks):
        c.execute(select(table.c.activation).order_by(table.c.activation).with_for_update()).all()


def distrust(c: Connection, now: int, newest: int = 0) -> Generation:
    """Mark everything suspect that could have been sent without the ledger's knowing.

    Whoever still runs on what the ledger was before loses its lease. `newest`: the generation that
    the ledger was at before.
    """
    lock_everything(c)
    c.execute(
        update(leases).values(fence=leases.c.fence + 1, run_id=None, holder=None, expires_at=0)
    )
    c.execute(update(watermarks).values(suspect=True))
    d = deliveries.c
    # an undone row without an interaction is forgotten, and never sent again
    may_be_sent = or_(d.state != State.UNDONE, d.interaction_id.is_not(None))
    suspicious = (d.state.in_(SUSPICIOUS), OPEN, may_be_sent)
    c.execute(update(deliveries).where(*suspicious).values(suspect=True))
    # attempts may have been made since then, that it knows nothing of
    c.execute(
        update(attempts)
        .where(or_(attempts.c.boot.is_not(None), attempts.c.destination_at.is_not(None)))
        .values({column.name: None for column in CLOCKS_OF_DOUBTS})
    )
    counted = ledgers.c.generation
    reached = case((counted < newest, newest), else_=counted)
    values: dict[str, Any] = {"restored_at": now, "generation": reached + 1}
    if here := server_of(c):
        values["server"] = here
    row: Any = c.execute(
        update(ledgers).values(values).returning(ledgers.c.identity, ledgers.c.generation)
    ).one()
    return Generation(row.identity, row.generation)


def advance(c: Connection, file: GenerationFile | None) -> Generation:
    """Count one generation on: the last thing that a transaction does, for others wait for it.

    Raises LedgerChanged where the file knows a higher number, or another ledger: whatever stands in
    it was committed before, and under the lock of this row nobody commits another one.
    """
    row: Any = c.execute(COUNTING).one_or_none()
    if row is None:
        raise LedgerChanged("it is empty now")
    mine = Generation(row.identity, row.generation)
    last = file.read() if file else None
    reached = Generation(mine.ledger, mine.number - 1)
    if reason := _contradiction(reached, last):
        raise LedgerChanged(reason)
    return mine


COUNTING = (
    update(ledgers)
    .values(generation=ledgers.c.generation + 1)
    .returning(ledgers.c.identity, ledgers.c.generation)
)


def _current(c: Connection) -> tuple[Generation, str | None]:
    """The ledger's generation, and its server as it was when it was last looked at."""
    row: Any = c.execute(select(ledgers)).one_or_none()
    if row is None:
        first = {"id": 1, "identity": secrets.token_hex(8), "server": server_of(c)}
        c.execute(upsert(c, ledgers).values(**first).on_conflict_do_nothing())
        row = c.execute(select(ledgers)).one()
    return Generation(row.identity, row.generation), row.server


def server_of(c: Connection) -> str | None:
    """PostgreSQL's cluster and timeline, both of which change with a restore; None where the
    server does not tell, and for SQLite."""
    if c.dialect.name != "postgresql":
        return None
    query = f"select system_identifier || '/' || {TIMELINE} from pg_control_system()"
    with suppress(DBAPIError), c.begin_nested():
        return str(c.execute(text(query)).scalar_one())
    return None


TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"


def _locked(folder: Path) -> int | None:
    """The descriptor of the folder under a lock, until it is closed; None where there is none."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor, deadline = os.open(folder, os.O_RDONLY), time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)
        except OSError:  # not every file system has locks
            break
        else:
            return descriptor
    os.close(descriptor)
    return None


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_directory(path: Path) -> None:
    with suppress(PermissionError):  # Windows opens no directory
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
