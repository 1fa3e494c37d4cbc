"""What the ledger remembers for limits: what earlier runs were like, and what waits to be sent."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Column, String, Table, Text, or_, select

from connector.ledger.records import moment
from connector.ledger.tables import OPEN, deliveries, metadata, runs
from connector.ledger.transaction import Reader
from connector.rules.delivery import State

tempos = Table(  # of runs that have ended: see connector.rules.tempo
    "tempos",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("document", Text, nullable=False),  # JSON
)

MOST_RUNS = 20_000
"""Runs that are looked back on for what is usual."""
MOST_MATCHES = 50
MOST_READINGS = 1_000
"""Runs among which an empty model counts as one that may be empty."""
PAGE = 5_000
ENDED_WELL = ("succeeded", "attention")
"""The statuses of runs that nothing has kept from sending what was to be sent."""
d, r = deliveries.c, runs.c


def ended_well(activation: str, *columns: Any) -> Any:
    """The runs of an activation that have ended well, the newest first."""
    mine = r.activation == activation, r.status.in_(ENDED_WELL)
    return select(*columns).where(*mine).order_by(r.started_at.desc())


class Histories(Reader):
    """Answers about earlier runs of an activation; only those count that have ended well."""

    def rows_of_runs(self, activation: str) -> list[tuple[datetime, int]]:
        """When runs began, and how many rows they had to send, those without any left out; the
        newest first."""
        query = self._ended_well(activation, r.started_at, r.due).where(r.comparable, r.due > 0)
        return [(moment(began), due) for began, due in self._all(query.limit(MOST_RUNS))]

    def matches_of_runs(self, activation: str) -> list[float]:
        """The shares of contact identifiers that runs have found; the newest first."""
        told = or_(r.matched.is_not(None), r.contacts.is_not(None))
        query = self._ended_well(activation, r.matched, r.contacts).where(r.comparable, told)
        found = []
        for matched, contacts in self._all(query.limit(MOST_MATCHES)):
            share = json.loads(contacts)["match_rate"] if matched is None else matched
            if share is not None:
                found.append(float(share))
        return found

    def readings(self, activation: str) -> list[bool]:
        """Whether the model had rows, by run, where that is known; the newest first."""
        query = self._ended_well(activation, r.read).where(or_(r.read > 0, r.empty))
        return [read > 0 for (read,) in self._all(query.limit(MOST_READINGS))]

    def _ended_well(self, activation: str, *columns: Any) -> Any:
        return ended_well(self._name(activation), *columns)

    def to_be_sent(self, activation: str) -> Iterator[tuple[str, str, str, bool]]:
        """Of every row that is recorded and may be sent: its key, its contact, its created date,
        and whether it has waited for its contact."""
        after, ours = 0, (d.activation == self._name(activation), d.state == State.PENDING, OPEN)
        columns = (d.id, d.row_key, d.contact, d.created_date, d.waiting_since)
        while True:
            query = select(*columns).where(*ours, d.id > after).order_by(d.id).limit(PAGE)
            page = self._all(query)
            yield from ((row[1], row[2], row[3], row[4] is not None) for row in page)
            if len(page) < PAGE:
                return
            after = page[-1].id
