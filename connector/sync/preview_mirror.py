"""What a sync of a mirror would do now, told without doing any of it: new, gone, changed and
returned rows, what would be taken back and what would be sent."""

from collections import Counter
from collections.abc import Collection
from contextlib import closing

from connector.ledger.mirrored import Aim, Covers, Mirrored
from connector.ledger.records import Staged
from connector.ledger.reports import Reports
from connector.rules.columns import mapping_misfits
from connector.rules.contacts import ContactCache
from connector.rules.delivery import MAY_BE_THERE, State
from connector.rules.gauge import Gauge
from connector.rules.interaction import Interaction, Invalid
from connector.rules.turns import cap_of
from connector.rules.words import are
from connector.sync.first_rows import FirstRows
from connector.sync.identifiers import Identifiers
from connector.sync.mirror import (
    Comparing,
    Said,
    is_as_before,
    keep_to_what_was_shown,
    says,
    with_digests,
)
from connector.sync.mirror_ahead import Mirror
from connector.sync.outlook import LEFT
from connector.sync.preview import Preview
from connector.sync.reading import Plan, Source, plan
from connector.sync.turns_ahead import TurnsAhead


class Foreseeing(Comparing):
    """Tells of every change, also of those that are on record already; where an approval `covers`
    what was shown, of those alone."""

    left = 0
    """Rows of which nothing was shown that the model says now."""
    covers = Covers.NOTHING
    told: Counter[State]
    """See Mirror."""
    let_go: set[int]
    """Rows that an approval lets be taken back still."""

    def _wish(self, said: Said, before: Mirrored, staged: Staged, aim: Aim) -> None:
        change, staged = before.change, self._wanted(staged, aim)
        if change and not is_as_before(change, staged, aim):
            self.let_go.discard(before.known.id)
        if self.covers is Covers.SHOWN and not (change and says(change, staged, aim)):
            self.left += 1
        else:
            self.told[before.known.state] += aim is Aim.REPLACE
            said.wishes.append(self._wish_of(before, staged, aim))

    def covered(self, said: Said) -> Said:
        """Of what a batch says, what an approval lets go."""
        if self.covers is Covers.SHOWN:
            self.left += keep_to_what_was_shown(said)
        return said


def preview_mirror(
    source: Source[Reports], show: int, cache: ContactCache, shows: bool, covers: Covers
) -> Preview:
    """Count what a sync would do with each row of the model and each that it has no more, and keep
    `show` of those to be sent and of those to be taken back. `shows`: the destination shows what it
    has by its id; `covers`: what of it an approval lets go."""
    reading, memory = with_digests(plan(source)), source.memory
    name = source.activation.name
    turns, gauge = TurnsAhead(source.activation), Gauge(source.activation, source.now)
    result = Preview(name, gauge=gauge, mirror=Mirror(), turns=turns)
    if source.activation.contact.needs_look_up:
        result.identifiers = Identifiers()
    if source.schema:
        result.mapping += mapping_misfits(reading.activation, source.schema, reading.types)
        result.mapping += reading.activation.advice(source.schema)
    restored = memory.is_restored(name) and shows
    found = Foreseen(reading, result, show, memory)
    comparing = Foreseeing(reading, memory, memory.identity_of_ledger(), restored)
    comparing.covers, comparing.told = covers, found.mirror.told
    comparing.let_go = found.let_go = memory.goes_by_approval(name)
    with closing(comparing.compared()) as batches:
        for read, said in batches:
            result.read += read
            contacts = found.take_in(comparing.covered(said))
            if result.identifiers:
                result.identifiers.count(contacts, source.activation.contact, memory, cache)
    result.repeated = comparing.findings.repeated
    result.without_key = comparing.findings.without_key
    found.vanished(comparing)
    found.end(source, reading, comparing.left)
    turns.end(memory, cache, found.obsolete)
    return result


