"""The pages of runs: the newest, and one of them, live while it lasts."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from connector.basis import dataclass
from connector.destinations.port import Proof
from connector.ledger.audit import Deeds
from connector.ledger.run_list import STATUSES, Which
from connector.project.app import App
from connector.project.audit import milliseconds, since_when
from connector.project.reporting import known_run
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.rules.interaction import instant_text
from connector.rules.words import one_line, words
from connector.serve.service import Service
from connector.serve.web.charts import Chart, bars, spans, took_text
from connector.serve.web.page import ZONE, page, shortened
from connector.serve.web.persons import Role, visitor_of
from connector.show.approvals import effect_text
from connector.show.logs import RECENT
from connector.show.runs import later, pruned_text

SHOWN = 50
"""Runs on one page."""
SINCE = ("1h", "1d", "7d", "30d")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is narrowed down to, and after which run a page of it begins."""

    activation: str = ""
    status: str = ""
    tag: str = ""
    since: str = ""
    after: str = ""

    @classmethod
    def of(cls, request: Request) -> "Wanted":
        """What the address says."""
        return cls(
            **{
                each.name: one_line(request.query_params.get(each.name, ""))[:250]
                for each in fields(cls)
            }
        )

    @property
    def is_narrow(self) -> bool:
        """Whether not all runs are meant."""
        return bool(self.activation or self.status or self.tag or self.since)

    @property
    def which(self) -> Which:
        """For the ledger. Raises ConfigurationError."""
        if self.status and self.status not in STATUSES:
            raise ConfigurationError(f"runs are {', '.join(STATUSES[:-1])} or {STATUSES[-1]}")
        return Which(
            self.status or None,
            self.tag or None,
            milliseconds(since_when(self.since or None, "since", ZONE.get())),
            after=self.after or None,
        )

    def address(self, **other: str) -> str:
        """The address of the list, with `other` values in place of its own."""
        asked = {name: text for name, text in (asdict(self) | other).items() if text}
        return f"/runs?{urlencode(asked)}" if asked else "/runs"


def runs(request: Request) -> Response:
    """The newest runs, or those that are asked for, page by page."""
    app, wanted = Service.of(request).app, Wanted.of(request)
    with app.reports() as reports:
        found = reports.runs(wanted.activation or None, SHOWN + 1, wanted.which)
    activations, pruned = app.settings.project.activations, app.pruned(wanted.activation or None)
    return page(
        request,
        "runs.html",
        "Runs",
        pruned=pruned_text(pruned) if pruned and len(found) <= SHOWN else None,
        runs=found[:SHOWN],
        older=wanted.address(after=found[SHOWN - 1]["run_id"]) if len(found) > SHOWN else None,
        wanted=wanted,
        statuses=STATUSES,
        spans=SINCE,
        activations=_with(wanted.activation, activations),
    )


def _with(name: str, names: Iterable[str]) -> list[str]:
    """`names`, and `name`, which may be of an activation that is configured no more."""
    return list(dict.fromkeys([*names, *([name] if name else [])]))


def run(request: Request) -> Response:
    """One run, live while it lasts."""
    service, run_id = Service.of(request), request.path_params["run_id"]
    with service.app.reports() as reports:
        document = known_run(reports, run_id)
        newest = reports.runs(document["activation"], 1)[0]["run_id"]
        tempo = reports.tempo(run_id)
        left = reports.left_by(run_id, document["activation"])
        goes_on = document["status"] == "running"
        holder = reports.holder(document["activation"]) if goes_on else None
    live = next((x for x in service.live.values() if x.run_id == run_id), None)
    if live and live.tempo:
        tempo = live.tempo.document
    pace = live.sent.delivered / (time.monotonic() - live.began) if live and live.sent else None
    return page(
        request,
        "run.html",
        f"Run {run_id}",
        here="/runs",
        run=document,
        live=live,
        pace=pace,
        rests=list(later(document)) if document["run_id"] == newest else [],
        tempo=tempo,
        phases=spans(tempo["phases"], tempo["seconds"]) if tempo else None,
        charts=_charts(document, tempo) if tempo else [],
        left=left,
        story=story(service.app, document, tempo),
        lines=RECENT.of(run_id),
        holder=holder,
        can=_can(request, document),
    )


