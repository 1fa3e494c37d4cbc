"""The one line that the log has of a run, however it ended."""

from typing import Any

import structlog

from connector.ledger.records import COUNTS
from connector.rules.errors import ActivationBusy, ConnectorError, Interrupted
from connector.sync.result import Result

log = structlog.get_logger()

EVENT = "run.finished"
LEVELS = {"succeeded": "info", "attention": "warning", "held": "warning", "stopped": "error"}


def run_finished(
    activation: str, result: Result | None, error: ConnectorError | None, seconds: float
) -> None:
    """Log how a run ended; without a `result` it stopped before there was one."""
    status = result.status if result else "stopped"
    level = LEVELS[status]
    if isinstance(error, ActivationBusy | Interrupted):
        level = "warning"  # another run does it, or somebody has asked for it
    fields: dict[str, Any] = {
        "activation": activation,
        "run_id": result.run.run_id if result else None,
        "status": status,
        **({name: getattr(result.tally, name) for name in COUNTS} if result else {}),
        "seconds": round(seconds, 1),
    }
    if error:
        fields |= {"reason": str(error), "kind": error.kind}
    elif result and result.tally.notes:
        fields["reason"] = "; ".join(result.tally.notes)
    getattr(log, level)(EVENT, **fields)
