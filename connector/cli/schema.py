"""`schema …`: interaction schemas, in files and at the destination."""

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.asking import ask, person, typed
from connector.cli.options import (
    At,
    Before,
    By,
    Confirm,
    Ids,
    Json,
    MaybeName,
    SchemaId,
    Yes,
    group,
)
from connector.cli.working import interruptible, settings, tell, wait_for
from connector.project.app import App
from connector.schemas.commands import (
    Schemas,
    lint_document,
    proposal_document,
    proposed,
    shown_local,
)
from connector.schemas.files import lint as linted
from connector.schemas.migration import cancelled, carried_out, planned
from connector.schemas.plan import Application
from connector.schemas.provision import EXIT_CODES
from connector.show import texts as show
from connector.show.replace import show_cancelled, show_migrated, show_migration, show_unchanged
from connector.show.schemas import (
    proposal_text,
    show_applied,
    show_deleted,
    show_deletion,
    show_exported,
    show_lint,
    show_list,
    show_one,
    show_plan,
)
from connector.sync.result import exit_code

commands = group()
schema = group("Interaction schemas, in files and at the destination.")
commands.add_typer(schema, name="schema")


def _schemas(destination: str | None) -> Schemas:
    return Schemas.of(App(settings()), destination)


@schema.command("list")
def list_all(destination: At = None, json: Json = False) -> None:
    """List the live schemas and those that have a file, and who uses them."""
    tell(wait_for(_schemas(destination).listed()), show_list, json)


@schema.command("show")
def show_schema(
    schema_id: SchemaId,
    local: Annotated[bool, typer.Option("--local", help="The file; ask no destination.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Show one schema: its properties and who uses it."""
    if local:
        document = shown_local(Before.config.parent, schema_id)
    else:
        document = wait_for(_schemas(destination).shown(schema_id))
    tell(document, show_one, json)


@schema.command()
def lint(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE|ID]...", help="All when none is named.")
    ] = None,
    json: Json = False,
) -> None:
    """Hold the files of schemas against the rules of Engage. Asks no destination."""
    document = lint_document(linted(Before.config.parent, names or []))
    tell(document, show_lint, json, 0 if document["ok"] else 1)


@schema.command()
def plan(ids: Ids = None, destination: At = None, json: Json = False) -> None:
    """Show how the files differ from what is live, and what a change would cost."""
    found = wait_for(_schemas(destination).planned(ids or []))
    tell(found.document(), show_plan, json, found.exit_code)


@schema.command()
def apply(
    ids: Ids = None,
    as_version: Annotated[
        bool,
        typer.Option("--as-version", help="Create a changed schema beside the live one, as ID_v2."),
    ] = False,
    yes: Yes = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Create the schemas that are missing. Deletes nothing, changes nothing."""
    schemas = _schemas(destination)
    application = Application.of(wait_for(schemas.planned(ids or [])), as_version)
    if application.to_create and not yes:
        names = ", ".join(definition.id for definition in application.to_create)
        ask(f"Create {names} at {schemas.destination} ({schemas.url})?")
    results = wait_for(schemas.applied(application.to_create))
    code = exit_code(application.codes(results))
    tell(application.document(results), show_applied, json, code)


@schema.command()
def export(
    ids: Ids = None,
    to: Annotated[Path | None, typer.Option(help="A folder; the project's by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Write live schemas into files."""
    tell(wait_for(_schemas(destination).exported(ids or [], to, force)), show_exported, json)


@schema.command()
def delete(
    schema_id: SchemaId, confirm: Confirm = None, destination: At = None, json: Json = False
) -> None:
    """Delete a schema, and with it all of its interactions, of all contacts."""
    schemas = _schemas(destination)
    deletion = wait_for(schemas.deletion(schema_id))
    if not json:
        show_deletion(deletion.document())
    deletion.refuse_unless(typed(deletion.confirmation) if confirm is None else confirm)
    result = wait_for(schemas.deleted(deletion))
    outcome = {"status": result.status, "message": result.message or None}
    code = EXIT_CODES.get(result.status, 0)
    tell(deletion.document() | outcome, lambda _: show_deleted(result), json, code)


@schema.command("migrate", hidden=True)  # its earlier name
@schema.command()
def replace(
    schema_id: SchemaId,
    confirm: Confirm = None,
    give_up: Annotated[
        int, typer.Option(min=0, metavar="N", help="Accept that at most N rows are lost.")
    ] = 0,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Forget it, as long as nothing is deleted.")
    ] = False,
    by: By = None,
    destination: At = None,
    json: Json = False,
) -> None:
    """Replace a changed schema: delete it, create it anew, send all of its interactions again.

    Shows a plan first. What was begun goes on when the command is run again.
    """
    app, who = App(settings()), person(by)
    found = wait_for(planned(Schemas.of(app, destination), schema_id))
    if cancel:
        wait_for(cancelled(found, who))
        show_cancelled(found.document(), json)
        return
    if not found.is_needed:
        show_unchanged(found.document(), json)
        return
    if not json:
        show_migration(found.document())
    if found.under_way is None:
        found.refuse_unless(typed(found.confirmation) if confirm is None else confirm)
    with show.progress(json) as bars:
        ended = interruptible(app, carried_out(found, who, give_up, bars))
    tell(ended.document(), show_migrated, json, ended.exit_code)


@schema.command()
def generate(
    name: MaybeName = None,
    model: Annotated[Path | None, typer.Option(help="A file with a SELECT instead.")] = None,
    schema_id: Annotated[str | None, typer.Option("--id", help="The id of the schema.")] = None,
    json: Json = False,
) -> None:
    """Propose a schema from the columns of a model. Prints it; sends nothing."""
    proposal = proposed(App(settings()), name, model, schema_id)
    text = proposal_text(proposal)
    tell(proposal_document(proposal), lambda _: print(text, end=""), json)
