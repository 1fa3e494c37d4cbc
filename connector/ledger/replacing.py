"""A schema that is replaced: deleted with its interactions and created anew, and all is sent again.

What is sent again is recorded here before anything is deleted, and every step is a committed move
of `migrations.step`, so that whoever comes after a crash goes on where it broke off. Until the end
the activations are kept: nothing else takes them (see leases.py). The tables keep the names that
people's queries know: `migrations`, `migrated_rows`.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)

from connector.basis import dataclass
from connector.ledger.counts import state_counts
from connector.ledger.deeds import CANCELLED, REPLACED, REPLACING, Entry, note
from connector.ledger.leases import prolong
from connector.ledger.mirrored import is_of
from connector.ledger.moving import BODY, Move, Row, Told, body, move
from connector.ledger.ownership import remember_removed, sends_to
from connector.ledger.records import Run, instant, moment
from connector.ledger.restored import is_suspect
from connector.ledger.tables import (
    NOW,
    OPEN,
    PAUSERS,
    database_time,
    deliveries,
    ledgers,
    migrated_rows,
    migrations,
    pauses,
    pruned,
    upsert,
    watermarks,
)
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.definition import Definition, definition_of
from connector.rules.delivery import TO_BE_SENT, State
from connector.rules.difference import Difference, difference
from connector.rules.errors import StaleMove
from connector.rules.interaction import Interaction, Invalid, about_of
from connector.rules.place import Place

d, m, r, w = deliveries.c, migrations.c, migrated_rows.c, watermarks.c

TOGETHER = 2000
"""Rows that are moved in one transaction."""
NO_MORE = "the model has it no more"
OF_PRUNED = "their details are pruned from the ledger (ledger.keep)"


class Step(StrEnum):
    """What of a replacement is done."""

    PAUSED = "paused"
    """The activations are kept; what is to be sent again is being recorded."""
    RECORDED = "recorded"
    """All that is to be sent again is recorded."""
    DELETING = "deleting"
    """The schema's deletion may be on the wire."""
    DELETED = "deleted"
    """The schema is gone, and its interactions with it."""
    CREATING = "creating"
    """The schema's creation may be on the wire."""
    CREATED = "created"
    """The new schema is there; rows are being made pending."""
    MOVED = "moved"
    """All rows are pending, or sent already."""
    DONE = "done"
    CANCELLED = "cancelled"
    """Given up before anything was deleted."""


CANCELLABLE = (Step.PAUSED, Step.RECORDED)


