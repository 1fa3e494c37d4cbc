"""What can be told of a project from its configuration and its ledger.

Apart from App, so that a question is answered without importing all that a sync needs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import URL, Engine

from connector.basis import dataclass
from connector.ledger.amiss import Amiss
from connector.ledger.engine import Reader, ledger_path, refuse_others
from connector.ledger.generation import GenerationFile
from connector.ledger.processes import began_at
from connector.ledger.receipts import Kept
from connector.ledger.records import COUNTS, Identity, instant
from connector.ledger.reports import Reports
from connector.ledger.room import full_disk
from connector.ledger.run_list import ALL, Which
from connector.ledger.transaction import in_schema, schema_of, shown
from connector.project.settings import Settings
from connector.project.urls import url_of
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.blame import Mapped, blamed
from connector.rules.deed import Document
from connector.rules.delivery import CORRECTABLE, waiting_for_person
from connector.rules.errors import (
    HELD,
    ConfigurationError,
    LedgerUnavailable,
    Problem,
    did_you_mean,
    unknown_key,
)
from connector.rules.grammar import Schedule
from connector.rules.interaction import instant_text
from connector.rules.keys import begin_anew
from connector.rules.needs import Need, needs_of, needs_of_project, notes_of
from connector.rules.receipt import FOUND
from connector.rules.selection import select_one
from connector.rules.turns import Cap, Waiting, cap_of
from connector.rules.window import Window, window_of
from connector.rules.words import span_text

STANDING = ("submitted", "waiting", "in_doubt", "pending")
"""Counts of a run that say how its activation's rows stand at its end."""
DID = tuple(name for name in COUNTS if name not in STANDING)
"""Counts of what it did."""
LEFT = (
    '"{0}" is not configured in {1} any more, and the ledger has its rows: `explain`, `runs`,'
    " `quarantine list` and `quarantine discard` take its name. For all else put it back, with"
    " paused: true where nothing is to be sent; or, if it has another name now, say"
    " renamed_from: {0} there"
)
RENAMED = (
    '"{0}" is called "{1}" in {2} now, and a run of that takes its rows over: `connector sync {1}`'
    " first; until then `explain`, `runs`, `quarantine list` and `quarantine discard` take its"
    " earlier name, too"
)
NOT_A_FILE = re.compile(r":memory:|[A-Za-z_]{2,}:")
"""What DuckDB and SQLite open that is no path: md:shop, ducklake:…, file:…"""
ANOTHER_LEDGER = (
    "ledger: it is another one by now, which does not know what was sent, nor the runs that go on;"
    " this process keeps its own until it is started anew"
)


