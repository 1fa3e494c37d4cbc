"""The blocks that results are shown in, and how words, numbers and times are written in them."""

from collections.abc import Iterable, Sequence

from connector.ledger.records import COUNTS
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.words import rest_until, settle_from, share_text, words
from connector.show.layout import Column, Grid, out, verbatim

NUMBERS = frozenset(
    words(word)
    for word in (
        "rows",
        "matched",
        "properties",
        "segmentable",
        *("interactions", "missing", "twice"),
        *("changed", "not proven"),
        *COUNTS,
        *State,
    )
)
PROSE = frozenset(
    {"reason", "equal ones that are no row's", "differs in", "display name", "activations"}
)
MARKS = {
    "ok": "[green]ok  [/]",
    "advice": "[cyan]hint[/]",
    "data": "[yellow]rows[/]",
    "configuration": "[red]FIX [/]",
    "outside": "[red]STOP[/]",
}
STATUS_STYLES = {
    "succeeded": "green",
    "attention": "yellow",
    "held": "yellow",
    "stopped": "red",
    "running": "cyan",
    "not_begun": "cyan",
}
MOST_ROWS = 20
"""How many lines a person is shown unasked."""


def grid(*columns: str) -> Grid:
    """A table whose columns stand as what they hold wants it."""
    return Grid(*(Column(c, number=c in NUMBERS, prose=c in PROSE) for c in columns))


def as_they_stand(rows: Sequence[Document]) -> Grid:
    """Rows of whichever activations, with what is to be said of each."""
    table = grid("activation", "row key", "state", "since", "reason")
    for row in rows:
        table.add(
            row["activation"],
            row["row_key"],
            words(row["state"]),
            moment(row["since"]),
            row["reason"] or "",
        )
    return table


def tell_the_rest(rows: Sequence[Document]) -> None:
    """How many of `rows` a table has not, which shows the first."""
    if len(rows) > MOST_ROWS:
        out().print(f"and {len(rows) - MOST_ROWS:,} more; --json lists them all")


def figures(*lines: tuple[int, str, bool]) -> None:
    """A number a line; those that are nothing only where they must be told all the same."""
    for number, label, always in lines:
        if number or always:
            out().print(f"  {number:>9,}  {verbatim(label)}")


def notes(sentences: Iterable[str]) -> None:
    """A sentence a line."""
    for sentence in sentences:
        out().print(verbatim(sentence))


def rows_with_reasons(what: str, rows: Sequence[tuple[str, str]]) -> None:
    """The first of `rows`, each with what is to be said of it."""
    notes(f"  {what}: {key}: {reason}" for key, reason in rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        notes([f"  … and {len(rows) - MOST_ROWS:,} more; --json has them all"])


def interesting(
    counts: Sequence[Document], always: Sequence[str], names: Sequence[str]
) -> list[str]:
    """The columns worth their width: some `always`, the others where one of them is not zero."""
    return [name for name in names if name in always or any(row[name] for row in counts)]


def match_rate(run: Document | None) -> str | None:
    """The share of the contact identifiers of a run that belong to a contact."""
    rate = ((run or {}).get("contacts") or {}).get("match_rate")
    return None if rate is None else share_text(rate)


def moment(text: str | None) -> str:
    """A time of a document, for people."""
    return text[:19].replace("T", " ") + "Z" if text else "-"


def cap_text(per: Document) -> str:
    """How often one contact is told something."""
    return f"each contact is sent {per['most']:,} within {per['every']}"


def duration(seconds: float) -> str:
    """About how long `seconds` are, for people."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def lasting(seconds: float) -> str:
    """How long it is, short enough for a cell: in its two largest units."""
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours < 1:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if days < 1 else f"{days} d {hours % 24} h"


def approval_text(document: Document) -> str:
    """Who has approved what is held, and until when that holds."""
    until = f", until {moment(document['expires_at'])}" if document["expires_at"] else ""
    note = f" ({document['note']})" if document["note"] else ""
    return f"by {document['by']}, {moment(document['at'])}{note}{until}"


def mapped_text(mapped: Document) -> str:
    """Where a part of what is sent comes from, by its line in the configuration."""
    column = mapped["column"]
    source = "a constant" if column is None else f"the column {column}"
    return f"{mapped['part']} is {source}: {mapped['file']}:{mapped['line']}"


def rests(run: Document) -> str:
    """That rows of a run rest, until when, and why one of them does."""
    until = rest_until(run["resting"], moment(run["next_try"]))
    return f"{until} ({run['rests_for']})." if run["rests_for"] else f"{until}."


def too_young(run: Document) -> str:
    """That rows in doubt are too young to be settled, and from when on they are not."""
    return f"{settle_from(run['too_young'], moment(run['next_settling']))}."


def still_rests(document: Document) -> str | None:
    """The same of an activation, by its last run; None where no row of it rests any more."""
    last = document["last_run"]
    return rests(last) if last and last["resting"] and document["counts"]["pending"] else None


def still_young(document: Document) -> str | None:
    """The same of its rows in doubt that nothing but their age keeps from being settled."""
    last, doubts = document["last_run"], document["counts"]["in_doubt"]
    young = min(last["too_young"], doubts) if last else 0
    return f"{settle_from(young, moment(last['next_settling']))}." if young else None
