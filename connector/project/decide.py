"""Carry out what a person decides about recorded rows: retry, settle, discard, undo, forget."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from connector.decisions import forget as forgetting
from connector.decisions import quarantine
from connector.decisions import undo as taking_back
from connector.decisions.quarantine import Arrived, Decided, NeverArrived, Selection
from connector.decisions.release import ReleasedRows
from connector.decisions.release import release as release_rows
from connector.decisions.undo import MOST_LOOKED_AT, Undone, look
from connector.destinations.engage import Engage
from connector.ledger.decisions import Case, Person
from connector.ledger.records import Identity
from connector.ledger.reports import Reports
from connector.ledger.takeback import Sent, Standing
from connector.project.app import App
from connector.project.reporting import known_run
from connector.rules.activation import Activation
from connector.rules.delivery import State
from connector.sync.progress import Progress


async def retry(
    app: App, activation: Activation, selection: Selection, person: Person, progress: Progress
) -> Decided:
    """Try rows in quarantine again, as the model and the schema are now."""
    async with app.flow(activation, progress) as flow:
        return await quarantine.retry(flow, selection, person)


def settle_delivered(
    app: App, activation: Activation, key: str, interaction_id: str | None, person: Person
) -> Decided:
    """End a doubt: the row's interaction is at the destination."""
    with app.ledger() as ledger:
        return quarantine.settle(ledger, activation.name, key, Arrived(interaction_id), person)


def settle_not_delivered(app: App, activation: Activation, key: str, person: Person) -> Decided:
    """End a doubt: the row's interaction is not at the destination."""
    verdict = NeverArrived(app.settle_after(app.settings.project.destination_of(activation)))
    with app.ledger() as ledger:
        return quarantine.settle(ledger, activation.name, key, verdict, person)


def discardable(app: App, activation: Activation, selection: Selection) -> list[Case]:
    """The rows that `discard` would give up."""
    with app.ledger() as ledger:
        return quarantine.discardable(ledger, activation.name, selection)


def discard(
    app: App,
    activation: Activation,
    selection: Selection,
    person: Person,
    shown: Sequence[Case] | None,
) -> Decided:
    """Give rows up; `shown` is what the person was asked about."""
    with app.ledger() as ledger:
        return quarantine.discard(ledger, activation.name, selection, person, shown)


# --- taking back --------------------------------------------------------------------------------


async def plan_undo(
    app: App, run_id: str, look_at_each: bool | None, progress: Progress
) -> taking_back.Plan:
    """What undoing a run would delete. None: each interaction is looked at if they are few."""
    with app.reports() as reports:
        run = known_run(reports, run_id)
        activation = run["activation"]
        destination = _destination_of(app, activation, reports.homes()[activation])
        standing, seen = reports.standing(run_id), None
        rows = standing.delivered
        if rows and (look_at_each or (look_at_each is None and rows <= MOST_LOOKED_AT)):
            sent = [row for row in reports.deletable(run_id) if row.state is State.DELIVERED]
            with app.interruption.stop() as stop:
                async with app.destination(destination) as engage:
                    seen = await look(
                        engage,
                        sent,
                        stop,
                        lambda n: progress.counting(activation, "looking at", n, rows),
                    )
    settings = app.settings.project.destinations[destination]
    deletions = standing.delivered + standing.not_found
    return taking_back.Plan(
        run_id=run_id,
        activation=activation,
        destination=destination,
        url=settings.url,
        running=run["status"] == "running",
        standing=standing,
        look=seen,
        seconds=round(deletions / settings.requests_per_second, 1),
    )


async def undo(
    app: App, plan: taking_back.Plan, by: str, shown: int | None, progress: Progress
) -> Undone:
    """Delete what a run sent; at most `shown` rows, if somebody agreed to so many."""
    async with app.workshop() as workshop:
        with workshop.recorded(plan.activation, plan.destination, progress) as sent:
            return await taking_back.undo(sent, plan.run_id, by, shown)


def plan_release(app: App, run_id: str) -> tuple[str, Standing, list[Sent]]:
    """Of which activation a run was, how its rows stand, and which of them can be released."""
    with app.reports() as reports:
        activation = known_run(reports, run_id)["activation"]
        _destination_of(app, activation, reports.homes()[activation])
        return activation, reports.standing(run_id), reports.releasable(run_id)


async def release(
    app: App,
    run_id: str,
    activation: Activation,
    keys: Sequence[str],
    by: str,
    progress: Progress,
) -> ReleasedRows:
    """Let rows that were taken back be sent again."""
    async with app.flow(activation, progress) as flow:
        return await release_rows(flow, run_id, keys, by)


# --- forgetting ---------------------------------------------------------------------------------


async def plan_forget(
    app: App, names: Sequence[str], only: Sequence[str], interactions: bool
) -> forgetting.Plan:
    """What forgetting the person with these names would remove, in `only` or everywhere."""
    with app.reports() as reports:
        homes = _homes(app, reports, only)
        plan = forgetting.plan(reports, names, list(homes))
        if interactions:
            configured, places = app.settings.project.activations, _places(app, homes)
            async with _engages(app, places) as engages:
                await forgetting.find_interactions(plan, reports, places, configured, engages)
    return plan


async def forget(app: App, plan: forgetting.Plan, by: str) -> forgetting.Forgotten:
    """Remove what the plan shows."""
    theirs = {their.row.activation for their in plan.interactions or ()}
    with app.ledger() as ledger, app.reports() as reports, app.interruption.stop() as stop:
        homes = {name: home for name, home in reports.homes().items() if name in theirs}
        async with _engages(app, _places(app, homes)) as engages:
            done = await forgetting.forget(forgetting.Forget(plan, ledger, engages, by, stop))
        ids = [row.contact_id for row in plan.rows if row.contact_id]
        ledger.forget_contacts([*ids, *plan.names], _digests(app, plan.names))
        return done


def _digests(app: App, names: Sequence[str]) -> set[str]:
    """Under what contacts with these identifiers may be cached."""
    return {
        app.contact_cache(app.settings.project.destination_of(a)).digest(name, a.contact)
        for a in app.settings.project.activations.values()
        for name in names
    }


def _homes(app: App, reports: Reports, only: Sequence[str]) -> dict[str, Identity]:
    homes = reports.homes()
    for name in only:
        if name not in homes:
            app.settings.activation(name)  # one that never ran holds nothing
    return {name: home for name, home in homes.items() if not only or name in only}


def _destination_of(app: App, activation: str, home: Identity) -> str:
    """The destination that recorded rows went to, whatever the configuration says of their
    activation now. Raises ConfigurationError."""
    return app.settings.destination_at(activation, home.destination, home.place)


def _places(app: App, homes: Mapping[str, Identity]) -> dict[str, tuple[str, str]]:
    """By activation, the destination that its rows went to, and their schema. Raises
    ConfigurationError."""
    return {
        name: (_destination_of(app, name, home), home.schema_id) for name, home in homes.items()
    }


@asynccontextmanager
async def _engages(
    app: App, places: Mapping[str, tuple[str, str]]
) -> AsyncIterator[dict[str, Engage]]:
    """Clients of every destination of `places`."""
    async with AsyncExitStack() as stack:
        engages: dict[str, Engage] = {}
        for destination, _ in places.values():
            if destination not in engages:
                engages[destination] = app.engage(destination)
                stack.push_async_callback(engages[destination].aclose)
        yield engages
