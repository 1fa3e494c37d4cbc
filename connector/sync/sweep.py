"""Take back what probes have made and left behind, whoever made it and however they ended.

Deleting is safe to repeat, and nothing is deleted that was not read first and is what was sent. A
trial whose answer nobody knows is looked for in the list of its contact; that it made nothing is
believed as it is of a row. A schema that was made for probes is deleted with all that is in it.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Protocol

import orjson

from connector.basis import dataclass
from connector.destinations.port import AnyDestination, Applied, Shelves
from connector.destinations.trials import Trials
from connector.rules import clocks
from connector.rules.clocks import Moment
from connector.rules.delivery import Removed
from connector.rules.errors import DestinationUnusable
from connector.rules.read_back import Absent, Shown, Stored, Unread
from connector.rules.trial import Aim, LeftTrial, Trial
from connector.rules.words import counted
from connector.sync.side_by_side import side_by_side

SETTLE, PAUSE, LONGEST_PAUSE = 5.0, 0.2, 5.0
"""Seconds that something in a schema of a probe's own is looked for before the schema is deleted;
between two looks, at first and at last."""
AT_ONCE = 8
MOST_SILENT = 20
FORTNIGHT = timedelta(days=14)

Tell = Callable[[str, int, int], None]


class Book(Trials, Protocol):
    """Trials on record, and how long until an absence is believed: connector.sync.trials."""

    @property
    def settle_after(self) -> timedelta: ...

    def believed_in(self, left: LeftTrial, asked: Moment) -> timedelta: ...


@dataclass(slots=True)
class Swept:
    """What was taken back. `left`: why something could not be; `living`: trials of calls that are
    still going on."""

    removed: set[str] = field(default_factory=set)
    schemas: int = 0
    left: list[str] = field(default_factory=list)
    living: int = 0


@dataclass(slots=True)
class Sweep:
    """One taking back. `mine`: trials of this call, which is done with them; `longest`: how long to
    wait at most for what is not shown."""

    book: Book
    destination: AnyDestination
    mine: Collection[int] = ()
    tell: Tell = lambda verb, done, total: None
    longest: timedelta = FORTNIGHT
    result: Swept = field(default_factory=Swept)
    _deleted: set[str] = field(default_factory=set)
    """What answered to its deletion; it may be shown on for a while."""
    _silent: int = 0

    async def sweep(self) -> Swept:
        """Take back all that can be. Raises DestinationUnusable where nothing answers."""
        began, pause, total = time.monotonic(), PAUSE, 0
        while True:
            pending = await self._pending()
            schemas = [each for each in pending if each.trial.aim is Aim.SCHEMA]
            things = [each for each in pending if each.trial.aim is not Aim.SCHEMA]
            total = max(total, len(things))
            self.tell("taking back", total - len(things), total)
            asked = clocks.now()
            await self._known([each for each in things if each.interaction_id])
            await self._unknown([each for each in things if not each.interaction_id])
            still = {each.number for each in await self._pending()}
            things = [each for each in things if each.number in still]
            outside = [each for each in things if not inside(each.trial, schemas)]
            waited = time.monotonic() - began
            if not outside and (not things or waited > SETTLE):
                await self._schemas(schemas, things)
                return self.result
            if await self._give_up(outside, asked, timedelta(seconds=waited)):
                await self._schemas(schemas, [each for each in things if each not in outside])
                return self.result
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _pending(self) -> list[LeftTrial]:
        left = await self.book.left()
        left = [each for each in left if each.trial.aim is not Aim.TEST]
        mine = [each for each in left if each.number in self.mine or not each.living]
        self.result.living = len(left) - len(mine)
        return mine

    async def _give_up(
        self, outside: Sequence[LeftTrial], asked: Moment, waited: timedelta
    ) -> bool:
        """Whether what is left would take too long; then it is told, and a later call goes on."""
        waits = [min(self.book.believed_in(each, asked), FORTNIGHT) for each in outside]
        longest = max([*waits, timedelta(0)])
        if not outside or waited + longest <= self.longest:
            return False
        seconds = round(longest.total_seconds())
        self.result.left.append(
            f"of {counted(len(outside), 'interaction')} it cannot be said yet whether it is there;"
            f" it can in {seconds} s"
            if seconds
            else f"{counted(len(outside), 'interaction')} cannot be deleted"
        )
        return True

    # --- interactions ---------------------------------------------------------------------------

    async def _known(self, things: Sequence[LeftTrial]) -> None:
        """Those whose id is known: read, delete, and see that they are gone."""

        async def one(left: LeftTrial) -> None:
            await self._take_back(left, left.interaction_id or "")

        await side_by_side(AT_ONCE, one, things)

    async def _take_back(self, left: LeftTrial, name: str) -> None:
        asked = clocks.now()
        match await self._read(name):
            case Shown() as shown if is_of(left.trial, shown.stored):
                removal = await self.destination.delete(name)
                if isinstance(removal, Removed):
                    self._deleted.add(name)
                    if isinstance(await self._read(name), Absent):
                        await self._gone(left, name)
            case Shown():
                self.result.left.append(f"{name} is not what was sent, and was left alone")
                await self.book.absent(left.number)
            case Absent() if name in self._deleted:
                await self._gone(left, name)
            case Absent() if self.book.believed_in(left, asked) <= timedelta(0):
                await self.book.absent(left.number)
            case _:
                pass

    async def _gone(self, left: LeftTrial, name: str) -> None:
        self.result.removed.add(name)
        await self.book.removed(left.number)

    async def _read(self, name: str) -> Shown | Absent | Unread:
        seen = await self.destination.interaction(name)
        self._heard(not (isinstance(seen, Unread) and not seen.answered))
        return seen

    def _heard(self, answered: bool) -> None:
        """Raises DestinationUnusable where nothing is answered any more."""
        self._silent = 0 if answered else self._silent + 1
        if self._silent >= MOST_SILENT:
            raise DestinationUnusable(f"{self._silent} requests in a row got no answer")

    async def _unknown(self, things: Iterable[LeftTrial]) -> None:
        """Those whose id is not known: looked for in the lists in which they would stand."""
        by_target: dict[str, list[LeftTrial]] = defaultdict(list)
        for left in things:
            by_target[left.trial.target].append(left)
        for target, there in by_target.items():
            shelves = await self.destination.shelves(target, None)
            if shelves is None:  # nothing can be where there is no such schema
                await self.book.absent(*[each.number for each in there])
                continue
            lists: dict[str, list[LeftTrial]] = defaultdict(list)
            for left in there:
                lists[shelves.of(shown_as(left.trial))].append(left)
            for shelf, here in lists.items():
                await self._listed(shelves, shelf, here)

    async def _listed(self, shelves: Shelves, shelf: str, here: Sequence[LeftTrial]) -> None:
        """Those that would stand in one list."""
        asked = clocks.now()
        read = await shelves.read(shelf)
        self._heard(read.answered)
        for left in here:
            found = [s.id for s in read.stored if is_of(left.trial, s)]
            taken = [name for name in found if await self.book.adopt(left.number, name)][:1]
            for name in taken:
                await self._take_back(left, name)
            believed = self.book.believed_in(left, asked) <= timedelta(0)
            if not taken and read.gap is None and believed:
                await self.book.absent(left.number)

    # --- schemas --------------------------------------------------------------------------------

    async def _schemas(self, schemas: Sequence[LeftTrial], things: Sequence[LeftTrial]) -> None:
        """Delete the schemas that were made for probes, each with all that is in it."""
        for left in schemas:
            target = left.trial.target
            if not await self._is_deleted(left):
                continue
            for each in things:
                if inside(each.trial, [left]):
                    if each.interaction_id:
                        self.result.removed.add(each.interaction_id)
                    await self.book.removed(each.number)
            self.tell(f"deleting {target}", 1, 1)

    async def _is_deleted(self, left: LeftTrial) -> bool:
        """Whether the schema is gone, by us or because it never was; then that is on record."""
        target, end = left.trial.target, time.monotonic() + 2 * SETTLE
        while True:
            there = await self.destination.definition(target)
            if there is None:  # or is not shown yet, so soon after it was made
                await self.destination.delete_schema(target)
                await self.book.absent(left.number)
                return True
            if there.display_name != left.trial.reference:
                await self.book.absent(left.number)
                self.result.left.append(not_known_again(target))
                return False
            outcome = await self.destination.delete_schema(target)
            if isinstance(outcome, Applied):
                while await self.destination.definition(target) is not None:
                    if time.monotonic() > end:
                        break
                    await asyncio.sleep(PAUSE)
                else:
                    self.result.schemas += 1
                    await self.book.removed(left.number)
                    return True
            if time.monotonic() > end:
                said = "it is still there" if isinstance(outcome, Applied) else outcome.reason
                self.result.left.append(f"the schema {target}: {said}")
                return False
            await asyncio.sleep(PAUSE)


def inside(trial: Trial, schemas: Iterable[LeftTrial]) -> bool:
    """Whether it went to a schema that was made for probes, in whichever case it was written."""
    return trial.target.casefold() in [each.trial.target.casefold() for each in schemas]


def shown_as(trial: Trial) -> Shown:
    """The trial as it would be shown, for the list in which it would stand."""
    created, payload = datetime.fromisoformat(trial.created), orjson.loads(trial.payload or b"{}")
    return Shown(trial.contact, Stored("", created, payload, trial.reference))


def is_of(trial: Trial, stored: Stored) -> bool:
    """Whether `stored` is what was sent: by the mark that nothing else carries; without one, by its
    second and whatever of its payload is shown."""
    if trial.reference:
        return trial.reference == stored.reference or trial.reference in stored.payload.values()
    sent = orjson.loads(trial.payload or b"{}")
    created = datetime.fromisoformat(trial.created)
    near = stored.created is None or abs(stored.created - created) < timedelta(seconds=1)
    return near and all(sent.get(name) == value for name, value in stored.payload.items())


def not_known_again(target: str) -> str:
    """A schema that has not the name that a probe gives its own: somebody else's, or one that the
    destination shows with another name."""
    return (
        f"the schema {target} has not the name that the probe gave it, and was left alone; if"
        f" nobody else has made it: connector schema delete {target}"
    )
