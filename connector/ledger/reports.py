"""The reading side of the ledger: what people ask, and what a preview needs. Writes nothing."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, func, select

from connector.delivery import QUARANTINE, State
from connector.interaction import instant_text
from connector.ledger.engine import transaction
from connector.ledger.records import COUNTS, Known, known_rows, stored_watermark
from connector.ledger.tables import OPEN, attempts, deliveries, runs, watermarks
from connector.watermark import Watermark

Document = dict[str, Any]


class Reports:
    """Answers about the ledger behind `engine`, or about one that does not exist yet (None).

    Every method raises LedgerUnavailable when the database cannot be read.
    """

    def __init__(self, engine: Engine | None) -> None:
        self._engine = engine

    def watermark(self, activation: str) -> tuple[Watermark, bool]:
        """The stored position, and whether some run has read the whole model."""
        row = self._first(select(watermarks).where(watermarks.c.activation == activation))
        return (
            (Watermark(), False)
            if row is None
            else (stored_watermark(row), row.begun_at is not None)
        )

    def known(self, activation: str, keys: Collection[str]) -> dict[str, Known]:
        """What is recorded under each of `keys`."""
        if self._engine is None:
            return {}
        with transaction(self._engine) as c:
            return known_rows(c, activation, keys)

    def counts(self, activation: str) -> dict[str, int]:
        """How many rows stand in each state; every state is there."""
        found = dict.fromkeys((state.value for state in State), 0)
        query = (
            select(deliveries.c.state, func.count())
            .where(deliveries.c.activation == activation)
            .group_by(deliveries.c.state)
        )
        return found | {row[0]: row[1] for row in self._all(query)}

    def runs(self, activation: str | None = None, limit: int = 20) -> list[Document]:
        """The newest runs, newest first."""
        query = select(runs).order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(limit)
        if activation is not None:
            query = query.where(runs.c.activation == activation)
        return [_run_document(row) for row in self._all(query)]

    def run(self, run_id: str) -> Document | None:
        """One run."""
        row = self._first(select(runs).where(runs.c.run_id == run_id))
        return None if row is None else _run_document(row)

    def delivery(self, activation: str, row_key: str) -> Document | None:
        """The whole story of one row, without its contact and its payload."""
        d = deliveries.c
        row = self._first(
            select(deliveries).where(d.activation == activation, d.row_key == row_key)
        )
        if row is None:
            return None
        tries = self._all(
            select(attempts).where(attempts.c.delivery_id == row.id).order_by(attempts.c.number)
        )
        return {
            "activation": activation,
            "row_key": row_key,
            "state": row.state,
            "reason": row.reason,
            "interaction_id": row.interaction_id,
            "run_id": row.run_id,
            "since": instant(row.changed_at),
            "due_at": instant(row.due_at),
            "waiting_since": instant(row.waiting_since),
            "attempts": [
                {
                    "number": a.number,
                    "run_id": a.run_id,
                    "opened_at": instant(a.opened_at),
                    "closed_at": instant(a.closed_at),
                    "outcome": a.outcome,
                    "http_status": a.http_status,
                    "reason": a.reason,
                }
                for a in tries
            ],
        }

    def similar_keys(self, activation: str, row_key: str, limit: int = 5) -> list[str]:
        """Recorded row keys that hold `row_key`, whatever the capitals."""
        d = deliveries.c
        pattern = d.row_key.icontains(row_key, autoescape=True)
        query = select(d.row_key).where(d.activation == activation, pattern).limit(limit)
        return [row[0] for row in self._all(query)]

    def quarantine(self, activation: str | None = None, limit: int | None = None) -> list[Document]:
        """Rows that wait for a person: invalid, rejected and in doubt; oldest first."""
        d = deliveries.c
        query = (
            select(d.activation, d.row_key, d.state, d.reason, d.changed_at)
            .where(d.state.in_(QUARANTINE), OPEN)
            .order_by(d.activation, d.changed_at, d.id)
            .limit(limit)
        )
        if activation is not None:
            query = query.where(d.activation == activation)
        return [
            {
                "activation": r.activation,
                "row_key": r.row_key,
                "state": r.state,
                "reason": r.reason,
                "since": instant(r.changed_at),
            }
            for r in self._all(query)
        ]

    def _all(self, query: Any) -> list[Any]:
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return list(c.execute(query))

    def _first(self, query: Any) -> Any:
        return next(iter(self._all(query)), None)


def instant(milliseconds: int | None) -> str | None:
    """A time of the ledger in RFC 3339."""
    if milliseconds is None:
        return None
    return instant_text(datetime.fromtimestamp(milliseconds / 1000, UTC))


def _run_document(row: Any) -> Document:
    return {
        "run_id": row.run_id,
        "activation": row.activation,
        "status": row.status,
        **{name: getattr(row, name) for name in COUNTS},
        "watermark": row.watermark,
        "started_at": instant(row.started_at),
        "finished_at": instant(row.finished_at),
        "error": row.error,
        "notes": json.loads(row.notes) if row.notes else [],
    }
