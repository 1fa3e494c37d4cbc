"""A migration: a schema is deleted with its interactions, created anew, and all is sent again.

What is sent again is recorded here before anything is deleted, and every step is a committed move
of `migrations.step`, so that whoever comes after a crash goes on where it broke off. Until the end
the activations are kept: nothing else takes them (see leases.py).
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    Text,
    and_,
    bindparam,
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

from connector.ledger.counts import state_counts
from connector.ledger.engine import repeated, transaction
from connector.ledger.leases import hold
from connector.ledger.ownership import remember_removed
from connector.ledger.places import sends_to
from connector.ledger.records import NOW, Run, database_time, moment, upsert
from connector.ledger.tables import (
    OPEN,
    decisions,
    deliveries,
    ledgers,
    migrated_rows,
    migrations,
    pauses,
    watermarks,
)
from connector.rules.definition import Definition, definition_of
from connector.rules.delivery import READ_BACK_BY_RUNS, State
from connector.rules.errors import StaleMove
from connector.rules.interaction import Interaction, Invalid, instant_text
from connector.rules.place import Place

d, m, r = deliveries.c, migrations.c, migrated_rows.c

TOGETHER = 2000
"""Rows that are moved in one transaction."""
NO_MORE = "the model has it no more"


class Step(StrEnum):
    """What of a migration is done."""

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
class Migration:
    """A migration, as far as it has come. `interactions`: the number that was confirmed."""

    id: int
    destination: str
    was: Definition
    definition: Definition
    interactions: int
    by: str
    step: Step
    started_at: datetime

    @property
    def schema_id(self) -> str:
        """The schema that is replaced."""
        return self.definition.id


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
    """How a migration ends that is under way."""
    return (
        f'the schema "{schema_id}" is being migrated; `connector schema migrate {schema_id}` goes'
        " on with it"
    )


def kept_paused(activation: str, by: str) -> str:
    """Why a pause is not ended."""
    return (
        f'"{activation}" stays paused ({by}): a migration of its schema is not done, and `connector'
        " schema migrate` goes on with it"
    )


class Migrations:
    """The migrations in the ledger. Every write proves that the activations are still held.

    Raises LedgerUnavailable, as the ledger does, and LeaseLost when another process has taken over.
    """

    def __init__(self, engine: Engine, lease: int) -> None:
        self._engine, self._lease = engine, lease

    # --- looking --------------------------------------------------------------------------------

    def under_way(self, destinations: Collection[str], schema_id: str) -> Migration | None:
        """The migration of a schema that is not finished."""
        query = select(migrations).where(
            m.destination.in_(list(destinations)),
            func.lower(m.schema_id) == schema_id.lower(),
            m.finished_at.is_(None),
        )
        with transaction(self._engine) as c:
            row = c.execute(query).first()
            return _migration(row) if row else None

    def members(self, migration: Migration) -> list[str]:
        """The activations that it keeps."""
        query = select(pauses.c.activation).where(pauses.c.migration == migration.id)
        with transaction(self._engine) as c:
            return sorted(c.execute(query).scalars())

    def recorded(
        self, place: Place | None, destinations: Collection[str], schema_id: str
    ) -> list[str]:
        """The activations whose rows are recorded as sent to a schema of the destination at
        `place`, which is called one of `destinations`."""
        w = watermarks.c
        query = select(w.activation).where(
            sends_to(place, destinations), func.lower(w.schema_id) == schema_id.lower()
        )
        with transaction(self._engine) as c:
            return sorted(c.execute(query).scalars())

    def standing(self, activation: str) -> Standing:
        """Where the rows of an activation stand."""
        w = watermarks.c
        suspect = exists().where(
            d.activation == activation, d.state.in_(READ_BACK_BY_RUNS), d.suspect, OPEN
        )
        with transaction(self._engine) as c:
            counts = state_counts(c, activation)
            mark = c.execute(select(w.held, w.suspect).where(w.activation == activation)).first()
            held, doubted = bool(mark and mark.held), bool(mark and mark.suspect)
            doubted = doubted or bool(c.scalar(select(suspect)))
            return Standing(counts, held, doubted)

    def unsent(self, activation: str) -> Iterator[tuple[str, str]]:
        """Row key and payload of each row that is yet to be sent."""
        after = 0
        while page := self._page(
            select(d.id, d.row_key, d.payload)
            .where(d.activation == activation, d.id > after, OPEN)
            .where(d.state.in_((State.PENDING, State.WAITING)))
            .order_by(d.id)
        ):
            yield from ((row[1], row[2]) for row in page)
            after = page[-1][0]

    def bodies(self, migration: Migration) -> Iterator[tuple[str, str]]:
        """Row key and payload of each row that is recorded to be sent again."""
        after = 0
        while page := self._page(
            select(d.id, d.row_key, r.payload)
            .join_from(migrated_rows, deliveries, r.delivery_id == d.id)
            .where(r.migration == migration.id, r.payload.is_not(None), d.id > after)
            .order_by(d.id)
        ):
            yield from ((row[1], row[2]) for row in page)
            after = page[-1][0]

    def _page(self, query: Select[Any]) -> Sequence[Any]:
        with transaction(self._engine) as c:
            return c.execute(query.limit(TOGETHER)).all()

    def asked_ago(self, migration: Migration) -> timedelta:
        """How long ago, by the database's clock, a deletion or creation was asked for last."""
        query = select(NOW - m.asked_at).where(m.id == migration.id)
        with transaction(self._engine) as c:
            age = c.execute(query).scalar()
        return timedelta.max if age is None else timedelta(milliseconds=age)

    # --- beginning and ending -------------------------------------------------------------------

    @repeated
    def begin(
        self,
        claims: Sequence[Run],
        destination: str,
        was: Definition,
        definition: Definition,
        interactions: int,
        by: str,
    ) -> Migration:
        """Keep the activations that are held until the migration is done."""
        with transaction(self._engine) as c:
            now = self._hold(c, claims)
            key = c.execute(
                insert(migrations).values(
                    destination=destination,
                    schema_id=definition.id,
                    step=Step.PAUSED,
                    was=json.dumps(was.content),
                    definition=json.dumps(definition.content),
                    interactions=interactions,
                    by=by,
                    started_at=now,
                    changed_at=now,
                )
            ).inserted_primary_key
            assert key is not None
            for claim in claims:
                pause = {"at": now, "by": _pauser(definition.id)}
                c.execute(
                    upsert(c, pauses)
                    .values(activation=claim.activation, migration=key[0], **pause)
                    .on_conflict_do_update(
                        index_elements=["activation"], set_={"migration": key[0]}
                    )
                )
            row = c.execute(select(migrations).where(m.id == key[0])).one()
            return _migration(row)

    @repeated
    def advance(self, claims: Sequence[Run], migration: Migration, step: Step) -> Migration:
        """Record that `step` is reached. Raises StaleMove when another process was quicker."""
        asked = step in (Step.DELETING, Step.CREATING)
        with transaction(self._engine) as c:
            now = self._hold(c, claims)
            self._set(
                c, migration, step=step, changed_at=now, **({"asked_at": now} if asked else {})
            )
        return replace(migration, step=step)

    @repeated
    def redefine(
        self, claims: Sequence[Run], migration: Migration, definition: Definition
    ) -> Migration:
        """Create another definition than the one that was planned."""
        with transaction(self._engine) as c:
            now = self._hold(c, claims)
            self._set(c, migration, definition=json.dumps(definition.content), changed_at=now)
        return replace(migration, definition=definition)

    @repeated
    def cancel(self, claims: Sequence[Run], migration: Migration) -> None:
        """Forget the migration, as nothing was deleted."""
        with transaction(self._engine) as c:
            now = self._hold(c, claims)
            self._set(c, migration, step=Step.CANCELLED, changed_at=now, finished_at=now)
            c.execute(delete(migrated_rows).where(r.migration == migration.id))
            self._resume(c, migration)

    @repeated
    def finish(self, migration: Migration) -> None:
        """All is sent: let the activations go."""
        with transaction(self._engine) as c:
            now = database_time(c)
            self._set(c, migration, step=Step.DONE, changed_at=now, finished_at=now)
            c.execute(delete(migrated_rows).where(r.migration == migration.id))
            self._resume(c, migration)

    def _hold(self, c: Connection, claims: Sequence[Run]) -> int:
        for claim in sorted(claims, key=lambda claim: claim.activation):
            hold(c, claim, self._lease)
        return database_time(c)

    def _set(self, c: Connection, migration: Migration, **values: Any) -> None:
        as_seen = (m.id == migration.id, m.step == migration.step)
        if c.execute(update(migrations).where(*as_seen).values(**values)).rowcount != 1:
            raise StaleMove(
                f'another process goes on with the migration of "{migration.schema_id}"'
            )

    def _resume(self, c: Connection, migration: Migration) -> None:
        """End the pauses, except those that a person had made before."""
        kept = pauses.c.migration == migration.id
        c.execute(delete(pauses).where(kept, pauses.c.by == _pauser(migration.schema_id)))
        c.execute(update(pauses).where(kept).values(migration=None))

    # --- what is sent again ---------------------------------------------------------------------

    @repeated
    def forget_rows(self, claims: Sequence[Run], migration: Migration) -> None:
        """Begin anew with recording; also what earlier migrations have left of these rows."""
        old = select(d.id).where(d.activation.in_([claim.activation for claim in claims]))
        with transaction(self._engine) as c:
            self._hold(c, claims)
            c.execute(
                delete(migrated_rows).where(
                    or_(r.migration == migration.id, r.delivery_id.in_(old))
                )
            )

    @repeated
    def record(
        self, claim: Run, migration: Migration, rows: Sequence[tuple[int, Interaction | Invalid]]
    ) -> None:
        """Record what rows (by their id) are now; the first record of a row counts."""
        entries = [
            {"delivery_id": i, "migration": migration.id, "moved": False, **_content(content)}
            for i, content in rows
        ]
        with transaction(self._engine) as c:
            hold(c, claim, self._lease)
            if entries:
                c.execute(upsert(c, migrated_rows).on_conflict_do_nothing(), entries)

    @repeated
    def record_missing(self, claims: Sequence[Run], migration: Migration) -> None:
        """Record the delivered rows that were not found as such that cannot be sent again."""
        missing = (
            select(d.id, literal(migration.id), false(), literal(NO_MORE))
            .where(d.activation.in_([claim.activation for claim in claims]))
            .where(d.state == State.DELIVERED)
            .where(~exists().where(r.delivery_id == d.id))
        )
        columns = ["delivery_id", "migration", "moved", "reason"]
        with transaction(self._engine) as c:
            self._hold(c, claims)
            c.execute(insert(migrated_rows).from_select(columns, missing))

    def lacks(self, migration: Migration) -> list[Lack]:
        """Which rows cannot be sent again, by reason."""
        those = and_(r.migration == migration.id, r.reason.is_not(None))
        rows = select(d.row_key).join_from(migrated_rows, deliveries, r.delivery_id == d.id)
        found = []
        with transaction(self._engine) as c:
            number = func.count()
            query = select(r.reason, number).where(those).group_by(r.reason).order_by(number.desc())
            for reason, count in c.execute(query).all():
                some = rows.where(those, r.reason == reason).order_by(d.id).limit(3)
                found.append(Lack(reason, count, tuple(c.execute(some).scalars())))
        return found

    # --- moving ---------------------------------------------------------------------------------

    @repeated
    def move(self, claim: Run, migration: Migration, by: str) -> int:
        """Make the next TOGETHER rows pending, or undone where they cannot be sent again; how many
        were left to be moved. In one transaction, with a decision on record for each."""
        with transaction(self._engine) as c:
            hold(c, claim, self._lease)
            rows: Any = c.execute(
                select(migrated_rows, d.interaction_id.label("known_as"))
                .join_from(migrated_rows, deliveries, r.delivery_id == d.id)
                .where(r.migration == migration.id, r.moved == false())
                .where(d.activation == claim.activation)
                .order_by(d.id)
                .limit(TOGETHER)
            ).all()
            if rows:
                suspect = True if c.scalar(_restored_since(migration)) else None
                _move(c, migration.schema_id, rows, by, database_time(c), suspect)
            return len(rows)

    def progress(self, migration: Migration, activation: str | None = None) -> dict[str, int]:
        """Where the rows stand that are sent again, by state."""
        query = (
            select(d.state, func.count())
            .join_from(migrated_rows, deliveries, r.delivery_id == d.id)
            .where(r.migration == migration.id)
            .group_by(d.state)
        )
        if activation is not None:
            query = query.where(d.activation == activation)
        with transaction(self._engine) as c:
            rows: Any = c.execute(query).all()
            return dict(map(tuple, rows))


