"""Requests that carry many rows: opened and closed with all of them, and sent again as they were.

Each statement does for all rows of a request.
"""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Integer,
    String,
    bindparam,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.leases import Book
from connector.ledger.moving import FROM_AHEAD, IN_VAIN, LAST, OPENED, Row, move, reason_of
from connector.ledger.parcels import ABSENT, SPLIT, Again, ClosingAll, Half, Opened, OpeningAll
from connector.ledger.records import Delivery, Run
from connector.ledger.tables import NOW, OPEN, attempts, deliveries, requests
from connector.ledger.transaction import repeated, transaction
from connector.ledger.turns import take_turns
from connector.rules.delivery import Accepted, State, Submitted, Unknown

a, d, r = attempts.c, deliveries.c, requests.c


def open_request(c: Connection, run: Run, entry: OpeningAll, now: int) -> Opened | bool:
    """Put a request on record with all of its rows; False, and nothing is, where one of them is no
    longer where the caller saw it."""
    rows = [
        Row(o.delivery.id, o.delivery.state, o.delivery.attempt, {"contact_id": o.contact_id})
        for o in entry.openings
    ]
    savepoint = c.begin_nested()
    moved = move(c, OPENED, rows, now, run.run_id)
    request = _begun(c, run, entry, now) if len(moved) == len(rows) else None
    if request is None:
        savepoint.rollback()
        return False
    first = entry.openings[0]
    begun = [
        {"id": o.delivery.id, "attempt": o.number, "place": place}
        for place, o in enumerate(entry.openings)
    ]
    clocks = {name: getattr(first, name) for name in ("boot", "boot_at", "destination_at")}
    facts = {"run": run.run_id, "now": now, "request": request, **clocks}
    c.execute(_beginning(c.dialect.name), in_one(begun, **facts))
    take_turns(c, run.activation, entry.openings)
    savepoint.commit()
    return Opened(request)


def _begun(c: Connection, run: Run, entry: OpeningAll, now: int) -> int | None:
    """The id of the request; None where one that was to go again is no longer absent."""
    if entry.again is None:
        facts = {
            "activation": run.activation,
            "run_id": run.run_id,
            "reference": entry.reference,
            "rows": len(entry.openings),
            "digest": entry.digest,
            "opened_at": now,
            "proof": entry.proof,
        }
        inserted: Any = c.execute(insert(requests).values(facts)).inserted_primary_key
        return int(inserted[0])
    forgotten = ("closed_at", "outcome", "http_status", "reason", "next_at", "absent_at")
    nothing = dict.fromkeys(forgotten)
    again = c.execute(
        update(requests)
        .where(r.id == entry.again, r.outcome == ABSENT, r.ended_at.is_(None))
        .values(run_id=run.run_id, times=r.times + 1, opened_at=now, proof=entry.proof, **nothing)
    )
    return entry.again if again.rowcount else None


@cache
def _beginning(dialect: str) -> Insert:
    entry = json_rows(dialect, "id", "attempt", "place").c
    numbers = ("now", "boot", "boot_at", "destination_at", "request")
    of_all = [bindparam(name, type_=BigInteger) for name in numbers]
    return insert(attempts).from_select(
        ["delivery_id", "number", "place", "run_id", "opened_at", *numbers[1:]],
        select(entry.id, entry.attempt, entry.place, bindparam("run", type_=String), *of_all),
    )


def close_request(c: Connection, entry: ClosingAll, moved: bool, now: int) -> None:
    """Record what a request brought. `moved`: a row of it has moved; else the answer came too late,
    and says only that the destination has it."""
    has_it = isinstance(entry.whole, Accepted | Submitted)
    values: dict[str, Any] = {"seen_at": func.coalesce(r.seen_at, now)} if has_it else {}
    if moved:
        whole = entry.whole
        open_yet = any(isinstance(e.outcome, Submitted | Unknown) for e in entry.closings)
        values |= {
            "closed_at": now,
            "outcome": whole.word,
            "http_status": whole.http_status,
            "reason": reason_of(whole),
            "ended_at": None if open_yet else now,
            "next_at": None,
        }
        if isinstance(whole, Submitted) and whole.theirs:
            # one that is another's says nothing: it is asked about by our own
            is_others = _is_of_another(c, entry.request, whole.theirs)
            values["theirs"] = None if is_others else whole.theirs
    if values:
        c.execute(update(requests).where(r.id == entry.request).values(values))


def _is_of_another(c: Connection, request: int, name: str) -> bool:
    known = or_(*(func.lower(column) == name.lower() for column in (r.reference, r.theirs)))
    found = c.execute(select(r.id).where(known, r.id != request).limit(1))
    return found.first() is not None


class Requests(Book):
    """Requests that are sent again: whole, or in halves."""

    @repeated
    def requests_again(self, run: Run) -> list[Again]:
        """The requests that were found absent and may go again as they were, oldest first. One of
        which a row is no longer pending, or not due, ends here: what is left of it is sent anew.
        Raises LeaseLost."""
        absent = (r.activation == run.activation, r.outcome == ABSENT, r.ended_at.is_(None))
        found = self._all(select(r.id, r.reference, r.digest, r.rows).where(*absent).order_by(r.id))
        if not found:
            return []
        whole = []
        with self._leased(run) as (c, now):
            for row in found:
                rows = _rows_again(c, row.id)
                if len(rows) == row.rows:
                    whole.append(Again(row.id, row.reference, row.digest, rows))
                else:
                    c.execute(update(requests).where(r.id == row.id).values(ended_at=now))
        return whole

    @repeated
    def end_request(self, run: Run, request: int) -> None:
        """Nobody asks about it any more, nor does it go again. Raises LeaseLost."""
        with self._leased(run) as (c, now):
            c.execute(update(requests).where(r.id == request).values(ended_at=now))

    @repeated
    def is_of_another(self, request: int, name: str) -> bool:
        """Whether a request other than this one is known by a name, however that is written."""
        with transaction(self._engine) as c:
            return _is_of_another(c, request, name)

    def halves(self, activation: str, first: int, last: int) -> dict[int, Half]:
        """Of pending rows with ids from `first` to `last`, those whose last request was refused as
        a whole: in which half of it they stood."""
        second = (a.place * 2 >= r.rows).cast(Integer)
        query = (
            select(d.id, r.id, second)
            .join_from(deliveries, attempts, LAST)
            .join(requests, r.id == a.request)
            .where(d.activation == activation, d.state == State.PENDING, OPEN)
            .where(d.id.between(first, last), r.outcome == SPLIT)
        )
        return {row[0]: (row[1], row[2]) for row in self._all(query)}


def _rows_again(c: Connection, request: int) -> list[Delivery]:
    """The rows of a request that are pending since it was found absent, in their order."""
    content = (d.contact, d.contact_id, d.created_date, d.payload, d.suspect)
    query = (
        select(d.id, d.row_key, d.state, d.attempt, *content, null(), IN_VAIN)
        .join_from(attempts, deliveries, LAST)
        .where(a.request == request, d.state == State.PENDING, OPEN, d.suspect.is_not(True))
        .where(or_(d.due_at.is_(None), d.due_at <= NOW, FROM_AHEAD))
        .order_by(a.place)
    )
    rows = c.execute(query).all()
    return [Delivery(row[0], row[1], State(row[2]), *row[3:]) for row in rows]
