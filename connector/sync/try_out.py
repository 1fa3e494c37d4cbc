"""One test send: the interaction of a row goes to a test contact, is looked at, and taken back.

It is a trial (connector.rules.trial): on record before its first byte, and no row's.
"""

from collections.abc import Sequence
from dataclasses import field

import orjson

from connector.basis import dataclass
from connector.destinations.port import Answer, Look, Parcel
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import Accepted, NotApplied, Outcome, Unknown
from connector.rules.errors import ConfigurationError, DestinationUnusable
from connector.rules.interaction import instant_text
from connector.rules.properties import Ours, Sides, compare, time_text
from connector.rules.read_back import Absent, Shown, Unread
from connector.rules.trial import LeftTrial, Trial
from connector.sync.leftovers import Ended, Known, Leftovers, Stuck, Wait
from connector.sync.trials import TrialBook

STANDS_ALREADY = (
    "at this contact there is an interaction already that looks like this one to the letter, and"
    " that this ledger knows nothing of ({ids}): if the test were cut off, nobody could tell them"
    " apart. Nothing was sent; send it to another contact"
)
CANNOT_SHOW = "there what was sent cannot be read back"
NOT_SHOWN = "the destination did not show it within {seconds:.0f} s"


@dataclass(slots=True)
class Tried:
    """What came of a test send. `shown`: as the destination shows it; `visible_after`: seconds from
    the answer to that; `hidden`: why it could not be looked at."""

    outcome: Outcome | None = None
    interaction_id: str | None = None
    shown: Shown | None = None
    visible_after: float | None = None
    hidden: str = ""
    sides: Sequence[Sides] = ()
    taken_back: bool = False
    kept: bool = False
    stuck: list[str] = field(default_factory=list)
    """What is left, and why."""


@dataclass(frozen=True, slots=True)
class TryOut:
    """How one is made: at which destination (`leftovers`), for which activation, whether it is to
    stay, and what came of it."""

    leftovers: Leftovers
    activation: Activation
    keep: bool
    tried: Tried = field(default_factory=Tried)

    @property
    def book(self) -> TrialBook:
        return self.leftovers.book

    async def send(self, trial: Trial, parcel: Parcel) -> Tried:
        """All of it. What stops it is raised; what had come of it by then stands in `tried`."""
        if already := await self.leftovers.stands_already(trial):
            raise ConfigurationError(STANDS_ALREADY.format(ids=", ".join(already[:3])))
        number = await self._sent(trial, parcel)
        left = await self._left(number)
        if left is None:  # it was not stored
            return self.tried
        if not self.book.destination.can.shows:
            self.tried.hidden = CANNOT_SHOW
        elif left.interaction_id is None:
            left = await self._found(left)
        if left is not None and left.interaction_id is not None:
            self.tried.interaction_id = left.interaction_id
            await self._look(left.interaction_id, parcel)
        if left is not None:
            await self._end(left)
        return self.tried

    async def _sent(self, trial: Trial, parcel: Parcel) -> int:
        there, stop = self.book.destination, self.leftovers.stop
        await there.wire.come_near(lambda: stop.asked)
        try:
            number = await self.book.open(trial)
        except BaseException:
            there.wire.go_away()
            raise
        try:
            look = self.book.last_look(number)
            answer = await there.send(self.activation, parcel, look)
        except DestinationUnusable as unusable:  # it was certainly not stored
            await self.book.close(number, None, NotApplied(str(unusable), unusable.http_status))
            raise
        self.tried.outcome = await self._closed(number, answer)
        return number

    async def _closed(self, number: int, answer: Answer) -> Outcome:
        outcome = answer.of(0)
        name = outcome.interaction_id if isinstance(outcome, Accepted) else None
        if await self.book.close(number, name, outcome):
            return outcome
        why = f"HTTP {outcome.http_status} with the id of an interaction that is another's"
        return Unknown(why, outcome.http_status)

    async def _left(self, number: int) -> LeftTrial | None:
        return next((each for each in await self.book.left() if each.number == number), None)

    async def _found(self, left: LeftTrial) -> LeftTrial | None:
        """What became of it, where the answer does not say: by what the destination lists."""
        self.leftovers.tell("The answer does not say what became of it: looking for it there.")
        while True:
            match await self.leftovers.search(left):
                case Known():
                    return await self._left(left.number)
                case Ended():
                    return None
                case Stuck(reason):
                    self.tried.stuck.append(reason)
                    return None
                case Wait(span):
                    await self.leftovers.pause(span)
                    left = await self._left(left.number) or left

    async def _look(self, interaction_id: str, parcel: Parcel) -> None:
        """Until the destination shows it, or it has had its time."""
        there, since = self.book.destination, clocks.now()
        if not there.can.shows:
            return
        most = self.book.settle_after.total_seconds()
        while True:
            match await there.interaction(interaction_id):
                case Shown() as shown:
                    self._shown(shown, parcel)
                    self.tried.visible_after = round(since.shortest_until(clocks.now()), 3)
                    return
                case Unread(reason):
                    self.tried.hidden = reason
                case Absent():
                    self.tried.hidden = NOT_SHOWN.format(seconds=most)
            if since.shortest_until(clocks.now()) > most:
                return
            await self.leftovers.pause_briefly(since)

    def _shown(self, shown: Shown, parcel: Parcel) -> None:
        (item,), there = parcel.items, self.book.destination
        shown_at = instant_text(self.activation.shown_at(item.created_at))
        ours = Ours(item.contact, shown_at, orjson.loads(item.payload))
        plain = there.plain_contact if there.can.looks_up else str
        same = plain(shown.contact_id) == plain(item.contact)
        self.tried.shown, self.tried.hidden = shown, ""
        self.tried.sides = compare(ours, shown, same, self.activation.created_shown)

    async def _end(self, left: LeftTrial) -> None:
        if self.keep:
            await self.book.kept(left.number)
            self.tried.kept = True
            return
        match await self.leftovers.bring_to_its_end(left):
            case Stuck(reason):
                self.tried.stuck.append(reason)
            case Ended():
                self.tried.taken_back = True


def request_document(look: Look) -> Document:
    """A request as it is shown: its body as JSON, or as the fields of a form."""
    return {"method": look.method, "url": look.url, "body": look.content()}


def shown_document(shown: Shown | None, created_name: str) -> Document | None:
    """An interaction as the destination shows it."""
    if shown is None:
        return None
    created = shown.stored.created
    return {
        "id": shown.stored.id,
        "contactId": shown.contact_id,
        created_name: None if created is None else time_text(created),
        "payload": dict(shown.stored.payload),
    }
