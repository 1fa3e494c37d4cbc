"""A test kit that every destination must pass: whoever writes one runs it against a sandbox.

A `Bench` is a sandbox of the API that can be told to fail. With pytest::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_conforms(check, bench):
        asyncio.run(check(KIND, bench))

Each check raises AssertionError with a sentence that says which promise does not hold.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from itertools import count
from typing import Any, Protocol

from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.pacing import Pacer
from connector.destinations.port import (
    AnyDestination,
    AnyKind,
    Doubt,
    Item,
    Parcel,
    Proof,
    Wiring,
)
from connector.rules.activation import Activation
from connector.rules.delivery import (
    Accepted,
    NotApplied,
    Outcome,
    Refused,
    Removed,
    Submitted,
    Unknown,
    Withheld,
)
from connector.rules.errors import DestinationUnusable, KeyRefused
from connector.rules.read_back import Absent, Here, Shown, Underway, Verdict


class Fault(StrEnum):
    """What becomes of a request that would store a row."""

    LOST_BEFORE = "lost_before"
    """The connection breaks, and nothing is stored."""
    LOST_AFTER = "lost_after"
    """It is stored, and the connection breaks before the answer."""
    ERROR_BEFORE = "error_before"
    """503, and nothing is stored."""
    ERROR_AFTER = "error_after"
    """503, although it is stored."""
    PAGE_AFTER = "page_after"
    """It is stored, and the answer is a success with a page of HTML."""
    BUSY = "busy"
    """429, and nothing is stored."""
    NOT_LET_IN = "not_let_in"
    """401, and nothing is stored."""
    REFUSED = "refused"
    """The API's own refusal of a row, in words that hold every secret of the request."""


STORES = {Fault.LOST_AFTER, Fault.ERROR_AFTER, Fault.PAGE_AFTER}


class Bench(Protocol):
    """A sandbox of an API, with nothing in it when a check begins."""

    settings: Mapping[str, Any]
    """The keys of the destination in activations.yaml."""
    activation: Mapping[str, Any]
    """The keys of an activation that goes there."""
    contact: str
    """A contact, as the API takes it."""
    payloads: Sequence[bytes]
    """Two payloads that differ."""

    def fail(self, fault: Fault | None) -> None:
        """From now on each request that would store a row ends so; None: as it should."""

    def stored(self) -> int:
        """How many interactions there are: the truth, whatever was answered. A bench of an API that
        processes later has a `finish`, too, which lets it do so now."""
        ...

    def last_request(self) -> tuple[str, str, bytes]:
        """Method, url and body of the last request that would store a row."""
        ...


Check = Callable[[AnyKind, Bench], Coroutine[Any, Any, None]]
NUMBERS = count(1)
OLD = timedelta(days=1)


class Player:
    """A destination on a bench, and the rows that are sent to it."""

    def __init__(self, kind: AnyKind, bench: Bench) -> None:
        settings = kind.settings.model_validate(dict(bench.settings))
        self.activation: Activation = kind.activation.model_validate(dict(bench.activation))
        self.activation = self.activation.named("conformance")
        self.bench, self.can = bench, kind.can(settings)
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
        body = self.bench.payloads[payload]
        return Item(number, f"row{number}", self.bench.contact, created, body)

    def stored(self) -> int:
        """How many interactions there are, once all is processed that was taken over."""
        getattr(self.bench, "finish", lambda: None)()
        return self.bench.stored()

    async def send(self, item: Item, last_look: LastLook = nothing_to_see) -> Outcome:
        """What came of sending one row."""
        await self.there.wire.come_near()
        return (await self.there.send(self.activation, parcel(item), last_look)).of(
            item.delivery_id
        )

    async def settle(self, *items: Item, submitted: bool = False) -> Mapping[int, Verdict]:
        """What is said of rows in doubt, all of one drawer."""
        doubts = [Doubt(item, parcel(item).reference, OLD, submitted=submitted) for item in items]
        return await self.there.settle(self.activation, doubts, self._owned)

    async def _owned(self, ids: Sequence[str]) -> set[str]:
        return set(ids) & self.owned


def parcel(item: Item) -> Parcel:
    """What one request carries."""
    return Parcel(item.reference, (item,))


# --- the checks -----------------------------------------------------------------------------------


async def what_it_can_is_told_before_it_is_built(kind: AnyKind, bench: Bench) -> None:
    """`can` of the kind is that of the destination, and there is a method for each ability."""
    async with Player(kind, bench) as play:
        assert play.can == play.there.can, "the kind says otherwise what it can"
        methods = {
            "looks_up": "look_up",
            "shows": "interaction",
            "lists_equals": "shelves",
            "takes_back": "delete",
            "lists_person": "of_person",
            "keeps_schemas": "create_schema",
        }
        for ability, method in methods.items():
            has = hasattr(play.there, method)
            assert has or not getattr(play.can, ability), f"{ability}, and there is no {method}"


async def what_is_composed_is_what_is_sent(kind: AnyKind, bench: Bench) -> None:
    """A preview shows the request byte for byte."""
    async with Player(kind, bench) as play:
        item = play.item()
        look = play.there.compose(play.activation, parcel(item))
        assert look == play.there.compose(play.activation, parcel(item)), (
            "composed twice, not alike"
        )
        await play.send(item)
        sent = bench.last_request()
        assert sent == (look.method, look.url, look.body), "what was sent is not what was composed"


