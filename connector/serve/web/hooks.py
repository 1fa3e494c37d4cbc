"""Where dbt Cloud says that a job has ended: activations that read what it has built are run."""

from collections import OrderedDict
from dataclasses import field

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from connector.basis import dataclass
from connector.basis.log import Log
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.rules.serving import DbtHook
from connector.rules.webhooks import is_signed_by_dbt, job_ended
from connector.serve.recorded import DBT
from connector.serve.service import Service
from connector.serve.web.bounds import body_within
from connector.sync.flow import Orders

log = Log(__name__)

PLACE = "/api/hooks/dbt"
REMEMBERED = 1000
"""Webhooks that are known again when they are sent once more."""


@dataclass(slots=True)
class Events:
    """The ids of the newest webhooks. One that is sent again would do no harm: it begins a run that
    finds nothing new. But whoever has one could begin runs without end."""

    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def is_new(self, event: str) -> bool:
        """Whether it was not taken before; from now on it was."""
        if not event:
            return True
        if event in self.seen:
            return False
        self.seen[event] = None
        if len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        return True


def hook_of(service: Service) -> DbtHook | None:
    """What dbt begins, as it is configured now."""
    return service.app.settings.project.serve.hooks.dbt


def opens(service: Service, path: str) -> bool:
    """Whether a path is that of a hook, which asks for a signature instead of a token."""
    return path == PLACE and hook_of(service) is not None


async def dbt(request: Request) -> Response:
    """Take a webhook of dbt Cloud: 202 as soon as runs have begun, or are to follow those that go
    on; it waits for none of them, since dbt waits for ten seconds."""
    service, events = Service.of(request), request.app.state.events
    hook = hook_of(service)
    if hook is None:
        raise ConfigurationError("no webhook of dbt is configured")
    body = await body_within(request)
    if body is None:
        return PlainTextResponse("too long\n", 413, {"Connection": "close"})
    secret, shown = hook.secret.get_secret_value(), request.headers.get("authorization")
    if not is_signed_by_dbt(secret, shown, body):
        if request.app.state.waker.may_say(PLACE, 60.0):
            log.warning("serve.hook_refused", hook=DBT, reason="no valid signature")
        return PlainTextResponse("refused\n", 401)
    try:
        content = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        return PlainTextResponse("no JSON\n", 400)
    ended = job_ended(content)
    if ended is None or (hook.jobs and ended.job not in map(str, hook.jobs)):
        return JSONResponse({"taken": False, "activations": []}, 202)
    if not events.is_new(ended.event):
        return JSONResponse({"taken": False, "activations": []}, 202)
    log.info("serve.hook", hook=DBT, job=ended.job)
    chosen = service.app.settings.selected(hook.activations)
    begun = [await _begin(service, activation.name) for activation in chosen]
    return JSONResponse({"taken": True, "activations": begun}, 202)


async def _begin(service: Service, name: str) -> Document:
    """Begin a run, or let one follow; one that may not run keeps none of the others."""
    try:
        begun = await service.ask_after(name, Orders(by=DBT))
    except ConnectorError as error:
        return {"activation": name, "begun": False, "reason": str(error)}
    reason = None if begun else "a run goes on; another one follows it"
    return {"activation": name, "begun": begun, "reason": reason}
