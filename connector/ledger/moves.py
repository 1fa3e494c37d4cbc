"""How rows move: each statement names the state and the attempt that the caller believes in."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Select,
    String,
    Update,
    and_,
    bindparam,
    case,
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
from sqlalchemy.sql.dml import ReturningUpdate

from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.ownership import Owner, alone, digest_of, owner_of
from connector.ledger.records import (
    Closing,
    Known,
    Opening,
    Presumed,
    Repeated,
    Run,
    SetAside,
    Staged,
    moment,
    upsert,
)
from connector.ledger.story import (
    CORRECTED,
    LATE,
    REJECTED,
    WAITING,
    remember_beginnings,
    tell,
    told,
)
from connector.ledger.tables import (
    CLOCKS_OF_DOUBTS,
    attempts,
    deliveries,
    ledgers,
    removed_interactions,
)
from connector.rules.delivery import (
    CORRECTABLE,
    Accepted,
    State,
    Unknown,
    outcome_word,
    state_after,
)
from connector.rules.interaction import Invalid, instant_text

HISTORY = "stood in the model before the activation started"
PRESUMED = "the ledger was put back from a backup; the row may have been sent before that"


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
    remember_beginnings(c, [before.id])
    moved = c.execute(
        update(deliveries)
        .where(deliveries.c.id == before.id, deliveries.c.state == before.state)
        .where(deliveries.c.state.in_(CORRECTABLE))
        .values(values)
    )
    if moved.rowcount == 1:
        became, why = State(values["state"]), values["reason"]
        tell(c, [told(run, before.id, CORRECTED, before.state, became, before.reason, why, now)])


def open_attempts(
    c: Connection, run: Run, entries: Sequence[Opening | Presumed | SetAside], now: int
) -> dict[int, bool]:
    """By the id() of each entry, whether it was done.

    Move rows out of pending or waiting, if they are still where the caller saw them."""
    results = _open(c, run, [e for e in entries if isinstance(e, Opening)], now)
    for entry in entries:
        if isinstance(entry, SetAside):
            results[id(entry)] = _set_aside(c, run, entry, now)
        elif isinstance(entry, Presumed):
            results[id(entry)] = _presume(c, run, entry, now)
    return results


def _open(c: Connection, run: Run, openings: Sequence[Opening], now: int) -> dict[int, bool]:
    if not openings:
        return {}
    dialect = c.dialect.name
    first = {e.delivery.id: e for e in reversed(openings)}  # a row that stands twice is opened once
    rows = [
        {
            "id": e.delivery.id,
            "state": e.delivery.state,
            "attempt": e.delivery.attempt,
            "contact_id": e.contact_id,
            "boot": e.boot,
            "boot_at": e.boot_at,
            "destination_at": e.destination_at,
        }
        for e in first.values()
    ]
    moved = set(c.execute(_opening(dialect), in_one(rows, run=run.run_id, now=now)).scalars())
    if begun := [row for row in rows if row["id"] in moved]:
        c.execute(_beginning(dialect), in_one(begun, run=run.run_id, now=now))
    return {id(e): e.delivery.id in moved and e is first[e.delivery.id] for e in openings}


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
    moved = c.execute(
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
    )
    if moved.rowcount == 1 and entry.state is not entry.delivery.state:
        tell(c, [_put_aside(run, entry, now)])
    return moved.rowcount == 1


def _put_aside(run: Run, entry: SetAside, now: int) -> dict[str, Any]:
    word = WAITING if entry.state is State.WAITING else REJECTED
    was, why = entry.delivery.state, _storable(entry.reason)
    return told(run, entry.delivery.id, word, was, entry.state, None, why, now)


def close_attempts(
    c: Connection, run: Run, entries: Sequence[Closing], now: int
) -> dict[int, bool | Repeated]:
    """Record what attempts brought; by the id() of each entry, whether its row moved. An entry
    about an attempt of `run` that the ledger does not have is left out."""
    if not entries:
        return {}
    entries = _known(c, run, entries)
    results: dict[int, bool | Repeated] = {}
    accepted, left = _accept(c, run, entries, now)
    results.update((id(e), True) for e in accepted)
    over = {id(e) for e in left}
    final = [e for e in entries if id(e) not in over]
    times = Counter(map(_id_in, left))
    for entry in left:
        alone_with_it = times[_id_in(entry)] == 1
        closing, results[id(entry)] = _accept_late_or_not(c, run, entry, now, alone_with_it)
        final.append(closing)
    for entry in entries:
        if not isinstance(entry.outcome, Accepted):
            results[id(entry)] = _close_unaccepted(c, run, entry, now)
    _close(c, final, now)
    return results


def close_late(
    c: Connection, run: Run, entries: Sequence[Closing], now: int
) -> dict[int, bool | Repeated]:
    """The same for a run that no longer holds its activation: others may have moved the rows since
    and had a reason, which goes into the story where the answer ends it."""
    d = deliveries.c
    query = select(d.id, d.state, d.reason).where(d.id.in_([e.delivery_id for e in entries]))
    before = {row.id: row for row in c.execute(query)}
    results = close_attempts(c, run, entries, now)
    moved = [entry for entry in entries if results.get(id(entry)) is True]
    late = [e for e in moved if before[e.delivery_id].state != State.SENDING]
    tell(c, [_late(run, entry, before[entry.delivery_id], now) for entry in late])
    return results


def _late(run: Run, entry: Closing, before: Any, now: int) -> dict[str, Any]:
    was, became = State(before.state), state_after(entry.outcome)
    return told(run, entry.delivery_id, LATE, was, became, before.reason, None, now)


def _known(c: Connection, run: Run, entries: Sequence[Closing]) -> list[Closing]:
    """Those whose attempts are the run's. In a ledger that went back there may be none, or one of
    the same number that another run has opened."""
    rows = [{"id": e.delivery_id, "attempt": e.number} for e in entries]
    found: Any = c.execute(_attempts_of_run(c.dialect.name), in_one(rows, run=run.run_id))
    known = {(row[0], row[1]) for row in found}
    return [e for e in entries if (e.delivery_id, e.number) in known]


def _close(c: Connection, entries: Sequence[Closing], now: int) -> None:
    rows = [
        {
            "id": e.delivery_id,
            "attempt": e.number,
            "outcome": outcome_word(e.outcome),
            "status": e.outcome.http_status,
            "reason": None if isinstance(e.outcome, Accepted) else _storable(e.outcome.reason),
        }
        for e in entries
    ]
    c.execute(_closing(c.dialect.name), in_one(rows, now=now))


def _accept(
    c: Connection, run: Run, entries: Sequence[Closing], now: int
) -> tuple[list[Closing], list[Closing]]:
    """Deliver the rows whose ids are nobody's; which those are, and which are left over."""
    answered = [e for e in entries if isinstance(e.outcome, Accepted)]
    if not answered:
        return [], []
    alone(c, run.activation)
    times = Counter(map(_id_in, answered))
    # of several that come together with one id nobody can say whose it is
    single = [e for e in answered if times[_id_in(e)] == 1]
    moved = _accepted(c, run, single, now, _accepting(c.dialect.name)) if single else set()
    accepted = [e for e in single if e.delivery_id in moved]
    over = {id(e) for e in accepted}
    return accepted, [e for e in answered if id(e) not in over]


