"""Run the service and its web server in one event loop, until SIGTERM."""

import asyncio
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from connector.project.settings import Settings
from connector.rules.errors import CannotListen, ConfigurationError
from connector.serve.service import Service
from connector.serve.web.app import web_app
from connector.serve.web.bounds import MOST_AT_ONCE, MOST_OF_A_HEAD, Bounded

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
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"whoever reaches {host} could start runs and see customers' data; set"
            " CONNECTOR_TOKEN, or serve on 127.0.0.1"
        )
    listener = _listen(host, port)
    with listener:
        service = Service(config, settings)
        server = Server(
            uvicorn.Config(
                web_app(service, token),
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
        stopped = _stop_on_signals()
        await service.start()
        serving = asyncio.create_task(server.serve([listener]))
        print(f"connector serves on {_url(listener)}", flush=True)
        await stopped.wait()
        in_order = await service.stop()
        server.should_exit = True
        await serving
        _leave(after=THREADS_HAVE if in_order else 0.0)


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


def _stop_on_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
