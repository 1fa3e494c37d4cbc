"""Read the whole model of a mirror, and record what it says now of each row.

Of rows that are as they were no more is read than a digest, where the warehouse computes one: see
unchanged.py. What of a row is not stored is corrected at once; of a row that is at the destination
it is put beside it what is to become of it, and nothing is asked for here. So whatever is held or
dies, the next reading says it all anew.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import field, replace
from hashlib import blake2b
from itertools import groupby
from typing import Any

from connector.basis import dataclass
from connector.ledger.mirrored import (
    AS_IT_WAS,
    UNSENT,
    Aim,
    Change,
    Covers,
    Mirrored,
    MirroredRows,
    Refreshed,
    Wish,
)
from connector.ledger.records import Edition, Learnt, Remembered, Staged
from connector.rules.activation import Activation
from connector.rules.compiled import CompiledMapper
from connector.rules.delivery import MAY_BE_THERE, State
from connector.rules.interaction import Interaction, Invalid, about_of
from connector.rules.keys import Kinds
from connector.rules.schema import InteractionSchema
from connector.rules.watermark import Watermark
from connector.sync.findings import Findings
from connector.sync.flow import Running
from connector.sync.reading import BATCH, TOLD_AT_ONCE, Plan, Source, plan
from connector.sync.seen import Seen
from connector.sync.sorting import content_of, differs, in_time
from connector.sync.unchanged import PassingOver, makes_digests, may_pass_over
from connector.warehouse import Reader

Row = Sequence[Any]
AT_THE_DESTINATION = (State.DELIVERED, *MAY_BE_THERE)


@dataclass(frozen=True, slots=True)
class Read:
    """What a reading found. `whole`: it came to the model's end; `empty`: that has no row, or none
    with a row key, while rows are live, so that nothing of them was recorded; `keyed` and
    `without_key`: how many rows have a key, or none; `edited`: the parts of what is sent that were
    edited since a reading was let go; `learnt`: in which edition it was read, which is recorded
    once the reading was judged."""

    whole: bool
    empty: bool
    edited: tuple[str, ...] = ()
    keyed: int = 0
    without_key: int = 0
    mark: Watermark = field(default_factory=Watermark)
    learnt: Learnt | None = None


@dataclass(slots=True)
class Said:
    """What a batch says, to be put on record together."""

    new: list[Staged] = field(default_factory=list)
    corrected: list[tuple[Mirrored, Staged]] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    refreshed: list[Refreshed] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)


def read_mirror(
    running: Running, schema: InteractionSchema, reader: Reader, covers: Covers
) -> Read:
    """Read the model to its end and record what it says. Where an approval `covers` just what was
    shown, that is compared alone: what else the model says is the next run's. Raises
    ConfigurationError, WarehouseUnavailable, LedgerUnavailable or LeaseLost."""
    flow = running.flow
    source = Source(flow.activation, schema, reader, flow.ledger, flow.zone, running.run.started_at)
    return Mirroring(running, with_digests(plan(source, home=running.home)), covers).read()


def with_digests(reading: Plan) -> Plan:
    """The same reading with the warehouse's own digest of each row, where it makes one."""
    source, activation = reading.source, reading.activation
    edition = dict(reading.edition) | {
        "mode": f"{activation.mode} {activation.on_change}", "zone": str(source.zone)
    }  # fmt: skip
    if source.schema:
        said = repr(source.schema).encode()
        edition["schema"] = blake2b(said, digest_size=6).hexdigest()
    before, held = reading.home.edition, reading.home.hold
    # of a reading that is held no row was sent as it reads now, however often it was read since
    edited = {name for name, hash in edition.items() if before and before.get(name) != hash}
    edited |= set(held.edited if held else ())
    its_own = type(activation).model_fields.keys() - Activation.model_fields.keys()
    said_of_its_kind = activation.model_dump_json(include=its_own)
    salt = repr((sorted(edition.items()), source.schema, said_of_its_kind))
    scan = source.reader.digested(reading.scan, salt) or reading.scan
    mapper = CompiledMapper(activation, source.schema, scan.columns, source.zone, scan.key)
    return replace(reading, scan=scan, mapper=mapper, edition=edition, edited=sorted(edited))


