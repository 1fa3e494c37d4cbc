"""Doubts, and how they end: by what the destination shows, or by what a person says."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from connector.ledger.ahead import is_ahead
from connector.ledger.counts import count_in_run
from connector.ledger.leases import Book
from connector.ledger.mirrored import Marked
from connector.ledger.moving import LAST, Move, Row, Told, move
from connector.ledger.ownership import alone, owned
from connector.ledger.parcels import ABSENT, Asked, Request, Witness
from connector.ledger.records import Doubt, Run, Settlement, milliseconds
from connector.ledger.tables import (
    ASKABLE,
    CLOCKS_OF_DOUBTS,
    NOW,
    OPEN,
    attempts,
    deliveries,
    ledgers,
    requests,
)
from connector.ledger.transaction import repeated
from connector.rules.delivery import State, Unknown

d, a, r = deliveries.c, attempts.c, requests.c
RESTORED_AT = func.coalesce(select(ledgers.c.restored_at).scalar_subquery(), 0)
POSSIBLY_SENT_AT: Any = case((a.opened_at > RESTORED_AT, a.opened_at), else_=RESTORED_AT)
"""When the request of a doubt may last have left: what a ledger from a backup remembers of an
attempt may not be the last one that was made."""
SEEN = or_(r.seen_at.is_not(None), r.opened_at < RESTORED_AT)
"""Whether a request was, or may have been, seen at the destination: what a ledger from a backup
remembers of it may be less than was known."""
ASKED_AHEAD = is_ahead(r.asked_at, NOW)
"""Requests that were asked about later than now, so before the clock was put back: what was said
then of when they may be asked about again holds no more."""
BY_THEMSELVES = or_(a.request.is_(None), exists().where(r.id == a.request, ~ASKABLE))
"""Attempts that are not settled by their request."""
OF_DOUBTS = (
    select(
        *(d.id, d.row_key, d.attempt, d.contact_id, d.created_date, d.payload),
        *(NOW - POSSIBLY_SENT_AT, d.contact, d.digest, *CLOCKS_OF_DOUBTS),
        *(d.reason, d.state == State.SUBMITTED, func.coalesce(a.place, 0)),
        *(a.opened_at <= RESTORED_AT, a.http_status, a.reason),
    )
    .select_from(deliveries)
    .join(attempts, LAST)
)


class Doubts(Book):
    """The rows of which nobody knows whether the destination has them."""

    def doubts(self, activation: str, after: int, limit: int) -> list[Doubt]:
        """The next rows in doubt, after the delivery with the id `after`: those that are not
        settled by their request."""
        return self._doubts(activation, d.id > after, limit)

    def doubts_of(self, activation: str, contacts: Collection[str]) -> list[Doubt]:
        """Every row in doubt of these contacts that is not settled by its request."""
        return self._doubts(activation, d.contact_id.in_(list(contacts)), None)

    def _doubts(
        self, activation: str, condition: ColumnElement[bool], limit: int | None
    ) -> list[Doubt]:
        query = (
            OF_DOUBTS.where(d.activation == activation, d.state == State.IN_DOUBT, OPEN, condition)
            .where(BY_THEMSELVES)
            .order_by(d.id)
            .limit(limit)
        )
        return [_doubt(row) for row in self._all(query)]

    def requests_open(self, run: Run, after: int, limit: int) -> list[Request]:
        """The next requests, after the one with the id `after`, that the destination may be asked
        about now: what was said before the run began is asked anew."""
        began = round(run.started_at.timestamp() * 1000)
        due = or_(r.next_at.is_(None), r.next_at <= NOW, r.asked_at < began, ASKED_AHEAD)
        query = (
            select(
                r.id,
                r.reference,
                r.theirs,
                r.rows,
                r.http_status,
                r.reason,
                SEEN,
                NOW - r.opened_at,
                NOW - case((r.asked_at > r.opened_at, r.asked_at), else_=r.opened_at),
            )
            .where(r.activation == run.activation, r.ended_at.is_(None), r.outcome != ABSENT)
            .where(r.closed_at.is_not(None), ASKABLE, due)
            .where(r.id > after)
            .order_by(r.id)
            .limit(limit)
        )
        return [
            Request(r[0], r[1], r[2], r[3], r[4], r[5], bool(r[6]), _span(r[7]), _span(r[8]))
            for r in self._all(query)
        ]

    def next_request_in(self, activation: str) -> timedelta | None:
        """How long until a request may be asked about that may not be yet; None: there is none."""
        still = (r.activation == activation, r.ended_at.is_(None), r.closed_at.is_not(None))
        next_at = case((ASKED_AHEAD, NOW), else_=r.next_at)
        (wait,) = self._first(select(func.min(next_at) - NOW).where(*still))
        return None if wait is None else _span(max(0, wait))

    def witness(self, request: Request) -> Witness:
        """The request that can say whether the destination would still know another one that it has
        just called absent: one that it was done with longer ago than that one was old when it was
        called so first. The last of these, for it is remembered if any is."""
        (age, of) = self._first(
            select(func.coalesce(r.absent_at, NOW) - r.opened_at, r.activation).where(
                r.id == request.id
            )
        )
        others = (r.activation == of, r.known_at.is_not(None), r.theirs.is_(None))
        old_enough = (r.done_at + age) - NOW
        last = select(r.reference).where(*others, old_enough <= 0).order_by(r.done_at.desc())
        if found := self._first(last.limit(1)):
            return Witness(found[0])
        (wait,) = self._first(select(func.min(old_enough)).where(*others))
        return Witness(None, None if wait is None else _span(max(0, wait)))

    def doubts_in(self, request: Request) -> list[Doubt]:
        """The rows of a request that are not settled, in their order."""
        unsettled = d.state.in_((State.IN_DOUBT, State.SUBMITTED))
        query = OF_DOUBTS.where(a.request == request.id, unsettled, OPEN).order_by(a.place)
        return [_doubt(row) for row in self._all(query)]

    @repeated
    def asked(self, run: Run, asked: Asked) -> bool:
        """Record what a destination said of a request and its rows: all, or nothing (False) when
        one of them has moved since. Raises LeaseLost."""
        settlements = asked.settlements
        with self._leased(run) as (c, now):
            savepoint = c.begin_nested()
            if settlements and not all(_settle(c, run, settlements, now)):
                savepoint.rollback()
                return False
            _count(c, run, settlements)
            wait = asked.next_in
            values: dict[str, Any] = {
                "asked_at": now if asked.answered else r.asked_at,
                "next_at": None if wait is None else now + milliseconds(wait),
                "outcome": asked.outcome or r.outcome,
                "seen_at": func.coalesce(r.seen_at, now) if asked.seen else r.seen_at,
                "known_at": func.coalesce(r.known_at, now) if asked.by_ours else r.known_at,
                "ended_at": now if asked.ended else None,
                "done_at": func.coalesce(r.done_at, now) if asked.done else r.done_at,
                "absent_at": func.coalesce(r.absent_at, now) if asked.absent else r.absent_at,
            }
            c.execute(update(requests).where(r.id == asked.request.id).values(values))
            savepoint.commit()
            return True

    @repeated
    def saw_request(self, run: Run, request: Request, boot: int, boot_at: int) -> None:
        """Record when a request was seen in doubt that was opened under another boot. Raises
        LeaseLost."""
        with self._leased(run) as (c, _):
            mine = (a.request == request.id, a.outcome == Unknown.word)
            c.execute(update(attempts).where(*mine).values(boot=boot, boot_at=boot_at))

    def doubts_left(self, run: Run) -> int:
        """How many rows are in doubt about a request of this run."""
        query = select(func.count()).where(
            d.activation == run.activation,
            d.state.in_((State.IN_DOUBT, State.SENDING)),
            d.run_id == run.run_id,
            OPEN,
        )
        return int(self._first(query)[0])

    @repeated
    def saw(self, run: Run, doubts: Sequence[Doubt | Marked], boot: int, boot_at: int) -> None:
        """Record when doubts were seen that were opened under another boot, or interactions that
        are to be taken back. Raises LeaseLost."""
        with self._leased(run) as (c, _):
            # they are older than they look by this clock
            for doubt in doubts:
                mine = (a.delivery_id == doubt.delivery_id, a.number == doubt.attempt)
                c.execute(update(attempts).where(*mine).values(boot=boot, boot_at=boot_at))

    @repeated
    def settle(self, run: Run, settlements: Sequence[Settlement]) -> list[bool]:
        """End doubts that were counted against each other: all, or none when one of them has moved
        since, for then the count was another. Says of each whether it moved. Raises LeaseLost."""
        with self._leased(run) as (c, now):
            savepoint = c.begin_nested()
            done = _settle(c, run, settlements, now)
            if all(done):
                _count(c, run, settlements)
                savepoint.commit()
                return done
            savepoint.rollback()
            return [False] * len(done)


def _doubt(r: Any) -> Doubt:
    more = {"submitted": bool(r[13]), "place": r[14], "before_restore": bool(r[15])}
    more |= {"http_status": r[16], "answered": r[17]}
    return Doubt(r[0], r[1], r[2], r[3], r[4], r[5], _span(r[6]), *r[7:13], **more)


def _count(c: Connection, run: Run, settlements: Sequence[Settlement]) -> None:
    found = sum(s.state is State.DELIVERED for s in settlements)
    turned_down = sum(s.state is State.REJECTED for s in settlements)
    unasked = {word: sum(s.word == word for s in settlements) for word in ("resent", "assumed")}
    count_in_run(c, run.run_id, delivered=found, rejected=turned_down, **unasked)


def _settle(c: Connection, run: Run, settlements: Sequence[Settlement], now: int) -> list[bool]:
    """End doubts, each only if its row is still in doubt about the very same attempt, and if the
    interaction that was found belongs to no other row by now."""
    taken: set[str] = set()
    if ids := [s.interaction_id for s in settlements if s.interaction_id]:
        alone(c, run.activation)
        taken = owned(c, run.activation, ids)
    free = [s for s in settlements if s.interaction_id not in taken]
    moved: set[int] = set()
    for state, how in SETTLED.items():
        some = [s for s in free if s.state is state]
        rows = [_row(s, run.run_id) for s in some if not s.of_unknown_content]
        moved |= move(c, how, rows, now, run.run_id)
    unknown = [_row(s, run.run_id) for s in free if s.of_unknown_content]
    moved |= move(c, OF_UNKNOWN_CONTENT, unknown, now, run.run_id)
    return [s.interaction_id not in taken and s.doubt.delivery_id in moved for s in settlements]


IN_DOUBT_SINCE: Any = case((d.state == State.IN_DOUBT, d.changed_at), else_=bindparam("now"))
OF_UNKNOWN_CONTENT = Move(
    State.DELIVERED, ("interaction_id",), by_run=True, but=lambda _: {"digest": None}
)
SETTLED = {
    State.DELIVERED: Move(State.DELIVERED, ("interaction_id",), by_run=True),
    State.PENDING: Move(State.PENDING, ("reason",)),
    State.REJECTED: Move(State.REJECTED, ("reason",), by_run=True),
    # it stays in doubt since when it came into doubt
    State.IN_DOUBT: Move(State.IN_DOUBT, ("reason",), but=lambda _: {"changed_at": IN_DOUBT_SINCE}),
    State.SUBMITTED: Move(State.SUBMITTED),
}


def _row(s: Settlement, run_id: str) -> Row:
    facts = {"interaction_id": s.interaction_id, "reason": s.reason}
    was = State.SUBMITTED if s.doubt.submitted else State.IN_DOUBT
    # what is processed as it should be says its request, once for all of its rows
    silent = s.state is was or (was is State.SUBMITTED and s.state is State.DELIVERED)
    told = None if silent else Told(f"read-back of run {run_id}", s.word, was, s.state)
    return Row(s.doubt.delivery_id, was, s.doubt.attempt, facts, told)


def _span(span: int) -> timedelta:
    return timedelta(milliseconds=span)
