"""What decisions about single rows have in common: the lease, the record, and what came of it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

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
from connector.rules.deed import Document, error_document
from connector.rules.errors import ConnectorError
from connector.rules.interaction import Invalid, instant_text
from connector.sync.run import RESTORED
from connector.sync.side_by_side import Stop, side_by_side

T = TypeVar("T")
TOGETHER = 10_000
"""Rows that are decided about in one transaction, and whose bodies are in memory at most. A larger
one would keep the runs of other activations waiting for a SQLite ledger for too long."""


@dataclass(slots=True)
class Decided:
    """What came of it, row by row, without their bodies. `missing`: rows that stay as they are,
    since the model has them no more."""

    activation: str
    person: Person
    rows: list[Document] = field(default_factory=list)
    missing: list[Case] = field(default_factory=list)
    error: ConnectorError | None = None

    @property
    def exit_code(self) -> int:
        return self.error.exit_code if self.error else 0

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


@contextmanager
def leased(ledger: Ledger, activation: str) -> Iterator[Run]:
    """The lease of `activation`, for a decision that takes no time. Raises ActivationBusy."""
    lease = ledger.take_lease(activation)
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


async def until_stopped(
    stop: Stop, lanes: int, work: Callable[[T], Awaitable[None]], items: Iterable[T]
) -> None:
    """Do `work` on each of `items`, so many at a time, until `stop` is asked; an error asks it."""

    async def one(item: T) -> None:
        if stop.asked:
            return
        try:
            await work(item)
        except ConnectorError as error:
            stop.now(error)

    await side_by_side(lanes, one, items)


def restored_notes(reason: str | None) -> list[str]:
    """That the ledger was put back from a backup, where that was seen."""
    return [RESTORED.format(reason=reason)] if reason else []
