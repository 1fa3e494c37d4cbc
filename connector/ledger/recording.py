"""Rows come into the ledger: those that it does not have yet, and refused ones that read anew."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from connector.ledger.moving import CORRECTED, Move, Row, Told, move, remember_beginnings
from connector.ledger.records import Known, Run, Staged, moment
from connector.ledger.tables import deliveries, upsert
from connector.rules.delivery import CORRECTABLE, State
from connector.rules.interaction import Invalid, instant_text

HISTORY = "stood in the model before the activation started"
CONTENT = ("digest", "contact", "created_date", "payload", "reason")
AGAIN = {
    state: Move(state, CONTENT, by_run=True, but=lambda _: {"contact_id": None})
    for state in (State.PENDING, State.INVALID)
} | {State.DISCARDED: Move(State.DISCARDED, CONTENT, by_run=True)}


def record_first(
    c: Connection, run: Run, new: Sequence[Staged], now: int, suspect: bool | None
) -> None:
    """Record rows that the ledger does not have yet; one that it has stays as it is."""
    rows = [_first_record(run, staged, now, suspect) for staged in new]
    statement = upsert(c, deliveries).on_conflict_do_nothing()
    # straight to the driver: SQLAlchemy would turn over every value of every row
    compiled = statement.compile(dialect=c.dialect, column_keys=list(rows[0]))
    if order := compiled.positiontup:
        c.exec_driver_sql(str(compiled), [tuple(map(row.__getitem__, order)) for row in rows])
    else:
        c.exec_driver_sql(str(compiled), rows)


def _first_record(run: Run, staged: Staged, now: int, suspect: bool | None) -> dict[str, Any]:
    return {
        "activation": run.activation,
        "row_key": staged.row_key,
        "run_id": run.run_id,
        "changed_at": now,
        # history is never sent, so it is never read back before that
        "suspect": None if staged.history else suspect,
        **_content(staged, now),
    }


def _content(staged: Staged, now: int) -> dict[str, Any]:
    """The columns that hold what a row says; `created_date` is the time of staging by default."""
    content = staged.content
    if isinstance(content, Invalid) or staged.history:
        reason = content.reason if isinstance(content, Invalid) else HISTORY
        state = State.DISCARDED if staged.history else State.INVALID
        return dict.fromkeys(("digest", "contact", "created_date", "payload")) | {
            "state": state.value, "reason": HISTORY if staged.history else reason
        }  # fmt: skip
    return {
        "state": State.PENDING.value,
        "reason": None,
        "digest": content.digest,
        "contact": content.contact,
        "created_date": content.created or instant_text(moment(now)),
        "payload": content.payload.decode(),
    }


def record_again(c: Connection, run: Run, rows: Sequence[tuple[Known, Staged]], now: int) -> None:
    """Rows that were refused read differently now; one that has moved since stays as it is."""
    rows = [(before, staged) for before, staged in rows if before.state in CORRECTABLE]
    remember_beginnings(c, [before.id for before, _ in rows])
    for state, how in AGAIN.items():
        content = [(before, _content(staged, now)) for before, staged in rows]
        some = [_again(run, *each) for each in content if each[1]["state"] == state]
        move(c, how, some, now, run.run_id)


def _again(run: Run, before: Known, content: dict[str, Any]) -> Row:
    became, why = State(content["state"]), content["reason"]
    told = Told(f"run {run.run_id}", CORRECTED, before.state, became, before.reason, why)
    facts = {name: content[name] for name in CONTENT}
    return Row(before.id, before.state, before.attempt, facts, told)
