"""What `schema replace` prints for people."""

from connector.ledger.replacing import Step
from connector.rules.deed import Document
from connector.rules.words import by_state
from connector.show.blocks import duration
from connector.show.layout import out, verbatim

LEFT = {
    Step.PAUSED: "its rows are being recorded; nothing is deleted yet",
    Step.RECORDED: "its rows are recorded; nothing is deleted yet",
    Step.DELETING: "its deletion was asked for",
    Step.DELETED: "it is deleted, and to be created anew",
    Step.CREATING: "it is deleted, and its creation was asked for",
    Step.CREATED: "it is created anew, and rows are being made pending",
    Step.MOVED: "it is created anew, and rows are being sent again",
}
UNTIL_THEN = "What cannot go now is missing at Engage until it can, and this command is run again."


def show_replacement(document: Document) -> None:
    """What a replacement does; or where it stands."""
    console, number = out(), f"{document['interactions']:,}"
    schema_id = f"[bold]{verbatim(document['id'])}[/]"
    match document["step"]:
        case "unchanged":
            console.print(f"{schema_id} is live as its file has it.")
            return
        case Step() as step:
            console.print(f"The replacement of {schema_id} goes on: {LEFT[step]}.")
            return
    console.print(f"Replacing {schema_id} at {verbatim(document['destination'])}:")
    for change in document["changes"]:
        console.print(f"    {verbatim(change['message'])}")
    for line in _steps(document, number):
        console.print(f"  {line}")
    for line in _warnings(document):
        console.print(f"  [yellow]{verbatim(line)}[/]")


def _steps(document: Document, number: str) -> list[str]:
    names = ", ".join(use["name"] for use in document["activations"]) or "no activation"
    return [
        f"1. {verbatim(names)}: paused until the end.",
        f"2. {number} delivered rows are mapped anew and recorded. Nothing is deleted unless all of"
        " them are there and fit the new schema.",
        "3. The schema is deleted at Engage, with every interaction of it, of all contacts:"
        f" [bold]{number}[/] that the ledger knows, and all that others have sent, which Engage"
        " does not tell and nobody sends again.",
        "4. It is created as the file has it.",
        f"5. The {number} rows are sent again, which takes"
        f" about {duration(document['seconds'])} at requests_per_second, and look-ups.",
    ]


def _warnings(document: Document) -> list[str]:
    found = [
        "Automations may start again for every interaction, and mail customers again: pause them"
        " in Engage first, as Voyado advises. While the schema is gone, those that start with it"
        " fail."
    ]
    if document["newly_required"]:
        found.append(f"Old rows need a value for {', '.join(document['newly_required'])}.")
    if document["without_created_date"]:
        found.append(
            f"{', '.join(document['without_created_date'])}: no created_date is mapped, so these"
            " interactions will be dated today."
        )
    if document["send_window"]:
        found.append(
            f"{', '.join(document['send_window'])}: sent again only inside the send window."
            f" {UNTIL_THEN}"
        )
    if document["per_contact"]:
        found.append(
            f"{', '.join(document['per_contact'])}: per_contact holds for what is sent again, too."
            f" {UNTIL_THEN}"
        )
    waiting = sum(use["to_be_sent"] for use in document["activations"])
    if waiting:
        found.append(f"{waiting:,} rows that are pending or waiting are sent with them.")
    return found


def show_replaced(document: Document) -> None:
    """How it ended."""
    console, schema_id = out(), f"[bold]{verbatim(document['id'])}[/]"
    if document["step"] == Step.CANCELLED:
        console.print(
            f"The replacement of {schema_id} is cancelled; nothing was deleted, and its activations"
            " may run."
        )
        return
    rows = by_state(document["rows"]) or "no rows"
    console.print(f"{schema_id}: [green]replaced[/]; {rows}.")
    for note in document["notes"]:
        console.print(f"  {verbatim(note)}")
