"""Who may come in, and what a browser may do with the pages."""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector.rules.errors import why
from connector.serve.web.bounds import MOST_OF_A_BODY
from connector.serve.web.goal import sent_to_sign_in
from connector.serve.web.page import problem
from connector.serve.web.persons import (
    VISITOR,
    Forbidden,
    Persons,
    Role,
    Visitor,
    from_elsewhere,
    needed_for,
    refusal,
)

OPEN_PATHS = ("/healthz", "/readyz", "/login", "/static/style.css", "/static/script.js")
TOO_OFTEN = 429
TOO_MANY = "too many wrong tokens from this address; wait"
Opens = Callable[[str], bool]
"""Whether a path asks for a secret of its own."""
WRONG_TRIES, TRIES_WITHIN = 10, 60.0
"""So many wrong tokens an address may show in so many seconds."""
MOST_ADDRESSES = 1000
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Tries:
    """Counts wrong tokens by address. Over the bound no token counts for a while, the right one
    neither: else it could be found by trying."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: a clock in seconds that only goes forward."""
        self._now = now
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, client: Any) -> None:
        """A wrong token came from `client` (host and port, as ASGI has it)."""
        times = self._wrong.setdefault(_address(client), deque(maxlen=WRONG_TRIES))
        times.append(self._now())
        self._wrong.move_to_end(_address(client))
        if len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def seconds_to_wait(self, client: Any) -> int:
        """For how long no token from `client` counts; 0: it does."""
        times = self._wrong.get(_address(client))
        if times is None or len(times) < WRONG_TRIES:
            return 0
        return max(0, round(times[0] + TRIES_WITHIN - self._now() + 0.5))


def _address(client: Any) -> str:
    """The address; of IPv6 the network, since one host has all addresses of it."""
    host = str(client[0]) if client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network(f"{host}/64", strict=False))


class Gate:
    """Lets in who shows a token where one is set, or whom a trusted proxy names, to what their role
    allows, and never a request that another site makes.

    A page of another site can make a browser send requests here, but not say that they come from
    here; and under a name of its own (DNS rebinding) it could read the answers, so without a token
    only names of this machine are answered to.

    What is asked for is `scope["path"]`, by which the request is routed, and never the path of the
    URL, which begins with whatever the client says that its host is.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        tries: Tries | None = None,
        opens: Opens = lambda path: False,
        persons: Callable[[], Persons] | None = None,
    ) -> None:
        """`persons`: who is let in, as it is configured now; else whoever has the `token`."""
        self._app, self._opens = app, opens
        self._persons = persons or (lambda: Persons(token))
        self._tries = tries or Tries(time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        path, post = request.scope["path"], request.method not in ("GET", "HEAD")
        is_open = path in OPEN_PATHS or self._opens(path)
        persons = self._persons()
        if persons.anybody and not is_open and not _is_here(request):
            return turned_away(request, "this server goes by localhost or 127.0.0.1", 421)
        if post and from_elsewhere(request):
            return turned_away(request, "requests from other sites are refused", 403)
        if is_too_long(request):
            return turned_away(request, "too long", 413, {"Connection": "close"})
        if is_open and not (post and path == "/login"):
            return None
        visitor = Visitor() if persons.anybody else persons.by_proxy(request)
        if visitor := visitor or persons.with_session(request):
            return self._admitted(request, visitor)
        if seconds := self._tries.seconds_to_wait(request.client):
            return turned_away(request, TOO_MANY, TOO_OFTEN, {"Retry-After": str(seconds)})
        if is_open:
            return None
        if visitor := self._with_token(request, persons):
            return self._admitted(request, visitor)
        if is_page(request) and persons.sign_in:
            return sent_to_sign_in(request, from_elsewhere(request))
        return turned_away(
            request,
            "a token is needed" if persons.sign_in else "nobody is named by the proxy",
            401,
            {"WWW-Authenticate": 'Bearer realm="connector"'},
        )

    def _admitted(self, request: Request, visitor: Visitor) -> Response | None:
        """Keep who asks for whoever answers; a refusal, where their role does not allow it."""
        request.scope[VISITOR] = visitor
        needed = needed_for(request.method, request.scope["path"])
        return None if visitor.may(needed) else forbidden(request, visitor, needed)

    def _with_token(self, request: Request, persons: Persons) -> Visitor | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if (visitor := persons.with_token(given)) is None:
            self._tries.failed(request.client)
        return visitor


def forbidden(request: Request, visitor: Visitor, needed: Role) -> Response:
    """A role does not allow it; told on a page where a person asks."""
    if is_page(request):
        return problem(request, Forbidden(refusal(visitor, needed)))
    return turned_away(request, refusal(visitor, needed), 403)


def is_page(request: Request) -> bool:
    """Whether a browser asks for a page, or sends a form of one."""
    html = "text/html" in request.headers.get("accept", "")
    return html and not request.scope["path"].startswith("/api/")


def turned_away(
    request: Request, text: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Nobody answers it; told as commands tell an error under --json where a program asks."""
    if not request.scope["path"].startswith("/api/"):
        return PlainTextResponse(f"{text}\n", status, headers)
    error = {"message": text, **why(Forbidden(text)), "retryable": status == TOO_OFTEN}
    return JSONResponse({"error": error}, status, headers)


def is_too_long(request: Request) -> bool:
    """Whether the request says that its body is longer than any of ours."""
    length = request.headers.get("content-length", "0")
    return not (length.isascii() and length.isdigit()) or int(length[:20]) > MOST_OF_A_BODY


def _is_here(request: Request) -> bool:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname in LOOPBACK
    except ValueError:  # such as //[
        return False
