"""Which activations send to one place: by its address, and by its name where the ledger knows no
address yet."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from connector.ledger.tables import watermarks
from connector.rules.place import Place

w = watermarks.c


def sends_to(place: Place | None, names: Collection[str]) -> ColumnElement[bool]:
    """The condition for the watermarks of activations that send to `place`, which is called one of
    `names`; None: it is known by its names alone."""
    named = w.destination.in_(list(names))
    if place is None:
        return named
    here = and_(w.type == place.type, w.address.in_(place.addresses))
    return or_(here, and_(w.address.is_(None), named))


def neighbours(c: Connection, activation: str) -> set[str]:
    """The activations that send to the same place, `activation` among them."""
    own = c.execute(
        select(w.destination, w.type, w.address).where(w.activation == activation)
    ).first()
    if own is None:
        return set()
    place = None if own.address is None else Place(own.type, own.address)
    query = select(w.activation).where(sends_to(place, [own.destination]))
    return {row[0] for row in c.execute(query)}
