"""Requests that carry many rows, as values: what goes into the ledger of them, and what comes out.

A destination that takes one row in a request needs none of this: there an attempt says it all.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from connector.basis import dataclass
from connector.ledger.records import (
    Closing,
    Delivery,
    Entry,
    FoundContact,
    Opening,
    Repeated,
    Settlement,
)
from connector.rules.delivery import Outcome
from connector.rules.turns import Turn

ABSENT, SPLIT = "absent", "split"
"""Outcomes that a request has only once it was asked for: it is not there, so it goes again as it
was; or its rows go again in two halves."""


@dataclass(frozen=True, slots=True)
class OpeningAll:
    """A request to be put on record before its first byte, with an attempt of each of its rows in
    the order in which they travel: all of them, or nothing. `digest`: of its bytes; `again`: the
    request that goes once more."""

    reference: str
    digest: str
    openings: Sequence[Opening]
    again: int | None = None
    proof: str = "request"
    """How it can be settled, as the destination is now."""


@dataclass(frozen=True, slots=True)
class ClosingAll:
    """What a request brought: as a `whole`, and for each of its rows."""

    request: int
    whole: Outcome
    closings: Sequence[Closing]


@dataclass(frozen=True, slots=True)
class Opened:
    """The request is on record, under this id."""

    request: int


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of each row, in the order of the closings."""

    moved: Sequence[bool | Repeated]


@dataclass(frozen=True, slots=True)
class Kept:
    """A row whose contact is known, and that waits for the send window, or for its `turn`."""

    delivery: Delivery
    contact_id: str
    reason: str
    found: FoundContact | None = None
    turn: Turn | None = None


AnyEntry = Entry | Kept | OpeningAll | ClosingAll
"""What a run puts on record while it sends."""


def closings_of(entries: Iterable[AnyEntry]) -> Iterator[Closing]:
    """Every closing in `entries`."""
    for entry in entries:
        match entry:
            case Closing():
                yield entry
            case ClosingAll(closings=closings):
                yield from closings


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose rows are not settled. `age`: how long ago it was opened, by the database's
    clock; `unasked`: for how long nobody has been answered who asked about it; `seen`: the
    destination has said once that it has it, or may have, before the ledger was put back from a
    backup."""

    id: int
    reference: str
    theirs: str | None
    rows: int
    http_status: int | None
    reason: str | None
    seen: bool
    age: timedelta
    unasked: timedelta

    @property
    def name(self) -> str:
        """By which the destination is asked for it."""
        return self.theirs or self.reference


@dataclass(frozen=True, slots=True)
class Asked:
    """What a destination said of a request. `settlements`: of the rows that move; `outcome`: absent
    or split; `seen`: it has it; `next_in`: when to ask again, at the earliest; `ended`: nobody asks
    any more; `answered`: it said something; `done`: it has processed it; `absent`: it does not know
    it, and the request is old enough for that to count."""

    request: Request
    settlements: Sequence[Settlement]
    outcome: str | None = None
    seen: bool = False
    next_in: timedelta | None = None
    ended: bool = False
    answered: bool = True
    done: bool = False
    absent: bool = False

    @property
    def by_ours(self) -> bool:
        """The destination has it, and knows it by the reference that we gave it."""
        return self.seen and self.request.theirs is None


@dataclass(frozen=True, slots=True)
class Witness:
    """A request that the destination was done with so long ago that, if it still knows it by its
    `reference`, it has forgotten none that is younger than another one is. None: there is none yet;
    `wait`: until the next one is old enough."""

    reference: str | None
    wait: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """A request that was found absent, with its rows in their order: it goes again as it was."""

    id: int
    reference: str
    digest: str
    rows: Sequence[Delivery]


Half = tuple[int, int]
"""A request that was refused as a whole, and the first or second half of its rows (0 or 1)."""
