"""What news about contacts changes, outside of any run: rows that wait for one are due at once, and
contacts that were found are forgotten."""

from collections.abc import Collection

from sqlalchemy import Select, delete, func, select, update

from connector.ledger.contacts import contacts
from connector.ledger.leases import lock
from connector.ledger.tables import NOW, chunks, deliveries, pauses, watermarks
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.delivery import State

d = deliveries.c


class Waking(Reader):
    """The part of the ledger that is written because of such news."""

    @repeated
    def wake(self, activation: str, ids: Collection[int]) -> None:
        """Make those of the rows `ids` due now that wait. When their wait ends altogether stays as
        it was."""
        later = (d.activation == activation, d.state == State.WAITING, d.due_at > NOW)
        statement = update(deliveries).where(*later).values(due_at=NOW)
        with transaction(self._engine) as c:
            lock(c, activation)  # before any row, as everybody does who moves them
            for part in chunks(ids):
                c.execute(statement.where(d.id.in_(part)))

    @repeated
    def forget_found(self, destination: str, contact_ids: Collection[str] | None) -> None:
        """Forget what look-ups at the destination have found: `contact_ids` (in small letters), or
        everything (None)."""
        k = contacts.c
        statement = delete(contacts).where(k.destination == destination)
        with transaction(self._engine) as c:
            if contact_ids is None:
                c.execute(statement)
                return
            for part in chunks(contact_ids):
                c.execute(statement.where(func.lower(k.contact_id).in_(part)))


class Sleepers(Reader):
    """What is asked before anybody is woken."""

    def recorded_as(self, activation: str) -> str:
        """The name under which its rows are: its earlier one, until a run has taken them over."""
        return self._name(activation)

    def sleepers(self, activation: str, after: int, limit: int) -> list[tuple[int, str]]:
        """The next rows after the one with the id `after` that wait for their contact, with the
        identifiers."""
        query = _sleepers(self._name(activation)).where(d.id > after).order_by(d.id).limit(limit)
        return [(row[0], row[1]) for row in self._all(query)]

    def newest_sleepers(self, activation: str, before: int | None, limit: int) -> list[int]:
        """The ids of the newest such rows, newest first; `before`: only of older ones than that."""
        query = _sleepers(self._name(activation)).order_by(d.id.desc()).limit(limit)
        return [
            row[0] for row in self._all(query if before is None else query.where(d.id < before))
        ]

    def is_kept(self, activation: str) -> bool:
        """Whether a person keeps it from sending: it is paused, or held."""
        w, name = watermarks.c, self._name(activation)
        paused = select(pauses.c.activation).where(pauses.c.activation.in_([activation, name]))
        held = select(w.activation).where(w.activation == name, w.held.is_not(None))
        return any(self._first(select(paused.exists(), held.exists())))


def _sleepers(activation: str) -> Select[tuple[int, str]]:
    return select(d.id, d.contact).where(d.activation == activation, d.state == State.WAITING)
