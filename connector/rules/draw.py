"""Which rows a verification of an activation looks at: new ones and others, by draw.

The draw is arithmetic that a database does as well as Python, so that of many millions of rows
only those are fetched that are drawn: an id times a factor, plus a shift, modulo a prime, is spread
evenly, and anew with each factor and shift.
"""

from datetime import timedelta

from connector.basis import dataclass

PRIME = 2**31 - 1
MOST = 100_000
"""Rows that one verification looks at, at most."""
LEAST = 100
"""New rows that are all looked at: a small share of few rows would say nothing."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A row is new when it was delivered after `since` (milliseconds since 1970), and not looked at
    when after `until`. Of each kind those are drawn whose lot lies below. `again`: deliveries that
    are looked at in any case."""

    since: int
    until: int
    factor: int
    shift: int
    new_below: int = PRIME
    older_below: int = PRIME
    again: frozenset[int] = frozenset()

    def takes(self, delivery_id: int, changed_at: int) -> bool:
        """Whether a row is to be looked at."""
        if changed_at > self.until:
            return False
        lot = (delivery_id % PRIME * self.factor + self.shift) % PRIME
        below = self.new_below if changed_at > self.since else self.older_below
        return lot < below or delivery_id in self.again


def shares(new: int, older: int, sample: float) -> tuple[float, float]:
    """Of `new` rows and of `older` ones, of both of which a `sample` is asked for, the shares that
    are looked at: no more than MOST rows in all, and the new ones first."""
    of_new = min(1.0, MOST / new, max(sample, LEAST / new)) if new else 1.0
    room = max(0.0, MOST - new * of_new)
    of_older = min(sample, room / older) if older else sample
    return of_new, of_older


def first_since(until: int, span: timedelta) -> int:
    """Since when rows count as new, where nothing was verified before: for one `span`."""
    return until - round(span.total_seconds() * 1000)
