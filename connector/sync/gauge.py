"""Rows that are to be sent are gauged for limits: how old they are, whose they are, and what earlier
runs were like. The same for a run, which has recorded them, and for a preview, which only looks."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Protocol
from zlib import crc32

from connector.ledger.questions import Questions
from connector.rules.activation import Activation
from connector.rules.delivery import Found, NotApplied
from connector.rules.grammar import Limits, Times
from connector.rules.history import History, Usual, runs_with_rows, usual_rows
from connector.rules.interaction import instant_text
from connector.sync.lookup import Contacts

SAMPLE = 300
"""Identifiers that are looked up before the first send, at most."""
TOGETHER = 50
EXAMPLES = 3


class Heeds(Protocol):
    """Who may end looking up."""

    def raise_error(self) -> None:
        """Raise what the run is to be stopped by, if it is."""


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


async def look_up(contacts: Contacts, identifiers: list[str], heeds: Heeds | None = None) -> Sample:
    """Look them up; safe to repeat. Raises what stops the run."""
    await contacts.ahead(identifiers)
    looked_up = found = 0
    for start in range(0, len(identifiers), TOGETHER):
        part = identifiers[start : start + TOGETHER]
        for answer in await asyncio.gather(*map(contacts.of, part)):
            looked_up += not isinstance(answer, NotApplied)
            found += isinstance(answer, Found)
        if heeds:
            heeds.raise_error()
    return Sample(looked_up, found)


def wants_history(limits: Limits) -> bool:
    """Whether any run is compared with earlier ones."""
    return isinstance(limits.rows, Times) or limits.matched is not None


def history_of(
    memory: Questions, activation: Activation, zone: tzinfo | None, now: datetime, empty: bool
) -> History:
    """What earlier runs were like, as far as the limits want to know it. `zone`: that of the
    warehouse, where the schedule has none; `empty`: the model has no row at all."""
    limits, name = activation.limits, activation.name
    schedule = activation.schedule
    here = (schedule.timezone if schedule else None) or zone or UTC
    rows, weekday, match, with_rows = Usual(), "", Usual(), 0
    if isinstance(limits.rows, Times):
        rows, weekday = usual_rows(memory.rows_of_runs(name), now, here)
    if limits.matched is not None:
        match = Usual.of(memory.matches_of_runs(name))
    if empty and limits.empty == "hold":
        with_rows = runs_with_rows(memory.readings(name))
    return History(rows, weekday, match, with_rows)
