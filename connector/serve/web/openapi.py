"""The OpenAPI document of the API: made of the addresses that are served, and of typed answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, WithJsonSchema, with_config
from starlette.requests import Request
from typing_extensions import TypedDict

from connector import __version__
from connector.basis import dataclass
from connector.rules.errors import KINDS
from connector.serve.web.persons import needed_for

Endpoint = Callable[[Request], Any]
Text = str
"""Plain text, where a shape is asked for."""

Kind = Annotated[str, WithJsonSchema({"type": "string", "enum": list(KINDS)})]
Limit = Annotated[int, Field(ge=1, le=10**9)]
Short = Annotated[str, Field(min_length=1, max_length=250)]

# --- what is asked and answered -------------------------------------------------------------------


class Failure(TypedDict):
    """Why it was not done."""

    message: str
    kind: Kind
    retryable: bool


class Error(TypedDict):
    """What every failure is answered with, as commands tell it under --json."""

    error: Failure


class Run(TypedDict):
    """A run, as `connector runs --json` has it."""

    run_id: str
    activation: str
    status: str
    read: int
    staged: int
    delivered: int
    submitted: int
    invalid: int
    rejected: int
    waiting: int
    in_doubt: int
    pending: int
    resent: int
    assumed: int
    removed: int
    replaced: int
    undone: int
    watermark: str | None
    started_at: str | None
    finished_at: str | None
    error: str | None
    kind: Kind | None
    retryable: bool
    notes: list[str]
    contacts: dict[str, Any] | None
    by: str | None
    tag: str | None
    done: bool | None
    next_window: str | None
    for_window: int
    next_turn: str | None
    for_turn: int
    next_try: str | None
    resting: int
    rests_for: str | None
    next_settling: str | None
    too_young: int


class OneRun(Run):
    """A run by its id. One that was asked for here is `running` until all is done that it was asked
    for: also while it waits for its place, and when it gave that to others and goes on afterwards.
    `runs`: those that did it, which the counts are of; `in_flight`: requests that were begun and
    have not ended, of one that goes on in this process."""

    in_flight: NotRequired[int]
    waits_for_place: NotRequired[bool]
    runs: NotRequired[list[str]]


class Runs(TypedDict):
    """The newest runs; of those with one tag, their sum, too. `next`: what to ask for as `after` to
    get those that follow; null: these were the last ones."""

    runs: list[Run]
    next: NotRequired[str | None]
    totals: NotRequired[dict[str, int | bool]]


class Window(TypedDict):
    """Whether rows may be sent now, and when that changes."""

    open: bool
    opens_at: str | None
    closes_at: str | None


class PerContact(TypedDict):
    """How often one contact is told something, and how many rows `wait` for that, the first until
    `next_at`."""

    most: int
    every: str
    wait: int
    next_at: str | None


class FollowsSchedule(TypedDict):
    """A `connector serve` that follows its schedule now."""

    id: str
    where: str
    started_at: str


class Verified(TypedDict):
    """How often it is verified by itself, and what the `last` verification found."""

    schedule: str | None
    sample: float | None
    next: str | None
    last: dict[str, Any] | None


class Activation(TypedDict):
    """Where an activation stands, as `connector status --json` has it; `running`: the run that goes
    on in this process; `in_flight`: its requests that were begun and have not ended;
    `waits_for_place`: one is due here, and others go on; `lag`: seconds since its model was read to
    its end, at `read_at`; `refused`: why no run is begun; `share`: its part of the key's requests;
    `needs`: what a person must do, in words."""

    name: str
    state: str
    owner: str | None
    tags: list[str]
    paused: bool
    paused_by: str | None
    schedule: str | None
    window: Window | None
    per_contact: PerContact | None
    priority: int
    share: float | None
    next_run: str | None
    services: list[FollowsSchedule]
    last_run: Run | None
    read_at: str | None
    watermark: str | None
    lag: float | None
    held: str | None
    hold: dict[str, Any] | None
    refused: str | None
    suspect: bool
    counts: dict[str, int]
    verification: Verified | None
    needs: list[dict[str, str]]
    running: str | None
    in_flight: int | None
    waits_for_place: bool


class Status(TypedDict):
    """Where every activation stands; `needs`: what a person must do about the project itself."""

    activations: list[Activation]
    needs: list[dict[str, str]]


@with_config(ConfigDict(extra="forbid", strict=True))
class Begin(TypedDict):
    """What may be said of a run that is to begin; `by` counts where nobody is named."""

    limit: NotRequired[Limit]
    tag: NotRequired[Short]
    by: NotRequired[Short]


class Begun(TypedDict):
    """A run was asked for. It is followed by its `run_id`, also while it waits for a place, which
    it has in the end unless it is paused meanwhile."""

    activation: str
    begun: bool
    run_id: str
    waits_for_place: bool


@with_config(ConfigDict(extra="forbid"))
class Approving(TypedDict):
    """Who approves, why, and the digest of the rows that were shown."""

    by: NotRequired[str]
    note: NotRequired[str]
    digest: NotRequired[str]


class Followed(TypedDict):
    """What came of a webhook for one activation: a run has begun, or why it has not yet."""

    activation: str
    begun: bool
    reason: str | None


class Taken(TypedDict):
    """What came of a webhook. `taken`: it was a job that has succeeded, and is new."""

    taken: bool
    activations: list[Followed]


Document = dict[str, Any]

# --- the addresses --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address of the API, and what it answers when all is well. `also`: other answers of its
    own, by status; `signed`: it asks for a signature and no token; `query`: what may be asked."""

    path: str
    endpoint: Endpoint
    summary: str
    answer: Any
    method: str = "GET"
    status: int = 200
    takes: Any = None
    also: Mapping[int, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    signed: bool = False

    @property
    def known(self) -> Mapping[str, Any] | None:
        """What may be asked in the address; None: whatever somebody else's machine adds to it is
        nothing to us."""
        return self.query if self.path.startswith("/api/") and not self.signed else None

    @property
    def shapes(self) -> list[Any]:
        return [each for each in (self.answer, self.takes) if each not in (None, Text, Document)]


REFUSALS = {
    400: "it cannot be understood",
    401: "a token is needed, or a signature",
    403: "the role does not allow it, or the page of another site asks",
    413: "too long",
    421: "this server goes by other names",
    429: "too many wrong tokens from this address",
    500: "a mistake of ours; the log says where",
}


def document(addresses: Sequence[Address]) -> Document:
    """The document about `addresses`."""
    shapes = {shape.__name__: shape for each in addresses for shape in each.shapes}
    shapes["Error"] = Error
    inputs = [(name, "serialization", TypeAdapter(shape)) for name, shape in shapes.items()]
    refs, schemas = TypeAdapter.json_schemas(
        inputs,  # type: ignore[arg-type]
        ref_template="#/components/schemas/{model}",
    )
    of = {name: refs[name, "serialization"] for name in shapes}
    paths: dict[str, Document] = {}
    for each in addresses:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "connector serve",
            "version": __version__,
            "description": "Begin runs, and see what became of them. Times are UTC, ISO 8601."
            " Answers may get more fields.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "dbt": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "HMAC-SHA256 over the body, with the webhook's secret, in hex",
                },
            },
        },
    }


