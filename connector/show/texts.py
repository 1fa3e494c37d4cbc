"""What the commands print: tables for people, one JSON document for programs."""

from __future__ import annotations  # what only a type names is not imported

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
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
from rich.text import Text

from connector.ledger.records import COUNTS, Tally
from connector.rules.delivery import QUARANTINE, State, waiting_for_person
from connector.rules.errors import HELD, ConfigurationError, ConnectorError
from connector.rules.interaction import instant_text
from connector.show.layout import Cell, Column, Grid, Paper, out, verbatim
from connector.show.terminal import as_json_text, plain
from connector.sync.progress import Progress

if TYPE_CHECKING:
    from connector.decisions.quarantine import Decided
    from connector.ledger.decisions import Case
    from connector.ledger.reports import Document, Reports
    from connector.project.settings import Settings
    from connector.sync.check import Checked, Finding
    from connector.sync.outlook import Outlook
    from connector.sync.preview import Preview, Sample
    from connector.sync.result import Ended
    from connector.sync.verify import Verification

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
OUTLOOK_STYLES = {"be_held": "yellow", "be_passed_by": "yellow", "be_stopped": "red"}
LISTS = {"also": "equal ones that are no row's", "differs": "differs in"}
LONGEST_LIST = 20
MOST_ROWS = 20
MOST_GROUPS = 20
"""How many lines a person is shown unasked."""
PROBLEMS = re.compile(r'\n(?=\S+:\d+:\d+: |activation ")')
"""What stands between several problems of one run."""


def as_json(document: Any) -> None:
    """The one JSON document of a command."""
    print(as_json_text(document))


