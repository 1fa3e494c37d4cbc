"""What the commands print: tables for people, one JSON document for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from connector.app import Ended
from connector.check import Finding, Level
from connector.delivery import State
from connector.errors import ConfigurationError, ConnectorError
from connector.ledger.records import COUNTS, Tally
from connector.ledger.reports import Document, Reports
from connector.preview import Preview, Sample
from connector.settings import Settings
from connector.sync import Progress

MARKS = {
    Level.OK: "[green]ok  [/]",
    Level.ADVICE: "[cyan]hint[/]",
    Level.DATA: "[yellow]rows[/]",
    Level.CONFIGURATION: "[red]FIX [/]",
    Level.OUTSIDE: "[red]STOP[/]",
}
STATUS_STYLES = {
    "succeeded": "green",
    "attention": "yellow",
    "held": "yellow",
    "stopped": "red",
    "running": "cyan",
}
PIPE_WIDTH = 160


def out() -> Console:
    """Standard output; without colours and wide where it is no terminal."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH, no_color=True)
    return console


def as_json(document: Any) -> None:
    """The one JSON document of a command."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def error(problem: str, kind: str, as_document: bool) -> None:
    """Why a command failed: a sentence on standard error, or a document on standard output."""
    if as_document:
        as_json({"error": {"kind": kind, "message": problem}})
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[red]error:[/] {escape(problem)}")


def error_text(failure: ConnectorError, settings: Settings | None) -> str:
    """The message of `failure`, with the places of its problems in the configuration."""
    if isinstance(failure, ConfigurationError) and settings is not None:
        return "\n".join(settings.located(problem) for problem in failure.problems)
    return str(failure)


# --- sync ---------------------------------------------------------------------------------------


def run_documents(ended: Sequence[Ended], reports: Reports, settings: Settings) -> list[Document]:
    """The runs of a sync, as their record in the ledger has them."""
    return [_run_document(end, reports, settings) for end in ended]


def _run_document(end: Ended, reports: Reports, settings: Settings) -> Document:
    run = reports.run(end.result.run.run_id) if end.result else None
    if run is None:
        run = {"run_id": None, "activation": end.activation, "status": "stopped"}
        run |= dict.fromkeys(COUNTS, 0)
        run |= {"watermark": None, "started_at": None, "finished_at": None, "notes": []}
    run["error"] = error_text(end.error, settings) if end.error else None
    return run


def runs(documents: Iterable[Document], empty: str) -> None:
    """A table of runs, and below it what a person should know."""
    documents = list(documents)
    console = out()
    if not documents:
        console.print(empty)
        return
    names = _interesting(documents, ("read", "delivered"), COUNTS)
    table = _table("run", "activation", "status", *(n.replace("_", " ") for n in names), "started")
    for run in documents:
        style = STATUS_STYLES.get(run["status"], "")
        table.add_row(
            run["run_id"] or "-",
            escape(run["activation"]),
            f"[{style}]{run['status']}[/]" if style else run["status"],
            *(f"{run[name]:,}" for name in names),
            _short_time(run["started_at"]),
        )
    console.print(table)
    for run in documents:
        for line in [*run["notes"], *([run["error"]] if run["error"] else [])]:
            console.print(f"[bold]{escape(run['activation'])}[/]: {escape(line)}", soft_wrap=True)


def _interesting(
    counts: Sequence[Document], always: Sequence[str], names: Sequence[str]
) -> list[str]:
    """The columns worth their width: some `always`, the others where one of them is not zero."""
    return [name for name in names if name in always or any(row[name] for row in counts)]


class Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        """The rate of `task`."""
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} rows/s", style="cyan")


class TerminalProgress(Progress):
    """Bars on a terminal's standard error: rows, rate and time left."""

    def __init__(self) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> "TerminalProgress":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def reading(self, activation: str, rows: int) -> None:
        self._bars.update(self._task(activation, "reading", None), completed=rows)

    def sending(self, activation: str, tally: Tally, total: int) -> None:
        done = tally.delivered + tally.rejected
        self._bars.update(self._task(activation, "reading", None), visible=False)
        self._bars.update(self._task(activation, "sending", total), completed=done, total=total)

    def _task(self, activation: str, verb: str, total: int | None) -> TaskID:
        key = (activation, verb)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(f"{activation}: {verb}", total=total)
        return self._tasks[key]


# --- check and preview --------------------------------------------------------------------------


def check_document(found: dict[str, list[Finding]], settings: Settings, code: int) -> Document:
    """A check, for programs."""
    return {
        "ok": code == 0,
        "activations": [
            {
                "name": name,
                "findings": [
                    {"level": f.level, "message": _finding_text(f, settings)} for f in findings
                ],
            }
            for name, findings in found.items()
        ],
    }


def check(found: dict[str, list[Finding]], settings: Settings, code: int) -> None:
    """A check, for people."""
    console = out()
    for name, findings in found.items():
        console.print(f"[bold]{escape(name)}[/]")
        for finding in findings:
            text = escape(_finding_text(finding, settings))
            console.print(f"  {MARKS[finding.level]} {text}", soft_wrap=True)
    verdicts = {
        0: "[green]Ready: a sync would work.[/]",
        1: "[yellow]A sync would work, but some rows wait for you.[/]",
        2: "[red]A sync would not work; what is marked FIX must be changed.[/]",
        3: "[red]A sync would not work now; something outside stands in the way.[/]",
    }
    console.print(verdicts[code])


