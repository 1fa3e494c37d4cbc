"""Run activations, one after the other, and follow how each run ends."""

import time
from collections.abc import Sequence

from connector.project.app import App
from connector.project.runlog import run_finished
from connector.project.tracing import describe
from connector.rules.activation import Activation
from connector.rules.errors import ConnectorError, Interrupted
from connector.sync.progress import Progress
from connector.sync.result import Ended
from connector.sync.run import Job
from connector.sync.run import sync as sync_once


async def sync(
    app: App,
    activations: Sequence[Activation],
    limit: int | None,
    approve: bool,
    wait: bool,
    full: bool,
    progress: Progress,
) -> list[Ended]:
    """One run of each of `activations`, one after the other; one that fails stops no other."""
    ended: list[Ended] = []
    async with app.workshop() as workshop:
        for activation in activations:
            job = workshop.job(activation)
            job.limit, job.approve, job.wait, job.full = limit, approve, wait, full
            job.progress = progress
            ended.append(await run(app, job))
    return ended


async def run(app: App, job: Job) -> Ended:
    """One run. What stops it stands in the result, and in the log."""
    began = time.monotonic()
    ended = await _run(app, job)
    run_finished(ended.activation, ended.result, ended.error, time.monotonic() - began)
    return ended


async def _run(app: App, job: Job) -> Ended:
    name = job.activation.name
    if app.interruption.asked:
        return Ended(name, None, Interrupted("interrupted before it began"))
    app.interruption.running.add(job.stop)
    with app.tracing.run(name) as span:
        try:
            result = await sync_once(job)
            ended = Ended(name, result, result.error)
        except ConnectorError as error:
            ended = Ended(name, None, error)
        finally:
            app.interruption.running.discard(job.stop)
        describe(span, ended.result.run.run_id if ended.result else None, ended.status)
    return ended
