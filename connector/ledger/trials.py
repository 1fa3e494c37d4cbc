"""Trials on record: interactions that are no rows', from before their first byte to their end.

What a trial has made is to be taken back, whoever is killed meanwhile; so what it takes to know it
again is kept until it is at its end, and no longer. Its id stays as a digest: it is no row's.
"""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, insert, select, update

from connector.basis import dataclass
from connector.ledger.deeds import PROBED, TESTED, Entry, note
from connector.ledger.moving import LAST
from connector.ledger.ownership import OF_TRIAL, alone_at, digest_of, owners_at, sends_to, trial_of
from connector.ledger.processes import process_of, this_process
from connector.ledger.tables import (
    NOW,
    OPEN,
    attempts,
    deliveries,
    trials,
    watermarks,
)
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.delivery import MAY_BE_THERE, NotApplied, Outcome, Refused
from connector.rules.place import Place
from connector.rules.trial import Aim, LeftTrial, Trial, TrialState

a, d, t, w = attempts.c, deliveries.c, trials.c, watermarks.c
BODY = ("contact", "payload")
UNSEEN_FOR = timedelta(minutes=10)
"""For how long the process of a trial is taken for living where that cannot be seen."""
OF_LEFT = (
    *OF_TRIAL,
    *(t.id, t.interaction_id, (NOW - t.opened_at).label("age")),
    *(t.boot, t.boot_at, t.destination_at, t.holder),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """The clocks at the opening of a trial, as an attempt has them: see Opening."""

    boot: int | None = None
    boot_at: int | None = None
    destination_at: int | None = None


@dataclass(frozen=True, slots=True)
class UnsettledRow:
    """A row whose interaction may be at the destination without being known yet; its age by three
    clocks as that of a trial. `origin`: the name under which its activation was recorded first."""

    id: int
    attempt: int
    origin: str
    activation: str
    row_key: str
    contact_id: str
    created_date: str
    payload: str
    age: timedelta
    boot: int | None
    boot_at: int | None
    destination_at: int | None


class Trials(Reader):
    """The trials at one place, which is called `destination` now.

    Every method raises LedgerUnavailable when the database cannot be read or written.
    """

    def __init__(self, engine: Engine, place: Place, destination: str) -> None:
        self._engine, self._place, self._destination = engine, place, destination

    @repeated
    def open(self, trial: Trial, clocks: Opened = Opened()) -> int:
        """Put a trial on record, committed, before its first byte; its number."""
        made_of = {"activation": trial.activation or None, "row_key": trial.row_key or None}
        entry = insert(trials).values(
            destination=self._destination,
            type=self._place.type,
            address=self._place.address,
            aim=trial.aim,
            target=trial.target,
            state=TrialState.OPEN,
            reference=trial.reference or None,
            contact=trial.contact,
            created_date=trial.created,
            payload=trial.payload.decode(),
            opened_at=NOW,
            holder=this_process().text,
            boot=clocks.boot,
            boot_at=clocks.boot_at,
            destination_at=clocks.destination_at,
            **made_of,
        )
        with transaction(self._engine) as c:
            number = int(c.execute(entry.returning(t.id)).scalar_one())
            if trial.aim is Aim.TEST:
                told = {"destination": self._destination, "target": trial.target}
                note(c, Entry(TESTED, trial.by, trial.activation or None, details=told))
            return number

    @repeated
    def probing(self, by: str, target: str, most: int) -> None:
        """Put on the audit list that `by` measures the place, with at most `most` interactions."""
        told = {"destination": self._destination, "target": target, "at_most": most}
        with transaction(self._engine) as c:
            note(c, Entry(PROBED, by, details=told))

    @repeated
    def close(self, number: int, interaction_id: str | None, outcome: Outcome) -> bool:
        """Record the answer to a trial: from now on `interaction_id` is its own. What was not
        stored is at its end.

        False where the id is known to be another's, a row's or that of a trial that is gone: then
        the answer proves nothing, and what became of the trial is not known.
        """
        with transaction(self._engine) as c:
            believed = self._is_free(c, interaction_id)
            facts: dict[str, Any] = {
                "closed_at": NOW,
                "outcome": outcome.word if believed else "unknown",
                "http_status": outcome.http_status,
            }
            if interaction_id is not None and believed:
                facts |= {"interaction_id": interaction_id, "digest": digest_of(interaction_id)}
                # somebody has taken it for absent, and was wrong
                absent = t.state == TrialState.ABSENT
                facts["state"] = case((absent, TrialState.OPEN), else_=t.state)
            elif isinstance(outcome, Refused | NotApplied):
                facts |= _ended(TrialState.ABSENT)
            c.execute(update(trials).where(t.id == number).values(facts))
            return believed

    @repeated
    def adopt(
        self,
        number: int,
        interaction_id: str,
        is_new: Callable[[UnsettledRow], bool] = lambda row: False,
    ) -> bool:
        """An interaction that was found is that of the trial, which is open and has none. False
        where it is another's by now, or may be: that of an unsettled row which `is_new` since it
        was found."""
        mine = and_(t.id == number, t.state == TrialState.OPEN, t.interaction_id.is_(None))
        facts = {"interaction_id": interaction_id, "digest": digest_of(interaction_id)}
        with transaction(self._engine) as c:
            if not self._is_free(c, interaction_id, of_open=False):
                return False
            if any(map(is_new, self._unsettled(c))):
                return False
            return bool(c.execute(update(trials).where(mine).values(facts)).rowcount)

    @repeated
    def saw(self, number: int, boot: int, boot_at: int) -> None:
        """A trial of another boot was seen: it is older than it looks by this clock."""
        with transaction(self._engine) as c:
            facts = {"boot": boot, "boot_at": boot_at}
            c.execute(update(trials).where(t.id == number).values(facts))

    @repeated
    def owned(self, ids: Collection[str]) -> set[str]:
        """Which of `ids` are rows', or were, or a trial's."""
        by_digest = {digest_of(i): i for i in ids}
        with transaction(self._engine) as c:
            query = select(t.digest).where(self._here(), t.digest.in_(by_digest))
            of_trials = {by_digest[digest] for digest in c.execute(query).scalars()}
            return of_trials | owners_at(c, self._place, self._destination, ids)

    @repeated
    def is_a_rows(self, interaction_id: str) -> bool:
        """Whether an interaction is, or was, a row's."""
        with transaction(self._engine) as c:
            return bool(owners_at(c, self._place, self._destination, [interaction_id]))

    @repeated
    def unsettled(self) -> list[UnsettledRow]:
        """The rows of this place that are on the wire or in doubt."""
        with transaction(self._engine) as c:
            return self._unsettled(c)

    def _unsettled(self, c: Connection) -> list[UnsettledRow]:
        here = select(w.activation).where(sends_to(self._place, [self._destination]))
        query = (
            select(
                *(d.id, d.attempt, func.coalesce(w.origin, d.activation), d.activation, d.row_key),
                *(d.contact_id, d.created_date, d.payload, NOW - a.opened_at),
                *(a.boot, a.boot_at, a.destination_at),
            )
            .select_from(deliveries)
            .join(watermarks, w.activation == d.activation)
            .join(attempts, LAST)
            .where(d.activation.in_(here), d.state.in_(MAY_BE_THERE), OPEN)
            .order_by(d.id)
        )
        return [
            UnsettledRow(
                *(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]),
                timedelta(milliseconds=row[8]),
                *(row[9], row[10], row[11]),
            )
            for row in c.execute(query)
        ]

    @repeated
    def removed(self, *numbers: int) -> None:
        """What these trials have made is gone from the destination, for certain."""
        self._end(numbers, _ended(TrialState.REMOVED))

    @repeated
    def absent(self, *numbers: int) -> None:
        """These trials have made nothing, for certain."""
        self._end(numbers, _ended(TrialState.ABSENT))

    @repeated
    def kept(self, *numbers: int) -> None:
        """What these trials have made is meant to stay."""
        self._end(numbers, {"state": TrialState.KEPT, "ended_at": NOW})

    @repeated
    def _end(self, numbers: Collection[int], facts: dict[str, Any]) -> None:
        with transaction(self._engine) as c:
            c.execute(update(trials).where(t.id.in_(numbers)).values(facts))

    def left(self) -> list[LeftTrial]:
        """The trials that are not at their end, the oldest first."""
        query = select(*OF_LEFT).where(self._here(), t.state == TrialState.OPEN).order_by(t.id)
        return [_left(row) for row in self._all(query)]

    def _is_free(self, c: Connection, interaction_id: str | None, of_open: bool = True) -> bool:
        """Whether the id is no row's and no trial's; of trials that are open nobody minds where
        `of_open`: whether two requests got one id is a question that a probe asks."""
        if interaction_id is None:
            return True
        alone_at(c, self._place)
        if owners_at(c, self._place, self._destination, [interaction_id]):
            return False
        others = [t.digest == digest_of(interaction_id), self._here()]
        if of_open:
            others.append(t.state != TrialState.OPEN)
        return c.execute(select(t.id).where(*others).limit(1)).first() is None

    def _here(self) -> ColumnElement[bool]:
        return and_(t.type == self._place.type, t.address.in_(self._place.addresses))


def _ended(state: TrialState) -> dict[str, Any]:
    return {"state": state, "ended_at": NOW, **dict.fromkeys(BODY)}


def _left(row: Any) -> LeftTrial:
    age = timedelta(milliseconds=row.age)
    holder = process_of(row.holder)
    if holder is not None and holder.is_visible():
        living = not holder.is_dead()
    else:
        living = age < UNSEEN_FOR
    return LeftTrial(
        number=row.id,
        trial=trial_of(row),
        interaction_id=row.interaction_id,
        age=age,
        boot=row.boot,
        boot_at=row.boot_at,
        destination_at=row.destination_at,
        living=living,
    )
