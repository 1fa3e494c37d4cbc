"""How an address is reached out of a company's network, with its proxy and its certificates.

Through a proxy an https destination is reached by a tunnel: the proxy sees its name, and neither
keys nor rows, and cannot repeat a request. What it answers before there is a tunnel comes before
the first byte of a request.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import certifi

from connector.rules.errors import ConfigurationError
from connector.rules.network import Network


@dataclass(frozen=True, slots=True)
class Route:
    """How one address is reached. `proxy`: a url, which may hold a password; None: directly."""

    context: ssl.SSLContext
    proxy: str | None = None


def route_of(network: Network, url: str, base: Path) -> Route:
    """How `url` is reached; relative files start at `base`. Raises ConfigurationError for a file
    that is not there or holds no certificate."""
    context = usual_certificates()
    if network.ca_file:
        _load(context.load_verify_locations, "ca_file", base / network.ca_file)
    if own := network.client_certificate:
        key = str(base / own.key) if own.key else None
        password = own.password.get_secret_value() if own.password else ""
        # without a password OpenSSL would ask for one at the terminal
        _load(context.load_cert_chain, "client_certificate", base / own.file, key, password)
    return Route(context, _proxy_for(network, url))


def usual_certificates() -> ssl.SSLContext:
    """Those that are believed where nothing else is said: Mozilla's, or what SSL_CERT_FILE or
    SSL_CERT_DIR name instead."""
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if folder := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folder)
    return ssl.create_default_context(cafile=certifi.where())


def _proxy_for(network: Network, url: str) -> str | None:
    spared = {"no": os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""}
    if network.proxy is None or proxy_bypass_environment(urlsplit(url).netloc, spared):
        return None
    return network.proxy.get_secret_value()


def _load(load: object, key: str, file: Path, *rest: object) -> None:
    assert callable(load)
    try:
        load(str(file), *rest)
    except FileNotFoundError:
        raise ConfigurationError(f"{key}: there is no {file}, or not the key beside it") from None
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or type(error).__name__
        raise ConfigurationError(f"{key}: {file} cannot be used ({why})") from None
