"""What the contacts of an activation's rows are known by: a value that was recorded as one kind of
identifier is never looked up, or sent, as one of another.

A value may be the member number of one contact, and the telephone number of another one. Rows that
may have been sent are looked for as they were sent: so the edit waits for them. Those that were not
are rejected, and read anew as the model and the activation are by then.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from connector.ledger.records import Identity
from connector.ledger.tables import OPEN, deliveries
from connector.rules.contacts import KNOWN_OTHERWISE
from connector.rules.delivery import CORRECTABLE, MAY_BE_THERE, TO_BE_SENT
from connector.rules.hold import Hold
from connector.rules.words import are

d = deliveries.c
UNSURE = (*TO_BE_SENT, *CORRECTABLE)
"""States of rows that are read back before they are sent, where the ledger is from a backup."""


def was_known_by(known: Any) -> tuple[str, ...]:
    """What is recorded; nothing, by an older connector."""
    return tuple(json.loads(known.identifier)) if known.identifier else ()


def knows_otherwise(known: Any, identity: Identity) -> bool:
    """Whether contacts are known by something else now than what is recorded."""
    was, now = was_known_by(known), identity.known_by
    return bool(was and now and was != now)


def hindrances(c: Connection, identity: Identity, known: Any) -> Iterator[str]:
    """Why contacts cannot be known by something else yet."""
    was, now = was_known_by(known), identity.known_by
    if not knows_otherwise(known, identity):
        return
    edited = f"its contacts were known by {said(was)} and are by {said(now)} now, while"
    mine = (d.activation == known.activation, OPEN)
    count = select(func.count()).where(*mine)
    if number := c.execute(count.where(d.state.in_(MAY_BE_THERE))).scalar_one():
        yield (
            f"{edited} {are(number)} not settled that may have been sent under the former: looked"
            " for in another place, what is there would be sent again. Put it back and let"
            " `connector sync --wait` settle them, or `connector quarantine settle`, before it"
            " changes"
        )
    elif known.suspect or c.execute(count.where(d.suspect, d.state.in_(UNSURE))).scalar_one():
        yield (
            f"{edited} rows may have been sent by runs that the ledger has forgotten, since it was"
            " put back from a backup. If this was edited after that, put it back and let `connector"
            " sync --wait` look for them first. If before, they may be there as either: put it back"
            " and discard those that are there with `connector quarantine discard` before it runs"
        )
    elif was[0] != now[0] and known.held and Hold.of(known.held).gone:
        yield (
            f"{edited} a run is held since its row keys seem to change: what is read anew would go"
            " unseen. Put it back, and discard or approve what is held, before it changes"
        )


def otherwise(identity: Identity, known: Any) -> str | None:
    """Why rows that are not sent yet are not sent as they are recorded; None: they are."""
    was, now = was_known_by(known), identity.known_by
    if not knows_otherwise(known, identity) or was[0] == now[0]:
        return None
    return (
        f"{KNOWN_OTHERWISE}: its contact was known by {was[0]} and would be looked up by {now[0]}"
        " now; `connector quarantine retry` reads it anew"
    )


def said(known_by: Sequence[str]) -> str:
    """For people."""
    kind, *narrowed = known_by
    return f"{kind} (of the type {narrowed[0]})" if narrowed else kind
