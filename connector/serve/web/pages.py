"""The pages of `connector serve`: what the commands print, to look at and to act on."""

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector import __version__
from connector.project import look
from connector.rules.activation import Activation
from connector.rules.errors import (
    ActivationBusy,
    ActivationPaused,
    ConfigurationError,
    ConnectorError,
    StaleMove,
)
from connector.serve.service import Live, Service
from connector.serve.web.bounds import MOST_OF_A_BODY
from connector.serve.web.gate import from_elsewhere
from connector.show import texts as show

DAYS = 30
FIRST_RUNS = 15
RUNS = 50
MOST_RUNS = 3200
LONGEST_CELL = 300
"""Characters of a key or a reason in a table; the page of the row shows all of it."""
SHOWN_REQUESTS = 5
WAIT_FOR_ID = 2.0
"""Seconds in which a run that was asked for should have its id."""
APPROVED_MEANWHILE = "A run is going on; if it is held, its rows go as soon as it has ended."
UNITS = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))
TONES = {
    "succeeded": "good",
    "delivered": "good",
    "attention": "warn",
    "held": "warn",
    "paused": "calm",
    "never run": "calm",
    "running": "calm",
    "stopped": "bad",
    "invalid": "bad",
    "rejected": "bad",
    "in_doubt": "warn",
    "waiting": "warn",
}


def page(request: Request, template: str, title: str, **content: Any) -> Response:
    """A rendered page."""
    service = service_of(request)
    text = ENVIRONMENT.get_template(template).render(
        title=title,
        here=content.pop("here", request.scope["path"]),
        version=__version__,
        since=service.started_at.isoformat(),
        config_error=service.config_error,
        # a link on another site must not put words into our mouth
        said=None if from_elsewhere(request) else request.query_params.get("said"),
        **content,
    )
    return HTMLResponse(text, content.get("status", 200))


def service_of(request: Request) -> Service:
    """The service behind the pages."""
    service: Service = request.app.state.service
    return service


class TooLong(ConfigurationError):
    """A body is longer than any form of ours."""


async def form_of(request: Request) -> dict[str, str]:
    """What a form of ours has sent. Raises TooLong."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_OF_A_BODY:
            raise TooLong("That is more than a form of these pages sends.")
    return dict(parse_qsl(body.decode(errors="replace")))


def problem(
    request: Request,
    error: Exception,
    title: str = "That did not work",
    status: int | None = None,
) -> Response:
    """A failure, as a page with a sentence."""
    usual, text = told(error)
    return page(request, "problem.html", title, text=text, status=status or usual)


def told(error: Exception) -> tuple[int, str]:
    """A failure's HTTP status and its sentence."""
    match error:
        case ActivationBusy() | ActivationPaused() | StaleMove():
            return 409, str(error)
        case TooLong():
            return 413, str(error)
        case ConfigurationError():
            return 404, str(error)
        case ConnectorError():
            return 503, str(error)
        case _:  # a mistake of ours may hold a row's values in its message
            return 500, f"unexpected {type(error).__name__}; the log says where"


# --- looking ------------------------------------------------------------------------------------


def overview(request: Request) -> Response:
    """Every activation at a glance."""
    service = service_of(request)
    return page(request, "overview.html", "Activations", activations=_activations(service))


def activation(request: Request) -> Response:
    """One activation: where it stands, its mapping and its runs."""
    service, name = service_of(request), request.path_params["name"]
    found = service.app.settings.activation(name)
    (document,) = _activations(service, name)
    with service.app_reports() as reports:
        runs = reports.runs(name, FIRST_RUNS)
    rate = _rate(service, found, document["running"] is not None)
    return page(
        request,
        "activation.html",
        name,
        here="/",
        a=document,
        rate=rate,
        limits=_limits(found),
        runs=runs,
        sources=_sources(found),
        mapping=[
            (n, field.column or f"always {field.value!r}") for n, field in found.payload.items()
        ],
    )


def _limits(found: Activation) -> str:
    """What holds a run."""
    limits = found.limits
    parts = [
        limits.rows is not None and f"{limits.rows:,} rows",
        limits.refused is not None and f"{limits.refused:.1%} invalid or rejected",
    ]
    return ", ".join(part for part in parts if part) or "none"


