"""Warehouses of three kinds: DuckDB and SQLite files, and a database of a PostgreSQL server."""

from pathlib import Path

import duckdb
import pytest
from sqlalchemy import URL, make_url

from tests.postgresql import PostgreSQL
from tests.warehouse.factories import Shop
from tests.warehouse.kinds.emulated import *  # noqa: F403 -- a fixture for each kind
from tests.warehouse.kinds.places import *  # noqa: F403


@pytest.fixture
def duck(tmp_path: Path) -> Shop:
    """An empty DuckDB warehouse."""
    duckdb.connect(tmp_path / "warehouse.duckdb").close()
    return Shop(make_url(f"duckdb:///{tmp_path}/warehouse.duckdb"), tmp_path)


@pytest.fixture
def lite(tmp_path: Path) -> Shop:
    """An empty SQLite warehouse."""
    (tmp_path / "warehouse.db").touch()
    return Shop(make_url(f"sqlite:///{tmp_path}/warehouse.db"), tmp_path)


@pytest.fixture(scope="session")
def postgresql_warehouse(postgresql: PostgreSQL) -> URL:
    """One database for all warehouses on PostgreSQL, which come one after the other."""
    return postgresql.new()


@pytest.fixture
def postgres(postgresql_warehouse: URL, tmp_path: Path) -> Shop:
    """An empty PostgreSQL warehouse."""
    shop = Shop(postgresql_warehouse, tmp_path)
    shop.execute(
        "drop schema if exists mart cascade",
        "drop schema public cascade",
        "create schema public",
    )
    return shop


@pytest.fixture(params=["duck", "lite", "postgres"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """An empty warehouse of each kind."""
    return request.getfixturevalue(request.param)
