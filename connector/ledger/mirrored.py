"""What the ledger has of a mirror's rows and of what the model says of them now."""

from collections.abc import Collection, Container, Iterator, Sequence
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Integer,
    Select,
    String,
    Table,
    Text,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from connector.basis import dataclass
from connector.ledger.json_rows import in_one, json_texts
from connector.ledger.records import Known, Staged
from connector.ledger.tables import (
    CLOCKS_OF_DOUBTS,
    NOW,
    OPEN,
    Id,
    attempts,
    chunks,
    deliveries,
    delivery_counts,
    ledgers,
    metadata,
    watermarks,
)
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.delivery import CAME_AGAIN, MAY_BE_THERE, State
from connector.rules.hold import Hold
from connector.rules.turns import Turn

changes = Table(  # of a mirror: what the model says now of a row that is recorded otherwise
    "changes",
    metadata,
    Column("delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True, autoincrement=False),
    Column("aim", String, nullable=False),  # remove, replace, look: see mirrored.py
    Column("run_id", String, nullable=False),  # the run that found it
    Column("found_at", BigInteger, nullable=False),
    Column("approved", Integer),  # which approval covers it
    Column("asked_at", BigInteger),  # when a deletion was first asked for
    Column("due_at", BigInteger),  # not to be asked for again before; NULL: at once
    Column("refused", Text),  # why the destination would not, in its words
    Column("suspect", Boolean),  # a forgotten run may have replaced the interaction
    *[Column(name, Text) for name in ("contact", "created_date", "payload")],  # the new content
    *[Column(name, String) for name in ("digest", "about", "source")],
    Column("invalid", Text),  # why there is none that can be sent
)

d, g, a = deliveries.c, changes.c, attempts.c
REMOVED, REPLACED, RETURNED, NOT_THERE = "removed", "replaced", "returned", "not_there"
"""The words in `decisions` for what a mirror's run does to a row."""
UNSENT = (State.PENDING, State.WAITING, State.INVALID, State.REJECTED)
"""States of rows of which nothing is stored."""
OVER = (State.REMOVED, State.UNDONE, State.DISCARDED)
"""States of rows that are not at the destination, and are not to be."""
BESIDE = deliveries.outerjoin(changes, g.delivery_id == d.id)
CHANGED = changes.join(deliveries, d.id == g.delivery_id + 0)
"""In this order: without the sum SQLite would look for the changes of millions of rows."""
AS_IT_WAS = (State.DELIVERED, State.INVALID, State.UNDONE, State.DISCARDED)
"""States of rows of which nothing is to be done while they read as they did."""
MOST_EXAMPLES = 3
WINDOW = 20_000
"""Ids among which is searched in one transaction."""
IS_THERE = d.state == State.DELIVERED
MAY_GO = and_(IS_THERE, d.interaction_id.is_not(None))
IS_LIVE = or_(MAY_GO, and_(d.state.in_(MAY_BE_THERE), OPEN))
"""What a removal takes away from somebody, or may."""
IS_UNSURE = exists().where(a.delivery_id == d.id, a.reason == CAME_AGAIN).correlate(deliveries)
"""Whether what has its id is its own, nobody knows: it may be another row's."""
REPLACED_LATER = and_(MAY_GO, g.aim == "replace", g.asked_at.is_(None))
IS_TO_BE_REPLACED = exists().where(g.delivery_id == d.id, REPLACED_LATER).correlate(deliveries)
"""It stays as it was sent until the window is open, and its contact has a turn."""
IS_TO_BE_SENT = or_(d.state == State.PENDING, IS_TO_BE_REPLACED)


def is_of(name: str) -> ColumnElement[bool]:
    """Of that activation, where rows are found by their ids or by the changes beside them: SQLite
    would go through all of the activation's rows instead, whose index comes first."""
    return d.activation.concat("") == name


class Aim(StrEnum):
    """What is to become of an interaction."""

    REMOVE = "remove"
    """The model has its row no more: take it back."""
    REPLACE = "replace"
    """Its row reads differently: take it back, and send what the row says now."""
    LOOK = "look"
    """The ledger comes from a backup: look whether it is still there."""


TAKING_BACK = (Aim.REMOVE, Aim.REPLACE)
"""What a mirror wants with a row that is at the destination."""


class Covers(Enum):
    """What of a run an approval covers."""

    NOTHING = "nothing"
    """There is none: all is judged by the limits."""
    SHOWN = "shown"
    """Just what was recorded when the run was held; what the model says since is the next run's."""
    ALL = "all"
    """That the model has no row, and so all that is live."""


@dataclass(frozen=True, slots=True)
class Change:
    """What stands beside a row. `asked`: its deletion was asked for once, whatever came of that;
    `digest`, `about`, `source` and `invalid` are of the new content."""

    aim: Aim
    run_id: str
    asked: bool
    suspect: bool
    digest: str | None = None
    about: str | None = None
    source: str | None = None
    invalid: str | None = None


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What is recorded of a row that the model has, and the change beside it."""

    known: Known
    about: str | None
    source: str | None
    suspect: bool
    has_id: bool
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """A change to be put beside a row (by its delivery id). `to`: the content that it is to have;
    `suspect`: a run that this ledger has forgotten may have replaced the interaction; `unlike`: it
    cannot be sent, or is about another contact."""

    delivery_id: int
    aim: Aim
    to: Staged | None = None
    suspect: bool = False
    unlike: bool = False


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What is known now of a row whose content is as it was."""

    delivery_id: int
    about: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Present:
    """A row that is, or may come to be, at the destination. `change`: the aim beside it."""

    delivery_id: int
    row_key: str
    state: State
    change: Aim | None


@dataclass(frozen=True, slots=True)
class Marked:
    """An interaction that is to be taken back or looked for. `age`: how long ago, by the
    database's clock, its attempt was opened; `restored`: how long ago the ledger was found to come
    from a backup. `clocked`: there is such an attempt; `boot`, `boot_at` and `destination_at` say
    when that was by the other clocks, as of a doubt. `contact`: whom the new content is about;
    `invalid`: it cannot be sent."""

    delivery_id: int
    row_key: str
    attempt: int
    interaction_id: str
    aim: Aim
    asked: bool
    age: timedelta
    restored: timedelta | None
    due_in: timedelta
    clocked: bool = True
    boot: int | None = None
    boot_at: int | None = None
    destination_at: int | None = None
    contact: str | None = None
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """Its deletion is about to be asked for."""

    row: Marked


@dataclass(frozen=True, slots=True)
class Gone:
    """It is not there any more. `suspect`: what may be there in its place is read back first."""

    row: Marked
    suspect: bool


@dataclass(frozen=True, slots=True)
class There:
    """It was looked for, and is there."""

    row: Marked


@dataclass(frozen=True, slots=True)
class Late:
    """It is not replaced before its contact has a `turn`."""

    row: Marked
    turn: Turn


@dataclass(frozen=True, slots=True)
class Left:
    """Whether it is gone is not known yet, or the destination has `refused` to delete it. `rest`:
    for how long it is left alone; `missed`: it was not found, at the first asking."""

    row: Marked
    rest: timedelta = timedelta(0)
    refused: str | None = None
    missed: bool = False


Taking = Asking | Gone | There | Late | Left


@dataclass(frozen=True, slots=True)
class Figures:
    """What a mirror's run is judged by. `live`: rows that are, or may be, at the destination;
    `removed` and `replaced`: those of them that are to be taken back and that no approval covers;
    `unlike`: of the replaced, what cannot be sent as it reads now, or is about another contact;
    `examples`: some row keys of these; `to_send`: those that will be pending besides."""

    live: int
    removed: int
    replaced: int
    unlike: int = 0
    to_send: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stuck:
    """Rows of one kind that cannot be taken back now: how many, a row key, and in whose words."""

    why: str
    rows: int
    example: str
    words: str | None = None


def has_lost_its_rows(c: Connection, activation: str, rejected: bool = False) -> bool:
    """Whether it is held, and none is left of the rows that it is held for. `rejected`: once those
    that are to be sent are rejected."""
    text = c.execute(
        select(watermarks.c.held).where(watermarks.c.activation == activation)
    ).scalar()
    held = Hold.of(text) if text else None
    if held is None or not held.ends_with_its_rows:
        return False
    # where none was to be sent, it is about those that were refused
    due = () if rejected else (State.PENDING,)
    states = due if held.due else (State.PENDING, State.INVALID, State.REJECTED)
    rows = select(d.id).where(d.activation == activation, d.state.in_(states), OPEN)
    wishes = select(d.id).select_from(CHANGED).where(is_of(activation), g.aim.in_(TAKING_BACK))
    return not c.execute(select(or_(exists(rows), exists(wishes)))).scalar()


def cover(c: Connection, activation: str, approval: int) -> int:
    """What stands beside rows of the activation now, to be taken back, goes by that approval; how
    many rows that are."""
    ours = select(d.id).where(d.id == g.delivery_id, d.activation == activation)
    statement = update(changes).where(g.aim.in_(TAKING_BACK), exists(ours))
    return c.execute(statement.values(approved=approval)).rowcount


class MirroredRows(Reader):
    """What is recorded of a mirror's rows."""

    def is_restored(self, activation: str) -> bool:
        """Whether the ledger was put back from a backup since the model was last read."""
        suspect = select(watermarks.c.suspect)
        row = self._first(suspect.where(watermarks.c.activation == self._name(activation)))
        return bool(row and row[0])

    def was_restored(self) -> bool:
        """Whether the ledger was ever put back from a backup."""
        row = self._first(select(ledgers.c.restored_at))
        return bool(row and row[0] is not None)

    def newest_row(self) -> int:
        """The highest id of any row; 0 where there is none."""
        return int(self._first(select(func.max(d.id)))[0] or 0)

    def identity_of_ledger(self) -> str:
        """With which it is hashed whom rows are about; empty where there is no ledger."""
        row = self._first(select(ledgers.c.identity))
        return str(row[0]) if row else ""

    def mirrored(self, activation: str, keys: Collection[str]) -> dict[str, Mirrored]:
        """What is recorded under each of `keys`, with the change beside it."""
        query = select(
            *(d.row_key, d.id, d.state, d.digest, d.reason, d.run_id, d.contact, d.payload),
            *(d.attempt, d.about, d.source, d.suspect, d.interaction_id.is_not(None)),
            *(g.aim, g.run_id, g.asked_at.is_not(None), g.suspect),
            *(g.digest, g.about, g.source, g.invalid),
        ).select_from(BESIDE)
        return {row[0]: _mirrored(row) for row in self._of_keys(query, activation, keys)}

    def sources(self, activation: str, keys: Collection[str]) -> dict[str, tuple[int, str | None]]:
        """By those of `keys` that are recorded, the id of the row and the warehouse's digest with
        which there is nothing to be done about it; None: there is in any case."""
        known = or_(d.digest.is_not(None), d.state == State.INVALID)
        as_it_was = and_(d.state.in_(AS_IT_WAS), g.aim.is_(None), known)
        source = case((as_it_was, d.source), else_=None)
        query = select(d.row_key, d.id, source).select_from(BESIDE)
        return {row[0]: (row[1], row[2]) for row in self._of_keys(query, activation, keys)}

    @repeated
    def _of_keys(self, query: Select[Any], activation: str, keys: Collection[str]) -> Sequence[Any]:
        """The rows of `query` that have one of `keys`, however many these are."""
        some = d.row_key.in_(json_texts(self._engine.dialect.name))
        mine = query.where(d.activation == self._name(activation), some)
        with transaction(self._engine) as c:
            return c.execute(mine, in_one([*keys])).all()

    def present(
        self, activation: str, after: int, until: int, but: Container[int] = ()
    ) -> tuple[list[Present], int]:
        """The rows with ids after `after` and up to `until`, and not in `but`, that are at the
        destination or may come to be, of one window; and where the next one begins."""
        end = min(after + WINDOW, until)
        name, rows = self._name(activation), list[Any]()
        ours = (is_of(name), d.id > after, d.id <= end, d.state.not_in(OVER))
        found = [row[0] for row in self._all(select(d.id).where(*ours).order_by(d.id))]
        query = select(d.id, d.row_key, d.state, g.aim).select_from(BESIDE).order_by(d.id)
        for part in chunks(row for row in found if row not in but):
            rows += self._all(query.where(d.id.in_(part), d.state.not_in(OVER)))
        return [Present(r[0], r[1], State(r[2]), r[3] and Aim(r[3])) for r in rows], end

    def interaction_ids(self, delivery_ids: Collection[int]) -> dict[int, str]:
        """The interactions that these rows have."""
        query = select(d.id, d.interaction_id).where(d.id.in_(list(delivery_ids)))
        return {row[0]: str(row[1]) for row in self._all(query) if row[1] is not None}

    def live(self, activation: str) -> int:
        """How many rows are, or may be, at the destination."""
        n, name = delivery_counts.c, self._name(activation)
        counted = select(func.coalesce(func.sum(n.number), 0)).where(
            n.activation == name, n.state == State.DELIVERED
        )
        some = select(func.count()).where(d.activation == name, d.state.in_(MAY_BE_THERE), OPEN)
        return int(self._first(counted)[0]) + int(self._first(some)[0])

    def figures(self, activation: str) -> Figures:
        """What the changes that are recorded come to."""
        name = self._name(activation)
        ours = (is_of(name), g.approved.is_(None), IS_LIVE)
        query = select(g.aim, func.count()).select_from(CHANGED).where(*ours).group_by(g.aim)
        numbers = {row[0]: row[1] for row in self._all(query)}
        sent = select(func.count()).select_from(CHANGED).where(
            is_of(name), g.aim == Aim.REPLACE, g.invalid.is_(None), IS_LIVE
        )  # fmt: skip
        other = and_(d.about.is_not(None), func.coalesce(g.about, "") != d.about)
        unlike = select(func.count()).select_from(CHANGED).where(
            *ours, g.aim == Aim.REPLACE, or_(g.invalid.is_not(None), other)
        )  # fmt: skip
        return Figures(
            live=self.live(activation),
            unlike=int(self._first(unlike)[0]),
            removed=numbers.get(Aim.REMOVE, 0),
            replaced=numbers.get(Aim.REPLACE, 0),
            to_send=int(self._first(sent)[0]),
        )

    def to_be_sent_anew(self, activation: str) -> Iterator[tuple[str, str, str, bool]]:
        """Of every row that is to be taken back and sent anew: its key, its new contact and created
        date, and that it has not waited for that contact."""
        after, ours = 0, (is_of(self._name(activation)), g.aim == Aim.REPLACE, g.invalid.is_(None))
        columns = (g.delivery_id, d.row_key, g.contact, g.created_date)
        query = select(*columns).select_from(CHANGED).where(*ours, IS_LIVE)
        while page := self._all(
            query.where(g.delivery_id > after).order_by(g.delivery_id).limit(WINDOW)
        ):
            after = page[-1].delivery_id
            yield from ((row[1], row[2], row[3], False) for row in page)

    def examples(self, activation: str, aim: Aim | None = None) -> tuple[str, ...]:
        """A few row keys of rows at the destination; of those with such a change beside them."""
        query, name = select(d.row_key).limit(MOST_EXAMPLES), self._name(activation)
        if aim:
            ours = (is_of(name), IS_LIVE, g.aim == aim, g.approved.is_(None))
            query = query.select_from(CHANGED).where(*ours).order_by(g.delivery_id)
        else:
            query = query.where(is_of(name), IS_THERE).order_by(d.id)
        rows = self._all(query)
        return tuple(row[0] for row in rows)

    def stuck(self, activation: str) -> list[Stuck]:
        """What could not be taken back so far, and why."""
        name = self._name(activation)
        why = case(
            (and_(d.state == State.DELIVERED, d.interaction_id.is_(None)), "without_id"),
            (IS_UNSURE, "unsure"),
            (g.refused.is_not(None), "refused"),
            (g.asked_at.is_not(None), "unknown"),
            else_=None,
        )
        query = (
            select(why, func.count(), func.min(d.row_key), func.min(g.refused))
            .select_from(CHANGED)
            .where(is_of(name), g.aim != Aim.LOOK, d.state == State.DELIVERED)
            .group_by(why)
        )
        return [Stuck(*row) for row in self._all(query) if row[0]]

    def to_take_back(
        self, activation: str, after: int, limit: int, only_shown: bool
    ) -> list[Marked]:
        """The next interactions that are to be taken back or looked for, after the row `after`.
        `only_shown`: those that an approval covers, or that were asked for before."""
        restored = select(NOW - ledgers.c.restored_at).scalar_subquery()
        query = (
            select(
                *(d.id, d.row_key, d.attempt, d.interaction_id, g.aim, g.asked_at.is_not(None)),
                *(NOW - func.coalesce(a.opened_at, d.changed_at), restored, g.due_at - NOW),
                *(a.opened_at.is_not(None), *CLOCKS_OF_DOUBTS, g.contact, g.invalid.is_not(None)),
            )
            .select_from(
                CHANGED.outerjoin(attempts, and_(a.delivery_id == d.id, a.number == d.attempt))
            )
            .where(is_of(self._name(activation)), d.state == State.DELIVERED)
            .where(d.interaction_id.is_not(None), g.delivery_id > after)
            .where(~IS_UNSURE)
            .order_by(g.delivery_id)
            .limit(limit)
        )
        if only_shown:
            query = query.where(or_(g.approved.is_not(None), g.asked_at.is_not(None)))
        return [_marked(row) for row in self._all(query)]


def _mirrored(r: Any) -> Mirrored:
    known = Known(r[1], State(r[2]), *r[3:9])
    change = None
    if r[13] is not None:
        change = Change(Aim(r[13]), r[14], bool(r[15]), bool(r[16]), *r[17:21])
    return Mirrored(known, r[9], r[10], bool(r[11]), bool(r[12]), change)


def _marked(r: Any) -> Marked:
    return Marked(
        delivery_id=r[0],
        row_key=r[1],
        attempt=r[2],
        interaction_id=r[3],
        aim=Aim(r[4]),
        asked=bool(r[5]),
        age=timedelta(milliseconds=r[6]),
        restored=None if r[7] is None else timedelta(milliseconds=r[7]),
        due_in=timedelta(milliseconds=max(0, r[8] or 0)),
        clocked=bool(r[9]),
        boot=r[10],
        boot_at=r[11],
        destination_at=r[12],
        contact=r[13],
        invalid=bool(r[14]),
    )