def _pauser(schema_id: str) -> str:
    return f"migration of the schema {schema_id}"


def _migration(row: Any) -> Migration:
    return Migration(
        id=row.id,
        destination=row.destination,
        was=definition_of(json.loads(row.was)),
        definition=definition_of(json.loads(row.definition)),
        interactions=row.interactions,
        by=row.by,
        step=Step(row.step),
        started_at=moment(row.started_at),
    )


def _restored_since(migration: Migration) -> Select[Any]:
    began = round(migration.started_at.timestamp() * 1000)
    return select(exists().where(ledgers.c.restored_at >= began))


def _content(content: Interaction | Invalid) -> dict[str, Any]:
    if isinstance(content, Invalid):
        nothing = dict.fromkeys(("digest", "contact", "created_date", "payload"))
        return {**nothing, "reason": content.reason}
    return {
        "digest": content.digest,
        "contact": content.contact,
        "created_date": content.created,
        "payload": content.payload.decode(),
        "reason": None,
    }


def _move(
    c: Connection, schema_id: str, rows: Sequence[Any], by: str, now: int, suspect: bool | None
) -> None:
    lost = f"its interaction was deleted with the schema {schema_id}"
    seen = [
        {
            "the_id": row.delivery_id,
            "the_reason": None
            if row.reason is None
            else f"{lost}, and not sent again: {row.reason}",
            "now": now,
        }
        for row in rows
    ]
    again = [_again(row, now, suspect) for row in rows if row.payload is not None]
    for statement, facts in ((UNDOING, seen), (RELEASING, again)):
        if facts and c.execute(statement, facts).rowcount != len(facts):
            raise StaleMove("rows moved while their schema was migrated; look at them again")
    c.execute(insert(decisions), [_decision(row, by, lost, now) for row in rows])
    remember_removed(c, [(row.delivery_id, row.known_as) for row in rows])
    c.execute(
        MARKING, [{"the_id": row.delivery_id, "the_interaction": row.known_as} for row in rows]
    )


