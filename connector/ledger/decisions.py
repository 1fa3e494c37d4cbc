"""What persons decide about rows: each decision on record, in the transaction that moves its row.

A decision names the state and the attempt that the person saw. When one of the rows has moved
since, none of them moves.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Connection, and_, bindparam, case, func, select

from connector.basis import dataclass
from connector.ledger.deeds import DEED, SETTLED, Entry, end_hold, note, void_standing
from connector.ledger.deeds import DISCARDED as GIVEN_UP
from connector.ledger.deeds import RETRIED as TRIED_AGAIN
from connector.ledger.leases import Book
from connector.ledger.mirrored import has_lost_its_rows
from connector.ledger.moving import BODY, LAST, Move, Row, Told, body, move, remember_beginnings
from connector.ledger.ownership import alone, owned
from connector.ledger.paging import holding, open_rows
from connector.ledger.records import Run, instant, moment
from connector.ledger.tables import attempts, chunks, deliveries
from connector.ledger.transaction import repeated, transaction
from connector.rules.approval import CHANGED_SINCE
from connector.rules.delivery import State
from connector.rules.errors import ConfigurationError, StaleMove
from connector.rules.interaction import Interaction, Invalid

d, a = deliveries.c, attempts.c
CASES = select(d.id, d.row_key, d.state, d.attempt, d.reason, a.opened_at).select_from(
    deliveries.outerjoin(attempts, LAST)
)


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

    word: ClassVar = "retried"
    case: Case
    content: Interaction | Invalid

    @property
    def became(self) -> State:
        return State.INVALID if isinstance(self.content, Invalid) else State.PENDING


@dataclass(frozen=True, slots=True)
class SaidDelivered:
    """Somebody knows that the row's interaction is at the destination."""

    word: ClassVar = "delivered"
    became: ClassVar = State.DELIVERED
    case: Case
    interaction_id: str | None


@dataclass(frozen=True, slots=True)
class SaidAbsent:
    """Somebody knows that it is not. `not_before`: when the last request can no longer arrive;
    None when that time has passed."""

    word: ClassVar = "not_delivered"
    became: ClassVar = State.PENDING
    case: Case
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class Discarded:
    """The row is given up. `reason` stays with it."""

    word: ClassVar = "discarded"
    became: ClassVar = State.DISCARDED
    case: Case
    reason: str


Decision = Retried | SaidDelivered | SaidAbsent | Discarded
"""Each with its `word`, which is its name in the ledger and in ``explain``."""


DEEDS = {
    Retried.word: TRIED_AGAIN,
    SaidDelivered.word: SETTLED,
    SaidAbsent.word: SETTLED,
    Discarded.word: GIVEN_UP,
}
"""As what they stand on the audit list."""


