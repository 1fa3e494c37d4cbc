"""What the commands print: tables for people, one JSON document for programs."""

from __future__ import annotations  # what only a type names is not imported

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

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

from connector.delivery import State
from connector.errors import ConfigurationError, ConnectorError
from connector.interaction import instant_text
from connector.ledger.records import COUNTS, Tally
from connector.progress import Progress

if TYPE_CHECKING:
    from connector.app import Ended
    from connector.check import Finding
    from connector.ledger.decisions import Case
    from connector.ledger.reports import Document, Reports
    from connector.preview import Preview, Sample
    from connector.quarantine import Decided
    from connector.settings import Settings
    from connector.verify import Verification

MARKS = {
    "ok": "[green]ok  [/]",
    "advice": "[cyan]hint[/]",
    "data": "[yellow]rows[/]",
    "configuration": "[red]FIX [/]",
    "outside": "[red]STOP[/]",
}
STATUS_STYLES = {
    "succeeded": "green",
    "attention": "yellow",
    "held": "yellow",
    "stopped": "red",
    "running": "cyan",
}
PIPE_WIDTH = 160
LONGEST_LIST = 20
MOST_ROWS = 20
MOST_GROUPS = 20
"""How many lines a person is shown unasked."""


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
        run |= dict.fromkeys((*COUNTS, "undone"), 0)
        run |= {"watermark": None, "started_at": None, "finished_at": None, "notes": []}
    elif end.result and run["finished_at"] is None:  # the ledger could not take the end of the run
        run |= {"status": end.result.status, "notes": end.result.tally.notes}
        run |= {name: getattr(end.result.tally, name) for name in COUNTS}
        run["contacts"] = None
    run["error"] = error_text(end.error, settings) if end.error else None
    return run


def runs(documents: Iterable[Document], empty: str) -> None:
    """A table of runs, and below it what a person should know."""
    documents = list(documents)
    console = out()
    if not documents:
        console.print(empty)
        return
    names = _interesting(documents, ("read", "delivered"), (*COUNTS, "undone"))
    matched = ["matched"] if any(_match_rate(run) for run in documents) else []
    words = (n.replace("_", " ") for n in names)
    table = _table("run", "activation", "status", *words, *matched, "started")
    for run in documents:
        style = STATUS_STYLES.get(run["status"], "")
        table.add_row(
            run["run_id"] or "-",
            escape(run["activation"]),
            f"[{style}]{run['status']}[/]" if style else run["status"],
            *(f"{run[name]:,}" for name in names),
            *([_match_rate(run) or "-"] if matched else []),
            _short_time(run["started_at"]),
        )
    console.print(table)
    for run in documents:
        for line in [*run["notes"], *([run["error"]] if run["error"] else [])]:
            console.print(f"[bold]{escape(run['activation'])}[/]: {escape(line)}", soft_wrap=True)


def _match_rate(run: Document | None) -> str | None:
    """The share of the contact identifiers of a run that belong to a contact."""
    rate = ((run or {}).get("contacts") or {}).get("match_rate")
    return None if rate is None else f"{rate:.1%}"


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

    def __enter__(self) -> TerminalProgress:
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

    def verifying(self, run_id: str, done: int, total: int) -> None:
        """`done` of `total` rows of a run were read back."""
        self._bars.update(self._task(run_id, "reading back", total), completed=done)

    def counting(self, activation: str, verb: str, done: int, total: int) -> None:
        self._bars.update(self._task(activation, verb, total), completed=done, total=total)

    def _task(self, activation: str, verb: str, total: int | None) -> TaskID:
        key = (activation, verb)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(f"{activation}: {verb}", total=total)
        return self._tasks[key]


@contextmanager
def progress(as_document: bool) -> Iterator[Progress]:
    """Bars where a person sees them."""
    if as_document or not on_terminal():
        yield Progress()
        return
    with TerminalProgress() as bars:
        yield bars


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
        "edited": result.edited,
        "behind": result.behind,
        "reasons": [
            {"reason": reason, "count": count, "example_key": result.examples[reason]}
            for reason, count in result.reasons.most_common()
        ],
        "contacts": _identifiers_document(result),
        "mapping": [problem.message for problem in result.mapping],
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