def _id_in(entry: Closing) -> str:
    assert isinstance(entry.outcome, Accepted)
    return entry.outcome.interaction_id


def _accepted(
    c: Connection, run: Run, entries: Sequence[Closing], now: int, statement: ReturningUpdate[Any]
) -> set[int]:
    """The rows that `statement` delivered."""
    rows = [
        {
            "id": e.delivery_id,
            "attempt": e.number,
            "interaction_id": _id_in(e),
            "digest": digest_of(_id_in(e)),
        }
        for e in entries
    ]
    return set(c.execute(statement, in_one(rows, run=run.run_id, now=now)).scalars())


def _accept_late_or_not(
    c: Connection, run: Run, entry: Closing, now: int, alone_with_it: bool
) -> tuple[Closing, bool | Repeated]:
    """An answer whose id is known or came several times, or whose row has moved: what is to be
    recorded of the attempt, and what became of the row."""
    owner = owner_of(c, run, entry)
    if owner is None and alone_with_it:  # its id may be known elsewhere, where it is another one
        moved = _accepted(c, run, [entry], now, _accepting_anyhow(c.dialect.name))
        return entry, bool(moved)
    if owner and owner.delivery_id == entry.delivery_id and not owner.deleted:
        return entry, False  # a read-back was quicker
    reason = f"HTTP {entry.outcome.http_status} with the id of an interaction that {_whose(owner)}"
    doubt = replace(entry, outcome=Unknown(reason, entry.outcome.http_status))
    was_open = _close_unaccepted(c, run, doubt, now)
    # a row that looks the same may have been given the interaction by a read-back, while the answer
    # was on its way: then the destination has said nothing wrong
    known = owner is None or (
        owner.answered and (was_open or owner.delivery_id != entry.delivery_id)
    )
    distrust = DISTRUST.format(whose=_whose(owner)) if known else None
    return doubt, Repeated(reason, distrust) if was_open or distrust else False


def _whose(owner: Owner | None) -> str:
    if owner is None:
        return "another request was answered with, too"
    if owner.deleted:
        return f'was that of the row "{owner.row_key}" and is deleted'
    return f'is that of the row "{owner.row_key}"'


