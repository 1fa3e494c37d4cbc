"""Requests that carried rows of a run, with how the ledger has these rows: to be asked for anew."""

from datetime import timedelta

from sqlalchemy import or_, select

from connector.basis import dataclass
from connector.ledger.moving import LAST
from connector.ledger.paging import rows_of_run
from connector.ledger.tables import ASKABLE, NOW, attempts, chunks, deliveries, requests
from connector.ledger.transaction import Reader
from connector.rules.delivery import State

a, d, r = attempts.c, deliveries.c, requests.c


@dataclass(frozen=True, slots=True)
class Carrier:
    """A request that the destination could be asked for. `name`: by what; `rows`: as many as it
    carried; `age`: how long ago it went."""

    id: int
    name: str
    rows: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class Carried:
    """A row whose last attempt went with a request, and how it stands."""

    id: int
    row_key: str
    place: int
    state: State


class CarriedRows(Reader):
    """What is asked of the ledger about the requests of a run."""

    def carriers(self, run_id: str) -> list[Carrier]:
        """The requests that a run sent, or of whose rows it learnt that they are delivered."""
        mine = d.run_id == run_id, d.state == State.DELIVERED
        query = select(a.request).join_from(deliveries, attempts, LAST).where(*mine)
        found = rows_of_run(self._engine, run_id, query.where(a.request.is_not(None)), d.id)
        settled = {row[0] for row in found}
        sent = {row[0] for row in self._all(select(r.id).where(r.run_id == run_id))}
        what = select(r.id, r.theirs, r.reference, r.rows, NOW - r.opened_at).where(ASKABLE)
        return [
            Carrier(row[0], row[1] or row[2], row[3], timedelta(milliseconds=row[4]))
            for part in chunks(sorted(settled | sent))
            for row in self._all(what.where(r.id.in_(part)).order_by(r.id))
        ]

    def names_of_its_own(self, activation: str) -> bool:
        """Whether the destination has given a request another id than ours."""
        theirs = select(r.id).where(r.activation == activation, r.theirs.is_not(None)).limit(1)
        return self._first(theirs) is not None

    def carried(self, request: int) -> list[Carried]:
        """The rows of a request that went with no other one since, in their order."""
        query = select(d.id, d.row_key, a.place, d.state).join_from(attempts, deliveries, LAST)
        rows = self._all(query.where(a.request == request).order_by(a.place))
        return [Carried(row[0], row[1], row[2] or 0, State(row[3])) for row in rows]

    def delivered_alone(self, run_id: str) -> int:
        """How many rows stand as delivered by a run that went with no such request."""
        mine = d.run_id == run_id, d.state == State.DELIVERED
        query = select(d.id).outerjoin(attempts, LAST).outerjoin(requests, r.id == a.request)
        alone = query.where(*mine, or_(r.id.is_(None), ~ASKABLE))
        return len(rows_of_run(self._engine, run_id, alone, d.id))
