"""What a check found, and whether the next sync would send."""

from collections.abc import Sequence
from contextlib import suppress
from os.path import relpath
from pathlib import Path

from connector.rules.deed import Document
from connector.rules.words import counted
from connector.show.blocks import MARKS
from connector.show.layout import out, verbatim
from connector.show.outlook import may_send

OFFLINE_MARKS = {"error": MARKS["configuration"], "warning": MARKS["advice"]}
ANNOTATED = {
    "error": "error",
    "configuration": "error",
    "outside": "error",
    "warning": "warning",
    "data": "warning",
    "advice": "notice",
}
MESSAGE = "%\r\n"
PROPERTY = "%\r\n:,"
"""Characters that an annotation writes as %XX; the first stands for the others."""


def show_check(document: Document) -> None:
    """A check: what was found of each activation, and the verdict."""
    console = out()
    for each in document["activations"]:
        console.print(f"[bold]{verbatim(each['name'])}[/]")
        for finding in each["findings"]:
            console.print(f"  {MARKS[finding['level']]} {verbatim(finding['message'])}")
    console.print(_verdict(document["activations"]))


def show_alerts(document: Document) -> None:
    """Which alerts have got a message, and why others have not."""
    console = out()
    for number, each in enumerate(document["alerts"], start=1):
        said = "a message was sent" if each["sent"] else f"nothing was sent: {each['reason']}"
        mark = MARKS["ok" if each["sent"] else "outside"]
        console.print(f"{mark} alert {number} ({verbatim(each['called'])}): {verbatim(said)}")
    if not document["alerts"]:
        console.print("No `alerts` are configured: nobody is told anything.")


def show_offline(document: Document) -> None:
    """What was found in the files of a project."""
    console = out()
    for found in document["findings"]:
        place = verbatim(f"{found['file']}:{found['line']}:{found['column']}")
        console.print(f"{OFFLINE_MARKS[found['level']]} {place}: {verbatim(found['message'])}")
    looked = (
        f"{counted(document['activations'], 'activation')} in {counted(document['files'], 'file')}"
    )
    errors = sum(found["level"] == "error" for found in document["findings"])
    if errors:
        console.print(f"[red]{looked}: {counted(errors, 'mistake')}.[/]")
    else:
        console.print(
            f"[green]{looked}: nothing is wrong as far as it can be seen without a connection.[/]"
        )


def show_annotations(document: Document) -> None:
    """Findings as GitHub marks them in a pull request."""
    of_files = "findings" in document  # else of activations, which an offline check only counts
    checked = [document] if of_files else document["activations"]
    for found in (each for one in checked for each in one["findings"]):
        if level := ANNOTATED.get(found["level"]):
            print(_annotation(level, found))


def _annotation(level: str, found: Document) -> str:
    """A line that GitHub's runner takes for an annotation. Source:
    https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""
    where = {"file": found["file"] and relative(found["file"]), "line": found["line"]}
    about = where | {"col": found["column"], "title": f"connector: {found['rule']}"}
    properties = ",".join(
        f"{key}={_escaped(str(value), PROPERTY)}"
        for key, value in about.items()
        if value is not None
    )
    return f"::{level} {properties}::{_escaped(found['message'], MESSAGE)}"


def _escaped(text: str, characters: str) -> str:
    for character in characters:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def relative(file: str) -> str:
    """`file` as it is seen from here, where that is shorter to read and GitHub knows it."""
    with suppress(ValueError):  # on another drive
        return Path(relpath(file)).as_posix()
    return file


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
    sends = names.get("send") or any(may_send(each["outlook"]) for each in activations)
    if "data" in levels and not sends and all(e["outlook"] for e in activations):
        return f"[yellow]A sync would send nothing, and some rows wait for you.{but}[/]"
    if "data" in levels:
        return f"[yellow]A sync would work, but some rows wait for you.{but}[/]"
    if not sends and all(each["outlook"] for each in activations):
        return f"[green]Ready: a sync would work; there is nothing to send.{but}[/]"
    return f"[green]Ready: a sync would work.{but}[/]"
