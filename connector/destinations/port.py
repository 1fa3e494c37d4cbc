"""What work may know of a destination: the port. Nothing here names an API.

A destination is one API under one set of credentials. What it can do besides taking interactions
stands in its `Capabilities`; each ability is a protocol of its own below, which the destination
fulfils where `can` says so.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar, cast
from urllib.parse import parse_qsl

import orjson

from connector.basis import dataclass
from connector.destinations.credentials import Credentials
from connector.destinations.dates import DestinationClock
from connector.destinations.hooks import InFlight, LastLook, Observer, Stopping, nothing_to_see
from connector.destinations.pacing import Pacer, Wire
from connector.destinations.settings import DestinationSettings
from connector.destinations.trials import Probe
from connector.rules.activation import Activation
from connector.rules.definition import Definition
from connector.rules.delivery import LookUp, NotApplied, Outcome, Refused, Removal, Unknown
from connector.rules.probing import Subject
from connector.rules.read_back import Absent, ReadBack, Shown, Stored, Unread, Verdict
from connector.rules.schema import InteractionSchema
from connector.rules.webhooks import News

# --- what a destination can do --------------------------------------------------------------------


class Proof(StrEnum):
    """How an unknown outcome is settled."""

    ROW = "row"
    """It can be asked for this very row."""
    REQUEST = "request"
    """It can be asked for the request that carried the row."""
    NONE = "none"
    """It cannot be asked: a person decides."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What work asks before it offers something. Facts of an API, no settings."""

    proof: Proof
    rows_per_request: int = 1
    """Most rows that travel together; where it is one, requests are not on record by themselves."""
    bytes_per_request: int = 0
    """Most bytes of them, as `weigh` tells; 0: no limit."""
    asks_requests: bool = False
    """Requests that went when it was set otherwise can be asked for, whatever `proof` is now."""
    gives_ids: bool = True
    looks_up: bool = False
    """Contacts are looked up; else they are sent as they stand. See LooksUp."""
    shows: bool = False
    """One interaction can be read by its id. See Shows."""
    lists_equals: bool = False
    """It can be asked what stands beside an interaction. See ListsEquals."""
    takes_back: bool = False
    """One interaction can be deleted. See TakesBack."""
    lists_person: bool = False
    """What it has of a person can be listed. See ListsPerson."""
    keeps_schemas: bool = False
    """See SchemaStore."""
    probes: bool = False
    """It can be measured how it behaves. See Probes."""
    forgets_requests: bool = False
    """With `Proof.REQUEST`: it forgets requests after a while of which nobody knows how long it is.
    See RemembersRequests."""
    most_doubts: int = 20
    """Requests in a row without an answer that can be trusted, before it is let be."""


def lacks(can: Capabilities) -> list[str]:
    """What a destination cannot do, for people."""
    said = {
        "a request whose outcome is unknown is a person's to settle": can.proof is Proof.NONE,
        "what was delivered has no id of the destination's": not can.gives_ids,
        "what was delivered cannot be read back (`connector verify`)": not can.shows
        and can.proof is not Proof.REQUEST,
        "what was delivered is known by its request alone, which `connector verify` asks about": (
            not can.shows and can.proof is Proof.REQUEST
        ),
        "what stands twice cannot be found (`connector verify`)": not can.lists_equals,
        "what was sent cannot be taken back (`connector undo`)": not can.takes_back,
        "what is there of a person cannot be listed (`connector forget`)": not can.lists_person,
        "no schemas are kept (`connector schema`)": not can.keeps_schemas,
    }
    return [sentence for sentence, is_so in said.items() if is_so]