async def an_accepted_row_is_stored_once(kind: AnyKind, bench: Bench) -> None:
    """And has an id, where there are ids; or it is taken over, and can be asked about."""
    async with Player(kind, bench) as play:
        item = play.item()
        outcome = await play.send(item)
        stored = play.stored()
        assert stored == 1, f"{stored} are stored of one that was accepted"
        if isinstance(outcome, Submitted) and play.can.proof is Proof.REQUEST:
            verdict = (await play.settle(item, submitted=True))[item.delivery_id]
            assert isinstance(verdict, Here | Underway), f"taken over, and told as {verdict}"
            return
        assert isinstance(outcome, Accepted), f"a good row was not accepted: {outcome}"
        assert bool(outcome.interaction_id) == play.can.gives_ids


async def no_answer_is_taken_for_more_than_it_proves(kind: AnyKind, bench: Bench) -> None:
    """Whatever goes wrong, before or after storing: nothing twice, nothing lost."""
    async with Player(kind, bench) as play:
        for fault in (*STORES, Fault.LOST_BEFORE, Fault.ERROR_BEFORE, Fault.BUSY):
            await _is_settled_by_what_is_there(play, fault)


async def _is_settled_by_what_is_there(play: Player, fault: Fault) -> None:
    before, item = play.stored(), play.item()
    play.bench.fail(fault)
    outcome = await play.send(item)
    play.bench.fail(None)
    there = play.stored() - before
    assert there == (fault in STORES), f"{fault}: the bench stored {there}"
    has_it = Accepted | Submitted
    if there:
        assert isinstance(outcome, Unknown | has_it), f"{fault}: stored, and taken for {outcome}"
    else:
        assert not isinstance(outcome, has_it), f"{fault}: not stored, and taken for accepted"
    if not isinstance(outcome, Unknown) or play.can.proof is Proof.NONE:
        return
    verdict = (await play.settle(item))[item.delivery_id]
    if there:
        assert isinstance(verdict, Here), f"{fault}: stored, and read back as {verdict}"
        play.owned.add(verdict.interaction_id or "")
    else:
        assert isinstance(verdict, Absent), f"{fault}: not stored, and read back as {verdict}"


async def what_belongs_to_a_row_settles_no_other(kind: AnyKind, bench: Bench) -> None:
    """An equal row that was delivered is not found a second time."""
    async with Player(kind, bench) as play:
        if play.can.proof is not Proof.ROW:
            return
        play.owned.add(await _accepted(play))
        item = play.item()
        verdict = (await play.settle(item))[item.delivery_id]
        assert isinstance(verdict, Absent), f"another row's interaction was taken: {verdict}"


async def nothing_goes_out_against_the_last_look(kind: AnyKind, bench: Bench) -> None:
    """A reason in the last look keeps every byte from being written."""
    async with Player(kind, bench) as play:
        outcome = await play.send(play.item(), lambda: "it is too late")
        assert isinstance(outcome, Withheld), f"not held back: {outcome}"
        assert play.stored() == 0, "it was sent against the last look"


async def credentials_that_are_refused_burn_no_row(kind: AnyKind, bench: Bench) -> None:
    """All rows would be refused, so the run stops; or they go again with new ones."""
    async with Player(kind, bench) as play:
        bench.fail(Fault.NOT_LET_IN)
        for _ in range(3):
            try:
                outcome = await play.send(play.item())
            except KeyRefused:
                return
            assert isinstance(outcome, NotApplied), f"401 was taken for {outcome}"
            assert outcome.again, "401: neither a stop nor another try"
        raise AssertionError("401 again and again, and the run does not stop")


async def no_secret_is_told(kind: AnyKind, bench: Bench) -> None:
    """Not even where the API's own words hold it."""
    async with Player(kind, bench) as play:
        bench.fail(Fault.REFUSED)
        try:
            outcome = await play.send(play.item())
        except DestinationUnusable as unusable:
            outcome = Refused(str(unusable))
        # of a request that can be asked about, a refusal is told only then
        refused = Refused | Unknown if play.can.proof is Proof.REQUEST else Refused
        assert isinstance(outcome, refused), f"a refusal was taken for {outcome}"
        for secret in play.there.credentials.secrets:
            assert secret not in outcome.reason, "a secret stands in what people read"


async def what_is_shown_is_what_was_sent(kind: AnyKind, bench: Bench) -> None:
    """By its id; and what is not there is said to be absent."""
    async with Player(kind, bench) as play:
        if not play.can.shows:
            return
        name = await _accepted(play)
        shown = await play.there.interaction(name)
        assert isinstance(shown, Shown), f"what was accepted is shown as {shown}"
        assert shown.stored.id.lower() == name.lower()


async def what_is_taken_back_is_gone(kind: AnyKind, bench: Bench) -> None:
    """Deleting twice is safe."""
    async with Player(kind, bench) as play:
        if not play.can.takes_back:
            return
        name = await _accepted(play)
        assert await play.there.delete(name) == Removed(found=True)
        assert bench.stored() == 0, "it is still there"
        assert await play.there.delete(name) == Removed(found=False)
        if play.can.shows:
            assert isinstance(await play.there.interaction(name), Absent)


async def _accepted(play: Player) -> str:
    """The id of a row that was sent and accepted."""
    outcome = await play.send(play.item())
    assert isinstance(outcome, Accepted), f"a good row was not accepted: {outcome}"
    assert outcome.interaction_id is not None, "it gives ids, and gave none"
    return outcome.interaction_id


CHECKS: Sequence[Check] = (
    what_it_can_is_told_before_it_is_built,
    what_is_composed_is_what_is_sent,
    an_accepted_row_is_stored_once,
    no_answer_is_taken_for_more_than_it_proves,
    what_belongs_to_a_row_settles_no_other,
    nothing_goes_out_against_the_last_look,
    credentials_that_are_refused_burn_no_row,
    no_secret_is_told,
    what_is_shown_is_what_was_sent,
    what_is_taken_back_is_gone,
)
