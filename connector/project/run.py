"""Run activations, one after the other, and follow how each run ends."""

import time
from collections.abc import Sequence

from connector.project.app import App, Workshop
from connector.project.runlog import run_finished
from connector.project.tracing import describe
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.errors import ActivationPaused, ConnectorError, Interrupted
from connector.sync import run as once
from connector.sync.flow import Orders
from connector.sync.progress import Progress
from connector.sync.result import Ended


def to_run(app: App, names: Sequence[str]) -> tuple[list[Activation], list[tuple[str, str]]]:
    """The activations `names`, or all; and the names of those that are passed by since they are
    paused, with what ends that. Raises ActivationPaused for one that was named."""
    activations = app.activations(names)
    paused = app.paused(activations)
    for activation, remedy in paused:
        if names:
            raise ActivationPaused(f'activation "{activation.name}" is paused; {remedy}')
        activations.remove(activation)
    return activations, [(activation.name, remedy) for activation, remedy in paused]


async def sync(
    app: App, activations: Sequence[Activation], orders: Orders, progress: Progress
) -> list[Ended]:
    """One run of each of `activations`, one after the other; one that fails stops no other."""
    async with app.workshop() as workshop:
        return [await run(workshop, activation, orders, progress) for activation in activations]


def run_documents(app: App, ended: Sequence[Ended]) -> list[Document]:
    """The runs of a sync, for programs, as the ledger has recorded them."""
    with app.reports() as reports:
        return [
            end.document(
                reports.run(end.result.run.run_id) if end.result else None, app.settings.located
            )
            for end in ended
        ]


async def run(
    workshop: Workshop, activation: Activation, orders: Orders, progress: Progress
) -> Ended:
    """One run. What stops it stands in the result, and in the log."""
    began = time.monotonic()
    ended = await _run(workshop, activation, orders, progress)
    run_finished(ended.activation, ended.result, ended.error, time.monotonic() - began)
    return ended


async def _run(
    workshop: Workshop, activation: Activation, orders: Orders, progress: Progress
) -> Ended:
    name, app = activation.name, workshop.app
    if app.interruption.asked:
        return Ended(name, None, Interrupted("interrupted before it began"))
    with app.tracing.run(name) as span:
        try:
            with workshop.flow(activation, progress) as flow:
                result = await once.sync(flow, orders)
            ended = Ended(name, result, result.error)
        except ConnectorError as error:
            ended = Ended(name, None, error)
        describe(span, ended.result.run.run_id if ended.result else None, ended.status)
    return ended
