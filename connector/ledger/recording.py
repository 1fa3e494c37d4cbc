"""Rows come into the ledger with the watermark up to which they are recorded, and become due."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Select, exists, func, or_, select, update

from connector.ledger.counts import count_in_run, open_counts
from connector.ledger.deeds import EDITED, NOBODY, Entry, note
from connector.ledger.leases import Book
from connector.ledger.mirrored import changes
from connector.ledger.moving import (
    BODY,
    CORRECTED,
    FROM_AHEAD,
    HISTORY,
    IN_VAIN,
    Move,
    Row,
    Told,
    content_of,
    move,
    newest_id,
    remember_beginnings,
    touch,
)
from connector.ledger.pruned import pruned_among
from connector.ledger.records import (
    Delivery,
    Known,
    Learnt,
    Run,
    Staged,
    instant,
    remembering,
)
from connector.ledger.tables import NOW, OPEN, deliveries, pruned, watermarks
from connector.ledger.transaction import reading, repeated
from connector.ledger.turns import not_in_line
from connector.rules.delivery import CORRECTABLE, State
from connector.rules.interaction import Invalid
from connector.rules.turns import Cap
from connector.rules.watermark import Watermark, to_text

d = deliveries.c
NOTHING_LEARNT = Learnt()
CONTENT = (*BODY, "reason")
FIRST = (
    *("activation", "run_id", "changed_at", "row_key", "state", "suspect"),
    *(*BODY, "reason", "about", "source"),
)
"""The columns of a row that comes into the ledger."""
NO_BODY = (None,) * len(BODY)
PENDING, INVALID, DISCARDED = (
    state.value for state in (State.PENDING, State.INVALID, State.DISCARDED)
)
TO_BE_SENT = select(
    *(d.id, d.row_key, d.state, d.attempt),
    *(d.contact, d.contact_id, d.created_date, d.payload, d.suspect),
    *(NOW - d.waiting_since, IN_VAIN),
)
PRUNED_AS = (
    select(pruned.c.number)
    .where(pruned.c.activation == watermarks.c.activation)
    .scalar_subquery()
    .label("number")
)
"""The number under which pruned rows of an activation are kept."""
TOGETHER = 50
"""Rows of one statement: with more of them SQLite takes as long, and the statement more room."""
AGAIN = {
    state: Move(state, CONTENT, by_run=True, but=lambda _: {"contact_id": None})
    for state in (State.PENDING, State.INVALID)
} | {State.DISCARDED: Move(State.DISCARDED, CONTENT, by_run=True)}


def record_first(
    c: Connection, run: Run, new: Sequence[Staged], now: int, suspect: bool | None
) -> None:
    """Record rows that the ledger does not have yet; one that it has stays as it is."""
    mine, at = (run.activation, run.run_id, now), instant(now)
    rows = [_first(mine, staged, at, suspect) for staged in new]
    # straight to the driver: SQLAlchemy would turn over every value of every row
    for start in range(0, len(rows), TOGETHER):
        some = rows[start : start + TOGETHER]
        c.exec_driver_sql(_recording(c.dialect.name, len(some)), tuple(chain.from_iterable(some)))


def _first(
    mine: tuple[str, str, int], staged: Staged, at: str | None, suspect: bool | None
) -> tuple[Any, ...]:
    """What is recorded of a row, in the order of FIRST. `mine`: the first of it, which is the same
    for all; `at`: the time of staging."""
    row_key, content, history, seen_before, about, source = staged
    if history:  # never sent, so it is never read back before that
        return (*mine, row_key, DISCARDED, None, *NO_BODY, HISTORY, about, source)
    suspect = seen_before or suspect
    if isinstance(content, Invalid):
        return (*mine, row_key, INVALID, suspect, *NO_BODY, content.reason, about, source)
    body = (content.digest, content.contact, content.created or at, content.payload.decode())
    return (*mine, row_key, PENDING, suspect, *body, None, about, source)


@cache
def _recording(dialect: str, rows: int) -> str:
    """The statement that records so many rows."""
    hole = "?" if dialect == "sqlite" else "%s"
    values = ", ".join([f"({', '.join([hole] * len(FIRST))})"] * rows)
    return f"INSERT INTO deliveries ({', '.join(FIRST)}) VALUES {values} ON CONFLICT DO NOTHING"


def record_again(c: Connection, run: Run, rows: Sequence[tuple[Known, Staged]], now: int) -> None:
    """Rows that were refused read differently now; one that has moved since stays as it is."""
    rows = [(before, staged) for before, staged in rows if before.state in CORRECTABLE]
    remember_beginnings(c, [before.id for before, _ in rows])
    for state, how in AGAIN.items():
        content = [(before, content_of(staged, now)) for before, staged in rows]
        some = [_again(run, *each) for each in content if each[1]["state"] == state]
        move(c, how, some, now, run.run_id)


def _again(run: Run, before: Known, content: dict[str, Any]) -> Row:
    became, why = State(content["state"]), content["reason"]
    told = Told(f"run {run.run_id}", CORRECTED, before.state, became, before.reason, why)
    facts = {name: content[name] for name in CONTENT}
    return Row(before.id, before.state, before.attempt, facts, told)


class Rows(Book):
    """The rows of an activation: they are recorded, counted, and become due."""

    @repeated
    def stage(
        self,
        run: Run,
        new: Sequence[Staged],
        corrected: Sequence[tuple[Known, Staged]],
        mark: Watermark,
        begun: bool,
        learnt: Learnt = NOTHING_LEARNT,
    ) -> None:
        """Record rows and move the watermark, in one transaction: both or neither.

        `begun` says that the model has now been read to its end once; `learnt`, what else the
        reading says.
        """
        with self._leased(run) as (c, now):
            mine = watermarks.c.activation == run.activation
            before: Any = None
            if new:
                before = c.execute(select(watermarks.c.suspect, PRUNED_AS).where(mine)).one()
            if learnt.edited:
                details = {"parts": learnt.edited}
                note(c, Entry(EDITED, run.by or NOBODY, run.activation, run.run_id, details), now)
            c.execute(
                update(watermarks)
                .where(mine)
                .values(
                    cursor=mark.column,
                    kind=mark.kind,
                    value=mark.text,
                    floor=None if mark.floor is None else to_text(mark.floor),
                    begun_at=func.coalesce(watermarks.c.begun_at, NOW if begun else None),
                    read_at=NOW if begun else watermarks.c.read_at,
                    suspect=None if begun else watermarks.c.suspect,
                    left_behind=mark.left,
                    edition=json.dumps(learnt.edition) if learnt.edition else watermarks.c.edition,
                    changed_at=NOW,
                    **remembering(learnt.remembered),
                )
                .returning(watermarks.c.activation)
            ).one()
            if new and before.number is not None:
                # looked at once more under the lease: who prunes has it, too
                gone = pruned_among(c, before.number, [row.row_key for row in new])
                new = [row for row in new if row.row_key not in gone]
            if new:
                newest = newest_id(c)
                record_first(c, run, new, now, before.suspect)
                touch(c, range(newest + 1, newest_id(c) + 1))
            record_again(c, run, corrected, now)
            count_in_run(c, run.run_id, read=learnt.read, **_figures(new, corrected))

    @repeated
    def counts(self, activation: str) -> dict[State, int]:
        """How many rows stand in each state that rows pass through."""
        with reading(self._engine) as c:
            return {State(state): n for state, n in open_counts(c, activation).items()}

    def due(
        self,
        activation: str,
        state: State,
        after: int,
        limit: int,
        before: datetime | None = None,
        turn: Cap | None = None,
    ) -> list[Delivery]:
        """The next rows in `state` that may be tried, in the order in which they were staged.

        `after` is the id of the last row seen; rows due later than `before` (default: now) wait, as
        do those whose `turn` has not come.
        """
        until = NOW if before is None else round(before.timestamp() * 1000)
        query = (
            TO_BE_SENT.where(d.activation == activation, d.state == state, OPEN, d.id > after)
            .where(or_(d.due_at.is_(None), d.due_at <= until, FROM_AHEAD))
            # what the model says otherwise by now is carried out first; a suspect row is read back
            .where(or_(d.suspect, ~exists().where(changes.c.delivery_id == d.id)))
            .order_by(d.id)
            .limit(limit)
        )
        if turn:
            query = query.where(or_(d.suspect, not_in_line(turn)))
        return self._deliveries(query)

    def read_by(self, run: Run, after: int, limit: int) -> list[Delivery]:
        """The next rows that `run` has recorded as its model says, and that are to be sent.
        `after`: the id of the last row seen."""
        mine = (d.activation == run.activation, d.state == State.PENDING, OPEN)
        query = TO_BE_SENT.where(*mine, d.run_id == run.run_id, d.id > after)
        return self._deliveries(query.order_by(d.id).limit(limit))

    def _deliveries(self, query: Select[Any]) -> list[Delivery]:
        return [Delivery(r[0], r[1], State(r[2]), *r[3:]) for r in self._all(query)]

    def next_due(self, activation: str, later: bool = False) -> timedelta | None:
        """How long until the first resting row may be tried again; None when none rests. `later`:
        the first of those that may not yet."""
        query = select(func.min(d.due_at) - NOW).where(
            d.activation == activation, d.state == State.PENDING, OPEN
        )
        (due,) = self._first(query.where(d.due_at > NOW, ~FROM_AHEAD) if later else query)
        return None if due is None else timedelta(milliseconds=max(0, due))


def _figures(new: Sequence[Staged], corrected: Sequence[tuple[Known, Staged]]) -> dict[str, int]:
    """What recording these rows adds to the figures of a run."""
    recorded = [row for row in new if not row.history]
    changed = [staged for _, staged in corrected]
    invalid = sum(isinstance(row.content, Invalid) for row in [*recorded, *changed])
    return {"staged": len(recorded), "invalid": invalid}
