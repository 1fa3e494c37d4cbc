"""What a probe prints: what it will do, and a table of what a destination answered."""

from typing import Any, Protocol

from rich.table import Table

from connector.rules.deed import Document
from connector.rules.probing import DURATIONS
from connector.rules.words import counted
from connector.show.blocks import notes
from connector.show.layout import out, verbatim


class Planned(Protocol):
    """What is told before."""

    @property
    def destination(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def notes(self) -> list[str]: ...


class Done(Protocol):
    """What is told afterwards."""

    def document(self) -> Document: ...


def show_probe_plan(plan: Planned) -> None:
    """What a probe would do."""
    out().print(f"Measure [bold]{verbatim(plan.destination)}[/] at {verbatim(plan.url)}")
    notes(plan.notes)


def show_probe(done: Done) -> None:
    """The answers, then what does not agree with what was assumed, then what was left."""
    document, console = done.document(), out()
    if document["answers"]:
        table = Table(box=None, pad_edge=False)
        for heading in ("", "question", "answer", "assumed"):
            table.add_column(heading, overflow="fold")
        for each in document["answers"]:
            table.add_row(
                MARKS[each["agrees"]],
                verbatim(each["question"]),
                verbatim(said(each)),
                verbatim(each["assumed"]),
            )
        console.print(table)
    for each in document["answers"]:
        if each["means"]:
            console.print(f"[yellow]{verbatim(each['question'])}[/]: {verbatim(each['means'])}.")
    for each in document["answers"]:
        if each["answer"] is None:
            console.print(f"{verbatim(each['question'])} has no answer: {verbatim(why(each))}")
    _changes(document)
    _settle_after(document)
    _taken_back(document)


MARKS = {True: "[green]ok[/]", False: "[yellow]![/]", None: "?"}


def said(answer: Document) -> str:
    """An answer, for people."""
    value = answer["answer"]
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g} s" if answer["question"] in DURATIONS else str(value)


def why(answer: Document) -> str:
    """Why there is no answer."""
    reasons = [str(each["why"]) for each in answer["evidence"] if each.get("why")]
    return reasons[-1] if reasons else "it cannot be told from what was seen"


def _changes(document: Document) -> None:
    if not document["compared_with"]:
        return
    before = document["compared_with"]
    if not document["changed_since"]:
        out().print(f"Nothing has changed since {before}.")
    for each in document["changed_since"]:
        change = f"{each['question']} was {told(each['before'])} at {before}, and is"
        out().print(f"[yellow]Changed:[/] {verbatim(change)} {verbatim(told(each['now']))}.")


def told(value: Any) -> str:
    """A value as JSON has it."""
    return "unknown" if value is None else str(value)


def _settle_after(document: Document) -> None:
    wait = document["settle_after"]
    if wait and wait["seen_after_seconds"] is not None:
        out().print(
            f"An interaction was shown after {wait['seen_after_seconds']:g} s;"
            f" settle_after: {wait['proposed']} is enough."
        )


def _taken_back(document: Document) -> None:
    made, back = document["made"], document["took_back"]
    out().print(f"{counted(made, 'interaction')} made, {back:,} taken back.")
    if document["taken_back_of_earlier_calls"]:
        what = counted(document["taken_back_of_earlier_calls"], "interaction")
        out().print(f"{what} of earlier calls taken back.")
    for reason in document["left"]:
        out().print(f"[red]Left:[/] {verbatim(reason)}; `connector probe` once more tries again.")
