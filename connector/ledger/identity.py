"""What an activation is: what must not change under its name, and how the user says that it does.

The row key and the schema decide what a row is, and the destination where it went: its name, and
the address behind the name. Under another row key or another name of the activation every old row
would look new and be sent again; at another address none would ever be sent.
"""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select, update

from connector.ledger.deeds import approvals, end_hold
from connector.ledger.known_by import hindrances, otherwise
from connector.ledger.leases import called, is_by_hand, take
from connector.ledger.mirrored import has_lost_its_rows
from connector.ledger.moving import REJECTED, Move, Row, Told, move
from connector.ledger.ownership import home_row, sends_to
from connector.ledger.records import Identity, stored_identity
from connector.ledger.tables import (
    FREE,
    NOW,
    OPEN,
    PRUNED,
    deliveries,
    delivery_counts,
    leases,
    ledgers,
    pruned,
    receipts,
    requests,
    runs,
    trials,
    turns,
    watermarks,
)
from connector.rules.delivery import MAY_BE_THERE, TO_BE_SENT, State
from connector.rules.errors import ConfigurationError, Problem
from connector.rules.place import Place

UNSETTLED = (State.PENDING, State.WAITING, *MAY_BE_THERE)
READ_ANEW, PAGE = Move(State.REJECTED, ("reason",)), 2000


def recognise(
    c: Connection, activation: str, identity: Identity, now: int, lease: int, run_id: str
) -> str | None:
    """Let the ledger know `activation`, under an earlier name or schema where the user says so;
    one that is new to it, only if a run begins. What references of its rows are computed from.

    Raises ConfigurationError when it has become another one, ActivationBusy while a run goes on
    under the earlier name.
    """
    known = _recorded(c, activation, identity)
    if is_by_hand(run_id) and (known is None or known.activation != activation):
        return None
    if problems := _problems(c, activation, identity, known):
        raise ConfigurationError(*problems)
    if known is not None and known.activation != activation:
        _rename(c, known.activation, activation, now, lease)
    values = {
        "destination": identity.destination,
        "schema_id": identity.schema_id,
        "row_key": json.dumps(identity.row_key),
        "reference_prefix": identity.prefix,
    }
    if identity.place:
        _follow(c, identity.destination, identity.place, known)
        values |= {"type": identity.place.type, "address": identity.place.address}
    if identity.known_by:
        values |= {"identifier": json.dumps(identity.known_by)}
    if known is None:
        restored = select(ledgers.c.restored_at.is_not(None)).scalar_subquery()
        values |= {"activation": activation, "origin": _origin(c, activation, now)}
        c.execute(insert(watermarks).values(values | {"suspect": restored, "changed_at": NOW}))
        return values["origin"]
    if reason := otherwise(identity, known):
        _reject_unsent(c, activation, reason, called(run_id), now)
        if has_lost_its_rows(c, activation):
            end_hold(c, activation)
    if any(getattr(known, name) != value for name, value in values.items()):
        c.execute(update(watermarks).where(watermarks.c.activation == activation).values(values))
    return str(known.origin) if known.origin else None


def origin_of(c: Connection, activation: str) -> str | None:
    """What references of its rows are computed from, if the ledger knows it."""
    known = home_row(c, activation)
    return known.origin if known else None


def _origin(c: Connection, activation: str, now: int) -> str:
    """What references of its rows are computed from: its name, unless those of another one are,
    that was renamed since."""
    taken = c.execute(select(watermarks.c.origin).where(watermarks.c.origin == activation)).first()
    return f"{activation}.{now}" if taken else activation


def identity_problems(c: Connection, activation: str, identity: Identity) -> list[Problem]:
    """Why rows of `activation` would be taken for new ones; writes nothing."""
    return _problems(c, activation, identity, _recorded(c, activation, identity))


def _problems(c: Connection, activation: str, identity: Identity, known: Any) -> list[Problem]:
    if known is None:
        return _silent_rename(c, activation, identity)
    if known.activation != activation and known.activation in identity.neighbours:
        text = f'renamed_from: {known.activation}: "{known.activation}" is still configured'
        return [_problem(activation, "renamed_from", text)]
    return [
        *_changes(activation, identity, known),
        *_schema_change(c, activation, identity, known),
        *_prefix_change(c, activation, identity, known),
        *(_problem(activation, "contact", text) for text in hindrances(c, identity, known)),
    ]


