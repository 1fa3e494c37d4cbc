"""Ledgers for the tests, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, make_url

from connector.ledger.engine import reading_engine, writing_engine
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger

pytest_plugins = [
    "tests.absent",
    "tests.limits",
    "tests.targets",
    "tests.sparing",
    "tests.postgresql",
    "tests.mariadb",
]

DATABASES = ("sqlite", "postgresql")
LEASE = timedelta(minutes=10)
"""Longer than any test, so that nothing is taken over by the passing of time alone."""


@pytest.fixture(params=DATABASES)
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """Where a ledger may be created: a place with nothing in it."""
    if request.param == "sqlite":
        return make_url(f"sqlite:///{tmp_path}/ledger.db")
    return request.getfixturevalue("postgresql_url")


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """An empty ledger with today's tables."""
    if request.param == "sqlite":
        url = make_url(f"sqlite:///{tmp_path}/ledger.db")
        writing_engine(url).dispose()
        yield url
        return
    server = request.getfixturevalue("postgresql")
    url = server.new(template=request.getfixturevalue("migrated_postgresql"))
    yield url
    server.drop(url)


@pytest.fixture
def engine(ledger_url: URL) -> Iterator[Engine]:
    """The writing engine of an empty ledger, on SQLite and on PostgreSQL."""
    engine = writing_engine(ledger_url)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """An empty ledger, on SQLite and on PostgreSQL."""
    return Ledger(engine, LEASE)


@pytest.fixture
def reports(ledger_url: URL) -> Iterator[Reports]:
    """The reading side of `ledger`, on connections of its own that cannot write."""
    engine = reading_engine(ledger_url)
    assert engine is not None
    yield Reports(engine)
    engine.dispose()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no worker ends long after the others."""
    items.sort(key=lambda item: "proof" not in item.path.parts)
