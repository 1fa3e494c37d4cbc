"""Contacts that were found, kept for later runs: under digests, and for a limited time.

Losing an entry costs a look-up and nothing else, so this is the one table that may be emptied.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import Connection, delete, or_, select, tuple_

from connector.ledger.records import FoundContact, milliseconds
from connector.ledger.tables import NOW, chunks, contacts, upsert

EXPIRED = 0


def cached(
    c: Connection, destination: str, digests: Collection[str], span: timedelta
) -> dict[str, str]:
    """By digest, the contactIds that were looked up within `span`; shared by both sides."""
    found: dict[str, str] = {}
    for part in chunks(digests):
        query = select(contacts.c.digest, contacts.c.contact_id).where(
            contacts.c.destination == destination,
            contacts.c.digest.in_(part),
            contacts.c.looked_up_at > NOW - milliseconds(span),
        )
        found.update((digest, contact_id) for digest, contact_id in c.execute(query))
    return found


def keep(c: Connection, entries: Sequence[FoundContact], now: int) -> None:
    """Write `entries`; one that was refused counts as expired from now on. A refusal of another
    contactId than the one that is kept is older news: it changes nothing.

    In the order of their keys: runs of two activations may write the same entries, and neither may
    wait for one that the other has while it has one that the other waits for.
    """
    if not entries:
        return
    statement = upsert(c, contacts)
    values = {"contact_id": statement.excluded.contact_id}
    values["looked_up_at"] = statement.excluded.looked_up_at
    is_news = or_(
        statement.excluded.looked_up_at != EXPIRED,
        statement.excluded.contact_id == contacts.c.contact_id,
    )
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


def remove_expired(c: Connection, destination: str, span: timedelta, most: int) -> int:
    """Remove at most `most` entries that are older than `span`; how many there were."""
    expired = (
        select(contacts.c.destination, contacts.c.digest)
        .where(
            contacts.c.destination == destination,
            contacts.c.looked_up_at <= NOW - milliseconds(span),
        )
        .limit(most)
        .with_for_update(skip_locked=True)  # a run that writes one of them at this moment wins
    )
    keys = tuple_(contacts.c.destination, contacts.c.digest)
    return c.execute(delete(contacts).where(keys.in_(expired))).rowcount
