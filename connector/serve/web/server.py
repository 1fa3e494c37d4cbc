"""Run the service and its web server in one event loop, until SIGTERM."""

import asyncio
import inspect
import ipaddress
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from connector.project.settings import Settings
from connector.rules.errors import CannotListen, ConfigurationError, ConnectorError, places
from connector.serve.service import Service
from connector.serve.waking import Waker
from connector.serve.web import (
    activations,
    audit,
    deciding,
    machines,
    now,
    quarantine,
    runs,
    schemas,
    webhooks,
)
from connector.serve.web.bounds import MOST_AT_ONCE, MOST_OF_A_HEAD, Bounded
from connector.serve.web.gate import Gate, Tries
from connector.serve.web.login import login
from connector.serve.web.page import problem, shortened
from connector.serve.web.persons import PEER, Persons

log = structlog.get_logger()

Endpoint = Callable[[Request], Any]

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
        print(f"connector serves on {_url(listener)}", flush=True)
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


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


# --- the addresses -----------------------------------------------------------------------------


def web_app(service: Service, token: str | None) -> Starlette:
    """The application. With a `token`, every request but those for health must show it."""
    answered = partial(paged, fail=machines.failure)
    routes = [
        Route("/healthz", machines.healthz),
        Route("/readyz", machines.readyz),
        Route("/metrics", machines.metrics),
        Route("/api/status", answered(machines.status)),
        Route("/api/sync/{name}", answered(machines.sync), methods=["POST"]),
        Route("/api/approve/{name}", answered(machines.approve), methods=["POST"]),
        Route("/api/audit", answered(audit.document)),
        *[
            Route(webhooks.PLACE + path, webhooks.webhook, methods=ANY)
            for path in ("{destination}", "{destination}/{secret:path}")
        ],
        Route("/login", paged(login), methods=["GET", "POST"]),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        Route("/", paged(activations.overview)),
        Route("/activations/{name}", paged(activations.activation)),
        Route("/activations/{name}/preview", paged(activations.preview)),
        Route("/activations/{name}/receipts", paged(activations.verifications)),
        Route("/activations/{name}/run", paged(activations.begin), methods=["POST"]),
        Route("/activations/{name}/approve", paged(activations.approve), methods=["POST"]),
        Route("/activations/{name}/pause", paged(activations.pause), methods=["POST"]),
        Route("/activations/{name}/resume", paged(activations.resume), methods=["POST"]),
        Route("/runs", paged(runs.runs)),
        Route("/runs/{run_id}", paged(runs.run)),
        Route("/audit", paged(audit.audit)),
        Route("/audit/{file}", paged(audit.download)),
        Route("/rows", paged(quarantine.row)),
        Route("/rows/now", paged(now.now), methods=["POST"]),
        Route("/quarantine", paged(quarantine.quarantine)),
        Route("/quarantine/retry", paged(deciding.retry), methods=["POST"]),
        Route("/quarantine/discard", paged(deciding.discard), methods=["POST"]),
        Route("/quarantine/settle", paged(deciding.settle), methods=["POST"]),
        Route("/decisions/{number}", paged(deciding.deciding)),
        Route("/schemas", paged(schemas.schemas)),
        Route("/schema", paged(schemas.schema)),
    ]
    tries = Tries(time.monotonic)

    def persons() -> Persons:
        return Persons(token, service.app.settings.project.serve)

    def opens(path: str) -> bool:
        return webhooks.listening(service, path) is not None

    app = Starlette(
        routes=routes,
        middleware=[Middleware(Gate, token=token, tries=tries, opens=opens, persons=persons)],
        exception_handlers={404: nowhere, 405: not_so},
    )
    app.state.service, app.state.persons, app.state.tries = service, persons, tries
    app.state.decidings, app.state.waker = {}, Waker(service)
    app.state.around = lambda: {
        "since": service.started_at.isoformat(),
        "config_error": service.config_error,
        "keeps_schemas": bool(schemas.kept(service.app)),
    }
    return app


def paged(
    endpoint: Endpoint, fail: Callable[[Request, Exception], Response] = problem
) -> Callable[[Request], Awaitable[Response]]:
    """`endpoint`; what blocks runs in a thread, and `fail` tells what goes wrong: on a page, unless
    it is said otherwise."""

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


async def nowhere(request: Request, error: Exception) -> Response:
    """There is no such page."""
    path = shortened(request.scope["path"])
    text = ConfigurationError(f"There is nothing at {path}.")
    return problem(request, text, "There is no such page")


async def not_so(request: Request, error: Exception) -> Response:
    """There is such a page, but not for this method: an action, opened as an address."""
    text = ConfigurationError("This address is for a button of another page; begin there.")
    return problem(request, text, "There is nothing to see here", 405)
