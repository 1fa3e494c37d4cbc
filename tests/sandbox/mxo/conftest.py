"""A running sandbox of MXO, and a client that speaks its API."""

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from connector.sandbox.clock import Clock
from connector.sandbox.mxo.behaviour import Behaviour
from connector.sandbox.mxo.running import Running, running
from connector.sandbox.mxo.store import Mxo

NOON = 1_795_003_200.0  # 2026-11-18 12:00:00 UTC
BATCH = "2e40b702-1111-4222-8333-00000000000b"


def a_record(reference: str = "c1", **changes: Any) -> dict[str, Any]:
    """A record of a batch."""
    return {
        "uri": "store://pos/visit",
        "timestamp": "2026-11-17T10:00:00Z",
        "customerKey": f"k-{reference}",
        "properties": [{"name": "connectorRef", "value": reference}],
        **changes,
    }


class Api:
    """Sends requests as a client of MXO would."""

    def __init__(self, http: httpx.Client, sandbox: Running) -> None:
        self.http = http
        self.sandbox = sandbox
        self.bearer = ""

    def behave(self, **switches: Any) -> None:
        self.sandbox.behaviour = Behaviour.model_validate(switches)

    def fetch_token(self, secret: str | None = None, grant: str = "client_credentials") -> Any:
        answer = self.http.post(
            "/one/oauth2token",
            data={"grant_type": grant},
            auth=(self.sandbox.client_id, secret or self.sandbox.secret),
        )
        if answer.status_code == 200:
            self.bearer = answer.json()["access_token"]
        return answer

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self.bearer}",
            "dataMimeType": "application/json",
            "workspaceId": self.sandbox.workspace_id,
            **options.pop("headers", {}),
        }
        sent = {name: text for name, text in headers.items() if text}
        return self.http.request(method, path, headers=sent, **options)

    def put(self, record: Any, where: str = "interaction", **options: Any) -> httpx.Response:
        options = {"params": {"sk": self.sandbox.site_key}, **options}
        return self.call("PUT", f"/one/oauth2/rt/api/2.0/{where}", json=record, **options)

    def post(self, records: Sequence[Any], batch_id: str = BATCH, **options: Any) -> httpx.Response:
        headers = {"batchId": batch_id, **options.pop("headers", {})}
        site = options.pop("site", self.sandbox.site_key)
        path = f"/batchv2/interactions/{site}"
        return self.call("POST", path, json=records, headers=headers, **options)

    def status(self, batch_id: str = BATCH) -> httpx.Response:
        return self.call("GET", f"/batchv2/interactions/{self.sandbox.site_key}/{batch_id}")

    def errors(self, batch_id: str = BATCH) -> httpx.Response:
        return self.call("GET", f"/batchv2/interactions/{self.sandbox.site_key}/{batch_id}/error")

    def pass_time(self, seconds: float) -> None:
        self.http.post("/sandbox/clock", json={"advance": seconds}).raise_for_status()

    def truth(self) -> Any:
        return self.http.get("/sandbox/truth").json()

    def effects(self) -> dict[str, int]:
        return {name: took["effects"] for name, took in self.truth()["by_reference"].items()}


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(store=Mxo(clock=Clock(lambda: NOON)), secret="a-secret") as sandbox:
        yield sandbox


@pytest.fixture
def api(sandbox: Running) -> Iterator[Api]:
    with httpx.Client(base_url=sandbox.url, verify=False, trust_env=False, timeout=5) as http:
        api = Api(http, sandbox)
        api.fetch_token()
        sandbox.requests.clear()
        yield api
