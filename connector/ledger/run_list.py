"""Runs as they are told: the newest ones, those that are asked for, and one by its id."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select, tuple_

from connector.basis import dataclass
from connector.ledger.counts import open_counts_of, standing_figures
from connector.ledger.history import Histories
from connector.ledger.processes import process_of
from connector.ledger.records import COUNTS, instant
from connector.ledger.tables import NOT_WELL, NOW, leases, runs, watermarks
from connector.ledger.transaction import reading_together, transaction
from connector.rules.deed import Document
from connector.rules.errors import HELD, Interrupted
from connector.rules.needs import as_called
from connector.rules.turns import WAITS_FOR_TIME

RUNS = (
    select(
        runs,
        leases.c.holder,
        (leases.c.expires_at > NOW).label("leased"),
        watermarks.c.value.label("position"),
    )
    .join_from(runs, leases, leases.c.run_id == runs.c.run_id, isouter=True)
    .outerjoin(watermarks, watermarks.c.activation == runs.c.activation)
)
"""Runs, each with what is known of its process while it holds its activation, and how far the
activation's model is recorded."""
NEWEST = (runs.c.started_at.desc(), runs.c.run_id.desc())
SILENT = (
    "its process has ended or fallen silent; what it left behind is settled by the next run, which"
    " is safe at any time"
)

RUNNING, WELL, STOPPED = "running", "succeeded", "stopped"
STATUSES = (RUNNING, WELL, "attention", HELD, STOPPED)


@dataclass(frozen=True, slots=True)
class Which:
    """Which runs are meant: of that `status`, with that `tag`, begun at `since` or later, and
    earlier than `before` (milliseconds since 1970); of a list, those that follow the run `after`.
    """

    status: str | None = None
    tag: str | None = None
    since: int | None = None
    before: int | None = None
    after: str | None = None


ALL = Which()


class RunList(Histories):
    """The part of the reports that lists runs."""

    def runs(
        self, activation: str | None = None, limit: int | None = 20, which: Which = ALL
    ) -> list[Document]:
        """The newest runs, newest first; None: all that are meant."""
        query = newest_of(which)
        if activation is not None:
            query = query.where(runs.c.activation == self._name(activation))
        with transaction(self._engine) as c:
            if limit is not None:
                # those that go on may be told as stopped, and are but few
                goes_on = (
                    select(func.count())
                    .where(runs.c.status == RUNNING)
                    .join_from(leases, runs, leases.c.run_id == runs.c.run_id)
                )
                more = int(c.execute(goes_on).scalar() or 0) if which.status else 0
                query = query.limit(limit + more)
            # sorted without what is told of each, which is only read of those that are meant
            meant = RUNS.where(runs.c.run_id.in_(query)).order_by(*NEWEST)
            found = run_documents(c, c.execute(meant).all(), self._called)
        return [each for each in found if which.status in (None, each["status"])][:limit]

    def run(self, run_id: str) -> Document | None:
        row = self._first(RUNS.where(runs.c.run_id == run_id))
        if row is None:
            return None
        if row.status != RUNNING and not self._earlier:  # nothing else is to be asked
            return _document(row, {}, row.activation)
        with reading_together(self._engine) as c:
            return run_documents(c, [row], self._called)[0]


def newest_of(which: Which) -> Select[Any]:
    """The ids of the runs that are meant, the newest first. Without an activation it is read from
    an index in that order: an installation has millions of runs."""
    query = select(runs.c.run_id)
    if which.status is not None:
        told = (RUNNING, STOPPED) if which.status in (RUNNING, STOPPED) else (which.status,)
        query = query.where(runs.c.status.in_(told))
        if which.status != WELL:
            query = query.where(NOT_WELL)
    if which.tag is not None:
        query = query.where(runs.c.tag == which.tag)
    if which.since is not None:
        query = query.where(runs.c.started_at >= which.since)
    if which.before is not None:
        query = query.where(runs.c.started_at < which.before)
    if which.after is not None:
        place = select(runs.c.started_at, runs.c.run_id).where(runs.c.run_id == which.after)
        query = query.where(tuple_(runs.c.started_at, runs.c.run_id) < place.scalar_subquery())
    return query.order_by(*NEWEST)


def run_documents(
    c: Connection, rows: Sequence[Any], called: Callable[[Connection, str], str]
) -> list[Document]:
    """Runs. What they have done stands in their records; how the rows of those that go on stand is
    looked up, for all of them at once. `called`: what an activation is called now."""
    names = {row.activation for row in rows}
    going = sorted({row.activation for row in rows if row.status == RUNNING})
    standing = open_counts_of(c, going)
    now = {name: called(c, name) for name in names}
    return [_document(row, standing.get(row.activation, {}), now[row.activation]) for row in rows]


def _document(row: Any, standing: Mapping[str, int], called: str) -> Document:
    """One. What was killed outright could not write so, and the next run has not yet: it counts as
    stopped all the same."""
    goes_on, holder = row.status == RUNNING, process_of(row.holder)
    silent = goes_on and (not row.leased or (holder is not None and holder.is_dead()))
    kind, retryable = (Interrupted.kind, True) if silent else (row.kind, bool(row.retryable))
    figures = {name: getattr(row, name) for name in COUNTS}
    if goes_on:
        figures |= standing_figures(standing, ended=silent)
    return {
        "run_id": row.run_id,
        "activation": row.activation,
        "status": "stopped" if silent else row.status,
        **figures,
        "undone": row.undone,
        "watermark": row.position if goes_on else row.watermark,
        "started_at": instant(row.started_at),
        "finished_at": instant(row.finished_at),
        "error": SILENT if silent else row.error,
        "kind": HELD if row.status == HELD else kind,
        "retryable": retryable,
        "notes": [
            as_called(note, called, row.activation) for note in json.loads(row.notes or "[]")
        ],
        "contacts": json.loads(row.contacts) if row.contacts else None,
        "by": row.by,
        "tag": row.tag,
        "done": False if silent else row.done,
        **(WAITS_FOR_TIME | json.loads(row.rests or "{}")),
    }
