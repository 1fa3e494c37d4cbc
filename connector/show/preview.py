"""What a sync would do now, with the requests that it would send."""

import json
from collections.abc import Sequence

from rich.text import Text

from connector.rules.deed import Document
from connector.rules.words import counted, rows, share_text
from connector.show.blocks import MARKS, cap_text, duration, figures, grid, moment
from connector.show.layout import out, verbatim
from connector.show.outlook import MIRRORED, outlook_text
from connector.show.terminal import plain

OUTLOOK_STYLES = {"be_held": "yellow", "be_passed_by": "yellow", "be_stopped": "red"}


def show_preview(document: Document) -> None:
    """A preview: the figures, what is to be known of them, the requests, and the outlook."""
    _show_figures(document)
    _show_requests(document["requests"])
    console, outlook = out(), document["outlook"]
    if told := turns_text(document["per_contact"]):
        console.print(Text(told))
    if told := outlook_text(outlook):
        console.print(Text(told, OUTLOOK_STYLES.get(outlook["would"], "")))
    per, sends = document["per_contact"], document["new"] + document["pending"]
    capped = bool(per and per["wait"])
    if sends + sum(document.get(n, 0) for n in MIRRORED) and not (capped and not per["now"]):
        if number := document.get("request_count"):
            console.print(f"It goes in {counted(number, 'request')}, or a few more.")
        what = "what has a turn now" if capped else "this"
        took = duration(document["estimated_seconds"])
        console.print(f"At the rate limit {what} takes about {took}.")
    console.print("Nothing was sent, nothing was written.")


def _show_figures(document: Document) -> None:
    console = out()
    console.print(f"[bold]{verbatim(document['activation'])}[/]: {rows(document['read'])} read")
    again = "read again: recorded before, and none sent twice"
    left = document["outlook"].get("left", 0)
    figures(
        (document["new"] + document["pending"] - left, would_be_sent(document), True),
        (document["pending"], "of them recorded before", False),
        (document["resting"], rests_text(document), False),
        (left, "new, and left to the run after that", False),
        (document["already_recorded"], again, False),
        (document["invalid"], "invalid", False),
        (document["rejected"], "would be rejected: no contact can have the identifier", False),
        (document["repeated"], "row key repeated", False),
        (document["without_key"], "without a row key", False),
        (document["history"], "there before start: now", False),
    )
    if "removed" in document:
        _show_mirror(document)
    elif document["edited"]:
        console.print(f"  {_edit(document)}")
    for note in document["notes"]:
        console.print(f"{MARKS['data']} {verbatim(note)}")
    if document["reasons"]:
        table = grid("rows", "reason", "example")
        for reason in document["reasons"]:
            table.add(f"{reason['count']:,}", reason["reason"], reason["example_key"])
        table.print(console)
    if contacts := contacts_text(document["contacts"]):
        console.print(contacts)
    for message in document["mapping"]:
        console.print(f"{MARKS['advice']} {verbatim(message)}")


def _show_mirror(document: Document) -> None:
    """What a mirror would take back, and send again."""
    console, examples = out(), document["examples"]
    console.print(f"  {counted(document['live'], 'row')} at the destination now.")
    for name, words in MIRRORED.items():
        if number := document[name]:
            such = ", ".join(map(plain, examples.get(name, ())))
            console.print(Text(f"  {number:,} {words}, such as {such}"))
    if document["empty"]:
        such = ", ".join(map(plain, examples.get("live", ())))
        console.print(Text(f"  The model has no row at all; live are rows such as {such}"))


def _show_requests(requests: Sequence[Document]) -> None:
    console = out()
    for request in requests:
        others = f" and {more:,} more" if (more := request.get("rows", 1) - 1) else ""
        console.print(
            f"[bold]{verbatim(request['row_key'])}[/]{others}  {request['method']} {request['url']}"
        )
        body = request["body"]
        if body is None:
            continue
        if not isinstance(body, str):  # such as a form
            body = json.dumps(body, indent=2, ensure_ascii=False)
        console.print(Text("\n".join(map(plain, body.splitlines()))))


def turns_text(per: Document | None) -> str | None:
    """How many rows have a turn now, and how many would wait for one; None without a cap."""
    if per is None:
        return None
    if not per["wait"]:
        return f"No row would wait for a turn: {cap_text(per)}."
    have = "has" if per["now"] == 1 else "have"
    return (
        f"{counted(per['now'], 'row')} {have} a turn now, and {counted(per['wait'], 'row')} would"
        f" wait for a turn, since {cap_text(per)}; the first could go at {moment(per['next_at'])}."
    )


def _edit(document: Document) -> str:
    """What an edit of the configuration means for rows."""
    names = ", ".join(document["edited"])
    eligible = document["new"] + document["behind"]
    text = (
        f"Edited since the last run: {names}. 0 rows are sent again, {eligible:,} newly eligible."
    )
    if document["behind"]:
        text += (
            f" {document['behind']:,} of them stand behind the watermark: only"
            f" `connector sync {document['activation']} --full` takes them up."
        )
    return text


def would_be_sent(document: Document) -> str:
    """What a run would do with the rows that are there."""
    would, per = document["outlook"]["would"], document["per_contact"]
    if would not in ("send", "send_nothing"):
        return "would be sent, if it could go"
    if "send window" in (document["outlook"]["because"] or ""):
        return "would be sent, once the window opens"
    if not (per and per["wait"]):
        return "would be sent"
    return f"would be sent, {'now or ' if per['now'] else ''}in their turn"


def rests_text(document: Document) -> str:
    """Until when recorded rows rest that are not to be sent now."""
    which = "and the first" if document["resting"] > 1 else "which"
    when = moment(document["next_try"]) if document["next_try"] else "another time"
    why = f" ({document['rests_for']})" if document["rests_for"] else ""
    return f"recorded before, {which} may be tried again at {when}{why}"


def contacts_text(contacts: Document | None) -> str | None:
    """How many contacts there are, and how many of a few of them were found; None where no row
    names one."""
    if not contacts or not contacts["identifiers"]:
        return None
    known = (
        f", {contacts['cached']:,} of them known from earlier runs" if contacts["cached"] else ""
    )
    text = f"{contacts['identifiers']:,} distinct contact identifiers{known}."
    sample = contacts["sample"]
    if not sample or not sample["identifiers"]:
        return text
    belong = "belongs" if sample["found"] == 1 else "belong"
    return (
        f"{text} Of the {sample['identifiers']:,} in the rows shown, {sample['found']:,} {belong}"
        f" to a contact ({share_text(sample['match_rate'])}): a sample, not the rate of all."
    )
