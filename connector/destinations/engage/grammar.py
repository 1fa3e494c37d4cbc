"""What is written about an Engage in activations.yaml, beyond what every destination has."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from connector.destinations.settings import DestinationSettings, sendable
from connector.rules.activation import Duration, Name, plain_number


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
    requests_per_second: Annotated[float, Field(gt=0), BeforeValidator(plain_number)] = 50
    """Shared by everything that uses this API key, look-ups too; Voyado asks for 50 at most."""
    concurrency: Annotated[int, Field(ge=1, le=1000), BeforeValidator(plain_number)] = 32
    contact_cache: Duration = timedelta(days=1)
    """How long a contact that was found is not looked up again; 0 = within a run only."""

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
