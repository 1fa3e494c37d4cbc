"""Turns: how often one contact is told something, and when a row may go that has to wait for it.

Pure. Times are milliseconds since 1970 by the wall clock, as those of send windows.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from connector.basis import dataclass
from connector.rules.activation import Activation

FOR_TURN = "it waits for its turn: its contact has had as much as per_contact allows"
"""Why a row is pending that may not be sent yet."""
WAITS_FOR_TIME = {
    **dict.fromkeys(("next_window", "next_turn", "next_try", "rests_for", "next_settling")),
    **dict.fromkeys(("for_window", "for_turn", "resting", "too_young"), 0),
}
"""What is told of rows that a run has left to be sent, or settled, later, and what that is where
none are."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A row's place among what one contact is told. `contact`: a keyed hash of the contact's id;
    `at`: when it is sent, or not before; `cap`: by which it waits until then; None: it is sent."""

    contact: str
    at: int
    cap: str | None = None


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` sends to one contact within any `every` (milliseconds)."""

    most: int
    every: int

    @property
    def word(self) -> str:
        """By which one sees that a row waits for this very cap."""
        return f"{self.most}/{self.every}"


def cap_of(activation: Activation) -> Cap | None:
    """How often the activation tells one contact something; None: as often as there are rows."""
    per = activation.per_contact
    return Cap(per.most, round(per.every.total_seconds() * 1000)) if per else None


@dataclass(slots=True)
class Line:
    """What one contact was told lately, and the rows that wait for their turn. `taken`: when it was
    sent to; `ahead`: rows that wait, by their ids, with the time until which each of them does."""

    taken: list[int] = field(default_factory=list)
    ahead: dict[int, int] = field(default_factory=dict)

    def turns(self, cap: Cap, rows: Iterable[int], now: int) -> Iterator[tuple[int, int]]:
        """Of `rows`, in the order in which they are to go, from when on each may be sent, if all
        before it are: `now`, or later."""
        times, before = sorted(self.taken), sorted(self.ahead.items())
        passed = 0
        for row in rows:
            while passed < len(before) and before[passed][0] < row:
                insort(times, max(now, before[passed][1]))
                passed += 1
            at = self._next(times, cap, now)
            insort(times, at)
            yield row, at

    @staticmethod
    def _next(times: Sequence[int], cap: Cap, now: int) -> int:
        return now if len(times) < cap.most else max(now, times[-cap.most] + cap.every)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many rows wait for their turn, and when the first of them may go. `replaced`: those of
    them that stay as they were sent until they are replaced."""

    number: int
    next_at: int | None
    replaced: int = 0

    @property
    def pending(self) -> int:
        """How many are not sent yet."""
        return self.number - self.replaced


@dataclass(slots=True)
class Crowd:
    """Rows that would be sent, counted by whose they are, as the model names contacts."""

    cap: Cap
    rows: Counter[str] = field(default_factory=Counter)

    def wait(self, taken: Mapping[str, Sequence[int]], now: int) -> Waiting:
        """How many of them could not go now. `taken`: when contacts were sent to lately."""
        number, first = 0, None
        for contact, rows in self.rows.items():
            times = sorted(taken.get(contact, ()))[-self.cap.most :]
            late = rows - (self.cap.most - len(times))
            if late > 0:
                number += late
                at = max(now, (times[0] if times else now) + self.cap.every)
                first = at if first is None else min(first, at)
        return Waiting(number, first)
