"""The keys under `destinations:` that every API over HTTP has: where it is, and how it is used."""

from collections.abc import Iterable
from datetime import timedelta
from hashlib import blake2b
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from connector import __version__
from connector.rules.activation import Activation
from connector.rules.errors import Problem
from connector.rules.grammar import Duration, Name, plain_number
from connector.rules.network import Network
from connector.rules.place import Place, address_of, is_loopback

USER_AGENT = f"engage-connector/{__version__}"

Rate = Annotated[float, Field(ge=0.0001, le=1_000_000_000), BeforeValidator(plain_number)]
"""A second. Neither is any pace a day's wait between two requests, nor faster than a machine."""
Concurrency = Annotated[int, Field(ge=1, le=1000), BeforeValidator(plain_number)]


class DestinationSettings(Network):
    """An API and how it may be used. Each kind adds keys of its own, and says what `type` it is."""

    example_url: ClassVar[str] = "https://api.example.com"
    secret_word: ClassVar[str] = "credentials"
    """What people call that which plain http would show."""
    has_accounts: ClassVar[bool] = False
    """Several may be behind one url: an address ends with `#` and the account's name."""

    type: str
    url: Name
    """https://…; plain http only to this machine."""
    previous_url: Name | None = None
    """The address under which the same destination was before; what was sent there is not sent
    again."""
    user_agent: Name = USER_AGENT
    requests_per_second: Rate = 10
    """Shared by everything that uses the same credentials."""
    concurrency: Concurrency = 8
    timeout: Duration = timedelta(seconds=60)
    """How long one answer is waited for."""
    settle_after: Duration = timedelta(minutes=3)
    """How long after an attempt's time-out "not found" is believed."""
    behaviour: Name | None = None
    """A file that `connector probe --out` wrote: how it behaves, where no probe is on record."""

    @field_validator("url", "previous_url")
    @classmethod
    def _safe(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        if info.field_name == "previous_url" and cls.has_accounts:
            url, _, account = url.partition("#")
            return f"{cls._of_a_host(url)}#{account}" if account else cls._of_a_host(url)
        return cls._of_a_host(url)

    @classmethod
    def _of_a_host(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url:
            raise ValueError(f"expected a url such as {cls.example_url}")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("expected only a scheme, a host and at most a port and a path")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError(f"plain http would show the {cls.secret_word} on the way; use https")
        return url

    @field_validator("user_agent")
    @classmethod
    def _in_one_line(cls, text: str) -> str:
        if not text.isprintable():
            raise ValueError("expected one line of printable characters, such as Acme/1.0")
        return text

    @field_validator("timeout")
    @classmethod
    def _positive(cls, timeout: timedelta) -> timedelta:
        if timeout <= timedelta(0):
            raise ValueError("expected a time-out longer than 0")
        return timeout

    @property
    def prefix(self) -> str:
        """What tells the references of this project's rows from those of others that use the same
        account; empty where there is no need."""
        return ""

    @property
    def place(self) -> Place:
        """Where it is."""
        earlier = None if self.previous_url is None else self.address(self.previous_url)
        return Place(self.type, self.address(self.url), earlier)

    def address(self, url: str) -> str:
        """What rows are recorded to have gone to at `url`; some kinds tell accounts apart, in which
        a `url` from the ledger may name another one."""
        base, _, account = url.partition("#")
        named = account or self.account
        return f"{address_of(base)}#{named}" if named else address_of(base)

    @property
    def account(self) -> str:
        """Which one at the url it is; empty where there is but one, or it is not known."""
        return ""

    def problems_with(self, activation: Activation) -> Iterable[Problem]:
        """Why `activation`, of its kind, cannot go to this one: by paths inside it."""
        return ()

    @property
    def secret(self) -> str:
        """What opens it; only whoever has it finds what is kept under a digest with it."""
        return ""

    @property
    def cache_span(self) -> timedelta:
        """How long a contact that was found is not looked up again; 0: within a run only."""
        return timedelta(0)

    @property
    def webhook_key(self) -> str | None:
        """By what its webhooks are believed; None: they are not taken."""
        return None

    @property
    def pace(self) -> str:
        """The same for all that share one rate: whatever uses the same credentials."""
        return blake2b(f"{self.type}\x00{self.secret or self.url}".encode()).hexdigest()


def sendable(secret: str, name: str) -> None:
    """Raises ValueError for what cannot stand in a header. `name`: what people call it."""
    plain = secret.isascii() and secret.isprintable() and secret == secret.strip()
    if not secret or not plain:
        raise ValueError(f"expected {name}: printable, without spaces around it, not empty")