class Comparing:
    """What the rows of a mirror's model say, beside what is recorded; nothing is written here.

    `key`: with which it is hashed whom rows are about; `restored`: the ledger comes from a backup,
    so that what stands as delivered is looked for; `sent_before`: whether another ledger has sent a
    row."""

    def __init__(
        self,
        reading: Plan,
        memory: MirroredRows,
        key: str,
        restored: bool,
        sent_before: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.reading, self.memory, self.name = reading, memory, reading.activation.name
        self.newest, self.seen, self.findings = memory.newest_row(), Seen(), Findings()
        self.key, self.restored, self.sent_before = key, restored, sent_before
        self.keeps = reading.activation.keeps_changed
        self.kinds: Kinds = ()

    def compared(self) -> Generator[tuple[int, Said], None, None]:
        """What the model says, batch by batch, each after how many more of its rows were read."""
        told = 0
        if not self.restored and may_pass_over(self.reading):
            passing = PassingOver(self.reading, self.memory)
            for number in passing.batches():
                told += number
                yield number, Said()
            self.kinds = passing.kinds
            if not passing.too_many:
                self.seen, self.findings = passing.seen, passing.findings
                yield from ((0, said) for said in self._left_by(passing))
                return
        read = 0
        with closing(self.reading.rows()) as batches:
            for rows in self.whole_keys(batches):
                self.kinds = self.kinds or self.reading.kinds_of(rows)
                read += len(rows)
                yield max(0, read - told), self.say(rows)
                told = max(told, read)

    def _left_by(self, passing: PassingOver) -> Iterator[Said]:
        """What is said by the rows that are not as they were. What they say now counts, whatever
        they said when their digests were read."""
        reading, reader = self.reading, self.reading.source.reader
        for keys in passing.left():
            gone, values = set(keys), [*keys.values()]
            with closing(reader.rows_of(reading.activation, reading.scan, values, BATCH)) as them:
                for rows in self.whole_keys(them):
                    gone.difference_update(map(reading.mapper.key, rows))
                    yield self.say(rows)
            if gone:
                yield self._gone_meanwhile(gone)

    def _gone_meanwhile(self, keys: Collection[str]) -> Said:
        """Rows that were there when their digests were read, and are not any more: what is stored
        of them stays until the next reading, which may find them again, and nothing is sent."""
        said = Said()
        for before in self.memory.mirrored(self.name, keys).values():
            asked = before.change and before.change.asked
            if before.known.state not in UNSENT and not asked:
                self.seen.add(before.known.id)
                self._nothing_beside(said, before)
        return said

    def whole_keys(self, batches: Iterator[Sequence[Row]]) -> Iterator[Sequence[Row]]:
        """The batches, so that all rows of one key, which stand beside each other, are in one."""
        held: list[Row] = []
        for batch in batches:
            rows, last = [*held, *batch], self.reading.mapper.key(batch[-1])
            cut = len(rows)
            # those without a key stand for themselves, and there may be many
            while cut and last is not None and self.reading.mapper.key(rows[cut - 1]) == last:
                cut -= 1
            held = rows[cut:]
            if cut:
                yield rows[:cut]
        if held:
            yield held

    def say(self, rows: Sequence[Row]) -> Said:
        """What these rows say; all rows of a key are among them."""
        keyed = [(self.reading.mapper.key(row), row) for row in rows]
        known = self.memory.mirrored(self.name, list({key for key, _ in keyed if key is not None}))
        left = {key for key, _ in keyed if key is not None and key not in known}
        pruned = self.reading.source.memory.pruned_among(self.name, left)
        said = Said()
        for key, group in groupby(keyed, lambda each: each[0]):
            some = [row for _, row in group]
            if key is None:
                self.findings.without_key += len(some)
                continue
            if key in pruned:
                self.findings.pruned += 1
                continue
            if len(some) > 1:
                self._repeated(key, len(some) - 1)
            self._say(said, key, some, known.get(key))
        return said

    def _repeated(self, key: str, times: int) -> None:
        self.findings.example = self.findings.example or key
        self.findings.repeated += times

    def _say(self, said: Said, key: str, rows: Sequence[Row], before: Mirrored | None) -> None:
        """What the rows of one key say of it."""
        if before is not None:
            if before.known.id > self.newest or before.known.id in self.seen:
                self._repeated(key, len(rows))  # another writing of a key that was read before
                return
            self.seen.add(before.known.id)
            if any(self._is_unread(row, before) for row in rows):
                return
        staged = self._chosen(key, rows, before)
        if before is None:
            said.new.append(staged)
        else:
            self._compare(said, before, staged)

    def _is_unread(self, row: Row, before: Mirrored) -> bool:
        """Whether the warehouse says that the row is as it was, and nothing is beside it."""
        if self.restored or before.change or before.known.state not in AS_IT_WAS:
            return False
        if before.known.digest is None and before.known.state is not State.INVALID:
            # it is not known what is there
            return False
        return before.source is not None and before.source == self._source(row)

    def _source(self, row: Row) -> str | None:
        return str(row[-1]) if makes_digests(self.reading) else None

    def _chosen(self, key: str, rows: Sequence[Row], before: Mirrored | None) -> Staged:
        """Of several rows with one key the one that is recorded; else always the same one."""
        there = before is not None and before.known.state in AT_THE_DESTINATION
        found = [self._staged(key, row, there) for row in rows]
        if before is not None:
            found = [each for each in found if self._same(before, each)] or found
        return min(found, key=lambda s: (isinstance(s.content, Invalid), _digest(s), s.about or ""))

    def _staged(self, key: str, row: Row, there: bool) -> Staged:
        """`there`: it was sent, and stays however late it would be to send it now."""
        content = self.reading.mapper(row) if there else content_of(row, self.reading)
        about = ""
        if isinstance(content, Interaction):
            about = about_of(self.key, content.contact)
        suspect = self.sent_before(key)
        return Staged(key, content, suspect=suspect, about=about, source=self._source(row))

    def _same(self, before: Mirrored, staged: Staged) -> bool:
        """Whether the row says what is recorded, or was sent, of it."""
        content, known = staged.content, before.known
        if known.state is State.DELIVERED:
            if isinstance(content, Invalid) or content.digest != known.digest:
                return False
            return before.about is None or before.about == staged.about
        return not differs(content, known)

    def _compare(self, said: Said, before: Mirrored, staged: Staged) -> None:
        state = before.known.state
        if state in (State.UNDONE, State.DISCARDED):  # a person decided
            self._nothing_beside(said, before)
        elif state is State.REMOVED:
            said.corrected.append((before, staged))
        elif state is State.DELIVERED:
            self._compare_delivered(said, before, staged)
        elif self._same(before, staged) or (self.keeps and state in MAY_BE_THERE):
            self._nothing_beside(said, before)
            self._refresh(said, before, staged)
        elif state in UNSENT and (not before.suspect or state is State.INVALID):
            said.corrected.append((before, staged))
        else:  # it is read back first with what is on record
            self._wish(said, before, staged, Aim.REPLACE)

    def _compare_delivered(self, said: Said, before: Mirrored, staged: Staged) -> None:
        change, same = before.change, self._same(before, staged)
        if change and change.asked:
            # it is gone, or will be: so it goes anew, even as it was
            self._wish(said, before, staged, Aim.REPLACE)
        elif same or self.keeps:
            if (self.restored or (change and change.suspect)) and before.has_id:
                self._wish(said, before, staged, Aim.LOOK)
            else:
                self._nothing_beside(said, before)
            about = before.about if before.about is not None or not same else staged.about
            self._refresh(said, before, staged._replace(about=about))
        else:
            self._wish(said, before, staged, Aim.REPLACE)

    def _wish(self, said: Said, before: Mirrored, staged: Staged, aim: Aim) -> None:
        change, staged = before.change, self._wanted(staged, aim)
        if change is None or not says(change, staged, aim) or self.restored:
            said.wishes.append(self._wish_of(before, staged, aim))

    def _wanted(self, staged: Staged, aim: Aim) -> Staged:
        """What is to be there instead: nothing, where it would be too late to send that."""
        if aim is not Aim.REPLACE:
            return staged
        activation, now = self.reading.activation, self.reading.source.now
        return staged._replace(content=in_time(staged.content, activation, now))

    def _wish_of(self, before: Mirrored, staged: Staged, aim: Aim) -> Wish:
        other = before.about is not None and staged.about != before.about
        unlike = other or isinstance(staged.content, Invalid)
        return Wish(before.known.id, aim, staged, self.restored, unlike)

    def _nothing_beside(self, said: Said, before: Mirrored) -> None:
        if before.change is not None:
            said.dropped.append(before.known.id)

    def _refresh(self, said: Said, before: Mirrored, staged: Staged) -> None:
        if (before.about, before.source) != (staged.about, staged.source):
            said.refreshed.append(Refreshed(before.known.id, staged.about, staged.source))


class Mirroring(Comparing):
    """One reading of a mirror's model, which is recorded."""

    def __init__(self, running: Running, reading: Plan, covers: Covers) -> None:
        self.running, self.flow, self.tally = running, running.flow, running.tally
        self.covers = covers
        self.ledger = self.flow.ledger
        # of a ledger that ever was put back, any new row may have been sent by a forgotten run
        before, ever_restored = running.sent_before, self.ledger.was_restored()
        super().__init__(
            reading,
            self.ledger,
            running.run.footing.known.ledger,
            self.ledger.is_restored(self.flow.name) and self.flow.destination.can.shows,
            lambda key: ever_restored or (bool(before) and running.references.of(key) in before),
        )
        self._uncounted = 0
        """Rows that were read of which the ledger was not told yet."""

    def read(self) -> Read:
        """All of it; then what of the ledger's rows was not there."""
        with closing(self.compared()) as batches:
            for read, said in batches:
                self._record(read, said)
                if self.flow.stop.asked:
                    return Read(False, False)
        if self.covers is Covers.SHOWN:
            self.ledger.stage(self.running.run, [], [], self.reading.mark, False, self._learnt())
            return Read(False, False)
        without_key = self.findings.without_key
        keyed, edited = self.tally.read - without_key, tuple(self.reading.edited)
        whole = Read(True, False, edited, keyed, without_key)
        if not keyed and self.covers is not Covers.ALL and self.ledger.live(self.name):
            return replace(whole, empty=True)
        self._vanished()
        if self.flow.stop.asked:
            return Read(False, False, edited)
        self.ledger.end_reading(self.running.run)
        mark, learnt = self.reading.mark, self._learnt()
        self.ledger.stage(self.running.run, [], [], mark, True, learnt)
        self.tally.notes += self.findings.sentences(self.reading.activation)
        return replace(whole, mark=mark, learnt=self._learnt(self.reading.edition))

    def _wish(self, said: Said, before: Mirrored, staged: Staged, aim: Aim) -> None:
        if before.change is not None or self.covers is not Covers.SHOWN:
            super()._wish(said, before, staged, aim)

    def _record(self, read: int, said: Said) -> None:
        if self.covers is Covers.SHOWN:
            keep_to_what_was_shown(said)
        self._uncounted += read
        run, beside = self.running.run, said.corrected or said.wishes or said.refreshed
        if said.new or beside or self._uncounted >= TOLD_AT_ONCE:
            self.ledger.stage(run, said.new, [], self.reading.mark, False, self._learnt())
        if beside or said.dropped:
            self.ledger.reflect(run, said.corrected, said.wishes, said.refreshed, said.dropped)
        self.tally.read += read
        self.tally.staged += len(said.new)
        staged = [*said.new, *(staged for _, staged in said.corrected)]
        self.tally.invalid += sum(isinstance(each.content, Invalid) for each in staged)
        self.flow.progress.reading(self.name, self.tally.read)

    def _learnt(self, edition: Edition | None = None) -> Learnt:
        read, self._uncounted = self._uncounted, 0
        edited = self.reading.home.edited(edition) if edition else ()
        return Learnt(edition, read, Remembered(self.kinds or None), edited)

    def _vanished(self) -> None:
        """Rows that the model has no more: they are to be taken back, or not to be sent."""
        after = 0
        while after < self.newest and not self.flow.stop.asked:
            page, after = self.ledger.present(self.name, after, self.newest, self.seen)
            wishes = [
                Wish(row.delivery_id, Aim.REMOVE, None, self.restored)
                for row in page
                if row.change is not Aim.REMOVE or self.restored
            ]
            if wishes:
                self.ledger.reflect(self.running.run, [], wishes)


def keep_to_what_was_shown(said: Said) -> int:
    """Nobody was shown what is new, or back: how many rows that are."""
    number = len(said.new) + len(said.corrected)
    said.new = []
    said.corrected = [c for c in said.corrected if c[0].known.state is not State.REMOVED]
    return number - len(said.corrected)


def _digest(staged: Staged) -> str:
    content = staged.content
    return content.reason if isinstance(content, Invalid) else content.digest


def says(change: Change, staged: Staged, aim: Aim) -> bool:
    """Whether that stands beside the row already."""
    content = staged.content
    invalid = content.reason if isinstance(content, Invalid) else None
    digest = None if isinstance(content, Invalid) else content.digest
    now = (aim, digest, staged.about, staged.source, invalid)
    return now == (change.aim, change.digest, change.about, change.source, change.invalid)


def is_as_before(change: Change, staged: Staged, aim: Aim) -> bool:
    """Whether an approval of what stands beside the row is one of this, too: see mirrors.py."""
    digest = None if isinstance(staged.content, Invalid) else staged.content.digest
    now = (aim, digest or "", staged.about or "")
    return now == (change.aim, change.digest or "", change.about or "")
