"""What tests are spared: to wait for the disk, and to parse the same text once more."""

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from unittest import mock

import pytest

from tests.targets import is_quick

PRAGMAS = "connector.ledger.engine.DURABLE"


@pytest.fixture(scope="session")
def not_durable() -> tuple[str, ...]:
    """What a ledger on SQLite is opened with, but for what waits for the disk."""
    durable: tuple[str, ...] = import_module("connector.ledger.engine").DURABLE
    return tuple(pragma.replace("synchronous = FULL", "synchronous = OFF") for pragma in durable)


@pytest.fixture(autouse=True)
def the_disk_is_not_waited_for(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a power cut does to files is what the tests marked `durable` are about, and tests/proof:
    for all others a commit is done when it is written."""
    durable = request.node.get_closest_marker("durable") or "proof" in request.path.parts
    if durable or is_quick(request.config):
        yield
        return
    with mock.patch(PRAGMAS, request.getfixturevalue("not_durable")):
        yield


@pytest.fixture(scope="session", autouse=True)
def the_same_text_is_parsed_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test runs many commands on one configuration, and parsing it is a third of a command."""
    if is_quick(request.config):
        yield
        return
    parser = import_module("connector.rules.yaml_values")
    with mock.patch.object(parser, "_compose", lru_cache(maxsize=64)(parser._compose)):
        yield
