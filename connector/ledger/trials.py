"""Trials on record: interactions that are no rows', from before their first byte to their end.

What a trial has made is to be taken back, whoever is killed meanwhile; so what it takes to know it
again is kept until it is at its end, and no longer. Its id stays as a digest: it is no row's.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, insert, select, update

from connector.ledger.ownership import OF_TRIAL, alone_at, digest_of, owners_at, trial_of
from connector.ledger.processes import process_of, this_process
from connector.ledger.tables import NOW, trials
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.delivery import NotApplied, Outcome, Refused
from connector.rules.place import Place
from connector.rules.trial import LeftTrial, Trial, TrialState

t = trials.c
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
            return int(c.execute(entry.returning(t.id)).scalar_one())

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
            elif isinstance(outcome, Refused | NotApplied):
                facts |= _ended(TrialState.ABSENT)
            c.execute(update(trials).where(t.id == number).values(facts))
            return believed

    @repeated
    def adopt(self, number: int, interaction_id: str) -> bool:
        """An interaction that was found is that of the trial, which is open and has none. False
        where it is another's by now."""
        mine = and_(t.id == number, t.state == TrialState.OPEN, t.interaction_id.is_(None))
        facts = {"interaction_id": interaction_id, "digest": digest_of(interaction_id)}
        with transaction(self._engine) as c:
            if not self._is_free(c, interaction_id, of_open=False):
                return False
            return bool(c.execute(update(trials).where(mine).values(facts)).rowcount)

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
