"""Rows that are to be sent are gauged for limits: how old they are, and whose they are. The same
for a run, which has recorded them, and for a preview, which only looks."""

from collections.abc import Iterable
from dataclasses import field
from datetime import datetime
from zlib import crc32

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.interaction import instant_text

SAMPLE = 300
"""Identifiers that are looked up before the first send, at most."""
EXAMPLES = 3


@dataclass(slots=True)
class Gauge:
    """Rows of `activation` that would be sent at `now`, as far as its limits want to know them."""

    activation: Activation
    now: datetime
    old: int = 0
    oldest: list[tuple[datetime, str]] = field(default_factory=list)
    _sample: dict[str, int] = field(default_factory=dict)
    """Distinct identifiers, each with its hash."""
    _below: int = 2**32

    @property
    def is_wanted(self) -> bool:
        """Whether a limit wants to know each row."""
        return self._judges_age or self.activation.limits.matched is not None

    @property
    def _judges_age(self) -> bool:
        """A row without a time of its own happens when it is staged: it is never old."""
        limits, happened = self.activation.limits, self.activation.happened
        return limits.older_than is not None and happened is not None

    @property
    def identifiers(self) -> list[str]:
        """A sample of them: those with the lowest hashes, so that of the same rows it is always the
        same one, in whatever order they came."""
        return sorted(sorted(self._sample, key=lambda c: (self._sample[c], c))[:SAMPLE])

    def add_recorded(self, rows: Iterable[tuple[str, str, str, bool]]) -> None:
        """Take in rows as `to_be_sent` gives them. One that has waited for its contact is late
        because that was allowed."""
        for row_key, contact, created, has_waited in rows:
            self.add(row_key, contact, None if has_waited else created)

    def add(self, row_key: str, contact: str, created: str | None) -> None:
        """Take in a row; `created` None: its age does not count."""
        if self.activation.limits.matched is not None:
            self._draw(contact)
        if created is not None and self._judges_age:
            self._look_at_age(row_key, datetime.fromisoformat(created))

    def _draw(self, contact: str) -> None:
        if (number := crc32(contact.encode("utf-8", "surrogatepass"))) > self._below:
            return
        self._sample[contact] = number
        if len(self._sample) >= 4 * SAMPLE:
            self._sample = {each: self._sample[each] for each in self.identifiers}
            self._below = max(self._sample.values())

    def _look_at_age(self, row_key: str, created: datetime) -> None:
        most = self.activation.limits.older_than
        # what is given up for being late is not sent anyway
        if most is None or self.now - created <= most or self._is_given_up(created):
            return
        self.old += 1
        if len(self.oldest) < EXAMPLES or (created, row_key) < self.oldest[-1]:
            self.oldest = sorted([*self.oldest, (created, row_key)])[:EXAMPLES]

    def _is_given_up(self, created: datetime) -> bool:
        return self.activation.too_late(created, self.now) is not None

    @property
    def oldest_text(self) -> str | None:
        """When the oldest of the old ones happened."""
        return instant_text(self.oldest[0][0]) if self.oldest else None

    @property
    def old_keys(self) -> tuple[str, ...]:
        """Some of the old ones, the oldest first."""
        return tuple(row_key for _, row_key in self.oldest)


@dataclass(frozen=True, slots=True)
class Sample:
    """What came of looking a sample of identifiers up."""

    looked_up: int = 0
    found: int = 0

    @property
    def share(self) -> float | None:
        """Of those that belong to a contact; None where none was looked up."""
        return round(self.found / self.looked_up, 4) if self.looked_up else None
