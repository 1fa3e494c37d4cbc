"""The schemas of a project's destinations: hands `schemas/` what it needs to work on them."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial

from connector.project.app import App
from connector.rules.errors import ConfigurationError, did_you_mean
from connector.schemas.catalogue import Catalogue
from connector.schemas.replacing import Means
from connector.sync.flow import Flow
from connector.sync.progress import Progress


def catalogue_of(app: App, destination: str | None) -> Catalogue:
    """The schemas of `destination`, or of the only one. Raises ConfigurationError."""
    settings, project = app.settings, app.settings.project
    known = list(project.destinations)
    if destination is None and len(known) > 1:
        raise ConfigurationError(f"say which one with --destination: {', '.join(known)}")
    name = destination or known[0]
    if name not in known:
        raise ConfigurationError(f'there is no destination "{name}"{did_you_mean(name, known)}')
    app.refuse_without(app.can(name).keeps_schemas, name, "it keeps no schemas")
    chosen = project.destinations[name]
    others = [n for n, d in project.destinations.items() if d.place.address == chosen.place.address]
    names = list(dict.fromkeys([name, *others]))
    activations = {
        n: a for n, a in project.activations.items() if project.destination_of(a) in names
    }
    return Catalogue(
        base=settings.base,
        destination=name,
        place=chosen.place,
        names=names,
        url=chosen.url,
        requests_per_second=chosen.requests_per_second,
        activations=activations,
        marks={n: settings.mark(("activations", n, "schema_id")) for n in activations},
        store=partial(app.destination, name),
        reports=app.reports,
        identity=app.identity,
    )


@asynccontextmanager
async def means_of(app: App, destination: str) -> AsyncIterator[Means]:
    """What a replacement of a schema of `destination` works with, open until the context ends."""
    with app.interruption.stop() as stop:
        async with app.workshop() as workshop:
            with ExitStack() as stack:

                def flow(name: str, progress: Progress) -> Flow:
                    activation = app.settings.activation(name)
                    return stack.enter_context(workshop.flow(activation, progress, stop))

                yield Means(
                    ledger=workshop.ledger,
                    store=workshop.client(destination),
                    flow=flow,
                    settle_after=app.settle_after(destination),
                    stop=stop,
                )
