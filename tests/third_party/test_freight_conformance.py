"""A destination that takes many rows in one request passes the kit, too."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from connector.destinations.conformance import CHECKS, Check, Fault
from tests.third_party.carrier import KEY, Carrier, running
from tests.third_party.freight import KIND


class FreightBench:
    """A carrier."""

    contact = "anna@example.com"
    payloads: Sequence[bytes] = (b'{"rating":4}', b'{"rating":5}')
    activation: Mapping[str, Any] = {
        "model": {"table": "visits"},
        "port": "club",
        "row_key": "id",
        "start": "all",
        "contact": {"column": "email"},
    }

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.settings: Mapping[str, Any] = {
            "type": "freight",
            "url": carrier.url,
            "key": KEY,
            "timeout": "2s",
        }

    def fail(self, fault: Fault | None) -> None:
        self.carrier.fail(fault)

    def stored(self) -> int:
        return sum(self.carrier.arrived.values())

    def last_request(self) -> tuple[str, str, bytes]:
        url, body = self.carrier.posts[-1]
        return "POST", url, body


@pytest.fixture
def bench() -> Iterator[FreightBench]:
    with running() as carrier:
        yield FreightBench(carrier)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_freight_conforms(check: Check, bench: FreightBench) -> None:
    asyncio.run(check(KIND, bench))
