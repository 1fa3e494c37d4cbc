"""Any sandbox, made to answer: for as long as a context lasts, or until a person stops it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from starlette.routing import Route

from connector.sandbox.app import Imitation, sandbox_app
from connector.sandbox.control import Kept, control_app
from connector.sandbox.server import served, until_stopped
from connector.sandbox.traffic import RequestLog

S = TypeVar("S", contravariant=True)
K = TypeVar("K", bound=Kept[Any])
R = TypeVar("R")


class Controls(Protocol[S]):
    """The `control` module of an API: what a person may see and change of its sandbox."""

    def routes(self, store: S, /) -> list[Route]:
        """The control routes that only this API has."""

    def render(self, store: S, requests: RequestLog, /) -> str:
        """The page as HTML."""


@contextmanager
def answering(
    imitation: Imitation, store: K, control: Controls[K], host: str, port: int
) -> Iterator[tuple[str, RequestLog]]:
    """Serve an API and its controls from a thread for as long as the context lasts; gives the URL
    and the requests that come. Raises as `served` does."""
    requests = RequestLog(imitation.creates)
    controls = control_app(
        store, requests, lambda: control.render(store, requests), control.routes(store)
    )
    with served(sandbox_app(imitation, requests, controls), host, port) as url:
        yield url, requests


def serve(sandbox: AbstractContextManager[R], on_ready: Callable[[R], None]) -> None:
    """Keep a sandbox until SIGINT or SIGTERM, then return. For the main thread only.

    `on_ready` is called as soon as it answers. Raises as entering the sandbox does.
    """
    with until_stopped() as stopped, sandbox as ready:
        on_ready(ready)
        stopped.wait()
