"""How far a batch has come: later than it was taken over, and not in its own order."""

import math
from dataclasses import field
from random import Random
from typing import Literal

from connector.basis import dataclass

Fate = Literal["processed", "stuck", "failed"]


@dataclass(slots=True)
class Progress:
    """The processing of so many records. All times are seconds since 1970."""

    records: int
    taken_at: float
    begins_at: float
    takes: float  #: how long it takes, without a pause
    pause: float  #: how long it stops half-way
    fate: Fate
    order: list[int] = field(default_factory=list)
    done: int = 0
    errors: dict[int, str] = field(default_factory=dict)  #: by place of the record
    ended_at: float | None = None

    def due(self, now: float) -> list[int]:
        """Return the places of the records to be processed by now, and take them for done."""
        if self.fate == "stuck" or self.ended_at is not None:
            return []
        number = 0 if now < self.begins_at else self._by(now - self.begins_at)
        places = self.order[self.done : number]
        self.done = max(self.done, number)
        if self.done == self.records:
            self.ended_at = min(now, self.begins_at + self.takes + self.pause)
        return [] if self.fate == "failed" else places

    def finish(self, now: float) -> None:
        """Let everything be due by now, unless it is stuck, or not taken over yet."""
        if self.taken_at <= now:
            self.begins_at = min(self.begins_at, now)
            self.takes = self.pause = 0

    def _by(self, seconds: float) -> int:
        """How many records are processed so long after the begin."""
        half = self.takes / 2
        if seconds > half:
            seconds = max(half, seconds - self.pause)
        if self.takes:
            number = min(self.records, math.floor(self.records * seconds / self.takes))
        else:
            number = self.records
        paused = self.pause and seconds <= half
        return min(number, self.records // 2) if paused else number


def begun(
    records: int, dice: Random, taken_at: float, times: tuple[float, float, float]
) -> Progress:
    """Return the processing of a batch: `times` are its delay, its length and its pause."""
    delay, takes, pause = times
    order = list(range(records))
    dice.shuffle(order)
    return Progress(records, taken_at, taken_at + delay, takes, pause, "processed", order)