def _identifiers_document(result: Preview) -> Document | None:
    if result.identifiers is None:
        return None
    sample = result.identifiers.sample
    return {
        "identifiers": result.identifiers.number,
        "cached": result.identifiers.cached,
        "malformed": result.identifiers.malformed,
        "sample": sample.document if sample else None,
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
    if document["edited"]:
        console.print(f"  {_edit(document)}", soft_wrap=True)
    if document["reasons"]:
        table = _table("rows", "reason", "example")
        for reason in document["reasons"]:
            table.add_row(
                f"{reason['count']:,}", escape(reason["reason"]), escape(reason["example_key"])
            )
        console.print(table)
    if document["contacts"] and document["contacts"]["identifiers"]:
        console.print(contacts_text(document["contacts"]), soft_wrap=True)
    for message in document["mapping"]:
        console.print(f"{MARKS['advice']} {escape(message)}", soft_wrap=True)
    for request in document["requests"]:
        console.print(
            f"[bold]{escape(request['row_key'])}[/]  {request['method']} {request['url']}"
        )
        body = json.dumps(request["body"], indent=2, ensure_ascii=False)
        console.print(escape(body), soft_wrap=True)
    console.print(
        f"At the rate limit this takes about {duration(document['estimated_seconds'])}."
        " Nothing was sent, nothing was written."
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


def contacts_text(contacts: Document) -> str:
    """How many contacts there are, and how many of a few of them were found."""
    known = (
        f", {contacts['cached']:,} of them known from earlier runs" if contacts["cached"] else ""
    )
    text = f"{contacts['identifiers']:,} distinct contact identifiers{known}."
    sample = contacts["sample"]
    if not sample or not sample["identifiers"]:
        return text
    return (
        f"{text} Of the {sample['identifiers']:,} in the rows shown, {sample['found']:,} belong to"
        f" a contact ({sample['match_rate']:.1%}): a sample, not the rate of all."
    )


# --- what stands where --------------------------------------------------------------------------


def status(documents: Sequence[Document]) -> None:
    """Where every activation stands."""
    console = out()
    every = [document["counts"] for document in documents]
    names = _interesting(every, ("delivered", "pending"), [state.value for state in State])
    words = [name.replace("_", " ") for name in names]
    matched = ["matched"] if any(_match_rate(d["last_run"]) for d in documents) else []
    table = _table("activation", *words, *matched, "watermark", "last run", "next run")
    for document in documents:
        counts, last = document["counts"], document["last_run"]
        table.add_row(
            escape(document["name"])
            + (" [yellow](paused)[/]" if document["paused"] else "")
            + (" [yellow](held)[/]" if document["held"] else "")
            + (" [yellow](from a backup)[/]" if document["suspect"] else ""),
            *(f"{counts[name]:,}" for name in names),
            *([_match_rate(last) or "-"] if matched else []),
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
    if document["suspect"]:
        console.print("  it is read back before it is sent: the ledger is from a backup")
    if document["held"]:
        console.print(f"  {escape(document['held'])}", soft_wrap=True)
    if not document["attempts"]:
        console.print("  no attempt was made to send it")
    if not document["story"]:
        return
    table = _table("when", "what", "by", "until", "became", "HTTP", "reason")
    for event in document["story"]:
        table.add_row(*map(escape, _line(event)))
    console.print(table)


def _line(event: Document) -> tuple[str, ...]:
    """An event of a story; a decision says what the row was until then, and why."""
    why = [event["reason"]] if event["reason"] else []
    if event["was"]:
        was = f"it was {event['was'].replace('_', ' ')}"
        why.append(f"{was}: {event['because']}" if event["because"] else was)
    return (
        event["at"],
        event["what"],
        event["by"],
        event["until"] or "-",
        (event["outcome"] or event["state"]).replace("_", " "),
        str(event["http_status"] or "-"),
        "; ".join(why),
    )


# --- quarantine ---------------------------------------------------------------------------------


def quarantine(rows: Sequence[Document], groups: Sequence[Document]) -> None:
    """Rows that wait for a person: why, and then one by one."""
    console = out()
    if not rows:
        console.print("No row waits for a person.")
        return
    total = sum(group["count"] for group in groups)
    if total > len(groups):
        _groups(console, groups)
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
    if total > len(rows):
        console.print(f"… and {total - len(rows):,} more; --limit shows more of them.")
    console.print(WHAT_CAN_BE_DONE)


WHAT_CAN_BE_DONE = (
    "connector quarantine retry: map invalid and rejected rows again; settle: say what became of a"
    " row in doubt; discard: give rows up."
)


def _groups(console: Console, groups: Sequence[Document]) -> None:
    table = _table("rows", "activation", "state", "reason", "example")
    for group in groups[:MOST_GROUPS]:
        table.add_row(
            f"{group['count']:,}",
            escape(group["activation"]),
            group["state"].replace("_", " "),
            escape(group["reason"] or ""),
            escape(group["example_key"]),
        )
    console.print(table)
    if len(groups) > MOST_GROUPS:
        console.print(f"… and {len(groups) - MOST_GROUPS:,} more reasons; --reason narrows down.")
    console.print()


def decided_document(decided: Decided) -> Document:
    """What came of a decision, for programs."""
    return {
        "activation": decided.activation,
        "by": decided.person.text,
        "note": decided.person.note,
        "rows": [
            {
                "row_key": row.row_key,
                "decision": row.decision,
                "was": row.was,
                "state": row.state,
                "reason": row.reason,
                "interaction_id": row.interaction_id,
                "due_at": instant_text(row.due_at) if row.due_at else None,
            }
            for row in decided.rows
        ],
        "missing": [
            {"row_key": case.row_key, "state": case.state, "reason": case.reason}
            for case in decided.missing
        ],
    }


def retried(decided: Decided) -> None:
    """Rows that were tried again, for people."""
    console = out()
    name = escape(decided.activation)
    if not decided.rows and not decided.missing:
        console.print(f"[bold]{name}[/]: no such row is invalid or rejected; nothing was changed.")
        return
    invalid = [row for row in decided.rows if row.state is State.INVALID]
    if pending := len(decided.rows) - len(invalid):
        them = "it" if pending == 1 else "them"
        console.print(
            f"[bold]{name}[/]: {_are(pending)} pending now; the next `connector sync` sends {them}."
        )
    if invalid:
        console.print(f"[bold]{name}[/]: {_are(len(invalid))} invalid, as the model is now:")
        _some_rows(console, [(row.row_key, row.reason) for row in invalid])
    if decided.missing:
        console.print(
            f"[bold]{name}[/]: {_are(len(decided.missing))} not in the model any more, and not"
            " changed:"
        )
        _some_rows(console, [(case.row_key, case.reason) for case in decided.missing])


def settled(decided: Decided) -> None:
    """A doubt that was settled, for people."""
    (row,) = decided.rows
    place = f"[bold]{escape(decided.activation)} / {escape(row.row_key)}[/]"
    if row.state is State.DELIVERED:
        id = f" as the interaction {escape(row.interaction_id)}" if row.interaction_id else ""
        what = f"delivered{id}; it is never sent again."
    elif row.due_at:
        until = _short_time(instant_text(row.due_at + timedelta(seconds=1)))
        what = (
            "pending again. Its last request may still be under way, so it is not sent before"
            f" {until}; the first `connector sync` after that sends it."
        )
    else:
        what = "pending again; the next `connector sync` sends it."
    out().print(f"{place}: {what}", soft_wrap=True)


def discarding(cases: Sequence[Case]) -> str:
    """What a person is told before rows are given up."""
    states = Counter(case.state for case in cases)
    which = ", ".join(f"{n:,} {state.value.replace('_', ' ')}" for state, n in states.most_common())
    doubts = _may_have_arrived(states[State.IN_DOUBT], len(cases))
    return f"{_are(len(cases))} to be discarded ({which}), for good: never sent.{doubts}"


def discarded(decided: Decided) -> None:
    """Rows that were given up, for people."""
    name = f"[bold]{escape(decided.activation)}[/]"
    if not decided.rows:
        out().print(f"{name}: no such row is in quarantine; nothing was changed.")
        return
    doubts = sum(row.was is State.IN_DOUBT for row in decided.rows)
    told = _may_have_arrived(doubts, len(decided.rows))
    out().print(
        f"{name}: {_are(len(decided.rows))} discarded and never sent.{told}", soft_wrap=True
    )


def _may_have_arrived(doubts: int, among: int) -> str:
    if not doubts:
        return ""
    if doubts == among == 1:
        return " It was in doubt: it may have arrived at the destination all the same."
    which = "All of them were" if doubts == among else f"{doubts:,} of them were"
    return f" {which} in doubt: those may have arrived at the destination all the same."


def _are(number: int) -> str:
    return "1 row is" if number == 1 else f"{number:,} rows are"


def _some_rows(console: Console, rows: Sequence[tuple[str, str | None]]) -> None:
    table = _table("row key", "reason")
    for key, reason in rows[:MOST_ROWS]:
        table.add_row(escape(key), escape(reason or ""))
    console.print(table)
    if len(rows) > MOST_ROWS:
        console.print(f"… and {len(rows) - MOST_ROWS:,} more; --json has them all.")


# --- verify -------------------------------------------------------------------------------------


def verification_document(run: Document, found: Verification, share: float) -> Document:
    """What reading back a run brought, for programs."""
    return {
        "run_id": run["run_id"],
        "activation": run["activation"],
        "status": run["status"],
        "ok": found.ok,
        "rows": found.rows,
        "sample": share,
        "checked": found.checked,
        "unverifiable": found.unverifiable,
        "missing": [asdict(each) for each in found.missing],
        "doubled": [asdict(each) for each in found.doubled],
        "changed": [asdict(each) for each in found.changed],
        "incomplete": [
            {"reason": reason, "count": count, "example_key": found.examples[reason]}
            for reason, count in found.incomplete.most_common()
        ],
    }


def verification(document: Document) -> None:
    """What reading back a run brought, for people."""
    console = out()
    share, rows = document["sample"], document["rows"]
    console.print(
        f"[bold]{escape(document['activation'])}[/], run {document['run_id']}: {rows:,}"
        f" {'row' if rows == 1 else 'rows'} delivered, {document['checked']:,} looked at"
        + (f" (a sample of {share * 100:g}%)" if share < 1 else "")
    )
    if document["status"] == "running":
        console.print("The run has not ended; rows that it delivers from now on are not in this.")
    _list_of(document["missing"], "missing at the destination")
    if recent := sum(row["recent"] for row in document["missing"]):
        console.print(
            f"{recent:,} of them came less than settle_after ago and may not show yet; verify again"
        )
    _list_of(document["doubled"], "standing twice", also="equal ones that are no row's")
    _list_of(document["changed"], "not as sent", differs="differs in")
    for gap in document["incomplete"]:
        console.print(
            f"[yellow]{gap['count']:,} not proven[/], such as {escape(gap['example_key'])}:"
            f" {escape(gap['reason'])}",
            soft_wrap=True,
        )
    if document["unverifiable"]:
        console.print(
            f"{document['unverifiable']:,} cannot be read back: a person said that they are"
            " delivered, and nobody knows their interactions"
        )
    console.print(_verdict_on(document))


def _list_of(rows: Sequence[Document], title: str, **more: str) -> None:
    """The first of `rows` under a title; `more` names the columns that hold lists."""
    if not rows:
        return
    table = _table("row key", "interaction", *more.values())
    for row in rows[:LONGEST_LIST]:
        lists = [", ".join(row[name]) for name in more]
        table.add_row(*map(escape, (row["row_key"], row["interaction_id"], *lists)))
    out().print(f"[red]{len(rows):,} {title}[/]", table)
    if len(rows) > LONGEST_LIST:
        out().print(f"and {len(rows) - LONGEST_LIST:,} more; --json lists them all")


def _verdict_on(document: Document) -> str:
    if not document["ok"]:
        return "Verifying wrote nothing; what to do about this is for you to decide."
    if not document["checked"]:
        return "There was nothing to look at."
    return "[green]Everything that was looked at is there, once, as it was sent.[/]"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    numbers = {"rows", "matched", *(n.replace("_", " ") for n in (*COUNTS, *State))}
    for column in columns:
        justify: Any = "right" if column in numbers else "left"
        wrap = column == "reason"
        table.add_column(column, justify=justify, no_wrap=not wrap, overflow="fold")
    return table


def _short_time(text: str | None) -> str:
    return text[:19].replace("T", " ") + "Z" if text else "-"


def duration(seconds: float) -> str:
    """About how long `seconds` are, for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def on_terminal() -> bool:
    """Whether a person looks at standard error."""
    return sys.stderr.isatty()
