"""The routes of `connector serve`."""

import inspect
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from connector.rules.errors import ActivationBusy, ConfigurationError, ConnectorError, places, why
from connector.serve.service import Service
from connector.serve.web import pages, quarantine, schemas
from connector.serve.web.bounds import Tries
from connector.serve.web.gate import COOKIE, Gate, is_token, session_of
from connector.serve.web.pages import service_of

log = structlog.get_logger()

Endpoint = Callable[[Request], Any]


def web_app(service: Service, token: str | None) -> Starlette:
    """The application. With a `token`, every request but those for health must show it."""
    routes = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/api/status", answered(status)),
        Route("/api/sync/{name}", answered(sync), methods=["POST"]),
        Route("/login", paged(login), methods=["GET", "POST"]),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        Route("/", paged(pages.overview)),
        Route("/activations/{name}", paged(pages.activation)),
        Route("/activations/{name}/preview", paged(pages.preview)),
        Route("/activations/{name}/run", paged(pages.begin), methods=["POST"]),
        Route("/activations/{name}/pause", paged(pages.pause), methods=["POST"]),
        Route("/activations/{name}/resume", paged(pages.resume), methods=["POST"]),
        Route("/runs", paged(pages.runs)),
        Route("/runs/{run_id}", paged(pages.run)),
        Route("/rows", paged(quarantine.row)),
        Route("/quarantine", paged(quarantine.quarantine)),
        Route("/quarantine/retry", paged(quarantine.retry), methods=["POST"]),
        Route("/quarantine/discard", paged(quarantine.discard), methods=["POST"]),
        Route("/quarantine/settle", paged(quarantine.settle), methods=["POST"]),
        Route("/decisions/{number}", paged(quarantine.deciding)),
        Route("/schemas", paged(schemas.schemas)),
        Route("/schema", paged(schemas.schema)),
    ]
    tries = Tries(time.monotonic)
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Gate, token=token, tries=tries)],
        exception_handlers={404: nowhere, 405: not_so},
    )
    app.state.service, app.state.token, app.state.decidings = service, token, {}
    app.state.tries = tries
    return app


async def nowhere(request: Request, error: Exception) -> Response:
    """There is no such page."""
    path = pages.shortened(request.scope["path"])
    text = ConfigurationError(f"There is nothing at {path}.")
    return pages.problem(request, text, "There is no such page")


async def not_so(request: Request, error: Exception) -> Response:
    """There is such a page, but not for this method: an action, opened as an address."""
    text = ConfigurationError("This address is for a button of another page; begin there.")
    return pages.problem(request, text, "There is nothing to see here", 405)


def paged(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """`endpoint`, with its failures as pages."""
    return _failing(endpoint, pages.problem)


def answered(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """`endpoint`, with its failures as documents."""
    return _failing(endpoint, failure)


def _failing(
    endpoint: Endpoint, fail: Callable[[Request, Exception], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """`endpoint`; what blocks runs in a thread, and `fail` tells what goes wrong."""

    async def handler(request: Request) -> Response:
        try:
            if inspect.iscoroutinefunction(endpoint):
                response: Response = await endpoint(request)
                return response
            return await run_in_threadpool(endpoint, request)
        except ConnectorError as error:
            return fail(request, error)
        except Exception as defect:  # a mistake of ours in one page must not be a bare error
            log.error("serve.page_failed", kind=type(defect).__name__, places=places(defect))
            return fail(request, defect)

    return handler


# --- for machines -------------------------------------------------------------------------------


async def healthz(request: Request) -> Response:
    """The process lives."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Schedules are followed, with the configuration as it is written now."""
    service = service_of(request)
    problem = service.config_error if service.ready else "not started, or stopping"
    return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)


def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


def status(request: Request) -> Response:
    """The document of `connector status --json`."""
    return JSONResponse({"activations": service_of(request).status()})


async def sync(request: Request) -> Response:
    """Begin a run: 202; 409 when one is going on, or the activation is paused."""
    name = request.path_params["name"]
    if not await service_of(request).ask(name):
        raise ActivationBusy(f'a run of "{name}" is going on')
    return JSONResponse({"activation": name, "begun": True}, 202)


def failure(request: Request, error: Exception) -> Response:
    """What went wrong, as commands tell it under --json."""
    status, text = pages.told(error)
    failure = error if isinstance(error, ConnectorError) else ConnectorError()
    return JSONResponse({"error": {"message": text, **why(failure)}}, status)


# --- for people ---------------------------------------------------------------------------------


async def login(request: Request) -> Response:
    """Take the token, and give a browser a session for it."""
    token: str | None = request.app.state.token
    if token is None:
        return RedirectResponse("/", 303)
    if request.method == "GET":
        return pages.page(request, "login.html", "Sign in", wrong=False)
    form = await pages.form_of(request)
    if not is_token(form.get("token", ""), token):
        request.app.state.tries.failed(request.client)
        return pages.page(request, "login.html", "Sign in", wrong=True, status=401)
    response = RedirectResponse("/", 303)
    secure = request.scope["scheme"] == "https"
    response.set_cookie(COOKIE, session_of(token), httponly=True, samesite="strict", secure=secure)
    return response
