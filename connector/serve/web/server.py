"""Run the service and its web server in one event loop, until SIGTERM."""

import asyncio
import inspect
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from connector.basis.log import Log
from connector.ledger import deeds
from connector.ledger.run_list import STATUSES
from connector.project.settings import Settings
from connector.rules.errors import CannotListen, ConfigurationError, ConnectorError, places
from connector.rules.place import authority, is_loopback
from connector.serve.service import Service
from connector.serve.waking import Waker
from connector.serve.web import (
    activations,
    audit,
    deciding,
    destinations,
    held,
    hooks,
    machines,
    overview,
    quarantine,
    receipts,
    row,
    runs,
    schemas,
    webhooks,
)
from connector.serve.web.bounds import MOST_AT_ONCE, MOST_OF_A_HEAD, Bounded
from connector.serve.web.gate import Gate, Tries
from connector.serve.web.login import login, logout
from connector.serve.web.model import Shapes
from connector.serve.web.openapi import (
    Address,
    Approving,
    Begin,
    Begun,
    Document,
    Endpoint,
    OneRun,
    Runs,
    Status,
    Taken,
    Text,
)
from connector.serve.web.openapi import document as openapi
from connector.serve.web.page import CONFIGURED, ZONE, problem, shortened
from connector.serve.web.persons import PEER, Persons
from connector.serve.web.pressed import Pressed

log = Log(__name__)

ASKING = {503: "the ledger cannot be asked"}
ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]
"""Methods for which an address that is not there says so."""
PAGES_HAVE = 5
"""Seconds that pages are waited for at the end."""
THREADS_HAVE = 5.0


