"""A sandbox of MXO that answers: beside a test, in a thread, or in the foreground."""

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from connector.basis import dataclass
from connector.sandbox.clock import Clock
from connector.sandbox.exchange import Answer, Request
from connector.sandbox.mxo import api, control
from connector.sandbox.mxo.behaviour import Behaviour
from connector.sandbox.mxo.store import Mxo, Took
from connector.sandbox.plain import PlainApi
from connector.sandbox.running import answering, serve
from connector.sandbox.server import HOST
from connector.sandbox.start import Files, Place, behaviour_of, only_behaviour
from connector.sandbox.traffic import RequestLog

CLIENT_ID = "sandbox-client"
SECRET = "sandbox"
SITE_KEY = "ONE-SANDBOX000-1813"
WORKSPACE_ID = "sandbox-workspace"
SNIPPET = """\
destinations:
  mxo:
    type: mxo
    url: {url}
    client_id: {client_id}
    client_secret: {secret}
    site_key: {site_key}
    mode: batch                # batch | single
    workspace_id: {workspace_id}
activations:
  …:
    destination: mxo
    touchpoint: store://pos/visit"""


@dataclass(slots=True)
class Running:
    """A sandbox that answers, and everything it knows."""

    url: str  #: without a slash at the end
    secret: str
    store: Mxo
    requests: RequestLog
    client_id: str = CLIENT_ID
    site_key: str = SITE_KEY
    workspace_id: str = WORKSPACE_ID

    @property
    def behaviour(self) -> Behaviour:
        """What the sandbox does. Another one may be set at any time, and starts its seed anew."""
        return self.store.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self.store.behaviour = behaviour

    @property
    def clock(self) -> Clock:
        """The time there, which may be advanced."""
        return self.store.clock

    def finish(self) -> None:
        """Process all batches now that are not stuck for ever."""
        self.store.finish()

    def truth(self) -> dict[str, Took]:
        """How often each row took effect, by row reference, whatever was answered."""
        return self.store.truth()


@contextmanager
def running(
    behaviour: Behaviour | None = None,
    *,
    store: Mxo | None = None,
    host: str = HOST,
    port: int = 0,
    secret: str = SECRET,
) -> Iterator[Running]:
    """Serve a sandbox from a thread for as long as the context lasts.

    It answers from the first line of the context on. `store` brings what it holds, else it is
    empty; port 0 takes a free one. Raises ValueError for a host that is not loopback, OSError
    for a port in use.
    """
    store = store or Mxo()
    if behaviour is not None:
        store.behaviour = behaviour
    with answering(MxoApi(store, secret), store, control, host, port) as (url, requests):
        yield Running(url, secret, store, requests)


def start(place: Place, files: Files) -> None:
    """Serve a sandbox until SIGINT or SIGTERM, and tell a person of it."""
    only_behaviour(files, "mxo")
    store = Mxo(behaviour_of(Behaviour, files.behaviour))
    sandbox = running(store=store, host=place.host, port=place.port, secret=place.api_key)
    serve(sandbox, lambda ready: print(greeting(ready), flush=True))


def greeting(sandbox: Running) -> str:
    """Return what a person is told of a sandbox that answers."""
    names = ("url", "client_id", "secret", "site_key", "workspace_id")
    snippet = SNIPPET.format(**{name: getattr(sandbox, name) for name in names})
    return (
        f"A local MXO listens on {sandbox.url}"
        f" (client id: {sandbox.client_id}, client secret: {sandbox.secret}).\n"
        f"  site key: {sandbox.site_key}; workspace: {sandbox.workspace_id}\n"
        f"  Open {sandbox.url}/ to see what it receives. Ctrl-C ends it.\n"
        f"In activations.yaml:\n\n{snippet}\n"
    )


class MxoApi(PlainApi[Mxo]):
    """MXO as it is imitated: its paths, and whom it lets in."""

    parse = staticmethod(api.parse_request)
    prefixes = api.PREFIXES
    creates = (
        "PUT /interaction",
        "POST /interaction",
        "PUT /interaction/offline",
        "PUT /interactions/offline",
        "POST /batch",
    )

    def __init__(self, store: Mxo, secret: str) -> None:
        super().__init__(store, api.HANDLERS)
        self._basic = b"Basic " + base64.b64encode(f"{CLIENT_ID}:{secret}".encode())

    def refusal(self, request: Request, now: float) -> Answer | None:
        given = request.headers.get(b"authorization", b"")
        if request.route == api.TOKEN:
            # Compared in constant time, as everywhere where a secret is compared.
            if not secrets.compare_digest(given, self._basic):
                return self.refused(self.behaviour.bad_key_status, "The credentials are wrong")
        elif not self._store.lets_in(given.removeprefix(b"Bearer ").decode("latin-1")):
            return self.refused(401, "The token is not valid")
        elif refused := self._misdirected(request):
            return refused
        return self.too_many(now) if self.is_one_too_many(now) else None

    def error(self, status: int, message: str) -> Mapping[str, Any]:
        return {"statusCode": status, "message": message}

    def _misdirected(self, request: Request) -> Answer | None:
        """The answer to a request that is let in and asks for what is not its own."""
        says, headers = self._store.behaviour, request.headers
        if says.permission == "none":
            return self.refused(403, "The user lacks permission")
        if not request.version:
            return self.refused(400, "sk is required")
        if request.version != SITE_KEY:
            return self.refused(says.unknown_site_status, "There is no such site")
        if "/batch" in request.route:
            if (workspace := headers.get(b"workspaceid")) is None:
                return self.refused(400, "workspaceId is required")
            if workspace != WORKSPACE_ID.encode():
                return self.refused(403, "The workspace is another one")
        elif "/interaction" in request.route:
            named = headers.get(b"datamimetype") == b"application/json"
            if says.missing_header == "400" and not named:
                return self.refused(400, "dataMimeType is required")
        return None
