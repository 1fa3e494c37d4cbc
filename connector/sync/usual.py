"""What rows to be sent are compared with: earlier runs, and a sample of their contacts."""

import asyncio
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from connector.ledger.questions import Questions
from connector.rules.activation import Activation
from connector.rules.delivery import Found, NotApplied
from connector.rules.gauge import Sample
from connector.rules.grammar import Times
from connector.rules.history import History, Usual, runs_with_rows, usual_rows
from connector.sync.lookup import Contacts

TOGETHER = 50
"""Identifiers that are asked for side by side."""


class Heeds(Protocol):
    """Who may end looking up."""

    def raise_error(self) -> None:
        """Raise what the run is to be stopped by, if it is."""


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
