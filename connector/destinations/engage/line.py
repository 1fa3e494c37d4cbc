"""How an Engage is spoken to, and what its errors say.

Facts and their gaps: developer.voyado.com ("API authentication", "API rate limit", "API retry
policy"). Where those are silent, the assumption is the one that cannot send twice or lose: a 2xx
counts only with an id, a 5xx leaves a doubt.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from connector.destinations.api import Api
from connector.destinations.http import json_of
from connector.rules.schema import InteractionSchema

NO_SUCH_ROUTE = re.compile(r"no http resource|no action was found|no type was found", re.IGNORECASE)
MISCONFIGURED = "InvalidSystemConfiguration"
"""A 500 that will not pass by itself."""
ABOUT_THIS_INTERACTION = (400, 404, 409, 413, 422)
ABOUT_THE_REQUEST = (405, 406, 410, 411, 415)


class Line(Api):
    """One Engage under one API key."""

    live: dict[str, InteractionSchema]
    """The schemas that were found, by the id that the configuration has for them."""

    def said(self, content: Mapping[str, Any]) -> Iterable[object]:
        fields = {str(k).lower(): v for k, v in content.items()}
        yield from (fields.get("errorcode"), fields.get("message"), fields.get("detail"))
        errors = fields.get("validationerrors")
        if isinstance(errors, list):
            yield from (e.get("errorDescription") for e in errors if isinstance(e, dict))

    def is_final(self, response: httpx.Response) -> bool:
        return MISCONFIGURED.encode() in response.content

    def live_id(self, schema_id: str) -> str:
        """The id of a schema as the destination writes it."""
        return self.live[schema_id].id if schema_id in self.live else schema_id


def has_error_code(response: httpx.Response) -> bool:
    """Whether an Engage speaks, and of something that it knows."""
    content = json_of(response)
    return isinstance(content, dict) and any(str(name).lower() == "errorcode" for name in content)
