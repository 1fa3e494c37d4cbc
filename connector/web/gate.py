"""Who may come in, and what a browser may do with the pages."""

import hmac
import secrets
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/healthz", "/readyz", "/login", "/static/style.css", "/static/script.js")
COOKIE = "connector_session"
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


class Gate:
    """Lets in who shows the token where one is set, and never a request that another site makes.

    A page of another site can make a browser send requests here, but not say that they come from
    here; and under a name of its own (DNS rebinding) it could read the answers, so without a token
    only names of this machine are answered to.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

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
        if self._token is None and request.url.path not in OPEN_PATHS and not _is_here(request):
            return PlainTextResponse("this server goes by localhost or 127.0.0.1\n", 421)
        if request.method not in ("GET", "HEAD") and from_elsewhere(request):
            return PlainTextResponse("requests from other sites are refused\n", 403)
        if request.url.path in OPEN_PATHS or self._knows_token(request):
            return None
        if "text/html" in request.headers.get("accept", "") and request.method == "GET":
            return RedirectResponse("/login", 303)
        return PlainTextResponse(
            "a token is needed\n", 401, {"WWW-Authenticate": 'Bearer realm="connector"'}
        )

    def _knows_token(self, request: Request) -> bool:
        if self._token is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and is_token(given, self._token):
            return True
        return is_token(request.cookies.get(COOKIE, ""), session_of(self._token))


def is_token(given: str, token: str) -> bool:
    """Whether they are equal, in a time that does not tell how much of them is."""
    return secrets.compare_digest(given.encode(), token.encode())


def session_of(token: str) -> str:
    """What a browser keeps instead of the token."""
    return hmac.new(token.encode(), b"session", sha256).hexdigest()


def _is_here(request: Request) -> bool:
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    return host in LOOPBACK


def from_elsewhere(request: Request) -> bool:
    """Whether a page of another site has made the browser ask."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")