def _rate(service: Service, found: Activation, running: bool) -> str:
    """How fast it may send, and how fast it does."""
    project = service.app.settings.project
    name = project.destination_of(found)
    most, now = project.destinations[name].requests_per_second, service.rates()[name]
    text = f"at most {most:g} requests a second"
    if running and now < most:
        text += f"; now {now:.1f}, since the destination is busy"
    return text


async def preview(request: Request) -> Response:
    """What a sync would do now; customers' data only when it is asked for."""
    service, name = service_of(request), request.path_params["name"]
    app = service.app
    found = app.settings.activation(name)
    result, requests, seconds = await look.preview(app, found, SHOWN_REQUESTS, offline=False)
    document = show.preview_document(result, requests, seconds, look.interactions_url(app, found))
    counts = [
        (_would(document["outlook"]), _number(document["new"] + document["pending"])),
        ("Already recorded", _number(document["already_recorded"])),
        ("Invalid", _number(document["invalid"])),
        ("Row key repeated", _number(document["repeated"]) if document["repeated"] else None),
        ("Takes, at the rate limit", _lasting(document["estimated_seconds"])),
    ]
    shown = request.query_params.get("show") == "1"
    title = f"Preview of {name}"
    content = {"name": name, "p": document, "counts": counts, "shown": shown, "contacts": None}
    content["outlook"] = show.outlook_text(document["outlook"])
    if document["contacts"] and document["contacts"]["identifiers"]:
        content["contacts"] = show.contacts_text(document["contacts"])
    return page(request, "preview.html", title, here="/", **content)


def _would(outlook: Mapping[str, Any]) -> str:
    goes = outlook["would"] in ("send", "send_nothing")
    return "Would be sent" if goes else "Would be sent, if it could go"


def runs(request: Request) -> Response:
    """The newest runs, of one activation or of all, and more of them when they are asked for."""
    name, asked = (request.query_params.get(part, "") for part in ("activation", "number"))
    number = min(int(asked), MOST_RUNS) if asked.isdecimal() else RUNS
    with service_of(request).app_reports() as reports:
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
    service, run_id = service_of(request), request.path_params["run_id"]
    with service.app_reports() as reports:
        document = reports.run(run_id)
    if document is None:
        raise ConfigurationError(f"there is no run {run_id}")
    live = next((x for x in service.live.values() if x.run_id == run_id), None)
    pace = live.sent.delivered / (time.monotonic() - live.began) if live and live.sent else None
    content = {"run": document, "live": live, "pace": pace}
    return page(request, "run.html", f"Run {run_id}", here="/runs", **content)


def _activations(service: Service, only: str | None = None) -> list[dict[str, Any]]:
    documents = [d for d in service.status() if only in (None, d["name"])]
    now = datetime.now(UTC)
    with service.app_reports() as reports:
        for document in documents:
            name = document["name"]
            configured = service.app.settings.activation(name)
            document |= {
                "description": configured.description,
                "days": reports.days(name, now, DAYS),
                "read_at": reports.read_at(name),
            }
    return documents


def _sources(found: Activation) -> list[tuple[str, str]]:
    """Where interactions come from, but for their payload."""
    model = found.model
    source = model.file or model.table or model.dbt or "SQL in the configuration"
    parts = [
        ("Model", source),
        ("Schema", found.schema_id),
        ("Row key", ", ".join(found.row_key)),
        ("Contact", f"{found.contact.column} ({found.contact.identifier})"),
    ]
    if found.created_date:
        parts.append(("Created date", found.created_date.column))
    return parts


# --- acting -------------------------------------------------------------------------------------


async def begin(request: Request) -> Response:
    """Begin a run."""
    service, name = service_of(request), request.path_params["name"]
    form = await form_of(request)
    approve = form.get("approve") == "1"
    if approve and form.get("confirmed") != "1":
        return confirm(
            request, "Let exactly the rows go that are held?", form, f"/activations/{quote(name)}"
        )
    begun = await service.ask(name, approve)
    live = service.live.get(name)
    run_id = live and await _id_of(live, service)
    if live and live.error:
        raise live.error
    where = f"/runs/{run_id}" if run_id else f"/activations/{quote(name)}"
    if begun:
        return said(where, "The run has begun.")
    return said(where, APPROVED_MEANWHILE if approve else "A run is going on.")


