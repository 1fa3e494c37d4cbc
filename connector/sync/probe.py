"""Measure how a destination behaves: what was left behind is taken back, then all is asked that it
can be asked, then what was made meanwhile is taken back, whatever happens in between.

The answers are held against what the connector assumes, and against those of an earlier probe.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from connector.basis import dataclass
from connector.destinations.port import AnyDestination
from connector.destinations.trials import Probe
from connector.rules.deed import Document
from connector.rules.delivery import Outcome
from connector.rules.errors import ConnectorError, DestinationUnusable
from connector.rules.interaction import instant_text
from connector.rules.probing import DURATIONS, Answered, Facts, Question, Value
from connector.rules.trial import LeftTrial, Trial
from connector.rules.words import span_text
from connector.sync.leftovers import Leftovers
from connector.sync.side_by_side import Stop
from connector.sync.sweep import Book, Sweep, Swept, Tell
from connector.sync.trials import TrialBook

SPARE = timedelta(seconds=30)
"""Beyond the time after which an absence is believed, for what is deleted late."""
FEW, TIMES, STEP = 10.0, 4, 5
"""What is proposed: so many times what was seen, and so many seconds more, in steps."""


@dataclass(slots=True)
class Counting:
    """The trials of one probe, which counts what it makes and takes back."""

    book: Book
    made: set[int] = field(default_factory=set)
    ids: dict[int, str] = field(default_factory=dict)
    removed_ids: set[str] = field(default_factory=set)

    async def open(self, trial: Trial) -> int:
        number = await self.book.open(trial)
        self.made.add(number)
        return number

    def last_look(self, number: int) -> Callable[[], str | None]:
        return self.book.last_look(number)

    async def close(self, number: int, interaction_id: str | None, outcome: Outcome) -> bool:
        mine = await self.book.close(number, interaction_id, outcome)
        if mine and interaction_id:
            self.ids[number] = interaction_id
        return mine

    async def adopt(self, number: int, interaction_id: str) -> bool:
        mine = await self.book.adopt(number, interaction_id)
        if mine:
            self.ids[number] = interaction_id
        return mine

    async def removed(self, *numbers: int) -> None:
        await self.book.removed(*numbers)
        self.removed_ids |= {self.ids[number] for number in numbers if number in self.ids}

    async def absent(self, *numbers: int) -> None:
        await self.book.absent(*numbers)
        for number in numbers:
            self.ids.pop(number, None)

    async def kept(self, *numbers: int) -> None:
        await self.book.kept(*numbers)

    async def left(self) -> Sequence[LeftTrial]:
        return await self.book.left()


@dataclass(slots=True)
class Measured:
    """What a probe brought. `before`: what was taken back of earlier calls; `error`: what stopped
    it, when something did; `left`: why something could not be taken back."""

    answers: list[Answered] = field(default_factory=list)
    made: int = 0
    took_back: int = 0
    before: int = 0
    left: list[str] = field(default_factory=list)
    target: str = ""
    error: ConnectorError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    """One probe of one destination. `cleaner`: the same destination, which goes on though somebody
    has asked to stop."""

    probe: Probe
    cleaner: AnyDestination
    book: TrialBook
    stop: Stop
    tell: Tell

    async def run(self) -> Measured:
        """Measure. Raises only where nothing was begun; what stops it later stands in the result,
        and all was taken back that could be."""
        result = Measured()
        earlier = await self._sweep(())
        tests = await Leftovers(self.book, self.stop).clean()
        result.before = len(earlier.removed) + tests.removed
        result.left += [*earlier.left, *tests.stuck]
        prospect = await self.probe.prospect()
        counting = Counting(self.book)
        result.target = prospect.target
        try:
            result.answers = await self.probe.answers(counting, self.tell)
        except ConnectorError as error:
            result.error = error
        finally:
            try:
                swept = await self._sweep(counting.made)
                counting.removed_ids |= swept.removed
                result.left += swept.left
            except DestinationUnusable as error:
                result.left.append(f"the destination does not answer: {error}")
                result.error = result.error or error
        result.made = len(set(counting.ids.values()))
        result.took_back = len(counting.removed_ids)
        return result

    async def _sweep(self, mine: Collection[int]) -> Swept:
        longest = self.book.settle_after + SPARE
        return await Sweep(self.book, self.cleaner, mine, self.tell, longest).sweep()


# --- what the answers say -------------------------------------------------------------------------


def document_of(
    destination: str,
    measured: Measured,
    questions: Sequence[Question],
    settle_after: timedelta,
    earlier: Document | None,
) -> Document:
    """All that is told of a probe, and kept for the next one."""
    facts = Facts(
        settle_after.total_seconds(), {each.question: each.answer for each in measured.answers}
    )
    by_name = {each.question: each for each in measured.answers}
    answers = [_told(each, by_name[each.name], facts) for each in questions if each.name in by_name]
    return {
        "destination": destination,
        "measured_at": instant_text(datetime.now(UTC)),
        "target": measured.target,
        "made": measured.made,
        "took_back": measured.took_back,
        "left": measured.left,
        "taken_back_of_earlier_calls": measured.before,
        "answers": answers,
        "settle_after": proposal(facts, settle_after),
        "compared_with": earlier["measured_at"] if earlier else None,
        "changed_since": [*changes(earlier, answers)] if earlier else [],
    }


def _told(question: Question, answered: Answered, facts: Facts) -> Document:
    known = answered.answer is not None
    agrees = question.holds(answered.answer, facts) if known else None
    return {
        "question": question.name,
        "answer": answered.answer,
        "evidence": list(answered.evidence),
        "assumed": question.assumed,
        "agrees": agrees,
        "means": question.otherwise if agrees is False else None,
    }


def proposal(facts: Facts, configured: timedelta) -> Document | None:
    """How long settle_after should be by what was seen, never shorter than it is; None where that
    was not measured."""
    if "visible_after" not in facts.answers:
        return None
    seen = facts.answers["visible_after"]
    if not isinstance(seen, int | float):
        return {"seen_after_seconds": None, "proposed": span_text(configured)}
    enough = timedelta(seconds=ceil((TIMES * seen + FEW) / STEP) * STEP)
    return {"seen_after_seconds": seen, "proposed": span_text(max(enough, configured))}


def changes(earlier: Document, answers: Sequence[Document]) -> Iterator[Document]:
    """What was answered otherwise by an earlier probe."""
    before: Mapping[str, Any] = {a["question"]: a["answer"] for a in earlier["answers"]}
    for each in answers:
        name, now = each["question"], each["answer"]
        if name in before and differ(name, before[name], now):
            yield {"question": name, "before": before[name], "now": now}


def differ(question: str, one: Value, other: Value) -> bool:
    """Whether two answers are not the same; of times, whether they are far from each other."""
    times = isinstance(one, int | float) and isinstance(other, int | float)
    if question in DURATIONS and times:
        first, second = float(one or 0), float(other or 0)
        return abs(first - second) > max(1.0, 0.5 * max(abs(first), abs(second)))
    return one != other and None not in (one, other)
