"""What an edit of an activation means for the rows of its model: two versions, read side by side.

Both models are read as a whole. Of a row of the earlier version no more is kept than two numbers.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import field, replace
from itertools import chain, islice, zip_longest
from typing import Any

from connector.basis import dataclass
from connector.ledger.records import Known
from connector.ledger.reports import Reports
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import CORRECTABLE, TO_BE_SENT, State
from connector.rules.interaction import Interaction, Invalid
from connector.rules.mapping import key_text
from connector.sync.reading import Plan, Source, plan
from connector.sync.sorting import content_of, differs
from connector.warehouse.spelling import spelling_of

NOT_SENT = 0
"""Stands for the content of a row that cannot be sent."""
CHANGED, NEW, GONE = "changed", "newly eligible", "no longer eligible"
NEVER_SENT = (*TO_BE_SENT, State.DISCARDED, *CORRECTABLE)
"""The states of rows of which nothing can be at the destination."""


@dataclass(slots=True)
class Example:
    """A row as both versions read it; None: that version would send none."""

    row_key: str
    why: str
    before: Interaction | None = None
    after: Interaction | None = None


@dataclass(frozen=True, slots=True)
class SentBy:
    """Of the rows that would be sent, those that another `activation` has sent to the same place.
    `rows` None: its row keys cannot be computed from this model, which has not these columns."""

    activation: str
    rows: int | None
    missing: Sequence[str] = ()

    def document(self) -> Document:
        return {"activation": self.activation, "rows": self.rows, "missing": list(self.missing)}


@dataclass(slots=True)
class Difference:
    """Rows counted by what becomes of them. `before`, `after`: those of each model that can be
    sent, recorded or not; `recorded`: those of the later model that are not sent again, being
    recorded; `changed_waiting`: those of `changed` that are not sent yet."""

    before: int = 0
    after: int = 0
    recorded: int = 0
    newly_eligible: int = 0
    no_longer_eligible: int = 0
    changed: int = 0
    changed_waiting: int = 0
    sent_by_others: list[SentBy] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    @property
    def sent_again(self) -> int:
        """Rows that would go to the same place once more: under one name none does."""
        return sum(each.rows or 0 for each in self.sent_by_others)

    def document(self) -> Document:
        names = ("before", "after", "recorded", "newly_eligible", "no_longer_eligible")
        numbers = {n: getattr(self, n) for n in (*names, "changed", "changed_waiting")}
        by = [each.document() for each in self.sent_by_others]
        return {**numbers, "sent_again": self.sent_again, "sent_by_others": by}


def compare(
    earlier: "EarlierRows", after: Source[Reports], others: Sequence[Activation], show: int
) -> Difference:
    """What the later version makes of the rows, beside the `earlier` one, with `show` examples.
    `others`: activations whose rows went to the same place. Raises ConfigurationError for a model
    that cannot be read."""
    later = _Later(after, others, earlier, show)
    later.read()
    found = later.found
    found.before = earlier.eligible
    gone = earlier.waiting - later.eligible
    found.no_longer_eligible = len(gone)
    leaving = [Example("", GONE) for _ in islice(gone, show)]
    in_turn = chain.from_iterable(zip_longest(later.changed, later.new, leaving))
    found.examples = list(islice(filter(None, in_turn), show))
    earlier.fill_in(found.examples, gone)
    return found


class EarlierRows:
    """What the earlier version makes of each row, by a hash of its row key. Raises
    ConfigurationError for a model that cannot be read."""

    def __init__(self, source: Source[Reports] | None = None) -> None:
        self.reading = plan(source, whole=True) if source else None
        self.contents: dict[int, int] = {}
        self.waiting: set[int] = set()
        """Those that can be sent, and are not yet."""
        for row_key, content, known in _rows(self.reading) if self.reading else ():
            place = hash(row_key)
            if place not in self.contents:
                self.contents[place] = _number(content)
                if self.reading and _goes(content, known, self.reading):
                    self.waiting.add(place)

    @property
    def eligible(self) -> int:
        return sum(number != NOT_SENT for number in self.contents.values())

    def fill_in(self, examples: Sequence[Example], gone: set[int]) -> None:
        """Say in each of `examples` what the earlier version would send."""
        wanted = {hash(each.row_key): each for each in examples if each.why == CHANGED}
        leaving = [each for each in examples if each.why == GONE]
        if self.reading is None or not (wanted or leaving):
            return
        with closing(_rows(self.reading)) as rows:
            for row_key, content, _ in rows:
                place = hash(row_key)
                if place in gone and leaving:
                    wanted[place] = leaving.pop(0)
                    gone = gone - {place}
                if isinstance(content, Interaction) and (example := wanted.pop(place, None)):
                    example.row_key, example.before = row_key, content
                if not wanted and not leaving:
                    return


class _Later:
    """What the later version makes of each row, beside the earlier one."""

    def __init__(
        self,
        source: Source[Reports],
        others: Sequence[Activation],
        earlier: EarlierRows,
        show: int,
    ) -> None:
        reading = plan(source, whole=True)
        self.others = [_Other(each, reading) for each in others]
        self.reading = _with_columns(reading, [c for each in self.others for c in each.columns])
        self.earlier, self.show = earlier, show
        self.found = Difference()
        self.eligible: set[int] = set()
        self.changed: list[Example] = []
        self.new: list[Example] = []

    def read(self) -> None:
        seen: set[int] = set()
        for other in self.others:
            other.place_in(self.reading)
        for rows, known in _batches(self.reading):
            going = []
            for row in rows:
                row_key = self.reading.mapper.key(row)
                if row_key is None or hash(row_key) in seen:
                    continue
                seen.add(hash(row_key))
                content = content_of(row, self.reading)
                if isinstance(content, Interaction) and self._count(
                    row_key, content, known.get(row_key)
                ):
                    going.append(row)
            for other in self.others:
                other.count(going)
        self.found.sent_by_others = [o.told() for o in self.others if o.missing or o.sent]

    def _count(self, row_key: str, content: Interaction, known: Known | None) -> bool:
        """Count one row that can be sent; whether it would be."""
        found, place = self.found, hash(row_key)
        self.eligible.add(place)
        found.after += 1
        goes = _goes(content, known, self.reading)
        found.recorded += not goes and known is not None
        was = self.earlier.contents.get(place, NOT_SENT)
        if was == NOT_SENT:
            found.newly_eligible += goes
            if goes and len(self.new) < self.show:
                self.new.append(Example(row_key, NEW, None, content))
        elif was != _number(content):
            found.changed += 1
            found.changed_waiting += goes
            if len(self.changed) < self.show:
                self.changed.append(Example(row_key, CHANGED, None, content))
        return goes


class _Other:
    """An activation whose rows went where these would go: which of them are the same rows?"""

    def __init__(self, activation: Activation, reading: Plan) -> None:
        self.name, self._memory = activation.name, reading.source.memory
        names = list(reading.types) or list(reading.scan.columns)
        spelling = spelling_of(activation.row_key, names)
        self.missing = [c for c in activation.row_key if c not in spelling]
        self.columns = [] if self.missing else [spelling[c] for c in activation.row_key]
        self.sent = 0
        self._places: list[int] = []

    def place_in(self, reading: Plan) -> None:
        """Find its columns in the rows of `reading`."""
        self._places = [reading.scan.columns.index(column) for column in self.columns]

    def count(self, rows: Sequence[Sequence[Any]]) -> None:
        """Count those of `rows` that it has sent."""
        if self.missing or not rows:
            return
        keys = {key for row in rows if (key := key_text([row[i] for i in self._places]))}
        known = self._memory.known(self.name, keys)
        self.sent += sum(each.state not in NEVER_SENT for each in known.values())

    def told(self) -> SentBy:
        return SentBy(self.name, None if self.missing else self.sent, self.missing)


def _with_columns(reading: Plan, columns: Sequence[str]) -> Plan:
    """`reading`, with these `columns` in its rows, too: behind the others, where the mapper does
    not look."""
    extra = [c for c in dict.fromkeys(columns) if c not in reading.scan.columns]
    scan = replace(reading.scan, columns=(*reading.scan.columns, *extra))
    return replace(reading, scan=scan)


def _batches(
    reading: Plan,
) -> Iterator[tuple[Sequence[Sequence[Any]], dict[str, Known]]]:
    for rows in reading.rows():
        yield rows, reading.known(reading.mapper.keys(rows))


def _rows(
    reading: Plan,
) -> Generator[tuple[str, Interaction | Invalid, Known | None], None, None]:
    """Each row that has a key, with what the ledger knows of it."""
    for rows, known in _batches(reading):
        for row in rows:
            if (row_key := reading.mapper.key(row)) is not None:
                yield row_key, content_of(row, reading), known.get(row_key)


def _goes(content: Interaction | Invalid, known: Known | None, reading: Plan) -> bool:
    """Whether a run that met the row would send it, or does so already."""
    if reading.history or isinstance(content, Invalid):
        return False
    if known is None or known.state in TO_BE_SENT:
        return True
    return known.state in CORRECTABLE and differs(content, known)


def _number(content: Interaction | Invalid) -> int:
    """A number that two contents share only where they are the same."""
    if isinstance(content, Invalid):
        return NOT_SENT
    return hash((content.contact, content.created, content.payload)) or 1
