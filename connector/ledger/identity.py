"""What an activation is: what must not change under its name, and how the user says that it does.

The row key, the schema and the destination decide what a row is. Under another one every old row
would look new and be sent again, and so it would under another name.
"""

import json
from typing import Any

from sqlalchemy import Connection, func, select, update

from connector.delivery import State
from connector.errors import ConfigurationError, Problem
from connector.ledger.leases import take
from connector.ledger.records import NOW, Identity, upsert
from connector.ledger.tables import OPEN, deliveries, leases, ledgers, runs, watermarks

UNSETTLED = (State.PENDING, State.WAITING, State.SENDING, State.IN_DOUBT)


def claim_name(c: Connection, activation: str, identity: Identity, now: int, lease: int) -> None:
    """Let the ledger know `activation`, under an earlier name or schema where the user says so.

    Raises ConfigurationError when it has become another one, ActivationBusy while a run goes on
    under the earlier name.
    """
    if problems := identity_problems(c, activation, identity):
        raise ConfigurationError(*problems)
    if _known(c, activation) is None and identity.renamed_from:
        _rename(c, str(identity.renamed_from), activation, now, lease)
    values = {
        "destination": identity.destination,
        "schema_id": identity.schema_id,
        "row_key": json.dumps(identity.row_key),
    }
    c.execute(
        upsert(c, watermarks)
        .values(
            activation=activation,
            suspect=select(ledgers.c.restored_at.is_not(None)).scalar_subquery(),
            changed_at=NOW,
            **values,
        )
        .on_conflict_do_update(index_elements=["activation"], set_=values)
    )


def identity_problems(c: Connection, activation: str, identity: Identity) -> list[Problem]:
    """Why rows of `activation` would be taken for new ones; writes nothing."""
    known = _known(c, recorded_name(c, activation, identity.renamed_from))
    if known is None:
        return _silent_rename(c, activation, identity)
    return [*_changes(activation, identity, known), *_schema_change(c, activation, identity, known)]


def recorded_name(c: Connection, activation: str, renamed_from: str | bool | None) -> str:
    """The name under which the ledger has the rows of `activation`."""
    if not renamed_from or _known(c, activation) is not None:
        return activation
    return str(renamed_from)


def _known(c: Connection, activation: str) -> Any:
    return c.execute(select(watermarks).where(watermarks.c.activation == activation)).first()


def _changes(activation: str, identity: Identity, known: Any) -> list[Problem]:
    return [
        _problem(
            activation,
            name,
            f"{name} was {was} when its rows were recorded and is now {now}, so every row would"
            " count as new and be sent again. Put it back; or keep this activation as it was with"
            " paused: true, and write a new one with start: now",
        )
        for name, was, now in (
            ("destination", known.destination, identity.destination),
            ("row_key", known.row_key, json.dumps(identity.row_key)),
        )
        if was != now
    ]


def _schema_change(c: Connection, activation: str, identity: Identity, known: Any) -> list[Problem]:
    was, now = known.schema_id, identity.schema_id
    if was == now:
        return []
    if identity.previous_schema_id != was:
        text = (
            f"schema_id was {was} when its rows were recorded and is now {now}. Put it back; or, if"
            f" its rows go on under the new schema, add previous_schema_id: {was} (what was sent is"
            " not sent again); or keep this activation as it was with paused: true, and write a"
            " new one that sends its rows once more"
        )
        return [_problem(activation, "schema_id", text)]
    query = select(func.count()).where(
        deliveries.c.activation == known.activation, deliveries.c.state.in_(UNSETTLED), OPEN
    )
    if unsettled := c.execute(query).scalar_one():
        text = (
            f"{unsettled} of its rows are not settled under the schema {was} yet (pending, waiting"
            " or in doubt). Put it back and let `connector sync --wait` settle them, or discard"
            " them, before it goes on under the new one"
        )
        return [_problem(activation, "schema_id", text)]
    return []


def _silent_rename(c: Connection, activation: str, identity: Identity) -> list[Problem]:
    """An activation that is new here, beside one that is recorded and no longer configured."""
    if identity.renamed_from is not None:
        return []
    query = select(watermarks.c.activation).where(
        watermarks.c.destination == identity.destination,
        watermarks.c.schema_id == identity.schema_id,
        watermarks.c.activation.not_in([activation, *identity.neighbours]),
    )
    gone = sorted(row[0] for row in c.execute(query))
    if not gone:
        return []
    text = (
        f'the ledger does not know it, but "{gone[0]}", which sends to the same schema and is no'
        f" longer configured. If it is the same under a new name, add renamed_from: {gone[0]}, and"
        " what was sent is not sent again; if it is another one, say renamed_from: false, or keep"
        f' "{gone[0]}" with paused: true'
    )
    return [_problem(activation, None, text)]


def _rename(c: Connection, old: str, new: str, now: int, lease: int) -> None:
    if _known(c, old) is None:
        return
    take(c, old, now, lease)
    # kept, for it counts what was written: a name that comes again must not count anew
    c.execute(
        update(leases)
        .where(leases.c.activation == old)
        .values(run_id=None, holder=None, expires_at=0)
    )
    for table in (watermarks, deliveries, runs):
        c.execute(update(table).where(table.c.activation == old).values(activation=new))


def _problem(activation: str, name: str | None, text: str) -> Problem:
    path = ("activations", activation) if name is None else ("activations", activation, name)
    return Problem(path, f'activation "{activation}": {text}')
