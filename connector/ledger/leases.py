"""The lease that keeps two runs of one activation apart: taken, prolonged, lost and let go."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, String, bindparam, literal_column, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from connector.ledger.processes import process_of, this_process
from connector.ledger.records import Run, Seen
from connector.ledger.tables import (
    FREE,
    NOW,
    TIMELINE,
    leases,
    ledgers,
    migrations,
    pauses,
    upsert,
)
from connector.ledger.transaction import Reader, after_commit
from connector.rules.errors import ActivationBusy, LeaseLost, LedgerChanged

BY_HAND = "by-hand-"
"""How the holder's id begins where it is no run but a command in which a person decides."""
WOKEN = "woken-"
"""How the id of a run begins that reads no model, but sends rows that were woken: see waking.py."""


def take(
    c: Connection,
    activation: str,
    now: int,
    lease: int,
    run_id: str,
    replacement: int | None = None,
) -> tuple[int, int]:
    """Take the activation, which is locked, for `run_id`; its new fence, and how often those who
    had it have written, this time included. While the replacement of a schema keeps it, only
    `replacement` itself may. Raises ActivationBusy."""
    # asked under the lock of the lease, so that whoever comes after the beginning of a replacement
    # sees it: its rows count as delivered while their interactions are being deleted
    row = c.execute(KEPT.where(leases.c.activation == activation)).one()
    if row.kept_by and row.kept_by != replacement:
        raise ActivationBusy(
            f'activation "{activation}" is kept by the replacement of the schema "{row.kept_for}"'
            f", which is not done; `connector schema replace {row.kept_for}` goes on with it"
        )
    if row.run_id and row.expires_at > now and (who := who_has(row)):
        raise ActivationBusy(
            f'activation "{activation}" is held by {who}; it is taken over'
            f" if that run stays silent for {(row.expires_at - now) / 1000:.0f} s"
        )
    fence, writes = int(row.fence) + 1, int(row.writes) + 1
    mine = {"run_id": run_id, "holder": this_process().text, "expires_at": now + lease}
    c.execute(
        update(leases)
        .where(leases.c.activation == activation)
        .values(fence=fence, writes=writes, **mine)
    )
    return fence, writes


def who_has(row: Any) -> str | None:
    """Who has the lease in `row`; None when that process is gone."""
    holder = process_of(row.holder)
    if holder and holder.is_dead():
        return None
    who = f"process {holder.pid} on {holder.host}" if holder else "another process"
    return f"{called(row.run_id)} ({who})"


KEPT = select(
    leases, migrations.c.id.label("kept_by"), migrations.c.schema_id.label("kept_for")
).select_from(
    leases.outerjoin(pauses, pauses.c.activation == leases.c.activation).outerjoin(
        migrations, pauses.c.migration == migrations.c.id
    )
)
"""Leases, each with the replacement that keeps its activation, and the schema of that."""


def lock(c: Connection, *activations: str, there: Collection[str] = ()) -> None:
    """Let nobody else take, hold or let go of the activations until the transaction ends. `there`:
    those that are known to have a lease, which nobody removes.

    Whoever locks rows of an activation locks its lease first, of several activations in the order
    of their names; then its watermark, then its rows; the ledger's own row is the last of all. A
    run that is replaced while it records an answer would otherwise wait for its successor, and that
    one for it.
    """
    names = sorted(set(activations))
    first = {"fence": 0, "expires_at": 0}
    if none := [{"activation": name, **first} for name in names if name not in there]:
        c.execute(upsert(c, leases).values(none).on_conflict_do_nothing())
    if c.dialect.name != "sqlite":  # there whoever writes is alone
        mine = select(leases.c.fence).where(leases.c.activation.in_(names))
        c.execute(mine.order_by(leases.c.activation).with_for_update()).all()


def prolong(c: Connection, run: Run, lease: int) -> int:
    """Prove that `run` still holds its activation, in a ledger that has forgotten nothing of what
    it wrote, and prolong it; the time by the database's clock. Raises LeaseLost, LedgerChanged."""
    return _proven(c, run, lease=lease) - lease


