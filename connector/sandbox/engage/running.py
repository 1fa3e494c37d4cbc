"""A sandbox of Engage that answers: beside a test, in a thread, or in the foreground."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from connector.basis import dataclass
from connector.sandbox import TYPES
from connector.sandbox.engage import api, control, gate
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.errors import plain_error, refused
from connector.sandbox.engage.load import LoadError, load_contacts, load_schemas
from connector.sandbox.engage.store import Clock, Engage
from connector.sandbox.exchange import Answer, Refusal, Request
from connector.sandbox.running import answering, serve
from connector.sandbox.server import HOST
from connector.sandbox.start import Files, Place, behaviour_of
from connector.sandbox.traffic import RequestLog

API_KEY = "sandbox"
SCHEMAS = Path("schemas")


@dataclass(slots=True)
class Running:
    """A sandbox that answers, and everything it knows."""

    url: str  #: without a slash at the end
    api_key: str
    engage: Engage
    requests: RequestLog

    @property
    def behaviour(self) -> Behaviour:
        """What the sandbox does. Another one may be set at any time, and starts its seed anew."""
        return self.engage.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self.engage.behaviour = behaviour


@contextmanager
def running(
    behaviour: Behaviour | None = None,
    *,
    engage: Engage | None = None,
    host: str = HOST,
    port: int = 0,
    api_key: str = API_KEY,
) -> Iterator[Running]:
    """Serve a sandbox from a thread for as long as the context lasts.

    It answers from the first line of the context on. `engage` brings what it holds, else it is
    empty; port 0 takes a free one. Raises ValueError for a host that is not loopback, OSError
    for a port in use.
    """
    engage = engage or Engage()
    if behaviour is not None:
        engage.behaviour = behaviour
    with answering(EngageApi(engage, api_key), engage, control, host, port) as (url, requests):
        yield Running(url, api_key, engage, requests)


def start(place: Place, files: Files) -> None:
    """Serve a sandbox that holds what is in the files, and tell a person of it."""
    engage = Engage(behaviour_of(Behaviour, files.behaviour))
    contacts = files.contacts or (Path("contacts.csv") if Path("contacts.csv").is_file() else None)
    ids = _filled(engage, files.schemas)
    number = load_contacts(engage, contacts) if contacts else 0

    def greet(sandbox: Running) -> None:
        print(f"A local Engage listens on {sandbox.url} (API key: {sandbox.api_key}).", flush=True)
        print(f"  schemas: {', '.join(ids) or 'none'}; contacts: {number:,}", flush=True)
        print(f"  Open {sandbox.url}/ to see what it receives. Ctrl-C ends it.", flush=True)

    serve(running(engage=engage, host=place.host, port=place.port, api_key=place.api_key), greet)


def _filled(engage: Engage, schemas: Path | None) -> list[str]:
    """The ids of the schemas that `engage` holds by now: of a folder, or of ./schemas if it is
    there, which may be meant for another API."""
    if schemas:
        return load_schemas(engage, schemas)
    if not SCHEMAS.is_dir():
        return []
    try:
        return load_schemas(engage, SCHEMAS)
    except LoadError as error:
        raise LoadError(
            f"{error} (a local Engage takes what is in ./{SCHEMAS}; if that is for another API,"
            f" imitate it by --type {' or '.join(TYPES[1:])})"
        ) from None


class EngageApi:
    """Engage as the way of a request through a sandbox needs it (`connector.sandbox.app`)."""

    prefixes = ("/api/",)
    creates = ("POST /interactions",)

    def __init__(self, engage: Engage, api_key: str) -> None:
        self._engage = engage
        self._api_key = api_key
        self.date, self.parse = engage.date, api.parse_request
        self.adopt()

    @property
    def behaviour(self) -> Behaviour:
        return self._engage.behaviour

    @property
    def clock(self) -> Clock:
        return self._engage.clock

    def adopt(self) -> None:
        self._gate = gate.Gate(self._api_key, self.behaviour, self.clock())

    def refusal(self, request: Request, now: float) -> Answer | None:
        return self._gate.refusal(request, now)

    def answer_to(self, request: Request) -> Answer:
        return api.answer_to(self._engage, request)

    def nothing_at(self, path: str) -> Answer:
        return plain_error(404, f"There is nothing at '{path}'.")

    def too_many(self, now: float) -> Answer:
        return gate.too_many(self.behaviour, now)

    def failed(self, status: int) -> Answer:
        return refused(Refusal(status, "InternalError", "An error has occurred."), self.behaviour)
