"""Fixtures for tests of the whole product."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.sandbox.engage.running import Running, running
from tests.whole.shop import Shop, an_engage


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(engage=an_engage()) as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, sandbox: Running, capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    shop = Shop(tmp_path, sandbox, capsys)
    yield shop
    shop.close()