def _again(row: Any, now: int, suspect: bool | None) -> dict[str, Any]:
    return {
        "the_id": row.delivery_id,
        "the_digest": row.digest,
        "the_contact": row.contact,
        "the_created": row.created_date or instant_text(moment(now)),
        "the_payload": row.payload,
        "the_doubt": suspect,
        "now": now,
    }


def _decision(row: Any, by: str, lost: str, now: int) -> dict[str, Any]:
    return {
        "delivery_id": row.delivery_id,
        "at": now,
        "by": by,
        "decision": "migrated",
        "was": State.DELIVERED,
        "state": State.UNDONE if row.payload is None else State.PENDING,
        "reason": lost,
    }


UNDOING = (
    update(deliveries)
    .where(d.id == bindparam("the_id"), d.state == State.DELIVERED.value)
    .values(
        state=literal(State.UNDONE.value),
        interaction_id=None,
        # an answer to an earlier attempt that comes only now is about what has been deleted
        attempt=d.attempt + 1,
        reason=bindparam("the_reason", type_=Text),
        changed_at=bindparam("now"),
    )
)

RELEASING = (
    update(deliveries)
    .where(d.id == bindparam("the_id"), d.state == State.UNDONE.value)
    .values(
        state=literal(State.PENDING.value),
        reason=None,
        digest=bindparam("the_digest"),
        contact=bindparam("the_contact"),
        contact_id=None,
        created_date=bindparam("the_created"),
        payload=bindparam("the_payload"),
        suspect=bindparam("the_doubt"),
        due_at=None,
        waiting_since=None,
        changed_at=bindparam("now"),
    )
)

MARKING = (
    update(migrated_rows)
    .where(r.delivery_id == bindparam("the_id"))
    .values(
        moved=true(),
        interaction_id=bindparam("the_interaction"),
        contact=None,
        created_date=None,
        payload=None,
    )
)
