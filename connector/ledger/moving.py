"""What a row keeps in each state, and the one way by which it comes from one state to another.

A move names the state and the attempt that the caller believes in: a row of which something else is
true by now stays where it is. What is said of a move goes on record in the same transaction.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    String,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from connector.basis import dataclass
from connector.ledger.ahead import AHEAD, is_ahead
from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.records import Staged, instant
from connector.ledger.tables import NOW, attempts, chunks, decisions, deliveries, turns
from connector.ledger.transaction import touch as touch
from connector.rules.delivery import MAY_BE_THERE, Accepted, NotApplied, Outcome, State, Submitted
from connector.rules.interaction import Interaction, Invalid, about_of

d = deliveries.c
RECORDED, REJECTED, WAITING = "recorded", "rejected", "waiting"
CORRECTED, LATE = "corrected", "answered_late"
"""The words in `decisions` for what a run does to a row without an attempt, or long after it."""
HISTORY = "stood in the model before the activation started"
FORGOTTEN = "forgotten at the person's request"
"""The reason of a row that is never sent again, not even when its run is released."""

WAS = "was the interaction "
"""Before the id that a row had until then: why a decision says that it was what it was."""

BODY = ("digest", "contact", "created_date", "payload")
SENDABLE = (*BODY, "contact_id", "reason")
KEEPS: Mapping[State, frozenset[str]] = {
    State.PENDING: frozenset({*SENDABLE, "due_at", "suspect"}),
    State.WAITING: frozenset({*SENDABLE, "due_at", "waiting_since", "suspect"}),
    State.SENDING: frozenset({*SENDABLE}),
    State.IN_DOUBT: frozenset({*SENDABLE}),
    State.SUBMITTED: frozenset({*SENDABLE}),
    State.REJECTED: frozenset({*SENDABLE, "suspect"}),
    State.INVALID: frozenset({"reason", "suspect"}),
    State.DELIVERED: frozenset({"digest", "interaction_id"}),
    State.UNDONE: frozenset({"digest", "interaction_id", "reason", "suspect"}),
    State.DISCARDED: frozenset({"digest", "reason"}),
    State.REMOVED: frozenset({"digest", "interaction_id", "suspect"}),
}
"""What the ledger keeps of a row in each state. The rest is gone as the row comes there: the body
of what is never sent again, a wait that is over, a doubt that nothing has to be read back for."""
FACTS = tuple(sorted(frozenset().union(*KEEPS.values())))
OF_EACH_MOVE = frozenset({"reason", "due_at"})
"""What a move says anew, or it is gone: why the row is what it is, and until when it rests."""

NOT_STORED = (State.PENDING, State.REJECTED)
TAKEN = (Accepted, Submitted)
WAITS_NO_MORE = (State.WAITING, State.REJECTED, State.DISCARDED, State.REMOVED, State.INVALID)
LAST = and_(attempts.c.delivery_id == d.id, attempts.c.number == d.attempt)
"""The last attempt of a row."""
MOVE_UP = 16
"""Rows that are looked at anew where one before them is gone; the others come up by and by."""

OF_MIRRORS = ("about", "source")
"""What is known besides of the content of a mirror's row: see tables.py."""

s, t = decisions.c, turns.c
tried = attempts.alias("tried")
ANEW = select(func.max(s.at)).where(s.delivery_id == d.id, s.state == State.PENDING)
FROM_AHEAD = is_ahead(d.changed_at, NOW)
"""The row was moved later than now, so before the clock was put back: what was said then of when it
may be tried again holds no more."""
IN_VAIN: Any = case(
    (d.attempt == 0, 0),  # most rows: nothing is looked for
    else_=select(func.count())
    .where(tried.c.delivery_id == d.id, tried.c.outcome == NotApplied.word)
    .where(tried.c.opened_at >= func.coalesce(ANEW.correlate(deliveries).scalar_subquery(), 0))
    .correlate(deliveries)
    .scalar_subquery(),
)
"""Of a row: how many attempts were certainly not applied since it was replaced, was there again,
was corrected or released, or was found not to be stored; else since it was recorded."""

NEWEST = select(func.max(d.id))
Facts = dict[str, Any]


