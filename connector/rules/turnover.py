"""Notice that a row key is not the same at each reading, before its rows are sent again.

What a run reads is, in part, what the next one reads again: the rows within the overlap, or the
whole model. A sample of those rows is remembered. Where most of them are gone at the next reading
and as many unknown ones stand in their place, they are likely the same rows under other keys, as
uuid() in a model gives them.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from connector.rules.values import PLACED, has_place

SAMPLE = 200
TAIL = 2000
"""Rows before a watermark that are looked at for the sample."""
FEW = 10
"""Fewer rows may well have been taken away while others came: those must look the same, too."""
MOST = 0.5
"""The share of rows that may be gone, where no limit is written."""


@dataclass(frozen=True, slots=True)
class Rereads:
    """What the next run reads again, if it reads from `start` on: how many rows, and of a sample of
    them a hash of the key, with one of what else the activation takes from the row."""

    start: str | None
    rows: int
    sample: Mapping[int, int]

    @property
    def text(self) -> str:
        """For the ledger."""
        return json.dumps([self.start, self.rows, list(self.sample.items())])

    @classmethod
    def of(cls, text: str | None) -> "Rereads | None":
        if not text:
            return None
        start, rows, sample = json.loads(text)
        return cls(start, rows, dict(sample))


@dataclass(frozen=True, slots=True)
class Turnover:
    """Of `again` rows that should have been read again, `gone` are missing, and `unknown` ones
    appeared."""

    again: int
    gone: int
    unknown: int


Keyed = tuple[str, Sequence[Any]]
"""A row under the text of its key."""


def key_hash(key: str) -> int:
    """A number that stands for a row key."""
    return crc32(key.encode("utf-8", "surrogatepass"))


def content_hash(row: Sequence[Any], columns: Sequence[int]) -> int:
    """A number that stands for what a row says, whatever its key is."""
    values = [bytes(v) if isinstance(v := row[i], memoryview) else v for i in columns]
    return crc32(repr(values).encode("utf-8", "surrogatepass"))


class Sampler:
    """Draws the sample of what the next run reads again, while rows are read."""

    def __init__(self, columns: Sequence[int], cursor: int | None) -> None:
        """`columns`: what else than the key is looked at; `cursor`: where a row has its cursor,
        which orders them."""
        self._columns, self._cursor = columns, cursor
        self._rows = 0
        self._drawn: dict[int, Sequence[Any]] = {}
        self._below = 2**32
        self._tail: list[Keyed] = []

    def add(self, rows: Sequence[Keyed]) -> None:
        """These rows were recorded, or were so before."""
        if self._cursor is None:
            self._draw(rows)
        else:
            place = self._cursor
            placed = [
                keyed for keyed in rows if type(at := keyed[1][place]) in PLACED or has_place(at)
            ]
            self._tail = [*self._tail, *placed][-TAIL:]

    def _draw(self, rows: Iterable[Keyed]) -> None:
        """The rows whose keys have the lowest hashes: of the same keys always the same ones."""
        for key, row in rows:
            self._rows += 1
            if (number := key_hash(key)) < self._below:
                self._drawn[number] = row
        if len(self._drawn) > SAMPLE:
            lowest = sorted(self._drawn)[:SAMPLE]
            self._drawn = {number: self._drawn[number] for number in lowest}
            self._below = lowest[-1]

    def rereads(self, start: str | None, reads: Callable[[Any], bool]) -> Rereads | None:
        """What a run reads again from `start` on; `reads`: whether it reads a row with such a
        cursor. None when no row was seen."""
        if self._cursor is not None:
            place = self._cursor
            self._rows, self._drawn, self._below = 0, {}, 2**32
            self._draw(keyed for keyed in self._tail if reads(keyed[1][place]))
        if not self._rows:
            return None
        sample = {n: content_hash(row, self._columns) for n, row in self._drawn.items()}
        return Rereads(start, self._rows, sample)


class Watch:
    """Compares one reading with what it should have found of the last one."""

    def __init__(self, before: Rereads | None, columns: Sequence[int]) -> None:
        self._before, self._columns = before, columns
        self._missing = dict(before.sample) if before else {}
        self._wanted = set(self._missing.values())
        self._alike: Counter[int] = Counter()
        self._unknown = 0

    def saw(self, rows: Iterable[Keyed], known: Collection[str]) -> None:
        """These rows were read; `known`: the keys that the ledger had before."""
        if not self._before:
            return
        for key, row in rows:
            self._missing.pop(key_hash(key), None)
            if key not in known:
                self._unknown += 1
                if self._before.rows < 2 * FEW and (c := content_hash(row, self._columns)) in (
                    self._wanted
                ):
                    self._alike[c] += 1

    @property
    def is_settled(self) -> bool:
        """Whether enough rows are there that nothing more has to be read to be sure."""
        return not self._before or 2 * len(self._missing) <= len(self._before.sample)

    @property
    def turnover(self) -> Turnover | None:
        """What was found; None while there are not as many unknown rows as others are gone."""
        if not self._before or not self._missing:
            return None
        gone = -(-self._before.rows * len(self._missing) // len(self._before.sample))
        alike = sum((self._alike & Counter(self._missing.values())).values())
        if self._unknown < gone or (gone < FEW and 2 * alike <= len(self._missing)):
            return None
        return Turnover(self._before.rows, gone, self._unknown)
