"""What a run sent and what became of it: taking rows back, and releasing them again.

A run sent a row when the row's last attempt is the run's, whoever recorded the row or settled a
doubt about it. Taking back changes neither attempts nor interaction ids, so that a run can always
be found again by what it sent.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, func, or_, select

from connector.basis import dataclass
from connector.ledger.deeds import DEED, UNDONE, Entry, note, void_standing
from connector.ledger.deeds import RELEASED as LET_GO
from connector.ledger.leases import Book, lock
from connector.ledger.moving import BODY, FORGOTTEN, LAST, WAS, Move, Row, Told, body, move
from connector.ledger.ownership import remember_removed
from connector.ledger.paging import rows_of_run, span_of, windows
from connector.ledger.records import Run
from connector.ledger.tables import NOW, OPEN, attempts, database_time, decisions, deliveries
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.approval import CHANGED_SINCE
from connector.rules.delivery import TO_BE_SENT, Accepted, State
from connector.rules.interaction import Interaction

MAY_APPEAR = "not found when it was taken back, so soon after it was sent that it may yet appear"
"""The reason of an undone row that is asked for again when its run is undone again."""
DELETED, ALREADY_GONE, NOT_FOUND, RELEASED = "deleted", "already_gone", "not_found", "released"
"""The words for these in `decisions`."""

d, a = deliveries.c, attempts.c
HAS_ID = d.interaction_id.is_not(None)
CAN_BE_DELETED = and_(
    HAS_ID, or_(d.state == State.DELIVERED, and_(d.state == State.UNDONE, d.reason == MAY_APPEAR))
)
GOES_ON = (
    *(State.DELIVERED, State.PENDING, State.WAITING, State.SENDING, State.SUBMITTED),
    State.IN_DOUBT,
)
"""States of rows that are at the destination, may be, or are to be."""
CAN_BE_RELEASED = and_(d.state == State.UNDONE, d.reason.is_(None))


@dataclass(frozen=True, slots=True)
class Sent:
    """A row that a run sent. `age`: how long ago, by the database's clock, when it was read."""

    delivery_id: int
    row_key: str
    state: State
    attempt: int
    interaction_id: str | None
    age: timedelta


@dataclass(frozen=True, slots=True)
class Standing:
    """How many of the rows that a run sent stand where."""

    delivered: int = 0
    """Delivered, under an id: they can be taken back."""
    without_id: int = 0
    """Delivered as a person says, without an id: they cannot."""
    undone: int = 0
    """Taken back, for certain."""
    not_found: int = 0
    """Taken back, but not found then, and young: to be asked for again."""
    forgotten: int = 0
    in_doubt: int = 0
    """They may be at the destination: nobody knows yet, or they are on the wire."""
    unsent: int = 0
    """Recorded, and to be sent by the next run."""
    removed: int = 0
    """Taken back by a later run, since a mirror's model has them no more."""
    sent_again: int = 0
    """Taken back since, and sent again, or to be sent: what stands there is another run's."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A row whose interaction is not at the destination; `word` says how that is known."""

    row: Sent
    word: str


@dataclass(frozen=True, slots=True)
class Released:
    """A row that was taken back and is to be sent again, as the model has it today."""

    row: Sent
    content: Interaction


def _gone(entry: TakenBack, by: str) -> Row:
    row = entry.row
    reason = MAY_APPEAR if entry.word == NOT_FOUND else None
    facts = {"interaction_id": row.interaction_id, "reason": reason}
    told = Told(by, entry.word, row.state, State.UNDONE)
    return Row(row.delivery_id, row.state, row.attempt, facts, told)


def _again(entry: Released, by: str, note: str | None, now: tuple[int, str]) -> Row:
    row = entry.row
    was = f"{WAS}{row.interaction_id}"
    told = Told(by, RELEASED, row.state, State.PENDING, was, note)
    return Row(row.delivery_id, row.state, row.attempt, body(entry.content, *now), told)


