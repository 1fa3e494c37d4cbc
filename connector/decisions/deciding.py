"""What decisions about single rows have in common: the lease, the record, and what came of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from connector.ledger.decisions import (
    Case,
    Decision,
    Discarded,
    Person,
    Retried,
    SaidAbsent,
    SaidDelivered,
    decision_word,
    state_after,
)
from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.rules.deed import Document, error_document
from connector.rules.delivery import State
from connector.rules.errors import ConnectorError
from connector.rules.interaction import Invalid, instant_text
from connector.sync.run import RESTORED

TOGETHER = 10_000
"""Rows that are decided about in one transaction, and whose bodies are in memory at most. A larger
one would keep the runs of other activations waiting for a SQLite ledger for too long."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a decision made of one row. `due_at`: before then it is not sent."""

    row_key: str
    decision: str
    was: State
    state: State
    reason: str | None
    interaction_id: str | None = None
    due_at: datetime | None = None

    def document(self) -> Document:
        """The row, for programs."""
        return {
            "row_key": self.row_key,
            "decision": self.decision,
            "was": self.was,
            "state": self.state,
            "reason": self.reason,
            "interaction_id": self.interaction_id,
            "due_at": instant_text(self.due_at) if self.due_at else None,
        }


@dataclass(slots=True)
class Decided:
    """What came of it. `missing`: rows that stay as they are, since the model has them no more."""

    activation: str
    person: Person
    rows: list[Row] = field(default_factory=list)
    missing: list[Case] = field(default_factory=list)
    error: ConnectorError | None = None

    @property
    def exit_code(self) -> int:
        """0, or that of what stopped it."""
        return self.error.exit_code if self.error else 0

    def document(self) -> Document:
        """What came of it, for programs."""
        stopped = error_document(self.error) if self.error else {}
        return {
            "activation": self.activation,
            "by": self.person.text,
            "note": self.person.note,
            "rows": [row.document() for row in self.rows],
            "missing": [
                {"row_key": case.row_key, "state": case.state, "reason": case.reason}
                for case in self.missing
            ],
            **stopped,
        }


@contextmanager
def leased(ledger: Ledger, activation: str) -> Iterator[Run]:
    """The lease of `activation`, for a decision that takes no time. Raises ActivationBusy."""
    lease = ledger.claim(activation)
    try:
        yield lease
    finally:
        ledger.let_go(lease)


def record(ledger: Ledger, lease: Run, result: Decided, entries: Sequence[Decision]) -> None:
    """Decide, in transactions of at most TOGETHER rows, and note it in `result`."""
    for start in range(0, len(entries), TOGETHER):
        part = entries[start : start + TOGETHER]
        ledger.decide(lease, result.person, part)
        result.rows += [_row(entry) for entry in part]


def _row(entry: Decision) -> Row:
    case, state = entry.case, state_after(entry)
    common = (case.row_key, decision_word(entry), case.state, state)
    match entry:
        case Retried(_, Invalid(reason)) | Discarded(_, reason):
            return Row(*common, reason)
        case Retried():
            return Row(*common, None)
        case SaidDelivered(_, interaction_id):
            return Row(*common, None, interaction_id=interaction_id)
        case SaidAbsent(_, not_before):
            return Row(*common, None, due_at=not_before)


def restored_notes(reason: str | None) -> list[str]:
    """That the ledger was put back from a backup, where that was seen."""
    return [RESTORED.format(reason=reason)] if reason else []
