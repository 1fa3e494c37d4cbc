"""What a sync would do now, told without doing any of it.

Another function than the sync, and one without a ledger to write to: it reads the model, the
reports on the ledger if there is one, and the destination's schema and contacts. It sends no POST.
"""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from dataclasses import field, replace
from math import ceil
from typing import Any

from connector.basis import dataclass
from connector.ledger.mirrored import Covers
from connector.ledger.questions import Resting
from connector.ledger.reports import Reports
from connector.rules.activation import Activation, Contact
from connector.rules.columns import mapping_misfits
from connector.rules.contacts import ContactCache
from connector.rules.deed import Document
from connector.rules.delivery import PATIENCE, State
from connector.rules.errors import Problem
from connector.rules.gauge import Gauge
from connector.rules.interaction import Interaction, Invalid
from connector.rules.mapping import key_text
from connector.rules.turnover import Turnover
from connector.rules.turns import cap_of
from connector.sync.behind import passed_over
from connector.sync.first_rows import FirstRows
from connector.sync.identifiers import Identifiers, refused_again
from connector.sync.limits import Compared, Seen
from connector.sync.lookup import Contacts
from connector.sync.mirror_ahead import Mirror
from connector.sync.once import MANY, Once, TooMany
from connector.sync.outlook import (
    TOO_EARLY,
    Ahead,
    Outlook,
    Stands,
    Would,
    and_what_may_be,
    still_held,
    what_next_run_would_do,
)
from connector.sync.reading import BATCH, Plan, Source, keyed, plan
from connector.sync.sorting import Sorted, contents, sort_out
from connector.sync.turns_ahead import TurnsAhead
from connector.sync.usual import history_of, look_up


