"""The pages of runs: the newest, and one of them, live while it lasts."""

import time
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from connector.rules.errors import ConfigurationError
from connector.serve.service import Service
from connector.serve.web.page import page
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
    live = next((x for x in service.live.values() if x.run_id == run_id), None)
    pace = live.sent.delivered / (time.monotonic() - live.began) if live and live.sent else None
    rests = list(later(document)) if document["run_id"] == newest else []
    content = {"run": document, "live": live, "pace": pace, "rests": rests}
    return page(request, "run.html", f"Run {run_id}", here="/runs", **content)