class SentRows(Reader):
    """What runs have sent, and what became of it."""

    def standing(self, run_id: str) -> Standing:
        kinds = (d.state, HAS_ID, case((d.state == State.UNDONE, d.reason)))
        sent = select(*kinds, func.count()).select_from(_of(run_id)).group_by(*kinds)
        counts: Counter[str] = Counter()
        before, last = span_of(self._engine, run_id)
        for state, has_id, why, number in windows(self._engine, sent, a.delivery_id, before, last):
            if name := _name(State(state), has_id, why):
                counts[name] += number
        states = d.state.in_(TO_BE_SENT)
        unsent = select(func.count()).where(d.run_id == run_id, states, OPEN)
        counts["unsent"] = sum(r[0] for r in windows(self._engine, unsent, d.id, before, last))
        later = (a.run_id == run_id, a.outcome == Accepted.word, a.number < d.attempt)
        since = select(d.state, func.count()).where(*later).group_by(d.state)
        since = since.select_from(attempts.join(deliveries, a.delivery_id == d.id))
        for state, number in windows(self._engine, since, a.delivery_id, before, last):
            counts["removed"] += number * (state == State.REMOVED)
            counts["sent_again"] += number * (state in GOES_ON)
        return Standing(**counts)

    def deletable(self, run_id: str, after: int = 0, limit: int | None = None) -> list[Sent]:
        """The next rows that the run sent and that can be taken back, after the id `after`."""
        return self._sent(run_id, CAN_BE_DELETED, after, limit)

    def releasable(self, run_id: str) -> list[Sent]:
        """The rows of the run that were taken back and may be sent again."""
        return self._sent(run_id, CAN_BE_RELEASED, 0, None)

    def _sent(self, run_id: str, condition: Any, after: int, limit: int | None) -> list[Sent]:
        columns = (d.id, d.row_key, d.state, d.attempt, d.interaction_id, NOW - a.opened_at)
        query = select(*columns).select_from(_of(run_id)).where(condition)
        # by the attempt's id, which leads its primary key: only the window is read
        rows = rows_of_run(self._engine, run_id, query, a.delivery_id, after, limit)
        return [
            Sent(r[0], r[1], State(r[2]), r[3], r[4], timedelta(milliseconds=r[5])) for r in rows
        ]

    def youngest_seen(self, run_id: str) -> timedelta | None:
        """The smallest age at which one of the run's interactions was there to be deleted."""
        s, age = decisions.c, func.min(decisions.c.at - a.opened_at)
        deleted = and_(s.delivery_id == d.id, s.decision == DELETED, s.at >= a.opened_at)
        query = select(age).select_from(_of(run_id).join(decisions, deleted))
        found = windows(self._engine, query, a.delivery_id, *span_of(self._engine, run_id))
        ages = [row[0] for row in found if row[0] is not None]
        return timedelta(milliseconds=min(ages)) if ages else None


class Takebacks(Book, SentRows):
    """What runs have sent is taken back, or released again."""

    @repeated
    def take_back(
        self, lease: Run, by: str, entries: Sequence[TakenBack], of: str | None = None
    ) -> list[bool]:
        """Put on record what is gone from the destination, of what the run `of` sent; False for
        rows that were moved.

        A fact, so it is recorded whoever holds the activation now.
        """
        with transaction(self._engine) as c:
            lock(c, lease.activation)
            now = database_time(c)
            moved = move(c, TAKEN_BACK, [_gone(entry, by) for entry in entries], now)
            _tell(c, Entry(UNDONE, by, lease.activation, of), lease, moved)
            return [entry.row.delivery_id in moved for entry in entries]

    @repeated
    def release(
        self,
        lease: Run,
        by: str,
        entries: Sequence[Released],
        note: str | None = None,
        of: str | None = None,
    ) -> list[bool]:
        """Let rows that the run `of` sent be sent again; False for rows that were moved. Raises
        LeaseLost."""
        with self._leased(lease) as (c, now):
            key = lease.footing.known.ledger
            rows = [_again(entry, by, note, (now, key)) for entry in entries]
            moved = move(c, RELEASED_AGAIN, rows, now)
            if moved:  # they would go with what is held
                void_standing(c, lease.activation, CHANGED_SINCE)
            _tell(c, Entry(LET_GO, by, lease.activation, of), lease, moved)
            gone = [entry.row for entry in entries if entry.row.delivery_id in moved]
            remember_removed(c, [(row.delivery_id, row.interaction_id) for row in gone])
            return [entry.row.delivery_id in moved for entry in entries]


def _tell(c: Connection, entry: Entry, lease: Run, moved: Collection[int]) -> None:
    """On the audit list, so many rows at a time as were recorded together."""
    if moved:
        note(c, replace(entry, details={"rows": len(moved), DEED: lease.run_id}))


def _name(state: State, has_id: bool, reason: str | None) -> str | None:
    """Under which name of Standing a row is counted; None for those that are not."""
    match state:
        case State.DELIVERED:
            return "delivered" if has_id else "without_id"
        case State.UNDONE:
            return {MAY_APPEAR: "not_found", FORGOTTEN: "forgotten"}.get(reason or "", "undone")
        case State.IN_DOUBT | State.SUBMITTED | State.SENDING:
            return "in_doubt"  # on the wire, too, whether its run lives or is dead
        case State.REMOVED:
            return "removed"
        case _:
            return None


def _of(run_id: str) -> Any:
    """The rows whose last attempt is the run's, with that attempt."""
    return deliveries.join(attempts, and_(LAST, a.run_id == run_id))


TAKEN_BACK = Move(
    State.UNDONE,
    ("interaction_id", "reason"),
    (State.DELIVERED, State.UNDONE),
    where=lambda entry: and_(d.interaction_id == entry.interaction_id, CAN_BE_DELETED),
)
RELEASED_AGAIN = Move(
    State.PENDING,
    BODY,
    where=lambda _: CAN_BE_RELEASED,
    but=lambda _: {"contact_id": None},
)
