"""Rows that were delivered, and whose an interaction is: what reading back needs to know."""

from typing import Any

from sqlalchemy import Connection, Engine, func, select

from connector.ledger.ownership import OF_DELIVERED, delivered_row, neighbours
from connector.ledger.paging import windows
from connector.ledger.records import Delivered, Unsettled
from connector.ledger.tables import OPEN, deliveries
from connector.rules.delivery import State

d = deliveries.c


def delivered(engine: Engine, run_id: str, until: int, after: int, limit: int) -> list[Delivered]:
    """The next rows that stand as delivered by a run since `until` at the latest."""
    query = (
        select(*OF_DELIVERED)
        .where(d.run_id == run_id, d.state == State.DELIVERED, d.changed_at <= until)
        .order_by(d.id)
        .limit(limit)
    )

    def look(c: Connection, first: int, last: int) -> list[Delivered]:
        rows = c.execute(query.where(d.id > first, d.id <= last))
        return [delivered_row(row) for row in rows]

    found: list[Delivered] = []
    for some in windows(engine, look, after):
        found += some
        if len(found) >= limit:
            break
    return found[:limit]


def unsettled(c: Connection, activation: str, contact_id: str) -> list[Unsettled]:
    """The contact's rows that were sent, at the destination of `activation`, without an answer."""
    rows: Any = c.execute(
        select(d.id, d.created_date, d.payload).where(
            d.activation.in_(neighbours(c, activation)),
            d.state.in_((State.SENDING, State.IN_DOUBT)),
            OPEN,
            func.lower(d.contact_id) == contact_id.lower(),
        )
    )
    return [Unsettled(*row) for row in rows]
