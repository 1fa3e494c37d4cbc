"""What machines ask for: health, metrics, the status, and a run."""

import json

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from connector.decisions.approve import Approve
from connector.ledger.decisions import Person
from connector.rules.errors import ActivationBusy, ConfigurationError, ConnectorError, why
from connector.serve.service import Service
from connector.serve.web.page import body_of, told
from connector.serve.web.persons import visitor_of
from connector.sync.flow import Orders


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
    return JSONResponse({"activations": Service.of(request).status()})


async def sync(request: Request) -> Response:
    """Begin a run: 202; 409 when one is going on, or the activation is paused."""
    name = request.path_params["name"]
    orders = Orders(by=visitor_of(request).name or "the API")
    if not await Service.of(request).ask(name, orders):
        raise ActivationBusy(f'a run of "{name}" is going on')
    return JSONResponse({"activation": name, "begun": True}, 202)


async def approve(request: Request) -> Response:
    """Let exactly the held rows go; the next run sends them. A body may say `by`, `note` and the
    `digest` of the rows that were shown."""
    app, name = Service.of(request).app, request.path_params["name"]
    said = await _said(request)
    who = Person(visitor_of(request).name or said.get("by", "") or "the API", said.get("note"))
    deed = Approve(app, app.settings.activation(name), who, digest=said.get("digest"))
    done = await deed.do(await deed.plan(), agreed=True)
    return JSONResponse(done.document())


async def _said(request: Request) -> dict[str, str]:
    """The texts of a JSON body, each on one line. Raises ConfigurationError."""
    body = await body_of(request)
    try:
        content = json.loads(body) if body else {}
    except ValueError:
        raise ConfigurationError("the body is no JSON") from None
    if not isinstance(content, dict):
        raise ConfigurationError("the body is no JSON object")
    texts = {n: " ".join(v.split())[:500] for n, v in content.items() if isinstance(v, str)}
    return {name: text for name, text in texts.items() if text}


def failure(request: Request, error: Exception) -> Response:
    """What went wrong, as commands tell it under --json."""
    status, text = told(error)
    known = error if isinstance(error, ConnectorError) else ConnectorError()
    return JSONResponse({"error": {"message": text, **why(known)}}, status)
