"""Record what a model has: every row, with the body to be sent, before anything is sent.

The rows of a batch and the watermark move in one transaction, so the watermark never passes a row
that is not recorded, whatever dies when.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from connector.ledger.records import Known, Remembered, Run, Tally
from connector.ledger.store import Ledger
from connector.rules.activation import Activation
from connector.rules.interaction import Invalid
from connector.rules.mapping import LONGEST_KEY
from connector.rules.schema import InteractionSchema
from connector.rules.turnover import Watch
from connector.sync.behind import is_to_be_looked_at, passed_over
from connector.sync.reading import Plan, Sorted, keys_of, plan, sort_out
from connector.warehouse import Reader

Progress = Callable[[int], None]


def stage(
    run: Run,
    activation: Activation,
    schema: InteractionSchema,
    reader: Reader,
    ledger: Ledger,
    zone: ZoneInfo | None,
    tally: Tally,
    limit: int | None = None,
    whole: bool = False,
    stopping: Callable[[], bool] = lambda: False,
    progress: Progress = lambda rows: None,
) -> None:
    """Read the model from the watermark on, or the `whole` of it, and record what is new; at most
    `limit` new rows.

    Stops between two batches when `stopping` says so. Counts into `tally`. Raises
    ConfigurationError, WarehouseUnavailable, LedgerUnavailable or LeaseLost.
    """
    reading = plan(activation, schema, reader, ledger, zone, run.started_at, whole)
    tally.notes += reading.notes
    mark, findings, begun = reading.mark, Findings(), True
    read_any = found_new = False
    watch, sampler, remembered = reading.watch(), reading.sampler(), Remembered()
    with closing(reading.rows(reader)) as batches:
        for read in batches:
            known = ledger.known(activation.name, keys_of(read, reading))
            rows = read
            if limit is not None and not reading.history:  # history is not sent: it does not count
                rows = _up_to_new(read, reading, known, limit - tally.staged)
            batch = sort_out(rows, reading, known, run.run_id)
            mark = reading.advanced(mark, batch.cursors, run.started_at)
            remembered = Remembered(remembered.key_kinds or reading.kinds_of(rows, reader))
            ledger.stage(
                run, batch.new, batch.corrected, mark, False, read=batch.read, remembered=remembered
            )
            keyed = reading.keyed(rows)
            watch.saw(keyed, known)
            sampler.add(keyed)
            findings.add(batch)
            read_any, found_new = read_any or bool(batch.cursors), found_new or bool(batch.new)
            _count(batch, tally)
            progress(tally.read)
            # what was cut off here must be the next run's, so nothing that follows it is recorded
            if stopping() or len(rows) < len(read) or (limit is not None and tally.staged >= limit):
                begun = False
                break
        if not begun and tally.staged:
            _look_further(reading, watch, ledger, chain([read[len(rows) :]], batches), stopping)
    if begun and is_to_be_looked_at(reading, found_new):
        mark, told = passed_over(reading, mark, read_any, reader, ledger)
        tally.notes += told
    start, reads = reading.again_from(mark)
    remembered = replace(remembered, rereads=sampler.rereads(start, reads))
    edition = reading.edition if begun else None
    ledger.stage(run, [], [], mark, begun, edition, remembered=remembered)
    tally.turnover = watch.turnover
    tally.notes += findings.sentences(activation)


def _look_further(
    reading: Plan,
    watch: Watch,
    ledger: Ledger,
    batches: Iterator[Sequence[Sequence[Any]]],
    stopping: Callable[[], bool],
) -> None:
    """Read on without recording, until what should be read again is there: it may come after the
    rows to which the run is limited."""
    while not watch.is_settled and not stopping() and (rows := next(batches, None)) is not None:
        known = ledger.known(reading.activation.name, keys_of(rows, reading))
        watch.saw(reading.keyed(rows), known)


@dataclass(slots=True)
class Findings:
    """Rows that cannot be recorded: nothing identifies them, or another row has their key."""

    repeated: int = 0
    example: str = ""
    without_key: int = 0

    def add(self, batch: Sorted) -> None:
        """Take in what `batch` has of them."""
        if batch.repeated and not self.repeated:
            self.example = batch.repeated[0]
        self.repeated += len(batch.repeated)
        self.without_key += batch.without_key

    def sentences(self, activation: Activation) -> list[str]:
        """What a person should know and do."""
        key = ", ".join(activation.row_key)
        found = []
        if self.repeated:
            found.append(
                f"{_rows(self.repeated)} repeated a row key ({key}), such as {self.example}; the"
                " first row of a key counts, the others are not sent"
            )
        if self.without_key:
            found.append(
                f"{_rows(self.without_key)} without a usable row key ({key} NULL, longer than"
                f" {LONGEST_KEY} characters, not text, or a time that no calendar has); they cannot"
                " be recorded and are not sent"
            )
        return found


def _up_to_new(
    rows: Sequence[Sequence[Any]], reading: Plan, known: Mapping[str, Known], most: int
) -> Sequence[Sequence[Any]]:
    """The beginning of `rows` that holds at most `most` new ones."""
    new: set[str] = set()
    for i, row in enumerate(rows):
        key = reading.mapper.key(row)
        if key is not None and key not in known:
            new.add(key)
        if len(new) >= most:
            return rows[: i + 1]
    return rows


def _count(batch: Sorted, tally: Tally) -> None:
    recorded = [row for row in batch.new if not row.history]
    tally.read += batch.read
    tally.staged += len(recorded)
    changed = [staged for _, staged in batch.corrected]
    tally.invalid += sum(isinstance(row.content, Invalid) for row in recorded + changed)


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"
