"""Read back what was delivered, and say what is missing, stands twice or is changed.

Writes nothing, neither in the ledger nor at the destination. The ledger keeps no contact of a
delivered row, so its interaction is asked for by its id, which tells the contact. The list of the
contact's interactions then shows what stands twice, and spares asking for the contact's other rows.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import asdict, field
from datetime import timedelta
from hashlib import blake2b

from connector.basis import dataclass
from connector.destinations.port import AnyDestination, Item, References, Shelves
from connector.ledger.records import Delivered
from connector.ledger.reports import Reports
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.errors import DestinationUnusable
from connector.rules.interaction import CREATED, differences_in_meaning
from connector.rules.read_back import Absent, Shown, Stored, Unread
from connector.sync.scope import Scope
from connector.sync.side_by_side import side_by_side

PAGE = 500
MOST_SILENCES_IN_A_ROW = 20
LOTS = 2**64

NO_SCHEMA = "the destination has the schema no more, so nothing could be looked for twice"
CANNOT_LIST = "the destination cannot list what stands beside an interaction"
NOT_LISTED = "the list of the contact's interactions does not show it, so it may not show others"
PRUNED = "its details are pruned from the ledger (ledger.keep)"
IN_DOUBT = (
    "an equal interaction may be that of a row which is on its way or in doubt; a `connector sync`"
    " settles it (and that of a test or a probe the next `connector send` or `connector probe`)"
)


@dataclass(frozen=True, slots=True)
class Missing:
    """The destination has no interaction with the id that it gave. `recent`: it may only not show
    it yet."""

    row_key: str
    interaction_id: str
    recent: bool


@dataclass(frozen=True, slots=True)
class Doubled:
    """`also` are equal interactions that belong to no row. Several equal rows may share them; then
    this is the first of those rows."""

    row_key: str
    interaction_id: str
    also: Sequence[str]


@dataclass(frozen=True, slots=True)
class Changed:
    """The destination shows other content than was sent: in its time, the payload, or both."""

    row_key: str
    interaction_id: str
    differs: Sequence[str]


@dataclass(frozen=True, slots=True)
class StillThere:
    """The destination shows an interaction that a mirror took back. `taken_back`: why that was
    (removed, replaced, not_there); `recent`: it may only be shown still."""

    row_key: str
    interaction_id: str
    taken_back: str
    recent: bool


@dataclass(slots=True)
class Verification:
    """What reading back brought. `rows` stand as delivered by the run, `unverifiable` ones of them
    without an id; `chosen` are to be looked at, and `checked` were found, or found missing. Of a
    mirror's run: how many interactions were `taken_back`, and how many of them looked for."""

    rows: int = 0
    unverifiable: int = 0
    chosen: int = 0
    checked: int = 0
    missing: list[Missing] = field(default_factory=list)
    doubled: list[Doubled] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    taken_back: int = 0
    taken_back_checked: int = 0
    still_there: list[StillThere] = field(default_factory=list)
    incomplete: Counter[str] = field(default_factory=Counter)
    """Why something could not be proven, and of how many rows."""
    examples: dict[str, str] = field(default_factory=dict)
    """The key of the first row for each such reason."""

    @property
    def ok(self) -> bool:
        """Whether everything that was looked at is there, once, and as it was sent; and what was
        taken back is gone."""
        found = self.missing or self.doubled or self.changed or self.still_there
        return not (found or self.incomplete)

    def document(self, run: Document, share: float) -> Document:
        """What reading back `run` brought, for programs; `share` of its rows were asked for."""
        return {
            "run_id": run["run_id"],
            "activation": run["activation"],
            "status": run["status"],
            "ok": self.ok,
            "rows": self.rows,
            "sample": share,
            "checked": self.checked,
            "unverifiable": self.unverifiable,
            "missing": [asdict(each) for each in self.missing],
            "doubled": [asdict(each) for each in self.doubled],
            "changed": [asdict(each) for each in self.changed],
            "taken_back": {"rows": self.taken_back, "checked": self.taken_back_checked},
            "still_there": [asdict(each) for each in self.still_there],
            "incomplete": [
                {"reason": reason, "count": count, "example_key": self.examples[reason]}
                for reason, count in self.incomplete.most_common()
            ],
        }

    def prove_not(self, reason: str, row_key: str) -> None:
        """Something of a row cannot be proven."""
        self.incomplete[reason] += 1
        self.examples.setdefault(reason, row_key)


async def at_once() -> None:
    """Nothing is waited for."""


