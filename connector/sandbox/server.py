"""Listen on loopback and answer: beside a test, in a thread, or in the foreground for a person."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from connector.sandbox.gate import is_loopback
from connector.sandbox.wire import OpenProtocol

HOST = "127.0.0.1"
#: Longer than clients keep idle connections: a server that closes first makes doubts out of luck.
KEEP_ALIVE = 75


@contextmanager
def served(app: ASGIApp, host: str = HOST, port: int = 0) -> Iterator[str]:
    """Serve an application from a thread for as long as the context lasts; gives its URL.

    It answers from the first line of the context on; port 0 takes a free one. Raises ValueError
    for a host that is not loopback, OSError for a port in use.
    """
    with _listen(host, port) as listener, _answered(app, listener):
        yield _url(listener)


@contextmanager
def until_stopped() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set. For the main thread only."""
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    # Anybody who reaches the port can read and change everything: it has no users, only a key
    # that stands in the documentation.
    if not is_loopback(host):
        raise ValueError(f"the sandbox listens on loopback only, not on '{host}'")
    address = HOST if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=2048)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _answered(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Answer what arrives at the listener, in a thread of its own."""
    stop: Future[Callable[[], None]] = Future()
    thread = threading.Thread(target=_run, args=(app, listener, stop), name="sandbox", daemon=True)
    thread.start()
    stop_serving = stop.result()
    try:
        yield
    finally:
        stop_serving()
        thread.join()


def _run(app: ASGIApp, listener: socket.socket, stop: Future[Callable[[], None]]) -> None:
    try:
        asyncio.run(_serve_until_stopped(app, listener, stop))
    except BaseException as error:
        if stop.done():
            raise
        stop.set_exception(error)  # whoever started the thread waits for this


async def _serve_until_stopped(
    app: ASGIApp, listener: socket.socket, stop: Future[Callable[[], None]]
) -> None:
    config = Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE,
        date_header=False,  # what time it is here, the behaviour says
    )
    config.load()
    state = ServerState()
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    # uvicorn's own server looks for its end, and for open connections, ten times a second;
    # tests start and stop many sandboxes, and leave requests hanging on purpose.
    server = await loop.create_server(lambda: OpenProtocol(config, state, {}), sock=listener)

    def stop_serving() -> None:
        loop.call_soon_threadsafe(stopped.set)

    stop.set_result(stop_serving)
    await stopped.wait()
    server.close()
    await _close(state)


async def _close(state: ServerState) -> None:
    """Drop all connections, and see every request end."""
    await asyncio.sleep(0)  # a connection that has just been accepted becomes known
    for protocol in list(state.connections):
        protocol.transport.abort()
    while state.connections:
        await asyncio.sleep(0)
    if state.tasks:
        await asyncio.wait(list(state.tasks))
