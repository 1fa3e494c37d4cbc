"""A flow: one activation with its warehouse, ledger and destination, made once for a verb."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import field, replace
from datetime import timedelta
from typing import ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from connector.basis import dataclass
from connector.destinations.port import Answer, AnyDestination, References
from connector.ledger.home import Home
from connector.ledger.records import Delivery, Identity, Run, Tally
from connector.ledger.store import Ledger
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.contacts import ContactCache
from connector.rules.dbt.gate import Gate
from connector.rules.delivery import Submitted, Unknown
from connector.rules.tempo import Tempo
from connector.rules.window import Window, window_of
from connector.sync.beating import Beat
from connector.sync.health import Health
from connector.sync.lookup import Contacts, contacts_of
from connector.sync.next_runs import NextRuns
from connector.sync.progress import Progress
from connector.sync.side_by_side import Stop
from connector.sync.thread import LedgerThread
from connector.warehouse import Warehouse

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is recorded under one name, and the destination that it went to. The name need not be
    that of an activation any more."""

    name: str
    ledger: Ledger
    beat: Beat
    """Keeps the leases of all runs of this process."""
    thread: LedgerThread
    destination: AnyDestination
    settle_after: timedelta
    """How old an attempt must be before "not there" is believed of it: time-out and lag."""
    stop: Stop
    progress: Progress
    called: str = "the destination"
    """As its users call the API."""
    identity: Identity | None = None
    """What must not change under the name; None: not looked at."""
    tempo: Tempo = field(default_factory=Tempo)
    """Notes how it goes in time."""

    async def call(self, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A method of the ledger, in the one thread that works on it."""
        return await self.thread.call(method, *args, **kwargs)

    async def believed(self, request: int, answer: Answer) -> Answer:
        """What a request brought; nobody knows, where it was answered with the id of another one:
        what becomes of that says nothing of its rows."""
        match answer.whole:
            case Submitted(str(theirs), status):
                if await self.call(self.ledger.is_of_another, request, theirs):
                    reason = f"it was answered with {theirs}, the id of another request"
                    return Answer(Unknown(reason, status))
        return answer

    @asynccontextmanager
    async def leased(self) -> AsyncIterator[Run]:
        """The lease on the name: as long as the context lasts, nobody else works on its rows.
        Raises ConfigurationError when the activation has become another one under its name."""
        mine = (self.ledger, self.beat, self.thread, self.stop)
        async with leased(*mine, self.name, self.identity) as lease:
            yield lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow(Recorded):
    """An activation with all that any verb needs to work on it."""

    activation: Activation
    identity: Identity
    warehouse: Warehouse
    zone: ZoneInfo | None
    """What times without a zone mean in the warehouse."""
    contact_cache: ContactCache
    keep: timedelta | None = None
    """For how long the ledger keeps all that it knows of delivered rows; None: for ever."""
    gate: Gate | None = None
    """Judges what dbt has built of the model; None: it is none of dbt's."""

    @property
    def window(self) -> Window | None:
        """When rows may be sent; None: at any time."""
        return window_of(self.activation, self.zone)

    def may_send(self) -> bool:
        """Whether a row may go out now, by the system's wall clock."""
        window = self.window
        return window is None or window.is_open(clocks.wall())

    def within(self, replacement: int) -> "Flow":
        """The flow for what belongs to the replacement of a schema, which keeps all others away."""
        return replace(self, ledger=self.ledger.within(replacement))

    def contacts(self) -> Contacts:
        """Where contacts are looked up, and what is learnt about them from now on."""

        async def read(destination: str, digests: list[str], span: timedelta) -> dict[str, str]:
            return await self.call(self.ledger.contacts, destination, digests, span)

        there, cache = self.destination, self.contact_cache
        return contacts_of(self.activation, self.warehouse, there, cache, read)


@dataclass(frozen=True, slots=True)
class Orders:
    """What is asked of a run. `limit`: most rows to send; `approve`: let a held run go; `wait`:
    stay until the run's own doubts are settled; `full`: read the whole model; `woken`: read
    nothing, and send only those of these rows (their ids) that wait for a contact; `by`: who asks,
    and approves with `approve`, saying `note`; `shown`: the digest of the rows that they were
    shown, which alone they approve then; `tag`: by which they find the run again; `run_id`: its id,
    where it was told before it begins; `confirmed`: a person has confirmed all that it sends, so
    nobody else has to approve it."""

    limit: int | None = None
    approve: bool = False
    wait: bool = False
    full: bool = False
    woken: frozenset[int] | None = None
    by: str | None = None
    note: str | None = None
    shown: str | None = None
    tag: str | None = None
    run_id: str | None = None
    confirmed: bool = False

    def may_approve(self, approval: str) -> bool:
        """Whether the one who asks lets the run go, where `limits` say who may (`approval`): not
        where they were shown other rows."""
        return self.approve and self.shown is None and (self.confirmed or approval != "other")

    def among(self, waiting: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those of `waiting` that the run is about."""
        woken = self.woken
        return waiting if woken is None else [row for row in waiting if row.id in woken]


@dataclass(frozen=True, slots=True)
class Running:
    """A run that goes on: of which flow, with which orders, as what it is recorded, what it has
    learnt about contacts and of the destination, what has become of its rows so far, and which it
    leaves to the next."""

    flow: Flow
    orders: Orders
    run: Run
    contacts: Contacts
    health: Health
    tally: Tally = field(default_factory=Tally)
    next_runs: NextRuns = field(default_factory=NextRuns)
    sent_before: frozenset[str] = frozenset()
    """References that are there already, though the ledger knows no row of the activation."""
    goes_on: bool = False
    """The run before it had to leave rows to it."""
    home: Home | None = None
    """What was recorded of the activation when it began; None: it does not read the model."""

    @property
    def references(self) -> References:
        """The rows' own references."""
        name = self.run.origin or self.flow.name
        return References(name, self.flow.destination.reference_prefix)


@asynccontextmanager
async def leased(
    ledger: Ledger,
    beat: Beat,
    thread: LedgerThread,
    stop: Stop,
    name: str,
    identity: Identity | None = None,
) -> AsyncIterator[Run]:
    """The lease on `name`, kept and let go of. Raises ActivationBusy; ConfigurationError when
    `identity` is not the one that the ledger knows. When it is lost, `stop` is given."""
    lease = await thread.call(ledger.take_lease, name, identity)
    try:
        async with beat.keeping(lease, stop.now):
            yield lease
    finally:
        await thread.call(ledger.let_go, lease)
