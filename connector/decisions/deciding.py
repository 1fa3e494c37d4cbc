"""What decisions have in common: which rows are meant, the record, and what came of it."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import field
from shlex import quote
from typing import TypeVar

from connector.basis import dataclass
from connector.ledger.decisions import (
    Case,
    Decision,
    Discarded,
    Person,
    Retried,
    SaidAbsent,
    SaidDelivered,
)
from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.project.app import App
from connector.rules.deed import Document, error_document
from connector.rules.delivery import State
from connector.rules.errors import (
    ConfigurationError,
    ConnectorError,
    StaleMove,
    pruned_key,
    unknown_key,
)
from connector.rules.interaction import Invalid, instant_text
from connector.sync.run import RESTORED

T = TypeVar("T")
MOST_PROBLEMS = 20
LONGEST_PATTERN = 200
"""Characters of a reason that are looked for; databases refuse very long patterns."""
TOGETHER = 10_000
"""Rows that are decided about in one transaction, and whose bodies are in memory at most. A larger
one would keep the runs of other activations waiting for a SQLite ledger for too long."""


# --- which rows ---------------------------------------------------------------------------------


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
    holding: str | None = None
    """What their keys hold; or begin with, where it ends in `*`. None: whatever they are."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be decided about: rows in one of `states`, which `only` puts into words."""

    states: tuple[State, ...]
    only: str


def taken_over(app: App, ledger: Ledger, name: str) -> None:
    """Nothing, where the rows of an activation are recorded under its name. Raises
    ConfigurationError while they are recorded under its earlier one: nothing would be found."""
    configured = app.settings.project.activations.get(name)
    earlier = configured.renamed_from if configured else None
    if isinstance(earlier, str) and ledger.is_under(earlier, name):
        raise ConfigurationError(
            f'the rows of "{name}" are recorded under its earlier name "{earlier}" until a run has'
            f" taken them over: `connector sync {quote(name)}` first"
        )


def select(ledger: Ledger, activation: str, selection: Selection, allowed: Allowed) -> list[Case]:
    """The rows that `selection` means. Raises ConfigurationError, naming each key that is not
    recorded or not in an allowed state; StaleMove when they are more or fewer than were seen."""
    if selection.keys:
        found = _named(ledger, activation, list(dict.fromkeys(selection.keys)), allowed)
    else:
        pattern = (
            (selection.reason or "")[:LONGEST_PATTERN] if selection.whole else selection.reason
        )
        found = ledger.cases_in(activation, selection.states, pattern or None, selection.holding)
        found = [c for c in found if not selection.whole or c.reason == selection.reason]
    if selection.count not in (None, len(found)):
        raise changed(activation, "nothing was decided")
    return found


def _named(ledger: Ledger, activation: str, keys: Sequence[str], allowed: Allowed) -> list[Case]:
    found = ledger.cases(activation, keys)
    pruned = ledger.pruned_among(activation, [key for key in keys if key not in found])
    problems = [
        _unknown(ledger, activation, key, pruned)
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


def _unknown(ledger: Ledger, activation: str, key: str, pruned: Collection[str]) -> str:
    if key in pruned:
        return pruned_key(activation, key)
    return unknown_key(activation, key, ledger.similar_keys(activation, key))


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
        State.SUBMITTED: "is being processed by the destination: the next sync asks about it",
        State.DISCARDED: "was discarded, which is final",
        State.UNDONE: "was taken back",
        State.REMOVED: "was taken back, since the model has it no more: it is sent again when it is"
        " back there",
    }
    return f'"{case.row_key}" {words[case.state]}'


# --- what came of it ----------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a deed. `error`: what stopped it; `restored`: what says that the ledger was put
    back from a backup, if that was seen only now."""

    error: ConnectorError | None = None
    restored: str | None = None

    @property
    def is_left(self) -> bool:
        """Whether something is as it was that should not be."""
        return False

    @property
    def exit_code(self) -> int:
        """0, or 1 when something is left, or that of what stopped it."""
        return self.error.exit_code if self.error else int(self.is_left)

    @property
    def restored_notes(self) -> list[str]:
        """That the ledger was put back from a backup, where that was seen."""
        return [RESTORED.format(reason=self.restored)] if self.restored else []


def with_reasons(rows: Iterable[tuple[str, str]]) -> list[Document]:
    """Row keys, each with a reason, for programs."""
    return [{"row_key": key, "reason": reason} for key, reason in rows]


@dataclass(slots=True)
class Decided(Outcome):
    """What came of it, row by row, without their bodies. `missing`: rows that stay as they are,
    since the model has them no more."""

    activation: str
    person: Person
    rows: list[Document] = field(default_factory=list)
    missing: list[Case] = field(default_factory=list)

    def document(self) -> Document:
        stopped = error_document(self.error) if self.error else {}
        return {
            "activation": self.activation,
            "by": self.person.text,
            "note": self.person.note,
            "rows": self.rows,
            "missing": [
                {"row_key": case.row_key, "state": case.state, "reason": case.reason}
                for case in self.missing
            ],
            **stopped,
        }


def decide(
    app: App, activation: str, person: Person, choose: Callable[[Ledger, Run], Sequence[Decision]]
) -> Decided:
    """Decide what `choose` says, under the lease. Raises ActivationBusy, LeaseLost."""
    with app.ledger() as ledger:
        lease = ledger.take_lease(activation)
        try:
            result = Decided(activation, person)
            record(ledger, lease, result, choose(ledger, lease))
            return result
        finally:
            ledger.let_go(lease)


def record(ledger: Ledger, lease: Run, result: Decided, entries: Sequence[Decision]) -> None:
    """Decide, in transactions of at most TOGETHER rows, and note it in `result`."""
    for start in range(0, len(entries), TOGETHER):
        part = entries[start : start + TOGETHER]
        ledger.decide(lease, result.person, part)
        result.rows += [_row(entry) for entry in part]


def _row(entry: Decision) -> Document:
    """What a decision made of one row. `due_at`: before then it is not sent."""
    reason = interaction_id = due_at = None
    match entry:
        case Retried(_, Invalid(why)) | Discarded(_, why):
            reason = why
        case SaidDelivered(_, found):
            interaction_id = found
        case SaidAbsent(_, not_before):
            due_at = instant_text(not_before) if not_before else None
    return {
        "row_key": entry.case.row_key,
        "decision": entry.word,
        "was": entry.case.state,
        "state": entry.became,
        "reason": reason,
        "interaction_id": interaction_id,
        "due_at": due_at,
    }
