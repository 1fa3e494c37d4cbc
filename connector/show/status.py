"""What needs a person, where every activation stands, and who follows the schedules."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from connector.rules.deed import Document
from connector.rules.delivery import State, waiting_for_person
from connector.rules.lanes import Lane, lane_text
from connector.rules.needs import BAD, Need, most_pressing, needs_of
from connector.rules.receipt import FOUND
from connector.rules.words import counted, plural, wait_for, words
from connector.show.blocks import (
    STATUS_STYLES,
    approval_text,
    cap_text,
    grid,
    interesting,
    lasting,
    match_rate,
    moment,
    still_rests,
)
from connector.show.layout import Cell, out, verbatim

MOST = 40
"""Activations, and needs, that a terminal is told unasked."""


def show_status(
    document: Document, of_project: Sequence[Need] = (), everything: bool = False
) -> None:
    """What needs a person, in the project itself and in activations, then a table. On a terminal,
    of very many activations only those that need somebody or run, unless `everything` is
    wanted."""
    console, documents = out(), document["activations"]
    if not documents:
        console.print("No activation is configured.")
        return
    whole = everything or not console.is_terminal
    _needs(console, [*of_project, *(need for each in documents for need in needs_of(each))], whole)
    whole = whole or len(documents) <= MOST
    shown = [each for each in documents if whole or _is_of_note(each)]
    if shown:
        _table(console, shown)
    if left := [] if whole else [each for each in documents if not _is_of_note(each)]:
        states = Counter(words(each["state"]) for each in left)
        kinds = ", ".join(f"{number:,} {state}" for state, number in states.most_common())
        others = "" if not shown else "more "
        console.print(
            f"{len(left):,} {others}{plural(len(left), 'activation')} without trouble: {kinds};"
            " --all shows them."
        )
    _more(console, shown)
    _verifications(console, shown)
    _services(console, documents)


def _is_of_note(document: Document) -> bool:
    return bool(document["needs"]) or document["state"] not in ("succeeded", "paused", "never run")


def _needs(console: Console, found: Sequence[Need], whole: bool) -> None:
    """What a person has to do, the most pressing first, a line each."""
    needs = most_pressing(found)
    if not needs:
        console.print("[green]Nothing needs a person.[/]")
    else:
        console.print("[bold]Needs a person:[/]")
    for need in needs if whole else needs[:MOST]:
        style = "red" if need.tone == BAD else "yellow"
        text, command = verbatim(need.text), verbatim(need.command)
        console.print(f"  [{style}]{verbatim(need.name)}[/]: {text} -> [bold]{command}[/]")
    if not whole and len(needs) > MOST:
        console.print(f"  … and {len(needs) - MOST:,} more; --all shows them.")
    console.print()


def _table(console: Console, documents: Sequence[Document]) -> None:
    every = [document["counts"] for document in documents]
    names = interesting(every, ("delivered", "pending"), [state.value for state in State])
    matched = ["matched"] if any(match_rate(d["last_run"]) for d in documents) else []
    table = grid(
        *("activation", "state", *map(words, names), *matched),
        *("watermark", "lag", "last run", "next run"),
    )
    for document in documents:
        counts, last = document["counts"], document["last_run"]
        table.add(
            document["name"],
            Cell(_state_of(document), STATUS_STYLES.get(document["state"], "")),
            *(f"{counts[name]:,}" for name in names),
            *([match_rate(last) or "-"] if matched else []),
            document["watermark"] or "-",
            "-" if document["lag"] is None else lasting(document["lag"]),
            _last_run(last) if last else "never",
            _next_run(document),
        )
    table.print(console)


def _more(console: Console, documents: Sequence[Document]) -> None:
    """What else is to be known of some: approvals, windows, turns, shares."""
    for document in documents:
        if document["held"] and (hold := document["hold"]) and hold["approval"]:
            name, held = verbatim(document["name"]), verbatim(document["held"])
            does = "the next run lets it go"
            if document["refused"] or document["paused"]:
                does = "a run lets it go, once one begins"
            text = f"approved {approval_text(hold['approval'])}; {does}."
            console.print(f"[bold]{name}[/]: {held}")
            console.print(f"[bold]{name}[/]: {verbatim(text)}")
    for document in documents:
        if (window := document["window"]) and not window["open"]:
            until = moment(window["opens_at"]) if window["opens_at"] else "further notice"
            name = verbatim(document["name"])
            console.print(f"[bold]{name}[/]: nothing is sent until {until}, outside its window.")
        if (per := document["per_contact"]) and per["wait"]:
            name, first = verbatim(document["name"]), moment(per["next_at"])
            console.print(
                f"[bold]{name}[/]: {wait_for(per['wait'])} a turn, since {cap_text(per)};"
                f" the first may go at {first}."
            )
    for document in documents:
        if resting := still_rests(document):
            console.print(f"[bold]{verbatim(document['name'])}[/]: {verbatim(resting)}")
    for document in documents:
        lane = Lane(document["name"], document["priority"], document["share"])
        if among := lane_text(lane):
            console.print(f"[bold]{verbatim(document['name'])}[/]: {among}.")


def _state_of(document: Document) -> str:
    """How an activation stands, with what else is to be known of it."""
    more = ["held"] if document["held"] and document["state"] != "held" else []
    if document["state"] == "paused" and waiting_for_person(document["counts"]):
        more.append("rows wait")
    if document["suspect"]:
        more.append("from a backup")
    return ", ".join([words(document["state"]), *more])


def _last_run(run: Document) -> str:
    asked = f" by {run['by']}" if run["by"] else ""
    return f"{run['status']} {moment(run['started_at'])}{asked}"


def _next_run(document: Document) -> str:
    if document["next_run"]:
        return moment(document["next_run"])
    if document["schedule"] is None:
        return "by hand"
    return "paused" if document["paused"] else "nothing serves"


def _verifications(console: Console, documents: Sequence[Document]) -> None:
    """What the newest verification of each activation has found."""
    for document in documents:
        if found := document["verification"]:
            last, name = found["last"], verbatim(document["name"])
            due = f"; next {moment(found['next'])}" if found["next"] else ""
            if last is None:
                console.print(f"[bold]{name}[/]: not verified yet{due}.")
                continue
            numbers = ((last[kind], kind) for kind in FOUND)
            amiss = ", ".join(f"{number:,} {kind}" for number, kind in numbers if number)
            text = amiss or ("ok" if last["result"] == "ok" else words(last["result"]))
            console.print(
                f"[bold]{name}[/]: verified {moment(last['began_at'])}"
                f" ({counted(last['rows'], 'row')} looked at): {text}{due}."
            )


def _services(console: Console, documents: Sequence[Document]) -> None:
    """Who follows the schedules, or that nobody does."""
    services = {s["id"]: s for document in documents for s in document["services"]}
    for service in services.values():
        console.print(
            f"`connector serve` follows schedules since {moment(service['started_at'])}"
            f" ({verbatim(service['where'])})."
        )
    left = [d["name"] for d in documents if d["schedule"] and not d["paused"] and not d["services"]]
    if left:
        console.print(
            f"Nothing follows the {'schedule' if len(left) == 1 else 'schedules'} of"
            f" {verbatim(', '.join(left))}: `connector serve` does, while it runs."
        )
