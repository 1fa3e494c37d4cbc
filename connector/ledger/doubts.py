"""Doubts, and how they end: by what the destination shows, or by what a person says."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, update

from connector.ledger.counts import count_in_run
from connector.ledger.leases import Book
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
from connector.ledger.transaction import repeated
from connector.rules.delivery import State

d, a = deliveries.c, attempts.c
RESTORED_AT = func.coalesce(select(ledgers.c.restored_at).scalar_subquery(), 0)
POSSIBLY_SENT_AT: Any = case((a.opened_at > RESTORED_AT, a.opened_at), else_=RESTORED_AT)
"""When the request of a doubt may last have left: what a ledger from a backup remembers of an
attempt may not be the last one that was made."""


class Doubts(Book):
    """The rows of which nobody knows whether the destination has them."""

    def doubts(self, activation: str, after: int, limit: int) -> list[Doubt]:
        """The next rows in doubt, after the delivery with the id `after`."""
        return self._doubts(activation, d.id > after, limit)

    def doubts_of(self, activation: str, contacts: Collection[str]) -> list[Doubt]:
        """Every row in doubt of these contacts."""
        return self._doubts(activation, d.contact_id.in_(list(contacts)), None)

    def _doubts(
        self, activation: str, condition: ColumnElement[bool], limit: int | None
    ) -> list[Doubt]:
        columns = (d.id, d.row_key, d.attempt, d.contact_id, d.created_date, d.payload)
        query = (
            select(*columns, NOW - POSSIBLY_SENT_AT, d.contact, d.digest, *CLOCKS_OF_DOUBTS)
            .join(attempts, and_(a.delivery_id == d.id, a.number == d.attempt))
            .where(d.activation == activation, d.state == State.IN_DOUBT, OPEN, condition)
            .order_by(d.id)
            .limit(limit)
        )
        return [
            Doubt(r[0], r[1], r[2], r[3], r[4], r[5], timedelta(milliseconds=r[6]), *r[7:])
            for r in self._all(query)
        ]

    def doubts_left(self, run: Run) -> int:
        """How many rows are in doubt about a request of this run."""
        query = select(func.count()).where(
            d.activation == run.activation,
            d.state.in_((State.IN_DOUBT, State.SENDING)),
            d.run_id == run.run_id,
            OPEN,
        )
        return int(self._first(query)[0])

    @repeated
    def saw(self, run: Run, doubts: Sequence[Doubt], boot: int, boot_at: int) -> None:
        """Record when doubts were seen that were opened under another boot. Raises LeaseLost."""
        with self._leased(run) as (c, _):
            # they are older than they look by this clock
            for doubt in doubts:
                mine = (a.delivery_id == doubt.delivery_id, a.number == doubt.attempt)
                c.execute(update(attempts).where(*mine).values(boot=boot, boot_at=boot_at))

    @repeated
    def settle(self, run: Run, settlements: Sequence[Settlement]) -> list[bool]:
        """End doubts that were counted against each other: all, or none when one of them has moved
        since, for then the count was another. Says of each whether it moved. Raises LeaseLost."""
        with self._leased(run) as (c, now):
            savepoint = c.begin_nested()
            done = _settle(c, run, settlements, now)
            if all(done):
                found = sum(s.state is State.DELIVERED for s in settlements)
                turned_down = sum(s.state is State.REJECTED for s in settlements)
                count_in_run(c, run.run_id, delivered=found, rejected=turned_down)
                savepoint.commit()
                return done
            savepoint.rollback()
            return [False] * len(done)


def _settle(c: Connection, run: Run, settlements: Sequence[Settlement], now: int) -> list[bool]:
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


SETTLED = {
    State.DELIVERED: Move(State.DELIVERED, ("interaction_id",), by_run=True),
    State.PENDING: Move(State.PENDING, ("reason",)),
    State.REJECTED: Move(State.REJECTED, ("reason",), by_run=True),
    # it stays in doubt since when it came into doubt
    State.IN_DOUBT: Move(State.IN_DOUBT, ("reason",), but=lambda _: {"changed_at": d.changed_at}),
}


def _row(s: Settlement, run_id: str) -> Row:
    facts = {"interaction_id": s.interaction_id, "reason": s.reason}
    told = Told(f"read-back of run {run_id}", s.word, State.IN_DOUBT, s.state)
    stays = s.state is State.IN_DOUBT
    doubt = s.doubt
    return Row(doubt.delivery_id, State.IN_DOUBT, doubt.attempt, facts, None if stays else told)
