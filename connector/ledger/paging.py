"""Reading much in transactions that are short: with SQLite's rollback journal a reader lets nobody
commit, and in every database one that stays keeps what others have replaced."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, func, select

from connector.ledger.tables import OPEN, deliveries
from connector.ledger.transaction import transaction
from connector.rules.delivery import State

PAGE = 2_000
"""Rows that are fetched in one transaction."""
WINDOW = 20_000
"""Ids among which is searched in one transaction."""

T = TypeVar("T")
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


def windows(
    engine: Engine, look: Callable[[Connection, int, int], T], after: int = 0
) -> Iterator[T]:
    """What `look` finds among the deliveries with ids after one and until another, from `after` on
    to the newest."""
    with transaction(engine) as c:
        newest = c.execute(select(func.max(deliveries.c.id))).scalar() or 0
    while after < newest:
        with transaction(engine) as c:
            found = look(c, after, after + WINDOW)
        yield found
        after += WINDOW


def first_rows(
    engine: Engine, query: Select[Any], column: Any, after: int, limit: int | None
) -> list[Any]:
    """The first `limit` rows of `query` (None: all) whose delivery's id, in `column`, comes after
    `after`."""

    def look(c: Connection, first: int, last: int) -> Sequence[Any]:
        return c.execute(query.where(column > first, column <= last).limit(limit)).all()

    found: list[Any] = []
    for some in windows(engine, look, after):
        found += some
        if limit is not None and len(found) >= limit:
            return found[:limit]
    return found
