"""Which interactions a run of a mirror took back, as the records of what it decided tell it."""

from typing import Any

from sqlalchemy import select

from connector.basis import dataclass
from connector.ledger.mirrored import NOT_THERE, REMOVED, REPLACED
from connector.ledger.moving import WAS
from connector.ledger.paging import first_rows
from connector.ledger.tables import decisions, deliveries
from connector.ledger.transaction import Reader
from connector.rules.delivery import State

d, s = deliveries.c, decisions.c


@dataclass(frozen=True, slots=True)
class TakenAway:
    """An interaction that is gone, as far as the ledger knows. `how`: removed, since the model has
    its row no more; replaced; or not there, when it was looked for after a restore. `at` in
    milliseconds since 1970."""

    delivery_id: int
    row_key: str
    interaction_id: str
    how: str
    at: int


class TakenAwayRows(Reader):
    """What runs of mirrors took back."""

    def taken_away(
        self, run_id: str, until: int, after: int = 0, limit: int | None = None
    ) -> list[TakenAway]:
        """The next interactions that the run took back until then (milliseconds since 1970), after
        that of the delivery `after`: a run takes one of each back. What it was of a forgotten row
        is not known any more."""
        query = (
            select(s.delivery_id, d.row_key, s.reason, s.decision, s.at)
            .join_from(decisions, deliveries, d.id == s.delivery_id)
            .where(s.by == f"run {run_id}", s.decision.in_((REMOVED, REPLACED, NOT_THERE)))
            .where(s.was == State.DELIVERED, s.reason.is_not(None), s.at <= until)
            .order_by(s.delivery_id, s.id)
        )
        found = first_rows(self._engine, query, s.delivery_id, after, limit)
        return [_taken(row) for row in found]


def _taken(row: Any) -> TakenAway:
    interaction_id = row.reason.removeprefix(WAS)
    return TakenAway(row.delivery_id, row.row_key, interaction_id, row.decision, row.at)