class Server(uvicorn.Server):
    """A web server that leaves the signals to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(config: Path, settings: Settings, host: str, port: int, token: str | None) -> None:
    """Serve until SIGINT or SIGTERM; returns when everything under way is recorded.

    Raises ConfigurationError for a host beyond this machine without a token, StopRun when the port
    is taken, LedgerUnavailable.
    """
    if Persons(token, settings.project.serve).anybody and not is_loopback(host):
        raise ConfigurationError(
            f"whoever reaches {host} could start runs and see customers' data; set"
            " CONNECTOR_TOKEN, or serve.tokens or serve.user_header, or serve on 127.0.0.1"
        )
    listener = _listen(host, port)
    with listener:
        service = Service(config, settings)
        server = Server(
            uvicorn.Config(
                _peered(web_app(service, token)),
                proxy_headers=False,  # it is done above, after the peer's own address is kept
                http=Bounded,
                backlog=MOST_AT_ONCE,
                h11_max_incomplete_event_size=MOST_OF_A_HEAD,
                lifespan="off",
                ws="none",
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=PAGES_HAVE,
            )
        )
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.look_anew)
        await service.start()
        serving = asyncio.create_task(server.serve([listener]))
        url = f"http://{authority(*listener.getsockname()[:2])}"
        print(f"connector serves on {url}", flush=True)
        await stopped.wait()
        in_order = await service.stop()
        server.should_exit = True
        await serving
        _leave(after=THREADS_HAVE if in_order else 0.0)


def _peered(app: Any) -> Any:
    """`app`, told where a request came from itself, whatever it says of whom it is forwarded for;
    from which addresses that is believed, is as uvicorn has it."""
    forwarders = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    inner: Any = ProxyHeadersMiddleware(app, forwarders)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope[PEER] = scope.get("client")
        await inner(scope, receive, send)

    return outer


def _leave(after: float) -> None:
    """End this process `after` so many seconds if it does not by itself: everything is recorded,
    and a thread that a warehouse keeps waiting, for a preview say, cannot be stopped otherwise."""
    leaving = threading.Timer(after, os._exit, (0,))
    leaving.daemon = True
    leaving.start()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


# --- the addresses -----------------------------------------------------------------------------


def described(request: Request) -> Response:
    """The OpenAPI document of what stands here."""
    return JSONResponse(openapi(API))


OF_MACHINES = ("/api/", "/openapi.json", "/metrics", "/healthz", "/readyz")
TEXT: dict[str, Any] = {"type": "string"}
TIME = TEXT | {"description": "a date (UTC), a time with its zone, or a span before now: 7d"}
API = (
    Address(path="/healthz", endpoint=machines.healthz, answer=Text, summary="The process lives"),
    Address(
        path="/readyz",
        endpoint=machines.readyz,
        answer=Text,
        summary="Schedules are followed, with the configuration as it is written now",
        also={503: "not started, stopping, or the changed configuration is wrong"},
    ),
    Address(path="/metrics", endpoint=machines.metrics, answer=Text, summary="For Prometheus"),
    Address(
        path="/api/status",
        endpoint=machines.status,
        answer=Status,
        summary="Where every activation stands",
        also=ASKING,
    ),
    Address(
        path="/api/runs",
        endpoint=machines.runs,
        answer=Runs,
        summary="The newest runs, page by page; with a tag, all of those and their sum",
        query={
            "activation": TEXT,
            "status": {"type": "string", "enum": list(STATUSES)},
            "since": TIME,
            "before": TIME,
            "tag": TEXT,
            "limit": {"type": "integer", "minimum": 1, "maximum": machines.MOST_RUNS},
            "after": TEXT | {"description": "the run_id of `next` of the page before"},
        },
        also=ASKING | {404: "there is no such activation, or no such run"},
    ),
    Address(
        path="/api/runs/{run_id}",
        endpoint=machines.run,
        answer=OneRun,
        summary="One run, also while it waits and goes on",
        also=ASKING | {404: "there is no such run"},
    ),
    Address(
        method="POST",
        path="/api/sync/{name}",
        endpoint=machines.sync,
        answer=Begun,
        status=202,
        takes=Begin,
        summary="Begin a run",
        also=ASKING | {404: "there is no such activation", 409: "a run goes on, or it is paused"},
    ),
    Address(
        method="POST",
        path="/api/approve/{name}",
        endpoint=machines.approve,
        answer=Document,
        takes=Approving,
        summary="Let exactly the held rows go; the next run sends them",
        also=ASKING | {404: "there is no such activation, or nothing is held", 409: "refused"},
    ),
    Address(
        path="/api/audit",
        endpoint=audit.document,
        answer=Document,
        summary="What persons did, the newest first",
        query={
            "activation": TEXT,
            "by": TEXT,
            "what": {"type": "string", "enum": list(deeds.WORDS)},
            "since": TIME,
            "after": {"type": "integer", "description": "`next` of the page before"},
        },
        also=ASKING | {404: "there is no such activation, deed or time"},
    ),
    Address(
        method="POST",
        path=hooks.PLACE,
        endpoint=hooks.dbt,
        answer=Taken,
        status=202,
        takes=Document,
        signed=True,
        summary="dbt Cloud says that a job has ended: its activations are run",
        also={404: "no such webhook is configured"},
    ),
    Address(path="/openapi.json", endpoint=described, answer=Document, summary="This document"),
)


def web_app(service: Service, token: str | None) -> Starlette:
    """The application. With a `token`, every request but those for health must show it."""
    tries = Tries(time.monotonic)

    def persons() -> Persons:
        return Persons(token, service.app.settings.project.serve)

    def opens(path: str) -> bool:
        return webhooks.listening(service, path) is not None or hooks.opens(service, path)

    app = Starlette(
        routes=_routes(),
        middleware=[
            Middleware(Gate, token=token, tries=tries, opens=opens, persons=persons),
            Middleware(Pressed),
        ],
        exception_handlers={404: nowhere, 405: not_so},
    )
    app.state.service, app.state.persons, app.state.tries = service, persons, tries
    app.state.decidings, app.state.waker, app.state.events = {}, Waker(service), hooks.Events()
    app.state.shapes = Shapes()
    app.state.around = partial(around, service)
    return app


def _routes() -> list[BaseRoute]:
    """Every address, with what answers there."""
    answered = partial(paged, fail=machines.failure)
    return [
        *(
            Route(each.path, answered(each.endpoint, known=each.known), methods=[each.method])
            for each in API
        ),
        *[
            Route(webhooks.PLACE + path, webhooks.webhook, methods=ANY)
            for path in ("{destination}", "{destination}/{secret:path}")
        ],
        Route("/login", paged(login), methods=["GET", "POST"]),
        Route("/logout", paged(logout), methods=["POST"]),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        Route("/", paged(overview.overview)),
        Route("/activations/{name}", paged(activations.activation)),
        Route("/activations/{name}/preview", paged(activations.preview)),
        Route("/activations/{name}/receipts", paged(receipts.of_activation)),
        Route("/activations/{name}/held", paged(held.held)),
        Route("/activations/{name}/run", paged(activations.begin), methods=["POST"]),
        Route("/activations/{name}/approve", paged(activations.approve), methods=["POST"]),
        Route("/activations/{name}/pause", paged(activations.pause), methods=["POST"]),
        Route("/activations/{name}/resume", paged(activations.resume), methods=["POST"]),
        Route("/runs", paged(runs.runs)),
        Route("/runs/{run_id}", paged(runs.run)),
        Route("/runs/{run_id}/undo", paged(deciding.undo), methods=["POST"]),
        Route("/runs/{run_id}/verify", paged(deciding.verify), methods=["POST"]),
        Route("/receipts", paged(receipts.receipts)),
        Route("/receipts/{receipt_id}", paged(receipts.receipt)),
        Route("/audit", paged(audit.audit)),
        Route("/audit/{file}", paged(audit.download)),
        Route("/rows", paged(row.row)),
        Route("/rows/now", paged(row.now), methods=["POST"]),
        Route("/quarantine", paged(quarantine.quarantine)),
        Route(f"/quarantine/{quarantine.FILE}", paged(quarantine.download)),
        Route("/quarantine/now", paged(quarantine.looked), methods=["POST"]),
        Route("/quarantine/retry", paged(deciding.retry), methods=["POST"]),
        Route("/quarantine/discard", paged(deciding.discard), methods=["POST"]),
        Route("/quarantine/settle", paged(deciding.settle), methods=["POST"]),
        Route("/decisions/{number}", paged(deciding.deciding)),
        Route("/destinations", paged(destinations.destinations)),
        Route("/schemas", paged(schemas.schemas)),
        Route("/schema", paged(schemas.schema)),
    ]


def around(service: Service) -> dict[str, Any]:
    """What stands on every page: whose it is, and what is wrong with all of it."""
    project = service.app.settings.project
    hosts = {urlsplit(each.url).netloc: None for each in project.destinations.values()}
    return {
        "since": service.started_at.isoformat(),
        "config_error": service.config_error,
        "keeps_schemas": bool(schemas.kept(service.app)),
        "project": service.app.settings.name,
        "environment": project.environment,
        "hosts": list(hosts),
    }


def paged(
    endpoint: Endpoint,
    fail: Callable[[Request, Exception], Response] = problem,
    known: Collection[str] | None = None,
) -> Callable[[Request], Awaitable[Response]]:
    """`endpoint`; what blocks runs in a thread, and `fail` tells what goes wrong: on a page, unless
    it is said otherwise. `known`: what an address may ask; None: whatever it does."""

    async def handler(request: Request) -> Response:
        project = Service.of(request).app.settings.project
        ZONE.set(project.warehouse.timezone or UTC)
        CONFIGURED.set(project.activations)
        try:
            if known is not None:
                machines.refuse_unknown(request, known)
            if inspect.iscoroutinefunction(endpoint):
                response: Response = await endpoint(request)
                return response
            return await run_in_threadpool(_in_one, endpoint, request)
        except ConnectorError as error:
            return fail(request, error)
        except Exception as defect:  # a mistake of ours in one page must not be a bare error
            log.error("serve.page_failed", kind=type(defect).__name__, places=places(defect))
            return fail(request, defect)

    return handler


def _in_one(endpoint: Endpoint, request: Request) -> Any:
    """`endpoint`, for which the ledger is opened once, however often it is asked."""
    with Service.of(request).app.going_on():
        return endpoint(request)


async def nowhere(request: Request, error: Exception) -> Response:
    """There is no such page."""
    path = shortened(request.scope["path"])
    text = ConfigurationError(f"There is nothing at {path}.")
    if path.startswith(OF_MACHINES):
        return machines.failure(request, text)
    return problem(request, text, "There is no such page")


async def not_so(request: Request, error: Exception) -> Response:
    """There is such a page, but not for this method: an action, opened as an address."""
    text = ConfigurationError("This address is for a button of another page; begin there.")
    if request.scope["path"].startswith(OF_MACHINES):
        return machines.not_so(request, error)
    return problem(request, text, "There is nothing to see here", 405)
