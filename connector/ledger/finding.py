"""Rows that people look for: by a part of their key, or because they wait for somebody."""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, func, or_, select

from connector.ledger.paging import open_rows, windows
from connector.ledger.tables import deliveries, watermarks
from connector.ledger.transaction import transaction
from connector.rules.delivery import QUARANTINE, State

d = deliveries.c


def similar_keys(engine: Engine, activation: str, row_key: str, limit: int) -> list[str]:
    """Recorded row keys that hold `row_key`, whatever the capitals."""
    pattern = d.row_key.icontains(row_key, autoescape=True)
    query = select(d.row_key).where(d.activation == activation, pattern).limit(limit)

    def look(c: Connection, after: int, until: int) -> list[str]:
        return list(c.execute(query.where(d.id > after, d.id <= until)).scalars())

    found: list[str] = []
    for some in windows(engine, look):
        found += some
        if len(found) >= limit:
            break
    return found[:limit]


def keys_holding(engine: Engine, names: Collection[str], activations: Collection[str]) -> int:
    """How many row keys hold one of `names` themselves."""
    holding = or_(*(d.row_key.icontains(name, autoescape=True) for name in names))
    query = select(func.count()).where(d.activation.in_(list(activations)), holding)

    def look(c: Connection, after: int, until: int) -> int:
        return int(c.execute(query.where(d.id > after, d.id <= until)).scalar_one())

    return sum(windows(engine, look))


def quarantined(
    engine: Engine, activation: str | None, state: State | None, reason: str | None
) -> Iterator[Any]:
    """Rows that wait for a person, of all activations for None, in no order: id, activation, row
    key, state, reason and since when."""
    query = select(d.id, d.activation, d.row_key, d.state, d.reason, d.changed_at)
    if reason is not None:
        query = query.where(d.reason.icontains(reason, autoescape=True))
    for name in _recorded(engine) if activation is None else [activation]:
        yield from open_rows(engine, name, [state] if state else QUARANTINE, query)


def _recorded(engine: Engine) -> list[str]:
    with transaction(engine) as c:
        return list(c.execute(select(watermarks.c.activation)).scalars())
