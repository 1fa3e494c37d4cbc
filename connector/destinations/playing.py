"""What the conformance kit plays with: a destination on a bench, and rows that are sent to it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import count
from uuid import NAMESPACE_OID, uuid5

from connector.destinations.bench import Bench, Fault
from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.pacing import Pacer
from connector.destinations.port import (
    AnyDestination,
    AnyKind,
    Doubt,
    Item,
    Parcel,
    Proof,
    References,
    Wiring,
)
from connector.destinations.settings import DestinationSettings
from connector.rules.activation import Activation
from connector.rules.delivery import Accepted, Outcome
from connector.rules.read_back import Here, Verdict

NUMBERS = count(1)
OLD = timedelta(days=1)


class Player:
    """A destination on a bench, and the rows that are sent to it."""

    def __init__(self, kind: AnyKind, bench: Bench) -> None:
        settings = kind.settings.model_validate(dict(bench.settings))
        self.activation: Activation = kind.activation.model_validate(dict(bench.activation))
        self.activation = self.activation.named("conformance")
        self.bench, self.can = bench, kind.can(settings)
        self.settings: DestinationSettings = settings
        self.there: AnyDestination = kind.make(settings, Wiring(Pacer(1000)))
        self.owned: set[str] = set()

    async def __aenter__(self) -> "Player":
        await self.there.preflight(self.activation)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.there.aclose()

    def item(self, payload: int = 0) -> Item:
        """A new row."""
        number = next(NUMBERS)
        created = "2026-11-01T10:00:00.000Z"
        body, reference = self.bench.payloads[payload], References("conformance").of(str(number))
        return Item(number, reference, self.bench.contact, created, body)

    def parcel(self, item: Item) -> Parcel:
        """What one request carries. Its own reference is not the row's."""
        mine = f"{item.reference}.1"
        if self.can.proof is Proof.REQUEST:
            mine = str(uuid5(NAMESPACE_OID, mine))
        return Parcel(mine, (item,))

    async def send(self, item: Item, last_look: LastLook = nothing_to_see) -> Outcome:
        """What came of sending one row."""
        await self.there.wire.come_near()
        answer = await self.there.send(self.activation, self.parcel(item), last_look)
        return answer.of(item.delivery_id)

    async def fare(self, fault: Fault | None, item: Item) -> Outcome:
        """What came of sending one row whose request ends in `fault`."""
        self.bench.fail(fault)
        try:
            return await self.send(item)
        finally:
            self.bench.fail(None)

    async def settle(self, *items: Item) -> Mapping[int, Verdict]:
        """What is said of rows in doubt: drawer by drawer, as a run asks, and what is found belongs
        to its row from then on."""
        drawers: dict[str, list[Doubt]] = defaultdict(list)
        for item in items:
            doubt = Doubt(item, self.parcel(item).reference, OLD)
            drawers[self.there.drawer(doubt)].append(doubt)
        found: dict[int, Verdict] = {}
        for doubts in drawers.values():
            found |= await self.verdicts(*doubts)
        return found

    async def verdicts(self, *doubts: Doubt) -> Mapping[int, Verdict]:
        """What is said of doubts of one drawer."""
        said = await self.there.settle(self.activation, doubts, self._owned)
        asked = {doubt.item.delivery_id for doubt in doubts}
        assert set(said) == asked, f"of {len(asked)} rows in doubt, {len(said)} were judged"
        for verdict in said.values():
            if isinstance(verdict, Here) and verdict.interaction_id:
                taken = verdict.interaction_id in self.owned
                assert not taken, f"another row's interaction was taken: {verdict}"
                self.owned.add(verdict.interaction_id)
        return said

    async def accepted(self, payload: int = 0) -> tuple[Item, str]:
        """A row that was sent and accepted, and its id."""
        item = self.item(payload)
        outcome = await self.send(item)
        assert isinstance(outcome, Accepted), f"a good row was not accepted: {outcome}"
        assert outcome.interaction_id is not None, "it gives ids, and gave none"
        self.owned.add(outcome.interaction_id)
        return item, outcome.interaction_id

    async def _owned(self, ids: Sequence[str]) -> set[str]:
        return set(ids) & self.owned
