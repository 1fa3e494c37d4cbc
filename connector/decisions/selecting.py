"""Which rows a person means, and whether they are still those that were shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from connector.ledger.decisions import Case
from connector.ledger.store import Ledger
from connector.rules.delivery import State
from connector.rules.errors import ConfigurationError, StaleMove, unknown_key

MOST_PROBLEMS = 20
LONGEST_PATTERN = 200
"""Characters of a reason that are looked for; databases refuse very long patterns."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that are meant: those with `keys`; or, without any, those in one of `states` whose
    reason holds `reason`, or is just that where it is the `whole` reason."""

    keys: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    reason: str | None = None
    whole: bool = False
    count: int | None = None
    """How many of them a person saw; None where nobody did."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be decided about: rows in one of `states`, which `only` puts into words."""

    states: tuple[State, ...]
    only: str


def select(ledger: Ledger, activation: str, selection: Selection, allowed: Allowed) -> list[Case]:
    """The rows that `selection` means. Raises ConfigurationError, naming each key that is not
    recorded or not in an allowed state; StaleMove when they are more or fewer than were seen."""
    if selection.keys:
        found = _named(ledger, activation, list(dict.fromkeys(selection.keys)), allowed)
    else:
        pattern = (
            (selection.reason or "")[:LONGEST_PATTERN] if selection.whole else selection.reason
        )
        found = ledger.cases_in(activation, selection.states, pattern or None)
        found = [c for c in found if not selection.whole or c.reason == selection.reason]
    if selection.count not in (None, len(found)):
        raise changed(activation, "nothing was decided")
    return found


def _named(ledger: Ledger, activation: str, keys: Sequence[str], allowed: Allowed) -> list[Case]:
    found = ledger.cases(activation, keys)
    problems = [
        unknown_key(activation, key, ledger.similar_keys(activation, key))
        if key not in found
        else f"{_standing(activation, found[key])}; {allowed.only}"
        for key in keys
        if key not in found or found[key].state not in allowed.states
    ]
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [f"and {more} more like these"] if more > 0 else []
        raise ConfigurationError(*problems[:MOST_PROBLEMS], *rest)
    return [found[key] for key in keys]


def changed(activation: str, outcome: str) -> StaleMove:
    """That the rows are no longer those that a person was shown; `outcome`: so what."""
    return StaleMove(
        f'"{activation}": the rows have changed since they were shown, so {outcome}; look at them'
        " again"
    )


def _standing(activation: str, case: Case) -> str:
    """Where a row stands that was named for something else."""
    settle = f"`connector quarantine settle {quote(activation)} {quote(case.row_key)}`"
    words = {
        State.PENDING: "is pending: the next sync sends it",
        State.SENDING: "is being sent",
        State.DELIVERED: "was delivered and is never sent again",
        State.INVALID: "is invalid and was not sent",
        State.REJECTED: "was rejected, so nothing of it was stored",
        State.WAITING: "waits for its contact: each sync looks again",
        State.IN_DOUBT: "is in doubt, since it may have arrived: say what became of it with"
        f" {settle}",
        State.DISCARDED: "was discarded, which is final",
        State.UNDONE: "was taken back",
    }
    return f'"{case.row_key}" {words[case.state]}'
