"""`undo`, `release` and `forget`: shown first, and then asked for."""

from typing import Annotated

import typer

from connector.cli.asking import go_ahead, person
from connector.cli.options import By, DryRun, Json, RunId, Yes, group
from connector.cli.working import interruptible, settings
from connector.decisions.release import chosen
from connector.project import decide
from connector.project.app import App
from connector.rules.errors import ConfigurationError
from connector.show import texts as show
from connector.show import undo as told

commands = group()


@commands.command()
def undo(
    run_id: RunId,
    yes: Yes = False,
    dry_run: DryRun = False,
    look: Annotated[
        bool | None,
        typer.Option("--look/--no-look", help="Ask for each first; unasked up to 1,000 rows."),
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Take back what a run sent: delete its interactions. Shows what, and asks first."""
    app, who = App(settings()), person(by).text
    with show.progress(json) as bars:
        plan = interruptible(app, decide.plan_undo(app, run_id, look, bars))
    if not json:
        told.undo_plan(plan)
    if not plan.requests or not go_ahead(told.undo_question(plan), yes, dry_run, json):
        if json:
            show.as_json(told.undo_document(plan, None, who))
        raise typer.Exit(_code_of_a_plan(plan.requests, dry_run))
    with show.progress(json) as bars:
        done = interruptible(app, decide.undo(app, plan, who, None if yes else plan.rows, bars))
    if json:
        show.as_json(told.undo_document(plan, done, who))
    else:
        told.undone(plan, done)
        told.stopped(done.error)
    raise typer.Exit(done.exit_code)


@commands.command()
def release(
    run_id: RunId,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="Row keys; all if left out.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Let rows that were taken back be sent again, as the model has them today."""
    app, who = App(settings()), person(by).text
    name, standing, undone = decide.plan_release(app, run_id)
    (activation,) = app.activations([name])
    rows = chosen(undone, keys or (), run_id)
    if not json:
        told.release_plan(run_id, name, rows, standing)
    question = f"Let {len(rows):,} {'row' if len(rows) == 1 else 'rows'} be sent again?"
    if not rows or not go_ahead(question, yes, dry_run, json):
        if json:
            show.as_json(told.release_document(run_id, name, rows, standing, None, who))
        raise typer.Exit(_code_of_a_plan(len(rows), dry_run))
    with show.progress(json) as bars:
        work = decide.release(app, run_id, activation, keys or (), who, bars)
        done = interruptible(app, work)
    if json:
        show.as_json(told.release_document(run_id, name, rows, standing, done, who))
    else:
        told.released(done)
        told.stopped(done.error)
    raise typer.Exit(done.exit_code)


@commands.command()
def forget(
    contact: Annotated[
        list[str],
        typer.Option(
            metavar="ID", help="A contactId, or an identifier as rows have it; may be repeated."
        ),
    ],
    activation: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only there; may be repeated.")
    ] = None,
    delete_interactions: Annotated[
        bool, typer.Option("--delete-interactions", help="Also what was delivered.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Remove what the ledger holds of a person. Shows how much, and asks first."""
    app, who = App(settings()), person(by).text
    names = [name.strip() for name in contact]
    if not all(names):
        raise ConfigurationError("--contact wants a contactId or another identifier")
    work = decide.plan_forget(app, names, activation or (), delete_interactions)
    plan = interruptible(app, work)
    if not json:
        told.forget_plan(plan)
    if not plan.activations or not go_ahead("Remove it for good?", yes, dry_run, json):
        if json:
            show.as_json(told.forget_document(plan, None, who))
        code = _code_of_a_plan(len(plan.activations), dry_run)
        raise typer.Exit(code or int(bool(plan.unknown) and not dry_run))
    done = interruptible(app, decide.forget(app, plan, who))
    if json:
        show.as_json(told.forget_document(plan, done, who))
    else:
        told.forgotten(plan, done)
        told.stopped(done.error)
    raise typer.Exit(done.exit_code)


def _code_of_a_plan(rows: int, dry_run: bool) -> int:
    """0 where nothing was to be done, or only a plan was wanted; else it lacks a --yes."""
    return 0 if dry_run or not rows else 2
