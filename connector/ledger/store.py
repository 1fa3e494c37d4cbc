"""The writing side of the ledger: one statement, or one short transaction, a method.

Every write of a run carries the run's fence, and every move of a row names the state and the
attempt that the caller believes in. Whoever believes something else moves nothing.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, insert, or_, select, update

from connector.delivery import State
from connector.errors import LeaseLost
from connector.ledger.doubts import doubts, doubts_of, owned, settle
from connector.ledger.engine import transaction
from connector.ledger.holder import new_run_id
from connector.ledger.leases import bury, check_identity, hold, lock, release, take
from connector.ledger.moves import close_attempts, first_record, open_attempts, record_again
from connector.ledger.records import (
    COUNTS,
    NOW,
    Closing,
    Delivery,
    Doubt,
    Entry,
    Hold,
    Identity,
    Known,
    Run,
    Settlement,
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

    def held(self, activation: str) -> Hold | None:
        """What the activation is held for; None when it is not."""
        query = select(watermarks.c.held).where(watermarks.c.activation == activation)
        with transaction(self._engine) as c:
            text = c.execute(query).scalar()
        return Hold(**json.loads(text)) if text else None

    def hold_back(self, run: Run, figures: Hold | None) -> None:
        """Hold the activation until it is approved; with None let it go."""
        with transaction(self._engine) as c:
            hold(c, run, self._lease)
            c.execute(
                update(watermarks)
                .where(watermarks.c.activation == run.activation)
                .values(held=json.dumps(asdict(figures)) if figures else None)
            )

    def heartbeat(self, run: Run) -> None:
        """Say that the run lives. Raises LeaseLost when another run has taken over."""
        with transaction(self._engine) as c:
            hold(c, run, self._lease)

    def finish(self, run: Run, status: str, tally: Tally, error: str | None) -> None:
        """Record how the run ended, and let go of the activation if it is still held."""
        with transaction(self._engine) as c:
            release(c, run)
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
            rows: Any = c.execute(
                select(*(d[name] for name in DELIVERY_COLUMNS), NOW - d.waiting_since)
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

    # --- settling -------------------------------------------------------------------------------

    def doubts(self, activation: str, after: int, limit: int) -> list[Doubt]:
        """The next rows in doubt, after the delivery with the id `after`."""
        with transaction(self._engine) as c:
            return doubts(c, activation, after, limit)

    def doubts_of(self, activation: str, contacts: Collection[str]) -> list[Doubt]:
        """Every row in doubt of these contacts."""
        with transaction(self._engine) as c:
            return doubts_of(c, activation, contacts)

    def owned(self, activation: str, ids: Collection[str]) -> set[str]:
        """Which interactions of `ids` belong to rows already."""
        with transaction(self._engine) as c:
            return owned(c, activation, ids)

    def settle(self, run: Run, settlements: Sequence[Settlement]) -> list[bool]:
        """End doubts; False for those that somebody else has moved. Raises LeaseLost."""
        with transaction(self._engine) as c:
            hold(c, run, self._lease)
            return settle(c, run, settlements, database_time(c))

    def record(self, run: Run, entries: Sequence[Entry]) -> list[bool | LeaseLost]:
        """Put `entries` on record in one transaction; False for those that came too late.

        What is already known (closings) is recorded whoever holds the lease now; nothing new is
        begun without it: those entries get a LeaseLost, to be raised where they are waited for.
        """
        closings = [e for e in entries if isinstance(e, Closing)]
        others = [e for e in entries if not isinstance(e, Closing)]
        with transaction(self._engine) as c:
            lock(c, run.activation)
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
