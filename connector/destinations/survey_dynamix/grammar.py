"""What is written about Survey Dynamix in activations.yaml, and what it can do."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from connector.destinations.credentials import Credentials, basic
from connector.destinations.port import Capabilities, Proof
from connector.destinations.settings import Concurrency, DestinationSettings, Rate, sendable
from connector.destinations.shapes import local_shape
from connector.rules.activation import MALFORMED, Activation, Contact, CreatedDate, PayloadField
from connector.rules.errors import Problem
from connector.rules.grammar import (
    Closed,
    Duration,
    Name,
    Shorthand,
    Zone,
    parse_duration,
    plain_number,
)
from connector.rules.place import Place, address_of
from connector.rules.schema import InteractionSchema, OpenSchema

CAN = Capabilities(
    Proof.ROW, shows=True, lists_equals=True, takes_back=True, lists_person=True, probes=True
)

REFERENCE = "connector_ref"
"""The metadata that carries a row's reference where external_ref is somebody else's."""
OWN = ("external_ref", "agent_id", "call_type", "respondent_language", "phone_connection_id")
"""Parameters that each row may say, beside the payload."""
PARAMETERS = {*OWN, "survey_id", "survey_type", "phone_number", "email", "scheduled_at", REFERENCE}
"""What no metadata may be called: it would be the API's own parameter, now or later."""
METADATA = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
PHONE = re.compile(r"(\+|00)?[0-9]{5,15}")
PUNCTUATION = re.compile(r"[\s\-./()]")
BY_PHONE = ("inbound", "outbound", "sms", "websms")


