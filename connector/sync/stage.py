"""Record what a model has: every row, with the body to be sent, before anything is sent.

The rows of a batch and the watermark move in one transaction, so the watermark never passes a row
that is not recorded, whatever dies when.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

from connector.ledger.records import Edition, Known, Learnt, Remembered, Staged, Tally
from connector.rules.interaction import Invalid
from connector.rules.schema import InteractionSchema
from connector.sync.behind import is_to_be_looked_at, passed_over
from connector.sync.findings import Findings
from connector.sync.flow import Running
from connector.sync.reading import TOLD_AT_ONCE, Plan, Source, keyed, plan
from connector.sync.sorting import Sorted, sort_out
from connector.warehouse import Reader

Rows = Sequence[Sequence[Any]]


def stage(running: Running, schema: InteractionSchema, reader: Reader) -> None:
    """Read the model from the watermark on, or the whole of it, and record what is new; at most as
    many new rows as the run is limited to.

    Stops between two batches when the run is to stop. Counts into its tally. Raises
    ConfigurationError, WarehouseUnavailable, LedgerUnavailable or LeaseLost.
    """
    flow, began = running.flow, running.run.started_at
    source = Source(flow.activation, schema, reader, flow.ledger, flow.zone, began)
    reading = plan(source, running.orders.full, running.home)
    running.tally.notes += reading.notes
    staging = Staging(running, reading)
    with closing(reading.rows()) as batches:
        read_to_the_end = staging.read(batches)
    staging.end(read_to_the_end)
    running.tally.unread = not read_to_the_end
    if read_to_the_end and not running.tally.read and flow.activation.limits.empty == "hold":
        running.tally.judged.empty = reading.is_empty()


class Staging:
    """One reading of the model, and how far it has come."""

    def __init__(self, running: Running, reading: Plan) -> None:
        self.running, self.reading = running, reading
        self.flow, self.tally, self.mark = running.flow, running.tally, reading.mark
        self.watch, self.sampler = reading.watch(), reading.sampler()
        self.remembered, self.findings = Remembered(), Findings()
        self.read_any = self.found_new = False
        self._moved_before = self.flow.ledger.moved_by(running.run)
        """Rows that the run settled, or took back, before it read: they were not read by it yet."""
        self._uncounted = 0
        """Rows that were read of which the ledger was not told yet."""

    def read(self, batches: Iterator[Rows]) -> bool:
        """Record batch by batch; False when that ended before the model did."""
        for read in batches:
            rows = self._record(read)
            # what was cut off here must be the next run's, so nothing that follows it is recorded
            if self.flow.stop.asked or len(rows) < len(read) or self._room() == 0:
                if self.tally.staged:
                    self._look_further(chain([read[len(rows) :]], batches))
                return False
        return True

    def _record(self, read: Rows) -> Rows:
        """Record a batch, as much of it as there is room for: that part."""
        reading, run, keys = self.reading, self.running.run, self.reading.mapper.keys(read)
        known = self._known(keys)
        room, rows = self._room(), read
        if room is not None and not reading.history:  # history is not sent: it does not count
            keys = _up_to_new(keys, known, room)
            rows = read[: len(keys)]
        batch = sort_out(rows, reading, known, run.run_id, keys)
        batch.new = self._marked(batch.new)
        self.mark = reading.advanced(self.mark, batch.cursors, run.started_at)
        kinds = self.remembered.key_kinds or reading.kinds_of(rows)
        self.remembered = Remembered(kinds)
        self._uncounted += batch.read
        if batch.new or batch.corrected or self._uncounted >= TOLD_AT_ONCE:
            self._stage(False, self._learnt(self.remembered), batch)
        self._moved_before -= {before.id for before, _ in batch.corrected}
        usable = keyed(keys, rows)
        self.watch.saw(usable, known)
        self.sampler.add(usable)
        self.findings.add(batch.repeated, batch.without_key)
        self.read_any |= bool(batch.cursors)
        self.found_new |= bool(batch.new)
        _count(batch, self.tally)
        self.flow.progress.reading(self.flow.name, self.tally.read)
        return rows

    def _known(self, keys: Sequence[str | None]) -> Mapping[str, Known]:
        known = self.reading.known(keys)
        if not self._moved_before:
            return known
        return {
            key: row._replace(run_id="") if row.id in self._moved_before else row
            for key, row in known.items()
        }

    def _marked(self, new: list[Staged]) -> list[Staged]:
        """`new`, with those marked that were sent before."""
        before, references = self.running.sent_before, self.running.references
        if not before:
            return new
        return [row._replace(suspect=references.of(row.row_key) in before) for row in new]

    def _room(self) -> int | None:
        """How many more rows may be staged; None: any number."""
        limit = self.running.orders.limit
        return None if limit is None else max(limit - self.tally.staged, 0)

    def _look_further(self, batches: Iterator[Rows]) -> None:
        """Read on without recording, until what should be read again is there: it may come after
        the rows to which the run is limited."""
        while not (self.watch.is_settled or self.flow.stop.asked):
            if (rows := next(batches, None)) is None:
                return
            keys = self.reading.mapper.keys(rows)
            self.watch.saw(keyed(keys, rows), self.reading.known(keys))

    def end(self, read_to_the_end: bool) -> None:
        """Move the mark over what it has passed by, and tell of that; record where the next run
        begins, and what it should find again."""
        if read_to_the_end and is_to_be_looked_at(self.reading, self.found_new):
            self.mark, told = passed_over(self.reading, self.mark, self.read_any)
            self.tally.notes += told
        start, reads = self.reading.again_from(self.mark)
        remembered = replace(self.remembered, rereads=self.sampler.rereads(start, reads))
        edition = self.reading.edition if read_to_the_end else None
        self._stage(read_to_the_end, self._learnt(remembered, edition))
        self.tally.turnover = self.watch.turnover
        self.tally.notes += self.findings.sentences(self.flow.activation)

    def _stage(self, begun: bool, learnt: Learnt, batch: Sorted | None = None) -> None:
        new, corrected = (batch.new, batch.corrected) if batch else ([], [])
        self.flow.ledger.stage(self.running.run, new, corrected, self.mark, begun, learnt)

    def _learnt(self, remembered: Remembered, edition: Edition | None = None) -> Learnt:
        read, self._uncounted = self._uncounted, 0
        edited = self.reading.home.edited(edition) if edition else ()
        return Learnt(edition, read, remembered, edited)


def _up_to_new(keys: list[str | None], known: Mapping[str, Known], most: int) -> list[str | None]:
    """The beginning of `keys` that holds at most `most` new ones."""
    new: set[str] = set()
    for i, key in enumerate(keys):
        if key is not None and key not in known:
            new.add(key)
        if len(new) >= most:
            return keys[: i + 1]
    return keys


def _count(batch: Sorted, tally: Tally) -> None:
    recorded = [row for row in batch.new if not row.history]
    tally.read += batch.read
    tally.staged += len(recorded)
    changed = [staged for _, staged in batch.corrected]
    tally.invalid += sum(isinstance(row.content, Invalid) for row in recorded + changed)
