"""Where webhooks of destinations come in: each by the secret that its destination names."""

import time

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from connector.basis.log import Log
from connector.rules.webhooks import Listening
from connector.serve.service import Service
from connector.serve.web.bounds import body_within

log = Log(__name__)

PLACE = "/webhooks/"
SAY_EVERY = 60.0
"""Seconds after which it is logged again that webhooks of a destination are refused."""


def listening(service: Service, path: str) -> Listening | None:
    """How webhooks are taken at `path`; None: there is nothing at it."""
    if not path.startswith(PLACE):
        return None
    name = path.removeprefix(PLACE).partition("/")[0]
    settings = service.app.settings.project.destinations.get(name)
    key = settings.webhook_key if settings else None
    hears = service.app.kind(name).hears if key else None
    return Listening(key, hears) if key and hears else None


async def webhook(request: Request) -> Response:
    """Take one in: 202 as soon as it is believed; what comes of it is done afterwards."""
    service, waker = Service.of(request), request.app.state.waker
    name = request.path_params["destination"]
    ears = listening(service, request.scope["path"])
    if ears is None:
        raise HTTPException(404)
    if request.method != "POST":
        return PlainTextResponse("webhooks are posted here\n", 405, {"Allow": "POST"})
    body = await body_within(request)
    if body is None:
        service.metrics.webhook(name, "refused")
        return PlainTextResponse("too long\n", 413, {"Connection": "close"})
    if not ears.believes(request.headers, request.path_params.get("secret"), body, time.time()):
        service.metrics.webhook(name, "refused")
        if waker.may_say(name, SAY_EVERY):
            log.warning(
                "serve.webhook_refused", destination=name, reason="no valid secret or signature"
            )
        return PlainTextResponse("refused\n", 401)
    try:
        news = ears.understand(orjson.loads(body))
    except (orjson.JSONDecodeError, RecursionError):
        service.metrics.webhook(name, "ignored")
        return PlainTextResponse("no JSON\n", 400)
    service.metrics.webhook(name, news.happened.value if news else "ignored")
    if news:
        waker.heard(name, news)
    return PlainTextResponse("ok\n", 202)
