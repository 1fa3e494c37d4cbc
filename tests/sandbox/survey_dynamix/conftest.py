"""A running sandbox of Survey Dynamix, and a client that speaks its API."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from connector.sandbox.clock import Clock
from connector.sandbox.survey_dynamix.behaviour import Behaviour
from connector.sandbox.survey_dynamix.running import Running, running
from connector.sandbox.survey_dynamix.store import SurveyDynamix

NOON = 1_795_003_200.0  # 2026-11-18 12:00:00 UTC


class Api:
    """Sends requests as a client of Survey Dynamix would."""

    def __init__(self, http: httpx.Client, sandbox: Running) -> None:
        self.http = http
        self.sandbox = sandbox

    def behave(self, **switches: Any) -> None:
        self.sandbox.behaviour = Behaviour.model_validate(switches)

    def ask(self, **changes: str) -> httpx.Response:
        form = {
            "survey_id": "493",
            "survey_type": "email",
            "email": "anna@example.com",
            "scheduled_at": "2026-11-18 13:00:00",
            "external_ref": "c1",
            **changes,
        }
        sent = {name: value for name, value in form.items() if value}
        return self.http.post("/api/interactions", data=sent)

    def listed(self, **query: Any) -> httpx.Response:
        return self.http.get("/api/interactions", params={"survey_id": 493, **query})

    def pass_time(self, seconds: float) -> None:
        self.http.post("/sandbox/clock", json={"advance": seconds}).raise_for_status()

    def truth(self) -> Any:
        return self.http.get("/sandbox/truth").json()


@pytest.fixture
def sandbox() -> Iterator[Running]:
    store = SurveyDynamix(clock=Clock(lambda: NOON))
    with running(store=store, secret="a-secret") as sandbox:
        yield sandbox


@pytest.fixture
def api(sandbox: Running) -> Iterator[Api]:
    with httpx.Client(
        base_url=sandbox.url,
        auth=(sandbox.customer, sandbox.secret),
        verify=False,
        trust_env=False,
        timeout=5,
    ) as http:
        yield Api(http, sandbox)
