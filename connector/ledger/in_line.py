"""Rows that wait for their turn, to be sent or to be replaced: how many, and until when."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import and_, case, func, or_, select

from connector.ledger.mirrored import IS_TO_BE_REPLACED, IS_TO_BE_SENT
from connector.ledger.records import moment
from connector.ledger.tables import OPEN, chunks, deliveries, turns
from connector.ledger.turns import WAITS, Turns, wall
from connector.rules.delivery import TO_BE_SENT, State
from connector.rules.turns import Cap, Waiting

d, t = deliveries.c, turns.c
IS_PENDING = d.state == State.PENDING


class InLine(Turns):
    """What is known of turns, and of who waits for one."""

    def waiting_for_turn(self, activation: str, cap: Cap) -> Waiting:
        """The rows of `activation` that wait by `cap`: to be sent, or to be replaced."""
        return self.waiting_for_turns({activation: cap})[activation]

    def waiting_for_turns(self, caps: Mapping[str, Cap]) -> dict[str, Waiting]:
        """The same of several activations, each with its cap."""
        found: dict[tuple[str, str], Waiting] = {}
        recorded = {name: self._name(name) for name in caps}
        there = func.sum(case((IS_PENDING, 0), else_=1))
        for part in chunks(list(recorded.values())):
            query = select(t.activation, t.cap, func.count(), func.min(t.at), there)
            query = query.select_from(turns.join(deliveries, WAITS)).where(
                t.activation.in_(part), t.at > wall(), IS_TO_BE_SENT
            )
            for name, word, number, at, replaced in self._all(query.group_by(t.activation, t.cap)):
                found[name, word] = Waiting(int(number), at, int(replaced))
        nobody = Waiting(0, None)
        return {name: found.get((recorded[name], cap.word), nobody) for name, cap in caps.items()}

    def unsent_about(self, activation: str, whom: Collection[str]) -> dict[str, list[int]]:
        """By `whom` (hashes) they are about, the rows of a mirror that are not sent yet."""
        found = defaultdict[str, list[int]](list)
        ours = (d.activation == self._name(activation), d.state.in_(TO_BE_SENT), OPEN)
        for part in chunks(whom):
            for row in self._all(select(d.about, d.id).where(*ours, d.about.in_(part))):
                found[row.about].append(row.id)
        return found

    def next_turn(self, activation: str, cap: Cap, later: bool = False) -> int | None:
        """Milliseconds until the first row that waits may go; `later`: the first that may not yet.
        None when none waits."""
        now = wall()
        mine = (t.activation == self._name(activation), t.cap == cap.word, IS_PENDING)
        query = select(func.min(t.at)).select_from(turns.join(deliveries, WAITS)).where(*mine)
        (at,) = self._first(query.where(t.at > now) if later else query)
        return None if at is None else max(0, at - now)

    def turn_came(self, activation: str, cap: Cap) -> datetime | None:
        """When the latest turn came of rows that wait still, though they may go by now: the epoch
        where a row was moved up. None where none may."""
        mine = (t.activation == self._name(activation), t.cap == cap.word, t.at <= wall())
        query = select(t.at).select_from(turns.join(deliveries, WAITS)).where(*mine)
        query = query.where(or_(and_(IS_PENDING, OPEN), IS_TO_BE_REPLACED))
        query = query.order_by(t.at.desc()).limit(1)
        row = self._first(query)
        return row and moment(row[0])
