"""What the ledger holds of one person, and how it is removed.

Only rows that are not delivered hold a contact. What stays is the row key, since it is what keeps
a row from being sent again; a hash of it could not be matched with the model's key any more.
"""

import re
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from connector.basis import dataclass
from connector.ledger.contacts import contacts
from connector.ledger.counts import count_pruned_less, count_pruned_more
from connector.ledger.deeds import DEED, Entry, end_hold, note, void_standing
from connector.ledger.deeds import FORGOTTEN as FORGOT
from connector.ledger.digests import as_rows, halves
from connector.ledger.leases import Book
from connector.ledger.mirrored import Aim, changes, has_lost_its_rows
from connector.ledger.moving import FORGOTTEN, Move, Row, Told, move
from connector.ledger.ownership import ASKED, remember_removed, rows_with, whose_pruned
from connector.ledger.ownership import digest_of as digest_of_id
from connector.ledger.paging import open_rows
from connector.ledger.records import Run
from connector.ledger.tables import (
    attempts,
    chunks,
    decisions,
    deliveries,
    ledgers,
    migrated_rows,
    migrations,
    pruned_interactions,
    removed_interactions,
    requests,
    trials,
    turns,
    upsert,
    watermarks,
)
from connector.ledger.transaction import Reader, repeated, transaction
from connector.ledger.turns import digest_of
from connector.rules.approval import CHANGED_SINCE
from connector.rules.delivery import State
from connector.rules.errors import StaleMove
from connector.rules.trial import TrialState
from connector.rules.words import were

