"""What persons decide about rows: each decision on record, in the transaction that moves its row.

A decision names the state and the attempt that the person saw. When one of the rows has moved
since, none of them moves.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    Text,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    update,
)

from connector.ledger.doubts import owned
from connector.ledger.moves import FACTS_OF_DELIVERED
from connector.ledger.ownership import alone
from connector.ledger.paging import open_rows
from connector.ledger.records import moment
from connector.ledger.story import remember_beginnings
from connector.ledger.tables import attempts, decisions, deliveries
from connector.rules.delivery import State
from connector.rules.errors import ConfigurationError, StaleMove
from connector.rules.interaction import Interaction, Invalid, instant_text

d = deliveries.c


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides, and what they say about it."""

    name: str
    note: str | None = None

    @property
    def text(self) -> str:
        """For the ledger: not to be taken for a read-back, which decides too."""
        return f"person: {self.name}"


@dataclass(frozen=True, slots=True)
class Case:
    """A row that is decided about, as it stands. `opened_at`: when its last attempt began."""

    delivery_id: int
    row_key: str
    state: State
    attempt: int
    reason: str | None
    opened_at: datetime | None


@dataclass(frozen=True, slots=True)
class Retried:
    """The row is tried again, as the model has it today."""

    case: Case
    content: Interaction | Invalid


@dataclass(frozen=True, slots=True)
class SaidDelivered:
    """Somebody knows that the row's interaction is at the destination."""

    case: Case
    interaction_id: str | None


@dataclass(frozen=True, slots=True)
class SaidAbsent:
    """Somebody knows that it is not. `not_before`: when the last request can no longer arrive;
    None when that time has passed."""

    case: Case
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class Discarded:
    """The row is given up. `reason` stays with it."""

    case: Case
    reason: str


Decision = Retried | SaidDelivered | SaidAbsent | Discarded


def cases(c: Connection, activation: str, keys: Collection[str]) -> dict[str, Case]:
    """The rows that are recorded under `keys`."""
    whole, found = list(keys), {}
    for start in range(0, len(whole), 1000):
        part = whole[start : start + 1000]
        rows = c.execute(_select().where(d.activation == activation, d.row_key.in_(part)))
        found.update({row.row_key: _case(row) for row in rows})
    return found


def cases_in(
    engine: Engine, activation: str, states: Collection[State], reason: str | None
) -> list[Case]:
    """The rows in `states` whose reason holds `reason`, in the order in which they were staged."""
    query = _select()
    if reason is not None:
        query = query.where(d.reason.icontains(reason, autoescape=True))
    found = [_case(row) for row in open_rows(engine, activation, states, query)]
    return sorted(found, key=lambda case: case.delivery_id)


def decide(
    c: Connection, activation: str, person: Person, entries: Sequence[Decision], now: int
) -> None:
    """Move the rows and put the decisions on record.

    Raises StaleMove when a row is no longer as it was seen, ConfigurationError for an interaction
    that belongs to a row already; the transaction must be given up then.
    """
    if any(isinstance(entry, SaidDelivered) for entry in entries):
        alone(c, activation)
    _refuse_owned(c, activation, entries)
    remember_beginnings(c, [e.case.delivery_id for e in entries if e.case.state is State.INVALID])
    moves: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        statement, facts = _move(entry, now)
        moves[statement].append(facts)
    for statement, rows in moves.items():
        if (gone := len(rows) - c.execute(statement, rows).rowcount) != 0:
            raise StaleMove(
                f"{gone} of {len(entries)} rows moved while this was decided, so nothing was"
                " changed; look at them again"
            )
    if entries:
        c.execute(insert(decisions), [_record(person, entry, now) for entry in entries])


def _refuse_owned(c: Connection, activation: str, entries: Sequence[Decision]) -> None:
    said = {e.interaction_id: e for e in entries if isinstance(e, SaidDelivered)}
    for name, entry in said.items():
        # ids are GUIDs, which are the same in capitals
        if name and owned(c, activation, {name, name.lower(), name.upper()}):
            raise ConfigurationError(
                f'the interaction "{name}" belongs to another row already, or did before it was'
                f' deleted, so it cannot be that of "{entry.case.row_key}" too'
            )


def _record(person: Person, entry: Decision, now: int) -> dict[str, Any]:
    return {
        "delivery_id": entry.case.delivery_id,
        "at": now,
        "by": person.text,
        "decision": decision_word(entry),
        "was": entry.case.state,
        "state": state_after(entry),
        "reason": entry.case.reason,
        "note": person.note,
    }


