"""What a run asks of the ledger and people do, too: what is recorded, known and owned."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from connector.ledger.ahead import is_ahead
from connector.ledger.contacts import contacts
from connector.ledger.history import Histories
from connector.ledger.home import Home, home_of
from connector.ledger.json_rows import in_one, json_texts
from connector.ledger.mirrored import CHANGED, REPLACED_LATER, is_of
from connector.ledger.moving import FROM_AHEAD
from connector.ledger.ownership import of_pruned, open_trials, owned, owners
from connector.ledger.paging import first_rows
from connector.ledger.pruned import PRUNED_ROW, number_of, pruned_among
from connector.ledger.records import (
    Delivered,
    Known,
    Run,
    instant,
    milliseconds,
)
from connector.ledger.tables import (
    NOW,
    OPEN,
    chunks,
    deliveries,
    requests,
    runs,
    watermarks,
)
from connector.ledger.transaction import reading, reading_together, repeated, transaction
from connector.ledger.turns import not_in_line
from connector.rules.dbt.gate import Taken
from connector.rules.deed import Document
from connector.rules.delivery import PATIENCE, TRIES_AGAIN, State
from connector.rules.hold import Hold
from connector.rules.trial import Trial
from connector.rules.turns import Cap
from connector.rules.watermark import Watermark
from connector.rules.window import FOR_WINDOW

d = deliveries.c
KNOWN = (
    *(d.row_key, d.id, d.state, d.digest, d.reason, d.run_id, d.contact, d.payload, d.attempt),
)
TOLD_TO_REST = d.reason.contains(TRIES_AGAIN)
STATES = {state.value: state for state in State}


def _due_within(span: timedelta) -> ColumnElement[bool]:
    return or_(d.due_at.is_(None), d.due_at <= NOW + milliseconds(span), FROM_AHEAD)


class Resting(NamedTuple):
    """So many rows rest, the first of them until `next_at` (milliseconds since 1970). `kept`: those
    that the destination did not let through, and the reason of one of them. `told`: besides, those
    that it would not have yet, and that each run tries again; since when, and `why` one does."""

    rows: int = 0
    next_at: int | None = None
    kept: int = 0
    reason: str | None = None
    told: int = 0
    told_at: int | None = None
    why: str | None = None

    @property
    def all(self) -> int:
        """All that rest."""
        return self.rows + self.told

    def document(self) -> Document:
        """How many, when the first of them may be tried again, and why one of them rests."""
        at = min((at for at in (self.next_at, self.told_at) if at is not None), default=None)
        why = self.why or self.reason
        return {"resting": self.all, "next_try": instant(at), "rests_for": why}


class Questions(Histories):
    """Answers out of the ledger behind an engine, on its writing and on its reading side."""

    def _home(self, activation: str) -> Any:
        """The row that the activation has itself; None where there is none."""
        return self._first(
            select(watermarks).where(watermarks.c.activation == self._name(activation))
        )

    def home(self, activation: str) -> Home:
        """What is recorded of the activation itself."""
        row = self._home(activation)
        return Home() if row is None else home_of(row)

    def is_under(self, earlier: str, activation: str) -> bool:
        """Whether the activation is recorded under its earlier name, and not yet under its own."""
        both = [earlier, activation]
        named = select(watermarks.c.activation).where(watermarks.c.activation.in_(both))
        return {row[0] for row in self._all(named)} == {earlier}

    def watermark(self, activation: str) -> tuple[Watermark, bool]:
        """The stored position, and whether some run has already read the whole model."""
        home = self.home(activation)
        return home.mark, home.begun

    def hold(self, activation: str) -> Hold | None:
        """The figures of the run that waits for approval; None when none does."""
        return self.home(activation).hold

    def known_relation(self, activation: str) -> Taken | None:
        """Which relation the last run took for its model of dbt that read one."""
        found = runs.c.activation == self._name(activation), runs.c.relation.is_not(None)
        query = select(runs.c.dbt_model, runs.c.relation).where(*found)
        row = self._first(query.order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(1))
        return Taken(row.dbt_model, row.relation) if row else None

    def for_window(self, activation: str) -> int:
        """How many rows wait for the send window, and for nothing else: to be sent, but for those
        `to_be_replaced`."""
        due = and_(d.state == State.PENDING, or_(d.due_at.is_(None), d.due_at <= NOW, FROM_AHEAD))
        found = and_(d.state == State.WAITING, d.reason == FOR_WINDOW)
        query = select(func.count()).where(
            d.activation == self._name(activation), OPEN, or_(due, found)
        )
        return int(self._first(query)[0])

    def moved_by(self, run: Run) -> set[int]:
        """The rows that stand as a run that goes on has left them."""
        if run.footing.span is None:
            return set()
        here = d.id.between(*run.footing.span), d.run_id == run.run_id, OPEN
        return {row.id for row in self._all(select(d.id).where(*here))}

    def resting(self, activation: str, span: timedelta = timedelta(0)) -> Resting:
        """The rows that are to be sent, and rest for longer than `span` before they are."""
        mine = d.activation == self._name(activation), d.state == State.PENDING, OPEN
        rests = d.due_at > NOW + milliseconds(span), ~FROM_AHEAD
        numbers = func.count(), func.min(d.due_at), func.count(d.reason), func.min(d.reason)
        return Resting(*self._first(select(*numbers).where(*mine, *rests)))

    def resting_before(self, activation: str, span: timedelta) -> Resting:
        """The same as a run finds it, also of those that were told to rest."""
        mine = d.activation == self._name(activation), d.state == State.PENDING, OPEN
        query = select(func.count(), func.min(d.due_at), func.min(d.reason))
        number, at, why = self._first(query.where(*mine, TOLD_TO_REST, _due_within(span)))
        return self.resting(activation, span)._replace(told=number, told_at=at, why=why)

    def first_to_be_sent(
        self, activation: str, number: int, cap: Cap | None
    ) -> list[tuple[int, str, str, str, str]]:
        """Of the first rows that are recorded and may be sent, in the order in which they are: the
        delivery's id, the key, the contact, the created date and the body of each. `cap`: those
        that wait by it for their turn may not; nor may those that rest for longer than a run has
        PATIENCE, or that the destination would not have yet."""
        ours = (d.activation == self._name(activation), d.state == State.PENDING, OPEN)
        soon = or_(d.reason.is_(None), ~TOLD_TO_REST), _due_within(PATIENCE)
        query = select(d.id, d.row_key, d.contact, d.created_date, d.payload).where(*ours, *soon)
        query = query.where(not_in_line(cap)) if cap else query
        return [tuple(row) for row in self._all(query.order_by(d.id).limit(number))]

    def to_be_replaced(self, activation: str) -> int:
        """How many rows of a mirror stay as they were sent until they may be replaced."""
        ours = (is_of(self._name(activation)), REPLACED_LATER)
        return int(self._first(select(func.count()).select_from(CHANGED).where(*ours))[0])

    def some_keys(self, activation: str, after: int, limit: int) -> list[tuple[int, str]]:
        """The next row keys, after the delivery with the id `after`, each with its delivery's id,
        in the order in which they were recorded."""
        query = select(d.id, d.row_key).where(d.activation == self._name(activation), d.id > after)
        return [(row[0], row[1]) for row in self._all(query.order_by(d.id).limit(limit))]

    def known(self, activation: str, keys: Collection[str]) -> dict[str, Known]:
        """What is recorded under each of `keys`; of rows that are pruned, PRUNED_ROW."""
        rows = self._of_keys(select(*KNOWN), activation, keys)
        found = {r[0]: Known(r[1], STATES[r[2]], *r[3:]) for r in rows}
        # asked for after the rows: one that is pruned in between is found
        left = [key for key in keys if key not in found]
        return found | dict.fromkeys(self.pruned_among(activation, left), PRUNED_ROW)

    @repeated
    def knows_any(self, activation: str) -> bool:
        """Whether any row of it is recorded, or was until it was pruned."""
        name = self._name(activation)
        with reading_together(self._engine) as c:
            any_row = select(d.id).where(d.activation == name).limit(1)
            return c.execute(any_row).first() is not None or number_of(c, name) is not None

    @repeated
    def pruned_among(self, activation: str, keys: Collection[str]) -> set[str]:
        """Those of `keys` of which nothing is known but that they were delivered long ago."""
        if not keys:
            return set()
        name = self._name(activation)
        with reading_together(self._engine) as c:
            number = number_of(c, name)
            return pruned_among(c, number, keys) if number is not None else set()

    @repeated
    def _of_keys(self, query: Select[Any], activation: str, keys: Collection[str]) -> Sequence[Any]:
        """The rows of `query` that have one of `keys`, however many these are."""
        some = d.row_key.in_(json_texts(self._engine.dialect.name))
        mine = query.where(d.activation == self._name(activation), some)
        with reading(self._engine) as c:
            return c.execute(mine, in_one([*keys])).all()

    def similar_keys(self, activation: str, row_key: str, limit: int = 5) -> list[str]:
        """Recorded row keys that hold `row_key`, whatever the capitals."""
        pattern = d.row_key.icontains(row_key, autoescape=True)
        query = select(d.row_key).where(d.activation == self._name(activation), pattern)
        return [row[0] for row in first_rows(self._engine, query, d.id, 0, limit)]

    @repeated
    def contacts(
        self, destination: str, digests: Collection[str], span: timedelta
    ) -> dict[str, str]:
        """By digest, the contactIds that were looked up within `span` by the database's clock."""
        found: dict[str, str] = {}
        with transaction(self._engine) as c:
            for part in chunks(digests):
                query = select(contacts.c.digest, contacts.c.contact_id).where(
                    contacts.c.destination == destination,
                    contacts.c.digest.in_(part),
                    contacts.c.looked_up_at > NOW - milliseconds(span),
                    ~is_ahead(contacts.c.looked_up_at, NOW),
                )
                found.update((row[0], row[1]) for row in c.execute(query))
        return found

    @repeated
    def owners(self, activation: str, ids: Collection[str]) -> dict[str, Delivered]:
        """The rows that the interactions `ids` belong to, at the destination of `activation`."""
        with transaction(self._engine) as c:
            return owners(c, activation, ids)

    @repeated
    def owned(self, activation: str, ids: Collection[str]) -> set[str]:
        """Which interactions of `ids` are of rows at the destination of `activation`, or were
        before they were deleted."""
        with transaction(self._engine) as c:
            return owned(c, activation, ids)

    @repeated
    def of_pruned(self, activations: Collection[str], ids: Collection[str]) -> set[str]:
        """Which interactions of `ids` are of pruned rows of these activations, at the destination
        to which all of them send."""
        with transaction(self._engine) as c:
            return of_pruned(c, min(activations), ids, activations)

    @repeated
    def claims(self, activation: str, ids: Collection[str]) -> tuple[set[str], list[Trial]]:
        """The same after the tests and probes there of which nobody knows what they have made: one
        that ends in between owns its id then."""
        with transaction(self._engine) as c:
            still_open = open_trials(c, activation)
            return owned(c, activation, ids), still_open

    def knows_references(self, activation: str) -> bool | None:
        """Whether the destination has shown that it knows requests by the references that we give
        them; None: it has given them ids of its own."""
        r = requests.c
        mine = select(r.id).where(r.activation == self._name(activation)).limit(1)
        if self._first(mine.where(r.theirs.is_not(None))):
            return None
        return self._first(mine.where(r.known_at.is_not(None))) is not None