GUID = re.compile(r"\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
HOLDING = tuple(state for state in State if state is not State.DELIVERED)
COUNTED_OFF = "the deletion is asked for of "
"""Before an interaction's id: what such a text is known by stands among those of pruned rows since
that row is counted as delivered no more, so that this happens once."""
d, i, r, t = deliveries.c, pruned_interactions.c, removed_interactions.c, trials.c
OF_HELD = (d.id, d.activation, d.row_key, d.state, d.contact, d.contact_id, d.attempt)


@dataclass(frozen=True, slots=True)
class Held:
    """A row that holds something of the person, or that is known to be about them."""

    delivery_id: int
    activation: str
    row_key: str
    state: State
    contact: str | None
    contact_id: str | None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class HeldTrial:
    """A test or a probe about the person whose interaction is at the destination, or may be.
    `kept`: it is meant to stay there; else it is to be taken back."""

    number: int
    destination: str
    interaction_id: str | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Besides:
    """What is kept of the person beside their rows: that they were looked up, and sent to."""

    contact_ids: Sequence[str] = ()
    """Whose they were found to be."""
    number: int = 0
    """How many look-ups and turns are kept."""


class HeldRows(Reader):
    """What is held of one person."""

    def held_of(self, names: Collection[str], activations: Collection[str]) -> list[Held]:
        """Every row in `activations` that holds one of `names`, or another name of the same person.

        Another name is one that stands beside it: the contact id that a row's identifier was found
        to be, and the other rows of its activation with that identifier.
        """
        found: dict[int, Held] = {}
        ids, pairs = set(names), set[tuple[str, str]]()
        while True:
            someone = [is_name(who, name) for name in ids for who in (d.contact, d.contact_id)]
            someone += [and_(d.activation == where, d.contact == who) for where, who in pairs]
            query = select(*OF_HELD).where(or_(*someone))
            new = [
                _held(row)
                for activation in activations
                for row in open_rows(self._engine, activation, HOLDING, query)
                if row.id not in found
            ]
            if not new:
                return sorted(found.values(), key=lambda held: held.delivery_id)
            found.update((held.delivery_id, held) for held in new)
            ids |= {held.contact_id for held in new if held.contact_id}
            pairs |= {(held.activation, held.contact) for held in new if held.contact}

    def trials_of(self, names: Collection[str]) -> list[HeldTrial]:
        """The tests and probes about somebody with one of `names`, of which something is held."""
        query = select(t.id, t.destination, t.interaction_id, t.state).where(
            t.contact.is_not(None), t.contact != "", or_(*(is_name(t.contact, n) for n in names))
        )
        rows = self._all(query.order_by(t.id))
        return [HeldTrial(r[0], r[1], r[2], r[3] == TrialState.KEPT) for r in rows]

    def changes_about(self, names: Collection[str], activations: Collection[str]) -> dict[str, int]:
        """How many changes of mirrors hold one of `names`, by activation."""
        query = select(d.activation, func.count()).select_from(changes.join(deliveries))
        about = query.where(_about(names, activations)).group_by(d.activation)
        return {name: int(number) for name, number in self._all(about)}

    def renamed_among(self, activations: Collection[str]) -> str | None:
        """One of `activations` that is not recorded under this name any more; None: all are."""
        named = select(watermarks.c.activation).where(watermarks.c.activation.in_(activations))
        there = {row[0] for row in self._all(named)}
        return next((name for name in activations if name not in there), None)

    def being_sent_again(self, activations: Collection[str]) -> tuple[str, str] | None:
        """One of `activations` of which rows are recorded to be sent again, whoever they are about,
        by the replacement of a schema that is not done, and that schema; None: there is none."""
        m, again = migrations.c, migrated_rows.join(deliveries).join(migrations)
        recorded = (m.finished_at.is_(None), migrated_rows.c.payload.is_not(None))
        query = select(d.activation, m.schema_id).select_from(again).where(*recorded)
        row = self._first(query.where(d.activation.in_(list(activations))).limit(1))
        return row and (row[0], row[1])

    def kept_besides(
        self,
        contact_ids: Collection[str],
        digests: Collection[str],
        rows: Collection[int],
        activations: Collection[str],
    ) -> Besides:
        """What is kept of the person beside their rows: `contact_ids` and `digests` of identifiers
        are those that are known, `rows` theirs. Turns are counted in `activations` alone."""
        about = is_cached(contact_ids, digests)
        found = self._all(select(contacts.c.contact_id).where(about))
        ids = {row[0] for row in found}
        their_turns = self._number_of_turns({*contact_ids, *ids}, rows, activations)
        return Besides(sorted(ids), len(found) + their_turns)

    def _number_of_turns(
        self, contact_ids: Collection[str], rows: Collection[int], activations: Collection[str]
    ) -> int:
        """How many turns are theirs. One that is a row's and the contact's counts twice."""
        ledger = self._first(select(ledgers.c.identity))
        mine = [] if ledger is None else [digest_of(str(ledger[0]), one) for one in contact_ids]
        here = turns.c.activation.in_(list(activations))
        which = [and_(here, turns.c.contact.in_(part)) for part in chunks(mine)]
        which += [turns.c.delivery_id.in_(part) for part in chunks(rows)]
        counted = (select(func.count()).select_from(turns).where(those) for those in which)
        return sum(int(self._first(query)[0]) for query in counted)

    def refuse_sent(self, rows: Collection[Held], more: Collection[Held]) -> None:
        """Raises StaleMove where some of `rows`, which were not delivered when they were seen, are
        by now: they hold no contact any more, and their interactions were not seen. `more`: rows
        that were not seen, and are delivered."""
        seen = {held.delivery_id for held in rows if held.state is not State.DELIVERED}
        seen |= {held.delivery_id for held in more}
        query = select(func.count()).select_from(deliveries).where(d.state == State.DELIVERED)
        counts = (self._first(query.where(d.id.in_(part))) for part in chunks(seen))
        if sent := sum(int(count[0]) for count in counts):
            raise StaleMove(
                f"{were(sent)} sent since it was looked for what there is of this contact, so"
                " nothing was removed; run it again"
            )

    def being_forgotten(self, activations: Collection[str]) -> dict[str, Held]:
        """The delivered rows in `activations` that somebody has begun to forget, without having
        heard whether their interactions are deleted; by the ids of these."""
        asked = select(*OF_HELD, d.interaction_id).join_from(deliveries, removed_interactions)
        mine = (d.activation.in_(list(activations)), d.state == State.DELIVERED)
        rows = self._all(asked.where(r.digest == ASKED, *mine, d.interaction_id.is_not(None)))
        found = {row.interaction_id: _held(row) for row in rows}
        # one that was sent anew since has another interaction now
        own = {digest_of_id(name): name for name in found}
        query = select(r.digest, r.delivery_id)
        pairs = [self._all(query.where(r.digest.in_(part))) for part in chunks(own)]
        return {
            own[digest]: found[own[digest]]
            for digest, row in chain(*pairs)
            if found[own[digest]].delivery_id == row
        }

    @repeated
    def owned_rows(
        self, interaction_ids: Collection[str], activations: Collection[str]
    ) -> dict[str, Held]:
        """The delivered rows that own these interactions, by the interaction's id."""
        with transaction(self._engine) as c:
            return {
                row.interaction_id: _held(row)
                for row in rows_with(c, interaction_ids, *OF_HELD, d.interaction_id)
                if row.activation in activations and row.state == State.DELIVERED
            }


class Persons(Book, HeldRows):
    """What is held of one person is removed."""

    @repeated
    def ask(self, lease: Run, row: Held, interaction_id: str) -> None:
        """Put on record that the deletion of a row's interaction is asked for. Raises LeaseLost."""
        with self._leased(lease) as (c, _):
            remember_removed(c, [(row.delivery_id, interaction_id)])
            mark = {"digest": ASKED, "delivery_id": row.delivery_id}
            c.execute(upsert(c, removed_interactions).values(mark).on_conflict_do_nothing())

    @repeated
    def take_back_asking(self, row: Held, interaction_id: str) -> None:
        """It is there, and stays."""
        both = r.digest.in_([ASKED, digest_of_id(interaction_id)])
        with transaction(self._engine) as c:
            c.execute(delete(removed_interactions).where(r.delivery_id == row.delivery_id, both))

    @repeated
    def forget(self, lease: Run, by: str, rows: Sequence[Held]) -> None:
        """Remove what is held of a person in `rows` of the activation, all or nothing; they
        are never sent any more. Delivered ones must be gone from the destination.

        Raises StaleMove when a row has moved since it was seen, LeaseLost.
        """
        with self._leased(lease) as (c, now):
            wishes = 0
            for part in chunks(held.delivery_id for held in rows):
                # a digest alone, by which it is known again while it may still be shown
                owned = c.execute(select(d.id, d.interaction_id).where(d.id.in_(part))).all()
                remember_removed(c, [(row[0], row[1]) for row in owned])
                beside = delete(changes).where(changes.c.delivery_id.in_(part))
                wishes += c.execute(beside).rowcount
                asked = delete(removed_interactions).where(r.digest == ASKED)
                c.execute(asked.where(r.delivery_id.in_(part)))
                # the destination's words, and a person's, may name somebody
                mine, theirs = attempts.c.delivery_id.in_(part), decisions.c.delivery_id.in_(part)
                c.execute(update(attempts).where(mine).values(reason=None))
                went = select(attempts.c.request).where(mine, attempts.c.request.is_not(None))
                c.execute(update(requests).where(requests.c.id.in_(went)).values(reason=None))
                c.execute(update(decisions).where(theirs).values(reason=None, note=None))
            moved = 0
            for became, how in FORGOTTEN_AS.items():
                some = [held for held in rows if state_after(held.state) is became]
                moved += len(move(c, how, [_row(held, by) for held in some], now))
            details = {"rows": len(rows), DEED: lease.run_id}
            note(c, Entry(FORGOT, by, lease.activation, details=details), now)
            if moved != len(rows):
                raise StaleMove(
                    "a row moved while it was to be forgotten, so nothing was; try again"
                )
            if has_lost_its_rows(c, lease.activation):
                end_hold(c, lease.activation)
            elif wishes or any(held.state is State.PENDING for held in rows):
                void_standing(c, lease.activation, CHANGED_SINCE)

    @repeated
    def ask_pruned(self, interaction_id: str, near: str) -> None:
        """Put on record that the deletion of a pruned row's interaction is asked for: the row is
        counted as delivered no more, for what is deleted without an answer is not listed as its
        contact's again. `near`: an activation whose rows go there."""
        with transaction(self._engine) as c:
            _count_off(c, near, interaction_id)

    @repeated
    def forget_pruned(self, by: str, interaction_id: str, near: str) -> None:
        """Put on record that it is deleted; the ledger holds nothing else of its row."""
        with transaction(self._engine) as c:
            _count_off(c, near, interaction_id)  # unless another answer was that it stays
            note(c, Entry(FORGOT, by, details={"rows": 0, "interactions": 1}))

    @repeated
    def take_back_asking_pruned(self, interaction_id: str, near: str) -> None:
        """It is there, and stays."""
        with transaction(self._engine) as c:
            _count_again(c, near, interaction_id)

    @repeated
    def forget_changes(self, names: Collection[str], activations: Collection[str]) -> int:
        """Remove what a mirror's model says of a person in rows that are recorded as somebody
        else's: the next reading says it anew, where the model still does. How many there were."""
        content = dict.fromkeys(("contact", "created_date", "payload", "digest", "about", "source"))
        theirs = select(d.activation).select_from(changes.join(deliveries))
        theirs = theirs.where(_about(names, activations))
        with transaction(self._engine) as c:
            for name in c.execute(theirs.distinct()).scalars().all():
                void_standing(c, name, CHANGED_SINCE)
            about = changes.c.delivery_id.in_(theirs.with_only_columns(changes.c.delivery_id))
            asked = changes.c.asked_at.is_not(None)
            kept = update(changes).where(about, asked).values(aim=Aim.REMOVE, **content)
            return c.execute(kept).rowcount + c.execute(delete(changes).where(about)).rowcount

    @repeated
    def forget_trials(self, numbers: Collection[int], deleted_by: str | None = None) -> None:
        """Remove what is held of a person in tests and probes that are kept; `deleted_by`: who has
        had deleted what they have made, which goes on record."""
        facts: dict[str, Any] = {"contact": None, "payload": None}
        if deleted_by:
            facts["state"] = TrialState.REMOVED
        with transaction(self._engine) as c:
            c.execute(
                update(trials).where(t.id.in_(numbers), t.state == TrialState.KEPT).values(facts)
            )
            if deleted_by:
                details = {"rows": 0, "interactions": len(numbers)}
                note(c, Entry(FORGOT, deleted_by, details=details))

    @repeated
    def forget_contacts(
        self, contact_ids: Collection[str], digests: Collection[str], by: str | None = None
    ) -> None:
        """Remove what is cached of contacts, by their ids or by digests of their identifiers. `by`:
        who forgets them, where nothing else of that is on record."""
        with transaction(self._engine) as c:
            c.execute(delete(contacts).where(is_cached(contact_ids, digests)))
            if by:
                note(c, Entry(FORGOT, by, details={"rows": 0}))


def state_after(state: State) -> State:
    """What a row becomes that is forgotten."""
    return State.UNDONE if state is State.DELIVERED else State.DISCARDED


FORGOTTEN_AS = {
    state: Move(
        state,
        ("reason",),
        but=lambda _: dict.fromkeys(("digest", "interaction_id", "suspect", "about", "source")),
    )
    for state in (State.UNDONE, State.DISCARDED)
}


def _row(held: Held, by: str) -> Row:
    told = Told(by, "forgotten", held.state, state_after(held.state))
    return Row(held.delivery_id, held.state, held.attempt, {"reason": FORGOTTEN}, told)


def _count_off(c: Connection, near: str, interaction_id: str) -> None:
    """Count the pruned row that had this interaction, at the destination of the activation `near`,
    as delivered no more; one that is not counted any more stays so."""
    for number, name in whose_pruned(c, near, interaction_id):
        mark = upsert(c, pruned_interactions).values(_mark(number, interaction_id))
        if c.execute(mark.on_conflict_do_nothing().returning(i.high)).first():
            count_pruned_less(c, name)


def _count_again(c: Connection, near: str, interaction_id: str) -> None:
    """The contrary."""
    for number, name in whose_pruned(c, near, interaction_id):
        mark = _mark(number, interaction_id)
        mine = [i[column] == value for column, value in mark.items()]
        if c.execute(delete(pruned_interactions).where(*mine)).rowcount:
            count_pruned_more(c, name)


def _mark(number: int, interaction_id: str) -> dict[str, int]:
    (entry,) = as_rows([halves(COUNTED_OFF + digest_of_id(interaction_id))])
    return {"activation": number, **entry}


def _about(names: Collection[str], activations: Collection[str]) -> ColumnElement[bool]:
    """Whether a change of a row in `activations` holds one of `names`."""
    someone = or_(*(is_name(changes.c.contact, name) for name in names))
    return and_(someone, d.activation.in_(list(activations)))


def is_cached(contact_ids: Collection[str], digests: Collection[str]) -> ColumnElement[bool]:
    """Whether a contact that is kept is one of these."""
    ids = [contact_id.lower() for contact_id in contact_ids]
    return or_(func.lower(contacts.c.contact_id).in_(ids), contacts.c.digest.in_(list(digests)))


def is_name(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether `column` holds `name`, in any capitals where those make no difference."""
    if GUID.fullmatch(name):
        plain = column
        for character in "{}-":
            plain = func.replace(plain, character, "")
        return func.lower(plain) == re.sub("[{}-]", "", name).lower()
    if "@" in name:  # SQLite knows the small letters of ASCII alone
        ascii_lower = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)
        return func.lower(column).in_({name.lower(), ascii_lower})
    return column == name


def _held(row: Any) -> Held:
    return Held(row[0], row[1], row[2], State(row[3]), row[4], row[5], row[6])
