"""What an MXO can do in each mode, and what is written about one and about what goes there."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from connector.destinations.port import Capabilities, Proof
from connector.destinations.settings import Concurrency, DestinationSettings, Rate, sendable
from connector.destinations.shapes import local_shape
from connector.rules.activation import Activation, Contact, CreatedDate, DatedActivation
from connector.rules.errors import Problem
from connector.rules.grammar import Closed, Duration, Name, Shorthand, plain_number
from connector.rules.schema import InteractionSchema, OpenSchema

UNITS = {"": 1, "B": 1, "kB": 1000, "KiB": 1 << 10, "MB": 1000**2, "MiB": 1 << 20}
MOST_ROWS = {"batch": 5000, "offline": 100}
ROWS = {"batch": 1000, "offline": 1}
"""Rows of a request where nothing is said. Whether a success of the offline call speaks for each
row of a list, nobody says; of a list of one it does."""
SMALLEST_BODY = 1000
NAMES = r"\S+( \S+)*"
"""How capture points may be called: nobody says, so whatever a person can read."""
MOST_DOUBTS = 3


def parse_size(value: Any) -> Any:
    """`1MiB`, `500kB` or a number of bytes as that number."""
    match = re.fullmatch(r"(\d{1,12})\s*([kKM]?i?B|)", str(value).strip())
    if isinstance(value, bool) or not match or match[2] not in UNITS:
        raise ValueError("expected a size such as 1MiB, 500kB or 200000")
    return int(match[1]) * UNITS[match[2]]


Size = Annotated[
    int,
    Field(ge=SMALLEST_BODY),
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"]}),
]


class Batching(Closed):
    """How much one request carries."""

    rows: Annotated[int, Field(ge=1, le=5000), BeforeValidator(plain_number)] | None = None
    """1000 where it is not written; in mode offline 1, and 100 at most."""
    bytes: Size = 1 << 20
    format: Literal["json", "ndjson"] = "json"
    """Of a batch: an array, or a line each."""


class OfflineForm(Closed):
    """How the body of the deprecated offline call is written, which nobody publishes."""

    envelope: Name | None = None
    """The key of an object around the list. Left out: the list alone."""
    timestamp: Literal["milliseconds", "iso"] = "milliseconds"
    """Since 1970, as the SDKs write it; or as in a batch."""


class MxoSettings(DestinationSettings):
    """A tenancy of MXO, one site in it, and how interactions go there."""

    example_url: ClassVar[str] = "https://eu2.thunderhead.com"
    secret_word: ClassVar[str] = "client id and secret"
    has_accounts: ClassVar[bool] = True

    type: Literal["mxo"]
    url: Name
    """https://<server>.thunderhead.com; plain http only to this machine."""
    client_id: Name
    client_secret: SecretStr
    site_key: Name
    mode: Literal["batch", "single", "offline"] = "batch"
    """batch: many rows a request, processed later, and it can be asked what became of them. single:
    one row a request, which counts as now. offline: past interactions; deprecated by Medallia."""
    workspace_id: Name | None = None
    """Needed in mode batch."""
    batch: Batching = Batching.model_construct()
    batch_url: Name | None = None
    """Where batches go, if that is another host than that of `url`."""
    properties: Literal["list", "object"] = "list"
    """How a batch has the properties of a record: `[{name, value}]`, or by name."""
    offline: OfflineForm = OfflineForm.model_construct()
    status_kept: Duration = timedelta(hours=1)
    """How long after its end MXO tells the status of a batch, at the least. A batch that was not
    asked about for longer may be one that it has forgotten."""
    requests_per_second: Rate = 2
    """Shared by everything that uses the same client."""
    concurrency: Concurrency = 1
    timeout: Duration = timedelta(seconds=120)
    settle_after: Duration = timedelta(minutes=10)

    @field_validator("batch_url")
    @classmethod
    def _safe_as_well(cls, url: str | None) -> str | None:
        return None if url is None else cls._of_a_host(url)

    @field_validator("client_id")
    @classmethod
    def _without_colon(cls, client_id: str) -> str:
        if ":" in client_id:
            raise ValueError("a client id has no colon in it (RFC 7617)")
        return client_id

    @field_validator("client_secret")
    @classmethod
    def _not_empty(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value():
            raise ValueError("expected a client secret")
        return secret

    @field_validator("workspace_id", "site_key")
    @classmethod
    def _sendable(cls, text: str | None) -> str | None:
        if text is not None:
            sendable(text, "a text")
        return text

    @model_validator(mode="after")
    def _as_the_mode_needs(self) -> Self:
        if self.mode == "batch" and self.workspace_id is None:
            raise ValueError("mode: batch needs a workspace_id")
        if self.mode == "batch" and self.status_kept <= self.timeout + self.settle_after:
            raise ValueError(
                "expected a status_kept that is longer than timeout and settle_after together: else"
                " no batch that is not found could be told from one that MXO has forgotten"
            )
        most = MOST_ROWS.get(self.mode, 5000)
        if self.batch.rows is not None and self.batch.rows > most:
            raise ValueError(
                f"expected batch.rows of at most {most}, which mode: {self.mode} takes"
            )
        return self

    @property
    def secret(self) -> str:
        """The client's secret."""
        return self.client_secret.get_secret_value()

    @property
    def rows(self) -> int:
        """Rows of one request at most."""
        return 1 if self.mode == "single" else self.batch.rows or ROWS[self.mode]

    @property
    def account(self) -> str:
        """The site in the tenancy."""
        return self.site_key

    def problems_with(self, activation: Activation) -> Iterator[Problem]:
        """What cannot be done in this mode."""
        if not isinstance(activation, MxoActivation):
            return
        if self.mode == "single" and activation.created_date is not None:
            yield Problem(
                ("created_date",),
                "created_date cannot be sent in mode: single, where an interaction counts as now;"
                " leave it out, or use mode: batch",
            )
        if self.mode == "batch" and activation.on_unknown != "park":
            yield Problem(
                ("on_unknown",),
                f"on_unknown: {activation.on_unknown} is for destinations that cannot be asked; one"
                " with mode: batch is asked what became of a batch",
            )


class MxoContact(Contact):
    """Whom the interaction is of: sent as it stands."""

    identifier: Name = "customerkey"
    """The API name of the key."""

    @property
    def word(self) -> str:
        """The API name of the key."""
        return self.identifier

    @property
    def kind(self) -> str:
        """The key's name: another one names other customers."""
        return self.identifier


class MxoActivation(DatedActivation):
    """Rows of a model become interactions at one touchpoint."""

    target_key: ClassVar[str] = "touchpoint"
    target_word: ClassVar[str] = "touchpoint"
    sends_references: ClassVar[bool] = True

    touchpoint: Name
    """The URI of the interaction, such as store://pos/visit."""
    contact: MxoContact
    created_date: Annotated[CreatedDate, Shorthand("column")] | None = None
    """When it happened; in mode single an error, since that sends no time."""
    on_unknown: Literal["park", "resend", "assume_delivered"] = "park"
    """What becomes of a row whose answer was lost, in the modes single and offline: nobody can ask
    MXO. A person decides; or it is sent again, so that it may count twice; or it is taken for
    delivered, so that it may be lost."""
    reference: Name | Literal[False] = "connectorRef"
    """The property that carries the row reference. false: none does."""
    schema_file: Name | None = Field(default=None, alias="schema")
    """A file with a JSON Schema of the properties: MXO drops in silence what it does not know."""

    @field_validator("touchpoint")
    @classmethod
    def _fully_qualified(cls, uri: str) -> str:
        parts = urlsplit(uri)
        if not parts.scheme or "://" not in uri or not uri.isprintable() or " " in uri:
            raise ValueError("expected a URI with its scheme, such as store://pos/visit")
        return uri

    @model_validator(mode="after")
    def _reference_is_its_own(self) -> Self:
        if self.reference in self.payload:
            raise ValueError(
                f"the property {self.reference} carries the row reference; name another one with"
                " reference, or false for none"
            )
        return self

    @property
    def target(self) -> str:
        """The touchpoint; the site belongs to the destination."""
        return self.touchpoint

    def advice(self, shape: Any) -> list[Problem]:
        """What is promised less than it could be."""
        path = ("activations", self.name)
        found = []
        if self.schema_file is None:
            text = (
                "MXO drops in silence a property that no capture point has; a schema file with"
                " their names would find that before. Look at the first rows in Monitor"
            )
            found.append(Problem((*path, "payload"), text))
        if self.on_unknown in ON_UNKNOWN:
            found.append(Problem((*path, "on_unknown"), ON_UNKNOWN[self.on_unknown]))
        return found


ON_UNKNOWN = {
    "resend": "on_unknown: resend: a row whose answer is lost is sent again, so each row counts at"
    " least once, and some may count twice",
    "assume_delivered": "on_unknown: assume_delivered: a row whose answer is lost is taken for"
    " delivered, so each row counts at most once, and some may be lost",
}


def can(settings: MxoSettings) -> Capabilities:
    """What it can do in its mode, told without opening one."""
    proof = Proof.REQUEST if settings.mode == "batch" else Proof.NONE
    return Capabilities(
        proof,
        rows_per_request=settings.rows,
        bytes_per_request=0 if settings.mode == "single" else settings.batch.bytes,
        asks_requests=True,
        gives_ids=False,
        most_doubts=MOST_DOUBTS,
        forgets_requests=True,
        probes=True,
    )


def shape_of(activation: MxoActivation, folder: Path) -> InteractionSchema:
    """As the schema file says; else a text for each property."""
    if activation.schema_file is None:
        return OpenSchema(activation.touchpoint, text=True, names=NAMES)
    own = {activation.reference} if activation.reference else set[str]()
    return local_shape(folder, activation, activation.schema_file, own, "MXO")
