"""Doubts, and how they end: by what the destination shows, or by what a person says."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    func,
    select,
    update,
)

from connector.ledger.moving import Move, Row, Told, move
from connector.ledger.ownership import alone, owned
from connector.ledger.records import Doubt, Run, Settlement
from connector.ledger.tables import (
    CLOCKS_OF_DOUBTS,
    NOW,
    OPEN,
    attempts,
    deliveries,
    ledgers,
)
from connector.rules.delivery import State

d = deliveries.c


def doubts(c: Connection, activation: str, after: int, limit: int) -> list[Doubt]:
    """The next rows in doubt, in the order in which they were staged."""
    return _select(c, activation, d.id > after, limit)


def doubts_of(c: Connection, activation: str, contacts: Collection[str]) -> list[Doubt]:
    """Every row in doubt of these contacts."""
    return _select(c, activation, d.contact_id.in_(list(contacts)), None)


def settle(c: Connection, run: Run, settlements: Sequence[Settlement], now: int) -> list[bool]:
    """End doubts, each only if its row is still in doubt about the very same attempt, and if the
    interaction that was found belongs to no other row by now."""
    alone(c, run.activation)
    taken = owned(c, run.activation, [s.interaction_id for s in settlements if s.interaction_id])
    free = [s for s in settlements if s.interaction_id not in taken]
    moved: set[int] = set()
    for state, how in SETTLED.items():
        rows = [_row(s, run.run_id) for s in free if s.state is state]
        moved |= move(c, how, rows, now, run.run_id)
    return [s.interaction_id not in taken and s.doubt.delivery_id in moved for s in settlements]


def saw(c: Connection, doubts: Sequence[Doubt], boot: int, boot_at: int) -> None:
    """Begin to measure how old these doubts are by the clock of another boot: they are older."""
    for doubt in doubts:
        c.execute(
            update(attempts)
            .where(attempts.c.delivery_id == doubt.delivery_id, attempts.c.number == doubt.attempt)
            .values(boot=boot, boot_at=boot_at)
        )


SETTLED = {
    State.DELIVERED: Move(State.DELIVERED, ("interaction_id",), by_run=True),
    State.PENDING: Move(State.PENDING, ("reason",)),
    # it stays in doubt since when it came into doubt
    State.IN_DOUBT: Move(State.IN_DOUBT, ("reason",), but=lambda _: {"changed_at": d.changed_at}),
}


def _row(s: Settlement, run_id: str) -> Row:
    facts = {"interaction_id": s.interaction_id, "reason": s.reason}
    told = Told(f"read-back of run {run_id}", s.word, State.IN_DOUBT, s.state)
    stays = s.state is State.IN_DOUBT
    doubt = s.doubt
    return Row(doubt.delivery_id, State.IN_DOUBT, doubt.attempt, facts, None if stays else told)


def _possibly_sent_at() -> Any:
    """When the request of a doubt may last have left: what a ledger from a backup remembers of an
    attempt may not be the last one that was made."""
    restored = func.coalesce(select(ledgers.c.restored_at).scalar_subquery(), 0)
    return case((attempts.c.opened_at > restored, attempts.c.opened_at), else_=restored)


def _select(
    c: Connection, activation: str, condition: ColumnElement[bool], limit: int | None
) -> list[Doubt]:
    query = (
        select(
            d.id,
            d.row_key,
            d.attempt,
            d.contact_id,
            d.created_date,
            d.payload,
            NOW - _possibly_sent_at(),
            d.contact,
            d.digest,
            *CLOCKS_OF_DOUBTS,
        )
        .join(attempts, and_(attempts.c.delivery_id == d.id, attempts.c.number == d.attempt))
        .where(d.activation == activation, d.state == State.IN_DOUBT, OPEN, condition)
        .order_by(d.id)
        .limit(limit)
    )
    rows: Any = c.execute(query)
    return [
        Doubt(r[0], r[1], r[2], r[3], r[4], r[5], timedelta(milliseconds=r[6]), *r[7:])
        for r in rows
    ]