@dataclass(slots=True)
class Reporting:
    """Answers about a project; nothing is made by asking."""

    settings: Settings
    _reader: Reader = field(default_factory=Reader, init=False)

    def activations(self, names: Sequence[str]) -> list[Activation]:
        """The activations that `names` choose, or all of them. Raises ConfigurationError."""
        try:
            return self.settings.selected(names or list(self.settings.project.activations))
        except ConfigurationError as error:
            if left := next((name for name in names if self._is_left(name)), None):
                raise ConfigurationError(self._why_left(left)) from None
            raise error

    def recorded(self, name: str) -> str:
        """The one activation that `name` chooses, also where the ledger alone knows it. Raises
        ConfigurationError."""
        known = self.settings.project.activations
        name = select_one(name, known, str(self.settings.file))
        if not self._is_left(name):
            self.settings.activation(name)
        return name

    def _why_left(self, name: str) -> str:
        """That the ledger alone knows it, and what can be done with it."""
        configured, file = self.settings.project.activations, self.settings.file
        now = next((new for new, a in configured.items() if a.renamed_from == name), None)
        return RENAMED.format(name, now, file) if now else LEFT.format(name, file)

    def _is_left(self, name: str) -> bool:
        """Whether the ledger alone knows an activation of this name."""
        if name in self.settings.project.activations:
            return False
        with suppress(LedgerUnavailable), self.amiss() as amiss:
            return amiss.knows(name)
        return False

    def status(self, names: Sequence[str] = ()) -> list[Document]:
        """Where the activations that `names` choose stand, or all."""
        from connector.rules.due import next_run

        now = datetime.now(UTC)
        found = []
        with self.reports() as reports:
            services, chosen = reports.services(), self.activations(names)
            all_names = [activation.name for activation in chosen]
            standings = reports.standings(all_names)
            holds = reports.holds([name for name in all_names if standings[name].is_held])
            verified = reports.last_receipts(all_names)
            turns = reports.waiting_for_turns(_caps(chosen))
            refused = self._refused(chosen)
            for activation in chosen:
                name = activation.name
                standing = standings[name]
                paused_by = standing.paused_by
                paused = activation.paused or paused_by is not None
                theirs = [service for service in services if name in service.schedules]
                told = [at for each in theirs if (at := each.schedules[name]) and at > now]
                window = window_of(activation, self.settings.project.warehouse.timezone)
                due = min(told, default=None)
                if theirs and due is None and not paused:
                    due = next_run(activation.schedule, paused, reports.last_began(name), now)
                found.append(
                    {
                        "name": name,
                        "owner": activation.owner,
                        "tags": list(activation.tags),
                        "paused": paused,
                        "paused_by": paused_by,
                        "schedule": _schedule_text(activation),
                        "window": _window(window, clocks.wall()),
                        "per_contact": _per_contact(activation, turns),
                        "priority": activation.priority,
                        "share": activation.share,
                        "next_run": instant_text(due) if due and not paused else None,
                        "services": [service.document for service in theirs],
                        "last_run": standing.last_run,
                        "read_at": instant(standing.read_at),
                        "lag": _lag(standing.read_ago),
                        "watermark": standing.watermark.text,
                        "held": holds[name].reason if name in holds else None,
                        "hold": holds[name].document() if name in holds else None,
                        "refused": None if paused else refused.get(name),
                        "suspect": standing.is_suspect,
                        "counts": standing.counts,
                        "verification": _verification(
                            activation, paused, verified.get(name), bool(services)
                        ),
                    }
                )
                found[-1]["state"] = state_now(found[-1])
                found[-1]["needs"] = [need.document for need in needs_of(found[-1])]
        return found

    def needs(self) -> list[Need]:
        """What needs a person in the project itself, of no activation that is configured."""
        with self.reports() as reports:
            failing = [each for one in reports.services() for each in one.failing]
        with self.amiss() as amiss:
            left = amiss.left_behind(self.settings.project.activations)
        return needs_of_project(failing, self.put_back(), left, full_disk(self.ledger_url))

    def put_back(self) -> str | None:
        """What says that the ledger was put back from a backup, or is another one, that no run has
        seen yet. None also where the files beside it cannot be read, which a run is told."""
        url = self.ledger_url
        with suppress(LedgerUnavailable), self.amiss() as amiss:
            return amiss.put_back(self.generation_file(url))
        return None

    def _refused(self, chosen: Sequence[Activation]) -> dict[str, str]:
        """Those of `chosen` that a run would refuse, since they have become others, and why."""
        names = frozenset(self.settings.project.activations)
        identities = ((each.name, self.identity(each, names)) for each in chosen)
        with self.amiss() as amiss:
            found = amiss.refused(identities, names)
        return {
            name: "; ".join(self.settings.located(problem) for problem in problems)
            for name, problems in found.items()
        }

    def runs(self, name: str | None, limit: int, which: Which = ALL) -> list[Document]:
        """The newest runs, of all activations or of one. Raises ConfigurationError."""
        if name is not None:
            name = self.recorded(name)
        with self.reports() as reports:
            return reports.runs(name, limit, which)

    def pruned(self, name: str | None) -> Document | None:
        """How many runs are pruned, of all activations or of one; all had ended `before`."""
        with self.reports() as reports:
            gone = reports.already_pruned(name)
        if not (gone.runs and gone.before):
            return None
        return {"runs": gone.runs, "before": instant_text(gone.before)}

    def tagged(
        self, tag: str, name: str | None, limit: int | None = None, which: Which = ALL
    ) -> Document:
        """The runs with that tag, the newest first and all unless there is a `limit`, and the sum
        of all of them. Raises ConfigurationError."""
        if name is not None:
            name = self.recorded(name)
        with self.reports() as reports:
            found = reports.runs(name, None, replace(which, tag=tag))
        return {"runs": found[:limit], "totals": totals(found)}

    def explain(self, name: str, key: str) -> Document:
        """The whole story of one row. Raises ConfigurationError."""
        name = self.recorded(name)
        with self.reports() as reports:
            if document := reports.delivery(name, key):
                (document,) = self.with_mappings([document])
                return document
            raise ConfigurationError(unknown_key(name, key, reports.similar_keys(name, key)))

    def find(self, key: str) -> list[Document]:
        """The rows with just this key, of whichever activations."""
        with self.reports() as reports:
            return reports.with_key(key)

    def with_mappings(self, documents: Sequence[Document]) -> list[Document]:
        """Rows in quarantine, or groups of them, each with `mapped`: where in the configuration
        stands what its reason is about. Of a row that is not there, and of one whose activation is
        configured no more, nothing."""
        return [{**each, "mapped": self._mapped(each)} for each in documents]

    def _mapped(self, document: Document) -> list[Document]:
        activation = self.settings.project.activations.get(document["activation"])
        if activation is None or document["state"] not in CORRECTABLE or not document["reason"]:
            return []
        return [self.mapped(found) for found in blamed(activation, document["reason"])]

    def mapped(self, found: Mapped) -> Document:
        """Where in the configuration a part of a row is mapped."""
        mark = self.settings.mark(found.path)
        return {
            "part": found.part,
            "column": found.column,
            "file": str(mark.file),
            "line": mark.line,
        }

    @contextmanager
    def reports(self) -> Iterator[Reports]:
        """Answers from the ledger, which is not made by asking."""
        with self._reader.reading(self.ledger_url) as engine:
            yield self.reports_from(engine)

    def reports_from(self, engine: Engine | None) -> Reports:
        """Answers from a ledger that is open already."""
        return Reports(engine, self._earlier)

    @contextmanager
    def amiss(self) -> Iterator[Amiss]:
        """What of the ledger no run has told of yet."""
        with self._reader.reading(self.ledger_url) as engine:
            yield Amiss(engine, self._earlier)

    @property
    def _earlier(self) -> dict[str, str]:
        """Names under which activations may still be recorded."""
        return {
            name: activation.renamed_from
            for name, activation in self.settings.project.activations.items()
            if isinstance(activation.renamed_from, str)
        }

    def going_on(self) -> AbstractContextManager[None]:
        """Several reports follow each other: the ledger is opened once for them."""
        return self._reader.going_on()

    @property
    def ledger_url(self) -> URL:
        """Where the ledger is. Raises ConfigurationError where none can be."""
        ledger = self.settings.project.ledger
        url = self.database_url("ledger", ledger.url.get_secret_value())
        if refuse_others(url) == "sqlite":
            ledger_path(url)
        return in_schema(url, ledger.schema_name)

    def refuse_another_ledger(self, settings: Settings) -> None:
        """Raises ConfigurationError where `settings` name another ledger than this project's: it
        would not know what was sent, and not see the runs that go on."""
        changed = Reporting(settings)
        if changed.ledger_url == self.ledger_url:
            return
        with self.reports() as before, changed.reports() as after:
            if after.identity_of_ledger() == before.identity_of_ledger():
                return
        raise ConfigurationError(settings.written.placed(Problem(("ledger",), ANOTHER_LEDGER)))

    def generation_file(self, url: URL) -> GenerationFile:
        """What tells the ledger from a copy of it: beside a ledger in a file; for one on a server,
        in the project."""
        if url.get_backend_name() == "sqlite":
            return GenerationFile(Path(f"{url.database}.generation"))
        name = url.set(query={}).render_as_string(hide_password=True)
        if schema := schema_of(url):
            name = f"{name} {schema}"
        short = blake2b(name.encode(), digest_size=6).hexdigest()
        return GenerationFile(self.settings.base / ".connector" / f"ledger-{short}.generation")

    def identity(
        self, activation: Activation, configured: frozenset[str] | None = None
    ) -> Identity:
        """What must not change under the activation's name. `configured`: all names, where that is
        asked of many."""
        project = self.settings.project
        destination = project.destination_of(activation)
        return Identity(
            destination,
            activation.target,
            activation.row_key,
            activation.renamed_from,
            activation.former_target,
            configured or frozenset(project.activations) - {activation.name},
            project.place_of(activation),
            activation.target_key,
            activation.target_word,
            project.destinations[destination].prefix,
            begin_anew(activation),
            activation.contact.known_by,
        )

    def place(self, name: str) -> float:
        """Where an activation has its place (0 to 1) among those that are due at one time: the same
        wherever its ledger is used."""
        from connector.rules.due import place_of

        return place_of(shown(self.ledger_url), name)

    def database_url(self, part: str, text: str) -> URL:
        """A database URL; a relative file is relative to the configuration. Raises
        ConfigurationError."""
        url = url_of(part, text)
        database = url.database or ""
        if url.get_backend_name() not in ("sqlite", "duckdb") or not database:
            return url
        if NOT_A_FILE.match(database):
            return url
        return url.set(database=str((self.settings.base / database).resolve()))