class Foreseen:
    """What was found so far, counted in a preview."""

    def __init__(self, reading: Plan, result: Preview, show: int, memory: Reports) -> None:
        assert result.mirror is not None
        self.reading, self.result, self.show, self.memory = reading, result, show, memory
        self.first = FirstRows(show)
        self.mirror = result.mirror
        self._pending = memory.counts(result.activation)[State.PENDING]
        self.let_go: Collection[int] = ()
        self.obsolete: set[str] = set()
        """Keys of rows that are pending, and would not be sent as they are on record."""

    def take_in(self, said: Said) -> list[str]:
        """Count what a batch says; the contacts of the rows that would be sent."""
        contacts = []
        for staged in said.new:
            self.result.staged += 1
            contacts += self._sent(staged, "new")
        for before, staged in said.corrected:
            if before.known.state is State.PENDING:
                self._pending -= 1
                self.obsolete.add(staged.row_key)
            self.mirror.told[before.known.state] += 1
            self.mirror.better[before.known.state] += self._can_go(staged.content)
            returned = before.known.state is State.REMOVED
            contacts += self._sent(staged, "returned" if returned else "new", before.known.id)
        for wish in said.wishes:
            if wish.aim is Aim.REPLACE and wish.to is not None:
                self._taken_back(wish.delivery_id, wish.to.row_key, "replaced")
                self.mirror.unlike += wish.unlike
                self.mirror.approved["unlike"] += wish.unlike and wish.delivery_id in self.let_go
                self.mirror.ended += isinstance(wish.to.content, Invalid)
                contacts += self._sent(wish.to, "replaced", wish.delivery_id)
        return contacts

    def _sent(self, staged: Staged, what: str, delivery_id: int | None = None) -> list[str]:
        result, content = self.result, staged.content
        if what == "returned":
            self.mirror.count("returned", staged.row_key)
        if isinstance(content, Invalid):
            result.invalid += 1
            result.count_reason(content.reason, staged.row_key)
            return []
        if result.gauge and result.gauge.is_wanted:
            result.gauge.add(staged.row_key, content.contact, content.created)
        if result.count_refused(staged.row_key, content.contact, self.reading.activation.contact):
            return [content.contact]
        if what == "new":
            result.new += 1
        else:
            self.mirror.sends += 1
        if result.turns:
            result.turns.add(content.contact)
        self.first.add(staged.row_key, content, delivery_id)
        return [content.contact]

    def _can_go(self, content: Interaction | Invalid) -> bool:
        """Whether it would be sent, and not be refused for what it says itself."""
        how = self.reading.activation.contact
        return isinstance(content, Interaction) and not how.malformed(content.contact)

    def _taken_back(self, delivery_id: int, row_key: str, what: str) -> None:
        self.mirror.count(what, row_key)
        if delivery_id in self.let_go:
            self.mirror.approved[what] += 1
        else:
            self.mirror.judge(what, row_key)
        if len(self.mirror.deleted) < self.show:
            self.mirror.deleted.append((row_key, delivery_id, what == "replaced"))

    def vanished(self, comparing: Foreseeing) -> None:
        """Count the rows that the model has no more."""
        after = 0
        while after < comparing.newest:
            page, after = self.memory.present(
                self.result.activation, after, comparing.newest, comparing.seen
            )
            for row in page:
                if row.change is not Aim.REMOVE:
                    comparing.let_go.discard(row.delivery_id)
                if comparing.covers is Covers.SHOWN and row.change is not Aim.REMOVE:
                    continue
                self.mirror.told[row.state] += 1
                if row.state is State.DELIVERED or row.state in MAY_BE_THERE:
                    self._taken_back(row.delivery_id, row.row_key, "removed")
                else:
                    if row.state is State.PENDING:
                        self._pending -= 1
                        self.obsolete.add(row.row_key)
                    self.mirror.better[row.state] += 1
                    self.mirror.count("dropped", row.row_key)

    def end(self, source: Source[Reports], reading: Plan, left: int) -> None:
        """What is to be known of the whole. `left`: rows that the model has and that this run would
        leave to the next."""
        result, mirror = self.result, self.mirror
        result.pending = max(0, self._pending)
        told = result.new + result.invalid + result.rejected + result.repeated + result.without_key
        result.already_recorded = max(0, result.read - told - mirror.sends - left)
        most, cap = self.show + len(self.obsolete), cap_of(source.activation)
        if cap:
            waiting = self.memory.waiting_for_turn(result.activation, cap).replaced
            mirror.late = min(waiting, mirror.sends)
        recorded = self.memory.first_to_be_sent(result.activation, most, cap)
        self.first.wait(row for row in recorded if row[1] not in self.obsolete)
        result.shown = self.first.shown
        result.edited, result.notes = reading.edited, list(reading.notes)
        if left:
            result.notes.append(f"{are(left)} {LEFT}")
        mirror.edited = reading.edited
        mirror.live = self.memory.live(result.activation)
        mirror.empty = result.read == result.without_key and mirror.live > 0
        mirror.without_key = result.without_key
        if mirror.empty:
            mirror.examples["live"] = list(self.memory.examples(result.activation))
        mirror.ids = self.memory.interaction_ids([row for _, row, _ in mirror.deleted])
        result.remember(source, self.obsolete)
