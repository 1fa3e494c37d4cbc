"""A running sandbox, a clock to move by hand, and a client that speaks Engage's API."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.running import Running, running
from connector.sandbox.engage.store import Engage

ANNA = "2e40b702-1111-4222-8333-000000000001"
NOBODY = "2e40b702-1111-4222-8333-00000000ffff"


def a_schema(schema_id: str = "review", **changes: Any) -> dict[str, Any]:
    """A schema that Engage accepts."""
    properties = {
        "sku": {"type": "string", "displayName": "SKU", "showInContactCard": "true"},
        "rating": {"type": "integer"},
        "score": {"type": "number"},
        "again": {"type": "boolean"},
        "bought": {"type": "string", "format": "date-time"},
    }
    rules = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": ["sku"],
    }
    return {"id": schema_id, "displayName": "Review", "jsonSchema": {**rules, **changes}}


@dataclass
class Clock:
    """Seconds since 1970 that pass only when a test says so."""

    now: float = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Api:
    """Sends requests as a client of Engage would."""

    anna = ANNA
    nobody = NOBODY

    def __init__(self, http: httpx.Client, sandbox: Running) -> None:
        self.http = http
        self.sandbox = sandbox

    def behave(self, **switches: Any) -> None:
        self.sandbox.behaviour = Behaviour(**{"hard_rate": None, **switches})

    def send(self, **changes: Any) -> httpx.Response:
        body = {"contactId": ANNA, "schemaId": "review", "payload": {"sku": "A"}, **changes}
        return self.http.post("/api/v3/interactions", json=body)

    def read(self, **query: Any) -> httpx.Response:
        query = {"contactId": ANNA, "schemaId": "review", **query}
        return self.http.get("/api/v3/interactions", params=query)

    def find(self, **query: str) -> httpx.Response:
        return self.http.get("/api/v3/contacts/id", params=query)

    @staticmethod
    def token_of(page: httpx.Response) -> str | None:
        """The continuation token in a page's link, if there is one."""
        for link in page.json()["links"]:
            return parse_qs(urlsplit(link["href"]).query)["continuation"][0]
        return None

    def stored(self) -> list[dict[str, Any]]:
        """What is really stored, whatever the answers said."""
        return [each.payload for each in self.sandbox.engage.interactions()]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engage(clock: Clock) -> Engage:
    engage = Engage(Behaviour(hard_rate=None), clock=clock)
    engage.add_schema(a_schema())
    engage.add_contact({"contactId": ANNA, "email": "anna@example.com"})
    return engage


@pytest.fixture
def a_schema_body() -> Callable[..., dict[str, Any]]:
    return a_schema


@pytest.fixture
def sandbox(engage: Engage) -> Iterator[Running]:
    with running(engage=engage) as sandbox:
        yield sandbox


@pytest.fixture
def api(sandbox: Running) -> Iterator[Api]:
    headers = {"apikey": sandbox.api_key, "User-Agent": "Tests/1.0"}
    with httpx.Client(
        base_url=sandbox.url, headers=headers, verify=False, trust_env=False, timeout=5
    ) as http:
        yield Api(http, sandbox)
