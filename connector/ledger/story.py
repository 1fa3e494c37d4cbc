"""The story of one row: every change of its state, in the order of time, once each."""

from sqlalchemy import Connection, select

from connector.ledger.moving import RECORDED
from connector.ledger.records import document
from connector.ledger.tables import attempts, decisions
from connector.rules.deed import Document
from connector.rules.delivery import State

BECAME = {
    "accepted": State.DELIVERED,
    "submitted": State.SUBMITTED,
    "refused": State.REJECTED,
    "not_applied": State.PENDING,
    "unknown": State.IN_DOUBT,
    None: State.SENDING,
}
"""By an attempt's outcome, what its row became."""


def attempts_of(c: Connection, delivery_id: int) -> list[Document]:
    """The attempts to send a row, oldest first."""
    query = select(attempts).where(attempts.c.delivery_id == delivery_id)
    names = ("number", "run_id", "opened_at", "closed_at", "outcome", "http_status", "reason")
    return [document(row, *names) for row in c.execute(query.order_by(attempts.c.number))]


def decisions_of(c: Connection, delivery_id: int) -> list[Document]:
    """What persons, read-backs and runs decided about a row, oldest first."""
    s = decisions.c
    query = select(decisions).where(s.delivery_id == delivery_id).order_by(s.at, s.id)
    names = ("at", "by", "decision", "was", "state", "reason", "note")
    return [document(row, *names) for row in c.execute(query)]


def by_run(decision: Document) -> bool:
    """Whether it is what a run did by itself, rather than a decision of a person or a read-back."""
    return str(decision["by"]).startswith("run ")


def story(tries: list[Document], decided: list[Document]) -> list[Document]:
    """Attempts and decisions as one list. `reason`: why the row became what it became."""
    events = [*map(_decision, decided), *map(_attempt, tries)]
    return sorted(events, key=lambda event: str(event["at"]))


def _attempt(attempt: Document) -> Document:
    return {
        "at": attempt["opened_at"],
        "until": attempt["closed_at"],
        "what": f"attempt {attempt['number']}",
        "by": f"run {attempt['run_id']}",
        "was": None,
        "outcome": attempt["outcome"],
        "state": BECAME[attempt["outcome"]].value,
        "http_status": attempt["http_status"],
        "reason": attempt["reason"],
        "because": None,
    }


def _decision(decision: Document) -> Document:
    """`because` is why the row was what it was until then."""
    return {
        "at": decision["at"],
        "until": None,
        "what": decision["decision"].replace("_", " "),
        "by": decision["by"],
        "was": decision["was"] if decision["decision"] != RECORDED else None,
        "outcome": None,
        "state": decision["state"],
        "http_status": None,
        "reason": decision["note"],
        "because": decision["reason"],
    }
