"""Turns on record: who was sent to when, in the transaction of each attempt, and who comes next.

That a cap holds for all processes together needs no more than the lease: who opens an attempt holds
its activation, and has read, since it took it, every turn that anybody has taken before.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy import update as update_

from connector.ledger.ahead import AHEAD
from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.records import Closing, Delivery
from connector.ledger.tables import OPEN, chunks, deliveries, ledgers, turns, upsert
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules import clocks
from connector.rules.delivery import NotApplied, Refused, State
from connector.rules.interaction import about_of
from connector.rules.turns import Cap, Line, Turn

d, t = deliveries.c, turns.c
WAITS = and_(t.delivery_id == d.id, t.attempt == d.attempt + 1, t.cap.is_not(None))
"""A row that waits for its turn: to be sent, or to be replaced."""
FAILED = and_(t.delivery_id == d.id, t.attempt == d.attempt, t.cap.is_(None), t.void)
"""A row whose last attempt was certainly not applied: it is the next of its contact."""


class HasTurn(Protocol):
    """An entry about a row that takes its turn, or waits for it."""

    @property
    def delivery(self) -> Delivery: ...
    @property
    def turn(self) -> Turn | None: ...


def wall() -> int:
    """Now, by the wall clock."""
    return round(clocks.wall().timestamp() * 1000)


def digest_of(key: str, contact_id: str) -> str:
    """By which a contact is known again; `key`: the ledger's identity."""
    return about_of(key, contact_id.lower())


def take_turns(c: Connection, activation: str, entries: Sequence[HasTurn]) -> None:
    """Put the turns of `entries` on record, in their own transaction: taken, or waited for."""
    next_ones = [(entry.delivery.id, entry.delivery.attempt + 1, entry.turn) for entry in entries]
    put_turns(c, activation, [(row, number, turn) for row, number, turn in next_ones if turn])


def put_turns(c: Connection, activation: str, of: Sequence[tuple[int, int, Turn]]) -> None:
    """The same of rows by their ids, each with the number of the attempt that the turn is of."""
    rows = [
        {
            "delivery_id": row,
            "attempt": number,
            "activation": activation,
            "contact": turn.contact,
            "at": turn.at,
            "void": False,
            "cap": turn.cap,
        }
        for row, number, turn in of
    ]
    if rows:
        statement = upsert(c, turns)
        new = {name: statement.excluded[name] for name in ("contact", "at", "void", "cap")}
        keys = ["delivery_id", "attempt"]
        c.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), rows)


def set_turns(c: Connection, closings: Sequence[Closing]) -> None:
    """A send counts from when it was over: it cannot have come later. An answer that came late may
    say that it was stored after all."""
    rows = [
        {
            "id": closing.delivery_id,
            "attempt": closing.number,
            "until": closing.at,
            "outcome": isinstance(closing.outcome, NotApplied | Refused) or None,
        }
        for closing in closings
        if closing.at is not None
    ]
    if not rows:
        return
    entry = json_rows(c.dialect.name, "id", "attempt", "until", "outcome").c
    mine = (t.delivery_id == entry.id, t.attempt == entry.attempt, t.cap.is_(None))
    void = case((entry.outcome.is_(None), False), else_=t.void)
    c.execute(update_(turns).where(*mine).values(at=entry.until, void=void), in_one(rows))


def bury_turns(c: Connection, orphans: Any) -> None:
    """Sends of a run that died count from when that was found: they cannot have come later."""
    if c.execute(select(t.delivery_id).limit(1)).first():
        open_ones = exists().where(d.id == t.delivery_id, d.attempt == t.attempt)
        mine = (t.delivery_id.in_(orphans), open_ones, t.cap.is_(None))
        c.execute(update_(turns).where(*mine).values(at=wall()))


def from_ahead(activation: str, cap: Cap) -> ColumnElement[bool]:
    """The condition for sends that count from a time which is a whole `every` away: the clock was
    ahead then, and was put back. One that is behind for a while is no reason to count them anew."""
    mine = and_(t.activation == activation, t.cap.is_(None))
    return and_(mine, t.at > wall() + max(cap.every, AHEAD))


def count_from_now(c: Connection, activation: str, cap: Cap) -> None:
    """Let sends `from_ahead` count from now: they cannot have come later. Whoever of their contacts
    waits is looked at anew."""
    ahead = update_(turns).where(from_ahead(activation, cap)).values(at=wall())
    contacts = set(c.execute(ahead.returning(t.contact)).scalars())
    for part in chunks(contacts):
        waits = (t.activation == activation, t.contact.in_(part), t.cap.is_not(None))
        c.execute(update_(turns).where(*waits).values(at=0))