def _can(request: Request, run: Document) -> dict[str, bool]:
    """What can be done about a run that has ended."""
    app, visitor = Service.of(request).app, visitor_of(request)
    try:
        with app.reports() as reports:
            home = app.home(run["activation"], reports.homes()[run["activation"]])
        able = app.can(home.destination)
    except (ConnectorError, KeyError):
        return {"verify": False, "undo": False}
    ended = run["status"] != "running" and bool(run["delivered"] + run["submitted"])
    reads = able.shows or able.proof is Proof.REQUEST or able.asks_requests
    return {
        "verify": ended and reads and visitor.may(Role.OPERATOR),
        "undo": ended and able.takes_back and visitor.may(Role.APPROVER),
    }


def _charts(run: Document, tempo: Document) -> list[Chart]:
    """Requests a second, those that went wrong, and how long answers took."""
    began, step = datetime.fromisoformat(run["started_at"]), tempo["step"]
    if not tempo["requests"]:
        return []

    def over_time(numbers: list[int], by: float = 1.0) -> list[tuple[str, float | None]]:
        times = (began + timedelta(seconds=step * place) for place in range(len(numbers)))
        told = (f"{at.astimezone(ZONE.get()):%H:%M:%S}" for at in times)
        return [(when, number / by) for when, number in zip(told, numbers, strict=True)]

    found = [bars("Requests a second", over_time(tempo["requests"], step), "{:,.3g}".format)]
    if any(tempo["failed"]):
        told = "Requests that went wrong"
        found.append(bars(told, over_time(tempo["failed"]), "{:,.3g}".format, "bad"))
    told = "Answers took, on average"
    found.append(bars(told, over_time(tempo["mean_ms"], 1000), lasting_of_answers, "calm"))
    return found


def lasting_of_answers(seconds: float) -> str:
    """How long an answer took."""
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


# --- what the ledger tells of it, in the order of time: in whichever process it ran ---------------

BESIDE = ("submitted", "removed", "replaced", "waiting", "pending")
"""What of a run's rows is told at its end where there are some."""
SEEN = 0.01
"""Seconds that a phase must take to be told."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: when, in words, what more is told of it, and how grave it is."""

    at: str
    what: str
    told: str = ""
    tone: str = "calm"


def story(app: App, run: Document, tempo: Document | None) -> list[Event]:
    """What happened to `run`, from its beginning to what persons did about it since."""
    name, run_id = run["activation"], run["run_id"]
    with app.reports() as reports:
        deeds = reports.audit(Deeds(run_id=run_id))  # whatever its activation was called then
        approved = [each for each in reports.approvals(name, 50) if each.used_by == run_id]
    found = [
        Event(run["started_at"], "began", _asked(run)),
        *(_let_go(run, each.by, each.note) for each in approved),
        *_phases(run, tempo),
        *_ended(run),
    ]
    for each in deeds:
        what, by = words(each["what"]), f"by {shortened(each['by'], 60)}"
        told = effect_text(each["what"], each["details"])
        found.append(Event(each["at"], f"{what} {by}", told))
    return sorted(found, key=lambda event: event.at)


def _asked(run: Document) -> str:
    by, tag = run["by"], run["tag"]
    return ", ".join([*([f"asked for by {by}"] if by else []), *([f"tag {tag}"] if tag else [])])


def _let_go(run: Document, by: str, note: str | None) -> Event:
    told = "what was held before goes with this run" + (f": “{note}”" if note else "")
    return Event(run["started_at"], f"approved by {shortened(by, 60)}", told)


def _phases(run: Document, tempo: Document | None) -> Iterator[Event]:
    """What it did one after the other, as far as it is kept."""
    if tempo is None:
        return
    began = datetime.fromisoformat(run["started_at"])
    for (phase, begin), (_, end) in pairwise([*tempo["phases"], ("", tempo["seconds"])]):
        if end - begin >= SEEN:
            at = instant_text(began + timedelta(seconds=begin))
            last = run["finished_at"] or at  # the end goes on record while it finishes
            yield Event(min(at, last), phase, took_text(end - begin))


def _ended(run: Document) -> Iterator[Event]:
    if run["finished_at"]:
        tone = {"stopped": "bad", "succeeded": "good"}.get(run["status"], "warn")
        names = ("read", "delivered", *(name for name in BESIDE if run[name]))
        told = run["error"] or ", ".join(f"{run[name]:,} {words(name)}" for name in names)
        yield Event(run["finished_at"], f"ended: {words(run['status'])}", told, tone)
