"""What reading back a run brought: what is missing, stands twice, is changed, or still there."""

from collections.abc import Sequence

from connector.rules.deed import Document
from connector.rules.words import counted, words
from connector.show.blocks import MOST_ROWS, grid, rows_with_reasons, tell_the_rest
from connector.show.layout import out, verbatim

LISTS = {
    "also": "equal ones that are no row's",
    "differs": "differs in",
    "taken_back": "taken back as",
}


def show_verification(document: Document) -> None:
    console = out()
    share, rows = document["sample"], document["rows"]
    console.print(
        f"[bold]{verbatim(document['activation'])}[/], run {document['run_id']}:"
        f" {counted(rows, 'row')} delivered, {document['checked']:,} looked at"
        + (f" (a sample of {share * 100:g}%)" if share < 1 else "")
    )
    taken_back = document["taken_back"]
    if number := taken_back["rows"]:
        console.print(
            f"{counted(number, 'interaction')} taken back by it, {taken_back['checked']:,} looked"
            " for"
        )
    if document["status"] == "running":
        console.print("The run has not ended; rows that it delivers from now on are not in this.")
    if requests := document.get("requests"):
        _by_requests(document, requests)
        return
    _list_of(document["missing"], "missing at the destination")
    if recent := sum(row["recent"] for row in document["missing"]):
        console.print(
            f"{recent:,} of them came less than settle_after ago and may not show yet; verify again"
        )
    _list_of(document["doubled"], "standing twice", "also")
    _list_of(document["changed"], "not as sent", "differs")
    _still_there(document["still_there"])
    _gaps(document)
    if document["unverifiable"]:
        console.print(
            f"{document['unverifiable']:,} cannot be read back: a person said that they are"
            " delivered, and nobody knows their interactions"
        )
    console.print(_verdict_on(document))


def _still_there(rows: Sequence[Document]) -> None:
    """Interactions that a mirror took back, and that the destination shows all the same."""
    _list_of(rows, "taken back, and still there", "taken_back")
    if recent := sum(row["recent"] for row in rows):
        out().print(
            f"{recent:,} of them went less than settle_after ago and may only be shown still;"
            " verify again"
        )
    if len(rows) > recent:
        out().print("No run asks for them again: delete them at the destination, by these ids.")


def _gaps(document: Document) -> None:
    for gap in document["incomplete"]:
        out().print(
            f"[yellow]{gap['count']:,} not proven[/]{_such(gap['example_key'])}:"
            f" {verbatim(gap['reason'])}",
        )


def _such(example: str) -> str:
    """Of what is pruned there is none."""
    return f", such as {verbatim(example)}" if example else ""


def _by_requests(document: Document, requests: Document) -> None:
    """Where the destination was asked about requests that carried many rows."""
    console, asked, gone = out(), requests["asked"], requests["not_visible"]
    console.print(
        f"{counted(asked, 'request')} that carried them asked about"
        + (f"; {gone:,} not visible any more" if gone else "")
    )
    if missing := document["missing"]:
        console.print(f"[red]{len(missing):,} delivered here, turned down there[/]")
        rows_with_reasons("row", [(row["row_key"], row["reason"]) for row in missing])
    if changed := document["changed"]:
        console.print(f"[red]{len(changed):,} told otherwise there[/]")
        told = [(row["row_key"], ", ".join(row["differs"])) for row in changed]
        rows_with_reasons("row", told)
    _still_there(document["still_there"])
    _gaps(document)
    if alone := document["unverifiable"]:
        console.print(
            f"{alone:,} cannot be asked about: they went with no such request, or a person said"
            " that they are delivered"
        )
    if document["ok"] and document["checked"]:
        console.print("[green]The destination says of each row what the ledger says.[/]")
    else:
        console.print(_verdict_on(document))


def _list_of(rows: Sequence[Document], title: str, *more: str) -> None:
    """The first of `rows` under a title; `more` names what else is told of each."""
    if not rows:
        return
    table = grid("row key", "interaction", *(LISTS[name] for name in more))
    for row in rows[:MOST_ROWS]:
        lists = [_listed(row[name]) for name in more]
        table.add(row["row_key"], row["interaction_id"] or "-", *lists)
    out().print(f"[red]{len(rows):,} {title}[/]")
    table.print(out())
    tell_the_rest(rows)


def _listed(value: str | Sequence[str]) -> str:
    return words(value) if isinstance(value, str) else ", ".join(value)


def _verdict_on(document: Document) -> str:
    if not document["ok"]:
        return "Verifying wrote nothing; what to do about this is for you to decide."
    gone = document["taken_back"]["checked"]
    if not document["checked"]:
        if gone:
            return "[green]All that was taken back and looked for is gone.[/]"
        return "There was nothing to look at."
    also = ", and what was taken back is gone" if gone else ""
    return f"[green]Everything that was looked at is there, once, as it was sent{also}.[/]"
