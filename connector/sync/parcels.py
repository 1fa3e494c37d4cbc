"""What travels in one request: rows are gathered up to what it takes, in rows and in bytes.

Rows of a request that was refused as a whole are kept apart by their halves, so that each request
that follows is smaller, down to the row that is meant.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import blake2b
from uuid import NAMESPACE_URL, uuid5

from connector.basis import dataclass
from connector.destinations.port import Answer, Capabilities, Item, Parcel, Proof
from connector.ledger.parcels import Again, Half, OpeningAll
from connector.ledger.records import Closing, Delivery, FoundContact, Opening
from connector.rules.delivery import Outcome


@dataclass(frozen=True, slots=True)
class Ready:
    """A row that may be sent now."""

    delivery: Delivery
    item: Item
    news: FoundContact | None

    @classmethod
    def of(
        cls, row: Delivery, reference: str, contact_id: str, news: FoundContact | None
    ) -> "Ready":
        """A row whose contact is known."""
        return cls(row, item_of(reference, row, contact_id), news)


@dataclass(frozen=True, slots=True)
class Load:
    """What one request is to carry. `again`: the one that it was."""

    rows: Sequence[Ready]
    again: Again | None = None

    def parcel(self, run_id: str) -> Parcel:
        """As the destination takes it; under a UUID that no other request has, since a row is tried
        once under a number."""
        items = tuple(_at(n, row.item) for n, row in enumerate(self.rows))
        if self.again:
            return Parcel(self.again.reference, items, again=True)
        first = self.rows[0]
        number = first.delivery.attempt + 1
        words = (run_id, first.item.reference, str(number), str(len(items)))
        return Parcel(str(uuid5(NAMESPACE_URL, ".".join(words))), items)

    def opening(
        self,
        parcel: Parcel,
        proof: Proof,
        digest: str,
        boot: int | None,
        at: int,
        there: int | None,
    ) -> OpeningAll:
        """Its entry in the ledger. `proof`: how it can be settled; `at`, `there`: when it is by
        the clock of `boot`, and by that of the destination at the latest."""
        openings = [
            Opening(row.delivery, row.item.contact, row.news, boot, at, there) for row in self.rows
        ]
        again = self.again.id if self.again else None
        return OpeningAll(parcel.reference, digest, openings, again, proof.value)

    @property
    def halves(self) -> "Sequence[Load]":
        """None of a single row, nor of what must go as it was."""
        middle = len(self.rows) // 2
        parts = (self.rows[:middle], self.rows[middle:])
        return [] if self.again or not middle else [Load(rows) for rows in parts]


def _at(place: int, item: Item) -> Item:
    """The item in its place. Not `replace`, which takes four times as long for each row."""
    it = item
    return Item(it.delivery_id, it.reference, it.contact, it.created, it.payload, place)


def item_of(reference: str, delivery: Delivery, contact_id: str) -> Item:
    """A row as a destination takes it."""
    payload = delivery.payload.encode()
    return Item(delivery.id, reference, contact_id, delivery.created_date, payload)


def parcel_of(reference: str, delivery: Delivery, contact_id: str) -> Parcel:
    """A row that travels alone."""
    item = item_of(reference, delivery, contact_id)
    return Parcel(f"{reference}.{delivery.attempt + 1}", (item,))


def closings_of(
    openings: Sequence[Opening], answer: Answer, rest_after: Callable[[Outcome, int], timedelta]
) -> list[Closing]:
    """What a request brought for each of its rows; most have the very same outcome, and rest for as
    long as the one among them that was tried least often."""
    rests = dict[int, timedelta]()
    least = min((opening.in_a_row for opening in openings), default=1)
    closings = []
    for opening in openings:
        outcome = answer.of(opening.delivery.id)
        if id(outcome) not in rests:
            rests[id(outcome)] = rest_after(outcome, least)
        rest = rests[id(outcome)]
        closings.append(Closing(opening.delivery.id, opening.number, outcome, rest))
    return closings


def digest_of(body: bytes) -> str:
    """By which the same bytes are known again."""
    return blake2b(body, digest_size=16).hexdigest()


class Gathering:
    """Rows on their way into requests."""

    def __init__(self, can: Capabilities, weigh: Callable[[Item], int]) -> None:
        self.can, self._weigh = can, weigh
        self.most = can.rows_per_request
        """Rows that the next request takes."""
        self._rows: dict[Half | None, list[Ready]] = {}
        self._weights: dict[Half | None, int] = {}

    def add(self, half: Half | None, row: Ready) -> list[Load]:
        """Put a row with the others; what is full with it, or was."""
        most, full = self.can.bytes_per_request, list[Load]()
        weight = self._weigh(row.item) if most else 0
        if half in self._rows and self._weights[half] + weight > most > 0:
            full.append(self._load(half))
        rows = self._rows.setdefault(half, [])
        rows.append(row)
        self._weights[half] = self._weights.get(half, 0) + weight
        if len(rows) >= self.most:
            full.append(self._load(half))
        return full

    def rest(self) -> list[Load]:
        """What is there, full or not."""
        return [self._load(half) for half in list(self._rows)]

    def _load(self, half: Half | None) -> Load:
        self.most = self.can.rows_per_request
        del self._weights[half]
        return Load(self._rows.pop(half))
