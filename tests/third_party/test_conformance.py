"""The postbox passes the kit that every destination must pass."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from connector.destinations.conformance import CHECKS, Check, Fault
from tests.third_party.postbox import KIND
from tests.third_party.server import PASSWORD, USER, Office, running


class PostboxBench:
    """A post office."""

    contact = "anna@example.com"
    payloads: Sequence[bytes] = (b'{"rating":4}', b'{"rating":5}')
    activation: Mapping[str, Any] = {
        "model": {"table": "visits"},
        "box": "club",
        "row_key": "id",
        "start": "all",
        "contact": {"column": "email"},
    }

    def __init__(self, office: Office) -> None:
        self.office = office
        self.settings: Mapping[str, Any] = {
            "type": "postbox",
            "url": office.url,
            "user": USER,
            "password": PASSWORD,
            "timeout": "2s",
        }

    def fail(self, fault: Fault | None) -> None:
        self.office.fail(fault)

    def stored(self) -> int:
        return len(self.office.letters)

    def last_request(self) -> tuple[str, str, bytes]:
        return self.office.last


@pytest.fixture
def bench() -> Iterator[PostboxBench]:
    with running() as office:
        yield PostboxBench(office)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_postbox_conforms(check: Check, bench: PostboxBench) -> None:
    asyncio.run(check(KIND, bench))