def _recorded(c: Connection, activation: str, identity: Identity) -> Any:
    """What is recorded of it, under its name or its earlier one."""
    known = home_row(c, activation)
    if known is None and identity.renamed_from:
        known = home_row(c, str(identity.renamed_from))
    return known


def _changes(activation: str, identity: Identity, known: Any) -> Iterator[Problem]:
    was, here = stored_identity(known), identity.place
    if was.row_key != identity.row_key:
        one_name = [k.lower() for k in was.row_key] == [k.lower() for k in identity.row_key]
        back = "Put it back" + (" (only its capitals are others)" if one_name else "")
        text = (
            f"row_key was {json.dumps(was.row_key)} when its rows were recorded and is now"
            f" {json.dumps(identity.row_key)}, so every row would count as new and be sent again."
            f" {back}; or {identity.begin_anew}"
        )
        yield _problem(activation, "row_key", text)
    # under another name the question is which name is meant; the address comes after that
    if was.destination != identity.destination:
        yield _problem(activation, "destination", _other_name(identity, was))
    elif here and was.place and not here.covers(was.place):
        yield _other_place(activation, identity.destination, here, was.place)


def _other_name(identity: Identity, was: Identity) -> str:
    text = f"destination was {was.destination} when its rows were recorded and is now"
    if was.place and identity.place and identity.place.covers(was.place):
        return (
            f"{text} {identity.destination}, which is at the same address"
            f" ({was.place.address}): nothing would be sent again, but cached contacts and"
            " replacements of schemas are known by the destination's name. Call it"
            f" {was.destination} again"
        )
    return (
        f"{text} {identity.destination}: what was sent to {was.destination} counts as"
        f" sent, so {identity.destination} would get none of it. Put it back; or keep this"
        " activation as it was with paused: true, and write a new one"
    )


def _other_place(activation: str, name: str, here: Place, there: Place) -> Problem:
    """Another address, or another kind of destination, under the same name."""
    if here.type != there.type:
        text = f"was a destination of the type {there.type} and is now of the type {here.type}"
        choice = f"Put it back, or write another destination beside {name}"
    else:
        text = f"was at {there.address} when its rows were recorded and is now at {here.address}"
        choice = (
            "If it is the same one under a new address, add"
            f" previous_url: {there.address} to destinations.{name}, and what was sent is not sent"
            f" again. If it is another one, put {_what_moved(name, here, there)} back and"
            " give the other one a destination and an activation of its own, or a ledger of its own"
        )
    path = ("destinations", name, "type" if here.type != there.type else "url")
    text = f"{name} {text}: what was sent there counts as sent, and would not be sent here"
    return Problem(path, f'activation "{activation}": {text}. {choice}')


def _what_moved(name: str, here: Place, there: Place) -> str:
    same_host = here.address.partition("#")[0] == there.address.partition("#")[0]
    return f"the account of {name}" if same_host else f"the url of {name}"


def _schema_change(c: Connection, activation: str, identity: Identity, known: Any) -> list[Problem]:
    was, now = known.schema_id, identity.schema_id
    if was == now:
        return []
    key = identity.target_key
    if identity.previous_schema_id != was:
        goes_on = (
            f" or, if its rows go on under the new schema, add previous_schema_id: {was} (what was"
            " sent is not sent again);"
        )
        text = (
            f"{key} was {was} when its rows were recorded and is now {now}. Put it back;"
            f"{goes_on if key == 'schema_id' else ''} or keep this activation as it was with"
            " paused: true, and write a new one that sends its rows once more"
        )
        return [_problem(activation, key, text)]
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


def _prefix_change(c: Connection, activation: str, identity: Identity, known: Any) -> list[Problem]:
    """Rows that were sent under other references would not be found under these."""
    was, now = known.reference_prefix, identity.prefix
    if was is None or was == now:
        return []
    query = select(func.count()).where(
        deliveries.c.activation == known.activation, deliveries.c.state.in_(MAY_BE_THERE), OPEN
    )
    if not (unsettled := c.execute(query).scalar_one()):
        return []
    text = (
        f"reference_prefix was {was or 'not written'} when {unsettled} of its rows were sent that"
        f" are in doubt, and is {now or 'not written'} now: under other references they would not"
        " be found, and be sent again. Put it back and let `connector sync --wait` settle them"
        " before it changes"
    )
    path = ("destinations", identity.destination, "reference_prefix")
    return [Problem(path, f'activation "{activation}": {text}')]


