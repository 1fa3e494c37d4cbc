"""What the `schema` commands print for people; the documents for programs are made elsewhere."""

import json

from rich.console import Console

from connector.rules.deed import Document
from connector.rules.definition import definition_of
from connector.rules.words import words
from connector.schemas.files import text_of
from connector.schemas.plan import Action
from connector.schemas.provision import Status
from connector.show.blocks import duration, grid
from connector.show.layout import out, verbatim

SIGNS = {"added": "+", "removed": "-", "retyped": "!", "now_required": "!"}
STYLES = {
    Status.CREATED: "green",
    Status.DELETED: "green",
    Status.REFUSED: "yellow",
    Status.KEPT_DIFFERENTLY: "yellow",
    Status.NOT_APPLIED: "red",
    Status.UNKNOWN: "red",
}


def show_list(document: Document) -> None:
    """Every schema, one a line."""
    console = out()
    console.print(_of_most(document))
    if not document["schemas"]:
        return
    table = grid(
        "schema", "display name", "live", "file", "properties", "segmentable", "delivered",
        "activations",
    )  # fmt: skip
    for schema in document["schemas"]:
        file = "-" if schema["file"] is None else "differs" if schema["in_step"] is False else "yes"
        table.add(
            schema["id"],
            schema["display_name"] or "-",
            "yes" if schema["live"] else "no",
            file,
            _number(schema["properties"]),
            _number(schema["segmentable"]),
            _number(schema["delivered"]),
            ", ".join(schema["activations"]) or "-",
        )
    table.print(console)


def show_one(document: Document) -> None:
    """One schema and its properties."""
    console = out()
    source = verbatim(document["source"])
    console.print(
        f"[bold]{verbatim(document['id'])}[/]: {verbatim(document['displayName'])} ({source})"
    )
    definition = definition_of(document)
    table = grid("property", "type", "required", "segmentable", "on the card", "display name")
    for name, spec in definition.properties.items():
        form = f" {spec['format']}" if "format" in spec else ""
        table.add(
            name,
            f"{spec.get('type', '-')}{form}",
            "yes" if name in definition.required else "",
            "yes" if name in definition.segmented else "",
            "yes" if spec.get("showInContactCard") == "true" else "",
            str(spec.get("displayName", "-")),
        )
    table.print(console)
    for use in document.get("activations", []):
        console.print(f"used by {verbatim(_use(use))}")


def show_lint(document: Document) -> None:
    """What is wrong with each file, in the form that editors jump to."""
    console = out()
    for file in document["files"]:
        for kind, style in (("problems", "red"), ("advice", "cyan")):
            for found in file[kind]:
                word = "" if kind == "problems" else "hint: "
                place = f"{file['file']}:{found['line']}:{found['column']}"
                console.print(
                    f"[{style}]{verbatim(place)}[/]: {word}{verbatim(found['message'])}",
                )
    number, found = len(document["files"]), sum(len(f["problems"]) for f in document["files"])
    verdict = f"[red]{found} problem{'s' if found > 1 else ''}[/]" if found else "no problem"
    console.print(f"{number} file{'' if number == 1 else 's'}: {verdict}")


def show_plan(document: Document) -> None:
    """What each schema needs, and what that would cost."""
    console = out()
    console.print(_of_most(document))
    for schema in document["schemas"]:
        name = f"[bold]{verbatim(schema['id'])}[/]"
        match schema["action"]:
            case Action.UNCHANGED:
                console.print(f"  {name}: unchanged")
            case Action.CREATE:
                console.print(f"[green]+ {name}: would be created[/] ({verbatim(schema['file'])})")
            case _:
                _changed(console, schema)
    if document["hindrance"]:
        console.print(f"[red]{verbatim(document['hindrance'])}[/]")


def _changed(console: Console, schema: Document) -> None:
    word = "backward compatible" if schema["compatible"] else "[red]not backward compatible[/]"
    name = f"[bold]{verbatim(schema['id'])}[/]"
    console.print(f"[yellow]~ {name}: changed[/], {word} ({verbatim(schema['file'])})")
    for change in schema["changes"]:
        console.print(f"    {SIGNS.get(change['kind'], '~')} {verbatim(change['message'])}")
    if not schema["compatible"]:
        console.print(
            "    Refused: Engage asks that no property be removed, and what is stored would not"
            " fit another type. Give the file an id of its own: then it is another schema.",
        )
        return
    version, replacement = schema["as_version"], schema["as_replacement"]
    console.print(f"    As a version: {verbatim(_version(schema['id'], version))}")
    console.print(f"    In its place: {verbatim(_replacement(replacement))}")