def totals(runs: Sequence[Document]) -> Document:
    """Several runs as one, the newest first: what they did is added up; how rows stand at the end
    is that of the newest run of each activation."""
    newest = {run["activation"]: run for run in reversed(runs)}
    return {
        "runs": len(runs),
        "activations": len(newest),
        **{name: sum(run[name] for run in runs) for name in (*DID, "undone")},
        **{name: sum(run[name] for run in newest.values()) for name in STANDING},
        "done": bool(newest) and all(run["done"] is True for run in newest.values()),
    }


def state_now(document: Document) -> str:
    """How an activation stands, in one word: what a person must do comes first. What its last run
    said may be over: rows were decided about since."""
    last = document["last_run"]
    if document["paused"]:
        return "paused"
    if last is None:
        return "stopped" if document["refused"] else "never run"
    if last["status"] == "running":
        return "running"
    if document["refused"]:
        return "stopped"
    if document["held"]:
        return HELD
    if last["status"] == "stopped":
        return "stopped"
    return "attention" if waiting_for_person(document["counts"]) or notes_of(last) else "succeeded"


def _lag(read_ago: int | None) -> float | None:
    """Seconds since the model was last read to its end."""
    return None if read_ago is None else round(read_ago / 1000, 1)


def _schedule_text(activation: Activation) -> str | None:
    schedule = activation.schedule
    return None if schedule is None else rhythm_text(schedule)


