"""Interactions as they are kept: indexed, read page by page, never changed."""

import base64
import heapq
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from connector.basis import dataclass
from connector.sandbox.exchange import Refusal


@dataclass(frozen=True, slots=True)
class Interaction:
    """One accepted interaction: what is shown of it, and the body that it came in."""

    id: str
    contact_id: str
    schema_id: str
    created_date: str
    payload: dict[str, Any]
    blob: bytes  #: the request body, with everything that `payload` lost
    stored_at: float  #: seconds since 1970
    sequence: int  #: grows with every request

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "id": self.id,
            "contactId": self.contact_id,
            "schemaId": self.schema_id,
            "createdDate": self.created_date,
            "payload": self.payload,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Some interactions of one contact and schema, and the token for more if there are more."""

    items: list[Interaction]
    continuation: str | None


class Interactions:
    """All interactions, by id and by contact and schema."""

    def __init__(self) -> None:
        self._by_id: dict[str, Interaction] = {}
        self._deleted: set[str] = set()
        self._by_pair: dict[tuple[str, str], list[Interaction]] = defaultdict(list)
        self._late: list[tuple[float, int, Interaction]] = []
        self._leaving: list[tuple[float, int, Interaction]] = []

    def all(self) -> list[Interaction]:
        """Return everything that is stored, first stored first."""
        return list(self._by_id.values())

    def of(self, contact_id: str, schema_id: str) -> list[Interaction]:
        """Return what is stored of one contact and schema, first received first."""
        listed = self._by_pair.get((contact_id, schema_id), ())
        return [each for each in listed if each.id in self._by_id]

    def get(self, interaction_id: str, visible_until: float) -> Interaction:
        """Return the interaction. Raises Refusal when it is not there or not visible yet."""
        interaction = self._by_id.get(interaction_id)
        if interaction is None or interaction.stored_at > visible_until:
            raise _not_found()
        return interaction

    def leaving(self, interaction_id: str) -> Interaction | None:
        """Return what was deleted and is listed still."""
        return next((each for _, _, each in self._leaving if each.id == interaction_id), None)

    def add(self, interaction: Interaction, now: float) -> None:
        """Store an interaction, or let it wait until its `stored_at` if that is to come."""
        if interaction.stored_at > now:
            heapq.heappush(self._late, (interaction.stored_at, interaction.sequence, interaction))
        else:
            self._store(interaction)

    def store_due(self, now: float) -> None:
        """Store what has waited long enough, and list no more what was deleted long enough ago."""
        while self._late and self._late[0][0] <= now:
            self._store(heapq.heappop(self._late)[2])
        while self._leaving and self._leaving[0][0] <= now:
            gone = heapq.heappop(self._leaving)[2]
            self._by_pair[gone.contact_id, gone.schema_id].remove(gone)

    def remove(self, interaction_id: str, listed_until: float = 0) -> None:
        """Forget an interaction; it may be listed until then. Raises Refusal when it is not
        there."""
        interaction = self._by_id.pop(interaction_id, None)
        if interaction is None:
            raise _not_found()
        self._deleted.add(interaction_id)
        if listed_until:
            heapq.heappush(self._leaving, (listed_until, interaction.sequence, interaction))
        else:
            self._by_pair[interaction.contact_id, interaction.schema_id].remove(interaction)

    def was_deleted(self, interaction_id: str) -> bool:
        """Say whether an interaction was there once, and was deleted by its id."""
        return interaction_id in self._deleted

    def equal_to(self, other: Interaction) -> Interaction | None:
        """Return the first that is stored and says the same, if there is one."""
        same = self.of(other.contact_id, other.schema_id)
        said = (other.created_date, other.payload)
        return next((each for each in same if (each.created_date, each.payload) == said), None)

    def merge(self, old: str, into: str) -> None:
        """Everything of the contact `old` is of the contact `into` from now on."""
        moved = {
            each.id: replace(each, contact_id=into)
            for pair in [pair for pair in self._by_pair if pair[0] == old]
            for each in self._by_pair.pop(pair)
        }
        self._by_id = {name: moved.get(name, each) for name, each in self._by_id.items()}
        self._leaving = [(t, n, moved.get(each.id, each)) for t, n, each in self._leaving]
        for each in moved.values():
            insort(self._by_pair[into, each.schema_id], each, key=_sequence)
        self._late = [
            (at, number, replace(each, contact_id=into) if each.contact_id == old else each)
            for at, number, each in self._late
        ]

    def remove_schema(self, schema_id: str, listed_until: float = 0) -> None:
        """Forget every interaction of one schema, also those that are still to be stored."""
        if listed_until:
            for each in [each for each in self._by_id.values() if each.schema_id == schema_id]:
                self.remove(each.id, listed_until)
        else:
            self._leaving = [
                leaving for leaving in self._leaving if leaving[2].schema_id != schema_id
            ]
            heapq.heapify(self._leaving)
            for pair in [pair for pair in self._by_pair if pair[1] == schema_id]:
                del self._by_pair[pair]
        self._by_id = {
            each.id: each for each in self._by_id.values() if each.schema_id != schema_id
        }
        self._late = [late for late in self._late if late[2].schema_id != schema_id]
        heapq.heapify(self._late)

    def page(
        self,
        pair: tuple[str, str],
        token: str | None,
        visible_until: float,
        *,
        order: str = "newest",
        size: int | None = None,
    ) -> Page:
        """Return one page of a (contact id, schema id), of everything if pages have no size.

        A token says after which interaction to go on, so that it stays true while others come.
        Raises Refusal for a foreign one.
        """
        visible = (
            each
            for each in _after(self._by_pair.get(pair, []), token, order)
            if each.stored_at <= visible_until
        )
        items = list(islice(visible, size))
        more = next(visible, None) is not None
        return Page(items, _token(items[-1], order) if more else None)

    def _store(self, interaction: Interaction) -> None:
        self._by_id[interaction.id] = interaction
        pair = self._by_pair[interaction.contact_id, interaction.schema_id]
        insort(pair, interaction, key=_sequence)


@dataclass(frozen=True, slots=True)
class Writing:
    """How a createdDate is kept: to the letter, or so precisely and in this offset."""

    as_sent: bool = False
    precision: str = "milliseconds"
    offset: str = "utc"

    def of(self, moment: datetime) -> str:
        """Return a time, which has a zone, as it is kept."""
        shown = moment if self.offset == "kept" else moment.astimezone(UTC)
        text = shown.isoformat(timespec=self.precision)
        return text[:-6] if self.offset == "none" else text.replace("+00:00", "Z")


def created_date(sent: object, now: float, writing: Writing = Writing()) -> str:
    """Return the createdDate to keep: the one sent, else now.

    A time without a zone is taken as UTC. Raises ValueError for what is no ISO 8601 date-time.
    """
    if sent is None:
        return writing.of(datetime.fromtimestamp(now, UTC))
    # fromisoformat takes any character between date and time, and a date alone.
    if not isinstance(sent, str) or sent[10:11] not in ("T", "t"):
        raise ValueError("createdDate must be an ISO 8601 date-time")
    moment = datetime.fromisoformat(sent)
    if writing.as_sent:
        return sent
    return writing.of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def utc(timestamp: float) -> str:
    """Return seconds since 1970 as a UTC date-time with milliseconds."""
    return Writing().of(datetime.fromtimestamp(timestamp, UTC))


def _after(interactions: list[Interaction], token: str | None, order: str) -> Iterator[Interaction]:
    """Yield the interactions in the order of pages, from where the token points."""
    if order == "other":
        interactions = sorted(interactions, key=_id)
        start = bisect_right(interactions, _said(token), key=_id) if token else 0
        positions = range(start, len(interactions))
    elif order == "oldest":
        start = bisect_right(interactions, _place(token), key=_sequence) if token else 0
        positions = range(start, len(interactions))
    else:
        end = len(interactions)
        start = bisect_left(interactions, _place(token), key=_sequence) if token else end
        positions = range(start - 1, -1, -1)
    return (interactions[position] for position in positions)


# Padded base64: a client that forgets to decode or encode the query string finds out here.
def _token(last: Interaction, order: str) -> str:
    place = last.id if order == "other" else last.sequence
    return base64.b64encode(f"after:{place}".encode()).decode()


def _place(token: str) -> int:
    try:
        return int(_said(token))
    except ValueError as error:
        raise _bad_token() from error


def _said(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode().removeprefix("after:")
    except ValueError as error:
        raise _bad_token() from error


def _bad_token() -> Refusal:
    return Refusal(400, "InvalidSearchQuery", "The continuation token is invalid")


def _not_found() -> Refusal:
    return Refusal(404, "InteractionNotFound", "Interaction not found")


def _sequence(interaction: Interaction) -> int:
    return interaction.sequence


def _id(interaction: Interaction) -> str:
    return interaction.id
