"""What a person may see and change of a running sandbox: the page, and JSON under /sandbox."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.sandbox.behaviour import Common
from connector.sandbox.gate import is_loopback
from connector.sandbox.page import CONTENT_POLICY
from connector.sandbox.traffic import RequestLog

B = TypeVar("B", bound=Common)
T = TypeVar("T")


class Kept(Protocol[B]):
    """Everything that a sandbox keeps."""

    behaviour: B

    def reset(self, keep: Collection[str]) -> None:
        """Forget everything but what is named."""


def control_app(
    kept: Kept[B], requests: RequestLog, page: Callable[[], str], more: Iterable[Route]
) -> ASGIApp:
    """Return the application for everything that is not the API: `page` is the HTML of /, and
    `more` are the routes that only this API's sandbox has."""
    control = Control(kept, requests, page)
    routes = [
        Route("/", control.page),
        Route("/sandbox/requests", control.requests),
        Route("/sandbox/behaviour", control.behaviour),
        Route("/sandbox/behaviour", control.set_behaviour, methods=["PUT"]),
        Route("/sandbox/reset", control.reset, methods=["POST"]),
        *more,
    ]
    return _for_this_machine_only(Starlette(routes=routes))


class Control(Generic[B]):
    """The handlers of the control routes."""

    def __init__(self, kept: Kept[B], requests: RequestLog, page: Callable[[], str]) -> None:
        self._kept = kept
        self._requests = requests
        self._page = page

    async def page(self, _: Request) -> Response:
        """GET /: what the sandbox has received, for people."""
        return HTMLResponse(self._page(), headers={"Content-Security-Policy": CONTENT_POLICY})

    async def requests(self, _: Request) -> Response:
        """GET /sandbox/requests: how many requests came, and how fast."""
        return told(self._requests.report(self._kept.behaviour.recommended_rate))

    async def behaviour(self, _: Request) -> Response:
        """GET /sandbox/behaviour."""
        return Response(self._kept.behaviour.model_dump_json(), media_type="application/json")

    async def set_behaviour(self, request: Request) -> Response:
        """PUT /sandbox/behaviour: another behaviour, with defaults for what is left out."""
        try:
            behaviour = type(self._kept.behaviour).model_validate_json(await request.body())
        except ValidationError as error:
            return problem(422, str(error))
        self._kept.behaviour = behaviour
        return await self.behaviour(request)

    async def reset(self, request: Request) -> Response:
        """POST /sandbox/reset: forget everything; `keep=schemas&keep=contacts` spares those."""
        self._kept.reset(keep=request.query_params.getlist("keep"))
        self._requests.clear()
        return Response(status_code=204)


def told(body: Any, status: int = 200) -> Response:
    """Return an answer in JSON."""
    return Response(orjson.dumps(body), status, media_type="application/json")


def problem(status: int, message: str) -> Response:
    """Return an answer that says what is wrong."""
    return told({"message": message}, status)


def newest(stored: Sequence[T], limit: str) -> Sequence[T]:
    """Return the last so many; all, where `limit` is empty."""
    return stored[max(0, len(stored) - int(limit)) :] if limit else stored


def _for_this_machine_only(app: ASGIApp) -> ASGIApp:
    """Refuse what a page of some website makes a browser on this machine ask for."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        # By name, not by address: a website can point its own name at this address.
        if is_loopback(_name_of(host)) and origin in (None, f"http://{host}"):
            await app(scope, receive, send)
        else:
            await problem(403, "only for this machine")(scope, receive, send)

    return guarded


def _name_of(host: str) -> str | None:
    """Return the Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