# --- what goes there, and what comes back ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """A row as the ledger has it: all that may be sent about it."""

    delivery_id: int
    reference: str
    """The row's own: the same for every attempt, and in every ledger."""
    contact: str
    """As looked up where that is done, else as it stands in the row; empty in a preview that has
    looked nobody up."""
    created: str
    """RFC 3339, as it was recorded."""
    payload: bytes
    """A flat JSON object, as it was validated."""
    place: int = 0
    """Where it stands in its parcel."""

    @property
    def created_at(self) -> datetime:
        """`created` as a time."""
        return datetime.fromisoformat(self.created)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one request carries. `reference`: its own; `again`: it went before, and was absent;
    `look`: the request, where it is composed already."""

    reference: str
    items: tuple[Item, ...]
    again: bool = False
    look: "Look | None" = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request brought: for all of its rows, or by delivery id for each."""

    whole: Outcome
    each: Mapping[int, Outcome] = field(default_factory=dict)

    def of(self, delivery_id: int) -> Outcome:
        """What it brought for one row."""
        return self.each.get(delivery_id, self.whole)


@dataclass(frozen=True, slots=True)
class Look:
    """How a request looks, to be shown: no secret, no token. `headers`: those that it alone has."""

    method: str
    url: str
    body: bytes
    type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def content(self) -> Any:
        """The body for people: JSON parsed, a form by its fields, anything else as a text."""
        text = self.body.decode(errors="replace")
        if "form" in self.type:
            return dict(parse_qsl(text, keep_blank_values=True))
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return text


@dataclass(frozen=True, slots=True)
class Doubt:
    """A row whose last attempt nobody knows the end of. `request`: the reference under which it
    went (the destination's own id where that is another one), with how many `rows`; empty where
    that is not known; `ours`: our own reference of it. `seen`: the destination has said once that
    it has the request, so "no such request" proves no absence any more. `submitted`: it has taken
    the row over, and has not said that it is done; else there was no answer, or one that proves
    nothing: its `http_status` and `reason`."""

    item: Item
    request: str
    age: timedelta
    seen: bool = False
    rows: int = 1
    submitted: bool = False
    http_status: int | None = None
    reason: str = ""
    unasked: timedelta = timedelta(0)
    """For how long nobody has asked about the request: since it was sent, or asked about last."""
    proof: Proof | None = None
    """How it could be settled when it was sent, where that may be otherwise now; None: as now."""
    ours: str = ""
    row_key: str = ""
    remade: bool = False
    """The row may have been sent by a run that the ledger has forgotten: what it has of it may be
    another body."""


LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
"""Of base 32 (RFC 4648, section 6)."""
PAIRS = [one + other for one in LETTERS for other in LETTERS]
PLACES = range(120, -1, -10)


@dataclass(frozen=True, slots=True)
class References:
    """The rows' own references. `origin`: the name under which their activation was recorded first,
    so that a renaming changes none; `prefix`: tells apart projects that share an account."""

    origin: str
    prefix: str = ""

    def of(self, row_key: str) -> str:
        """27 letters and digits: whoever computes it gets the same."""
        parts = ("v1", *([self.prefix] if self.prefix else []), self.origin, row_key)
        digest = blake2b("\x00".join(parts).encode(), digest_size=16).digest()
        bits = (
            int.from_bytes(digest) << 2
        )  # 26 letters of 5 bits; base64.b32encode takes twice as long
        return "c" + "".join([PAIRS[bits >> place & 1023] for place in PLACES])


