"""`schema …`: interaction schemas, in files and at the destination."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from connector.cli.asking import person
from connector.cli.deeds import Consent, Showing, carry_out, documented
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
from connector.cli.working import settings, tell, wait_for
from connector.project.app import App
from connector.project.schemas import catalogue_of, means_of
from connector.schemas import listing
from connector.schemas.apply import Apply
from connector.schemas.catalogue import Catalogue
from connector.schemas.delete import Delete
from connector.schemas.export import export as export_schemas
from connector.schemas.lint import lint as lint_files
from connector.schemas.lint import lint_document
from connector.schemas.plan import plan as plan_files
from connector.schemas.propose import propose
from connector.schemas.replace import Replace
from connector.show.progress import progress
from connector.show.replace import show_replaced, show_replacement
from connector.show.schemas import (
    show_applied,
    show_deleted,
    show_deletion,
    show_exported,
    show_lint,
    show_list,
    show_one,
    show_plan,
    show_proposal,
)

commands = group()
schema = group("Interaction schemas, in files and at the destination.")
commands.add_typer(schema, name="schema")


def _catalogue(destination: str | None) -> Catalogue:
    return catalogue_of(App(settings()), destination)


@schema.command("list")
def list_all(destination: At = None, json: Json = False) -> None:
    """List the live schemas and those that have a file, and who uses them."""
    tell(wait_for(listing.list_schemas(_catalogue(destination))), show_list, json)


@schema.command("show")
def show_schema(
    schema_id: SchemaId,
    local: Annotated[bool, typer.Option("--local", help="The file; ask no destination.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Show one schema: its properties and who uses it."""
    if local:
        document = listing.describe_file(Before.config.parent, schema_id)
    else:
        document = wait_for(listing.describe(_catalogue(destination), schema_id))
    tell(document, show_one, json)


@schema.command()
def lint(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE|ID]...", help="All when none is named.")
    ] = None,
    json: Json = False,
) -> None:
    """Hold the files of schemas against the rules of Engage. Asks no destination."""
    document = lint_document(lint_files(Before.config.parent, names or []))
    tell(document, show_lint, json, 0 if document["ok"] else 1)


@schema.command()
def plan(ids: Ids = None, destination: At = None, json: Json = False) -> None:
    """Show how the files differ from what is live, and what a change would cost."""
    found = wait_for(plan_files(_catalogue(destination), ids or []))
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
    app = App(settings())
    deed = Apply(catalogue_of(app, destination), ids or [], as_version)
    carry_out(app, deed, Showing(json, documented(show_applied)), Consent(yes), False)


@schema.command()
def export(
    ids: Ids = None,
    to: Annotated[Path | None, typer.Option(help="A folder; the project's by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Write live schemas into files."""
    work = export_schemas(_catalogue(destination), ids or [], to, force)
    tell(wait_for(work), show_exported, json)


@schema.command()
def delete(
    schema_id: SchemaId, confirm: Confirm = None, destination: At = None, json: Json = False
) -> None:
    """Delete a schema, and with it all of its interactions, of all contacts."""
    app = App(settings())
    deed = Delete(catalogue_of(app, destination), schema_id)
    showing = Showing(json, documented(show_deleted), documented(show_deletion))
    carry_out(app, deed, showing, Consent(typed=confirm), ends_in_order=False)


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
    catalogue = catalogue_of(app, destination)
    means = partial(means_of, app, catalogue.destination)
    bars = progress(json)
    deed = Replace(catalogue, schema_id, means, who, give_up, bars)
    if cancel:
        tell(wait_for(deed.cancel()).document(), show_replaced, json)
        return
    showing = Showing(json, documented(show_replaced), documented(show_replacement), bars)
    carry_out(app, deed, showing, Consent(typed=confirm))


@schema.command()
def generate(
    name: MaybeName = None,
    model: Annotated[Path | None, typer.Option(help="A file with a SELECT instead.")] = None,
    schema_id: Annotated[str | None, typer.Option("--id", help="The id of the schema.")] = None,
    json: Json = False,
) -> None:
    """Propose a schema from the columns of a model. Prints it; sends nothing."""
    app = App(settings())
    activation = app.settings.activation(name) if name else None
    proposal = propose(app.warehouse(), activation, model, schema_id)
    tell(proposal.document(), show_proposal, json)
