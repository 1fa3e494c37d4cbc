"""Survey Dynamix passes the kit that every destination must pass."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Never

import pytest

from connector.destinations import http
from connector.destinations.bench import Trouble
from connector.destinations.conformance import CHECKS, Check, Fault
from connector.destinations.survey_dynamix import KIND
from connector.sandbox.exchange import Refusal
from connector.sandbox.survey_dynamix.behaviour import Behaviour
from connector.sandbox.survey_dynamix.running import CUSTOMER, Running, running
from tests.destinations.test_conformance import DELETES, READS

SWITCHES: Mapping[Fault, Mapping[str, Any]] = {
    Fault.LOST_BEFORE: {"reset_before": 1},
    Fault.LOST_AFTER: {"reset_after": 1},
    Fault.ERROR_BEFORE: {"status_before": {503: 1}},
    Fault.ERROR_AFTER: {"status_after": {503: 1}},
    Fault.PAGE_AFTER: {"html_after": 1},
    Fault.BUSY: {"too_many": 1},
    Fault.NOT_LET_IN: {"status_before": {401: 1}},
}


class Account:
    """An account of Survey Dynamix in a sandbox."""

    contact = "anna@example.com"
    payloads: Sequence[bytes] = (b'{"orderNo":"4"}', b'{"orderNo":"5"}')
    activation: Mapping[str, Any] = {
        "model": {"table": "parcels"},
        "survey_id": 493,
        "survey_type": "email",
        "row_key": "parcel_no",
        "start": "all",
        "contact": {"column": "email", "identifier": "email"},
        "payload": {"orderNo": "order_no"},
        "scheduled_at": {"after": "36500d"},  # nobody has got it yet, so it can be deleted
        "when_pending": "force",
    }

    def __init__(self, sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox, self._patch = sandbox, monkeypatch
        self.settings: Mapping[str, Any] = {
            "type": "survey_dynamix",
            "url": sandbox.url,
            "customer": CUSTOMER,
            "auth_token": sandbox.secret,
            "timeout": "2s",
        }

    def fail(self, fault: Fault | None) -> None:
        faults = {} if fault is None else SWITCHES.get(fault, {})
        self.sandbox.behaviour = Behaviour.model_validate({"faults": faults})
        if fault is Fault.REFUSED:

            def refuse(*_: object) -> Never:
                raise Refusal(400, "malformed", f"no, {CUSTOMER} {self.sandbox.secret}")

            self._patch.setattr(self.sandbox.store, "ask", refuse)

    def trouble(self, trouble: Trouble | None) -> bool:
        reads = {} if trouble is None else READS.get(trouble)
        if reads is not None:
            faults = {"read_faults": reads, "delete_faults": DELETES.get(trouble, {})}
            self.sandbox.behaviour = Behaviour.model_validate(faults)
        return reads is not None

    def stored(self) -> int:
        return len(self.sandbox.store.interactions())

    def last_request(self) -> tuple[str, str, bytes]:
        method, path, body = self.sandbox.requests.last or ("", "", b"")
        return method, f"{self.sandbox.url}{path}", body


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setattr(http, "GET_PAUSES", (0.001, 0.001))
    with running() as sandbox:
        yield Account(sandbox, monkeypatch)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_survey_dynamix_conforms(check: Check, bench: Account) -> None:
    asyncio.run(check(KIND, bench))
