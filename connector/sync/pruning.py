"""At its end a run prunes what its activation has delivered long ago, a part at a time."""

from functools import partial

from connector.basis.log import Log
from connector.rules.errors import LeaseLost, StaleMove
from connector.rules.keeping import most_at_once
from connector.sync.flow import Running

log = Log(__name__)


async def prune(running: Running, status: str) -> None:
    """Prune what is older than `ledger.keep`, where that is said and the run was not stopped. What
    comes in between is left to the next run. Raises LedgerUnavailable."""
    flow, most = running.flow, most_at_once(running.tally.delivered)
    if flow.keep is None or status == "stopped":
        return
    some = partial(flow.ledger.prune, rows=not flow.activation.mirrors, most=most)
    try:
        done = await flow.call(some, running.run, flow.keep)
    except (LeaseLost, StaleMove) as error:
        log.warning("prune.left", reason=str(error))
        return
    if done.rows or done.runs:
        log.info("prune.done", rows=done.rows, runs=done.runs)
