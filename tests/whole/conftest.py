"""Fixtures for tests of the whole product."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest
import structlog

from connector.decisions import undo
from connector.destinations import http
from connector.sandbox.engage.running import Running, running
from connector.schemas import replacing
from connector.sync import silence, taking_back
from tests.whole.shop import Shop, an_engage

SCALE = 0.1
"""Of the pauses after which something is asked once more, by commands in this process."""


@pytest.fixture(autouse=True)
def pauses_are_short() -> Iterator[None]:
    with ExitStack() as stack:
        shorter = tuple(SCALE * pause for pause in http.GET_PAUSES)
        stack.enter_context(mock.patch.object(http, "GET_PAUSES", shorter))
        look = SCALE * replacing.LOOK_EVERY
        stack.enter_context(mock.patch.object(replacing, "LOOK_EVERY", look))
        for module in (taking_back, undo):
            again = tuple(SCALE * pause for pause in silence.PAUSES)
            stack.enter_context(mock.patch.object(module, "PAUSES", again))
        yield


@pytest.fixture(autouse=True)
def nothing_is_logged_to_a_test_before() -> Iterator[None]:
    """A command says where lines go: to what its test captured, which is closed afterwards."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(engage=an_engage()) as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, sandbox: Running, capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    shop = Shop(tmp_path, sandbox, capsys)
    yield shop
    shop.close()