class Marks:
    """A set of deliveries between two ids, in one bit each: small, however many there are."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._bits = bytearray((last - first) // 8 + 1)

    def covers(self, delivery_id: int) -> bool:
        """Whether a delivery can be marked."""
        return self._first <= delivery_id <= self._last

    def add(self, delivery_id: int) -> None:
        """Mark a delivery."""
        place = delivery_id - self._first
        self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, delivery_id: int) -> bool:
        place = delivery_id - self._first
        return bool(self._bits[place >> 3] >> (place & 7) & 1)


@dataclass(slots=True)
class Verifying:
    """One reading back."""

    scope: Scope
    """What is read back."""
    activation: str
    target: str
    configured: Activation | None
    """The activation as it is configured now, where its rows are still the same."""
    reports: Reports
    destination: AnyDestination
    lag: timedelta
    """How long after its answer an interaction may not show yet."""
    share: float = 1.0
    """How many of the rows are looked at: the same ones each time, at least one."""
    progress: Callable[[int, int], None] = lambda done, total: None
    turn: Callable[[], Awaitable[None]] = at_once
    """Waited for before each interaction, or shelf, is read."""
    met: Callable[[Delivered], None] = lambda row: None
    """Told each row that was found, or found missing."""
    found: Verification = field(default_factory=Verification)
    _shelves: Shelves | None = None
    _why_not: str = ""
    """Why nothing can be looked for twice, where there are no shelves."""
    _until: int = 0
    _began: float = 0.0
    _below: int = LOTS
    _seen: Marks = field(default_factory=lambda: Marks(0, 0))
    _told: set[str] = field(default_factory=set)
    _silences: int = 0

    async def verify(self) -> Verification:
        """Go through the rows once. Raises DestinationUnusable or LedgerUnavailable."""
        self._began, self._until = time.monotonic(), await asyncio.to_thread(self.reports.now)
        await self._choose()
        if self.found.chosen:
            self._why_not = CANNOT_LIST
            if self.destination.can.lists_equals:
                self._shelves = await self.destination.shelves(self.target, self.configured)
                self._why_not = NO_SCHEMA
            async for rows in self._pages():
                await self._page([row for row in rows if self._is_left(row)])
        for lines in (self.found.missing, self.found.doubled, self.found.changed):
            lines.sort(key=lambda line: line.row_key)  # answers came in any order
        return self.found

    async def _pages(self) -> AsyncIterator[list[Delivered]]:
        after = 0
        while rows := await asyncio.to_thread(
            self.scope.rows, self.reports, self._until, after, PAGE
        ):
            after = rows[-1].id
            yield rows

    # --- which rows -----------------------------------------------------------------------------

    async def _choose(self) -> None:
        """Count the rows, and draw the sample."""
        if self.share < 1:
            self._below = await self._sample()
        first = last = 0
        async for rows in self._pages():
            first, last = first or rows[0].id, rows[-1].id
            self.found.rows += len(rows)
            self.found.unverifiable += sum(row.interaction_id is None for row in rows)
            self.found.chosen += sum(self._is_chosen(row) for row in rows)
        self._seen = Marks(first, last)

    async def _sample(self) -> int:
        """The lot below which a row is in the sample; at least one is, if there is any."""
        lowest = LOTS
        async for rows in self._pages():
            lots = (lot(self.scope.seed, row.id) for row in rows if row.interaction_id)
            lowest = min(lowest, min(lots, default=LOTS))
        return max(round(self.share * LOTS), lowest + 1)

    def _is_chosen(self, row: Delivered) -> bool:
        return row.interaction_id is not None and (
            self._below >= LOTS or lot(self.scope.seed, row.id) < self._below
        )

    def _is_left(self, row: Delivered) -> bool:
        return self._seen.covers(row.id) and row.id not in self._seen and self._is_chosen(row)

    def _is_ours(self, row: Delivered) -> bool:
        """Whether it is one of those to be looked at, wherever it was met."""
        mine = row.state is State.DELIVERED and self.scope.covers(row)
        counted = row.changed_at <= self._until and self._seen.covers(row.id)
        return mine and counted and self._is_chosen(row)

    # --- what is there --------------------------------------------------------------------------

    async def _page(self, rows: Sequence[Delivered]) -> None:
        by_shelf: dict[tuple[str, str], list[Delivered]] = defaultdict(list)

        async def one(row: Delivered) -> None:
            if shown := await self._look_up(row):
                shelf = self._shelves.of(shown) if self._shelves else ""
                by_shelf[shelf, shown.contact_id].append(row)

        async def beside(found: tuple[tuple[str, str], list[Delivered]]) -> None:
            (shelf, contact_id), theirs = found
            await self._shelf(shelf, contact_id, theirs)

        await side_by_side(self.destination.concurrency, one, rows)
        await side_by_side(self.destination.concurrency, beside, by_shelf.items())

    async def _look_up(self, row: Delivered) -> Shown | None:
        """Ask for the interaction of `row`; what is shown, if it is there."""
        assert row.interaction_id is not None
        await self.turn()
        match await self.destination.interaction(row.interaction_id):
            case Shown(_, stored) as shown:
                self._silences = 0
                self._compare(row, stored)
                return shown
            case Absent():
                self._silences = 0
                since_then = self._until - row.changed_at + (time.monotonic() - self._began) * 1000
                recent = timedelta(milliseconds=since_then) < self.lag
                self.found.missing.append(Missing(row.row_key, row.interaction_id, recent))
                self._checked(row)
            case Unread(reason, answered):
                self._listen(answered, reason)
                self.found.prove_not(reason, row.row_key)
        return None

    def _compare(self, row: Delivered, stored: Stored) -> None:
        there = stored.created, stored.payload
        differs = differences_in_meaning(row.digest, *there) if row.digest else []
        if differs:
            shown = self.configured.created_shown if self.configured else CREATED
            named = [shown if each == CREATED else each for each in differs]
            self.found.changed.append(Changed(row.row_key, stored.id, named))
        self._checked(row)

    def _checked(self, row: Delivered) -> None:
        self._seen.add(row.id)
        self.found.checked += 1
        self.met(row)
        self.progress(self.found.checked, self.found.chosen)

    def _listen(self, answered: bool, reason: str | None) -> None:
        """Give up on a destination that is silent. Raises DestinationUnusable."""
        self._silences = 0 if answered else self._silences + 1
        if self._silences >= MOST_SILENCES_IN_A_ROW:
            raise DestinationUnusable(
                f"{self._silences} requests in a row got no useful answer (the last: {reason})"
            )

    # --- what stands twice ----------------------------------------------------------------------

    async def _shelf(self, shelf: str, contact_id: str, rows: Sequence[Delivered]) -> None:
        """Look at everything that stands beside `rows`, which may be more rows of the run."""
        if self._shelves is None:
            for row in rows:
                self.found.prove_not(self._why_not, row.row_key)
            return
        await self.turn()
        shown = await self._shelves.read(shelf)
        self._listen(shown.answered, shown.gap)
        by_id = {s.id: s for s in shown.stored}
        owners = await asyncio.to_thread(self.reports.owners, self.activation, list(by_id))
        ours = {i: row for i, row in owners.items() if self._is_ours(row)}
        new = [row for row in ours.values() if row.id not in self._seen]
        for row in new:
            self._compare(row, by_id[row.interaction_id or ""])
        for row in [*rows, *new]:
            if reason := shown.gap or (NOT_LISTED if row.interaction_id not in by_id else None):
                self.found.prove_not(reason, row.row_key)
        # equal interactions are legal as long as each belongs to a row
        groups: dict[Hashable, list[Stored]] = defaultdict(list)
        for stored in shown.stored:
            groups[self._shelves.likeness(stored)].append(stored)
        for group in groups.values():
            mine = [ours[s.id] for s in group if s.id in ours]
            surplus = [s for s in group if s.id not in owners and s.id not in self._told]
            if mine and surplus:
                first = min(mine, key=lambda r: r.id)
                await self._double(self._shelves, contact_id, first, surplus)

    async def _double(
        self, shelves: Shelves, contact_id: str, row: Delivered, surplus: Sequence[Stored]
    ) -> None:
        self._told.update(s.id for s in surplus)
        # in this order: what is settled in between is seen as owned, if no longer as unsettled
        unsettled = await asyncio.to_thread(self.reports.unsettled, self.activation, contact_id)
        ids = [s.id for s in surplus]  # what was deleted may be listed for a while
        owned, trials = await asyncio.to_thread(self.reports.claims, self.activation, ids)
        nobodys = [s for s in surplus if s.id not in owned]
        prefix = self.destination.reference_prefix
        others = [
            Item(each.id, ref, contact_id, each.created_date, each.payload.encode())
            for each in unsettled
            for ref in [References(each.origin, prefix).of(each.row_key)]
        ]
        others += [
            Item(0, each.reference, contact_id, each.created, each.payload)
            for each in trials
            if each.created
        ]
        if any(shelves.could_be(item, s) for item in others for s in nobodys):
            self.found.prove_not(IN_DOUBT, row.row_key)
        elif nobodys:
            also = sorted(s.id for s in nobodys)
            self.found.doubled.append(Doubled(row.row_key, row.interaction_id or "", also))


def lot(seed: str, delivery_id: int) -> int:
    """What a row draws, in 0 to LOTS: at random, and the same whenever it is drawn."""
    drawn = blake2b(f"{seed} {delivery_id}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn)
