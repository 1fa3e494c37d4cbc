"""What `activations.yaml` says of `connector serve`: who is let in, and what begins runs there."""

import ipaddress
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from connector.rules.approval import plain_name
from connector.rules.grammar import Closed, Duration, Name, Names, plain_number

Role = Literal["viewer", "operator", "approver"]


class ServeToken(Closed):
    """Somebody who is let in to the pages and the API by a token of their own."""

    name: Name
    token: SecretStr
    role: Role = "viewer"
    """viewer: reads; operator: also runs, pauses and retries; approver: also approves, settles and
    discards."""

    @field_validator("token")
    @classmethod
    def _is_one(cls, token: SecretStr) -> SecretStr:
        if not token.get_secret_value().strip():
            raise ValueError("expected a token: openssl rand -hex 32")
        return token


class DbtHook(Closed):
    """A webhook of dbt Cloud: a job of it that has succeeded begins runs."""

    secret: SecretStr
    """The secret token that dbt shows when the webhook is made; each of its requests is signed
    with it."""
    activations: Annotated[Names, Field(min_length=1)]
    """What is run then: names, patterns, tag:NAME, owner:NAME."""
    jobs: tuple[int, ...] = ()
    """The ids of the jobs that count; left out: any job that the webhook tells of."""

    @field_validator("secret")
    @classmethod
    def _is_one(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value().strip():
            raise ValueError("expected the secret token that dbt shows")
        return secret


class Hooks(Closed):
    """What others tell `connector serve`."""

    dbt: DbtHook | None = None


class ServeSettings(Closed):
    """How many runs `connector serve` lets go on at once, who is let in to its pages and its API,
    and what begins runs there."""

    runs: Annotated[int, Field(ge=1, le=1000), BeforeValidator(plain_number)] = 8
    """Most runs that go on at once; what is due meanwhile waits for a place. Keys take turns."""
    slice: Duration = timedelta(seconds=10)
    """How long a run sends before it gives its place to others that wait, and stands in line again
    for the rest. Where nobody waits it goes on. 0: it keeps its place until it has ended."""
    user_header: Name | None = None
    """The header in which a proxy says who asks, such as X-Forwarded-User."""
    trusted_proxies: tuple[Name, ...] = ("127.0.0.0/8", "::1/128")
    """From which addresses, or networks, that header is believed."""
    role: Role = "approver"
    """The role of those that the proxy names and `roles` does not."""
    roles: dict[Name, Role] = Field(default_factory=dict)
    """By name, the role of those that the proxy names."""
    tokens: tuple[ServeToken, ...] = ()
    hooks: Hooks = Hooks.model_construct()
    url: Name | None = None
    """The address of the page for people, such as https://connector.acme.internal, to which alerts
    link. Left out: they link to nothing."""
    retry: Duration = timedelta(seconds=30)
    """After how long a stopped run is tried again, where that may help; each time it fails, after
    twice as long, up to 15 minutes. 0: only when it is due."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://none")
        plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if not plain or parts.query or parts.fragment:
            raise ValueError("expected an address such as https://connector.acme.internal")
        return url

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(
                    "expected addresses such as 10.0.0.7, or networks such as 10.0.0.0/8"
                ) from None
        return networks

    @field_validator("tokens")
    @classmethod
    def _of_one_each(cls, tokens: tuple[ServeToken, ...]) -> tuple[ServeToken, ...]:
        if len({plain_name(each.name) for each in tokens}) < len(tokens):
            raise ValueError("a name has two tokens")
        if len({each.token.get_secret_value() for each in tokens}) < len(tokens):
            raise ValueError("two names have the same token")
        return tokens
