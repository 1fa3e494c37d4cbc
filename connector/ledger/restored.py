"""Notice that the ledger was put back from a backup, and distrust what it then calls unsent.

The ledger counts its *generations* (a run begins, ends), and in the lease of each activation the
*writes* of whoever holds it. Files beside it hold what was counted last, and a run remembers
what it has seen committed (see records.py). A ledger that is behind them, or another one than they
know, has forgotten sends. Its open rows, and all rows recorded until the model was read to its end
once more, are *suspect*: each is read back at the destination before its first send.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, case, exists, or_, select, text, update
from sqlalchemy.exc import DBAPIError

from connector.ledger.generation import Generation, GenerationFile
from connector.ledger.tables import (
    CLOCKS_OF_DOUBTS,
    FREE,
    OPEN,
    TIMELINE,
    attempts,
    deliveries,
    leases,
    ledgers,
    upsert,
    watermarks,
)
from connector.rules.delivery import READ_BACK_BY_RUNS, SUSPICIOUS, State
from connector.rules.errors import LedgerChanged

FILE_GONE = "the file that belongs beside it is gone"


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


def is_suspect(c: Connection, activation: str) -> bool:
    """Whether rows of the activation are read back before they are sent."""
    d, mark = deliveries.c, watermarks.c
    rows = (d.activation == activation, d.state.in_(READ_BACK_BY_RUNS), d.suspect, OPEN)
    query = select(
        exists().where(mark.activation == activation, mark.suspect) | exists().where(*rows)
    )
    return bool(c.scalar(query))


def distrust(c: Connection, now: int, newest: int = 0) -> Generation:
    """Mark everything suspect that could have been sent without the ledger's knowing.

    Whoever still runs on what the ledger was before loses its lease. `newest`: the generation that
    the ledger was at before.
    """
    for table in (leases, watermarks):  # the order in which all lock them
        c.execute(select(table.c.activation).order_by(table.c.activation).with_for_update()).all()
    c.execute(update(leases).values(fence=leases.c.fence + 1, **FREE))
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