def _version(schema_id: str, version: Document) -> str:
    if version["live"]:
        return (
            f"{version['id']} is live with what the file has. Let the activations send to it;"
            f" `connector schema export {schema_id} {version['id']} --force` puts both into files."
        )
    return (
        f"`connector schema apply {schema_id} --as-version` creates {version['id']} beside it."
        " Nothing is deleted, nothing is sent again."
    )


def _replacement(cost: Document) -> str:
    number = f"{cost['interactions']:,}"
    text = (
        f"Engage would have to delete it, with the {number} interactions of all contacts that the"
        f" ledger knows and all that others have sent, and get the {number} again, which takes"
        f" about {duration(cost['seconds'])} and may start automations a second time."
    )
    if cost["newly_required"]:
        names = ", ".join(cost["newly_required"])
        text += f" Old rows would need a value for {names}."
    if cost["in_doubt"] or cost["to_be_sent"]:
        text += f" Rows in doubt: {cost['in_doubt']:,}; still to be sent: {cost['to_be_sent']:,}."
    return f"{text} `connector schema replace` does that; `apply` never does."


def show_applied(document: Document) -> None:
    """What became of each schema, and what the user has to edit."""
    console = out()
    for result in document["schemas"]:
        console.print(f"  {_outcome(result['id'], result)}")
    for edit in document["edits"]:
        place = f"{edit['file']}:{edit['line']}"
        console.print(
            f"Now edit {verbatim(place)}: schema_id: {verbatim(edit['before'])} ->"
            f" [bold]{verbatim(edit['schema_id'])}[/] (activation {verbatim(edit['activation'])})",
        )
        if edit["recorded"]:
            console.print(
                f"  {edit['recorded']:,} rows of {verbatim(edit['activation'])} are recorded under"
                f" {verbatim(edit['before'])}: add previous_schema_id: {verbatim(edit['before'])},"
                " and they are not sent again.",
            )


def show_exported(document: Document) -> None:
    """Which files were written."""
    console = out()
    for schema in document["schemas"]:
        console.print(
            f"  [bold]{verbatim(schema['id'])}[/]: {schema['status']} {verbatim(schema['file'])}"
        )


def show_deletion(document: Document) -> None:
    """What a deletion deletes."""
    console = out()
    number = f"{document['interactions']:,}"
    console.print(
        f"Deleting [bold]{verbatim(document['id'])}[/] at {verbatim(document['destination'])}"
        " deletes every interaction of it, of all contacts, for good:"
        f" [bold]{number}[/] that the ledger knows, and all that others have sent.",
    )
    if document["in_doubt"] or document["to_be_sent"]:
        console.print(
            f"  {document['in_doubt']:,} more are in doubt; {document['to_be_sent']:,} are still to"
            " be sent, and stay pending.",
        )
    for use in document["activations"]:
        console.print(f"  {verbatim(_use(use))}")
    console.print(
        "  What was delivered counts as delivered, and is not sent again by itself. Automations"
        " that start with this schema fail until there is one of the id again.",
    )


def show_deleted(document: Document) -> None:
    """Whether it is gone."""
    out().print(_outcome(document["id"], document))


def _outcome(schema_id: str, result: Document) -> str:
    """What became of a schema, as markup."""
    style, word = STYLES.get(result["status"]), words(result["status"])
    told = f"[{style}]{word}[/]" if style else word
    message = f": {verbatim(result['message'])}" if result["message"] else ""
    return f"[bold]{verbatim(schema_id)}[/]: {told}{message}"


def show_proposal(proposal: Document) -> None:
    """A proposed schema as a file, with notes of where its properties come from."""
    lines: list[str] = []
    if proposal["guessed"]:
        names = ", ".join(proposal["guessed"])
        lines.append(f"No row has a value for {names}: a text is only a guess.")
    lines += [f"Left out: {column} {why}." for column, why in proposal["left_out"].items()]
    lines += ["In activations.yaml:", "payload:"]
    lines += [f"  {name}: {_yaml_name(column)}" for name, column in proposal["payload"].items()]
    notes = "\n".join(f"# {line}".rstrip() for line in lines)
    print(f"{text_of(definition_of(proposal['schema']))}\n{notes}")


def _yaml_name(column: str) -> str:
    """A column's name as it stands in YAML, on one line; JSON's quotes are YAML's, too."""
    plain = column.isidentifier() and column.lower() not in ("true", "false", "null")
    return column if plain else json.dumps(column, ensure_ascii=False)


def _use(use: Document) -> str:
    state = "no longer configured" if not use["configured"] else "paused" if use["paused"] else ""
    return f"{use['name']}{f' ({state})' if state else ''}: {use['delivered']:,} delivered"


def _of_most(document: Document) -> str:
    place = verbatim(document["destination"])
    return f"{place}: {document['live']:,} of {document['most']:,} schemas"


def _number(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
