"""Who may come in, and what a browser may do with the pages."""

import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/healthz", "/readyz", "/login", "/static/style.css", "/static/script.js")
COOKIE = "connector_session"
TOO_MANY = "too many wrong tokens from this address; wait\n"
MOST_OF_A_BODY = 1024 * 1024
"""Bytes of a form: far more than the pages send."""
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
    """Lets in who shows the token where one is set, and never a request that another site makes.

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
    ) -> None:
        self._app, self._token, self._opens = app, token, opens
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
        if self._token is None and not is_open and not _is_here(request):
            return PlainTextResponse("this server goes by localhost or 127.0.0.1\n", 421)
        if post and from_elsewhere(request):
            return PlainTextResponse("requests from other sites are refused\n", 403)
        if is_too_long(request):
            return PlainTextResponse("too long\n", 413, {"Connection": "close"})
        if (is_open and not (post and path == "/login")) or self._knows_session(request):
            return None
        if seconds := self._tries.seconds_to_wait(request.client):
            return PlainTextResponse(TOO_MANY, 429, {"Retry-After": str(seconds)})
        if is_open or self._shows_token(request):
            return None
        if "text/html" in request.headers.get("accept", "") and request.method == "GET":
            return RedirectResponse("/login", 303)
        return PlainTextResponse(
            "a token is needed\n", 401, {"WWW-Authenticate": 'Bearer realm="connector"'}
        )

    def _knows_session(self, request: Request) -> bool:
        return self._token is None or is_token(
            request.cookies.get(COOKIE, ""), session_of(self._token)
        )

    def _shows_token(self, request: Request) -> bool:
        assert self._token is not None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        if is_token(given, self._token):
            return True
        self._tries.failed(request.client)
        return False


def is_too_long(request: Request) -> bool:
    """Whether the request says that its body is longer than any of ours."""
    length = request.headers.get("content-length", "0")
    return not (length.isascii() and length.isdigit()) or int(length[:20]) > MOST_OF_A_BODY


def is_token(given: str, token: str) -> bool:
    """Whether they are equal, in a time that does not tell how much of them is."""
    return secrets.compare_digest(given.encode(), token.encode())


def session_of(token: str) -> str:
    """What a browser keeps instead of the token."""
    return hmac.new(token.encode(), b"session", sha256).hexdigest()


def _is_here(request: Request) -> bool:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname in LOOPBACK
    except ValueError:  # such as //[
        return False


def from_elsewhere(request: Request) -> bool:
    """Whether a page of another site has made the browser ask."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != request.headers.get("host")
    except ValueError:
        return True
