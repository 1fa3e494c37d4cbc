"""Reading much in transactions that are short: with SQLite's rollback journal a reader lets nobody
commit, and in every database one that stays keeps what others have replaced."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, func, select

from connector.ledger.spans import span_of
from connector.ledger.tables import OPEN, deliveries
from connector.ledger.transaction import repeated, transaction
from connector.rules.delivery import State

PAGE = 2_000
"""Rows that are fetched in one transaction."""
WINDOW = 20_000
"""Ids among which is searched in one transaction."""

BEGINNING = "*"
"""At the end of a part of a row key: keys begin with it."""

d = deliveries.c


def holding(reason: str | None, key: str | None) -> Iterator[ColumnElement[bool]]:
    """The conditions for a part of the reason, and one of the row key."""
    if reason:
        yield d.reason.icontains(reason, autoescape=True)
    if key and key.endswith(BEGINNING):
        yield d.row_key.istartswith(key.removesuffix(BEGINNING), autoescape=True)
    elif key:
        yield d.row_key.icontains(key, autoescape=True)


def open_rows(
    engine: Engine, activation: str, states: Iterable[State], query: Select[Any]
) -> Iterator[Any]:
    """The rows of `query` that stand in one of `states` (not delivered): state by state, so that
    the index over open rows leads to each page, however few of its rows are meant."""
    for state in states:
        ours, after = (d.activation == activation, d.state == state, OPEN), 0
        while True:
            page = select(d.id).where(*ours, d.id > after).order_by(d.id).limit(PAGE).subquery()
            last, rows = _page(engine, page, query.where(*ours, d.id > after))
            yield from rows
            if last is None:
                break
            after = last


@repeated
def _page(engine: Engine, page: Any, query: Select[Any]) -> tuple[int | None, Sequence[Any]]:
    """The last id of a page, and the rows of the query up to there; None: there is no page."""
    with transaction(engine) as c:
        last = c.execute(select(func.max(page.c.id))).scalar()
        if last is None:
            return None, ()
        return last, c.execute(query.where(d.id <= last).order_by(d.id)).all()


def windows(
    engine: Engine, query: Select[Any], column: Any, after: int = 0, last: int | None = None
) -> Iterator[Any]:
    """The rows that `query` finds in one window after the other, each of deliveries whose ids, in
    `column`, come after `after`, up to `last` (None: to the newest)."""
    if last is None:
        last = _found(engine, select(func.max(d.id)))[0][0] or 0
    while after < last:
        until = min(after + WINDOW, last)
        yield from _found(engine, query.where(column > after, column <= until))
        after = until


@repeated
def _found(engine: Engine, query: Select[Any]) -> Sequence[Any]:
    with transaction(engine) as c:
        return c.execute(query).all()


def first_rows(
    engine: Engine,
    query: Select[Any],
    column: Any,
    after: int,
    limit: int | None,
    last: int | None = None,
) -> list[Any]:
    """The first `limit` rows of `query` (None: all), in the order of `column`."""
    in_order = query.order_by(column).limit(limit)
    return list(islice(windows(engine, in_order, column, after, last), limit))


def rows_of_run(
    engine: Engine,
    run_id: str,
    query: Select[Any],
    column: Any,
    after: int = 0,
    limit: int | None = None,
) -> list[Any]:
    """The same where `query` asks only for what a run has recorded, moved or tried."""
    before, last = span_of(engine, run_id)
    return first_rows(engine, query, column, max(after, before), limit, last)
