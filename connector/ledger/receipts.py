"""Receipts of verifications: which rows one looks at, that one process is about it, what is kept.

Nothing of it touches a row. A claim lasts as long as its process says so; a receipt is written in
the transaction that ends the claim, so that nobody writes a second one for it.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Engine,
    Select,
    String,
    Table,
    Text,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from connector.basis import dataclass
from connector.ledger.ownership import OF_DELIVERED, delivered_row
from connector.ledger.paging import first_rows, windows
from connector.ledger.processes import process_of, this_process
from connector.ledger.records import Delivered, milliseconds, moment
from connector.ledger.tables import (
    NOW,
    chunks,
    database_time,
    deliveries,
    metadata,
    receipts,
    upsert,
    watermarks,
)
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.delivery import State
from connector.rules.draw import PRIME, Draw
from connector.rules.receipt import Deviation, Signed, deviations_of, deviations_text

verifications = Table(  # which process is about one: a claim, as long as it goes on
    "verifications",
    metadata,
    Column("activation", String, primary_key=True),
    Column("began_at", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),  # JSON: host, process, since when
    Column("token", String, nullable=False),  # of this very claim
    Column("expires_at", BigInteger, nullable=False),  # silent for longer, it counts as ended
)

d, r, v = deliveries.c, receipts.c, verifications.c
SPAN = timedelta(seconds=60)
"""For how long a process is believed to be about a verification that says nothing."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A receipt as the ledger has it. `began_at` and `until` in milliseconds since 1970;
    `deviations`: rows that the next verification looks at again."""

    receipt_id: str
    activation: str
    began_at: int
    until: int
    signed: Signed
    deviations: tuple[Deviation, ...]

    @property
    def began(self) -> datetime:
        """When its verification began."""
        return moment(self.began_at)


@dataclass(frozen=True, slots=True)
class Standing:
    """How many rows stand as delivered: `rows` with the id of their interaction, `new` ones of them
    since the last verification, and `unverifiable` ones without an id."""

    rows: int
    new: int
    unverifiable: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A verification that this process is about, since `began_at` by the database's clock."""

    activation: str
    began_at: int
    token: str


class KeptReceipts(Reader):
    """What is asked of receipts, and of the rows that a verification looks at."""

    def receipts(
        self,
        activation: str | None = None,
        limit: int | None = None,
        result: str | None = None,
        after: str | None = None,
    ) -> list[Kept]:
        """The newest receipts, of all activations or of one, the newest first; those with one
        `result`; and of a list those that follow the receipt `after`."""
        query = select(receipts).order_by(r.began_at.desc(), r.receipt_id.desc()).limit(limit)
        if activation is not None:
            query = query.where(r.activation == self._name(activation))
        if result is not None:
            query = query.where(r.result == result)
        if after is not None:
            place = select(r.began_at, r.receipt_id).where(r.receipt_id == after)
            query = query.where(tuple_(r.began_at, r.receipt_id) < place.scalar_subquery())
        return [_kept(row) for row in self._all(query)]

    def receipt(self, receipt_id: str) -> Kept | None:
        """One of them."""
        found = self._all(select(receipts).where(r.receipt_id == receipt_id))
        return next(map(_kept, found), None)

    def last_receipt(self, activation: str) -> Kept | None:
        """The newest receipt of an activation."""
        return next(iter(self.receipts(activation, 1)), None)

    def last_receipts(self, activations: Iterable[str]) -> dict[str, Kept]:
        """The same of several activations, in their order; those without one are left out."""
        recorded, found = {name: self._name(name) for name in activations}, dict[str, Kept]()
        with transaction(self._engine) as c:
            for part in chunks(list(recorded.values())):
                found |= {row.activation: _kept(row) for row in c.execute(_newest(part))}
        return {name: found[of] for name, of in recorded.items() if of in found}

    def stands(self, activation: str, since: int, until: int) -> Standing:
        """How many of its rows stand as delivered since `until` at the latest; those after `since`
        are new."""
        known = d.interaction_id.is_not(None)
        query = select(
            func.sum(case((known, 1), else_=0)),
            func.sum(case((and_(known, d.changed_at > since), 1), else_=0)),
            func.sum(case((known, 0), else_=1)),
        ).where(*self._delivered(activation, until))
        found = list(windows(self._engine, query, d.id))
        return Standing(*(sum(int(row[i] or 0) for row in found) for i in range(3)))

    def drawn(self, activation: str, draw: Draw, after: int, limit: int) -> list[Delivered]:
        """The next rows, after the delivery with the id `after`, that are drawn."""
        query = select(*OF_DELIVERED).where(
            *self._delivered(activation, draw.until), d.interaction_id.is_not(None), _is_drawn(draw)
        )
        return list(map(delivered_row, first_rows(self._engine, query, d.id, after, limit)))

    @repeated
    def still_delivered(self, ids: Collection[int]) -> set[int]:
        """Which of these deliveries stand as delivered."""
        found: set[int] = set()
        with transaction(self._engine) as c:
            for part in chunks(ids):
                query = select(d.id).where(d.id.in_(part), d.state == State.DELIVERED)
                found |= set(c.execute(query).scalars())
        return found

    def _delivered(self, activation: str, until: int) -> tuple[ColumnElement[bool], ...]:
        ours = d.activation == self._name(activation)
        return ours, d.state == State.DELIVERED, d.changed_at <= until


