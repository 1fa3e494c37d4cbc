"""Notice that the ledger was put back from a backup, and distrust what it then calls unsent.

The ledger counts its *generations* (a run begins, ends), and in the lease of each activation the
*writes* of whoever holds it. Files beside it hold what was counted last, and a run remembers
what it has seen committed (see records.py). A ledger that is behind them, or another one than they
know, has forgotten sends. Its open rows, and all rows recorded until the model was read to its end
once more, are *suspect*: each is read back at the destination before its first send.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    case,
    exists,
    literal,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.exc import DBAPIError

from connector.basis import dataclass
from connector.ledger.generation import Generation, GenerationFile
from connector.ledger.tables import (
    CLOCKS_OF_DOUBTS,
    FREE,
    NOW,
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
ANOTHER = "it is not the ledger that was here before"


@dataclass(frozen=True, slots=True)
class Beside:
    """What the files beside a ledger said: to be read *before* the ledger, which goes on while
    others are looking. `writes`: by activation; `belongs`: there are files, if nothing is wrong."""

    last: Generation | None
    writes: Mapping[str, int]
    belongs: bool


def seen_beside(file: GenerationFile | None, dialect: str) -> Beside:
    """What the files say now. Raises LedgerUnavailable when they cannot be read."""
    last = file.read() if file else None
    writes = file.read_writes(last.ledger) if file and last else {}
    # PostgreSQL may be used from machines that keep no files
    return Beside(last, writes, file is not None and dialect == "sqlite")


@dataclass(frozen=True, slots=True)
class Itself:
    """What a ledger says of itself `now`, by its database's clock. `server`: as it was when it was
    last looked at, and as it is `here`; `writes`: those of each activation that has a lease."""

    generation: Generation
    server: str | None
    here: str | None
    writes: Mapping[str, int]
    now: int


def itself(c: Connection) -> Itself | None:
    """What the ledger says of itself; None: nobody has begun it. Locks nothing."""
    rows = c.execute(ITSELF).all()
    if not rows:
        return None
    first, writes = rows[0], {row.activation: row.writes for row in rows if row.activation}
    generation = Generation(first.identity, first.generation)
    return Itself(generation, first.server, server_of(c), writes, int(first.now))


def begin_ledger(c: Connection) -> None:
    """Give a new ledger its identity, if nobody else has done so."""
    first = {"id": 1, "identity": secrets.token_hex(8), "server": server_of(c)}
    c.execute(upsert(c, ledgers).values(**first).on_conflict_do_nothing())


def contradiction(ledger: Itself, beside: Beside) -> str | None:
    """What says that the ledger was put back from a backup."""
    if beside.belongs and beside.last is None and ledger.generation.number > 0:
        return FILE_GONE
    if reason := _contradiction(ledger.generation, beside.last):
        return reason
    if reason := _forgotten_writes(ledger.writes, beside.writes):
        return reason
    server, here = ledger.server, ledger.here
    if server and here and server != here:
        return f"the database server is another one now ({here}) than it was ({server})"
    return None


def _contradiction(mine: Generation, last: Generation | None) -> str | None:
    if last and last.ledger != mine.ledger:
        return ANOTHER
    if last and last.number > mine.number:
        return f"it is at generation {mine.number} and was at {last.number} before"
    return last.accused if last else None


def _forgotten_writes(known: Mapping[str, int], writes: Mapping[str, int]) -> str | None:
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
    seen, moment = literal(newest, BigInteger), literal(now, BigInteger)
    reached = case((counted < seen, seen), else_=counted) + 1
    # nothing counts up once a millisecond: beyond whatever this ledger has reached in a life that
    # nothing here knows of, so that a backup from there is not taken for what goes on here
    number = case((reached < moment, moment), else_=reached)
    values: dict[str, Any] = {"restored_at": now, "generation": number}
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


ITSELF = select(
    *(ledgers.c.identity, ledgers.c.generation, ledgers.c.server),
    *(leases.c.activation, leases.c.writes, NOW.label("now")),
).select_from(ledgers.outerjoin(leases, true()))
COUNTING = (
    update(ledgers)
    .values(generation=ledgers.c.generation + 1)
    .returning(ledgers.c.identity, ledgers.c.generation)
)


def server_of(c: Connection) -> str | None:
    """PostgreSQL's cluster and timeline, both of which change with a restore; None where the
    server does not tell, and for SQLite."""
    if c.dialect.name != "postgresql":
        return None
    query = f"select system_identifier || '/' || {TIMELINE} from pg_control_system()"
    try:
        with c.begin_nested():
            return str(c.execute(text(query)).scalar_one())
    except DBAPIError as error:
        if error.connection_invalidated:  # it has not told, it is gone
            raise
        return None
