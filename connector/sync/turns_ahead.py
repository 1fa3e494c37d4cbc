"""How many rows of a preview would have to wait for their turn, where one contact is told something
only so often: those that the model has and those that are on record already."""

from collections.abc import Collection, Sequence

from connector.ledger.reports import Reports
from connector.ledger.tables import chunks
from connector.ledger.turns import digest_of, wall
from connector.rules.activation import Activation
from connector.rules.contacts import ContactCache
from connector.rules.turns import Crowd, Waiting, cap_of


class TurnsAhead:
    """Counts rows that would be sent by whose they are; counts nothing without a cap.

    Contacts that were never looked up are told apart by their identifiers, and taken for such as
    nothing was sent to lately.
    """

    def __init__(self, activation: Activation) -> None:
        cap = cap_of(activation)
        self._activation, self._crowd = activation, Crowd(cap) if cap else None
        self.waiting: Waiting | None = None
        self._room = dict[str, int]()
        """How many more sends each contact may have now."""

    def add(self, contact: str) -> None:
        """One more row that would be sent, to `contact` as the model has it."""
        if self._crowd:
            self._crowd.rows[self._plain(contact)] += 1

    def has_one(self, contact: str) -> bool:
        """Whether the next row of `contact` has a turn, which it takes then."""
        if self._crowd is None:
            return True
        who = self._plain(contact)
        self._room[who] = self._room.get(who, self._crowd.cap.most) - 1
        return self._room[who] >= 0

    def _plain(self, contact: str) -> str:
        """The one writing that stands for all."""
        return contact if self._activation.contact.needs_look_up else contact.lower()

    def end(self, reports: Reports, cache: ContactCache, but: Collection[str] = ()) -> None:
        """Take in what is on record, except for the rows with the keys `but`."""
        if (crowd := self._crowd) is None:
            return
        name = self._activation.name
        for row_key, contact, _, _ in reports.to_be_sent(name):
            if row_key not in but:
                self.add(contact)
        taken, identity = dict[str, Sequence[int]](), reports.identity_of_ledger()
        for part in chunks(crowd.rows):
            ids = self._ids(part, reports, cache)
            who = {digest_of(identity, contact_id): contact for contact, contact_id in ids.items()}
            found = reports.taken_turns(name, crowd.cap, list(who))
            taken.update((who[digest], times) for digest, times in found.items())
        self._room = {who: crowd.cap.most - len(times) for who, times in taken.items()}
        self.waiting = crowd.wait(taken, wall())

    def _ids(
        self, contacts: Sequence[str], reports: Reports, cache: ContactCache
    ) -> dict[str, str]:
        """The ids of those whose id is known without asking for it."""
        how = self._activation.contact
        if not how.needs_look_up:
            return {contact: contact for contact in contacts}
        if how.table is not None:
            return {}
        digests = {cache.digest(contact, how): contact for contact in contacts}
        found = reports.contacts(cache.destination, list(digests), cache.span)
        return {digests[digest]: contact_id for digest, contact_id in found.items()}
