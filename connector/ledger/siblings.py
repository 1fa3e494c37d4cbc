"""Other rows of the same contact, as far as the ledger can know that: it tells which, and never
who."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from connector.ledger.history import Histories
from connector.ledger.ownership import neighbours
from connector.ledger.records import document
from connector.ledger.tables import OPEN, deliveries, ledgers, turns
from connector.ledger.transaction import transaction
from connector.ledger.turns import digest_of
from connector.rules.deed import Document
from connector.rules.delivery import State

MOST = 20
LOOKED_AT = 20_000
"""Rows that are not done yet, among which is looked for those of the contact."""
WITH_CONTACT = (
    *(State.IN_DOUBT, State.SENDING, State.SUBMITTED, State.REJECTED, State.WAITING),
    State.PENDING,
)
"""States in which the ledger keeps who a row is about."""
d, t = deliveries.c, turns.c
TOLD = (d.id, d.activation, d.row_key, d.state, d.changed_at.label("since"))


class Siblings(Histories):
    """What went, or is to go, to one contact."""

    def siblings(self, activation: str, row_key: str) -> list[Document] | None:
        """Rows of any activation at the same destination that are of the contact of this one; the
        newest first, and no more than MOST. None: whose the row is cannot be told any more."""
        name = self._name(activation)
        with transaction(self._engine) as c:
            of_it = (d.activation == name, d.row_key == row_key)
            row = c.execute(select(d.id, d.contact, d.contact_id).where(*of_it)).first()
            if row is None:
                return None
            hashes = set(c.execute(select(t.contact).where(t.delivery_id == row.id)).scalars())
            if row.contact_id is not None:
                key = str(c.execute(select(ledgers.c.identity)).scalar())
                hashes.add(digest_of(key, row.contact_id))
            if not hashes and row.contact is None:
                return None
            names = list(neighbours(c, name))
            found = {each.id: each for each in _found(c, names, row, hashes) if each.id != row.id}
        newest = sorted(found.values(), key=lambda each: (-each.since, each.id))
        return [document(each, "activation", "row_key", "state", "since") for each in newest[:MOST]]


def _found(c: Connection, names: list[str], row: Any, hashes: set[str]) -> Iterator[Any]:
    """By the turns that were taken of the contact, and among rows that still keep theirs."""
    if hashes:
        of_contact = (t.activation.in_(names), t.contact.in_(hashes))
        took = select(t.delivery_id).where(*of_contact).order_by(t.at.desc()).limit(4 * MOST)
        yield from c.execute(select(*TOLD).where(d.id.in_(took)))
    ours = (d.activation.in_(names), d.state.in_(WITH_CONTACT), OPEN)
    looked = select(*TOLD, d.contact, d.contact_id).where(*ours).limit(LOOKED_AT).subquery().c
    same: list[ColumnElement[bool]] = []
    if row.contact is not None:
        same.append(looked.contact == row.contact)
    if row.contact_id is not None:
        same.append(func.lower(looked.contact_id) == row.contact_id.lower())
    if same:
        yield from c.execute(select(*looked).where(or_(*same)).limit(4 * MOST))