def _is_drawn(draw: Draw) -> ColumnElement[bool]:
    """`Draw.takes`, as the database knows it."""
    factor, shift, prime = (literal(n, BigInteger) for n in (draw.factor, draw.shift, PRIME))
    lot = (d.id % prime * factor + shift) % prime
    below = case((d.changed_at > draw.since, draw.new_below), else_=draw.older_below)
    drawn = lot < below
    return or_(drawn, d.id.in_(sorted(draw.again))) if draw.again else drawn


def _newest(activations: Sequence[str]) -> Select[Any]:
    """The newest receipt of each: of what was delivered, something is on record."""
    of = receipts.alias().c
    newest = select(of.receipt_id).where(of.activation == watermarks.c.activation)
    newest = newest.order_by(of.began_at.desc(), of.receipt_id.desc()).limit(1)
    ids = select(newest.scalar_subquery()).where(watermarks.c.activation.in_(activations))
    return select(receipts).where(r.receipt_id.in_(ids))


def _kept(row: Any) -> Kept:
    signed = Signed(row.document, row.key, row.signature)
    left = deviations_of(row.deviations)
    return Kept(row.receipt_id, row.activation, row.began_at, row.until, signed, left)


class Verifications:
    """The writing side. Every method raises LedgerUnavailable when the database cannot be read or
    written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @repeated
    def claim(self, activation: str) -> Claim | None:
        """Be the one process that verifies `activation` now; None: another one is about it."""
        with transaction(self._engine) as c:
            now, token = database_time(c), secrets.token_hex(8)
            nobodys = {"holder": "", "token": "", "began_at": 0, "expires_at": 0}
            c.execute(
                upsert(c, verifications)
                .values(activation=activation, **nobodys)
                .on_conflict_do_nothing()
            )
            mine = v.activation == activation
            other = c.execute(select(verifications).where(mine).with_for_update()).one()
            if other.expires_at > now and not _is_dead(other.holder):
                return None
            fresh = {"holder": this_process().text, "token": token, "began_at": now}
            span = {"expires_at": now + milliseconds(SPAN)}
            c.execute(update(verifications).where(mine).values(**fresh, **span))
        return Claim(activation, now, token)

    @repeated
    def go_on(self, claim: Claim) -> bool:
        """Say that this process is still about it; False: another one has taken it over."""
        with transaction(self._engine) as c:
            still = NOW + milliseconds(SPAN)
            change = update(verifications).where(*_of(claim)).values(expires_at=still)
            return bool(c.execute(change).rowcount)

    @repeated
    def give_up(self, claim: Claim) -> None:
        """End a claim without a receipt."""
        with transaction(self._engine) as c:
            c.execute(delete(verifications).where(*_of(claim)))

    @repeated
    def keep(self, claim: Claim, receipt: Kept, counts: dict[str, Any]) -> bool:
        """End a claim with its receipt; False: another process has taken it over, and nothing is
        kept. `counts`: the figures of the receipt that are columns of their own."""
        with transaction(self._engine) as c:
            if not c.execute(delete(verifications).where(*_of(claim))).rowcount:
                return False
            c.execute(
                insert(receipts).values(
                    receipt_id=receipt.receipt_id,
                    activation=receipt.activation,
                    began_at=receipt.began_at,
                    finished_at=NOW,
                    until=receipt.until,
                    document=receipt.signed.document,
                    key=receipt.signed.key,
                    signature=receipt.signed.signature,
                    deviations=deviations_text(receipt.deviations),
                    **counts,
                )
            )
            return True


def _of(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return v.activation == claim.activation, v.token == claim.token


def _is_dead(holder: str) -> bool:
    process = process_of(holder)
    return process is not None and process.is_dead()
