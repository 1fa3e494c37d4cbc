"""What machines ask for: health, metrics, the status, and a run."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from connector.rules.errors import ActivationBusy, ConnectorError, why
from connector.serve.service import Service
from connector.serve.web.page import told
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
    if not await Service.of(request).ask(name, Orders(by="the API")):
        raise ActivationBusy(f'a run of "{name}" is going on')
    return JSONResponse({"activation": name, "begun": True}, 202)


def failure(request: Request, error: Exception) -> Response:
    """What went wrong, as commands tell it under --json."""
    status, text = told(error)
    known = error if isinstance(error, ConnectorError) else ConnectorError()
    return JSONResponse({"error": {"message": text, **why(known)}}, status)
