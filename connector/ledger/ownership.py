"""Whose an interaction is: its id has one owner for ever, also after it was deleted.

A destination may go on listing what it has deleted, and a cache before it may give one answer to
many requests. So an id that a row owns, or has owned, is never taken for another row's; and a row
that is sent anew is never taken for stored because of what was deleted of it before.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, func, literal_column, or_, select, text

from connector.basis import dataclass
from connector.ledger.digests import as_rows, halves_of
from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.records import Delivered, stored_identity
from connector.ledger.tables import (
    attempts,
    chunks,
    deliveries,
    pruned,
    pruned_interactions,
    removed_interactions,
    trials,
    upsert,
    watermarks,
)
from connector.ledger.transaction import schema_of
from connector.rules.delivery import Accepted, State
from connector.rules.place import Place
from connector.rules.trial import Aim, Trial, TrialState

d, r, t = deliveries.c, removed_interactions.c, trials.c
AS_USUAL = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HASH = "hashtextextended(cast(:project as text) || 'interactions of ' || {}, 0)"
ONE_BY_ONE = text(
    f"SELECT pg_advisory_xact_lock({HASH.format('coalesce(address, destination)')})"
    " FROM watermarks WHERE activation = :activation"
)
ONE_BY_ONE_AT = text(f"SELECT pg_advisory_xact_lock({HASH.format(':address')})")

OF_DELIVERED = (
    *(d.id, d.row_key, d.state, d.run_id, d.changed_at, d.interaction_id, d.digest),
    d.activation,
)
SHORT = 8
# with parameters for the numbers no database would see that this is the expression of an index
SHORT_ID = func.substr(d.interaction_id, literal_column("1"), literal_column(str(SHORT)))


def sends_to(place: Place | None, names: Collection[str]) -> ColumnElement[bool]:
    """The condition for the watermarks of activations that send to `place`, which is called one of
    `names`; None: it is known by its names alone."""
    named = watermarks.c.destination.in_(list(names))
    if place is None:
        return named
    here = and_(watermarks.c.type == place.type, watermarks.c.address.in_(place.addresses))
    return or_(here, and_(watermarks.c.address.is_(None), named))


def alone(c: Connection, activation: str) -> None:
    """Let nobody else give ids of this destination to rows until the transaction ends: two that
    did it side by side would not see each other. SQLite has one writer at a time anyway.

    Called after the lease is held, and before rows are locked.
    """
    if c.dialect.name == "postgresql":
        c.execute(ONE_BY_ONE, {"activation": activation, "project": _project(c)})


def alone_at(c: Connection, place: Place) -> None:
    """The same for all that is sent to `place`."""
    if c.dialect.name == "postgresql":
        for address in sorted(place.addresses):
            c.execute(ONE_BY_ONE_AT, {"address": address, "project": _project(c)})


def _project(c: Connection) -> str:
    """What tells the locks of this ledger from those of others in the same database."""
    schema = schema_of(c.engine.url)
    return "" if schema in (None, "public") else f"{schema}: "


def digest_of(interaction_id: str) -> str:
    """Under which a deleted interaction is remembered: enough to know its id again, and of no use
    for anything else. A GUID is the same in capitals."""
    plain = interaction_id
    if not AS_USUAL.fullmatch(plain):
        with suppress(ValueError):
            plain = str(UUID(plain))
    return blake2b(plain.encode(errors="replace"), digest_size=16).hexdigest()


ASKED = digest_of("the deletion of what is forgotten is asked for")
"""Stands among the interactions that a row gave up, beside its own, from before its deletion is
asked for until it is known what came of that."""


def remember_removed(c: Connection, rows: Iterable[tuple[int, str | None]]) -> None:
    """The rows (by their delivery id) give up these interactions, which are deleted."""
    entries = [
        {"delivery_id": delivery_id, "digest": digest_of(interaction_id)}
        for delivery_id, interaction_id in rows
        if interaction_id is not None
    ]
    if entries:
        c.execute(upsert(c, removed_interactions).on_conflict_do_nothing(), entries)


def removed(c: Connection, activation: str, ids: Collection[str]) -> dict[str, int]:
    """Those of `ids` that were deleted, at the destination of `activation`, and whose they were."""
    by_digest, found = {digest_of(i): i for i in ids}, list[tuple[str, int]]()
    for part in chunks(by_digest):
        query = select(r.digest, r.delivery_id).where(r.digest.in_(part))
        found += [(by_digest[row[0]], row[1]) for row in c.execute(query)]
    if not found:  # as nearly always
        return {}
    near, former = neighbours(c, activation), select(d.id, d.activation)
    rows = c.execute(former.where(d.id.in_({row for _, row in found})))
    mine = {row[0] for row in rows if row[1] in near}
    return {name: row for name, row in found if row in mine}


def of_pruned(
    c: Connection, activation: str, ids: Collection[str], within: Collection[str] | None = None
) -> set[str]:
    """Those of `ids` that were the interactions of rows that are pruned, at the destination of
    `activation`; of all that send there, or `within` some alone."""
    if not ids or c.execute(select(pruned.c.number).limit(1)).first() is None:
        return set()
    by_halves, own = {halves_of(digest_of(i)): i for i in ids}, pruned_interactions.c
    entry = json_rows(c.dialect.name, "high", "low").c
    query = (
        select(own.high, own.low, pruned.c.activation)
        .join(pruned, pruned.c.number == own.activation)
        .where(own.high == entry.high, own.low == entry.low)
    )
    found = c.execute(query, in_one(as_rows(by_halves))).all()
    near = neighbours(c, activation) if found else set[str]()
    near = near if within is None else near & set(within)
    return {by_halves[row[0], row[1]] for row in found if row[2] in near}


def whose_pruned(c: Connection, activation: str, name: str) -> list[tuple[int, str]]:
    """The activation whose pruned row had the interaction `name`, at the destination of
    `activation`, and its number; none where none had."""
    (high, low), own = halves_of(digest_of(name)), pruned_interactions.c
    here = (pruned.c.number == own.activation, own.high == high, own.low == low)
    near = neighbours(c, activation)
    found = c.execute(select(pruned.c.number, pruned.c.activation).where(*here))
    return [(row[0], row[1]) for row in found if row[1] in near]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an interaction is by now. `answered`: the destination had given it the id itself; else
    it was found by a read-back, or a person named it. `trial`: it is no row's, but was made by a
    test or a probe; `pruned`: it is that of a row of which nothing else is known any more."""

    delivery_id: int
    row_key: str
    deleted: bool
    answered: bool
    trial: bool = False
    pruned: bool = False


