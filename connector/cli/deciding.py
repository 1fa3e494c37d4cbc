"""`undo`, `forget` and `prune`: shown first, and then asked for."""

from typing import Annotated

import typer

from connector.cli.asking import person, span_of
from connector.cli.deeds import Consent, Showing, carry_out
from connector.cli.options import By, DryRun, Json, Names, RunId, Yes
from connector.cli.working import app, progress
from connector.rules.errors import ConfigurationError


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
    from connector.cli.printing import show_undo_plan, show_undone
    from connector.decisions.undo import Undo

    project, bars = app(), progress(json)
    deed = Undo(project, run_id, person(by), look, bars)
    showing = Showing(json, show_undone, show_undo_plan, bars)
    carry_out(project, deed, showing, Consent(yes, dry_run))


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
    from connector.cli.printing import show_forget_plan, show_forgotten
    from connector.decisions.forget import Forget

    project, who, names = app(), person(by), [name.strip() for name in contact]
    if not all(names):
        raise ConfigurationError("--contact wants a contactId or another identifier")
    deed = Forget(project, names, activation or (), delete_interactions, who)
    showing = Showing(json, show_forgotten, show_forget_plan)
    carry_out(project, deed, showing, Consent(yes, dry_run))


def prune(
    names: Names = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN", help="What was delivered longer ago; ledger.keep, if left out."
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Prune what was delivered long ago from the ledger. Shows how much, and asks first."""
    from connector.cli.printing import show_prune_plan, show_pruned
    from connector.decisions.prune import Prune

    project = app()
    span = None if older_than is None else span_of(older_than, "--older-than")
    deed = Prune(project, project.activations(names or ()), span, person(by))
    carry_out(project, deed, Showing(json, show_pruned, show_prune_plan), Consent(yes, dry_run))
