"""`schema …`: interaction schemas, in files and at the destination."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.asking import person
from connector.cli.deeds import Consent, Showing, carry_out, documented
from connector.cli.options import (
    At,
    By,
    Confirm,
    Ids,
    Json,
    MaybeName,
    SchemaId,
    Yes,
    group,
)
from connector.cli.working import Before, app, progress, tell, wait_for

if TYPE_CHECKING:
    from connector.schemas.catalogue import Catalogue

schema = group("Interaction schemas, in files and at the destination.")


def _catalogue(destination: str | None) -> "Catalogue":
    from connector.project.schemas import catalogue_of

    return catalogue_of(app(), destination)


@schema.command("list")
def list_all(destination: At = None, json: Json = False) -> None:
    """List the live schemas and those that have a file, and who uses them."""
    from connector.schemas.listing import list_schemas
    from connector.show.schemas import show_list

    tell(wait_for(list_schemas(_catalogue(destination))), show_list, json)


@schema.command("show")
def show_schema(
    schema_id: SchemaId,
    local: Annotated[bool, typer.Option("--local", help="The file; ask no destination.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Show one schema: its properties and who uses it."""
    from connector.schemas.listing import describe, describe_file
    from connector.show.schemas import show_one

    if local:
        document = describe_file(Before.config.parent, schema_id)
    else:
        document = wait_for(describe(_catalogue(destination), schema_id))
    tell(document, show_one, json)


@schema.command()
def lint(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE|ID]...", help="All when none is named.")
    ] = None,
    json: Json = False,
) -> None:
    """Hold the files of schemas against the rules of Engage. Asks no destination."""
    from connector.schemas.lint import lint as lint_files
    from connector.schemas.lint import lint_document
    from connector.show.schemas import show_lint

    document = lint_document(lint_files(Before.config.parent, names or []))
    tell(document, show_lint, json, 0 if document["ok"] else 1)


@schema.command()
def plan(ids: Ids = None, destination: At = None, json: Json = False) -> None:
    """Show how the files differ from what is live, and what a change would cost."""
    from connector.schemas.plan import plan as plan_files
    from connector.show.schemas import show_plan

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
    from connector.project.schemas import catalogue_of
    from connector.schemas.apply import Apply
    from connector.show.schemas import show_applied

    project = app()
    deed = Apply(catalogue_of(project, destination), ids or [], as_version)
    carry_out(project, deed, Showing(json, documented(show_applied)), Consent(yes), False)


@schema.command()
def export(
    ids: Ids = None,
    to: Annotated[Path | None, typer.Option(help="A folder; the project's by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Write live schemas into files."""
    from connector.schemas.export import export as export_schemas
    from connector.show.schemas import show_exported

    work = export_schemas(_catalogue(destination), ids or [], to, force)
    tell(wait_for(work), show_exported, json)


@schema.command()
def delete(
    schema_id: SchemaId, confirm: Confirm = None, destination: At = None, json: Json = False
) -> None:
    """Delete a schema, and with it all of its interactions, of all contacts."""
    from connector.project.schemas import catalogue_of
    from connector.schemas.delete import Delete
    from connector.show.schemas import show_deleted, show_deletion

    project = app()
    deed = Delete(catalogue_of(project, destination), schema_id)
    showing = Showing(json, documented(show_deleted), documented(show_deletion))
    carry_out(project, deed, showing, Consent(typed=confirm), ends_in_order=False)


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
    from connector.project.schemas import catalogue_of, means_of
    from connector.schemas.replace import Replace
    from connector.show.replace import show_replaced, show_replacement

    project, who = app(), person(by)
    catalogue = catalogue_of(project, destination)
    means = partial(means_of, project, catalogue.destination)
    bars = progress(json)
    deed = Replace(catalogue, schema_id, means, who, give_up, bars)
    if cancel:
        tell(wait_for(deed.cancel()).document(), show_replaced, json)
        return
    showing = Showing(json, documented(show_replaced), documented(show_replacement), bars)
    carry_out(project, deed, showing, Consent(typed=confirm))


@schema.command()
def generate(
    name: MaybeName = None,
    model: Annotated[Path | None, typer.Option(help="A file with a SELECT instead.")] = None,
    schema_id: Annotated[str | None, typer.Option("--id", help="The id of the schema.")] = None,
    json: Json = False,
) -> None:
    """Propose a schema from the columns of a model. Prints it; sends nothing."""
    from connector.project.dbt import described_by_dbt
    from connector.schemas.propose import propose
    from connector.show.schemas import show_proposal

    project = app()
    activation = project.settings.activation(name) if name else None
    described = described_by_dbt(project.settings, activation) if activation else ()
    proposal = propose(project.warehouse(), activation, model, schema_id, described)
    tell(proposal.document(), show_proposal, json)