def owner_of(c: Connection, activation: str, name: str) -> Owner | None:
    """Whose the interaction with the id `name` is, at the destination of `activation`; None when it
    is nobody's."""
    if row := owners(c, activation, [name]).get(name):
        return Owner(row.id, row.row_key, False, _was_answered(c, row.id))
    if (former := removed(c, activation, [name]).get(name)) is not None:
        key = c.execute(select(d.row_key).where(d.id == former)).scalar_one()
        return Owner(former, key, True, True)
    if of_trials(c, activation, [name]):
        return Owner(0, "", False, True, trial=True)
    if of_pruned(c, activation, [name]):
        return Owner(0, "", False, True, pruned=True)
    return None


def _was_answered(c: Connection, delivery_id: int) -> bool:
    last = and_(attempts.c.delivery_id == d.id, attempts.c.number == d.attempt)
    query = select(attempts.c.outcome).select_from(deliveries.join(attempts, last))
    outcome = c.execute(query.where(d.id == delivery_id)).scalar()
    # one that is open still was accepted in this very transaction
    return outcome in (None, Accepted.word)


def owners(c: Connection, activation: str, ids: Collection[str]) -> dict[str, Delivered]:
    """The rows that `ids` belong to, at the destination of `activation`."""
    near, rows = neighbours(c, activation), rows_with(c, ids, *OF_DELIVERED)
    return {row.interaction_id: delivered_row(row) for row in rows if row.activation in near}


