"""How destinations behaved when they were measured: for checks, and for later probes."""

import json

from sqlalchemy import BigInteger, Column, Engine, String, Table, Text, delete, insert, select

from connector.basis import dataclass
from connector.ledger.tables import NOW, Id, metadata
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.deed import Document
from connector.rules.place import Place

probes = Table(  # how a destination behaved when it was measured
    "probes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("destination", String, nullable=False),
    Column("type", String, nullable=False),
    Column("address", String, nullable=False),
    Column("measured_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),  # JSON: the answers and what they were seen by
)

p = probes.c
KEPT = 20
"""Of one place; people may ask the table how it has changed."""


@dataclass(frozen=True, slots=True)
class Probes(Reader):
    """What was measured at one place.

    Every method raises LedgerUnavailable when the database cannot be read or written.
    """

    _engine: Engine
    _place: Place

    def last(self) -> Document | None:
        """The newest; None: there is none."""
        here = (p.type == self._place.type, p.address.in_(self._place.addresses))
        row = self._first(select(p.document).where(*here).order_by(p.id.desc()).limit(1))
        return None if row is None else dict(json.loads(row[0]))

    @repeated
    def keep(self, destination: str, document: Document) -> None:
        """Put one on record, and let go of the oldest where there are many."""
        here = (p.type == self._place.type, p.address == self._place.address)
        entry = insert(probes).values(
            destination=destination,
            type=self._place.type,
            address=self._place.address,
            measured_at=NOW,
            document=json.dumps(document),
        )
        newest = select(p.id).where(*here).order_by(p.id.desc()).limit(KEPT)
        with transaction(self._engine) as c:
            c.execute(entry)
            c.execute(delete(probes).where(*here, p.id.not_in(newest)))