Shape = InteractionSchema
"""What a payload must be like: a live schema, one in a file, or an open one (`OpenSchema`)."""
Owned = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Of ids at the destination, those that belong to rows of any activation."""

A = TypeVar("A", bound=Activation, contravariant=True)


class Destination(Protocol[A]):
    """One API under one set of credentials. Belongs to the event loop in which it is used."""

    can: Capabilities
    concurrency: int
    reference_prefix: str
    """See References."""
    wire: Wire
    """Where a parcel comes near before it is put on record; it is sent then, or goes away."""
    clock: DestinationClock
    """What time it is there, as far as its answers tell."""
    credentials: Credentials
    observe: Observer
    """Told every request."""
    in_flight: InFlight
    """Told when each begins, and when it has ended."""
    remarks: Sequence[str]
    """What a person should know of how it answered before any row was read."""

    def heeding(self, stopping: Stopping) -> Self:
        """The same for somebody who may be asked to stop: what may be repeated is not begun any
        more then."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""

    async def preflight(self, activation: A) -> Shape:
        """What payloads must be like, asked for before any row is read. Raises
        DestinationUnusable, or ConfigurationError where the activation cannot go there."""
        ...

    def shape(self, activation: A) -> Shape | None:
        """The same as far as the project's own files say it; None: they say nothing. Asks nobody.
        Raises ConfigurationError."""
        ...

    def weigh(self, item: Item) -> int:
        """About how many bytes of a request it takes; asked where `can.bytes_per_request`."""
        ...

    async def references(self, target: str) -> frozenset[str]:
        """The references of all rows that were sent to `target`, by whichever ledger, as far as it
        can be asked for them. Raises DestinationUnusable where it can, and gives no answer."""
        ...

    def compose(self, activation: A, parcel: Parcel) -> Look:
        """The request, byte for byte: a preview shows it, `send` sends it. Asks nobody."""
        ...

    async def send(
        self, activation: A, parcel: Parcel, last_look: LastLook = nothing_to_see
    ) -> Answer:
        """One request with a parcel that came near, exactly once; none where the `last_look`, taken
        directly before, gives a reason. Raises DestinationUnusable when no row would get through;
        then this one was certainly not stored."""
        ...

    def drawer(self, doubt: Doubt) -> str:
        """Doubts in one drawer are settled by one question, and counted against each other."""
        ...

    async def settle(
        self, activation: A, doubts: Sequence[Doubt], owned: Owned, besides: Sequence[str] = ()
    ) -> Mapping[int, Verdict]:
        """What it has of these doubts, by delivery id; all doubts of a drawer, the oldest first.
        `besides`: contacts that those of the doubts may have become meanwhile."""
        ...


# --- abilities ------------------------------------------------------------------------------------


class RemembersRequests(Protocol):
    """`can.forgets_requests`: that it does not know a request is believed only while it still knows
    another one that it must have forgotten before."""

    async def remembers(self, request: str) -> bool:
        """Whether it knows a request now that it was done with. Raises DestinationUnusable."""
        ...


class LooksUp(Protocol):
    """`can.looks_up`: it knows contacts by other keys than its own."""

    def plain_contact(self, contact_id: str) -> str:
        """The one writing of a contact's own id that stands for all."""
        ...

    async def look_up(self, contact: str, how: Any) -> LookUp:
        """Which contact `contact` is; `how`: the activation's own `contact`. Safe to repeat. Raises
        DestinationUnusable when no look-up could succeed."""
        ...


class Shows(Protocol):
    """`can.shows`: an interaction can be read by its id."""

    async def interaction(self, interaction_id: str) -> Shown | Absent | Unread:
        """One interaction. Raises DestinationUnusable when none could be read."""
        ...


class Shelves(Protocol):
    """Interactions of one target, in shelves of those that may be equal."""

    def of(self, shown: Shown) -> str:
        """The shelf on which an interaction stands."""
        ...

    async def read(self, shelf: str) -> ReadBack:
        """Everything on it."""
        ...

    def likeness(self, stored: Stored) -> Hashable:
        """The same for interactions that nothing tells apart."""
        ...

    def could_be(self, item: Item, stored: Stored) -> bool:
        """Whether `stored` may be what was sent for `item`."""
        ...


class ListsEquals(Protocol[A]):
    """`can.lists_equals`: it can be asked what stands beside an interaction."""

    async def shelves(self, target: str, activation: A | None) -> Shelves | None:
        """Where interactions of `target` stand; None: it has no such target any more. `activation`:
        how they were sent, as far as that is known."""
        ...


class TakesBack(Protocol):
    """`can.takes_back`: an interaction can be deleted by its id."""

    def deletion(self, interaction_id: str) -> Look | None:
        """The request that does so, for a preview; None: it is not shown. Asks nobody."""
        ...

    async def delete(self, interaction_id: str) -> Removal:
        """Take one away; safe to repeat. Raises DestinationUnusable when none could be deleted."""
        ...


