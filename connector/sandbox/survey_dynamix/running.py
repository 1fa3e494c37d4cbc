"""A sandbox of Survey Dynamix that answers: beside a test, in a thread, or in the foreground."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connector.sandbox.app import sandbox_app
from connector.sandbox.clock import Clock
from connector.sandbox.control import control_app
from connector.sandbox.exchange import Answer, Refusal, Request
from connector.sandbox.gate import TokenBucket, retry_after
from connector.sandbox.server import HOST, served, until_stopped
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
    imitation = SurveyDynamixApi(store, secret)
    requests = RequestLog(imitation.creates)
    controls = control_app(
        store, requests, lambda: control.render(store, requests), control.routes(store)
    )
    with served(sandbox_app(imitation, requests, controls), host, port) as url:
        yield Running(url, secret, store, requests)


def start(place: Place, files: Files) -> None:
    """Serve a sandbox until SIGINT or SIGTERM, and tell a person of it."""
    only_behaviour(files, "survey_dynamix")
    store = SurveyDynamix(behaviour_of(Behaviour, files.behaviour))
    with (
        until_stopped() as stopped,
        running(store=store, host=place.host, port=place.port, secret=place.api_key) as sandbox,
    ):
        print(greeting(sandbox), flush=True)
        stopped.wait()


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


class SurveyDynamixApi:
    """Survey Dynamix as the way of a request through a sandbox needs it."""

    prefixes = (api.PREFIX,)
    creates = ("POST /interactions",)

    def __init__(self, store: SurveyDynamix, secret: str) -> None:
        self._store = store
        basic = base64.b64encode(f"{CUSTOMER}:{secret}".encode())
        self._keys = (b"Basic " + basic, f"Bearer {secret}".encode())
        self.date, self.parse = store.date, api.parse_request
        self.adopt()

    @property
    def behaviour(self) -> Behaviour:
        return self._store.behaviour

    @property
    def clock(self) -> Clock:
        return self._store.clock

    def adopt(self) -> None:
        rate = self.behaviour.hard_rate
        self._bucket = TokenBucket(rate, self.clock()) if rate else None

    def refusal(self, request: Request, now: float) -> Answer | None:
        says, given = self.behaviour, request.headers.get(b"authorization", b"")
        # Compared in constant time, as everywhere where a secret is compared.
        if not any(secrets.compare_digest(given, key) for key in self._keys):
            return self._refused(says.bad_key_status, "The credentials are not valid")
        reads = request.method == "GET"
        if says.permission == "none" or (says.permission == "read" and not reads):
            return self._refused(says.no_permission_status, "This is not permitted")
        if self._bucket is None or self._bucket.take(now):
            return None
        if says.overload == "503_after":
            self.answer_to(request)
            return self.failed(503)
        return self.too_many(now)

    def answer_to(self, request: Request) -> Answer:
        return api.answer_to(self._store, request)

    def nothing_at(self, path: str) -> Answer:
        return self._refused(404, "There is nothing here")

    def too_many(self, now: float) -> Answer:
        answer = self._refused(429, "Too many requests")
        if self.behaviour.too_many_body == "empty":
            answer = Answer(429)
        return answer._replace(headers=retry_after(self.behaviour, now))

    def failed(self, status: int) -> Answer:
        return self._refused(status, "Something went wrong")

    def _refused(self, status: int, message: str) -> Answer:
        return api.refused(Refusal(status, "failed", message), self.behaviour)
