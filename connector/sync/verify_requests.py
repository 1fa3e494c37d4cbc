"""Ask anew about the requests that carried a run's rows, and compare with what the ledger says.

For destinations that show no single interaction, but what became of a request. Writes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, field

from connector.basis import dataclass
from connector.destinations.port import AnyDestination, Doubt, Item, Proof, References
from connector.ledger.carried import Carried, Carrier
from connector.ledger.reports import Reports
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.read_back import (
    Absent,
    Here,
    Split,
    TurnedDown,
    Undecided,
    Underway,
    Unread,
    Verdict,
)
from connector.sync.side_by_side import side_by_side
from connector.sync.verify import LOTS, Verification, lot

COMPARED = (State.DELIVERED, State.REJECTED)
"""What the ledger is certain of, and a destination may say otherwise."""
FORGOTTEN = (
    "its request is not visible any more at the destination, which tells of a request only for a"
    " while; that says nothing against the row"
)
UNCLEAR = "the destination still has its request, and does not tell for certain what became of it"
STILL_GOING = "the destination says that its request is still being processed"
PROCESSED = "rejected in the ledger, processed there"


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The destination says that it did not take a row that is recorded as delivered."""

    row_key: str
    reason: str
    interaction_id: str | None = None
    recent: bool = False


@dataclass(frozen=True, slots=True)
class Otherwise:
    """The destination has processed a row that is recorded as rejected."""

    row_key: str
    differs: Sequence[str] = (PROCESSED,)
    interaction_id: str | None = None


@dataclass(slots=True)
class Requests(Verification):
    """What asking brought. `unverifiable`: rows that went with no request that can be asked for."""

    requests: int = 0
    not_visible: int = 0
    """Those of `requests` that the destination does not know any more."""
    away: list[TurnedAway] = field(default_factory=list)
    otherwise: list[Otherwise] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the destination says of each row what the ledger says."""
        return not (self.away or self.otherwise or self.still_there or self.incomplete)

    def document(self, run: Document, share: float) -> Document:
        """The same as of interactions; `requests` is there besides."""
        by_key = sorted(self.away, key=lambda each: each.row_key)
        others = sorted(self.otherwise, key=lambda each: each.row_key)
        # the class is slotted, which super() without arguments does not survive
        return Verification.document(self, run, share) | {
            "ok": self.ok,
            "missing": [asdict(each) for each in by_key],
            "changed": [asdict(each) for each in others],
            "requests": {"asked": self.requests, "not_visible": self.not_visible},
        }


@dataclass(slots=True)
class AskingAnew:
    """The asking about the requests of one run. `activation`: as it is configured now, or as a
    stranger, where it is not any more."""

    run_id: str
    references: References
    activation: Activation | None
    reports: Reports
    destination: AnyDestination
    share: float = 1.0
    progress: Callable[[int, int], None] = lambda done, total: None
    found: Requests = field(default_factory=Requests)

    async def verify(self) -> Requests:
        """Ask once about each. Raises DestinationUnusable or LedgerUnavailable."""
        carriers = await asyncio.to_thread(self.reports.carriers, self.run_id)
        alone = await asyncio.to_thread(self.reports.delivered_alone, self.run_id)
        self.found.unverifiable = self.found.rows = alone
        chosen = set(self._sample(carriers))
        if chosen and self.activation is not None:
            await self.destination.preflight(self.activation)
        work = []
        for carrier in carriers:
            rows = await asyncio.to_thread(self.reports.carried, carrier.id)
            self.found.rows += sum(row.state is State.DELIVERED for row in rows)
            if carrier.id in chosen:
                self.found.chosen += sum(row.state in COMPARED for row in rows)
                work.append((carrier, rows))
        await side_by_side(self.destination.concurrency, self._one, work)
        return self.found

    def _sample(self, carriers: Sequence[Carrier]) -> list[int]:
        """A share of the requests: the same ones each time, at least one."""
        drawn = sorted((lot(self.run_id, each.id), each.id) for each in carriers)
        return [number for at, (value, number) in enumerate(drawn)
                if not at or value < self.share * LOTS]  # fmt: skip

    async def _one(self, work: tuple[Carrier, list[Carried]]) -> None:
        carrier, rows = work
        told = [row for row in rows if row.state in COMPARED]
        if not told:
            return
        self.found.requests += 1
        doubts = [self._asked(carrier, row) for row in rows]
        verdicts = await self.destination.settle(self.activation, doubts, self._owned)
        self.found.not_visible += all(isinstance(v, Absent | Split) for v in verdicts.values())
        for row in told:
            self._compare(row, verdicts)
        self.progress(self.found.checked, self.found.chosen)

    def _asked(self, carrier: Carrier, row: Carried) -> Doubt:
        """As if nothing were known of the request, so that its absence is told as such."""
        item = Item(row.id, self.references.of(row.row_key), "", "", b"{}", row.place)
        return Doubt(item, carrier.name, carrier.age, rows=carrier.rows, proof=Proof.REQUEST)

    async def _owned(self, ids: Sequence[str]) -> set[str]:
        return set()

    def _compare(self, row: Carried, verdicts: Mapping[int, Verdict]) -> None:
        delivered = row.state is State.DELIVERED
        match verdicts[row.id]:
            case Here():
                self.found.checked += 1
                if not delivered:
                    self.found.otherwise.append(Otherwise(row.row_key))
            case TurnedDown(reason):
                self.found.checked += 1
                if delivered:
                    self.found.away.append(TurnedAway(row.row_key, reason))
            case Absent() | Split():
                # a row that is rejected for a refusal of its request is right to be nowhere
                if delivered:
                    self.found.prove_not(FORGOTTEN, row.row_key)
            case Underway():
                self.found.prove_not(STILL_GOING, row.row_key)
            case Undecided(reason, lasting):
                self.found.prove_not(UNCLEAR if lasting else reason, row.row_key)
            case Unread(reason):
                self.found.prove_not(reason, row.row_key)