def _silent_rename(c: Connection, activation: str, identity: Identity) -> list[Problem]:
    """An activation that is new here, beside one that is recorded and no longer configured; or
    under a name that another one had when its rows were sent."""
    if identity.renamed_from is False:
        return []
    w, targets = watermarks.c, {identity.schema_id, identity.previous_schema_id} - {None}
    query = select(w.activation, w.schema_id).where(
        sends_to(identity.place, [identity.destination]),
        w.schema_id.in_(targets),
        w.activation.not_in([activation, *identity.neighbours]),
    )
    gone = sorted((row[0], row[1] == identity.schema_id) for row in c.execute(query))
    said, own = identity.renamed_from, w.origin == activation
    nor = f' (nor "{said}", its earlier name as it is written)' if said else ""
    if gone:
        name, same = gone[0]
        where = f"sends to the same {identity.target_word}"
        if not same:
            where = f"sent to {identity.previous_schema_id}, as is written in previous_schema_id,"
        text = (
            f'the ledger does not know it{nor}, but "{name}", which {where} and is no longer'
            f" configured. If it is the same under a new name, add renamed_from: {name}, and what"
            " was sent is not sent again; if it is another one, say renamed_from: false, or keep"
            f' "{name}" with paused: true'
        )
    elif other := c.execute(select(watermarks.c.activation).where(own)).scalar():
        text = (
            f'what was sent under this name is recorded as that of "{other}", which was called so'
            " before, and all rows of a new one would count as new and be sent. If a new one is"
            f' meant, say renamed_from: false; if it is "{other}" with its old name again, take'
            f' "{other}" out and add renamed_from: {other}'
        )
    else:
        return []
    return [_problem(activation, None, text)]


def _follow(c: Connection, destination: str, here: Place, known: Any) -> None:
    """The destination has moved: so have all rows that are recorded under its old address. At once,
    since whose an interaction is goes by the address."""
    if known is None or known.address in (None, here.address):
        return
    w = watermarks.c
    moved = and_(w.destination == destination, w.type == here.type, w.address == known.address)
    # in one order, whoever else does the same
    c.execute(select(w.activation).where(moved).order_by(w.activation).with_for_update()).all()
    c.execute(update(watermarks).where(moved).values(address=here.address))
    t = trials.c
    theirs = and_(t.type == here.type, t.address == known.address)
    c.execute(
        update(trials).where(theirs, t.destination == destination).values(address=here.address)
    )


def _reject_unsent(c: Connection, activation: str, reason: str, by: str, now: int) -> None:
    """Rows that are not sent yet are to be read anew."""
    d = deliveries.c
    mine = (d.activation == activation, d.state.in_(TO_BE_SENT), OPEN)
    query = select(d.id, d.state, d.attempt).where(*mine).order_by(d.id).limit(PAGE)
    while page := c.execute(query).all():
        seen = [(row.id, State(row.state), row.attempt) for row in page]
        told = [Told(by, REJECTED, state, State.REJECTED, None, reason) for _, state, _ in seen]
        rows = [Row(*row, {"reason": reason}, each) for row, each in zip(seen, told, strict=True)]
        move(c, READ_ANEW, rows, now)


def _rename(c: Connection, old: str, new: str, now: int, lease: int) -> None:
    take(c, old, now, lease, new)
    # kept, for it counts what was written: a name that comes again must not count anew
    c.execute(update(leases).where(leases.c.activation == old).values(FREE))
    for table in (
        watermarks,
        trials,
        deliveries,
        turns,
        runs,
        requests,
        receipts,
        approvals,
        pruned,
    ):
        c.execute(update(table).where(table.c.activation == old).values(activation=new))
    counted = delivery_counts.c  # of rows that are there, triggers see to that
    mine = (counted.activation == old, counted.state == PRUNED)
    c.execute(update(delivery_counts).where(*mine).values(activation=new))


def _problem(activation: str, name: str | None, text: str) -> Problem:
    path = ("activations", activation) if name is None else ("activations", activation, name)
    return Problem(path, f'activation "{activation}": {text}')
