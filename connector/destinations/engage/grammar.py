"""What an Engage can do, and what is written about one beyond what every destination has.

Identifiers of contacts are compared as they stand in the row, to the letter: whether Engage takes
two spellings for one (capitals in an e-mail address, blanks in a number) is documented nowhere, so
each spelling is looked up for itself.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from connector.destinations.port import Capabilities, Proof
from connector.destinations.settings import Concurrency, DestinationSettings, Rate, sendable
from connector.rules.activation import (
    CONTROL,
    MALFORMED,
    Contact,
    ContactLookup,
    DatedActivation,
    PayloadField,
)
from connector.rules.definition import PRODUCT, Definition
from connector.rules.errors import Problem
from connector.rules.grammar import Duration, Name, Shorthand
from connector.rules.interaction import CREATED
from connector.rules.webhooks import refuse_weak
from connector.rules.words import rows

GUID = re.compile(r"\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
LONGEST_EMAIL = 320
"""Sixty-four characters before the @, and 255 after it (RFC 5321)."""
PHONE = re.compile(r"(\+|00)?[0-9]{5,15}")
"""At most fifteen digits (E.164)."""
PHONE_PUNCTUATION = re.compile(r"[\s\-./()]")
NATIONAL_NUMBER = re.compile(r"[0-9A-Za-z+\-/. ]{6,20}")
FEWEST_DIGITS = 6
"""A national number holds a date of birth, whatever the country."""
LONGEST_KEY = 1000

CAN = Capabilities(
    Proof.ROW,
    looks_up=True,
    shows=True,
    lists_equals=True,
    takes_back=True,
    lists_person=True,
    keeps_schemas=True,
    probes=True,
)
"""What an Engage can do, told without opening one."""


class EngageSettings(DestinationSettings):
    """A Voyado Engage and how it may be used."""

    example_url: ClassVar[str] = "https://client.voyado.com"
    secret_word: ClassVar[str] = "API key"

    type: Literal["engage"]
    url: Name
    """https://<client>.voyado.com; plain http only to this machine."""
    previous_url: Name | None = None
    """The address under which the same Engage was before; what was sent there is not sent again."""
    api_key: SecretStr
    api_version: Literal["v3", "v2"] = "v3"
    requests_per_second: Rate = 50
    """Shared by everything that uses this API key, look-ups too; Voyado asks for 50 at most."""
    concurrency: Concurrency = 32
    contact_cache: Duration = timedelta(days=1)
    """How long a contact that was found is not looked up again; 0 = within a run only."""
    webhook_secret: SecretStr | None = None
    """Opens /webhooks/<destination> of `connector serve`: Svix's signing secret (whsec_…), or one
    of your own that is sent along. Left out: webhooks are not taken."""

    @field_validator("webhook_secret")
    @classmethod
    def _hard_to_guess(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            refuse_weak(secret.get_secret_value())
        return secret

    @field_validator("api_key")
    @classmethod
    def _sendable(cls, key: SecretStr) -> SecretStr:
        sendable(key.get_secret_value(), "an API key")
        return key

    @property
    def secret(self) -> str:
        """The API key: every run has it, and a copy of the ledger has not."""
        return self.api_key.get_secret_value()

    @property
    def cache_span(self) -> timedelta:
        """How long a contact that was found is not looked up again."""
        return self.contact_cache

    @property
    def webhook_key(self) -> str | None:
        """Svix's signing secret, or one that is sent along."""
        return self.webhook_secret.get_secret_value() if self.webhook_secret else None


class Identifier(StrEnum):
    """What kind of thing the contact column holds."""

    CONTACT_ID = "contactId"
    EMAIL = "email"
    MOBILE_PHONE = "mobilePhone"
    SOCIAL_SECURITY_NUMBER = "socialSecurityNumber"
    CUSTOM_KEY = "customKey"
    ANY = "any"


class ContactMapping(Contact):
    """Whom the interaction is about."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["identifier"]}, {"required": ["lookup"]}]}
    )

    identifier: Identifier | None = None
    """What kind of thing the column holds. May be left out where there is a lookup."""
    contact_type: Name | None = None
    """Narrows a look-up to contacts of this type, such as Member."""
    lookup: Annotated[ContactLookup, Shorthand("file")] | None = None
    """Where the warehouse itself has the contactIds, such as a table from BI Export."""
    wait: Duration = timedelta(days=3)
    """How long an unknown contact is looked up again before the row is rejected; 0 = not at all."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.lookup is None:
            if self.identifier is None:
                kinds = ", ".join(Identifier)
                raise ValueError(f"expected identifier (one of {kinds}), or a lookup")
            return self
        if self.identifier is Identifier.CONTACT_ID:
            raise ValueError("a contactId needs no lookup; leave one of the two out")
        if self.contact_type is not None:
            raise ValueError(
                "contact_type narrows look-ups at Engage; with a lookup, choose the contacts in it"
            )
        return self

    @property
    def word(self) -> str:
        """What the column holds, for people: the kind of identifier, else the column's name."""
        return self.identifier.value if self.identifier else self.column

    @property
    def needs_look_up(self) -> bool:
        """Whether the column holds something else than Engage's own ids."""
        return self.identifier is not Identifier.CONTACT_ID

    @property
    def asks_destination(self) -> bool:
        """Whether Engage can be asked whose an identifier is."""
        return self.identifier not in (None, Identifier.CONTACT_ID)

    @property
    def table(self) -> ContactLookup | None:
        """Where the warehouse has the contactIds."""
        return self.lookup

    @property
    def patience(self) -> timedelta:
        """How long an unknown contact is looked up again."""
        return self.wait

    @property
    def kind(self) -> str:
        """The kind of identifier, and the type of contact."""
        return f"{self.identifier}\x00{self.contact_type or ''}"

    @property
    def known_by(self) -> tuple[str, ...]:
        """The kind of identifier, or else the lookup's key; and the type of contact."""
        key = self.lookup.key if self.lookup else None
        kind = self.identifier.value if self.identifier else key or self.column
        return (kind, self.contact_type) if self.contact_type else (kind,)

    def malformed(self, contact: str) -> str | None:
        """Why no contact can have this identifier; None where only Engage can say."""
        return malformed(contact, self.identifier)

    def is_own_id(self, text: str) -> bool:
        """Whether it is a GUID."""
        return is_guid(text)

    def advice(self, ambiguous: int) -> Iterator[tuple[str | None, str]]:
        """What could be better, and by which key; `ambiguous`: rows that several contacts fit."""
        if self.lookup is not None:
            return
        if self.identifier is Identifier.ANY:
            yield (
                "identifier",
                "identifier: any stops at the first kind that a value looks like, so a customer"
                " number may be taken for a telephone number; name the kind that it is",
            )
        if ambiguous and self.contact_type is None:
            yield (
                None,
                f"{rows(ambiguous)} rejected, since several contacts have their {self.word};"
                " contact_type says which kind of contact is meant",
            )


class EngageActivation(DatedActivation):
    """Rows of a model become interactions of one schema."""

    created_shown: ClassVar[str] = CREATED

    schema_id: Name
    previous_schema_id: Name | None = None
    """The schema under which its rows were sent before; they are not sent again under this one."""
    contact: ContactMapping
    payload: dict[Name, Annotated[PayloadField, Shorthand("column")]] = Field(default_factory=dict)
    """Schema property: model column."""

    @property
    def target(self) -> str:
        """The schema."""
        return self.schema_id

    @property
    def former_target(self) -> str | None:
        """The schema that its rows were of before."""
        return self.previous_schema_id

    def advice(self, shape: Any) -> list[Problem]:
        """What Engage could segment by, and knows products by."""
        path = ("activations", self.name, "payload")
        definition = Definition(shape.id, shape.display_name, shape.json_schema)
        empty = [name for name in definition.segmented if name not in self.payload]
        found = []
        if empty:
            text = f"nothing is mapped to {', '.join(empty)}, by which Engage could segment"
            found.append(Problem(path, text))
        if PRODUCT not in definition.properties:
            return found
        if PRODUCT not in self.payload and PRODUCT not in empty:
            text = f"nothing is mapped to {PRODUCT}, by which Engage knows the product"
            found.append(Problem(path, text))
        if shape.properties[PRODUCT].types != ("string",):
            text = f"the schema's {PRODUCT} is no string, for which Engage reserves the name"
            found.append(Problem((*path, PRODUCT), text))
        return found


def malformed(contact: str, identifier: Identifier | None) -> str | None:
    """Why no contact can have this identifier; None where only Engage can say.

    Refuses what is certainly no identifier of its kind, and nothing else: countries and tenants
    differ, and a look-up costs less than a row that is wrongly rejected.
    """
    good: object
    if identifier is Identifier.CONTACT_ID and is_guid(contact):
        return None  # as most rows are; what is asked below is clear of it
    match identifier:
        case _ if CONTROL.search(contact) or not contact.strip():
            return MALFORMED.format("it is empty, or holds line breaks or the like")
        case Identifier.CONTACT_ID:
            good, reason = False, "contactId is not a GUID"
        case Identifier.EMAIL:
            good = len(contact) <= LONGEST_EMAIL and EMAIL.fullmatch(contact)
            reason = "email is no e-mail address"
        case Identifier.MOBILE_PHONE:
            good = PHONE.fullmatch(PHONE_PUNCTUATION.sub("", contact))
            reason = "mobilePhone is no telephone number"
        case Identifier.SOCIAL_SECURITY_NUMBER:
            digits = sum(character.isdigit() for character in contact)
            good = NATIONAL_NUMBER.fullmatch(contact) and digits >= FEWEST_DIGITS
            reason = "socialSecurityNumber is no such number"
        case _:
            good = len(contact) <= LONGEST_KEY
            reason = f"it is longer than {LONGEST_KEY} characters"
    return None if good else MALFORMED.format(reason)


def is_guid(text: str) -> bool:
    """Whether `text` can be the id of a contact; the empty GUID is nobody's."""
    return bool(GUID.fullmatch(text) and text.strip("{0-}"))
