"""Contacts that were found, kept for later runs: under digests, and for a limited time.

Losing an entry costs a look-up and nothing else, so this is the one table that may be emptied.
"""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Select,
    String,
    Table,
    or_,
    select,
)

from connector.ledger.ahead import is_ahead
from connector.ledger.records import FoundContact
from connector.ledger.tables import NOW, metadata, upsert

contacts = Table(
    "contacts",
    metadata,
    Column("destination", String, primary_key=True),
    Column("digest", String, primary_key=True),  # of the identifier, keyed with the API key
    Column("identifier", String, nullable=False),  # what kind it is
    Column("contact_id", String, nullable=False),
    Column("looked_up_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("contacts_by_age", contacts.c.destination, contacts.c.looked_up_at)

EXPIRED = 0


def expired(destination: str, span: int) -> Select[str, str]:
    """The entries that were looked up longer ago than `span` milliseconds, or later than now, since
    the clock was put back."""
    k = contacts.c
    old = or_(k.looked_up_at <= NOW - span, is_ahead(k.looked_up_at, NOW))
    mine = k.destination == destination, old
    return select(k.destination, k.digest).where(*mine)


def keep(c: Connection, entries: Sequence[FoundContact], now: int) -> None:
    """Write `entries`; one that was refused counts as expired from now on. A refusal of another
    contactId than the one that is kept is older news: it changes nothing.

    In the order of their keys: runs of two activations may write the same entries, and neither may
    wait for one that the other has while it has one that the other waits for.
    """
    if not entries:
        return
    statement = upsert(c, contacts)
    new = statement.excluded
    values = {"contact_id": new.contact_id, "looked_up_at": new.looked_up_at}
    is_news = or_(new.looked_up_at != EXPIRED, new.contact_id == contacts.c.contact_id)
    keys = ["destination", "digest"]
    c.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=values, where=is_news),
        [
            {
                "destination": e.destination,
                "digest": e.digest,
                "identifier": e.identifier,
                "contact_id": e.contact_id,
                "looked_up_at": EXPIRED if e.refused else now,
            }
            for e in sorted(entries, key=lambda e: (e.destination, e.digest))
        ],
    )