class Decisions(Book):
    """What persons decide about rows that wait for them."""

    @repeated
    def cases(self, activation: str, keys: Collection[str]) -> dict[str, Case]:
        """The rows that are recorded under `keys`, to be decided about."""
        found = dict[str, Case]()
        with transaction(self._engine) as c:
            for part in chunks(keys):
                ours = (d.activation == activation, d.row_key.in_(part))
                rows = c.execute(CASES.where(*ours))
                found.update({row.row_key: _case(row) for row in rows})
        return found

    def cases_in(
        self,
        activation: str,
        states: Collection[State],
        reason: str | None = None,
        key: str | None = None,
    ) -> list[Case]:
        """The rows in `states` (none of them delivered) whose reason holds `reason`, and whose key
        holds `key`, as `holding` has it."""
        query = CASES.where(*holding(reason, key))
        found = [_case(row) for row in open_rows(self._engine, activation, states, query)]
        return sorted(found, key=lambda case: case.delivery_id)

    @repeated
    def decide(self, lease: Run, person: Person, entries: Sequence[Decision]) -> None:
        """Carry out what `person` decides and put it on record: all of it or nothing.

        Raises LeaseLost, StaleMove when a row is no longer as it was seen, ConfigurationError for
        an interaction that belongs to a row already.
        """
        with self._leased(lease) as (c, now):
            if any(isinstance(entry, SaidDelivered) for entry in entries):
                alone(c, lease.activation)
            _refuse_owned(c, lease.activation, entries)
            invalid = [e.case for e in entries if e.case.state is State.INVALID]
            remember_beginnings(c, [case.delivery_id for case in invalid])
            for word, number in Counter(entry.word for entry in entries).items():
                details = {"rows": number, "decision": word, DEED: lease.run_id}
                deed = Entry(DEEDS[word], person.name, lease.activation, details=details)
                note(c, deed, now)
            moves: dict[Move, list[Row]] = defaultdict(list)
            for entry in entries:
                (how, facts), seen = _way(entry, now, lease.footing.known.ledger), entry.case
                told = Told(
                    person.text, entry.word, seen.state, entry.became, seen.reason, person.note
                )
                moves[how].append(Row(seen.delivery_id, seen.state, seen.attempt, facts, told))
            for how, rows in moves.items():
                if (gone := len(rows) - len(move(c, how, rows, now))) != 0:
                    raise StaleMove(
                        f"{gone} of {len(entries)} rows moved while this was decided, so nothing"
                        " was changed; look at them again"
                    )
            if has_lost_its_rows(c, lease.activation):
                end_hold(c, lease.activation)
            elif any(State.PENDING in (e.case.state, e.became) for e in entries):
                void_standing(c, lease.activation, CHANGED_SINCE)


def _refuse_owned(c: Connection, activation: str, entries: Sequence[Decision]) -> None:
    said = {e.interaction_id: e for e in entries if isinstance(e, SaidDelivered)}
    for name, entry in said.items():
        # ids are GUIDs, which are the same in capitals
        if name and owned(c, activation, {name, name.lower(), name.upper()}):
            raise ConfigurationError(
                f'the interaction "{name}" belongs to another row already, or did before it was'
                f' deleted, so it cannot be that of "{entry.case.row_key}" too'
            )


def _way(entry: Decision, now: int, key: str) -> tuple[Move, dict[str, Any]]:
    """How the row moves, and what it brings along. `key`: the ledger's identity."""
    match entry:
        case Retried(_, Invalid(reason)):
            return REFUSED, {"reason": reason}
        case Retried(_, content):
            assert isinstance(content, Interaction)
            return RETRIED, {**body(content, key=key), "first_created": instant(now)}
        case SaidDelivered(_, interaction_id):
            return SAID_DELIVERED, {"interaction_id": interaction_id}
        case SaidAbsent(_, not_before):
            due = None if not_before is None else round(not_before.timestamp() * 1000)
            return SAID_ABSENT, {"due_at": due}
        case Discarded(_, reason):
            return DISCARDED, {"reason": reason}


def _afresh(entry: Any) -> dict[str, Any]:
    # the time of staging, where the model has none, stays what it was: a request that was sent with
    # it can still be recognised
    created = func.coalesce(entry.created_date, d.created_date, entry.first_created)
    return {"contact_id": None, "created_date": created}


def _since(entry: Any) -> dict[str, Any]:
    # a row that is invalid for the same reason has been so since it came to be
    as_before = and_(d.state == State.INVALID.value, d.reason == entry.reason)
    return {"changed_at": case((as_before, d.changed_at), else_=bindparam("now"))}


RETRIED = Move(State.PENDING, (*BODY, "first_created"), but=_afresh)
REFUSED = Move(State.INVALID, ("reason",), but=_since)
SAID_DELIVERED = Move(State.DELIVERED, ("interaction_id",))
SAID_ABSENT = Move(State.PENDING, ("due_at",))
DISCARDED = Move(State.DISCARDED, ("reason",))


def _case(row: Any) -> Case:
    opened = None if row.opened_at is None else moment(row.opened_at)
    return Case(row.id, row.row_key, State(row.state), row.attempt, row.reason, opened)
