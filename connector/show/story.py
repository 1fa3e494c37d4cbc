"""The whole story of one row."""

from collections.abc import Sequence

from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.words import words
from connector.show.blocks import as_they_stand, grid, mapped_text, moment
from connector.show.layout import out, verbatim

PRUNED = (
    "its details are pruned from the ledger (ledger.keep): that it was delivered is all that is"
    " known, and keeps it from being sent again"
)


def show_found(key: str, rows: Sequence[Document]) -> None:
    """The rows with a key."""
    if not rows:
        out().print(f"No activation has recorded a row with just the key {verbatim(key)}.")
        return
    as_they_stand(rows).print(out())


def show_story(document: Document) -> None:
    console, pruned = out(), document["pruned"]
    since = f"before {pruned['before']}" if pruned else f"since {moment(document['since'])}"
    console.print(
        f"[bold]{verbatim(document['activation'])} / {verbatim(document['row_key'])}[/]:"
        f" {words(document['state'])} {since}"
    )
    if pruned:
        console.print(f"  {PRUNED}")
        return
    for label, value in (
        ("reason", document["reason"]),
        (_interaction(document["state"]), document["interaction_id"]),
        ("at", document["address"] if document["interaction_id"] else None),
        ("last moved by run", document["run_id"]),
        ("waiting since", document["waiting_since"]),
        ("not before", document["due_at"]),
    ):
        if value:
            console.print(f"  {label}: {verbatim(str(value))}")
    for mapped in document.get("mapped", ()):
        console.print(f"  {verbatim(mapped_text(mapped))}")
    if document["suspect"]:
        console.print("  it is read back before it is sent: the ledger is from a backup")
    if change := change_text(document["change"]):
        console.print(f"  {verbatim(change)}")
    if document["held"]:
        console.print(f"  {verbatim(document['held'])}")
    for request in [a["request"] for a in document["attempts"][-1:] if "request" in a]:
        name = request["theirs"] or request["reference"]
        console.print(
            f"  it went with the request {verbatim(name)}, as row {request['place'] + 1} of"
            f" {request['rows']:,}"
        )
    if not document["attempts"]:
        console.print("  no attempt was made to send it")
    if not document["story"]:
        return
    table = grid("when", "what", "by", "until", "became", "HTTP", "reason")
    for event in document["story"]:
        table.add(*_line(event))
    table.print(console)


def _interaction(state: str) -> str:
    return "interaction, taken back" if state == State.REMOVED else "interaction"


CHANGES = {
    "remove": "it is gone from the model: the next run takes it back",
    "replace": "it has changed in the model: the next run takes it back and sends it anew",
    "look": "the next run looks whether it is there, since the ledger is from a backup",
}


def change_text(change: Document | None) -> str | None:
    """What a mirror is about to do with a row; None: nothing."""
    if change is None:
        return None
    parts = [CHANGES[change["aim"]]]
    if change["asked_at"]:
        parts.append(f"its deletion was asked for first {moment(change['asked_at'])}")
    if change["turn_at"]:
        parts.append(f"not before its contact has a turn, {moment(change['turn_at'])}")
    if change["refused"]:
        parts.append(f"the destination refuses to delete it: {change['refused']}")
    if change["invalid"]:
        parts.append(f"as it reads now it cannot be sent: {change['invalid']}")
    return "; ".join(parts)


def because_text(because: str) -> str:
    """Why a row was what it was, behind a colon; of one that was delivered: as what."""
    return because.removeprefix("was ") if because.startswith("was the interaction ") else because


def _line(event: Document) -> tuple[str, ...]:
    """An event of a story; a decision says what the row was until then, and why."""
    why = [event["reason"]] if event["reason"] else []
    if event["was"]:
        was = f"it was {words(event['was'])}"
        why.append(f"{was}: {because_text(event['because'])}" if event["because"] else was)
    return (
        event["at"],
        event["what"],
        event["by"],
        event["until"] or "-",
        words(event["outcome"] or event["state"]),
        str(event["http_status"] or "-"),
        "; ".join(why),
    )


def without_command(text: str) -> str:
    """What stands in the way, for a page: there a button does what the command would."""
    return text.partition("; `connector")[0]
