"""A row as it goes and as it is shown there: test sends, and the live view of `explain`."""

import json
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from connector.rules.deed import Document
from connector.show.blocks import grid, mapped_text, notes
from connector.show.layout import out, verbatim
from connector.show.terminal import plain


def show_send_plan(document: Document) -> None:
    """What would be sent."""
    _title(document)
    show_request(document["request"])
    notes(document["notes"])


def show_sent(document: Document) -> None:
    """What came of a test send."""
    notes(document["cleaned_up"])
    answer = document["answer"]
    if answer:
        status = f"HTTP {answer['http_status']}" if answer["http_status"] else "no answer"
        known = f", interaction {answer['interaction_id']}" if answer["interaction_id"] else ""
        why = f": {answer['reason']}" if answer["reason"] else ""
        out().print(verbatim(f"Answer: {status}, {answer['outcome']}{known}{why}"))
    if document["interaction"] is not None:
        seconds = document["visible_after"]
        out().print(f"The destination showed it {seconds:.1f} s after its answer:")
        show_sides(document["differences"])
    elif document["not_shown"]:
        notes([f"It was not looked at: {document['not_shown']}."])
    if document["taken_back"]:
        notes(["It was taken back, and is not shown any more. The row itself is as it was."])
    if document["kept"]:
        notes(["It stays there. The row itself is as it was, and goes with the next sync."])
    notes(document["left"])


def show_live(live: Document) -> None:
    """A row as it is now, on all sides."""
    if live["row"] is not None:
        out().print("[bold]The row now[/]")
        _block(live["row"])
    if live["body"] is not None:
        out().print("[bold]The body that it gives[/]")
        _block(live["body"])
    if live["interaction"] is not None:
        out().print("[bold]The interaction as it is shown there[/]")
        _block(live["interaction"])
    if live["differences"]:
        show_sides(live["differences"], "the row now")
    for wrong in live["wrong"]:
        out().print(f"[bold]{verbatim(wrong['said'])}[/]\n  {verbatim(mapped_text(wrong))}")
    notes(live["notes"])
    if live["masked"]:
        notes(["Values are masked; --show-values shows them. Nothing of this was stored."])


def show_request(request: Document) -> None:
    """A request, with its body."""
    out().print(f"{request['method']} {verbatim(request['url'])}")
    _block(request["body"])


def show_sides(sides: Sequence[Document], ours: str = "sent") -> None:
    """Both sides of every property; `ours`: what the first one is."""
    table = grid("property", ours, "shown there", "")
    for side in sides:
        mark = "" if side["same"] else side["why"]
        table.add(side["property"], _text(side["ours"]), _text(side["theirs"]), mark)
    table.print(out())
    different = sum(not side["same"] for side in sides)
    notes(["No difference." if not different else f"{different} of {len(sides)} differ."])


def _title(document: Document) -> None:
    name, key = verbatim(document["activation"]), verbatim(document["row_key"])
    out().print(f"[bold]{name} / {key}[/]")


def _block(content: Any) -> None:
    text = content
    if not isinstance(content, str):
        text = json.dumps(content, indent=2, ensure_ascii=False)
    out().print(Text("\n".join(map(plain, text.splitlines()))))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
