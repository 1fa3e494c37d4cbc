"""The way out of a company's network, as it is configured: a proxy, and certificates, those that
are believed and our own."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from connector.rules.grammar import Closed, Name, Shorthand


class ClientCertificate(Closed):
    """By which a server, or a gateway before it, knows us."""

    file: Name
    """A PEM file with the certificate, and those that vouch for it."""
    key: Name | None = None
    """A PEM file with its key, where that is not in the same file."""
    password: SecretStr | None = None
    """Of the key."""


class Network(Closed):
    """The way out, for whatever is reached over HTTP."""

    proxy: SecretStr | None = None
    """http://proxy.shop.local:3128, with user:password@ where it wants them. NO_PROXY in the
    environment names hosts that are reached without."""
    ca_file: Name | None = None
    """A PEM file of certificates that are believed besides the usual ones."""
    client_certificate: Annotated[ClientCertificate, Shorthand("file")] | None = None
    """A PEM file, or {file: …, key: …, password: …}: by which we are known there."""

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        try:
            parts = urlsplit(proxy.get_secret_value() if proxy else "http://none")
            right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            right = False
        if not right:
            raise ValueError("expected a proxy such as http://proxy.shop.local:3128")
        return proxy

    @property
    def is_plain(self) -> bool:
        """Whether nothing is in the way, and nothing else is believed than usual."""
        return not (self.proxy or self.ca_file or self.client_certificate)
