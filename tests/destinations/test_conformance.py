"""Engage passes the kit that every destination must pass, against the sandbox."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from connector.destinations import http
from connector.destinations.bench import Trouble
from connector.destinations.conformance import CHECKS, Check, Fault
from connector.destinations.engage import KIND
from connector.sandbox.engage.running import Running, running
from tests.whole.shop import an_engage, behaving, contact_id

KEY = "a-secret-key"
WAYS: dict[Fault, dict[str, Any]] = {
    Fault.LOST_BEFORE: {"reset_before": 1},
    Fault.LOST_AFTER: {"reset_after": 1},
    Fault.ERROR_BEFORE: {"status_before": {503: 1}},
    Fault.ERROR_AFTER: {"status_after": {503: 1}},
    Fault.PAGE_AFTER: {"html_after": 1},
    Fault.BUSY: {"too_many": 1},
    Fault.NOT_LET_IN: {"status_before": {401: 1}},
    Fault.REFUSED: {"status_before": {400: 1}},
}
READS: dict[Trouble, dict[str, Any]] = {
    Trouble.NOTHING_READ: {"reset": 1},
    Trouble.ERROR_READ: {"status": {503: 1}},
    Trouble.PAGE_READ: {"html": 1},
    Trouble.HALF_READ: {"truncate": 1},
    Trouble.KEY_READ: {"status": {401: 1}},
}
DELETES: dict[Trouble | None, dict[str, Any]] = {
    Trouble.NOTHING_READ: {"reset_before": 1},
    Trouble.ERROR_READ: {"status_before": {503: 1}},
    Trouble.KEY_READ: {"status_before": {401: 1}},
}


class EngageBench:
    """The sandbox of an Engage."""

    payloads: Sequence[bytes] = (
        b'{"visitId":"v1","productSku":"sku-1","rating":4}',
        b'{"visitId":"v2","productSku":"sku-1","rating":4}',
    )
    contact = contact_id(1)
    activation: Mapping[str, Any] = {
        "model": {"table": "visits"},
        "schema_id": "visit",
        "row_key": "id",
        "start": "all",
        "contact": {"column": "contact", "identifier": "contactId"},
        "payload": {"visitId": "id", "productSku": "sku", "rating": "rating"},
    }

    def __init__(self, sandbox: Running, version: str) -> None:
        self.sandbox = sandbox
        self.sent: list[tuple[str, str, bytes]] = []
        self.settings: Mapping[str, Any] = {
            "type": "engage",
            "url": sandbox.url,
            "api_key": sandbox.api_key,
            "api_version": version,
            "timeout": "2s",
        }

    def fail(self, fault: Fault | None) -> None:
        self.sandbox.behaviour = behaving(**({"faults": WAYS[fault]} if fault else {}))

    def trouble(self, trouble: Trouble | None) -> bool:
        reads = {} if trouble is None else READS.get(trouble)
        if reads is not None:
            self.sandbox.behaviour = behaving(
                read_faults=reads, lookup_faults=reads, delete_faults=DELETES.get(trouble, {})
            )
        return reads is not None

    def stored(self) -> int:
        return len(self.sandbox.engage.interactions())

    def last_request(self) -> tuple[str, str, bytes]:
        return self.sent[-1]


@pytest.fixture(params=["v3", "v2"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngageBench]:
    monkeypatch.setattr(http, "GET_PAUSES", (0.001, 0.001))
    with running(engage=an_engage(), api_key=KEY) as sandbox:
        bench = EngageBench(sandbox, request.param)
        from connector.destinations.connections import Connections

        real = Connections.exchange

        async def noted(self: Any, sent: Any, look: Any) -> Any:
            if sent.method == "POST":
                url = f"{sandbox.url}/api/{request.param}{sent.path}"
                bench.sent.append((sent.method, url, sent.content))
            return await real(self, sent, look)

        monkeypatch.setattr(Connections, "exchange", noted)
        yield bench


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_engage_conforms(check: Check, bench: EngageBench) -> None:
    asyncio.run(check(KIND, bench))
