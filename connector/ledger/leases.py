"""One writer an activation: taking, holding and losing it."""

from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from connector.delivery import State, Unknown, outcome_word
from connector.errors import ActivationBusy, Interrupted, LeaseLost
from connector.ledger.holder import holder_of, this_process
from connector.ledger.records import NOW, Run, upsert
from connector.ledger.tables import (
    OPEN,
    attempts,
    deliveries,
    leases,
    migrations,
    pauses,
    runs,
)

DIED = "the process ended before the answer was recorded"
BY_HAND = "by-hand-"
"""How the holder's id begins where it is no run but a command in which a person decides."""


def take(c: Connection, activation: str, now: int, lease: int, migration: int | None = None) -> int:
    """Take the activation; the fence that proves it. While a migration keeps it, only `migration`
    itself may. Raises ActivationBusy."""
    c.execute(
        upsert(c, leases)
        .values(activation=activation, fence=0, expires_at=0)
        .on_conflict_do_nothing()
    )
    row = c.execute(select(leases).where(leases.c.activation == activation).with_for_update()).one()
    _refuse_migrating(c, activation, migration)
    if row.run_id and row.expires_at > now and (who := who_holds(row)):
        raise ActivationBusy(
            f'activation "{activation}" is held by {who}; it is taken over'
            f" if that run stays silent for {(row.expires_at - now) / 1000:.0f} s"
        )
    c.execute(
        update(leases)
        .where(leases.c.activation == activation)
        .values(fence=row.fence + 1, holder=this_process().text, expires_at=now + lease)
    )
    return int(row.fence) + 1


def who_holds(row: Any) -> str | None:
    """Who has the lease in `row`; None when that process is gone."""
    holder = holder_of(row.holder)
    if holder and holder.is_dead():
        return None
    who = f"process {holder.pid} on {holder.host}" if holder else "another process"
    return f"{_name(row.run_id)} ({who})"


def _refuse_migrating(c: Connection, activation: str, migration: int | None) -> None:
    """Asked under the lock of the lease, so that whoever comes after the beginning of a migration
    sees it: its rows count as delivered while their interactions are being deleted."""
    row = c.execute(
        select(migrations.c.id, migrations.c.schema_id)
        .join_from(pauses, migrations, pauses.c.migration == migrations.c.id)
        .where(pauses.c.activation == activation)
    ).first()
    if row and row.id != migration:
        raise ActivationBusy(
            f'activation "{activation}" is kept by the migration of the schema "{row.schema_id}",'
            f" which is not done; `connector schema migrate {row.schema_id}` goes on with it"
        )


def lock(c: Connection, activation: str) -> None:
    """Let nobody else take, hold or let go of the activation until the transaction ends.

    Whoever locks rows of an activation locks its lease first: a run that is replaced while it
    records an answer would otherwise wait for its successor, and that one for it.
    """
    c.execute(select(leases.c.fence).where(leases.c.activation == activation).with_for_update())


def hold(c: Connection, run: Run, lease: int) -> int:
    """Prove that `run` still holds its activation, and prolong it; the time by the database's
    clock. Raises LeaseLost."""
    facts = {"name": run.activation, "the_fence": run.fence, "run": run.run_id, "lease": lease}
    expires_at = c.execute(PROLONGING, facts).scalar()
    if expires_at is None:
        raise LeaseLost(
            f'{_name(run.run_id)} of "{run.activation}" was silent for longer than its lease, and'
            " another run took over; this one stops"
        )
    return int(expires_at) - lease


def bury(c: Connection, activation: str) -> None:
    """Settle what runs that died left behind."""
    c.execute(
        update(runs)
        .where(runs.c.activation == activation, runs.c.status == "running")
        .values(
            status="stopped",
            finished_at=NOW,
            error="the process ended before the run did",
            kind=Interrupted.kind,
            retryable=True,
        )
    )
    orphans = select(deliveries.c.id).where(
        deliveries.c.activation == activation, deliveries.c.state == State.SENDING, OPEN
    )
    c.execute(
        update(attempts)
        .where(attempts.c.delivery_id.in_(orphans), attempts.c.closed_at.is_(None))
        .values(closed_at=NOW, outcome=outcome_word(Unknown("")), reason=DIED)
    )
    c.execute(
        update(deliveries)
        .where(deliveries.c.activation == activation, deliveries.c.state == State.SENDING, OPEN)
        .values(state=State.IN_DOUBT, reason=DIED, changed_at=NOW)
    )


def release(c: Connection, run: Run) -> None:
    """Let go of the activation, if `run` still holds it."""
    c.execute(update(leases).where(*_held_by(run)).values(run_id=None, holder=None, expires_at=0))


def _name(run_id: str) -> str:
    return "a command given by hand" if run_id.startswith(BY_HAND) else f"run {run_id}"


PROLONGING = (
    update(leases)
    .where(
        leases.c.activation == bindparam("name"),
        leases.c.fence == bindparam("the_fence"),
        leases.c.run_id == bindparam("run"),
    )
    .values(expires_at=NOW + bindparam("lease"))
    .returning(leases.c.expires_at)
)
"""Built once, for it stands in every transaction of a run."""


def _held_by(run: Run) -> tuple[Any, ...]:
    return (
        leases.c.activation == run.activation,
        leases.c.fence == run.fence,
        leases.c.run_id == run.run_id,
    )