@dataclass(slots=True)
class Preview:
    """Counts of rows by what would become of them, and the first few of those to be sent."""

    activation: str
    read: int = 0
    whole: bool = True
    """Every row was looked at that a run would read."""
    staged: int = 0
    """Rows that a run would record for the first time."""
    new: int = 0
    already_recorded: int = 0
    invalid: int = 0
    rejected: int = 0
    """Rows that a run would record and reject: no contact can have their identifiers."""
    repeated: int = 0
    without_key: int = 0
    history: int = 0
    cursors: list[Any] = field(default_factory=list)
    """Those of the first rows that have one."""
    behind: int = 0
    """Rows that could be sent, are not recorded, and stand behind the watermark: not read."""
    notes: list[str] = field(default_factory=list)
    """What a person should know of where reading begins, and of rows that it passes over."""
    edited: Sequence[str] = ()
    """The parts of the activation that were edited since its model was last read to the end."""
    pending: int = 0
    resting: Resting = Resting()
    """Recorded rows that rest for longer than a run has patience; none of them is `pending`."""
    again: Sequence[tuple[str, str]] = ()
    """Recorded rows that would be rejected as those were, and why; none of them is `pending`."""
    elsewhere: str | None = None
    """That rows which are new here are recorded of another activation."""
    outlook: Outlook = field(default_factory=lambda: Outlook(Would.SEND))
    reasons: Counter[str] = field(default_factory=Counter)
    """Why rows are invalid, or would be rejected: those that are read, and those of `again`."""
    examples: dict[str, str] = field(default_factory=dict)
    refusals: set[str] = field(default_factory=set)
    """The reasons of rows that would be rejected."""
    shown: list[tuple[str, Interaction]] = field(default_factory=list)
    recorded: list[tuple[str, Interaction]] = field(default_factory=list)
    """The first of those that wait in the ledger alone."""
    reads: bool = True
    """The model would be read: not by a run that does just what was approved."""
    rows_together: int = 1
    """About how many rows one request takes."""
    first_alone: bool = False
    """The first request carries one row, as none was ever sent: see DeliveringParcels."""
    identifiers: Identifiers | None = None
    """None where contacts need no look-up."""
    mapping: list[Problem] = field(default_factory=list)
    """Columns that can never fit their property, and what of the schema is left unused."""
    turnover: Turnover | None = None
    """What became of the rows that should have been read again."""

    gauge: Gauge | None = None
    """The rows that would be sent, as far as the limits want to know them."""
    empty: bool = False
    """The model has no row at all."""
    compared: Compared = field(default_factory=Compared)
    mirror: Mirror | None = None
    """None where it is none."""
    turns: TurnsAhead | None = None
    """None where nobody wants to know who would wait."""

    def foresee(self, activation: Activation, stands: Stands) -> Outlook:
        """What the next run would do, by what was counted and by how the activation stands."""
        if self.mirror:
            self.outlook = self._foresee_mirror(self.mirror, activation, stands)
        else:
            read = (self.staged, self.invalid, self.turnover, self.empty)
            seen = Seen(*read, rejected=self.rejected)
            again = len(self.again)
            ahead = Ahead(self.new, seen, self.compared, self.gauge, self.whole, again)
            self.outlook = self._in_turn(what_next_run_would_do(activation, stands, ahead))
        told = self.mirror.told if self.mirror else Counter[State]()
        there = {state: number - told[State(state)] for state, number in stands.counts.items()}
        self.outlook = and_what_may_be(self.outlook, replace(stands, counts=there))
        if self.elsewhere:
            self.outlook = replace(self.outlook, notes=(*self.outlook.notes, self.elsewhere))
        return self.outlook

    def _in_turn(self, outlook: Outlook) -> Outlook:
        """Nothing is sent where no row has its turn."""
        if outlook.would is Would.SEND and self.waiting and not self.now:
            return replace(outlook, would=Would.NOTHING, because=TOO_EARLY, sends=0)
        return outlook

    def _foresee_mirror(self, mirror: Mirror, activation: Activation, stands: Stands) -> Outlook:
        """A mirror that is held is read again, and judged by what is there now."""
        if stands.covers is Covers.ALL and not mirror.empty:  # it has rows by now: judged anew
            stands = replace(stands, approved=None)
        seen = Seen(self.staged, self.invalid, rejected=self.rejected)
        held = stands.held if stands.held and not stands.approved else None
        barred = held if held and held.build else None
        # of those on record, also in line, some are not to be sent any more, or are the new ones
        recorded = self.pending + stands.resting.all
        counts = {**stands.counts, State.PENDING: recorded}
        new = max(0, self.new - max(0, stands.in_line - recorded)) + mirror.sends - mirror.late
        ahead = Ahead(new, seen, self.compared, self.gauge)
        found = what_next_run_would_do(
            activation, replace(stands, held=barred, counts=counts), ahead
        )
        if found.would in (Would.SEND, Would.NOTHING, Would.BE_HELD):
            reason = None if stands.approved else mirror.holds(activation)
            if reason:
                found = replace(found, would=Would.BE_HELD, because=reason.removeprefix("held: "))
            elif found.would is Would.NOTHING and (mirror.removed or mirror.ended):
                found = replace(found, would=Would.SEND)
            elif found.would is Would.NOTHING and mirror.late:
                found = replace(found, because=found.because or TOO_EARLY)
        if held and held.rejected and found.would in (Would.SEND, Would.NOTHING):
            counts = {s: number - mirror.better[State(s)] for s, number in stands.counts.items()}
            # no reading says more of that
            found = still_held(activation, held, replace(stands, counts=counts), found)
        self.outlook = found if mirror.removed else self._in_turn(found)
        return self.outlook

    def remember(self, source: Source[Reports], obsolete: Collection[str] = ()) -> None:
        """Take in what earlier runs were like, and the rows that wait in the ledger, but for those
        that would not be sent as they are on record."""
        activation, memory = source.activation, source.memory
        self.resting = memory.resting_before(activation.name, PATIENCE)
        self.pending = max(0, self.pending - self.resting.all)
        history = history_of(memory, activation, source.zone, source.now, self.empty)
        self.compared = Compared(history)
        if self.gauge and self.gauge.is_wanted:
            recorded = memory.to_be_sent(activation.name)
            self.gauge.add_recorded(row for row in recorded if row[0] not in obsolete)

    def compare(self, source: Source[Reports], reading: Plan) -> None:
        """The same of what is no mirror; also whether its model is empty, and what is refused
        again."""
        hold = source.activation.limits.empty == "hold"
        self.empty = not self.read and hold and reading.is_empty()
        self.remember(source)
        self.again = refused_again(source.memory, source.activation, source.now)
        for row_key, reason in self.again:
            self.count_reason(reason, row_key)

    async def look_up(self, contacts: Contacts) -> None:
        """Look up what a run would look up before its first send."""
        if self.identifiers and self.identifiers.sample:  # it tells of the rows that are shown
            self.identifiers.sample = replace(self.identifiers.sample)
        if self.gauge:
            sample = await look_up(contacts, self.gauge.identifiers)
            self.compared = replace(self.compared, sample=sample)

    def count_reason(self, reason: str, row_key: str) -> None:
        """One more row with `reason`; the first one is the example."""
        self.reasons[reason] += 1
        self.examples.setdefault(reason, row_key)

    def count_refused(self, row_key: str, contact: str, how: Contact) -> bool:
        """Count a row that would be rejected, since no contact can have its identifier; whether it
        is one."""
        if reason := how.malformed(contact):
            self.rejected += 1
            self.refusals.add(reason)
            self.count_reason(reason, row_key)
        return bool(reason)

    @property
    def waiting(self) -> int:
        """How many rows would wait for their turn."""
        line = self.turns.waiting if self.turns else None
        return line.number if line else 0

    def leave_new(self) -> None:
        """A run that does what was approved does not read the model: what is new is left to the
        run after it, and counted alone."""
        self.read = self.already_recorded = 0
        self.invalid = self.rejected = self.repeated = self.without_key = self.history = 0
        self.reasons, self.examples = Counter(), {}
        self.identifiers = Identifiers() if self.identifiers else None
        for row_key, reason in self.again:
            self.count_reason(reason, row_key)
        self.shown = self.recorded
        self.reads = False

    def has_turn(self, contact: str) -> bool:
        """Whether the next row of `contact` could go at once."""
        return self.turns is None or self.turns.has_one(contact)

    @property
    def now(self) -> int:
        """How many rows could go at once, of those that are to be sent."""
        again = self.mirror.sends if self.mirror else 0
        new = self.new if self.reads else 0
        return max(0, new + self.pending + again - self.waiting)

    @property
    def number_of_requests(self) -> int:
        """About how many it takes to send what could go at once, and hardly fewer."""
        if self.first_alone and self.now:
            return 1 + ceil((self.now - 1) / self.rows_together)
        return ceil(self.now / self.rows_together)

    def estimated_seconds(self, rate: float, look_ups: bool) -> float:
        """How long sending what could go at once would take at `rate` requests a second, with the
        look-ups (`look_ups`) that neither the cache nor the form of the identifier spares."""
        requests = self.number_of_requests
        if self.mirror:  # what would wait for its turn is taken back only then
            requests += self.mirror.removed + max(0, self.mirror.replaced - self.waiting)
        if look_ups and (known := self.identifiers):
            requests += known.number - known.cached - known.malformed + self.pending
        return round(requests / rate, 1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sync would do, the first requests that it would send, and the time it would take.
    `rows_per_request`: how many the destination takes."""

    counted: Preview
    requests: Sequence[Document]
    seconds: float
    rows_per_request: int = 1
    per_contact: Document | None = None
    """How often one contact is told something, and what would wait for that."""

    def document(self) -> Document:
        """The forecast, for programs."""
        counted, together = self.counted, self.rows_per_request
        number = {"request_count": counted.number_of_requests} if together > 1 else {}
        return {
            "activation": counted.activation,
            "read": counted.read,
            "new": counted.new,
            "already_recorded": counted.already_recorded,
            "invalid": counted.invalid,
            "rejected": counted.rejected + len(counted.again),
            "history": counted.history,
            "repeated": counted.repeated,
            "without_key": counted.without_key,
            "pending": counted.pending,
            **counted.resting.document(),
            "edited": list(counted.edited),
            "behind": counted.behind,
            "notes": counted.notes,
            "reasons": [
                {"reason": reason, "count": count, "example_key": counted.examples[reason]}
                for reason, count in counted.reasons.most_common()
            ],
            "contacts": counted.identifiers.document() if counted.identifiers else None,
            "mapping": [problem.message for problem in counted.mapping],
            "per_contact": self.per_contact,
            "outlook": counted.outlook.document(),
            "estimated_seconds": self.seconds,
            **number,
            **(counted.mirror.document() if counted.mirror else {}),
            "requests": list(self.requests),
        }


def preview(source: Source[Reports], show: int, cache: ContactCache) -> Preview:
    """Count what a sync would do with each row of the model, and keep `show` rows to be sent.

    Without a schema the destination was not asked, so nothing is checked against it. `cache`: where
    contacts of earlier runs are found.
    """
    reading = plan(source)
    try:
        most = MANY if source.reader.groups_keys(reading.scan) else None
        return _previewed(source, reading, show, cache, Once(most=most))
    except TooMany:  # so it is worth asking which keys come again
        return _previewed(source, reading, show, cache, Once(_repeated(reading)))


def _repeated(reading: Plan) -> set[str]:
    """The row keys that stand more than once in the whole model, by the warehouse's count."""
    keys = reading.source.reader.keys_repeated(reading.activation, reading.scan, BATCH)
    with closing(keys) as batches:
        return {key for some in batches for values in some if (key := key_text(values)) is not None}


def _previewed(
    source: Source[Reports], reading: Plan, show: int, cache: ContactCache, once: Once
) -> Preview:
    activation, schema, reports = source.activation, source.schema, source.memory
    turns, first = TurnsAhead(activation), FirstRows(show)
    result = Preview(activation.name, gauge=Gauge(activation, source.now), turns=turns)
    if activation.contact.needs_look_up:
        result.identifiers = Identifiers()
    if schema:
        result.mapping += mapping_misfits(reading.activation, schema, reading.types)
        result.mapping += reading.activation.advice(schema)
    with closing(batches(reading, result)) as found:
        for batch in found:
            contacts = _count(batch, once, result, first, activation.contact)
            if result.identifiers:
                result.identifiers.count(contacts, activation.contact, reports, cache)
    result.pending = reports.counts(activation.name)["pending"]
    result.compare(source, reading)
    result.pending = max(0, result.pending - len(result.again))
    most, refused = show + len(result.again), {key for key, _ in result.again}
    waiting = reports.first_to_be_sent(activation.name, most, cap_of(activation))
    recorded = FirstRows(show)
    for rows in (first, recorded):
        rows.wait(row for row in waiting if row[1] not in refused)
    result.shown, result.recorded = first.shown, recorded.shown
    turns.end(reports, cache)
    result.edited = reading.edited
    _, told = passed_over(reading, reading.mark, bool(result.cursors))
    result.notes = [*reading.notes, *told]
    if told or reading.reaches_elsewhere:
        result.behind = _behind(plan(source, whole=True), once)
    return result


def batches(reading: Plan, result: Preview) -> Generator[Sorted, None, None]:
    """What a run would make of the rows that it would read, batch by batch; `result` learns what
    became of rows that are read again. Raises ConfigurationError where a run would be stopped by
    it: when the cursors have no common order."""
    mark, now = reading.mark, reading.source.now
    watch, content = reading.watch(), contents(reading, digests=False)
    knows_any = reading.source.memory.knows_any(reading.activation.name)
    with closing(reading.rows()) as read:
        for rows in read:
            keys = reading.mapper.keys(rows)
            known = reading.known(keys) if knows_any else {}
            watch.saw(keyed(keys, rows), known)
            batch = sort_out(rows, reading, known, None, keys, content)
            mark = reading.advanced(mark, batch.cursors, now)
            result.turnover = watch.turnover
            yield batch


def look(reading: Plan, enough: Callable[[Preview], bool]) -> Preview:
    """Count what a run would do with the rows of the model, until that is `enough`."""
    gauge = Gauge(reading.activation, reading.source.now)
    result, once = Preview(reading.activation.name, gauge=gauge), Once()
    with closing(batches(reading, result)) as found:
        for batch in found:
            _count(batch, once, result, FirstRows(0), reading.activation.contact)
            if enough(result):
                result.whole = next(found, None) is None  # one that is there is not counted
                break
    return result


def _behind(whole: Plan, once: Once) -> int:
    """How many rows could be sent that a run will not read, being behind the mark. Those that come
    once are counted in all, less those that were read."""
    found, alone = set[str](), 0
    for rows in whole.rows():
        keys = whole.mapper.keys(rows)
        batch = sort_out(rows, whole, whole.known(keys), None, keys)
        sendable = [row.row_key for row in batch.new if isinstance(row.content, Interaction)]
        again = [key for key in sendable if once.may_come_again(key)]
        found.update(key for key in again if key not in once)
        alone += len(sendable) - len(again)
    return len(found) + max(0, alone - once.alone)


def _count(batch: Sorted, once: Once, result: Preview, shown: FirstRows, how: Contact) -> list[str]:
    """Count rows by what would become of them; the contacts of those that would be recorded to be
    sent. `how`: what their contacts are known by."""
    contacts = []
    result.read += batch.read
    result.cursors = result.cursors or batch.cursors
    result.already_recorded += batch.already
    result.without_key += batch.without_key
    first = [row for row in batch.new if once.comes_first(row.row_key)]
    again = [(at.id, row) for at, row in batch.corrected if once.comes_first(row.row_key)]
    result.repeated += (
        len(batch.repeated) + len(batch.new) + len(batch.corrected) - len(first) - len(again)
    )
    result.staged += sum(not row.history for row in first)
    alone = [row for row in first if not once.may_come_again(row.row_key)]
    once.alone += sum(isinstance(row.content, Interaction) for row in alone)
    turns, gauge = result.turns, result.gauge
    gauge = gauge if gauge and gauge.is_wanted else None
    for delivery_id, row in (*((None, row) for row in first), *again):
        match row.content:
            case _ if row.history:
                result.history += 1
            case Invalid(reason):
                result.invalid += 1
                result.count_reason(reason, row.row_key)
            case Interaction() as interaction:
                contacts.append(interaction.contact)
                if gauge:
                    gauge.add(row.row_key, interaction.contact, interaction.created)
                if result.count_refused(row.row_key, interaction.contact, how):
                    continue
                result.new += 1
                if turns:
                    turns.add(interaction.contact)
                shown.add(row.row_key, interaction, delivery_id)
    return contacts