def gone_from(became: State) -> Facts:
    """The columns that are empty once a row has come to a state, unless the move says more."""
    keeps = KEEPS[became] - OF_EACH_MOVE
    return dict.fromkeys(fact for fact in FACTS if fact not in keeps)


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """A way into a state. `brings`: the facts that each row brings along. `sources`: the states
    that it may leave; None: the one that was seen. `attempt`: by how much its attempts grow.
    `by_run`: a run moves it, and is named. `where`: what must be true of it, too; `but`: columns
    that are set in another way; both are made from the columns of what a row brings."""

    became: State
    brings: tuple[str, ...] = ()
    sources: tuple[State, ...] | None = None
    attempt: int = 0
    by_run: bool = False
    where: Callable[[Any], Any] | None = None
    but: Callable[[Any], Mapping[str, Any]] | None = None

    @cache  # noqa: B019 -- moves are constants
    def statement(self, dialect: str) -> ReturningUpdate[Any]:
        """The UPDATE for all rows in one parameter; built once, for it stands in most transactions
        of a run. It gives back the ids of the rows that have moved."""
        brought = dict.fromkeys((*self.brings, *(OF_MIRRORS if "payload" in self.brings else ())))
        entry = json_rows(dialect, "id", "state", "attempt", *brought).c
        states = [state.value for state in self.sources or ()]
        seen = d.state.in_(states) if states else d.state == entry.state
        statement = update(deliveries).where(d.id == entry.id, seen, d.attempt == entry.attempt)
        if self.where:
            statement = statement.where(self.where(entry))
        return statement.values(self._values(entry)).returning(d.id)

    def _values(self, entry: Any) -> Facts:
        values = gone_from(self.became)
        values |= {fact: entry[fact] for fact in self.brings if fact in (*FACTS, *OF_MIRRORS)}
        if "payload" in self.brings and "source" not in self.brings:
            # what the warehouse said of another content says nothing of this one
            values |= {"source": None, "about": case((d.about.is_not(None), entry.about))}
        values |= {"state": self.became.value, "changed_at": bindparam("now")}
        if self.became is State.WAITING:
            now = bindparam("now", type_=BigInteger)
            # a wait that began later than now began before the clock was put back
            values["waiting_since"] = case(
                (d.waiting_since <= now + AHEAD, d.waiting_since), else_=now
            )
        if self.attempt:
            values["attempt"] = d.attempt + self.attempt
        if self.by_run:
            values["run_id"] = bindparam("run", type_=String)
        return {**values, **(self.but(entry) if self.but else {})}


OPENED = Move(State.SENDING, ("contact_id",), attempt=1, by_run=True)
"""An attempt is opened."""


