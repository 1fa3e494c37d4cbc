"""The pages of runs: the newest, and one of them, live while it lasts."""

import time
from datetime import datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from connector.destinations.port import Proof
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.serve.service import Service
from connector.serve.web.charts import Chart, bars, spans
from connector.serve.web.page import ZONE, page
from connector.serve.web.persons import Role, visitor_of
from connector.show.logs import RECENT
from connector.show.runs import later

RUNS = 50
MOST_RUNS = 3200


def runs(request: Request) -> Response:
    """The newest runs, of one activation or of all, and more of them when they are asked for."""
    name, asked = (request.query_params.get(part, "") for part in ("activation", "number"))
    number = min(int(asked), MOST_RUNS) if asked.isdecimal() else RUNS
    with Service.of(request).app.reports() as reports:
        found = reports.runs(name or None, number + 1)
    more = {"activation": name, "number": min(4 * number, MOST_RUNS)}
    return page(
        request,
        "runs.html",
        f"Runs of {name}" if name else "Runs",
        runs=found[:number],
        more=urlencode(more) if len(found) > number < MOST_RUNS else None,
    )


def run(request: Request) -> Response:
    """One run, live while it lasts."""
    service, run_id = Service.of(request), request.path_params["run_id"]
    with service.app.reports() as reports:
        document = reports.run(run_id)
        if document is None:
            raise ConfigurationError(f"there is no run {run_id}")
        newest = reports.runs(document["activation"], 1)[0]["run_id"]
        tempo = reports.tempo(run_id)
        left = reports.left_by(run_id, document["activation"])
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
        charts=list(_charts(document, tempo)) if tempo else [],
        left=left,
        lines=RECENT.of(run_id),
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
