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
    insert,
    select,
    update,
)

from connector.ledger.delivered import owners
from connector.ledger.moves import FACTS_OF_DELIVERED
from connector.ledger.ownership import alone, removed
from connector.ledger.records import NOW, Doubt, Run, Settlement
from connector.ledger.tables import (
    CLOCKS_OF_DOUBTS,
    OPEN,
    attempts,
    decisions,
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


def owned(c: Connection, activation: str, ids: Collection[str]) -> set[str]:
    """Which of `ids` belong to rows already, or did before they were deleted, at the destination
    of `activation`."""
    return {*owners(c, activation, ids), *removed(c, activation, ids)}


def settle(c: Connection, run: Run, settlements: Sequence[Settlement], now: int) -> list[bool]:
    """End doubts, each only if its row is still in doubt about the very same attempt, and if the
    interaction that was found belongs to no other row by now."""
    alone(c, run.activation)
    taken = owned(c, run.activation, [s.interaction_id for s in settlements if s.interaction_id])
    done = []
    for s in settlements:
        moved = s.interaction_id not in taken and _move(c, run, s, now)
        if moved and s.state is not State.IN_DOUBT:
            _decide(c, s, run.run_id, now)
        done.append(moved)
    return done


def saw(c: Connection, doubts: Sequence[Doubt], boot: int, boot_at: int) -> None:
    """Begin to measure how old these doubts are by the clock of another boot: they are older."""
    for doubt in doubts:
        c.execute(
            update(attempts)
            .where(attempts.c.delivery_id == doubt.delivery_id, attempts.c.number == doubt.attempt)
            .values(boot=boot, boot_at=boot_at)
        )


def _move(c: Connection, run: Run, s: Settlement, now: int) -> bool:
    values: dict[str, Any] = {"reason": s.reason, "changed_at": now}
    if s.state is State.DELIVERED:
        values |= FACTS_OF_DELIVERED | {"interaction_id": s.interaction_id, "run_id": run.run_id}
    if s.state is State.IN_DOUBT:
        values.pop("changed_at")  # it stays in doubt since when it came into doubt
    return (
        c.execute(
            update(deliveries)
            .where(
                d.id == s.doubt.delivery_id,
                d.state == State.IN_DOUBT,
                d.attempt == s.doubt.attempt,
            )
            .values(state=s.state, **values)
        ).rowcount
        == 1
    )


def _decide(c: Connection, s: Settlement, by: str, now: int) -> None:
    c.execute(
        insert(decisions).values(
            delivery_id=s.doubt.delivery_id,
            at=now,
            by=f"read-back of run {by}",
            decision=s.word,
            was=State.IN_DOUBT,
            state=s.state,
        )
    )


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
