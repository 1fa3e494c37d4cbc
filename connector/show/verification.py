"""What reading back a run brought: what is missing, stands twice, or is changed."""

from collections.abc import Sequence

from connector.rules.deed import Document
from connector.rules.words import plural
from connector.show.blocks import MOST_ROWS, grid
from connector.show.layout import out, verbatim

LISTS = {"also": "equal ones that are no row's", "differs": "differs in"}


def show_verification(document: Document) -> None:
    console = out()
    share, rows = document["sample"], document["rows"]
    console.print(
        f"[bold]{verbatim(document['activation'])}[/], run {document['run_id']}: {rows:,}"
        f" {plural(rows, 'row')} delivered, {document['checked']:,} looked at"
        + (f" (a sample of {share * 100:g}%)" if share < 1 else "")
    )
    if document["status"] == "running":
        console.print("The run has not ended; rows that it delivers from now on are not in this.")
    _list_of(document["missing"], "missing at the destination")
    if recent := sum(row["recent"] for row in document["missing"]):
        console.print(
            f"{recent:,} of them came less than settle_after ago and may not show yet; verify again"
        )
    _list_of(document["doubled"], "standing twice", "also")
    _list_of(document["changed"], "not as sent", "differs")
    for gap in document["incomplete"]:
        console.print(
            f"[yellow]{gap['count']:,} not proven[/], such as {verbatim(gap['example_key'])}:"
            f" {verbatim(gap['reason'])}",
        )
    if document["unverifiable"]:
        console.print(
            f"{document['unverifiable']:,} cannot be read back: a person said that they are"
            " delivered, and nobody knows their interactions"
        )
    console.print(_verdict_on(document))


def _list_of(rows: Sequence[Document], title: str, *more: str) -> None:
    """The first of `rows` under a title; `more` names what they have that is a list."""
    if not rows:
        return
    table = grid("row key", "interaction", *(LISTS[name] for name in more))
    for row in rows[:MOST_ROWS]:
        lists = [", ".join(row[name]) for name in more]
        table.add(row["row_key"], row["interaction_id"] or "-", *lists)
    out().print(f"[red]{len(rows):,} {title}[/]")
    table.print(out())
    if len(rows) > MOST_ROWS:
        out().print(f"and {len(rows) - MOST_ROWS:,} more; --json lists them all")


def _verdict_on(document: Document) -> str:
    if not document["ok"]:
        return "Verifying wrote nothing; what to do about this is for you to decide."
    if not document["checked"]:
        return "There was nothing to look at."
    return "[green]Everything that was looked at is there, once, as it was sent.[/]"
