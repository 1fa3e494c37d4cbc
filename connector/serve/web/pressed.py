"""Answers that are long and hold no secret beside what the asker chose are compressed, where the
asker takes that: the status of hundreds of activations is a twentieth then.

Not the other pages: how long a compressed answer is tells something of what stands in it, to
whoever watches the line and has a browser ask for words of their own beside it.
"""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

PATHS = ("/", "/api/status", "/metrics", "/openapi.json")
LONG, LEVEL = 2_000, 5


class Pressed:
    """Passes requests on; compresses answers of PATHS that are longer than LONG bytes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._pressed = app, GZipMiddleware(app, LONG, LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen = scope["type"] == "http" and scope["path"] in PATHS
        await (self._pressed if chosen else self._app)(scope, receive, send)