def rhythm_text(schedule: Schedule) -> str:
    """A schedule in words."""
    if schedule.cron:
        return schedule.cron
    assert schedule.every is not None
    return f"every {span_text(schedule.every)}"


def rhythm_and_zone(schedule: Schedule | None) -> str | None:
    """The same, and whose clocks its times are shown by; None where there is none."""
    if schedule is None:
        return None
    if schedule.every:
        return rhythm_text(schedule)
    return f"{rhythm_text(schedule)} ({schedule.timezone or 'UTC'})"


def _caps(activations: Iterable[Activation]) -> dict[str, Cap]:
    """How often one contact is told something, by those activations that say so."""
    return {each.name: cap for each in activations if (cap := cap_of(each))}


def _per_contact(activation: Activation, turns: Mapping[str, Waiting]) -> Document | None:
    """How often one contact is told something, and what waits for that."""
    cap = cap_of(activation)
    return None if cap is None else per_contact_document(cap, turns[activation.name])


def per_contact_document(cap: Cap, line: Waiting) -> Document:
    """How often one contact is told something, and how many rows wait for that."""
    every = span_text(timedelta(milliseconds=cap.every))
    return {"most": cap.most, "every": every, "wait": line.number, "next_at": instant(line.next_at)}


def _window(window: Window | None, now: datetime) -> Document | None:
    """Whether rows may be sent now, and when that changes; None: they may at any time."""
    if window is None:
        return None
    opens, closes = window.opens_at(now), window.closes_at(now)
    return {
        "open": window.is_open(now),
        "opens_at": instant_text(opens) if opens else None,
        "closes_at": instant_text(closes) if closes else None,
    }


def _verification(
    activation: Activation, paused: bool, last: Kept | None, served: bool
) -> Document | None:
    """The newest verification of an activation, and when the next is due while somebody serves;
    None: none is made by itself, and none was."""
    from connector.rules.due import next_run

    verify = activation.verify
    if verify is None and last is None:
        return None
    due = None
    if verify and served:
        due = next_run(verify.schedule, paused, last.began if last else None, datetime.now(UTC))
    figures = ("receipt_id", "began_at", "rows", "interactions", *FOUND, "not_proven", "result")
    content, deviating = last.signed.content if last else {}, len(last.deviations if last else ())
    return {
        "schedule": verify and rhythm_text(verify.schedule),
        "sample": verify and verify.sample,
        "next": instant_text(due) if due else None,
        "last": {f: content[f] for f in figures} | {"deviating": deviating} if last else None,
    }


def known_run(reports: Reports, run_id: str) -> Document:
    """A run of the ledger. Raises ConfigurationError, naming some that are there."""
    run = reports.run(run_id)
    if run is not None:
        return run
    gone, began = reports.already_pruned(), began_at(run_id)
    if gone.runs and gone.before and began and began < gone.before:
        raise ConfigurationError(
            f'there is no run "{run_id}" in the ledger: runs that had ended before'
            f" {instant_text(gone.before)} are pruned (ledger.keep), and what they delivered can be"
            " neither verified nor taken back from here"
        )
    newest = [each["run_id"] for each in reports.runs(None, 5)]
    near = did_you_mean(run_id, newest)
    if not newest:
        hint = "; there was no run yet"
    else:
        names = ", ".join(newest[:3])
        hint = near if "?" in near else f"; the newest are {names} (connector runs)"
    raise ConfigurationError(f'there is no run "{run_id}" in the ledger{hint}')
