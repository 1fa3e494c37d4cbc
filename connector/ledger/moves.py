"""How rows move: each statement names the state and the attempt that the caller believes in."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal,
    literal_column,
    not_,
    or_,
    select,
    update,
)

from connector.delivery import (
    CORRECTABLE,
    Accepted,
    State,
    Unknown,
    outcome_word,
    state_after,
)
from connector.interaction import Invalid, instant_text
from connector.ledger.records import (
    Closing,
    Known,
    Opening,
    Presumed,
    Run,
    SetAside,
    Staged,
    moment,
)
from connector.ledger.tables import attempts, deliveries, ledgers

HISTORY = "stood in the model before the activation started"
PRESUMED = "the ledger was put back from a backup; the row may have been sent before that"


def first_record(run: Run, staged: Staged, now: int, suspect: bool | None) -> dict[str, Any]:
    """The columns of a row that the ledger does not have yet."""
    return {
        "activation": run.activation,
        "row_key": staged.row_key,
        "run_id": run.run_id,
        "changed_at": now,
        "suspect": suspect,
        **_content(staged, now),
    }


def _content(staged: Staged, now: int) -> dict[str, Any]:
    """The columns that hold what a row says; `created_date` is the time of staging by default."""
    content = staged.content
    if isinstance(content, Invalid) or staged.history:
        reason = content.reason if isinstance(content, Invalid) else HISTORY
        state = State.DISCARDED if staged.history else State.INVALID
        return dict.fromkeys(("digest", "contact", "created_date", "payload")) | {
            "state": state, "reason": HISTORY if staged.history else reason
        }  # fmt: skip
    return {
        "state": State.PENDING,
        "reason": None,
        "digest": content.digest,
        "contact": content.contact,
        "created_date": content.created or instant_text(moment(now)),
        "payload": content.payload.decode(),
    }


def record_again(c: Connection, run: Run, before: Known, staged: Staged, now: int) -> None:
    """A row that was refused reads differently now."""
    values = {
        "contact_id": None,
        "due_at": None,
        "waiting_since": None,
        **_content(staged, now),
        "run_id": run.run_id,
        "changed_at": now,
    }
    c.execute(
        update(deliveries)
        .where(deliveries.c.id == before.id, deliveries.c.state == before.state)
        .where(deliveries.c.state.in_(CORRECTABLE))
        .values(values)
    )


def open_attempts(
    c: Connection, run: Run, entries: Sequence[Opening | Presumed | SetAside], now: int
) -> dict[int, bool]:
    """By the id() of each entry, whether it was done.

    Move rows out of pending or waiting, if they are still where the caller saw them."""
    openings = [e for e in entries if isinstance(e, Opening)]
    done = _move(
        c,
        OPENING,
        [
            {
                "the_id": e.delivery.id,
                "the_state": e.delivery.state,
                "the_attempt": e.delivery.attempt,
                "the_contact": e.contact_id,
                "the_run": run.run_id,
                "now": now,
            }
            for e in openings
        ],
    )
    begun = [e for e, moved in zip(openings, done, strict=True) if moved]
    if begun:
        c.execute(
            insert(attempts),
            [
                {
                    "delivery_id": e.delivery.id,
                    "number": e.number,
                    "run_id": run.run_id,
                    "opened_at": now,
                }
                for e in begun
            ],
        )
    results = {id(e): moved for e, moved in zip(openings, done, strict=True)}
    for entry in entries:
        if isinstance(entry, SetAside):
            results[id(entry)] = _set_aside(c, run, entry, now)
        elif isinstance(entry, Presumed):
            results[id(entry)] = _presume(c, run, entry, now)
    return results


def _presume(c: Connection, run: Run, entry: Presumed, now: int) -> bool:
    """Put a suspect row in doubt about an attempt that was made, if at all, before the restore."""
    d, number = deliveries.c, entry.delivery.attempt + 1
    moved = c.execute(
        update(deliveries)
        .where(
            d.id == entry.delivery.id,
            d.state == entry.delivery.state,
            d.attempt == entry.delivery.attempt,
        )
        .values(
            state=State.IN_DOUBT,
            attempt=number,
            contact_id=entry.contact_id,
            reason=PRESUMED,
            due_at=None,
            suspect=None,
            run_id=run.run_id,
            changed_at=now,
        )
    )
    if moved.rowcount != 1:
        return False
    c.execute(
        insert(attempts).values(
            delivery_id=entry.delivery.id,
            number=number,
            run_id=run.run_id,
            opened_at=select(ledgers.c.restored_at).scalar_subquery(),
            closed_at=now,
            outcome=outcome_word(Unknown("")),
            reason=PRESUMED,
        )
    )
    return True


def _set_aside(c: Connection, run: Run, entry: SetAside, now: int) -> bool:
    waiting = entry.state is State.WAITING
    rests = waiting or entry.rest
    d = deliveries.c
    return (
        c.execute(
            update(deliveries)
            .where(
                d.id == entry.delivery.id,
                d.state == entry.delivery.state,
                d.attempt == entry.delivery.attempt,
            )
            .values(
                state=entry.state,
                reason=_storable(entry.reason),
                due_at=now + _milliseconds(entry.rest) if rests else None,
                waiting_since=func.coalesce(d.waiting_since, now) if waiting else None,
                run_id=run.run_id,
                changed_at=now,
            )
        ).rowcount
        == 1
    )


def close_attempts(
    c: Connection, run: Run, entries: Sequence[Closing], now: int
) -> dict[int, bool]:
    """Record what attempts brought; by the id() of each entry, whether its row moved."""
    if not entries:
        return {}
    c.execute(
        CLOSING,
        [
            {
                "the_id": e.delivery_id,
                "the_number": e.number,
                "now": now,
                "the_outcome": outcome_word(e.outcome),
                "the_status": e.outcome.http_status,
                "the_reason": None
                if isinstance(e.outcome, Accepted)
                else _storable(e.outcome.reason),
            }
            for e in entries
        ],
    )
    accepted = [e for e in entries if isinstance(e.outcome, Accepted)]
    done = _move(
        c,
        ACCEPTING,
        [
            {
                "the_id": e.delivery_id,
                "the_number": e.number,
                "the_interaction": e.outcome.interaction_id,
                "the_run": run.run_id,
                "now": now,
            }
            for e in accepted
            if isinstance(e.outcome, Accepted)
        ],
    )
    results = {id(e): moved for e, moved in zip(accepted, done, strict=True)}
    for entry in entries:
        if not isinstance(entry.outcome, Accepted):
            results[id(entry)] = _close_unaccepted(c, run, entry, now)
    return results


def _close_unaccepted(c: Connection, run: Run, entry: Closing, now: int) -> bool:
    state = state_after(entry.outcome)
    assert not isinstance(entry.outcome, Accepted)
    d = deliveries.c
    # a row that was taken for orphaned is in doubt by now; an answer still settles it
    sources = [State.SENDING] if state is State.IN_DOUBT else [State.SENDING, State.IN_DOUBT]
    return (
        c.execute(
            update(deliveries)
            .where(d.id == entry.delivery_id, d.attempt == entry.number, d.state.in_(sources))
            .values(
                state=state,
                reason=_storable(entry.outcome.reason),
                due_at=now + _milliseconds(entry.rest) if state is State.PENDING else None,
                waiting_since=None,
                run_id=run.run_id,
                changed_at=now,
            )
        ).rowcount
        == 1
    )


def _move(c: Connection, statement: Any, rows: list[dict[str, Any]]) -> list[bool]:
    """Execute the compare-and-set `statement` for each row; which of them moved.

    All at once is the rule; only when some did not move is it found out which.
    """
    if not rows:
        return []
    savepoint = c.begin_nested()
    if c.execute(statement, rows).rowcount == len(rows):
        savepoint.commit()
        return [True] * len(rows)
    savepoint.rollback()
    return [c.execute(statement, row).rowcount == 1 for row in rows]


_d = deliveries.c

OPENING = (
    update(deliveries)
    .where(
        _d.id == bindparam("the_id"),
        _d.state == bindparam("the_state"),
        _d.attempt == bindparam("the_attempt"),
    )
    .values(
        state=literal(State.SENDING.value),
        attempt=_d.attempt + 1,
        contact_id=bindparam("the_contact"),
        reason=None,
        due_at=None,
        run_id=bindparam("the_run"),
        changed_at=bindparam("now"),
    )
)

FACTS_OF_DELIVERED: dict[str, Any] = dict.fromkeys(
    ("contact", "contact_id", "created_date", "payload", "reason", "due_at", "waiting_since")
)
"""What the ledger no longer keeps of a row once it is delivered."""

_other = deliveries.alias("other").c
_TAKEN = exists(
    select(literal(1)).where(
        # written out, not as parameters: only so it is the expression of the index
        func.substr(_other.interaction_id, literal_column("1"), literal_column("8"))
        == func.substr(bindparam("the_interaction"), 1, 8),
        _other.interaction_id == bindparam("the_interaction"),
    )
)
"""A read-back has given the interaction to a row that looks the same. That row was counted for this
one, so this one must go on being counted for that one: it stays what it is."""

ACCEPTING = (
    update(deliveries)
    .where(
        _d.id == bindparam("the_id"),
        _d.attempt == bindparam("the_number"),
        or_(
            _d.state == literal(State.SENDING.value),
            and_(
                _d.state.in_([literal(State.IN_DOUBT.value), literal(State.PENDING.value)]),
                not_(_TAKEN),
            ),
        ),
    )
    .values(
        state=literal(State.DELIVERED.value),
        interaction_id=bindparam("the_interaction"),
        **FACTS_OF_DELIVERED,
        run_id=bindparam("the_run"),
        changed_at=bindparam("now"),
    )
)

CLOSING = (
    update(attempts)
    .where(
        attempts.c.delivery_id == bindparam("the_id"),
        attempts.c.number == bindparam("the_number"),
    )
    .values(
        closed_at=bindparam("now"),
        outcome=bindparam("the_outcome"),
        http_status=bindparam("the_status"),
        reason=bindparam("the_reason"),
    )
)


def _storable(reason: str) -> str:
    """`reason` without the one character that PostgreSQL does not take, so that an odd answer of
    the destination does not keep the answers beside it from being recorded."""
    return reason.replace("\x00", "\ufffd")


def _milliseconds(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
