"""The story of one row: every change of its state, in the order of time, once each."""

from sqlalchemy import Connection, select

from connector.ledger.mirrored import CHANGED, changes
from connector.ledger.moving import RECORDED
from connector.ledger.records import document, instant, moment
from connector.ledger.tables import attempts, decisions, requests, turns
from connector.ledger.turns import WAITS
from connector.rules import clocks
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.words import words

g, t = changes.c, turns.c
BECAME = {
    "accepted": State.DELIVERED,
    "submitted": State.SUBMITTED,
    "refused": State.REJECTED,
    "not_applied": State.PENDING,
    "unknown": State.IN_DOUBT,
    None: State.SENDING,
}
"""By an attempt's outcome, what its row became."""


OF_REQUEST = (
    *("reference", "theirs", "rows", "times", "outcome", "seen_at", "asked_at", "next_at"),
    "ended_at",
)


def attempts_of(c: Connection, delivery_id: int) -> list[Document]:
    """The attempts to send a row, oldest first."""
    query = select(attempts).where(attempts.c.delivery_id == delivery_id)
    names = ("number", "run_id", "opened_at", "closed_at", "outcome", "http_status", "reason")
    rows = c.execute(query.order_by(attempts.c.number)).all()
    went = {row.request for row in rows if row.request is not None}
    found = c.execute(select(requests).where(requests.c.id.in_(went))) if went else ()
    by_id = {row.id: document(row, *OF_REQUEST) for row in found}
    return [
        document(row, *names)
        | ({"request": by_id[row.request] | {"place": row.place}} if row.request in by_id else {})
        for row in rows
    ]


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
    # counted as they are seen: what was taken back of a mirror's row has used up a number besides
    attempted = [_attempt(attempt, count) for count, attempt in enumerate(tries, 1)]
    events = [*map(_decision, decided), *attempted]
    return sorted(events, key=lambda event: str(event["at"]))


def processed(
    told: list[Document], tries: list[Document], state: str, since: str | None
) -> list[Document]:
    """The end of a row that went with a request, and of which nothing that is `told` tells: the
    destination has processed it as it should."""
    if state != State.DELIVERED or not told or told[-1]["state"] != State.SUBMITTED:
        return []
    last = tries[-1] if tries else {}
    what = f"request {last['request']['reference']} processed" if "request" in last else "processed"
    return [
        {"at": since, "until": None, "what": what, "by": "the destination", "was": None}
        | {"outcome": None, "state": state, "http_status": None, "reason": None, "because": None}
    ]


def _attempt(attempt: Document, count: int) -> Document:
    return {
        "at": attempt["opened_at"],
        "until": attempt["closed_at"],
        "what": f"attempt {count}",
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
        "what": words(decision["decision"]),
        "by": decision["by"],
        "was": decision["was"] if decision["decision"] != RECORDED else None,
        "outcome": None,
        "state": decision["state"],
        "http_status": None,
        "reason": decision["note"],
        "because": decision["reason"],
    }


def change_of(c: Connection, delivery_id: int) -> Document | None:
    """What the model says of a row that is recorded otherwise, without the new content."""
    with_turn = CHANGED.outerjoin(turns, WAITS)
    query = select(*changes.c, t.at).select_from(with_turn).where(g.delivery_id == delivery_id)
    row = c.execute(query).first()
    if row is None:
        return None
    waits = row.at is not None and row.asked_at is None and moment(row.at) > clocks.wall()
    return {
        "aim": row.aim,
        "run_id": row.run_id,
        "found_at": instant(row.found_at),
        "asked_at": instant(row.asked_at),
        "turn_at": instant(row.at) if waits else None,
        "refused": row.refused,
        "invalid": row.invalid,
    }
