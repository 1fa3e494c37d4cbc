"""A held run as it is shown before it is approved, its approval, and the list of deeds."""

from connector.rules.approval import what_goes
from connector.rules.deed import Document
from connector.show.blocks import approval_text, figures, grid, moment
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


def show_approved(document: Document) -> None:
    """That it is approved, and what comes next."""
    until = f" until {moment(document['expires_at'])}" if document["expires_at"] else ""
    name, does = f"[bold]{verbatim(document['activation'])}[/]", "sends exactly these rows"
    if "build" in document:
        does = "reads and sends what dbt has built, as it is"
    elif "live" in document["counts"]:
        does = f"does exactly this: {what_goes(document['counts'])}"
    out().print(
        f"Approved by {verbatim(document['by'])}: the next run of {name} {does}. It holds{until}."
    )


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
            entry["what"].replace("_", " "),
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
            parts.append(f"{name.replace('_', ' ')}: {value}")
    return "; ".join(parts)
