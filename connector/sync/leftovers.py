"""What trials have made is found again and taken back, whoever was killed meanwhile.

A trial whose id is known is read by it and deleted, if it is ours. Of one whose answer was lost
nobody knows whether it got there: it is looked for among what stands beside it, and counted against
the rows that look the same, which come first: a row is never left without its interaction. Nothing
that a row owns is deleted.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import orjson

from connector.basis import dataclass
from connector.destinations.port import Item, References, Shelves
from connector.ledger.trials import UnsettledRow
from connector.rules import clocks
from connector.rules.clocks import Moment
from connector.rules.delivery import NotApplied, Refused, Removed, Unknown
from connector.rules.errors import DestinationUnusable, Interrupted
from connector.rules.read_back import Absent, ReadBack, Shown, Stored, Unread
from connector.rules.trial import Aim, LeftTrial, Trial
from connector.sync.side_by_side import Stop
from connector.sync.sweep import not_known_again
from connector.sync.trials import TrialBook

LOOK_AGAIN = timedelta(seconds=1)
YOUNG = timedelta(seconds=30)
"""So old is what a destination would have deleted: before, a refusal may mean "not yet"."""
NEVER = timedelta(seconds=-1)
INTERRUPTED = "interrupted; what is left at the destination is on record, and the next call goes on"


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial is at its end. `found`: there was something to be taken back."""

    found: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """It cannot be told yet."""

    span: timedelta


@dataclass(frozen=True, slots=True)
class Stuck:
    """Asking again will not help: a person has to look."""

    reason: str


@dataclass(frozen=True, slots=True)
class Known:
    """Where it stands is known: under this id."""

    interaction_id: str


