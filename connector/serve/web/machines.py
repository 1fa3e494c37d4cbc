"""What machines ask for: health, metrics, the status, and a run."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from connector.decisions.approve import Approve
from connector.ledger.decisions import Person
from connector.ledger.run_list import STATUSES, Which
from connector.project.audit import milliseconds, since_when
from connector.project.reporting import known_run
from connector.rules.errors import (
    ActivationBusy,
    ConfigurationError,
    ConnectorError,
    did_you_mean,
    why,
)
from connector.rules.words import one_line
from connector.serve.following import asked_now
from connector.serve.service import Service
from connector.serve.web.openapi import Approving, Begin
from connector.serve.web.page import NotUnderstood, body_of, told
from connector.serve.web.persons import visitor_of
from connector.sync.flow import Orders

WAIT_FOR_ID, WAIT_IN_LINE = 20.0, 0.3
"""Seconds in which a run that was asked for should have begun, or have its place."""
MOST_RUNS = 1000
BEGIN = TypeAdapter(Begin)


async def healthz(request: Request) -> Response:
    """The process lives."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Schedules are followed, with the configuration as it is written now."""
    service = Service.of(request)
    problem = service.config_error if service.ready else "not started, or stopping"
    return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)


def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(Service.of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


def status(request: Request) -> Response:
    """The document of `connector status --json`."""
    service = Service.of(request)
    needs = [need.document for need in service.app.needs()]
    return JSONResponse({"activations": service.status(), "needs": needs})


def run(request: Request) -> Response:
    """One run, as `connector runs --json` has it; one that was asked for here also while it waits
    for its place, and as one with those that went on with it."""
    service, run_id = Service.of(request), one_line(request.path_params["run_id"])
    with service.app.reports() as reports:
        asked = service.following.document(run_id, reports.run)
        document = asked or known_run(reports, run_id)
    live = service.live.get(document["activation"])
    if live and live.run_id in (document["run_id"], *document.get("runs", ())):
        document["in_flight"] = live.in_flight
    return JSONResponse(document)


def refuse_unknown(request: Request, known: Collection[str]) -> None:
    """What an address asks is what it may ask, each once. Raises NotUnderstood: to answer something
    else than what was asked would not be seen."""
    asked = [one_line(name)[:100] for name, _ in request.query_params.multi_items()]
    for name in asked:
        if name not in known:
            there = did_you_mean(name, sorted(known)) if known else "; this address takes none"
            raise NotUnderstood(f'there is no parameter "{name}"{there}')
        if asked.count(name) > 1:
            raise NotUnderstood(f"{name} is given more than once")


def runs(request: Request) -> Response:
    """The document of `connector runs --json`; and `next`: after which run the list goes on."""
    asked, app = request.query_params, Service.of(request).app
    limit, name = asked.get("limit", ""), asked.get("activation") or None
    if limit and not (limit.isascii() and limit.isdigit() and 0 < int(limit[:10]) <= MOST_RUNS):
        raise NotUnderstood(f"limit is a number from 1 to {MOST_RUNS}")
    which, after = _which(asked), one_line(asked.get("after", ""))
    if tag := one_line(asked.get("tag", "")):
        if after:
            raise NotUnderstood("after goes without tag, whose runs are told all at once")
        return JSONResponse(app.tagged(tag, name, int(limit or MOST_RUNS), which))
    if after:
        with app.reports() as reports:
            known_run(reports, after)
    number = int(limit or 20)
    found = app.runs(name, number + 1, replace(which, after=after or None))
    follow = found[number - 1]["run_id"] if len(found) > number else None
    return JSONResponse({"runs": found[:number], "next": follow})


def _which(asked: Mapping[str, str]) -> Which:
    """Which runs are meant, by their status and when they began. Raises NotUnderstood."""
    status = asked.get("status") or None
    if status is not None and status not in STATUSES:
        raise NotUnderstood(f"status is one of {', '.join(STATUSES)}")
    try:
        since, before = (
            milliseconds(since_when(asked.get(name) or None, name)) for name in ("since", "before")
        )
    except ConfigurationError as error:
        raise NotUnderstood(str(error)) from None
    return Which(status, None, since, before)


async def sync(request: Request) -> Response:
    """Begin a run: 202, with its id, by which it is followed also while it waits; 409 when one is
    going on, or the activation is paused. A body may say its `limit`, its `tag`, and `by` whom it
    is asked for."""
    service, said = Service.of(request), _begin(await body_of(request))
    name = service.chosen(request.path_params["name"]).name
    by = visitor_of(request).name or one_line(said.get("by", "")) or "the API"
    tag = one_line(said.get("tag", "")) or None
    asked = asked_now(name)
    orders = Orders(said.get("limit"), by=by, tag=tag, run_id=asked.run_id)
    if not await service.ask(name, orders):
        raise ActivationBusy(f'a run of "{name}" is going on')
    service.following.keep(asked)
    if live := service.live.get(name):
        live.asked.append(asked)
        await live.id(WAIT_FOR_ID, WAIT_IN_LINE)
    if asked.error:
        raise asked.error
    waits = live is not None and live.waits and not live.is_over
    facts = {"run_id": asked.run_id, "waits_for_place": waits}
    return JSONResponse({"activation": name, "begun": True} | facts, 202)


def _begin(body: bytes) -> Begin:
    """What a body says of a run that is to begin. Raises NotUnderstood."""
    try:
        return BEGIN.validate_json(body or b"{}")
    except ValidationError as error:
        parts = [".".join(map(str, each["loc"])) or "the body" for each in error.errors()]
        raise NotUnderstood(f"not understood: {', '.join(parts)}") from None


async def approve(request: Request) -> Response:
    """Let exactly the held rows go; the next run sends them. A body may say `by`, `note` and the
    `digest` of the rows that were shown."""
    app, name = Service.of(request).app, request.path_params["name"]
    said = await _said(request, Approving.__annotations__)
    who = Person(visitor_of(request).name or said.get("by", "") or "the API", said.get("note"))
    deed = Approve(app, app.settings.activation(name), who, digest=said.get("digest"))
    done = await deed.do(await deed.plan(), agreed=True)
    return JSONResponse(done.document())


async def _said(request: Request, known: Collection[str]) -> dict[str, str]:
    """The texts of a JSON body that may have the keys `known`, each on one line. Raises
    NotUnderstood."""
    body = await body_of(request)
    try:
        content = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise NotUnderstood("the body is no JSON") from None
    if not isinstance(content, dict):
        raise NotUnderstood("the body is no JSON object")
    parts = [name for name in content if name not in known]
    if parts := parts or [n for n, v in content.items() if not isinstance(v, str | None)]:
        raise NotUnderstood(f"not understood: {', '.join(one_line(part) for part in parts)}")
    texts = {name: " ".join(text.split())[:500] for name, text in content.items() if text}
    return {name: text for name, text in texts.items() if text}


def not_so(request: Request, error: Exception) -> Response:
    """There is such an address, but not for this method."""
    text = "this address does not take that method"
    document = {"error": {"message": text, **why(ConfigurationError(text))}}
    return JSONResponse(document, 405, getattr(error, "headers", None))


def failure(request: Request, error: Exception) -> Response:
    """What went wrong, as commands tell it under --json."""
    status, text = told(error)
    known = error if isinstance(error, ConnectorError) else ConnectorError()
    return JSONResponse({"error": {"message": text, **why(known)}}, status)
