"""Pass over the rows of a mirror's model that are as they were, by a digest that the warehouse
computes of each: what they hold is not read.

Of a row that is as it was one bit is kept; of one that is new or has changed its key, since it is
read in whole afterwards, and what it says then counts. Where these are many, reading the whole
model once costs less than finding them one by one.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from connector.ledger.mirrored import MirroredRows
from connector.rules.keys import Kinds
from connector.rules.mapping import key_text
from connector.sync.findings import Findings
from connector.sync.reading import Plan
from connector.sync.seen import Seen
from connector.warehouse import DIGEST

Row = Sequence[Any]
BRIEF_ONES = 10_000
"""Keys and digests that are read together."""
MOST_LEFT = 100_000
"""Keys of rows that are read by their keys."""
TOGETHER = 20_000
"""Keys that are asked for in one statement: for each the warehouse may compute the whole model."""


def makes_digests(reading: Plan) -> bool:
    """Whether the warehouse says of each row, by a digest, whether it is as it was."""
    return reading.scan.columns[-1] == DIGEST


def may_pass_over(reading: Plan) -> bool:
    """Whether most rows may be as they were: the model was read before, and as it is read now."""
    return makes_digests(reading) and reading.home.edition == reading.edition


class PassingOver:
    """One reading of keys and digests alone, beside what is recorded. Rows that are as they were
    are `seen`."""

    def __init__(self, reading: Plan, memory: MirroredRows) -> None:
        self.reading, self.memory, self.seen = reading, memory, Seen()
        self.findings = Findings()
        self.kinds: Kinds = ()
        self._left = dict[str, Row]()

    @property
    def too_many(self) -> bool:
        """Whether so many rows are new or have changed that the whole model is to be read."""
        return len(self._left) > MOST_LEFT

    def batches(self) -> Iterator[int]:
        """Compare all rows, or up to where they are too many; how many, batch by batch."""
        with closing(self.reading.rows(BRIEF_ONES)) as batches:
            for rows in batches:
                self.kinds = self.kinds or self.reading.kinds_of(rows, brief=True)
                self._compare(rows)
                yield len(rows)
                if self.too_many:
                    return

    def left(self) -> Iterator[dict[str, Row]]:
        """By their row keys, the values of the keys of the rows that are to be read, those that are
        asked for together."""
        items = iter(self._left.items())
        while part := dict(islice(items, TOGETHER)):
            yield part

    def _compare(self, rows: Sequence[Row]) -> None:
        keys = [key_text(row[:-1]) for row in rows]
        name = self.reading.activation.name
        known = self.memory.sources(name, [key for key in keys if key is not None])
        left, seen = self._left, self.seen
        for key, row in zip(keys, rows, strict=True):
            if key is None:
                self.findings.add((), 1)
                continue
            if key in left:  # all rows of its key are read
                continue
            recorded = known.get(key)
            if recorded is None or (recorded[1] != row[-1] and recorded[0] not in seen):
                left[key] = row[:-1]
            elif not seen.add(recorded[0]):
                self.findings.add((key,), 0)