def failure(error: ConnectorError, settings: Settings | None, as_document: bool) -> None:
    """Why a command failed: a sentence on standard error, or a document on standard output."""
    problem = error_text(error, settings)
    if as_document:
        as_json({"error": {"message": problem, **why(error)}})
        return
    console = Paper(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    told = "\n".join(map(plain, problem.splitlines()))
    console.print(Text.assemble(("error:", "red"), " ", told))


def why(error: ConnectorError | None) -> Document:
    """What programs go by when something was stopped; nothing where nothing was."""
    if error is None:
        return {"kind": None, "retryable": False}
    return {"kind": error.kind, "retryable": error.retryable}


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
    run |= why(end.error)
    if run["status"] == HELD:
        run["kind"] = HELD
    run["waits"] = _waits(end)
    return run


def _waits(end: Ended) -> Document:
    """The rows of the activation that wait for a person, whichever run left them there."""
    waits = end.result.waits if end.result else {}
    return {state.value: waits.get(state, 0) for state in QUARANTINE}


def runs(documents: Iterable[Document], empty: str, history: bool = False) -> None:
    """A table of runs, and below it what a person should know. `history`: an activation may have
    several, so that what is told of them must name the run."""
    documents = list(documents)
    console = out()
    if not documents:
        console.print(empty)
        return
    names = _interesting(documents, ("read", "delivered"), (*COUNTS, "undone"))
    matched = ["matched"] if any(_match_rate(run) for run in documents) else []
    table = _table("run", "activation", "status", *map(_words, names), *matched, "started")
    for run in documents:
        table.add(
            run["run_id"] or "-",
            run["activation"],
            Cell(run["status"], STATUS_STYLES.get(run["status"], "")),
            *(f"{run[name]:,}" for name in names),
            *([_match_rate(run) or "-"] if matched else []),
            _short_time(run["started_at"]),
        )
    table.print(console)
    for run in documents:
        for line in [*run["notes"], *(PROBLEMS.split(run["error"]) if run["error"] else [])]:
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


def synced(documents: Sequence[Document], paused: Sequence[tuple[str, str]]) -> None:
    """The runs of a sync, what waits for a person after them, and what was passed by."""
    nothing = "Nothing was run." if paused else "There is no activation to run."
    runs(documents, nothing)
    for run in documents:
        if waits := {state: number for state, number in run["waits"].items() if number}:
            name = verbatim(run["activation"])
            out().print(
                f"[bold]{name}[/]: {_listed(waits)} {_wait(sum(waits.values()))} for a person;"
                f" `connector quarantine list {name}` says why."
            )
    for name, remedy in paused:
        out().print(f"[bold]{verbatim(name)}[/]: passed by, since it is paused; {verbatim(remedy)}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {_words(state)}" for state, number in counts.items())


def _wait(number: int) -> str:
    return "waits" if number == 1 else "wait"


def _words(name: str) -> str:
    return name.replace("_", " ")


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
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=Paper(stderr=True),
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


def check_document(found: Mapping[str, Checked], settings: Settings, code: int) -> Document:
    """A check, for programs."""
    return {
        "ok": code == 0,
        "activations": [
            {
                "name": name,
                "findings": [
                    {"level": f.level, "message": _finding_text(f, settings)}
                    for f in checked.findings
                ],
                "outlook": _outlook_document(checked.outlook),
            }
            for name, checked in found.items()
        ],
    }


def _outlook_document(outlook: Outlook | None) -> Document | None:
    if outlook is None:
        return None
    return {"would": outlook.would, "because": outlook.because, "notes": list(outlook.notes)}


def check(found: Mapping[str, Checked], settings: Settings, code: int) -> None:
    """A check, for people."""
    console = out()
    for name, checked in found.items():
        console.print(f"[bold]{verbatim(name)}[/]")
        for finding in checked.findings:
            text = verbatim(_finding_text(finding, settings))
            console.print(f"  {MARKS[finding.level]} {text}")
    console.print(_verdict_of_check(found, code))


def _verdict_of_check(found: Mapping[str, Checked], code: int) -> str:
    """Whether the next sync would send."""
    names: dict[str, list[str]] = {}
    for name, checked in found.items():
        if checked.outlook:
            names.setdefault(checked.outlook.would, []).append(verbatim(name))
    held, paused, nothing = (
        ", ".join(names.get(word, [])) for word in ("be_held", "be_passed_by", "send_nothing")
    )
    if code == 3:
        return "[red]A sync would not work now; something outside stands in the way.[/]"
    if code == 2:
        return "[red]A sync would not work; what is marked FIX must be changed.[/]"
    if held:
        return f"[yellow]Not ready: a run of {held} would be held.[/]"
    if paused and not names.get("send") and not nothing:
        return f"[yellow]Not ready: nothing runs {paused}, since it is paused.[/]"
    but = f" {paused} is passed by." if paused else ""
    if code == 1 and not names.get("send"):
        return f"[yellow]A sync would send nothing, and some rows wait for you.{but}[/]"
    if code == 1:
        return f"[yellow]A sync would work, but some rows wait for you.{but}[/]"
    if not names.get("send"):
        return f"[green]Ready: a sync would work; there is nothing to send.{but}[/]"
    return f"[green]Ready: a sync would work.{but}[/]"


def _finding_text(finding: Finding, settings: Settings) -> str:
    line, _ = settings.marks.get(finding.path, (0, 0))
    if finding.path and line:
        return f"{finding.message} ({settings.file.name}:{line})"
    return finding.message


def preview_document(result: Preview, requests: Sequence[Sample], seconds: float) -> Document:
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
        "notes": result.notes,
        "reasons": [
            {"reason": reason, "count": count, "example_key": result.examples[reason]}
            for reason, count in result.reasons.most_common()
        ],
        "contacts": _identifiers_document(result),
        "mapping": [problem.message for problem in result.mapping],
        "outlook": _outlook_document(result.outlook),
        "estimated_seconds": seconds,
        "requests": [sample.document for sample in requests],
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
    would = document["outlook"]["would"]
    sent = "would be sent" + ("" if would in ("send", "send_nothing") else ", if it could go")
    counts = {
        sent: document["new"] + document["pending"],
        "of them recorded before": document["pending"],
        "read again: recorded before, and none sent twice": document["already_recorded"],
        "invalid": document["invalid"],
        "row key repeated": document["repeated"],
        "without a row key": document["without_key"],
        "there before start: now": document["history"],
    }
    rows = "1 row" if document["read"] == 1 else f"{document['read']:,} rows"
    console.print(f"[bold]{verbatim(document['activation'])}[/]: {rows} read")
    for label, number in counts.items():
        if number or label == sent:
            console.print(f"  {number:>9,}  {label}")
    if document["edited"]:
        console.print(f"  {_edit(document)}")
    for note in document["notes"]:
        console.print(f"{MARKS['data']} {verbatim(note)}")
    if document["reasons"]:
        table = _table("rows", "reason", "example")
        for reason in document["reasons"]:
            table.add(f"{reason['count']:,}", reason["reason"], reason["example_key"])
        table.print(console)
    if document["contacts"] and document["contacts"]["identifiers"]:
        console.print(contacts_text(document["contacts"]))
    for message in document["mapping"]:
        console.print(f"{MARKS['advice']} {verbatim(message)}")
    for request in document["requests"]:
        console.print(
            f"[bold]{verbatim(request['row_key'])}[/]  {request['method']} {request['url']}"
        )
        body = json.dumps(request["body"], indent=2, ensure_ascii=False)
        console.print(Text("\n".join(map(plain, body.splitlines()))))
    if told := outlook_text(document["outlook"]):
        console.print(Text(told, OUTLOOK_STYLES.get(would, "")))
    if document["new"] + document["pending"]:
        console.print(
            f"At the rate limit this takes about {duration(document['estimated_seconds'])}."
        )
    console.print("Nothing was sent, nothing was written.")


def outlook_text(outlook: Document) -> str:
    """What the next run would do, in sentences."""
    sentences = {
        "send": "",
        "send_nothing": "There is nothing to send.",
        "be_held": f"A run would be held, because {outlook['because']}.",
        "be_passed_by": f"A run would send nothing, because {outlook['because']}.",
        "be_stopped": f"A run would be stopped, because {outlook['because']}.",
    }
    notes = (f"{note[:1].upper()}{note[1:]}." for note in outlook["notes"])
    return plain(" ".join(filter(None, (sentences[outlook["would"]], *notes))))


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
    if not documents:
        console.print("No activation is configured.")
        return
    every = [document["counts"] for document in documents]
    names = _interesting(every, ("delivered", "pending"), [state.value for state in State])
    matched = ["matched"] if any(_match_rate(d["last_run"]) for d in documents) else []
    table = _table(
        "activation", "state", *map(_words, names), *matched, "watermark", "last run", "next run"
    )
    for document in documents:
        counts, last = document["counts"], document["last_run"]
        table.add(
            document["name"],
            Cell(_state_of(document), STATUS_STYLES.get(document["state"], "")),
            *(f"{counts[name]:,}" for name in names),
            *([_match_rate(last) or "-"] if matched else []),
            document["watermark"] or "-",
            f"{last['status']} {_short_time(last['started_at'])}" if last else "never",
            _next_run(document),
        )
    table.print(console)
    for document in documents:
        if document["held"]:
            console.print(f"[bold]{verbatim(document['name'])}[/]: {verbatim(document['held'])}")
    _services(console, documents)


def _state_of(document: Document) -> str:
    """How an activation stands, with what else is to be known of it."""
    more = [word for word in ("held",) if document[word] and document["state"] != word]
    if document["state"] == "paused" and waiting_for_person(document["counts"]):
        more.append("rows wait")
    if document["suspect"]:
        more.append("from a backup")
    return ", ".join([_words(document["state"]), *more])


def _next_run(document: Document) -> str:
    if document["next_run"]:
        return _short_time(document["next_run"])
    if document["schedule"] is None:
        return "by hand"
    return "paused" if document["paused"] else "nothing serves"


def _services(console: Console, documents: Sequence[Document]) -> None:
    """Who follows the schedules, or that nobody does."""
    services = {s["id"]: s for document in documents for s in document["services"]}
    for service in services.values():
        console.print(
            f"`connector serve` follows schedules since {_short_time(service['started_at'])}"
            f" ({verbatim(service['where'])})."
        )
    left = [d["name"] for d in documents if d["schedule"] and not d["paused"] and not d["services"]]
    if left:
        console.print(
            f"Nothing follows the {'schedule' if len(left) == 1 else 'schedules'} of"
            f" {verbatim(', '.join(left))}: `connector serve` does, while it runs."
        )


def story(document: Document) -> None:
    """The whole story of one row."""
    console = out()
    console.print(
        f"[bold]{verbatim(document['activation'])} / {verbatim(document['row_key'])}[/]:"
        f" {document['state'].replace('_', ' ')} since {_short_time(document['since'])}"
    )
    for label, value in (
        ("reason", document["reason"]),
        ("interaction", document["interaction_id"]),
        ("at", document["address"] if document["interaction_id"] else None),
        ("last moved by run", document["run_id"]),
        ("waiting since", document["waiting_since"]),
        ("not before", document["due_at"]),
    ):
        if value:
            console.print(f"  {label}: {verbatim(str(value))}")
    if document["suspect"]:
        console.print("  it is read back before it is sent: the ledger is from a backup")
    if document["held"]:
        console.print(f"  {verbatim(document['held'])}")
    if not document["attempts"]:
        console.print("  no attempt was made to send it")
    if not document["story"]:
        return
    table = _table("when", "what", "by", "until", "became", "HTTP", "reason")
    for event in document["story"]:
        table.add(*_line(event))
    table.print(console)


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
        table.add(
            row["activation"],
            row["row_key"],
            _words(row["state"]),
            _short_time(row["since"]),
            row["reason"] or "",
        )
    table.print(console)
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
        table.add(
            f"{group['count']:,}",
            group["activation"],
            _words(group["state"]),
            group["reason"] or "",
            group["example_key"],
        )
    table.print(console)
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
    name = verbatim(decided.activation)
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
    place = f"[bold]{verbatim(decided.activation)} / {verbatim(row.row_key)}[/]"
    if row.state is State.DELIVERED:
        id = f" as the interaction {verbatim(row.interaction_id)}" if row.interaction_id else ""
        what = f"delivered{id}; it is never sent again."
    elif row.due_at:
        until = _short_time(instant_text(row.due_at + timedelta(seconds=1)))
        what = (
            "pending again. Its last request may still be under way, so it is not sent before"
            f" {until}; the first `connector sync` after that sends it."
        )
    else:
        what = "pending again; the next `connector sync` sends it."
    out().print(f"{place}: {what}")


def discarding(cases: Sequence[Case]) -> str:
    """What a person is told before rows are given up."""
    states = Counter(case.state for case in cases)
    which = ", ".join(f"{n:,} {state.value.replace('_', ' ')}" for state, n in states.most_common())
    doubts = _may_have_arrived(states[State.IN_DOUBT], len(cases))
    return f"{_are(len(cases))} to be discarded ({which}), for good: never sent.{doubts}"


def discarded(decided: Decided) -> None:
    """Rows that were given up, for people."""
    name = f"[bold]{verbatim(decided.activation)}[/]"
    if not decided.rows:
        out().print(f"{name}: no such row is in quarantine; nothing was changed.")
        return
    doubts = sum(row.was is State.IN_DOUBT for row in decided.rows)
    told = _may_have_arrived(doubts, len(decided.rows))
    out().print(f"{name}: {_are(len(decided.rows))} discarded and never sent.{told}")


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
        table.add(key, reason or "")
    table.print(console)
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
        f"[bold]{verbatim(document['activation'])}[/], run {document['run_id']}: {rows:,}"
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
    _list_of(document["doubled"], "standing twice", "also")
    _list_of(document["changed"], "not as sent", "differs")
    for gap in document["incomplete"]:
        console.print(
            f"[yellow]{gap['count']:,} not proven[/], such as {verbatim(gap['example_key'])}:"
            f" {verbatim(gap['reason'])}",
        )
    if document["unverifiable"]:
        console.print(
            f"{document['unverifiable']:,} cannot be read back: a person said that they are"
            " delivered, and nobody knows their interactions"
        )
    console.print(_verdict_on(document))


def _list_of(rows: Sequence[Document], title: str, *more: str) -> None:
    """The first of `rows` under a title; `more` names what they have that is a list."""
    if not rows:
        return
    table = _table("row key", "interaction", *(LISTS[name] for name in more))
    for row in rows[:LONGEST_LIST]:
        lists = [", ".join(row[name]) for name in more]
        table.add(row["row_key"], row["interaction_id"] or "-", *lists)
    out().print(f"[red]{len(rows):,} {title}[/]")
    table.print(out())
    if len(rows) > LONGEST_LIST:
        out().print(f"and {len(rows) - LONGEST_LIST:,} more; --json lists them all")


def _verdict_on(document: Document) -> str:
    if not document["ok"]:
        return "Verifying wrote nothing; what to do about this is for you to decide."
    if not document["checked"]:
        return "There was nothing to look at."
    return "[green]Everything that was looked at is there, once, as it was sent.[/]"


def _table(*columns: str) -> Grid:
    numbers = {"rows", "matched", *map(_words, (*COUNTS, *State))}
    prose = {"reason", *LISTS.values()}
    return Grid(*(Column(c, number=c in numbers, prose=c in prose) for c in columns))


def _short_time(text: str | None) -> str:
    return text[:19].replace("T", " ") + "Z" if text else "-"


def duration(seconds: float) -> str:
    """About how long `seconds` are, for people."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def on_terminal() -> bool:
    """Whether a person looks at standard error."""
    return sys.stderr.isatty()
