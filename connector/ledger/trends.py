"""How activations went: their newest runs, and their days."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select

from connector.basis import dataclass
from connector.ledger.days import Offsets, day_of
from connector.ledger.history import ENDED_WELL, Histories, tempos
from connector.ledger.leases import WOKEN
from connector.ledger.paging import open_rows
from connector.ledger.tables import chunks, deliveries, leases, runs, upsert
from connector.rules.deed import Document
from connector.rules.delivery import QUARANTINE, State
from connector.rules.tempo import Tempo

SOME_KEYS = 5
LEFT = (*QUARANTINE, State.WAITING, State.SENDING, State.SUBMITTED)
"""How rows stand that are not done."""
r, d = runs.c, deliveries.c


@dataclass(frozen=True, slots=True)
class Past:
    """A run, as far as a strip of them tells of it. Times are milliseconds since 1970; `ended`:
    None while it goes on, and for one that was killed."""

    run_id: str
    status: str
    began: int
    ended: int | None
    delivered: int
    refused: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day of one activation. `day`: since 1970, in the zone that was asked for; `refused`:
    invalid and rejected rows; `matched`: share of the contacts that were found, on average;
    `longest`: of its runs, in milliseconds; `lag`: the longest time between two readings of the
    model to its end, in milliseconds, told on the day on which the second began."""

    day: int
    runs: int
    stopped: int
    delivered: int
    refused: int
    matched: float | None
    longest: int | None
    lag: int | None


def keep_tempo(c: Connection, run_id: str, tempo: Tempo) -> None:
    """Put on record how a run went in time; what is there already is newer than nothing."""
    values = {"run_id": run_id, "document": json.dumps(tempo.document)}
    c.execute(upsert(c, tempos).values(**values).on_conflict_do_nothing())


class Trends(Histories):
    """What became of runs, over time."""

    def tempo(self, run_id: str) -> Document | None:
        """How a run that has ended went in time; None where that is not known."""
        row = self._first(select(tempos.c.document).where(tempos.c.run_id == run_id))
        return None if row is None else dict(json.loads(row[0]))

    def left_by(self, run_id: str, activation: str) -> list[Document]:
        """The rows that a run moved last and that are not delivered, grouped by state and reason,
        the largest groups first, each with some of its keys."""
        numbers, keys = Counter[tuple[str, str]](), defaultdict[tuple[str, str], list[str]](list)
        query = select(d.id, d.state, d.reason, d.row_key).where(d.run_id == run_id)
        for row in open_rows(self._engine, self._name(activation), LEFT, query):
            group = (row.state, row.reason or "")
            numbers[group] += 1
            if len(keys[group]) < SOME_KEYS:
                keys[group].append(row.row_key)
        return [
            {"state": group[0], "reason": group[1], "count": number, "keys": keys[group]}
            for group, number in numbers.most_common()
        ]

    def recent_runs(self, activations: Sequence[str], number: int) -> dict[str, list[Past]]:
        """The newest runs of each of `activations`, oldest first: at least so many, where there
        are."""
        recorded = {self._name(name): name for name in activations}
        found: dict[str, list[Past]] = {name: [] for name in activations}
        for part in chunks(recorded):
            for name, *row in self._all(_newest(part, number)):
                found[recorded[name]].append(Past(*row))
        return found

    def days_in_runs(self, activation: str, since: int, offsets: Offsets) -> list[Day]:
        """The days of an activation from `since` (in milliseconds) on on which it ran, by clocks
        with these `offsets`, oldest first."""
        name, day = self._name(activation), day_of(r.started_at, offsets)
        gaps = {row.day: row.lag for row in self._all(_gaps(name, since, offsets))}
        refused = func.sum(r.invalid + r.rejected)
        query = select(
            day,
            func.count().label("runs"),
            func.count().filter(r.status == "stopped").label("stopped"),
            func.sum(r.delivered).label("delivered"),
            refused.label("refused"),
            func.avg(r.matched).label("matched"),
            func.max(r.finished_at - r.started_at).label("longest"),
        ).where(r.activation == name, r.started_at >= since)
        found = self._all(query.group_by(day).order_by(day))
        return [Day(**row._mapping, lag=gaps.get(row.day)) for row in found]


def _newest(activations: Sequence[str], number: int) -> Select[Any]:
    """One statement for all of them: whoever began a run has had its lease."""
    of = runs.alias().c
    first = select(of.started_at).where(of.activation == leases.c.activation)
    first = first.order_by(of.started_at.desc()).limit(1).offset(number - 1)
    since = func.coalesce(first.scalar_subquery(), 0)
    refused = (r.invalid + r.rejected).label("refused")
    return (
        select(r.activation, r.run_id, r.status, r.started_at, r.finished_at, r.delivered, refused)
        .join_from(leases, runs, (r.activation == leases.c.activation) & (r.started_at >= since))
        .where(leases.c.activation.in_(activations))
        .order_by(r.activation, r.started_at, r.run_id)
    )


def _gaps(name: str, since: int, offsets: Offsets) -> Select[Any]:
    """The longest time between two readings, by the day of the second."""
    before = func.lag(r.started_at).over(order_by=r.started_at)
    readings = (
        select(day_of(r.started_at, offsets), (r.started_at - before).label("gap"))
        .where(
            r.activation == name,
            r.started_at >= since,
            r.status.in_(ENDED_WELL),
            ~r.run_id.startswith(WOKEN),
        )
        .subquery()
    )
    longest = func.max(readings.c.gap).label("lag")
    return select(readings.c.day, longest).group_by(readings.c.day)
