"""Rows that were delivered, and whose an interaction is: what reading back needs to know."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Engine, func, literal_column, select

from connector.ledger.paging import windows
from connector.ledger.places import neighbours
from connector.ledger.records import Delivered, Unsettled
from connector.ledger.tables import OPEN, deliveries
from connector.rules.delivery import State

d = deliveries.c
COLUMNS = (d.id, d.row_key, d.state, d.run_id, d.changed_at, d.interaction_id, d.digest)
MOST_IDS = 1000
SHORT = 8
# with parameters for the numbers no database would see that this is the expression of an index
SHORT_ID = func.substr(d.interaction_id, literal_column("1"), literal_column(str(SHORT)))


def delivered(engine: Engine, run_id: str, until: int, after: int, limit: int) -> list[Delivered]:
    """The next rows that stand as delivered by a run since `until` at the latest."""
    query = (
        select(*COLUMNS)
        .where(d.run_id == run_id, d.state == State.DELIVERED, d.changed_at <= until)
        .order_by(d.id)
        .limit(limit)
    )

    def look(c: Connection, first: int, last: int) -> list[Delivered]:
        rows = c.execute(query.where(d.id > first, d.id <= last))
        return [_delivered(row) for row in rows]

    found: list[Delivered] = []
    for some in windows(engine, look, after):
        found += some
        if len(found) >= limit:
            break
    return found[:limit]


def owners(c: Connection, activation: str, ids: Collection[str]) -> dict[str, Delivered]:
    """The rows that `ids` belong to, at the destination of `activation`."""
    near = neighbours(c, activation)
    found: dict[str, Delivered] = {}
    whole = list(ids)
    for start in range(0, len(whole), MOST_IDS):
        part = whole[start : start + MOST_IDS]
        # by the index's expression alone: asked for the activation, SQLite would read all its rows,
        # and a single whole id it would put into the expression, and no longer recognise it
        query = select(d.activation, *COLUMNS).where(
            SHORT_ID.in_([i[:SHORT] for i in part]), d.interaction_id.is_not(None)
        )
        rows = [_delivered(r[1:]) for r in c.execute(query) if r[0] in near]
        found.update((row.interaction_id, row) for row in rows if row.interaction_id in part)
    return found


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


def _delivered(row: Any) -> Delivered:
    return Delivered(row[0], row[1], State(row[2]), *row[3:])
