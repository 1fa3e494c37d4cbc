"""Rows that wait for a person, and what came of a decision about them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Console

from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.interaction import instant_text
from connector.rules.words import are, may_have_arrived, words
from connector.show.blocks import MOST_ROWS, as_they_stand, grid, mapped_text, moment
from connector.show.layout import out, verbatim

MOST_GROUPS = 20
WHAT_CAN_BE_DONE = (
    "connector quarantine retry: map invalid and rejected rows again; settle: say what became of a"
    " row in doubt; discard: give rows up."
)


def show_quarantine(document: Document, before: int = 0, narrowed: bool = False) -> None:
    """Rows that wait for a person: why, and then one by one. `before`: so many stand on earlier
    pages; `narrowed`: not all were asked for."""
    console, rows, groups = out(), document["rows"], document["groups"]
    total = sum(group["count"] for group in groups)
    if not rows and total:
        console.print(f"There are no more: {total:,} in all, on earlier pages.")
        return
    if not rows:
        such = "No such row waits" if narrowed else "No row waits"
        console.print(f"{such} for a person.")
        return
    if total > len(groups):
        _groups(console, groups)
    as_they_stand(rows).print(console)
    if (left := total - before - len(rows)) > 0:
        console.print(f"… and {left:,} more; --limit shows more of them, --page the next ones.")
    for line in _where_mapped(groups):
        console.print(line)
    console.print(WHAT_CAN_BE_DONE)


def _where_mapped(groups: Sequence[Document]) -> list[str]:
    """Where in the configuration stands what the reasons are about, once each."""
    lines = dict.fromkeys(
        f"{verbatim(group['activation'])}: {verbatim(mapped_text(mapped))}"
        for group in groups[:MOST_GROUPS]
        for mapped in group.get("mapped", ())
    )
    return list(lines)


def _groups(console: Console, groups: Sequence[Document]) -> None:
    table = grid("rows", "activation", "state", "reason", "example")
    for group in groups[:MOST_GROUPS]:
        table.add(
            f"{group['count']:,}",
            group["activation"],
            words(group["state"]),
            group["reason"] or "",
            group["example_key"],
        )
    table.print(console)
    if len(groups) > MOST_GROUPS:
        console.print(f"… and {len(groups) - MOST_GROUPS:,} more reasons; --reason narrows down.")
    console.print()


def show_retried(document: Document) -> None:
    """Rows that were tried again."""
    console, name = out(), verbatim(document["activation"])
    rows, missing = document["rows"], document["missing"]
    if not rows and not missing:
        console.print(f"[bold]{name}[/]: no such row is invalid or rejected; nothing was changed.")
        return
    invalid = [row for row in rows if row["state"] == State.INVALID]
    if pending := len(rows) - len(invalid):
        them = "it" if pending == 1 else "them"
        console.print(
            f"[bold]{name}[/]: {are(pending)} pending now; the next `connector sync` sends {them}."
        )
    if invalid:
        console.print(f"[bold]{name}[/]: {are(len(invalid))} invalid, as the model is now:")
        _some_rows(console, invalid)
    if missing:
        console.print(
            f"[bold]{name}[/]: {are(len(missing))} not in the model any more, and not changed:"
        )
        _some_rows(console, missing)


def show_settled(document: Document) -> None:
    """A doubt that was settled."""
    (row,) = document["rows"]
    place = f"[bold]{verbatim(document['activation'])} / {verbatim(row['row_key'])}[/]"
    if row["state"] == State.DELIVERED:
        found = row["interaction_id"]
        id = f" as the interaction {verbatim(found)}" if found else ""
        what = f"delivered{id}; it is never sent again."
    elif row["due_at"]:
        until = moment(instant_text(datetime.fromisoformat(row["due_at"]) + timedelta(seconds=1)))
        what = (
            "pending again. Its last request may still be under way, so it is not sent before"
            f" {until}; the first `connector sync` after that sends it."
        )
    else:
        what = "pending again; the next `connector sync` sends it."
    out().print(f"{place}: {what}")


def show_discarded(document: Document) -> None:
    """Rows that were given up."""
    name, rows = f"[bold]{verbatim(document['activation'])}[/]", document["rows"]
    if not rows:
        out().print(f"{name}: no such row is in quarantine; nothing was changed.")
        return
    doubts = sum(row["was"] == State.IN_DOUBT for row in rows)
    told = may_have_arrived(doubts, len(rows))
    out().print(f"{name}: {are(len(rows))} discarded and never sent.{told}")


def _some_rows(console: Console, rows: Sequence[Document]) -> None:
    table = grid("row key", "reason")
    for row in rows[:MOST_ROWS]:
        table.add(row["row_key"], row["reason"] or "")
    table.print(console)
    if len(rows) > MOST_ROWS:
        console.print(f"… and {len(rows) - MOST_ROWS:,} more; --json has them all.")