DISTRUST = (
    "the destination answered a request with the id of an interaction that {whose}, so its answers"
    " prove nothing; is there a proxy or a cache in between that answers for it? Nothing more was"
    " sent. The row is in doubt, and the next run asks what became of it"
)


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


_d = deliveries.c


@cache
def _opening(dialect: str) -> ReturningUpdate[Any]:
    entry = json_rows(dialect, "id", "state", "attempt", "contact_id")
    return (
        update(deliveries)
        .where(_d.id == entry.c.id, _d.state == entry.c.state, _d.attempt == entry.c.attempt)
        .values(
            state=State.SENDING.value,
            attempt=_d.attempt + 1,
            contact_id=entry.c.contact_id,
            reason=None,
            due_at=None,
            run_id=bindparam("run"),
            changed_at=bindparam("now"),
        )
        .returning(_d.id)
    )


@cache
def _beginning(dialect: str) -> Insert:
    clocks = ("boot", "boot_at", "destination_at")
    entry = json_rows(dialect, "id", "attempt", *clocks)
    run, now = bindparam("run", type_=String), bindparam("now", type_=BigInteger)
    return insert(attempts).from_select(
        ["delivery_id", "number", "run_id", "opened_at", *clocks],
        select(entry.c.id, entry.c.attempt + 1, run, now, *(entry.c[name] for name in clocks)),
    )


FACTS_OF_DELIVERED: dict[str, Any] = dict.fromkeys(
    (
        *("contact", "contact_id", "created_date", "payload"),
        *("reason", "due_at", "waiting_since", "suspect"),
    )
)
"""What the ledger no longer keeps of a row once it is delivered, or given up: it is never sent
again, so nothing has to be read back before that either."""


def _taken(interaction_id: ColumnElement[str], digest: ColumnElement[str]) -> ColumnElement[bool]:
    """The interaction is a row's already, or was one's before it was deleted."""
    other, removed = deliveries.alias("other").c, removed_interactions.c
    return or_(
        exists(
            select(literal(1)).where(
                # written out, not as parameters: only so it is the expression of the index
                func.substr(other.interaction_id, literal_column("1"), literal_column("8"))
                == func.substr(interaction_id, 1, 8),
                other.interaction_id == interaction_id,
            )
        ),
        exists(select(literal(1)).where(removed.digest == digest)),
    )


@cache
def _accepting(dialect: str) -> ReturningUpdate[Any]:
    """Delivers rows whose interactions are nobody's yet, wherever."""
    entry = json_rows(dialect, "id", "attempt", "interaction_id", "digest")
    free = not_(_taken(entry.c.interaction_id, entry.c.digest))
    return _delivering(entry).where(free)


@cache
def _accepting_anyhow(dialect: str) -> ReturningUpdate[Any]:
    """Delivers rows of whose interactions that is known otherwise."""
    return _delivering(json_rows(dialect, "id", "attempt", "interaction_id", "digest"))


def _delivering(entry: FromClause) -> ReturningUpdate[Any]:
    open_or_late = [State.SENDING.value, State.IN_DOUBT.value, State.PENDING.value]
    return (
        update(deliveries)
        .where(
            _d.id == entry.c.id,
            _d.attempt == entry.c.attempt,
            _d.state.in_(open_or_late),
        )
        .values(
            state=State.DELIVERED.value,
            interaction_id=entry.c.interaction_id,
            **FACTS_OF_DELIVERED,
            run_id=bindparam("run"),
            changed_at=bindparam("now"),
        )
        .returning(_d.id)
    )


@cache
def _attempts_of_run(dialect: str) -> Select[Any]:
    entry = json_rows(dialect, "id", "attempt")
    return select(attempts.c.delivery_id, attempts.c.number).join_from(
        entry,
        attempts,
        and_(
            attempts.c.delivery_id == entry.c.id,
            attempts.c.number == entry.c.attempt,
            attempts.c.run_id == bindparam("run"),
        ),
    )


@cache
def _closing(dialect: str) -> Update:
    entry = json_rows(dialect, "id", "attempt", "outcome", "status", "reason")
    return (
        update(attempts)
        .where(attempts.c.delivery_id == entry.c.id, attempts.c.number == entry.c.attempt)
        .values(
            closed_at=bindparam("now"),
            outcome=entry.c.outcome,
            http_status=entry.c.status,
            reason=entry.c.reason,
            # only of a doubt it is ever asked how old it is
            **{c.name: case((entry.c.outcome == "unknown", c)) for c in CLOCKS_OF_DOUBTS},
        )
    )


def _storable(reason: str) -> str:
    """`reason` without the one character that PostgreSQL does not take, so that an odd answer of
    the destination does not keep the answers beside it from being recorded."""
    return reason.replace("\x00", "\ufffd")


def _milliseconds(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
