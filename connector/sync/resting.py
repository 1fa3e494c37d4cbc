"""What the destination has kept a run from: rows that it would not answer for, or told to rest."""

from connector.rules.errors import NothingGotThrough, TimeOver
from connector.rules.words import are
from connector.sync.flow import Running


async def what_rests(running: Running) -> NothingGotThrough | None:
    """Of a run that has come to its end: what stops it, where rows were tried and none got through
    for a reason that lies with the destination. What else could not be looked up is noted; rows
    that it has told to come later wait for their time, and for nobody. Call it once the tally says
    what is left."""
    flow, tally, health = running.flow, running.tally, running.health
    again = running.next_runs.absent_again
    nothing_left = not tally.pending and not health.no_look_up
    if nothing_left or isinstance(flow.stop.error, TimeOver):  # whose time is over ends in order
        return None
    resting = await flow.call(flow.ledger.resting, flow.name)
    number = again + health.no_look_up
    unseen = "what was sent, and sent anew, is not there" if again else ""
    reason = health.failed or resting.reason or unseen
    acted = tally.delivered + tally.submitted + tally.rejected + tally.removed + tally.replaced
    tried = health.failed or again
    # where a run was cut short, it had no patience with those that it has tried
    cut = running.orders.limit is not None or not flow.may_send()
    every = number if cut else number + resting.kept
    if every and tried and not (acted or health.reached):
        return NothingGotThrough(f"no row got through ({reason}); {_later(every)}")
    if number and running.orders.woken is None:
        tally.notes.append(f"{_later(number)}: the destination did not let them through ({reason})")
    return None


def _later(number: int) -> str:
    return f"{are(number)} left to a later run"
