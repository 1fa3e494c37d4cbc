"""A sandbox of Survey Dynamix that answers: beside a test, in a thread, or in the foreground."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from connector.basis import dataclass
from connector.sandbox.clock import Clock
from connector.sandbox.exchange import Answer, Request
from connector.sandbox.plain import PlainApi
from connector.sandbox.running import answering, serve
from connector.sandbox.server import HOST
from connector.sandbox.start import Files, Place, behaviour_of, only_behaviour
from connector.sandbox.survey_dynamix import api, control
from connector.sandbox.survey_dynamix.behaviour import Behaviour
from connector.sandbox.survey_dynamix.store import Got, SurveyDynamix
from connector.sandbox.traffic import RequestLog

CUSTOMER = "5d0f7a52-7a4c-4f53-9a39-6d6a1f5e2b10"
SECRET = "sandbox"
SNIPPET = """\
destinations:
  feedback:
    type: survey_dynamix
    url: {url}
    customer: {customer}
    auth_token: {secret}       # or, instead of both: token: {secret}
activations:
  …:
    destination: feedback
    survey_id: {survey}"""


@dataclass(slots=True)
class Running:
    """A sandbox that answers, and everything it knows."""

    url: str  #: without a slash at the end, and without /api
    secret: str  #: the auth token beside CUSTOMER, and the bearer token
    store: SurveyDynamix
    requests: RequestLog

    customer: str = CUSTOMER

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

    def truth(self) -> dict[str, Got]:
        """What persons got, by row reference, whatever was answered."""
        return self.store.truth()


@contextmanager
def running(
    behaviour: Behaviour | None = None,
    *,
    store: SurveyDynamix | None = None,
    host: str = HOST,
    port: int = 0,
    secret: str = SECRET,
) -> Iterator[Running]:
    """Serve a sandbox from a thread for as long as the context lasts.

    It answers from the first line of the context on. `store` brings what it holds, else it is
    empty; port 0 takes a free one. Raises ValueError for a host that is not loopback, OSError
    for a port in use.
    """
    store = store or SurveyDynamix()
    if behaviour is not None:
        store.behaviour = behaviour
    with answering(SurveyDynamixApi(store, secret), store, control, host, port) as (url, requests):
        yield Running(url, secret, store, requests)


def start(place: Place, files: Files) -> None:
    """Serve a sandbox until SIGINT or SIGTERM, and tell a person of it."""
    only_behaviour(files, "survey_dynamix")
    store = SurveyDynamix(behaviour_of(Behaviour, files.behaviour))
    sandbox = running(store=store, host=place.host, port=place.port, secret=place.api_key)
    serve(sandbox, lambda ready: print(greeting(ready), flush=True))


def greeting(sandbox: Running) -> str:
    """Return what a person is told of a sandbox that answers."""
    surveys = sorted(sandbox.behaviour.surveys)
    snippet = SNIPPET.format(
        url=sandbox.url,
        customer=sandbox.customer,
        secret=sandbox.secret,
        survey=surveys[0] if surveys else "…",
    )
    return (
        f"A local Survey Dynamix listens on {sandbox.url}"
        f" (customer: {sandbox.customer}, auth token: {sandbox.secret}).\n"
        f"  surveys: {', '.join(map(str, surveys)) or 'none'}\n"
        f"  Open {sandbox.url}/ to see what it receives. Ctrl-C ends it.\n"
        f"In activations.yaml:\n\n{snippet}\n"
    )


class SurveyDynamixApi(PlainApi[SurveyDynamix]):
    """Survey Dynamix as it is imitated: its paths, and whom it lets in."""

    parse = staticmethod(api.parse_request)
    prefixes = (api.PREFIX,)
    creates = ("POST /interactions",)

    def __init__(self, store: SurveyDynamix, secret: str) -> None:
        super().__init__(store, api.HANDLERS)
        basic = base64.b64encode(f"{CUSTOMER}:{secret}".encode())
        self._keys = (b"Basic " + basic, f"Bearer {secret}".encode())

    def refusal(self, request: Request, now: float) -> Answer | None:
        says, given = self._store.behaviour, request.headers.get(b"authorization", b"")
        # Compared in constant time, as everywhere where a secret is compared.
        if not any(secrets.compare_digest(given, key) for key in self._keys):
            return self.refused(says.bad_key_status, "The credentials are not valid")
        reads = request.method == "GET"
        if says.permission == "none" or (says.permission == "read" and not reads):
            return self.refused(says.no_permission_status, "This is not permitted")
        if not self.is_one_too_many(now):
            return None
        if says.overload == "503_after":
            self.answer_to(request)
            return self.failed(503)
        return self.too_many(now)
