"""Contact identifiers that a preview counts: how many there are, and which no contact can have."""

from collections.abc import Iterable, Sequence
from dataclasses import field
from datetime import datetime

from connector.basis import dataclass
from connector.ledger.reports import Reports
from connector.rules.activation import Activation, Contact
from connector.rules.contacts import ContactCache, Matches
from connector.rules.deed import Document


@dataclass(slots=True)
class Identifiers:
    """The distinct contact identifiers of the rows that would be sent. `sample`: what came of
    looking up those of the rows that are shown; None where nobody was asked."""

    number: int = 0
    cached: int = 0
    malformed: int = 0
    sample: Matches | None = None
    _seen: set[int] = field(default_factory=set)

    def count(
        self, contacts: Iterable[str], how: Contact, reports: Reports, cache: ContactCache
    ) -> None:
        """Count those of `contacts` that were not counted yet."""
        # a hash of 64 bits is a third of the text, and exact enough to count by
        new = [c for c in dict.fromkeys(contacts) if hash(c) not in self._seen]
        self._seen.update(map(hash, new))
        self.number += len(new)
        self.malformed += sum(bool(how.malformed(c)) for c in new)
        if how.table is None:
            digests = [cache.digest(contact, how) for contact in new]
            self.cached += len(reports.contacts(cache.destination, digests, cache.span))

    def document(self) -> Document:
        return {
            "identifiers": self.number,
            "cached": self.cached,
            "malformed": self.malformed,
            "sample": self.sample.document if self.sample else None,
        }


def refused_again(
    memory: Reports, activation: Activation, now: datetime
) -> Sequence[tuple[str, str]]:
    """Rows that are recorded to be sent, and will not be: no contact can have their identifiers, or
    it is too late `now`. Somebody has let them go again, or a run has ended before it was their
    turn. The key of each, and why."""
    ever_late = type(activation).too_late is not Activation.too_late
    found = list[tuple[str, str]]()
    for key, contact, created, _ in memory.to_be_sent(activation.name):
        reason = activation.contact.malformed(contact)
        if ever_late and not reason:
            reason = activation.too_late(datetime.fromisoformat(created), now)
        if reason:
            found.append((key, reason))
    return found
