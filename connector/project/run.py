"""Run activations, one after the other, and tell how each run ends: in a trace, and in the log."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connector.basis.log import Log
from connector.destinations.pacing import in_lane
from connector.ledger.records import COUNTS
from connector.ledger.store import Ledger
from connector.project.app import App, Workshop
from connector.project.tracing import describe
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.errors import (
    ActivationBusy,
    ActivationPaused,
    ConnectorError,
    Interrupted,
)
from connector.rules.lanes import lane_of
from connector.sync import run as once
from connector.sync.flow import Orders
from connector.sync.progress import Progress
from connector.sync.result import NOT_BEGUN, Result
from connector.sync.side_by_side import Stop

log = Log(__name__)

NEVER = datetime.min.replace(tzinfo=UTC)
LONGEST_BUDGET = 10**8
"""Seconds; the clock of an event loop takes no longer ones on every system."""
LEVELS = {
    "succeeded": "info",
    NOT_BEGUN: "info",
    "attention": "warning",
    "held": "warning",
    "stopped": "error",
}


def to_run(
    app: App, ledger: Ledger, chosen: Sequence[Activation], names: Sequence[str]
) -> tuple[list[Activation], list[tuple[str, str]]]:
    """Those of the `chosen` activations that may run; and the names of those that are passed by
    since they are paused, with what ends that. Raises ActivationPaused for one that was named
    itself, among `names`."""
    paused = app.paused(chosen, app.reports_from(ledger.engine))
    for activation, remedy in paused:
        if activation.name in names:
            raise ActivationPaused(f'activation "{activation.name}" is paused; {remedy}')
    passed_by = [(activation.name, remedy) for activation, remedy in paused]
    return [each for each in chosen if each.name not in dict(passed_by)], passed_by


async def sync(
    app: App,
    ledger: Ledger,
    activations: Sequence[Activation],
    orders: Orders,
    progress: Progress,
    budget: timedelta | None = None,
) -> list[Result]:
    """One run of each of `activations`, one after the other, the highest priority first; one that
    fails stops no other. `budget`: so long for all of them, then they end in order. Those go first
    then whose last run is the longest ago: else one with much to do would keep others from ever
    beginning."""
    ordered, timer = sorted(activations, key=lambda activation: -activation.priority), None
    if budget is not None:
        began = app.reports_from(ledger.engine).last_began_of([each.name for each in ordered])
        ordered.sort(key=lambda each: (-each.priority, began[each.name] or NEVER))
        seconds = min(budget.total_seconds(), LONGEST_BUDGET)
        timer = asyncio.get_running_loop().call_later(seconds, app.interruption.end_in_time)
    try:
        async with app.workshop(ledger) as workshop:
            return [await run(workshop, activation, orders, progress) for activation in ordered]
    finally:
        if timer:
            timer.cancel()


def run_documents(app: App, ledger: Ledger, ended: Sequence[Result]) -> list[Document]:
    """The runs of a sync, for programs, as the ledger has recorded them."""
    reports = app.reports_from(ledger.engine)
    return [
        end.document(reports.run(end.run_id) if end.run_id else None, app.settings.located)
        for end in ended
    ]


async def run(
    workshop: Workshop,
    activation: Activation,
    orders: Orders,
    progress: Progress,
    stop: Stop | None = None,
) -> Result:
    """One run. What stops it stands in the result, and in the log. `stop`: what ends it before its
    time; None: only what ends all runs."""
    name, app, began = activation.name, workshop.app, time.monotonic()
    if app.interruption.asked:
        if app.interruption.time_over:
            return Result(name, None, status=NOT_BEGUN)
        ended = Result(name, Interrupted("interrupted before it began"))
    else:
        with app.tracing.run(name) as span, in_lane(lane_of(activation)):
            try:
                with workshop.flow(activation, progress, stop) as flow:
                    ended = await once.sync(flow, orders)
            except ConnectorError as error:
                ended = Result(name, error)
            describe(span, ended.run_id, ended.status)
    log_run(ended, time.monotonic() - began)
    return ended


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
    getattr(log, level)("run.finished", **fields)