@dataclass(frozen=True, slots=True)
class Replacement:
    """That the schema `was` gives way to `definition`, and how far that has come. `interactions`:
    the number that a person has confirmed; `id` 0: it has not begun."""

    destination: str
    was: Definition
    definition: Definition
    interactions: int
    step: Step = Step.PAUSED
    id: int = 0
    started_at: datetime | None = None

    @property
    def schema_id(self) -> str:
        return self.definition.id

    @property
    def begun(self) -> bool:
        """Whether it is under way, or only planned."""
        return self.id != 0

    @property
    def difference(self) -> Difference:
        """In what the new schema differs from the one that is, or was, deleted."""
        return difference(self.was, self.definition)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the rows of an activation stand. `held`: it waits for an approval; `suspect`: it is to
    be read back, since the ledger is from a backup."""

    counts: dict[str, int]
    held: bool
    suspect: bool


@dataclass(frozen=True, slots=True)
class Lack:
    """Rows that cannot be sent again, for one reason."""

    reason: str
    rows: int
    examples: tuple[str, ...]


def goes_on(schema_id: str) -> str:
    """How a replacement ends that is under way."""
    return (
        f'the schema "{schema_id}" is being replaced; `connector schema replace {schema_id}` goes'
        " on with it"
    )


class Replacements(Reader):
    """The replacements in the ledger. Every write proves that the activations are still held.

    Raises LedgerUnavailable, as the ledger does, and LeaseLost when another process has taken over.
    """

    def __init__(self, engine: Engine, lease: int) -> None:
        self._engine, self._lease = engine, lease

    # --- looking --------------------------------------------------------------------------------

    def under_way(self, destinations: Collection[str], schema_id: str) -> Replacement | None:
        """The replacement of a schema that is not finished."""
        query = select(migrations).where(
            m.destination.in_(list(destinations)),
            func.lower(m.schema_id) == schema_id.lower(),
            m.finished_at.is_(None),
        )
        row = self._first(query)
        return _replacement(row) if row else None

    def members(self, replacement: Replacement) -> list[str]:
        """The activations that it keeps."""
        query = select(pauses.c.activation).where(pauses.c.migration == replacement.id)
        return sorted(row[0] for row in self._all(query))

    @repeated
    def standings(
        self, place: Place, destinations: Collection[str], schema_id: str, also: Collection[str]
    ) -> dict[str, Standing]:
        """Where the rows stand of each activation that is recorded as sending to a schema of the
        destination at `place`, which is called one of `destinations`; and of those in `also`."""
        recorded = select(w.activation).where(
            sends_to(place, destinations), func.lower(w.schema_id) == schema_id.lower()
        )
        with transaction(self._engine) as c:
            names = {*also, *c.execute(recorded).scalars()}
            return {
                name: Standing(
                    counts=state_counts(c, name),
                    held=bool(c.scalar(select(w.held).where(w.activation == name))),
                    suspect=is_suspect(c, name),
                )
                for name in sorted(names)
            }

    def unsent(self, activation: str) -> Iterator[tuple[str, str]]:
        """Row key and payload of each row that is yet to be sent."""
        states = d.state.in_(TO_BE_SENT)
        return self._bodies(
            select(d.id, d.row_key, d.payload).where(d.activation == activation, OPEN, states)
        )

    def recorded(self, replacement: Replacement) -> Iterator[tuple[str, str]]:
        """Row key and payload of each row that is recorded to be sent again."""
        return self._bodies(
            select(d.id, d.row_key, r.payload)
            .join_from(migrated_rows, deliveries, r.delivery_id == d.id)
            .where(r.migration == replacement.id, r.payload.is_not(None))
        )

    def _bodies(self, query: Select[Any]) -> Iterator[tuple[str, str]]:
        page: Sequence[Any] = [(0,)]
        while page:
            beyond = query.where(d.id > page[-1][0]).order_by(d.id).limit(TOGETHER)
            page = self._all(beyond)
            yield from ((row[1], row[2]) for row in page)

    def asked_ago(self, replacement: Replacement) -> timedelta:
        """How long ago, by the database's clock, a deletion or creation was asked for last."""
        query = select(NOW - m.asked_at).where(m.id == replacement.id)
        age = next((row[0] for row in self._all(query)), None)
        return timedelta.max if age is None else timedelta(milliseconds=age)

    @repeated
    def lacks(self, replacement: Replacement) -> list[Lack]:
        """Which rows cannot be sent again, by reason."""
        those = and_(r.migration == replacement.id, r.reason.is_not(None))
        rows = select(d.row_key).join_from(migrated_rows, deliveries, r.delivery_id == d.id)
        found = []
        with transaction(self._engine) as c:
            number = func.count()
            query = select(r.reason, number).where(those).group_by(r.reason).order_by(number.desc())
            for reason, count in c.execute(query).all():
                some = rows.where(those, r.reason == reason).order_by(d.id).limit(3)
                found.append(Lack(reason, count, tuple(c.execute(some).scalars())))
            kept = select(pauses.c.activation).where(pauses.c.migration == replacement.id)
            gone = select(func.sum(pruned.c.rows)).where(pruned.c.activation.in_(kept))
            if rows_gone := c.execute(gone).scalar():
                found.append(Lack(OF_PRUNED, int(rows_gone), ()))
        return found

    def progress(self, replacement: Replacement, activation: str | None = None) -> dict[str, int]:
        """Where the rows stand that are sent again, by state."""
        query = (
            select(d.state, func.count())
            .join_from(migrated_rows, deliveries, r.delivery_id == d.id)
            .where(r.migration == replacement.id)
            .group_by(d.state)
        )
        if activation is not None:
            query = query.where(d.activation == activation)
        return dict(map(tuple, self._all(query)))

    # --- beginning and ending -------------------------------------------------------------------

    @repeated
    def begin(self, leases: Sequence[Run], planned: Replacement, by: str) -> Replacement:
        """Keep the activations that are held until the replacement is done."""
        with transaction(self._engine) as c:
            now = self._hold(c, leases)
            new = insert(migrations).values(
                destination=planned.destination,
                schema_id=planned.schema_id,
                step=Step.PAUSED,
                was=json.dumps(planned.was.content),
                definition=json.dumps(planned.definition.content),
                interactions=planned.interactions,
                by=by,
                started_at=now,
                changed_at=now,
            )
            row = c.execute(new.returning(migrations)).one()
            note(c, _entry(REPLACING, planned, by), now)
            pause = {"at": now, "by": PAUSERS[0].format(planned.schema_id)}
            for lease in leases:
                c.execute(
                    upsert(c, pauses)
                    .values(activation=lease.activation, migration=row.id, **pause)
                    .on_conflict_do_update(
                        index_elements=["activation"], set_={"migration": row.id}
                    )
                )
            return _replacement(row)

    @repeated
    def advance(
        self,
        leases: Sequence[Run],
        replacement: Replacement,
        step: Step,
        definition: Definition | None = None,
    ) -> Replacement:
        """Record that `step` is reached, and `definition` where another one is created than was
        planned. Raises StaleMove when another process was quicker."""
        new = replace(replacement, step=step, definition=definition or replacement.definition)
        with transaction(self._engine) as c:
            now = self._hold(c, leases)
            asked = {"asked_at": now} if step in (Step.DELETING, Step.CREATING) else {}
            written = json.dumps(new.definition.content)
            self._set(c, replacement, step=step, definition=written, changed_at=now, **asked)
        return new

    @repeated
    def end(self, leases: Sequence[Run], replacement: Replacement, step: Step) -> None:
        """Let the activations go: all is sent (DONE), or nothing was deleted (CANCELLED). A pause
        that a person had made before stays."""
        kept = pauses.c.migration == replacement.id
        pausers = [pauser.format(replacement.schema_id) for pauser in PAUSERS]
        with transaction(self._engine) as c:
            now = self._hold(c, leases)
            self._set(c, replacement, step=step, changed_at=now, finished_at=now)
            by = c.execute(select(m.by).where(m.id == replacement.id)).scalar() or ""
            done = REPLACED if step is Step.DONE else CANCELLED
            note(c, _entry(done, replacement, by), now)
            c.execute(delete(migrated_rows).where(r.migration == replacement.id))
            c.execute(delete(pauses).where(kept, pauses.c.by.in_(pausers)))
            c.execute(update(pauses).where(kept).values(migration=None))

    def _hold(self, c: Connection, leases: Sequence[Run]) -> int:
        for lease in sorted(leases, key=lambda lease: lease.activation):
            prolong(c, lease, self._lease)
        return database_time(c)

    def _set(self, c: Connection, replacement: Replacement, **values: Any) -> None:
        as_seen = (m.id == replacement.id, m.step == replacement.step)
        if c.execute(update(migrations).where(*as_seen).values(**values)).rowcount != 1:
            raise StaleMove(
                f'another process goes on with the replacement of "{replacement.schema_id}"'
            )

    # --- what is sent again ---------------------------------------------------------------------

    @repeated
    def forget_rows(self, leases: Sequence[Run], replacement: Replacement) -> None:
        """Begin anew with recording; also what earlier replacements have left of these rows."""
        old = select(d.id).where(d.activation.in_([lease.activation for lease in leases]))
        with transaction(self._engine) as c:
            self._hold(c, leases)
            c.execute(
                delete(migrated_rows).where(
                    or_(r.migration == replacement.id, r.delivery_id.in_(old))
                )
            )

    @repeated
    def record(
        self,
        lease: Run,
        replacement: Replacement,
        rows: Sequence[tuple[int, Interaction | Invalid]],
    ) -> None:
        """Record what rows (by their id) are now; the first record of a row counts."""
        entries = []
        for delivery_id, content in rows:
            facts: dict[str, Any] = {**dict.fromkeys(BODY), "reason": None, "moved": False}
            facts |= {"reason": content.reason} if isinstance(content, Invalid) else body(content)
            entries.append({"delivery_id": delivery_id, "migration": replacement.id, **facts})
        with transaction(self._engine) as c:
            prolong(c, lease, self._lease)
            if entries:
                c.execute(upsert(c, migrated_rows).on_conflict_do_nothing(), entries)

    @repeated
    def record_missing(self, leases: Sequence[Run], replacement: Replacement) -> None:
        """Record the delivered rows that were not found as such that cannot be sent again."""
        missing = (
            select(d.id, literal(replacement.id), false(), literal(NO_MORE))
            .where(d.activation.in_([lease.activation for lease in leases]))
            .where(d.state == State.DELIVERED)
            .where(~exists().where(r.delivery_id == d.id))
        )
        columns = ["delivery_id", "migration", "moved", "reason"]
        with transaction(self._engine) as c:
            self._hold(c, leases)
            c.execute(insert(migrated_rows).from_select(columns, missing))

    @repeated
    def move(self, lease: Run, replacement: Replacement, by: str, after: int) -> int | None:
        """Make the next TOGETHER rows `after` an id pending, or undone where they cannot be sent
        again; the id of the last of them, None when there was none. In one transaction, with a
        decision on record for each."""
        with transaction(self._engine) as c:
            prolong(c, lease, self._lease)
            rows = c.execute(to_be_moved(lease.activation, replacement.id, after)).all()
            if not rows:
                return None
            remember_removed(c, [(row.id, row.interaction_id) for row in rows])
            _move(c, replacement, rows, by)
            return int(rows[-1].id)


