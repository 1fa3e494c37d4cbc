"""The writing side of the ledger: one statement, or one short transaction, a method.

Every write of a run carries the run's fence, and every move of a row names the state and the
attempt that the caller believes in. Whoever believes something else moves nothing.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, insert, or_, select, update

from connector.delivery import State
from connector.errors import LeaseLost
from connector.ledger.engine import transaction
from connector.ledger.holder import new_run_id
from connector.ledger.leases import bury, check_identity, hold, release, take
from connector.ledger.moves import close_attempts, first_record, open_attempts, record_again
from connector.ledger.records import (
    COUNTS,
    NOW,
    Closing,
    Delivery,
    Entry,
    Identity,
    Known,
    Run,
    Staged,
    Tally,
    database_time,
    known_rows,
    moment,
    stored_watermark,
    upsert,
)
from connector.ledger.tables import OPEN, deliveries, leases, runs, watermarks
from connector.watermark import Watermark, to_text

DELIVERY_COLUMNS = (
    "id",
    "row_key",
    "state",
    "attempt",
    "contact",
    "contact_id",
    "created_date",
    "payload",
    "waiting_since",
)


class Ledger:
    """The ledger behind an engine from `writing_engine`. Synchronous; called from one thread a run.

    Every method raises LedgerUnavailable when the database cannot be read or written.
    """

    def __init__(self, engine: Engine, lease: timedelta) -> None:
        self._engine = engine
        self._lease = round(lease.total_seconds() * 1000)

    @property
    def lease(self) -> timedelta:
        """How long a run may be silent before another may take over."""
        return timedelta(milliseconds=self._lease)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # --- runs -----------------------------------------------------------------------------------

    def begin(self, activation: str, identity: Identity) -> Run:
        """Take the activation and start a run on it.

        Rows that an earlier run left in `sending` become in doubt: it died with their attempts
        open. Raises ActivationBusy while another run holds the activation, ConfigurationError when
        `identity` is not the one that the ledger knows.
        """
        with transaction(self._engine) as c:
            now = database_time(c)
            check_identity(c, activation, identity)
            fence = take(c, activation, now, self._lease)
            run_id = new_run_id(now)
            c.execute(update(leases).where(leases.c.activation == activation).values(run_id=run_id))
            bury(c, activation)
            c.execute(
                insert(runs).values(
                    run_id=run_id, activation=activation, status="running", started_at=now
                )
            )
        return Run(run_id, activation, fence, moment(now))

    def last_status(self, activation: str) -> str | None:
        """How the last finished run of the activation ended."""
        query = (
            select(runs.c.status)
            .where(runs.c.activation == activation, runs.c.finished_at.is_not(None))
            .order_by(runs.c.started_at.desc(), runs.c.run_id.desc())
        )
        with transaction(self._engine) as c:
            return c.execute(query.limit(1)).scalar()

    def heartbeat(self, run: Run) -> None:
        """Say that the run lives. Raises LeaseLost when another run has taken over."""
        with transaction(self._engine) as c:
            hold(c, run, self._lease)

    def finish(self, run: Run, status: str, tally: Tally, error: str | None) -> None:
        """Record how the run ended, and let go of the activation if it is still held."""
        with transaction(self._engine) as c:
            mark = c.execute(
                select(watermarks.c.value).where(watermarks.c.activation == run.activation)
            ).scalar()
            counts = {name: getattr(tally, name) for name in COUNTS}
            c.execute(
                update(runs)
                .where(runs.c.run_id == run.run_id)
                .values(
                    status=status,
                    finished_at=NOW,
                    watermark=mark,
                    error=error,
                    notes=json.dumps(tally.notes) if tally.notes else None,
                    **counts,
                )
            )
            release(c, run)

    # --- staging --------------------------------------------------------------------------------

    def watermark(self, activation: str) -> tuple[Watermark, bool]:
        """The stored position, and whether some run has already read the whole model."""
        with transaction(self._engine) as c:
            row = c.execute(select(watermarks).where(watermarks.c.activation == activation)).one()
        return stored_watermark(row), row.begun_at is not None

    def known(self, activation: str, keys: Collection[str]) -> dict[str, Known]:
        """What is recorded under each of `keys`."""
        with transaction(self._engine) as c:
            return known_rows(c, activation, keys)

    def stage(
        self,
        run: Run,
        new: Sequence[Staged],
        corrected: Sequence[tuple[Known, Staged]],
        mark: Watermark,
        begun: bool,
    ) -> None:
        """Record rows and move the watermark, in one transaction: both or neither.

        `begun` says that the model has now been read to its end once.
        """
        with transaction(self._engine) as c:
            hold(c, run, self._lease)
            now = database_time(c)
            if new:
                rows = [first_record(run, staged, now) for staged in new]
                c.execute(upsert(c, deliveries).on_conflict_do_nothing(), rows)
            for before, staged in corrected:
                record_again(c, run, before, staged, now)
            c.execute(
                update(watermarks)
                .where(watermarks.c.activation == run.activation)
                .values(
                    cursor=mark.column,
                    kind=mark.kind,
                    value=mark.text,
                    floor=None if mark.floor is None else to_text(mark.floor),
                    begun_at=func.coalesce(watermarks.c.begun_at, NOW if begun else None),
                    changed_at=NOW,
                )
            )

    # --- delivering -----------------------------------------------------------------------------

    def counts(self, activation: str) -> dict[State, int]:
        """How many rows stand in each state other than delivered."""
        with transaction(self._engine) as c:
            rows = c.execute(
                select(deliveries.c.state, func.count())
                .where(deliveries.c.activation == activation, OPEN)
                .group_by(deliveries.c.state)
            )
            return {State(state): number for state, number in rows}

    def due(
        self, activation: str, state: State, after: int, limit: int, before: datetime | None = None
    ) -> list[Delivery]:
        """The next rows in `state` that may be tried, in the order in which they were staged.

        `after` is the id of the last row seen; rows due later than `before` (default: now) wait.
        """
        d = deliveries.c
        until = NOW if before is None else round(before.timestamp() * 1000)
        with transaction(self._engine) as c:
            rows = c.execute(
                select(*(d[name] for name in DELIVERY_COLUMNS))
                .where(d.activation == activation, d.state == state, OPEN, d.id > after)
                .where(or_(d.due_at.is_(None), d.due_at <= until))
                .order_by(d.id)
                .limit(limit)
            )
            return [Delivery(r[0], r[1], State(r[2]), *r[3:]) for r in rows]

    def next_due(self, activation: str) -> timedelta | None:
        """How long until the first resting row may be tried again; None when none rests."""
        d = deliveries.c
        with transaction(self._engine) as c:
            due = c.execute(
                select(func.min(d.due_at) - NOW).where(
                    d.activation == activation, d.state == State.PENDING, OPEN
                )
            ).scalar()
        return None if due is None else timedelta(milliseconds=max(0, due))

    def record(self, run: Run, entries: Sequence[Entry]) -> list[bool | LeaseLost]:
        """Put `entries` on record in one transaction; False for those that came too late.

        What is already known (closings) is recorded whoever holds the lease now; nothing new is
        begun without it: those entries get a LeaseLost, to be raised where they are waited for.
        """
        closings = [e for e in entries if isinstance(e, Closing)]
        others = [e for e in entries if not isinstance(e, Closing)]
        with transaction(self._engine) as c:
            now = database_time(c)
            results: dict[int, bool | LeaseLost] = {**close_attempts(c, run, closings, now)}
            if others:
                try:
                    hold(c, run, self._lease)
                except LeaseLost as lost:
                    results.update((id(entry), lost) for entry in others)
                else:
                    results.update(open_attempts(c, run, others, now))
        return [results[id(entry)] for entry in entries]