def owners_at(c: Connection, place: Place, destination: str, ids: Collection[str]) -> set[str]:
    """Those of `ids` that belong to rows, or did before they were deleted, at `place`, which is
    called `destination`."""
    here = select(watermarks.c.activation).where(sends_to(place, [destination]))
    found = set[str]()
    for activation in c.execute(here).scalars().all():
        found |= {*owners(c, activation, ids), *removed(c, activation, ids)}
        found |= of_pruned(c, activation, ids)
    return found


def rows_with(c: Connection, ids: Collection[str], *columns: Any) -> Iterator[Any]:
    """The rows of any activation that have the interactions `ids`; `interaction_id` is one of the
    columns."""
    for part in chunks(ids):
        # by the index's expression alone: asked for the activation, SQLite would read all its rows,
        # and a single whole id it would put into the expression, and no longer recognise it
        query = select(*columns).where(
            SHORT_ID.in_([i[:SHORT] for i in part]), d.interaction_id.is_not(None)
        )
        yield from (row for row in c.execute(query) if row.interaction_id in part)


def owned(c: Connection, activation: str, ids: Collection[str]) -> set[str]:
    """Which of `ids` belong to rows already, or did before they were deleted, at the destination
    of `activation`, whether they are pruned or not; or were made by tests and probes."""
    mine = {*owners(c, activation, ids), *removed(c, activation, ids)}
    # last, for a row that is pruned in between is met at least once
    return mine | of_trials(c, activation, ids) | of_pruned(c, activation, ids)


def of_trials(c: Connection, activation: str, ids: Collection[str]) -> set[str]:
    """Those of `ids` that were made by tests and probes, whatever became of them, at the
    destination of `activation`."""
    by_digest, found = {digest_of(i): i for i in ids}, set[str]()
    here = _trials_beside(c, activation) if ids else None
    if here is not None:
        for part in chunks(by_digest):
            query = select(t.digest).where(t.digest.in_(part), t.digest.is_not(None), here)
            found |= {by_digest[digest] for digest in c.execute(query).scalars()}
    return found


def open_trials(c: Connection, activation: str) -> list[Trial]:
    """The tests and probes of which nobody knows what they have made where the rows of
    `activation` go."""
    here = _trials_beside(c, activation)
    if here is None:
        return []
    unknown = and_(t.state == TrialState.OPEN, t.interaction_id.is_(None), t.aim != Aim.SCHEMA)
    w = watermarks.c
    target = select(func.lower(w.schema_id)).where(w.activation == activation).scalar_subquery()
    query = select(*OF_TRIAL).where(here, unknown, func.lower(t.target) == target)
    return [trial_of(row) for row in c.execute(query)]


OF_TRIAL = (
    *(t.aim, t.target, t.contact, t.created_date, t.payload),
    *(t.reference, t.activation, t.row_key),
)


def trial_of(row: Any) -> Trial:
    """A trial as it is on record."""
    return Trial(
        aim=Aim(row.aim),
        target=row.target,
        contact=row.contact or "",
        created=row.created_date or "",
        payload=(row.payload or "").encode(),
        reference=row.reference or "",
        activation=row.activation or "",
        row_key=row.row_key or "",
    )


def home_row(c: Connection, activation: str) -> Any:
    """The row that the activation has itself; None where there is none."""
    return c.execute(select(watermarks).where(watermarks.c.activation == activation)).first()


def _trials_beside(c: Connection, activation: str) -> ColumnElement[bool] | None:
    """The condition for trials at the destination of `activation`; None where that is unknown."""
    row = home_row(c, activation)
    if row is None:
        return None
    place = stored_identity(row).place
    named: ColumnElement[bool] = t.destination == row.destination
    return named if place is None else and_(t.type == place.type, t.address == place.address)


def neighbours(c: Connection, activation: str) -> set[str]:
    """The activations that send to the same place, `activation` among them."""
    row = home_row(c, activation)
    if row is None:
        return set()
    own = stored_identity(row)
    query = select(watermarks.c.activation).where(sends_to(own.place, [own.destination]))
    return set(c.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A row whose interaction may be at the destination without being known yet. `origin`: the
    name under which its activation was recorded first."""

    id: int
    origin: str
    row_key: str
    created_date: str
    payload: str


def delivered_row(row: Any) -> Delivered:
    return Delivered(row[0], row[1], State(row[2]), *row[3:])
