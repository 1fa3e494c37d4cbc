"""The one line that the log has of a run, however it ended."""

from typing import Any

import structlog

from connector.ledger.records import COUNTS
from connector.rules.errors import ActivationBusy, Interrupted
from connector.sync.result import Result

log = structlog.get_logger()

EVENT = "run.finished"
LEVELS = {"succeeded": "info", "attention": "warning", "held": "warning", "stopped": "error"}


def log_run(ended: Result, seconds: float) -> None:
    """Log how a run ended."""
    error, level = ended.error, LEVELS[ended.status]
    if isinstance(error, ActivationBusy | Interrupted):
        level = "warning"  # another run does it, or somebody has asked for it
    fields: dict[str, Any] = {
        "activation": ended.activation,
        "run_id": ended.run_id,
        "status": ended.status,
        **({name: getattr(ended.tally, name) for name in COUNTS} if ended.run else {}),
        "seconds": round(seconds, 1),
    }
    if error:
        fields |= {"reason": str(error), "kind": error.kind}
    elif ended.tally.notes:
        fields["reason"] = "; ".join(ended.tally.notes)
    getattr(log, level)(EVENT, **fields)