@dataclass(frozen=True, slots=True)
class Told:
    """What goes on record of a move. `before`: why the row was what it was until then."""

    by: str
    word: str
    was: State
    became: State
    before: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is to move, as it was seen, with the facts that it brings along."""

    id: int
    state: State
    attempt: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    told: Told | None = None


def move(
    c: Connection, how: Move, rows: Sequence[Row], now: int, run_id: str | None = None
) -> set[int]:
    """The ids of the rows that have moved, which are those that are still as they were seen."""
    if not rows:
        return set()
    entries = [
        {"id": row.id, "state": row.state, "attempt": row.attempt, **row.facts} for row in rows
    ]
    others: Facts = {"now": now, "run": run_id} if how.by_run else {"now": now}
    found = c.execute(how.statement(c.dialect.name), in_one(entries, **others))
    moved = set(found.scalars().all())  # all at once: one by one they pass through four calls each
    if how.by_run:
        touch(c, [*moved])
    tell(c, [(row.id, row.told) for row in rows if row.told and row.id in moved], now)
    give_back_turns(c, how.became, [row for row in rows if row.id in moved])
    return moved


def newest_id(c: Connection) -> int:
    """The highest id of a delivery: ids are given in this order by all who record any."""
    return int(c.execute(NEWEST).scalar() or 0)


def give_back_turns(c: Connection, became: State, rows: Sequence[Row]) -> None:
    """What is certainly not stored has used up no turn of its contact; and what does not wait any
    more leaves its place to those behind it. An attempt in doubt has used one up; so has what was
    delivered, whatever becomes of it."""
    sent = [row for row in rows if row.state in MAY_BE_THERE and became in NOT_STORED]
    waited = [row for row in rows if row.state is State.PENDING and became in WAITS_NO_MORE]
    if not (sent or waited) or not c.execute(select(t.delivery_id).limit(1)).first():
        return
    entry = json_rows(c.dialect.name, "id", "attempt").c
    mine = and_(t.delivery_id == entry.id, t.attempt == entry.attempt)
    free = list[Any]()
    if sent:
        entries = [{"id": row.id, "attempt": row.attempt} for row in sent]
        voided = update(turns).where(mine).values(void=True).returning(t.activation, t.contact)
        free += c.execute(voided, in_one(entries)).all() if became is State.REJECTED else []
        if became is not State.REJECTED:  # it stays first in the line
            c.execute(update(turns).where(mine).values(void=True), in_one(entries))
    for part in chunks(row.id for row in waited):
        gone = delete(turns).where(t.delivery_id.in_(part), t.cap.is_not(None))
        free += c.execute(gone.returning(t.activation, t.contact)).all()
    for activation, contact in dict.fromkeys((each[0], each[1]) for each in free):
        line = (t.activation == activation, t.contact == contact, t.cap.is_not(None))
        next_ones = select(t.delivery_id).where(*line).order_by(t.delivery_id).limit(MOVE_UP)
        c.execute(update(turns).where(*line, t.delivery_id.in_(next_ones)).values(at=0))


def tell(c: Connection, told: Sequence[tuple[int, Told]], now: int) -> None:
    """Put on record what is said of rows (by their id)."""
    entries = [
        {
            "delivery_id": delivery_id,
            "at": now,
            "by": what.by,
            "decision": what.word,
            "was": what.was,
            "state": what.became,
            "reason": what.before,
            "note": what.note,
        }
        for delivery_id, what in told
    ]
    if entries:
        c.execute(insert(decisions), entries)


def remember_beginnings(c: Connection, delivery_ids: Collection[int]) -> None:
    """Of rows that were invalid from the beginning, and are about to move, when they came to be so;
    nothing else would tell of it any more."""
    for part in chunks(delivery_ids):
        first = select(
            d.id, d.changed_at, literal("run ").concat(d.run_id), literal(RECORDED), d.state,
            d.state, d.reason,
        ).where(
            d.id.in_(part),
            d.state == State.INVALID,
            d.attempt == 0,
            ~exists().where(s.delivery_id == d.id),
        )  # fmt: skip
        names = ["delivery_id", "at", "by", "decision", "was", "state", "note"]
        c.execute(insert(decisions).from_select(names, first))


def body(content: Interaction, now: int | None = None, key: str = "") -> Facts:
    """The columns BODY of what is to be sent. `now`: the time of staging, which stands for a
    created date that the model does not have. With the `key`, also whom it is about."""
    return {
        "digest": content.digest,
        "contact": content.contact,
        "created_date": content.created or instant(now),
        "payload": content.payload.decode(),
        **({"about": about_of(key, content.contact)} if key else {}),
    }


def content_of(staged: Staged, now: int) -> dict[str, Any]:
    """The columns that hold what a row says; `created_date` is the time of staging by default."""
    content = staged.content
    if staged.history:
        return {**dict.fromkeys(BODY), "state": State.DISCARDED.value, "reason": HISTORY}
    if isinstance(content, Invalid):
        return {**dict.fromkeys(BODY), "state": State.INVALID.value, "reason": content.reason}
    return {"state": State.PENDING.value, "reason": None, **body(content, now)}


def reason_of(outcome: Outcome) -> str | None:
    """Why a request or a row fared as it did; None where the destination has taken it."""
    return None if isinstance(outcome, TAKEN) else storable(outcome.reason)


def storable(reason: str) -> str:
    """`reason` without the one character that PostgreSQL does not take, so that an odd answer of
    the destination does not keep the answers beside it from being recorded."""
    return reason.replace("\x00", "\ufffd")
