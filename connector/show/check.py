"""What a check found, and whether the next sync would send."""

from collections.abc import Sequence

from connector.rules.deed import Document
from connector.show.blocks import MARKS
from connector.show.layout import out, verbatim


def show_check(document: Document) -> None:
    """A check: what was found of each activation, and the verdict."""
    console = out()
    for each in document["activations"]:
        console.print(f"[bold]{verbatim(each['name'])}[/]")
        for finding in each["findings"]:
            console.print(f"  {MARKS[finding['level']]} {verbatim(finding['message'])}")
    console.print(_verdict(document["activations"]))


def _verdict(activations: Sequence[Document]) -> str:
    """Whether the next sync would send."""
    levels = {finding["level"] for each in activations for finding in each["findings"]}
    names: dict[str, list[str]] = {}
    for each in activations:
        if each["outlook"]:
            names.setdefault(each["outlook"]["would"], []).append(verbatim(each["name"]))
    held, paused, nothing = (
        ", ".join(names.get(word, [])) for word in ("be_held", "be_passed_by", "send_nothing")
    )
    if "configuration" in levels:
        return "[red]A sync would not work; what is marked FIX must be changed.[/]"
    if "outside" in levels:
        return "[red]A sync would not work now; something outside stands in the way.[/]"
    if held:
        return f"[yellow]Not ready: a run of {held} would be held.[/]"
    if paused and not names.get("send") and not nothing:
        return f"[yellow]Not ready: nothing runs {paused}, since it is paused.[/]"
    but = f" {paused} is passed by." if paused else ""
    if "data" in levels and not names.get("send"):
        return f"[yellow]A sync would send nothing, and some rows wait for you.{but}[/]"
    if "data" in levels:
        return f"[yellow]A sync would work, but some rows wait for you.{but}[/]"
    if not names.get("send"):
        return f"[green]Ready: a sync would work; there is nothing to send.{but}[/]"
    return f"[green]Ready: a sync would work.{but}[/]"