Step = Ended | Wait | Stuck
Search = Known | Step


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What came of trials that earlier calls had left. `going_on`: those of calls that may be at
    work on them still."""

    removed: int = 0
    absent: int = 0
    stuck: tuple[str, ...] = ()
    going_on: int = 0

    @property
    def sentences(self) -> list[str]:
        """What a person should know of it."""
        said = []
        if self.removed:
            said.append(f"{self.removed} left by an earlier call: found, and taken back.")
        if self.absent:
            said.append(f"{self.absent} of an earlier call that was cut off: it never got there.")
        if self.going_on:
            said.append(f"{self.going_on} of another call that may be going on: left alone.")
        return [*said, *self.stuck]


@dataclass(frozen=True, slots=True)
class Leftovers:
    """The cleaning up of one destination. `tell`: told what is waited for."""

    book: TrialBook
    stop: Stop
    tell: Callable[[str], None] = lambda sentence: None

    async def clean(self) -> Cleaned:
        """Bring every trial that was left to its end. Raises DestinationUnusable, Interrupted."""
        removed = absent = going_on = 0
        stuck: list[str] = []
        for left in await self.book.left():
            if left.living:
                going_on += 1
                continue
            match await self.bring_to_its_end(left):
                case Ended(found):
                    removed, absent = removed + found, absent + (not found)
                case Stuck(reason):
                    stuck.append(reason)
        return Cleaned(removed, absent, tuple(stuck), going_on)

    async def bring_to_its_end(self, left: LeftTrial) -> Ended | Stuck:
        """Until it is gone, or known never to have got there. Raises as `clean` does."""
        told = False
        while True:
            step = await self._step(left)
            if not isinstance(step, Wait):
                return step
            if not told:
                self.tell(
                    "Waiting until what was left at the destination is shown there, or known not to"
                    f" be (up to {self.book.settle_after.total_seconds():.0f} s)."
                )
                told = True
            await self.pause(step.span)
            left = await self._again(left)

    async def pause(self, span: timedelta) -> None:
        """Wait so long, or until somebody asks to stop. Raises Interrupted."""
        await self.stop.wait(min(span, LOOK_AGAIN))
        if self.stop.asked:
            raise Interrupted(INTERRUPTED)

    async def pause_briefly(self, since: Moment) -> None:
        """A pause that grows with the time that has passed. Raises Interrupted."""
        passed = since.shortest_until(clocks.now())
        await self.pause(timedelta(seconds=min(1.0, max(0.05, passed / 4))))

    async def _again(self, left: LeftTrial) -> LeftTrial:
        """As it stands now; what is at its end elsewhere stays as it was, to be found gone."""
        return next((each for each in await self.book.left() if each.number == left.number), left)

    async def _step(self, left: LeftTrial) -> Step:
        if left.trial.aim is Aim.SCHEMA:
            return await self._without_schema(left)
        if left.interaction_id is not None:
            return await self.take_back(left, left.interaction_id)
        match await self.search(left):
            case Known(interaction_id):
                return await self.take_back(left, interaction_id)
            case step:
                return step

    # --- what is under an id ----------------------------------------------------------------------

    async def take_back(self, left: LeftTrial, interaction_id: str) -> Step:
        """Delete it, if it is ours, and see that it is gone."""
        there, asked = self.book.destination, clocks.now()
        if await self.book.is_a_rows(interaction_id):
            return Stuck(f"the interaction {interaction_id} is a row's: it was left as it is")
        if there.can.shows:
            match await there.interaction(interaction_id):
                case Absent():
                    return await self._gone(left, asked)
                case Unread(reason):
                    raise DestinationUnusable(f"what was left cannot be read: {reason}")
                case Shown() as shown if not await self._is_ours(left.trial, shown):
                    return Stuck(
                        f"the interaction {interaction_id} was the answer to a test, and is another"
                        " one by what it says: it was left as it is; look at it there"
                    )
        match await there.delete(interaction_id):
            case Removed(found=True):
                return await self._confirmed(left, interaction_id)
            case Removed():
                return await self._gone(left, asked)
            case Refused() if left.age < YOUNG:
                return Wait(LOOK_AGAIN)
            case Refused(reason):
                return Stuck(f"the interaction {interaction_id} is not taken back: {reason}")
            case Unknown(reason):
                raise DestinationUnusable(f"what was left cannot be taken back: {reason}")

    async def _gone(self, left: LeftTrial, asked: Moment) -> Step:
        """It is not there; as soon as it can be no more, it is gone."""
        if (rest := self.book.believed_in(left, asked)) >= timedelta(0):
            await self.book.saw(left)
            return Wait(rest)
        await self.book.removed(left.number)
        return Ended(found=True)

    async def _confirmed(self, left: LeftTrial, interaction_id: str) -> Step:
        """It was deleted: until it is not shown any more."""
        since = clocks.now()
        while self.book.destination.can.shows:
            match await self.book.destination.interaction(interaction_id):
                case Absent():
                    break
                case Unread(reason):
                    raise DestinationUnusable(f"whether it is gone cannot be read: {reason}")
            if since.shortest_until(clocks.now()) > self.book.settle_after.total_seconds():
                return Stuck(f"{interaction_id} was deleted, and is shown still; look at it there")
            await self.pause(LOOK_AGAIN / 4)
        await self.book.removed(left.number)
        return Ended(found=True)

    async def _is_ours(self, trial: Trial, shown: Shown) -> bool:
        """By its contact, or where contacts were merged by what it says."""
        if self._same_contact(shown.contact_id, trial.contact):
            return True
        shelves = await self._shelves(trial)
        return shelves is not None and shelves.could_be(_item(trial), shown.stored)

    async def _without_schema(self, left: LeftTrial) -> Step:
        there, target = self.book.destination, left.trial.target
        definition = await there.definition(target)
        if definition is not None:
            if definition.display_name != left.trial.reference:
                await self.book.absent(left.number)
                return Stuck(not_known_again(target))
            match await there.delete_schema(target):
                case Refused(reason) | NotApplied(reason) | Unknown(reason):
                    return Stuck(f"the schema {target} of a probe is not deleted: {reason}")
        elif target in await there.schema_ids():
            raise DestinationUnusable(f"the schema {target} is listed, and not shown by its id")
        within = [
            each.number
            for each in await self.book.left()
            if each.trial.target == target and not each.living
        ]
        await self.book.removed(left.number, *within)
        return Ended(found=True)

    # --- what is under no id ----------------------------------------------------------------------

    async def search(self, left: LeftTrial) -> Search:
        """Find what a trial has made whose answer was lost."""
        trial, asked = left.trial, clocks.now()
        alike = [each for each in await self.book.left() if _equal(each, left)]
        if any(each.living and each.number != left.number for each in alike):
            return Wait(LOOK_AGAIN)
        shelves = await self._shelves(trial)
        if shelves is None:
            return Stuck(
                "what a test has left cannot be looked for: the destination lists nothing, or its"
                f' schema "{trial.target}" is gone'
            )
        is_like = partial(self._is_like, trial, shelves)
        rows = [row for row in await self.book.unsettled() if is_like(row)]
        read = await shelves.read(shelves.of(Shown(trial.contact, _stored(trial))))
        free = sorted(await self._free(trial, shelves, read))
        if read.gap and not read.answered:
            raise DestinationUnusable(f"what was left cannot be looked for: {read.gap}")
        if read.gap:
            return Stuck(f"what a test has left cannot be looked for: {read.gap}")
        seen = _Seen(len(alike), rows, free, asked, is_like)
        return await self._judged(left, seen)

    async def _judged(self, left: LeftTrial, seen: "_Seen") -> Search:
        """What is there is counted: first of the rows, then of the trials."""
        of_rows, number = len(seen.rows), len(seen.free)
        if number > of_rows + seen.trials:
            return Stuck(
                f"{number} interactions at the destination could be what a test has left:"
                f" {', '.join(seen.free)}. Look at them there; nothing was deleted"
            )
        # with rows about, one may be on its way still, so that the count would be another
        counted: list[LeftTrial | UnsettledRow] = (
            [*seen.rows, left] if of_rows or not number else []
        )
        rests = [self.book.believed_in(each, seen.asked) for each in counted]
        rest = max(rests, default=NEVER)
        if rest >= timedelta(0):
            await self.book.saw(left)
            return Wait(rest)
        if number <= of_rows:
            await self.book.absent(left.number)
            return Ended(found=False)
        name, known = seen.free[-1], {(row.id, row.attempt) for row in seen.rows}

        def is_new(row: UnsettledRow) -> bool:
            return (row.id, row.attempt) not in known and seen.is_like(row)

        if await self.book.adopt(left.number, name, is_new):
            return Known(name)
        return Wait(LOOK_AGAIN)

    async def stands_already(self, trial: Trial) -> list[str]:
        """What is there already, looks like the trial to the letter, and belongs to nobody that
        is known here. Raises DestinationUnusable where that cannot be seen."""
        shelves = await self._shelves(trial)
        if shelves is None:
            return []
        rows = [r for r in await self.book.unsettled() if self._is_like(trial, shelves, r)]
        read = await shelves.read(shelves.of(Shown(trial.contact, _stored(trial))))
        if read.gap:
            raise DestinationUnusable(
                f"what stands there cannot be listed ({read.gap}), so a test that was cut off"
                " could not be found again; nothing was sent"
            )
        free = await self._free(trial, shelves, read)
        return free if len(free) > len(rows) else []

    def _same_contact(self, one: str, other: str) -> bool:
        there = self.book.destination
        plain = there.plain_contact if there.can.looks_up else str
        return plain(one) == plain(other)

    def _is_like(self, trial: Trial, shelves: Shelves, row: UnsettledRow) -> bool:
        """Whether what the row has sent could be taken for what the trial has made."""
        same = self._same_contact(row.contact_id, trial.contact)
        return same and shelves.could_be(self._item_of(row), _stored(trial))

    async def _free(self, trial: Trial, shelves: Shelves, read: ReadBack) -> list[str]:
        """What was read that could be the trial's, and belongs to nobody that is known here."""
        found = [stored.id for stored in read.stored if shelves.could_be(_item(trial), stored)]
        taken = await self.book.owned(found)
        return [each for each in found if each not in taken]

    def _item_of(self, row: UnsettledRow) -> Item:
        prefix = self.book.destination.reference_prefix
        reference = References(row.origin, prefix).of(row.row_key)
        return Item(row.id, reference, row.contact_id, row.created_date, row.payload.encode())

    async def _shelves(self, trial: Trial) -> Shelves | None:
        there = self.book.destination
        return await there.shelves(trial.target, None) if there.can.lists_equals else None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen, before and after a list was read: how many `trials` nothing tells apart, the
    unsettled `rows` that look like them, and what is there and belongs to nobody (`free`)."""

    trials: int
    rows: Sequence[UnsettledRow]
    free: Sequence[str]
    asked: Moment
    is_like: Callable[[UnsettledRow], bool]
    """Whether a row that was sent to the same contact looks the same."""


def _equal(one: LeftTrial, other: LeftTrial) -> bool:
    """Whether nothing tells them apart, and neither has an id."""
    mine, theirs = one.trial, other.trial
    unknown = one.interaction_id is None and other.interaction_id is None
    return unknown and (mine.target, mine.contact, mine.payload, mine.created, mine.reference) == (
        *(theirs.target, theirs.contact, theirs.payload, theirs.created),
        theirs.reference,
    )


def _item(trial: Trial) -> Item:
    return Item(0, trial.reference, trial.contact, trial.created, trial.payload)


def _stored(trial: Trial) -> Stored:
    created, payload = datetime.fromisoformat(trial.created), orjson.loads(trial.payload)
    return Stored("", created, payload, trial.reference)