async def _id_of(live: Live, service: Service) -> str | None:
    """The run's id as soon as it has one; None when that takes long."""
    until = time.monotonic() + WAIT_FOR_ID
    while not live.run_id and service.live.get(live.activation) is live:
        if time.monotonic() > until:
            break
        await asyncio.sleep(0.01)
    return live.run_id


def pause(request: Request) -> Response:
    """Pause an activation."""
    service, name = service_of(request), request.path_params["name"]
    service.app.settings.activation(name)
    service.pause(name, "the web page")
    return said(f"/activations/{quote(name)}", "It is paused.")


def resume(request: Request) -> Response:
    """End a pause."""
    service, name = service_of(request), request.path_params["name"]
    service.app.settings.activation(name)
    service.resume(name)
    return said(f"/activations/{quote(name)}", "The pause has ended.")


def confirm(
    request: Request, question: str, form: Mapping[str, str], back: str, decides: bool = False
) -> Response:
    """The question that browsers without scripts see; others have asked it already.

    `decides`: it goes on record, so who decides is asked for, too.
    """
    return page(
        request,
        "confirm.html",
        "Are you sure?",
        question=question,
        fields=[(name, value) for name, value in form.items() if name not in ("by", "note")],
        action=request.scope["path"],
        back=back,
        decides=decides,
    )


def said(path: str, text: str) -> Response:
    """Go on to `path`, where `text` is shown."""
    joint = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{joint}said={quote(text)}", 303)


# --- how things are written ----------------------------------------------------------------------


def shortened(text: str, most: int = LONGEST_CELL) -> str:
    """The beginning of a text that could fill the page."""
    return text if len(text) <= most else f"{text[:most]}…"


def _moment(text: str | None, to: str = "minutes") -> str:
    return f"{text[:10]} {text[11 : 19 if to == 'seconds' else 16]} UTC" if text else "–"


def _away(text: str) -> str:
    """How far a time is from now."""
    return away(datetime.fromisoformat(text), datetime.now(UTC))


def away(then: datetime, now: datetime) -> str:
    """How far `then` is from `now`, in the largest unit that still tells something."""
    seconds = abs((then - now).total_seconds())
    if seconds < 1.5:
        return "now"
    size, unit = next((s, u) for s, u in UNITS if seconds >= 1.5 * s)
    return f"in {seconds / size:.0f} {unit}" if then > now else f"{seconds / size:.0f} {unit} ago"


def _lasting(seconds: float) -> str:
    if 0 < seconds < 1:
        return "less than 1 s"
    size, unit = next((s, u) for s, u in UNITS if seconds >= 1.5 * s or s == 1)
    return f"{seconds / size:.0f} {unit}"


def _number(number: float) -> str:
    return f"{number:,}"


def _words(text: str) -> str:
    return text.replace("_", " ")


def _matched(run: Mapping[str, Any]) -> str | None:
    """The share of a run's contact identifiers that belong to a contact."""
    rate = (run["contacts"] or {}).get("match_rate")
    return None if rate is None else f"{rate:.1%}"


def _speed(run: Mapping[str, Any]) -> str | None:
    """Deliveries a second of a run that has ended."""
    if not run["finished_at"] or not run["delivered"]:
        return None
    seconds = max(_span(run).total_seconds(), 0.001)
    return f"{run['delivered'] / seconds:,.1f} a second"


def _span(run: Mapping[str, Any]) -> timedelta:
    began, ended = run["started_at"], run["finished_at"]
    return datetime.fromisoformat(ended) - datetime.fromisoformat(began)


def _took(run: Mapping[str, Any]) -> str:
    if not run["finished_at"]:
        return "–"
    seconds = _span(run).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else _lasting(seconds)


def _pretty(body: dict[str, Any], shown: bool) -> str:
    """A body; without `shown`, with everything masked that a row has brought."""
    if not shown:
        masked = dict.fromkeys(body["payload"], "•••")  # a number may tell about a customer, too
        body = {**body, "contactId": "•••", "payload": masked}
    return json.dumps(body, indent=2, ensure_ascii=False)


ENVIRONMENT = Environment(
    loader=PackageLoader("connector.serve.web"),
    autoescape=True,  # rows may hold anything, scripts too
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(
    away=_away,
    moment=_moment,
    number=_number,
    words=_words,
    took=_took,
    pretty=_pretty,
    matched=_matched,
    short=shortened,
    speed=_speed,
    tone=lambda status: TONES.get(status, "calm"),
)
