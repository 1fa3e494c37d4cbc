"""What tests are spared: the disk, to wait for it, and to do the same work once more."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.targets import is_quick

PRAGMAS = "connector.ledger.engine.DURABLE"
IN_MEMORY = Path("/dev/shm")
ENOUGH = 4 << 30
"""Bytes that are free there where tests may write."""


def pytest_configure() -> None:
    """What tests write stands in memory, where there is enough of it and TMPDIR names no other
    place. They make and remove hundreds of thousands of files, a database of PostgreSQL being
    hundreds: ext4 looks for a free inode among all that were removed just now, which took a third
    of the time of all processors."""
    if "TMPDIR" in os.environ:
        return
    with suppress(OSError):
        if shutil.disk_usage(IN_MEMORY).free >= ENOUGH and os.access(IN_MEMORY, os.W_OK):
            os.environ["TMPDIR"] = str(IN_MEMORY)  # for all processes of the tests
            tempfile.tempdir = None


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


@pytest.fixture(scope="session", autouse=True)
def the_same_statement_is_compiled_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test has a ledger of its own, whose engine would compile the same statements anew."""
    if is_quick(request.config):
        yield
        return
    module = import_module("connector.ledger.engine")
    with mock.patch.object(module, "create_engine", _sharing(module.create_engine)):
        yield


def _sharing(create: Callable[..., Any]) -> Callable[..., Any]:
    """Makes engines that compile for one dialect, and keep what is compiled in one place."""

    @cache
    def common(backend: str, module: object) -> tuple[Any, Any]:
        engine = create(backend, **({"module": module} if module else {}))
        engine.connect().close()  # a dialect knows its database from a first connection
        engine.dispose()
        return engine.dialect, engine._compiled_cache

    def create_sharing(url: Any, **options: Any) -> Any:
        engine = create(url, **options)
        if engine.dialect.name == "sqlite":
            engine.dialect, engine._compiled_cache = common("sqlite://", options.get("module"))
        return engine

    return create_sharing