class SurveyDynamixSettings(DestinationSettings):
    """An account of Survey Dynamix, and how it may be used."""

    example_url: ClassVar[str] = "https://eu1.surveydynamix.com"
    secret_word: ClassVar[str] = "auth token"
    has_accounts: ClassVar[bool] = True

    type: Literal["survey_dynamix"]
    url: Name
    """The host at which you log in; /api is added."""
    customer: Name | None = None
    """The customer UUID, with auth_token."""
    auth_token: SecretStr | None = None
    token: SecretStr | None = None
    """A personal access token, instead of both."""
    requests_per_second: Rate = 5
    concurrency: Concurrency = 4
    settle_after: Duration = timedelta(minutes=5)
    reference_prefix: Name | None = None
    """Tells the rows of this project from those of another one in the same account."""

    @field_validator("auth_token", "token")
    @classmethod
    def _sendable(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            sendable(secret.get_secret_value(), "a token")
        return secret

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        both = [self.customer, self.auth_token]
        if both.count(None) != (0 if self.token is None else 2):
            raise ValueError("expected customer and auth_token, or token alone")
        if ":" in (self.customer or ""):
            raise ValueError('expected a customer without ":" in it')
        return self

    @property
    def account(self) -> str:
        """The customer's UUID; not known with a personal access token."""
        return (self.customer or "").strip().lower()

    @property
    def place(self) -> Place:
        """The account; rows that went with a personal access token are recorded without one."""
        return replace(super().place, nameless=address_of(self.url) if self.account else None)

    @property
    def secret(self) -> str:
        """The token that opens it."""
        secret = self.token or self.auth_token
        return secret.get_secret_value() if secret else ""

    @property
    def credentials(self) -> Credentials:
        """What is shown with each request."""
        if self.customer is not None:
            return basic(self.customer, self.secret)
        return Credentials({"Authorization": f"Bearer {self.secret}"}, self.secret)

    @property
    def prefix(self) -> str:
        """As it is written."""
        return self.reference_prefix or ""


class ReachedBy(StrEnum):
    """What the contact column holds: the parameter that it is sent as."""

    EMAIL = "email"
    PHONE_NUMBER = "phone_number"


class Respondent(Contact):
    """Who is asked. Sent as it stands."""

    identifier: ReachedBy

    @property
    def word(self) -> str:
        """The kind of identifier."""
        return self.identifier.value

    @property
    def kind(self) -> str:
        """The kind of identifier."""
        return self.identifier.value

    def malformed(self, contact: str) -> str | None:
        """Refuses what is certainly no such identifier, and nothing else: countries differ."""
        if why_not := super().malformed(contact):
            return why_not
        if self.identifier is ReachedBy.EMAIL:
            good, what = EMAIL.fullmatch(contact), "email is no e-mail address"
        else:
            plain = PUNCTUATION.sub("", contact)
            good, what = PHONE.fullmatch(plain), "phone_number is no telephone number"
        return None if good else MALFORMED.format(what)


class ScheduledAt(Closed):
    """When the person is asked: at the time in a column, or so long after the row is staged."""

    column: Name | None = None
    timezone: Zone | None = None
    after: Duration | None = None

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if (self.column is None) == (self.after is None):
            raise ValueError("expected a column, or {after: 15m}")
        if self.timezone is not None and self.column is None:
            raise ValueError("a timezone belongs to a column")
        return self


def parse_when_pending(value: Any) -> Any:
    """`reject`, `force`, or how long to wait."""
    if value in ("reject", "force") or isinstance(value, timedelta):
        return value
    if not isinstance(value, dict) or set(value) != {"wait"}:
        raise ValueError("expected reject, force, or a wait such as {wait: 2d}")
    return parse_duration(value["wait"])


WHEN_PENDING = {
    "anyOf": [
        {"enum": ["reject", "force"]},
        {
            "type": "object",
            "properties": {"wait": {"type": ["string", "integer"]}},
            "required": ["wait"],
            "additionalProperties": False,
        },
    ]
}
Pending = Annotated[
    timedelta | Literal["reject", "force"],
    BeforeValidator(parse_when_pending),
    WithJsonSchema(WHEN_PENDING),
]
Column = Annotated[PayloadField, Shorthand("column")]


class SurveyDynamixActivation(Activation):
    """Rows of a model ask for surveys."""

    created_key: ClassVar[str] = "scheduled_at"
    created_shown: ClassVar[str] = "scheduled_at"
    acts_at_its_time: ClassVar[bool] = True
    target_key: ClassVar[str] = "survey_id"
    target_word: ClassVar[str] = "survey"
    sends_references: ClassVar[bool] = True

    survey_id: Annotated[int, Field(gt=0), BeforeValidator(plain_number)]
    survey_type: Literal["inbound", "outbound", "sms", "web", "email", "websms"]
    contact: Respondent
    scheduled_at: Annotated[ScheduledAt, Shorthand("column")] = ScheduledAt(
        after=timedelta(minutes=15)
    )
    """Until it is sent, a survey can be taken back."""
    stale_after: Duration | None = None
    """A row that is later than its time by more than this is not asked any more."""
    when_pending: Pending = "reject"
    """What happens to a row whose person has a survey pending: it is rejected, it waits for the end
    of that, or it is asked for all the same."""
    external_ref: Column | None = None
    """What people look for it by. Left out: the row's own reference."""
    agent_id: Column | None = None
    call_type: Column | None = None
    respondent_language: Column | None = None
    phone_connection_id: Column | None = None
    payload: dict[Name, Column] = Field(default_factory=dict)
    """Metadata: model column."""
    schema_file: Name | None = Field(default=None, alias="schema")
    """A JSON Schema that the metadata must fit."""

    @field_validator("payload")
    @classmethod
    def _metadata(cls, payload: dict[str, PayloadField]) -> dict[str, PayloadField]:
        for name in payload:
            if name in PARAMETERS:
                raise ValueError(f'"{name}" is a name of Survey Dynamix\'s own, no metadata')
            if not METADATA.fullmatch(name):
                raise ValueError(f'"{name}" must be letters, digits and "_", a letter first')
        return payload

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        needs = ReachedBy.PHONE_NUMBER if self.survey_type in BY_PHONE else ReachedBy.EMAIL
        if self.survey_type != "web" and self.contact.identifier is not needs:
            raise ValueError(
                f"a survey of the type {self.survey_type} needs contact.identifier: {needs}"
            )
        return self

    @property
    def target(self) -> str:
        """The survey."""
        return str(self.survey_id)

    @property
    def happened(self) -> CreatedDate | None:
        """When the person is to be asked."""
        at = self.scheduled_at
        return CreatedDate(column=at.column, timezone=at.timezone) if at.column else None

    @property
    def own_parts(self) -> Mapping[str, Any]:
        """The time, where it is a column."""
        return {"scheduled_at": self.scheduled_at} if self.scheduled_at.column else {}

    @property
    def sent(self) -> Mapping[str, PayloadField]:
        """The metadata, and what each row says of the survey itself."""
        own = {name: said for name in OWN if (said := getattr(self, name)) is not None}
        return {**self.payload, **own}

    def due_at(self, created: datetime) -> datetime:
        """When a row of `created` is to be asked."""
        return created + (self.scheduled_at.after or timedelta(0))

    def shown_at(self, created: datetime) -> datetime:
        """When the person is asked."""
        return self.due_at(created)

    def too_late(self, created: datetime | None, now: datetime) -> str | None:
        """By more than `stale_after`."""
        if created is None or self.stale_after is None:
            return None
        if now - self.due_at(created) <= self.stale_after:
            return None
        return "scheduled_at: past by more than stale_after, so nobody is asked any more"

    def advice(self, shape: Any) -> list[Problem]:
        """What may surprise those who are asked."""
        if self.stale_after is not None:
            return []
        text = (
            "without stale_after, a row that could not be sent in time is asked whenever that is"
            " possible again, however late"
        )
        return [Problem(("activations", self.name), text)]


def shape_of(activation: SurveyDynamixActivation, folder: Path) -> InteractionSchema:
    """As the project's file says; else a text for each name."""
    if activation.schema_file:
        return local_shape(folder, activation, activation.schema_file, activation.own_sent)
    return OpenSchema(activation.target, text=True)
