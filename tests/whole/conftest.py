"""Fixtures for tests of the whole product."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import structlog

from connector.basis.log import Log
from connector.decisions import undo
from connector.destinations import http
from connector.destinations.mxo import batches
from connector.rules import clocks
from connector.rules.clocks import Moment
from connector.sandbox.engage.running import Running, running
from connector.schemas import provision, replacing
from connector.sync import health, requests, taking_back
from tests.whole.shop import Shop, an_engage

SCALE = 0.1
"""Of the pauses after which something is asked once more, by commands in this process."""
RISING: list[tuple[Any, str]] = [
    (http, "GET_PAUSES"),
    (provision, "PAUSES"),
    (health, "OUTAGE_PAUSES"),
    (taking_back, "PAUSES"),
    (undo, "PAUSES"),
]
SINGLE: list[tuple[Any, str]] = [
    (replacing, "LOOK_EVERY"),
    (batches, "SOONEST"),
    (requests, "SOON"),
]
NOW = clocks.now


@pytest.fixture(autouse=True)
def pauses_are_short() -> Iterator[None]:
    with ExitStack() as stack:
        for module, name in RISING:
            shorter = tuple(SCALE * pause for pause in getattr(module, name))
            stack.enter_context(mock.patch.object(module, name, shorter))
        for module, name in SINGLE:
            pause = SCALE * getattr(module, name)
            stack.enter_context(mock.patch.object(module, name, pause))
        yield


@pytest.fixture(autouse=True)
def nothing_is_logged_to_a_test_before() -> Iterator[None]:
    """A command says where lines go: to what its test captured, which is closed afterwards."""
    yield
    structlog.reset_defaults()
    Log.first = None


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(engage=an_engage()) as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, sandbox: Running, capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    shop = Shop(tmp_path, sandbox, capsys)
    yield shop
    shop.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets the wall clock; the others go on, as when somebody sets it between two commands."""

    def put(at: datetime) -> None:
        ahead = at.timestamp() - NOW().wall

        def now() -> Moment:
            moment = NOW()
            return moment._replace(wall=moment.wall + ahead)

        monkeypatch.setattr(clocks, "now", now)

    return put
