"""Count what became of rows whose attempts are closed, and log what a person may ask about."""

from collections.abc import Sequence

from connector.basis import dataclass
from connector.basis.log import Log
from connector.ledger.records import Delivery, Repeated, Tally
from connector.rules.delivery import Accepted, NotApplied, Outcome, Refused, Submitted, Unknown
from connector.rules.errors import DestinationUnusable
from connector.sync.side_by_side import Stop
from connector.sync.thread import Written

log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Counting:
    """Into the tally of one run. `stop`: given where answers prove nothing."""

    tally: Tally
    stop: Stop

    def closed(self, delivery: Delivery, outcome: Outcome, moved: Written) -> None:
        """Count what became of a row."""
        match moved:
            case Repeated(reason, distrust):
                self.count(delivery, Unknown(reason))
                if distrust:
                    self.stop.now(DestinationUnusable(distrust, outcome.http_status))
            case True:
                self.count(delivery, outcome)
            case _:
                self.tally.rejected -= isinstance(outcome, Refused)
                log.error("delivery.answer_too_late", row_key=delivery.row_key)

    def closed_all(
        self,
        deliveries: Sequence[Delivery],
        outcomes: Sequence[Outcome],
        moved: Sequence[bool | Repeated],
        whole: Outcome,
    ) -> None:
        """Count what became of the rows of one request; of those that fared as it did as a `whole`,
        all at once."""
        alike = list[Delivery]()
        for delivery, outcome, each in zip(deliveries, outcomes, moved, strict=True):
            if each is True and outcome is whole:
                alike.append(delivery)
            else:
                self.closed(delivery, outcome, each)
        if alike:
            self.count(alike[0], whole, len(alike))

    def count(self, delivery: Delivery, outcome: Outcome, rows: int = 1) -> None:
        """Count what became of a row, or of so many that fared as it did."""
        told = {"row_key": delivery.row_key} | ({"rows": rows} if rows > 1 else {})
        match outcome:
            case Accepted():
                self.tally.delivered += rows
            case Submitted():
                self.tally.submitted += rows
            case Refused(reason):
                log.warning("delivery.rejected", reason=reason, **told)
            case Unknown(reason):
                self.tally.in_doubt += rows  # until it is known how all of them stand
                log.warning("delivery.in_doubt", reason=reason, **told)
            case NotApplied(reason):
                log.info("delivery.not_applied", reason=reason, **told)
