"""A held run as it is shown before it is approved, its approval, and the list of deeds."""

from collections.abc import Iterator
from typing import Any

from connector.ledger import deeds
from connector.rules.approval import what_goes
from connector.rules.deed import Document
from connector.rules.words import counted, rows, words
from connector.show.blocks import MARKS, approval_text, figures, grid, moment
from connector.show.layout import out, verbatim


def show_held(document: Document) -> None:
    """What is held, and why."""
    console, counts = out(), document["counts"]
    asked = ", ".join(name for name in document["asked_by"] if name)
    console.print(f"[bold]{verbatim(document['activation'])}[/]: {verbatim(document['reason'])}")
    if "build" in document:
        console.print("An approval lets the next run read and send what dbt has built, as it is.")
    figures(
        (counts["rows"], "rows that an approval lets go", "build" not in document),
        (counts["invalid"], "invalid", False),
        (counts["rejected"], "rejected", False),
        (counts.get("removed", 0), "of them would be taken back", False),
        (counts.get("replaced", 0), "of them would be taken back and sent anew", False),
        (counts.get("live", 0), "at the destination now", False),
    )
    if asked:
        console.print(f"Asked for by {verbatim(asked)}.")
    if document["examples"]:
        console.print(f"Among them: {verbatim(', '.join(document['examples']))}")
    console.print(f"Digest of the rows: {document['digest']}")
    if before := document["approval"]:
        console.print(f"It is approved already: {verbatim(approval_text(before))}.")
    _in_the_way(document)


def show_approved(document: Document) -> None:
    """That it is approved, and what comes next."""
    until = f" until {moment(document['expires_at'])}" if document["expires_at"] else ""
    name, does = f"[bold]{verbatim(document['activation'])}[/]", "sends exactly these rows"
    if "build" in document:
        does = "reads and sends what dbt has built, as it is"
    elif "live" in document["counts"]:
        does = f"does exactly this: {what_goes(document['counts'])}"
    if document["already"]:
        before = verbatim(approval_text(document))
        out().print(f"{name} is approved already: {before}. Nothing else was recorded.")
        _in_the_way(document)
        return
    which = "a run" if document["in_the_way"] else "the next run"
    out().print(
        f"Approved by {verbatim(document['by'])}: {which} of {name} {does}. It holds{until}."
    )
    _in_the_way(document)


def _in_the_way(document: Document) -> None:
    """Why no run begins that could do what is approved."""
    for why in document["in_the_way"]:
        out().print(f"{MARKS['data']} No run begins before this is mended: {verbatim(why)}")


def show_audit(document: Document) -> None:
    """Who did what, newest first."""
    console = out()
    if not document["entries"]:
        console.print("Nothing is on the list.")
        return
    table = grid("when", "who", "what", "activation", "details")
    for entry in document["entries"]:
        table.add(
            moment(entry["at"]),
            entry["by"],
            words(entry["what"]),
            entry["activation"] or "-",
            details_text(entry["details"]) or "-",
        )
    table.print(console)


def details_text(details: Document) -> str:
    """The details of an entry on one line."""
    parts = []
    for name, value in details.items():
        if isinstance(value, dict):
            value = ", ".join(f"{number} {word}" for word, number in value.items() if number)
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        if value not in (None, ""):
            parts.append(f"{words(name)}: {value}")
    return "; ".join(parts)


def effect_text(what: str, details: Document) -> str:
    """What a deed of the audit list has changed, in words."""
    return "; ".join(_effect(what, dict(details)))


def _effect(what: str, details: dict[str, Any]) -> Iterator[str]:
    number = details.pop("rows", None)
    match what:
        case deeds.APPROVED:
            counts = details.pop("counts", None) or {}
            details.pop("digest", None)
            yield f"lets {rows(counts.pop('rows', 0))} go"
            yield from (f"{each:,} {words(name)}" for name, each in counts.items() if each)
        case deeds.REFUSED:
            yield f"nothing was let go: {details.pop('why', '')}"
        case deeds.PAUSED:
            yield "nothing runs it"
        case deeds.RESUMED:
            yield f"it runs again; {details.pop('paused_by', None) or 'somebody'} had paused it"
        case deeds.EDITED:
            yield f"written in another way: {', '.join(map(str, details.pop('parts', ())))}"
        case deeds.RETRIED:
            yield f"{rows(number or 0)} tried again"
            details.pop("decision", None)
        case deeds.DISCARDED:
            yield f"{rows(number or 0)} given up for good"
            details.pop("decision", None)
        case deeds.SETTLED:
            yield f"{rows(number or 0)} in doubt said to be {words(details.pop('decision', ''))}"
        case deeds.UNDONE:
            yield f"{counted(number or 0, 'interaction')} taken back"
        case deeds.RELEASED:
            yield f"{rows(number or 0)} may be sent again"
        case deeds.FORGOTTEN:
            yield f"{rows(number or 0)} forgotten"
        case deeds.PRUNED:
            ended = details.pop("runs", None) or 0
            yield f"{rows(number or 0)} and {counted(ended, 'run')} pruned"
    if rest := details_text(details):
        yield rest
