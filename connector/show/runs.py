"""Runs as a table: those of a sync just now, or those of the past."""

import re
from collections.abc import Iterator, Sequence

from connector.ledger.history import ENDED_WELL
from connector.ledger.records import COUNTS
from connector.rules.deed import Document
from connector.rules.words import are, by_state, counted, rows, wait_for, words
from connector.show.blocks import (
    STATUS_STYLES,
    grid,
    interesting,
    match_rate,
    moment,
    rests,
    too_young,
)
from connector.show.layout import Cell, out, verbatim
from connector.sync.result import NOT_BEGUN

PROBLEMS = re.compile(r'\n(?=\S+:\d+:\d+: |activation ")')


def show_runs(document: Document, narrowed: bool = False, older: int | None = None) -> None:
    """The newest runs; of those with one tag, the sum. `narrowed`: not all were asked for;
    `older`: the page on which the next ones are."""
    totals = document.get("totals")
    nothing = "There was no run yet." if totals is None else "There is no run with that tag."
    _show(document["runs"], "There is no such run." if narrowed else nothing, history=True)
    if older is not None:
        out().print(f"There are older ones; --page {older} shows them.")
    elif pruned := document.get("pruned"):
        out().print(pruned_text(pruned))
    if totals and totals["runs"]:
        told = [f"{totals[name]:,} {words(name)}" for name in COUNTS if totals[name]]
        end = "nothing is left" if totals["done"] else "not done"
        runs = counted(totals["runs"], "run")
        out().print(f"In all: {', '.join([runs, *told])}; {end}.")


def pruned_text(pruned: Document) -> str:
    """That there are no older runs any more."""
    ended = f"{counted(pruned['runs'], 'run')} that had ended before {moment(pruned['before'])}"
    return f"{ended} {'is' if pruned['runs'] == 1 else 'are'} pruned (ledger.keep)."


def _show(documents: Sequence[Document], empty: str, history: bool) -> None:
    """A table of runs, and below it what a person should know. `history`: an activation may have
    several, so that what is told of them must name the run."""
    console = out()
    if not documents:
        console.print(empty)
        return
    names = interesting(documents, ("read", "delivered"), (*COUNTS, "undone"))
    matched = ["matched"] if any(match_rate(run) for run in documents) else []
    more = [name for name in ("by", "tag") if history and any(run[name] for run in documents)]
    table = grid("run", "activation", "status", *map(words, names), *matched, "started", *more)
    for run in documents:
        table.add(
            run["run_id"] or "-",
            run["activation"],
            Cell(run["status"], STATUS_STYLES.get(run["status"], "")),
            *(f"{run[name]:,}" for name in names),
            *([match_rate(run) or "-"] if matched else []),
            moment(run["started_at"]),
            *(run[name] or "-" for name in more),
        )
    table.print(console)
    newest = {run["activation"]: run for run in reversed(documents)}
    for run in documents:
        lines = [*run["notes"], *(PROBLEMS.split(run["error"]) if run["error"] else [])]
        if history and run is newest[run["activation"]]:  # of earlier ones that is over
            lines += later(run)
        for line in lines:
            which = f"{run['run_id']} " if history else ""
            console.print(f"{which}[bold]{verbatim(run['activation'])}[/]: {verbatim(line)}")
    for name in dict.fromkeys(
        run["activation"] for run in documents if history and _inherited(run)
    ):
        console.print(
            f"[bold]{verbatim(name)}[/]: where a run is at attention and has left nothing itself,"
            " rows of earlier runs waited for a person when it ended."
        )


def _inherited(run: Document) -> bool:
    """Whether a run is at attention for what others have left."""
    own = run["invalid"] or run["rejected"] or run["in_doubt"] or run["notes"]
    return bool(run["status"] == "attention" and not own)


def show_synced(document: Document, paused: Sequence[tuple[str, str]], timed: bool) -> None:
    """The runs of a sync, what waits for a person after them, and what was passed by; of a `timed`
    one, what is left."""
    nothing = "Nothing was run." if paused else "There is no activation to run."
    _show(document["runs"], nothing, history=False)
    for run in document["runs"]:
        if submitted := run["submitted"]:
            out().print(
                f"[bold]{verbatim(run['activation'])}[/]: {are(submitted)} being processed by the"
                " destination; the next sync asks about them."
            )
        for line in later(run):
            out().print(f"[bold]{verbatim(run['activation'])}[/]: {line}")
        name, doubts = verbatim(run["activation"]), run["waits"]["in_doubt"] - run["too_young"]
        if doubts and run["status"] == "stopped":
            out().print(f"[bold]{name}[/]: the next run asks about {rows(doubts)} in doubt first.")
            doubts = 0
        waits = {**run["waits"], "in_doubt": doubts}
        if waits := {state: number for state, number in waits.items() if number}:
            number = sum(waits.values())
            out().print(
                f"[bold]{name}[/]: {by_state(waits)} {'waits' if number == 1 else 'wait'} for a"
                f" person; `connector quarantine list {name}` says why."
            )
    for run in document["runs"] if timed else ():
        name = verbatim(run["activation"])
        if run["status"] == NOT_BEGUN:
            out().print(f"[bold]{name}[/]: not begun, since the time was over.")
        elif run["status"] in ENDED_WELL and not run["done"]:
            out().print(f"[bold]{name}[/]: not done when the time was over; the next sync goes on.")
    for name, remedy in paused:
        out().print(f"[bold]{verbatim(name)}[/]: passed by, since it is paused; {verbatim(remedy)}")


def later(run: Document) -> Iterator[str]:
    """What a run has left to be sent later, and when."""
    if opens := run["next_window"]:
        number = run["for_window"]
        rows = f"{wait_for(number)} the window" if number else "nothing is sent outside the window"
        yield f"{rows}, which opens at {moment(opens)}."
    if number := run["for_turn"]:
        first = f"; the first may go at {moment(run['next_turn'])}" if run["next_turn"] else ""
        who = "its contact has" if number == 1 else "their contacts have"
        yield f"{wait_for(number)} a turn, as {who} had what per_contact allows{first}."
    if run["resting"]:
        yield rests(run)
    if run["too_young"]:
        yield too_young(run)
