"""Reading much in transactions that are short: with SQLite's rollback journal a reader lets nobody
commit, and in every database one that stays keeps what others have replaced."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Engine, Select, func, select

from connector.ledger.tables import OPEN, deliveries
from connector.ledger.transaction import transaction
from connector.rules.delivery import State

PAGE = 2_000
"""Rows that are fetched in one transaction."""
WINDOW = 20_000
"""Ids among which is searched in one transaction."""

d = deliveries.c


def open_rows(
    engine: Engine, activation: str, states: Iterable[State], query: Select[Any]
) -> Iterator[Any]:
    """The rows of `query` that stand in one of `states` (not delivered): state by state, so that
    the index over open rows leads to each page, however few of its rows are meant."""
    for state in states:
        ours, after = (d.activation == activation, d.state == state, OPEN), 0
        while True:
            page = select(d.id).where(*ours, d.id > after).order_by(d.id).limit(PAGE).subquery()
            with transaction(engine) as c:
                last = c.execute(select(func.max(page.c.id))).scalar()
                if last is None:
                    break
                among = (*ours, d.id > after, d.id <= last)
                rows = c.execute(query.where(*among).order_by(d.id)).all()
            yield from rows
            after = last


def windows(engine: Engine, query: Select[Any], column: Any, after: int = 0) -> Iterator[Any]:
    """The rows that `query` finds in one window after the other, each of deliveries whose ids, in
    `column`, come after `after`."""
    with transaction(engine) as c:
        newest = c.execute(select(func.max(d.id))).scalar() or 0
    while after < newest:
        with transaction(engine) as c:
            rows = c.execute(query.where(column > after, column <= after + WINDOW)).all()
        yield from rows
        after += WINDOW


def first_rows(
    engine: Engine, query: Select[Any], column: Any, after: int, limit: int | None
) -> list[Any]:
    """The first `limit` rows of `query` (None: all), in the order of `column`."""
    return list(islice(windows(engine, query.order_by(column).limit(limit), column, after), limit))