class ListsPerson(Protocol):
    """`can.lists_person`: it can be asked for all that it has of somebody."""

    def person(self, name: str) -> str | None:
        """The one writing of `name` where it is itself what the destination knows somebody by;
        else None."""
        ...

    async def of_person(self, person: str, target: str) -> set[str]:
        """The ids of all interactions of `person` there. Raises DestinationUnusable when that is
        not certain."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """The destination says that a schema was created, or deleted."""

    http_status: int


SchemaOutcome = Applied | Refused | NotApplied | Unknown
"""What one request to create or delete a schema can bring."""


class SchemaStore(Protocol):
    """`can.keeps_schemas`: schemas are kept there, and can be created and deleted."""

    async def definition(self, schema_id: str) -> Definition | None:
        """What a live schema consists of. Raises DestinationUnusable."""
        ...

    async def schema_ids(self) -> list[str]:
        """The ids of all live schemas. Raises DestinationUnusable."""
        ...

    async def definitions(self) -> list[Definition]:
        """What every live schema consists of. Raises DestinationUnusable."""
        ...

    async def create_schema(self, definition: Definition) -> SchemaOutcome:
        """Create a schema, by one request. Raises DestinationUnusable."""
        ...

    async def delete_schema(
        self, schema_id: str, last_look: LastLook = nothing_to_see
    ) -> SchemaOutcome:
        """Delete a schema and all that is based on it, once. Raises DestinationUnusable."""
        ...


class Probes(Protocol):
    """`can.probes`: it can be measured how it behaves (connector.destinations.trials)."""

    def probe(self, subject: Subject) -> Probe:
        """A measuring of this destination. Asks nobody yet."""
        ...


class Able(
    Destination[A],
    RemembersRequests,
    LooksUp,
    Shows,
    ListsEquals[A],
    TakesBack,
    ListsPerson,
    SchemaStore,
    Probes,
    Protocol[A],
):
    """A destination as work holds it: with the abilities that `can` names, and no other."""


# --- one kind of destination ----------------------------------------------------------------------

STAYS = (
    "Mails already sent stay sent, and points already given stay given: deleting an interaction"
    " takes back nothing that an automation did because of it."
)


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the project hands to a destination that it builds. `pacer`: the pace of all that use
    the same credentials; `base`: the folder of the project, for files that it names."""

    pacer: Pacer
    base: Path = Path()


S = TypeVar("S", bound=DestinationSettings)
B = TypeVar("B", bound=Activation)


@dataclass(frozen=True, slots=True)
class Kind(Generic[S, B]):
    """What `type:` names in activations.yaml; others ship theirs under the entry point
    `connector.destinations`."""

    name: str
    title: str
    """As people call the API."""
    settings: type[S]
    """The keys of such a destination: a closed grammar, `type` among them."""
    activation: type[B]
    """The keys of an activation that goes there: a closed grammar."""
    can: Callable[[S], Capabilities]
    build: Callable[[S, Wiring], Destination[B]]
    called: str = ""
    """What one of them is called in a sentence, where that is not the title."""
    stays: str = STAYS
    """What deleting an interaction does not take back."""
    forgetting: str = ""
    """How people have a person deleted there, where what is there cannot be listed."""
    hears: Callable[[object], News | None] | None = None
    """What the JSON of a webhook says of contacts (`settings.webhook_key`); None: it sends none."""
    shape: Callable[[B, Path], Shape] | None = None
    """As `Destination.shape`, by the files in a folder; None: there a file has the schema's id."""

    def make(self, settings: S, wiring: Wiring) -> "AnyDestination":
        """A destination as work holds it."""
        return cast("AnyDestination", self.build(settings, wiring))


AnyKind = Kind[Any, Any]
AnyDestination = Able[Any]