def decision_word(entry: Decision) -> str:
    """The name of a decision in the ledger and in ``explain``."""
    match entry:
        case Retried():
            return "retried"
        case SaidDelivered():
            return "delivered"
        case SaidAbsent():
            return "not_delivered"
        case Discarded():
            return "discarded"


def state_after(entry: Decision) -> State:
    """What the row becomes."""
    match entry:
        case Retried(_, Invalid()):
            return State.INVALID
        case Retried() | SaidAbsent():
            return State.PENDING
        case SaidDelivered():
            return State.DELIVERED
        case Discarded():
            return State.DISCARDED


def _move(entry: Decision, now: int) -> tuple[Any, dict[str, Any]]:
    """The statement that moves the row, and what it is about."""
    seen = {
        "the_id": entry.case.delivery_id,
        "the_state": entry.case.state,
        "the_attempt": entry.case.attempt,
        "now": now,
    }
    match entry:
        case Retried(_, Invalid(reason)):
            return REFUSING, seen | {"the_reason": reason}
        case Retried(_, content):
            assert isinstance(content, Interaction)
            return RETRYING, seen | _content(content, now)
        case SaidDelivered(_, interaction_id):
            return ADOPTING, seen | {"the_interaction": interaction_id}
        case SaidAbsent(_, not_before):
            due = None if not_before is None else round(not_before.timestamp() * 1000)
            return RELEASING, seen | {"the_due": due}
        case Discarded(_, reason):
            return DISCARDING, seen | {"the_reason": reason}


def _content(content: Interaction, now: int) -> dict[str, Any]:
    return {
        "the_digest": content.digest,
        "the_contact": content.contact,
        "the_created": content.created,
        "the_first_created": instant_text(moment(now)),
        "the_payload": content.payload.decode(),
    }


AS_SEEN = and_(
    d.id == bindparam("the_id"),
    d.state == bindparam("the_state"),
    d.attempt == bindparam("the_attempt"),
)
AFRESH: dict[str, Any] = dict.fromkeys(("contact_id", "due_at", "waiting_since"))

RETRYING = (
    update(deliveries)
    .where(AS_SEEN)
    .values(
        **AFRESH,
        state=literal(State.PENDING.value),
        reason=None,
        digest=bindparam("the_digest"),
        contact=bindparam("the_contact"),
        # the time of staging, where the model has none, stays what it was: a request that was
        # sent with it can still be recognised
        created_date=func.coalesce(
            bindparam("the_created", type_=Text), d.created_date, bindparam("the_first_created")
        ),
        payload=bindparam("the_payload"),
        changed_at=bindparam("now"),
    )
)

REFUSING = (
    update(deliveries)
    .where(AS_SEEN)
    .values(
        **AFRESH,
        **dict.fromkeys(("digest", "contact", "created_date", "payload")),
        state=literal(State.INVALID.value),
        reason=bindparam("the_reason"),
        # a row that is invalid for the same reason has been so since it came to be
        changed_at=case(
            (
                and_(d.state == State.INVALID.value, d.reason == bindparam("the_reason")),
                d.changed_at,
            ),
            else_=bindparam("now"),
        ),
    )
)

ADOPTING = (
    update(deliveries)
    .where(AS_SEEN)
    .values(
        **FACTS_OF_DELIVERED,
        state=literal(State.DELIVERED.value),
        interaction_id=bindparam("the_interaction"),
        changed_at=bindparam("now"),
    )
)

RELEASING = (
    update(deliveries)
    .where(AS_SEEN)
    .values(
        state=literal(State.PENDING.value),
        reason=None,
        due_at=bindparam("the_due"),
        waiting_since=None,
        changed_at=bindparam("now"),
    )
)

DISCARDING = (
    update(deliveries)
    .where(AS_SEEN)
    .values(
        # never sent, so nothing of the contact is kept, as once a row is delivered
        **{**FACTS_OF_DELIVERED, "reason": bindparam("the_reason")},
        state=literal(State.DISCARDED.value),
        changed_at=bindparam("now"),
    )
)


def _select() -> Select[Any]:
    last = and_(attempts.c.delivery_id == d.id, attempts.c.number == d.attempt)
    return select(d.id, d.row_key, d.state, d.attempt, d.reason, attempts.c.opened_at).select_from(
        deliveries.outerjoin(attempts, last)
    )


def _case(row: Any) -> Case:
    opened = None if row.opened_at is None else moment(row.opened_at)
    return Case(row.id, row.row_key, State(row.state), row.attempt, row.reason, opened)