def end(c: Connection, run: Run) -> None:
    """Prove the same, and let go of the activation. Raises LeaseLost, LedgerChanged."""
    _proven(c, run)


def _proven(c: Connection, run: Run, **span: int) -> int:
    """Until when `run` has its activation now."""
    facts = {"name": run.activation, "the_fence": run.fence, "run": run.run_id, **span}
    before = run.footing.known
    statement = _proving(c.dialect.name, bool(before.timeline), goes_on=bool(span))
    row = c.execute(statement, facts).one_or_none()
    if row is None:
        raise _why_lost(c, run)
    now = Seen(row.identity or "", row.generation or 0, row.writes, row.timeline)
    run.footing.compare(before, now)
    after_commit(c, partial(run.footing.wrote, row.writes))
    return int(row.expires_at)


def _why_lost(c: Connection, run: Run) -> LeaseLost | LedgerChanged:
    """Whether another run took over; or the ledger has never known this one to hold anything."""
    row = c.execute(select(leases).where(leases.c.activation == run.activation)).one_or_none()
    identity = c.execute(select(ledgers.c.identity)).scalar()
    footing = run.footing
    if footing.lost:
        return footing.lost
    # a fence grows with whoever takes the activation, so nobody else can have this run's
    if (
        identity != footing.known.ledger
        or row is None
        or row.writes < footing.known.writes
        or row.fence < run.fence
        or (row.fence == run.fence and row.run_id not in (None, run.run_id))
    ):
        return footing.lose("it does not know that this run holds its activation")
    return LeaseLost(
        f'{called(run.run_id)} of "{run.activation}" was silent for longer than its lease, and'
        " another run took over; this one stops"
    )


def let_go(c: Connection, run: Run) -> None:
    """Let go of the activation, if `run` still holds it."""
    mine = (leases.c.activation == run.activation, leases.c.fence == run.fence)
    still = leases.c.run_id == run.run_id
    c.execute(update(leases).where(*mine, still).values(FREE))


def is_by_hand(run_id: str) -> bool:
    """Whether it is a command in which a person decides, and no run."""
    return run_id.startswith(BY_HAND)


def called(run_id: str) -> str:
    """For people."""
    return "a command given by hand" if is_by_hand(run_id) else f"run {run_id}"


WRITTEN = (
    "case current_setting('synchronous_commit') when 'off'"
    " then set_config('synchronous_commit', 'on', true) end"
)


@cache
def _proving(dialect: str, with_timeline: bool, goes_on: bool) -> ReturningUpdate[Any]:
    """Built once, for it stands in every transaction of a run: one statement for all there is to
    prove. Where the server tells its timeline, it is asked for that too; and a pooler may have
    given the transaction a connection that acknowledges what is not written."""
    still: Mapping[str, Any] = {"expires_at": NOW + bindparam("lease")} if goes_on else FREE
    timeline = literal_column(TIMELINE if with_timeline else "NULL", String).label("timeline")
    return (
        update(leases)
        .where(
            leases.c.activation == bindparam("name"),
            leases.c.fence == bindparam("the_fence"),
            leases.c.run_id == bindparam("run"),
        )
        .values(writes=leases.c.writes + 1, **still)
        .returning(
            leases.c.expires_at,
            leases.c.writes,
            select(ledgers.c.identity).scalar_subquery().label("identity"),
            select(ledgers.c.generation).scalar_subquery().label("generation"),
            timeline,
            *([literal_column(WRITTEN, String)] if dialect == "postgresql" else []),
        )
    )


class Book(Reader):
    """A part of the ledger's methods. Each raises LedgerUnavailable when the database cannot be
    read or written; what a run does proves that its lease still holds, and raises LeaseLost, or
    LedgerChanged when the ledger has forgotten what the run wrote."""

    _lease: int
    """How long a run may be silent before another may take over, in milliseconds."""

    def _standing(self, run: Run) -> AbstractContextManager[Connection]:
        """A transaction of `run`."""
        raise NotImplementedError

    @contextmanager
    def _leased(self, run: Run) -> Iterator[tuple[Connection, int]]:
        """A transaction of `run`, which has its lease, and the time by the database's clock."""
        with self._standing(run) as c:
            yield c, prolong(c, run, self._lease)
