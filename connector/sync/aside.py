"""Rows that no attempt is opened for: their contact is not known, or not to be found out now."""

from datetime import timedelta

from connector.ledger.records import Delivery, SetAside
from connector.rules.delivery import Missing, NotApplied, Refused, State, next_look_up


def aside(
    delivery: Delivery, found: Missing | Refused | NotApplied, patience: timedelta
) -> SetAside:
    """What becomes of a row. `patience`: how long an unknown contact is waited for. One whose
    contact could not be looked up is the next run's."""
    match found:
        case Refused(reason):
            return SetAside(delivery, State.REJECTED, reason)
        case NotApplied(reason):
            return SetAside(delivery, delivery.state, reason)
        case Missing(reason):
            waited = timedelta(milliseconds=delivery.waited or 0)
            if waited >= patience:
                ended = f"{reason}, and the wait for it has ended" if patience else reason
                return SetAside(delivery, State.REJECTED, ended)
            rest = min(next_look_up(waited), patience - waited)
            return SetAside(delivery, State.WAITING, reason, rest)
