"""How an activation stands when a run of it begins, and when it ends: one statement each."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Select, and_, delete, exists, false, or_, select, tuple_

from connector.basis import dataclass
from connector.ledger.contacts import contacts, expired, keep
from connector.ledger.counts import passing_of, with_passing
from connector.ledger.history import ended_well
from connector.ledger.home import Home, home_of
from connector.ledger.leases import Book
from connector.ledger.mirrored import IS_TO_BE_SENT, changes
from connector.ledger.records import FoundContact, Run, milliseconds
from connector.ledger.tables import runs, turns, watermarks
from connector.ledger.transaction import repeated, transaction
from connector.ledger.turns import WAITS, count_from_now, from_ahead, wall
from connector.rules.delivery import State
from connector.rules.turns import Cap

t = turns.c


@dataclass(frozen=True, slots=True)
class Outset:
    """How an activation stands as a run of it begins. `was_cut`: the newest run that has ended well
    left rows to this one, since its time was over, or its limit reached; `has_changes`: a mirror,
    whichever it is, has something to carry out."""

    home: Home
    counts: Mapping[State, int]
    was_cut: bool
    has_changes: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """How an activation stands as a run of it ends, and what there is to be removed: contacts that
    were looked up too long ago, and turns that nobody looks back at."""

    counts: Mapping[State, int]
    contacts: bool
    turns: bool


MOST_REMOVED = 10_000


class Ends(Book):
    """What a run asks of the ledger before it reads its model, and after all that it does."""

    def outset(self, activation: str) -> Outset:
        """How the activation stands; a run has let the ledger know it."""
        last = ended_well(activation, runs.c.done).limit(1).scalar_subquery().label("last_done")
        changed = exists(select(changes.c.delivery_id)).label("has_changes")
        mine = select(watermarks).where(watermarks.c.activation == activation).subquery()
        rows = self._all(with_passing(activation, *mine.c, last, changed, of=mine))
        first = rows[0]
        return Outset(home_of(first), passing_of(rows), first.last_done is False, first.has_changes)

    def rest(
        self, activation: str, destination: str, span: timedelta, cap: Cap | None = None
    ) -> Rest:
        """How the activation stands. `span`: for how long contacts of the `destination` are kept;
        `cap`: how often one contact is told something."""
        old = exists(expired(destination, milliseconds(span))).label("old_contacts")
        ahead = exists().where(from_ahead(activation, cap)) if cap else false()
        over = or_(exists(old_turns(activation, cap)), ahead)
        rows = self._all(with_passing(activation, old, over.label("old_turns")))
        return Rest(passing_of(rows), rows[0].old_contacts, rows[0].old_turns)

    @repeated
    def tidy_turns(self, activation: str, cap: Cap | None) -> None:
        """Remove `old_turns`, in transactions of bounded length; those that a clock has told which
        was ahead count from now."""
        mine, removed = old_turns(activation, cap).limit(MOST_REMOVED), MOST_REMOVED
        while removed == MOST_REMOVED:
            with transaction(self._engine) as c:
                these = tuple_(t.delivery_id, t.attempt).in_(mine)
                removed = c.execute(delete(turns).where(these)).rowcount
        if cap:
            with transaction(self._engine) as c:
                count_from_now(c, activation, cap)

    @repeated
    def keep_contacts(self, run: Run, found: Sequence[FoundContact]) -> None:
        """Keep what a run has `found` that sends nothing."""
        with self._leased(run) as (c, now):
            keep(c, found, now)

    @repeated
    def remove_expired_contacts(self, destination: str, span: timedelta) -> None:
        """Remove what was looked up longer ago than `span`, in transactions of bounded length."""
        old = expired(destination, milliseconds(span)).limit(MOST_REMOVED)
        free = old.with_for_update(skip_locked=True)  # a run that writes one of them wins
        key = tuple_(contacts.c.destination, contacts.c.digest)
        statement = delete(contacts).where(key.in_(free))
        removed = MOST_REMOVED
        while removed == MOST_REMOVED:
            with transaction(self._engine) as c:
                removed = c.execute(statement).rowcount


def old_turns(activation: str, cap: Cap | None) -> Select[int, int]:
    """What is older than the `cap` looks back, and waits that are over; without a cap, who waits,
    too."""
    over = and_(t.cap.is_(None), t.at < wall() - (cap.every if cap else 10 * 365 * 86_400_000))
    still = exists().where(WAITS, IS_TO_BE_SENT)
    waits = and_(t.cap.is_not(None), ~still if cap else t.cap.is_not(None))
    return select(t.delivery_id, t.attempt).where(t.activation == activation, or_(over, waits))