def to_be_moved(activation: str, replacement: int, after: int) -> Select[Any]:
    """The next rows; found among the recorded ones, in their order."""
    return (
        select(d.id, d.attempt, d.interaction_id, *(r[fact] for fact in (*BODY, "reason")))
        .join_from(migrated_rows, deliveries, r.delivery_id == d.id)
        .where(r.migration == replacement, r.moved == false(), r.delivery_id > after)
        .where(is_of(activation))
        .order_by(r.delivery_id)
        .limit(TOGETHER)
    )


def _entry(what: str, of: Replacement, by: str) -> Entry:
    details = {"schema": of.schema_id, "interactions": of.interactions}
    return Entry(what, by, details=details)


def _replacement(row: Any) -> Replacement:
    return Replacement(
        destination=row.destination,
        was=definition_of(json.loads(row.was)),
        definition=definition_of(json.loads(row.definition)),
        interactions=row.interactions,
        step=Step(row.step),
        id=row.id,
        started_at=moment(row.started_at),
    )


def _move(c: Connection, replacement: Replacement, rows: Sequence[Any], by: str) -> None:
    """Deal with rows whose interactions were deleted, as they were recorded."""
    now = database_time(c)
    known_as = select(d.interaction_id).where(d.id == r.delivery_id).scalar_subquery()
    recorded = update(migrated_rows).where(r.delivery_id.in_([row.id for row in rows]))
    gone = dict.fromkeys(("contact", "created_date", "payload"))
    c.execute(recorded.values(moved=true(), interaction_id=known_as, **gone))
    assert replacement.started_at is not None
    began = round(replacement.started_at.timestamp() * 1000)
    restored = c.scalar(select(exists().where(ledgers.c.restored_at >= began)))
    deleted = f"its interaction was deleted with the schema {replacement.schema_id}"
    undone, pending = list[Row](), list[Row]()
    key = c.execute(select(ledgers.c.identity)).scalar_one()
    for row in rows:
        sent_again = row.payload is not None
        became = State.PENDING if sent_again else State.UNDONE
        told = Told(by, "migrated", State.DELIVERED, became, deleted)
        if sent_again:
            facts = {fact: row._mapping[fact] for fact in BODY}
            facts["about"] = about_of(key, row.contact)
            facts["created_date"] = row.created_date or instant(now)
            pending.append(Row(row.id, State.UNDONE, row.attempt + 1, facts, told))
        why = None if sent_again else f"{deleted}, and not sent again: {row.reason}"
        seen = (row.id, State.DELIVERED, row.attempt)
        undone.append(Row(*seen, {"reason": why}, None if sent_again else told))
    if len(move(c, UNDO, undone, now)) != len(rows):
        raise StaleMove("rows moved while their schema was replaced; look at them again")
    move(c, AGAIN_SUSPECT if restored else AGAIN, pending, now)


AGAIN = Move(State.PENDING, BODY, but=lambda _: {"contact_id": None, "suspect": None})
AGAIN_SUSPECT = Move(State.PENDING, BODY, but=lambda _: {"contact_id": None, "suspect": True})
UNDO = Move(
    State.UNDONE,
    ("reason",),
    # an answer to an earlier attempt that comes only now is about what has been deleted
    attempt=1,
    but=lambda _: {"interaction_id": None},
)
