"""Receipts of verifications as a table, and the rows that deviate."""

from collections.abc import Sequence

from connector.rules.deed import Document
from connector.rules.words import counted
from connector.show.blocks import MOST_ROWS, grid, moment, notes, tell_the_rest
from connector.show.layout import Cell, out, verbatim

RESULTS = {
    "ok": ("ok", "green"),
    "nothing": ("nothing to look at", "dim"),
    "not_proven": ("not proven", "yellow"),
}
DEVIATION = ("deviation", "red")
SEALS = {
    "unchanged": "It is unchanged: this is what was signed.",
    "changed": "It was changed after it was signed.",
    "other_key": "Another key has signed it, so nobody can say here whether it was changed.",
    "unsigned": "It is no receipt: there is no signature of one.",
}


def show_receipts(document: Document) -> None:
    """The newest receipts, and which rows deviate by the newest of each activation."""
    receipts = document["receipts"]
    if not receipts:
        out().print("There is no receipt yet.")
        return
    table = grid(
        *("receipt", "activation", "began", "rows", "interactions", "missing", "twice", "changed"),
        *("not proven", "result"),
    )
    for each in receipts:
        table.add(
            each["receipt_id"],
            each["activation"],
            moment(each["began_at"]),
            *(f"{each[n]:,}" for n in ("rows", "interactions", "missing", "twice", "changed")),
            f"{each['not_proven']:,}",
            Cell(*RESULTS.get(each["result"], DEVIATION)),
        )
    table.print(out())
    notes(
        f"{each['receipt_id']}: {SEALS[each['seal']][0].lower()}{SEALS[each['seal']][1:]}"
        for each in receipts
        if each["seal"] != "unchanged"
    )
    newest = {each["activation"]: each for each in reversed(receipts)}
    for each in newest.values():
        _deviations(each["activation"], each["deviations"])


def _deviations(name: str, rows: Sequence[Document]) -> None:
    if not rows:
        return
    out().print(
        f"[red]{counted(len(rows), 'row')}[/] of [bold]{verbatim(name)}[/] not there as sent"
    )
    table = grid("row key", "found", "run")
    for row in rows[:MOST_ROWS]:
        table.add(row["row_key"], ", ".join(row["found"]), row["run_id"])
    table.print(out())
    tell_the_rest(rows)


def show_seal(document: Document) -> None:
    """Whether a receipt is unchanged."""
    out().print(SEALS[document["seal"]])