def _operation(each: Address, of: Mapping[str, Any]) -> Document:
    names = [part[1:-1] for part in each.path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in each.query.items()
    ]
    role = needed_for(each.method, each.path)
    security: list[Document] = [{"dbt": []}] if each.signed else [{"token": []}, {}]
    found: Document = {
        "operationId": f"{each.method.lower()}{each.path.title().translate(PLAIN)}",
        "summary": each.summary,
        "description": "A signature opens it." if each.signed else f"Takes the role {role}.",
        "security": security,
        "parameters": parameters,
        "responses": {
            str(each.status): {"description": "done", "content": _content(each.answer, of)},
            **{
                str(status): _refused(text, of)
                for status, text in {**REFUSALS, **each.also}.items()
            },
        },
    }
    if each.takes is not None:
        found["requestBody"] = {"required": each.signed, "content": _content(each.takes, of)}
    return found


PLAIN = str.maketrans("", "", "/{}._-")


def _content(shape: Any, of: Mapping[str, Any]) -> Document:
    if shape is Text:
        return {"text/plain": {"schema": {"type": "string"}}}
    schema = {"type": "object"} if shape is Document else of[shape.__name__]
    return {"application/json": {"schema": schema}}


def _refused(text: str, of: Mapping[str, Any]) -> Document:
    """What is refused before an endpoint is asked is told in plain text outside of /api/, and so is
    what a webhook has not signed."""
    return {"description": text, "content": _content(Error, of) | _content(Text, of)}
