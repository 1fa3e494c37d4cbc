"""One writer an activation: taking, holding and losing it; and what must not change under it."""

import json
from typing import Any

from sqlalchemy import Connection, select, update

from connector.delivery import State, Unknown, outcome_word
from connector.errors import ActivationBusy, ConfigurationError, LeaseLost, Problem
from connector.ledger.holder import holder_of, this_process
from connector.ledger.records import NOW, Identity, Run, upsert
from connector.ledger.tables import OPEN, attempts, deliveries, leases, runs, watermarks

DIED = "the process ended before the answer was recorded"


def take(c: Connection, activation: str, now: int, lease: int) -> int:
    """Take the activation; the fence that proves it. Raises ActivationBusy."""
    c.execute(
        upsert(c, leases)
        .values(activation=activation, fence=0, expires_at=0)
        .on_conflict_do_nothing()
    )
    row = c.execute(select(leases).where(leases.c.activation == activation).with_for_update()).one()
    holder = holder_of(row.holder)
    if row.run_id and row.expires_at > now and not (holder and holder.is_dead()):
        who = f"process {holder.pid} on {holder.host}" if holder else "another process"
        raise ActivationBusy(
            f'activation "{activation}" is held by run {row.run_id} ({who}); it is taken over'
            f" if that run stays silent for {(row.expires_at - now) / 1000:.0f} s"
        )
    c.execute(
        update(leases)
        .where(leases.c.activation == activation)
        .values(fence=row.fence + 1, holder=this_process().text, expires_at=now + lease)
    )
    return int(row.fence) + 1


def lock(c: Connection, activation: str) -> None:
    """Let nobody else take, hold or let go of the activation until the transaction ends.

    Whoever locks rows of an activation locks its lease first: a run that is replaced while it
    records an answer would otherwise wait for its successor, and that one for it.
    """
    c.execute(select(leases.c.fence).where(leases.c.activation == activation).with_for_update())


def hold(c: Connection, run: Run, lease: int) -> None:
    """Prove that `run` still holds its activation, and prolong it. Raises LeaseLost."""
    held = c.execute(update(leases).where(*_held_by(run)).values(expires_at=NOW + lease)).rowcount
    if held != 1:
        raise LeaseLost(
            f'run {run.run_id} of "{run.activation}" was silent for longer than its lease, and'
            " another run took over; this one stops"
        )


def bury(c: Connection, activation: str) -> None:
    """Settle what runs that died left behind."""
    c.execute(
        update(runs)
        .where(runs.c.activation == activation, runs.c.status == "running")
        .values(status="stopped", finished_at=NOW, error="the process ended before the run did")
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


def check_identity(c: Connection, activation: str, identity: Identity) -> None:
    """Remember what an activation is; raises ConfigurationError when it has become another."""
    row_key = json.dumps(identity.row_key)
    c.execute(
        upsert(c, watermarks)
        .values(
            activation=activation,
            destination=identity.destination,
            schema_id=identity.schema_id,
            row_key=row_key,
            changed_at=NOW,
        )
        .on_conflict_do_nothing()
    )
    known = c.execute(select(watermarks).where(watermarks.c.activation == activation)).one()
    for name, mine, theirs in (
        ("destination", identity.destination, known.destination),
        ("schema_id", identity.schema_id, known.schema_id),
        ("row_key", row_key, known.row_key),
    ):
        if mine != theirs:
            raise ConfigurationError(
                Problem(
                    ("activations", activation, name),
                    f'activation "{activation}": {name} was {theirs} when its rows were'
                    f" recorded and is now {mine}, so every row would count as new and be sent"
                    " again; put it back, or give the activation a new name to start afresh",
                )
            )


def release(c: Connection, run: Run) -> None:
    """Let go of the activation, if `run` still holds it."""
    c.execute(update(leases).where(*_held_by(run)).values(run_id=None, holder=None, expires_at=0))


def _held_by(run: Run) -> tuple[Any, ...]:
    return (
        leases.c.activation == run.activation,
        leases.c.fence == run.fence,
        leases.c.run_id == run.run_id,
    )
