"""The addresses of databases, as people write them."""

import re

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from connector.rules.errors import ConfigurationError, Problem

AT = "an @ in the user or the password is written %40, else what follows it counts as the host"
"""Also where a slash or a question mark follows: then the real host is in the rest."""


def url_of(part: str, text: str) -> URL:
    """The URL that stands at `part` of the configuration. Raises ConfigurationError, which shows
    nothing of the text: a password may be in any place of one that is written wrong."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise _wrong(part, "is not a SQLAlchemy URL") from None
    except ValueError:  # of int(), for what stands between the last colon and the slash
        said = "has a port that is no number; it is written scheme://user:password@host:port/name"
        raise _wrong(part, f"{said}, and {AT}") from None
    beside_values = re.sub(r"=[^&]*", "", text)  # an option's value may hold one
    if url.host and (beside_values.count("@") > 1 or "@" in url.host + (url.database or "")):
        raise _wrong(part, f"has two @: {AT}")
    return url


def _wrong(part: str, said: str) -> ConfigurationError:
    return ConfigurationError(Problem((part, "url"), f"{part}.url {said}"))
