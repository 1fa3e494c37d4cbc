"""For how long the ledger keeps all that it knows of rows that were delivered."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from connector.rules.errors import Problem
from connector.rules.words import span_text

SHORTEST = timedelta(days=1)
"""A day as it is counted, so that none is pruned in the middle."""
EASILY = 10_000
"""Rows that a run prunes in any case, and …"""
AHEAD = 2
"""… for each that it has delivered so many: what was not pruned yet becomes less with each run."""


def most_at_once(delivered: int) -> int:
    """How many rows a run prunes at its end that has `delivered` so many."""
    return EASILY + AHEAD * delivered


def too_short(keep: timedelta | None, needs: Iterable[tuple[str, timedelta]]) -> Iterator[Problem]:
    """What needs rows for longer than they are kept; `needs`: a key of the configuration, and for
    how long it does."""
    for key, span in needs:
        if keep is not None and keep < span:
            text = (
                f"{span_text(keep)} is too short a time to keep delivered rows: {key} looks at"
                f" those of {span_text(span)}"
            )
            yield Problem(("ledger", "keep"), text)