def _finding_text(finding: Finding, settings: Settings) -> str:
    line, _ = settings.marks.get(finding.path, (0, 0))
    if finding.path and line:
        return f"{finding.message} ({settings.file.name}:{line})"
    return finding.message


def preview_document(
    result: Preview, requests: Sequence[Sample], seconds: float, url: str
) -> Document:
    """A preview, for programs."""
    return {
        "activation": result.activation,
        "read": result.read,
        "new": result.new,
        "already_recorded": result.already_recorded,
        "invalid": result.invalid,
        "history": result.history,
        "repeated": result.repeated,
        "without_key": result.without_key,
        "pending": result.pending,
        "reasons": [
            {"reason": reason, "count": count, "example_key": result.examples[reason]}
            for reason, count in result.reasons.most_common()
        ],
        "estimated_seconds": seconds,
        "requests": [
            {
                "row_key": sample.row_key,
                "method": "POST",
                "url": url,
                "body": json.loads(sample.body),
            }
            for sample in requests
        ],
    }


def preview(document: Document) -> None:
    """A preview, for people."""
    console = out()
    counts = {
        "would be sent": document["new"] + document["pending"],
        "already recorded, never sent again": document["already_recorded"],
        "invalid": document["invalid"],
        "row key repeated": document["repeated"],
        "without a row key": document["without_key"],
        "there before start: now": document["history"],
    }
    console.print(f"[bold]{escape(document['activation'])}[/]: {document['read']:,} rows read")
    for label, number in counts.items():
        if number or label == "would be sent":
            console.print(f"  {number:>9,}  {label}")
    if document["reasons"]:
        table = _table("rows", "reason", "example")
        for reason in document["reasons"]:
            table.add_row(
                f"{reason['count']:,}", escape(reason["reason"]), escape(reason["example_key"])
            )
        console.print(table)
    for request in document["requests"]:
        console.print(
            f"[bold]{escape(request['row_key'])}[/]  {request['method']} {request['url']}"
        )
        body = json.dumps(request["body"], indent=2, ensure_ascii=False)
        console.print(escape(body), soft_wrap=True)
    console.print(
        f"At the rate limit this takes about {_duration(document['estimated_seconds'])}."
        " Nothing was sent, nothing was written."
    )


# --- what stands where --------------------------------------------------------------------------


def status(documents: Sequence[Document]) -> None:
    """Where every activation stands."""
    console = out()
    every = [document["counts"] for document in documents]
    names = _interesting(every, ("delivered", "pending"), [state.value for state in State])
    words = [name.replace("_", " ") for name in names]
    table = _table("activation", *words, "watermark", "last run", "next run")
    for document in documents:
        counts, last = document["counts"], document["last_run"]
        table.add_row(
            escape(document["name"]) + (" [yellow](paused)[/]" if document["paused"] else ""),
            *(f"{counts[name]:,}" for name in names),
            escape((document["watermark"] or "-")[:19]),
            f"{last['status']} {_short_time(last['started_at'])}" if last else "never",
            _short_time(document["next_run"]),
        )
    console.print(table)


def story(document: Document) -> None:
    """The whole story of one row."""
    console = out()
    console.print(
        f"[bold]{escape(document['activation'])} / {escape(document['row_key'])}[/]:"
        f" {document['state'].replace('_', ' ')} since {_short_time(document['since'])}"
    )
    for label, value in (
        ("reason", document["reason"]),
        ("interaction", document["interaction_id"]),
        ("last moved by run", document["run_id"]),
        ("waiting since", document["waiting_since"]),
        ("not before", document["due_at"]),
    ):
        if value:
            console.print(f"  {label}: {escape(str(value))}", soft_wrap=True)
    if not document["attempts"]:
        console.print("  no attempt was made to send it")
        return
    table = _table("attempt", "run", "opened", "closed", "outcome", "HTTP", "reason")
    for attempt in document["attempts"]:
        table.add_row(
            str(attempt["number"]),
            attempt["run_id"],
            attempt["opened_at"],
            attempt["closed_at"] or "-",
            attempt["outcome"] or "open",
            str(attempt["http_status"] or "-"),
            escape(attempt["reason"] or ""),
        )
    console.print(table)


def quarantine(rows: Sequence[Document]) -> None:
    """Rows that wait for a person."""
    console = out()
    if not rows:
        console.print("No row waits for a person.")
        return
    table = _table("activation", "row key", "state", "since", "reason")
    for row in rows:
        table.add_row(
            escape(row["activation"]),
            escape(row["row_key"]),
            row["state"].replace("_", " "),
            _short_time(row["since"]),
            escape(row["reason"] or ""),
        )
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    numbers = {"rows", *(n.replace("_", " ") for n in (*COUNTS, *State))}
    for column in columns:
        justify: Any = "right" if column in numbers else "left"
        wrap = column == "reason"
        table.add_column(column, justify=justify, no_wrap=not wrap, overflow="fold")
    return table


def _short_time(text: str | None) -> str:
    return text[:19].replace("T", " ") + "Z" if text else "-"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def on_terminal() -> bool:
    """Whether a person looks at standard error."""
    return sys.stderr.isatty()