def not_in_line(cap: Cap) -> ColumnElement[bool]:
    """The condition for rows that need not wait for their turn. What waits by another cap than this
    one is looked at anew."""
    return ~exists().where(WAITS, t.cap == cap.word, t.at > wall())


class Turns(Reader):
    """What is known of turns, and when it is forgotten."""

    def taken_turns(
        self, activation: str, cap: Cap, contacts: Sequence[str]
    ) -> dict[str, list[int]]:
        """When each of `contacts` (hashes) was sent to lately, the latest `most` times."""
        found, since = defaultdict[str, list[int]](list), wall() - cap.every
        name = self._name(activation)
        for part in chunks(contacts):
            for row in self._all(_taken(name, part, since, cap.most)):
                found[row.contact].append(row.at)
        return found

    @repeated
    def lines(
        self,
        activation: str,
        cap: Cap,
        wanted: Mapping[str, tuple[int, int]],
        but: Mapping[int, int],
    ) -> dict[str, Line]:
        """By contact (a hash), whom it was sent to lately, and which rows are before those that are
        `wanted`: the first and the last of their ids. `but`: rows that are decided about already,
        or just now, by their ids, each with the number of the attempt that is decided about: what
        was sent of them before counts."""
        found = defaultdict[str, Line](Line)
        now, most = wall(), cap.most + len(but)
        with transaction(self._engine) as c:
            for part in chunks(wanted):
                for row in c.execute(_taken(activation, part, now - cap.every, most)):
                    if row.attempt != but.get(row.delivery_id):
                        found[row.contact].taken.append(row.at)
            entries = [
                {"contact": contact, "id": first, "until": last}
                for contact, (first, last) in wanted.items()
            ]
            ahead = _ahead(c.dialect.name, activation, cap, most)
            for row in c.execute(ahead, in_one(entries)):
                if row.delivery_id not in but:
                    line = found[row.contact].ahead
                    line[row.delivery_id] = max(row.at, line.get(row.delivery_id, 0))
        return found

    @repeated
    def forget_turns(
        self, contact_ids: Collection[str], rows: Collection[int], activations: Collection[str]
    ) -> None:
        """Remove what is known of when somebody was sent to: by contact ids in `activations`, and
        by their rows."""
        identity = str(self._first(select(ledgers.c.identity))[0])
        contacts = [digest_of(identity, contact_id) for contact_id in contact_ids]
        with transaction(self._engine) as c:
            for part in chunks(contacts):
                mine = (t.activation.in_(list(activations)), t.contact.in_(part))
                c.execute(delete(turns).where(*mine))
            for ids in chunks(rows):
                c.execute(delete(turns).where(t.delivery_id.in_(ids)))


def _taken(activation: str, contacts: Sequence[str], since: int, most: int) -> Any:
    """When these contacts were sent to since then, the latest `most` of each."""
    number = func.row_number().over(partition_by=t.contact, order_by=t.at.desc()).label("number")
    lately = (
        select(t.contact, t.delivery_id, t.attempt, t.at, number)
        .where(t.activation == activation, t.contact.in_(contacts), t.at > since)
        .where(t.cap.is_(None), ~t.void)
        .subquery()
    )
    return select(lately).where(lately.c.number <= most)


def _ahead(dialect: str, activation: str, cap: Cap, most: int) -> Any:
    """Rows that wait before others of their contact: those directly before the first of these, and
    all in between."""
    entry = json_rows(dialect, "contact", "id", "until").c
    at = case((t.cap == cap.word, t.at), else_=0).label("at")
    last_first = (at.desc(), t.delivery_id.desc())
    number = func.row_number().over(partition_by=t.contact, order_by=last_first).label("number")
    line = (
        select(t.contact, t.delivery_id, at, entry.id.label("first"), number)
        .select_from(turns.join(deliveries, or_(WAITS, FAILED)))
        .where(t.activation == activation, t.contact == entry.contact, t.delivery_id < entry.until)
        .where(d.state == State.PENDING, OPEN)
        .subquery()
    )
    return select(line.c.contact, line.c.delivery_id, line.c.at).where(
        or_(line.c.number <= most, line.c.delivery_id > line.c.first)
    )
