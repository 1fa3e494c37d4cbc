"""MXO passes the kit that every destination must pass, in each mode, against the sandbox."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from connector.destinations import http
from connector.destinations.bench import Trouble
from connector.destinations.conformance import CHECKS, Check, Fault
from connector.destinations.mxo import KIND
from connector.sandbox.exchange import Refusal
from connector.sandbox.mxo.running import Running, running
from tests.destinations.mxos import ACTIVATION, SECRET, behave, settings_of
from tests.destinations.test_conformance import READS

WAYS: dict[Fault, dict[str, Any]] = {
    Fault.LOST_BEFORE: {"faults": {"reset_before": 1}},
    Fault.LOST_AFTER: {"faults": {"reset_after": 1}},
    Fault.ERROR_BEFORE: {"faults": {"status_before": {503: 1}}},
    Fault.ERROR_AFTER: {"faults": {"status_after": {503: 1}}},
    Fault.PAGE_AFTER: {"faults": {"html_after": 1}},
    Fault.BUSY: {"faults": {"too_many": 1}},
    Fault.NOT_LET_IN: {"token_life": 0},
    Fault.REFUSED: {},
}


class MxoBench:
    """The sandbox of an MXO."""

    payloads: Sequence[bytes] = (b'{"storeNo":"1"}', b'{"storeNo":"2"}')
    contact = "customer-1"
    activation: Mapping[str, Any] = ACTIVATION

    def __init__(self, sandbox: Running, mode: str) -> None:
        self.sandbox = sandbox
        self.settings: Mapping[str, Any] = settings_of(sandbox, mode)
        self._capture, self._take_over = sandbox.store.capture, sandbox.store.take_over

    def fail(self, fault: Fault | None) -> None:
        behave(self.sandbox, offline="on", **(WAYS[fault] if fault else {}))
        store: Any = self.sandbox.store
        store.capture = self._refuse if fault is Fault.REFUSED else self._capture
        store.take_over = self._refuse if fault is Fault.REFUSED else self._take_over
        if fault is Fault.NOT_LET_IN:
            self.sandbox.store.tokens.revoke()

    def _refuse(self, *_: Any) -> None:
        """In words that hold all that could be told."""
        live = " ".join(self.sandbox.store.tokens._live)
        raise Refusal(400, "malformed", f"not with {SECRET} and {live}")

    def trouble(self, trouble: Trouble | None) -> bool:
        reads = {} if trouble is None else READS.get(trouble)
        if reads is not None:
            behave(self.sandbox, offline="on", status_faults=reads, error_faults=reads)
        return reads is not None

    def stored(self) -> int:
        self.sandbox.finish()
        return sum(took.effects for took in self.sandbox.truth().values())

    def last_request(self) -> tuple[str, str, bytes]:
        assert self.sandbox.requests.last is not None
        method, path, body = self.sandbox.requests.last
        return method, self.sandbox.url + path, body


@pytest.fixture(params=["single", "offline", "batch"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MxoBench]:
    monkeypatch.setattr(http, "GET_PAUSES", (0.001, 0.001))
    with running(secret=SECRET) as sandbox:
        bench = MxoBench(sandbox, request.param)
        bench.fail(None)
        yield bench


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_mxo_conforms(check: Check, bench: MxoBench) -> None:
    asyncio.run(check(KIND, bench))
