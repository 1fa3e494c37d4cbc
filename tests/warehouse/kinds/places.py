"""Warehouses that run, each with the reviews that the promises are about: a fixture for each."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from sqlalchemy import URL, make_url

from connector.warehouse import Warehouse
from tests.mariadb import MariaDB
from tests.postgresql import PostgreSQL
from tests.warehouse.kinds.words import KINDS, Kind

BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Place:
    """A warehouse of one kind, with the reviews in it."""

    kind: Kind
    url: URL
    connect_args: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""
    """What is read for the table of reviews, where that is none of its own."""

    def warehouse(self, **options: Any) -> Warehouse:
        """What is tested."""
        return Warehouse(self.url, Path(), connect_args=self.connect_args, **options)

    @property
    def reviews(self) -> str:
        """The reviews, as a model names them."""
        return self.table or self.kind.table


@pytest.fixture(scope="session")
def duckdb_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    kind, path = BY_NAME["duckdb"], tmp_path_factory.mktemp("duckdb") / "shop.duckdb"
    with duckdb.connect(path) as shop:
        shop.execute("set timezone = 'Asia/Karachi'")
        for statement in kind.rows():
            shop.execute(statement)
    return Place(kind, make_url(f"duckdb:///{path}"))


@pytest.fixture(scope="session")
def parquet_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    kind, path = BY_NAME["parquet"], tmp_path_factory.mktemp("parquet") / "reviews.parquet"
    with duckdb.connect() as memory:
        for statement in kind.rows():
            memory.execute(statement)
        memory.execute(f"copy reviews to '{path}' (format parquet)")
    return Place(kind, make_url("duckdb:///:memory:"), table=f"read_parquet('{path}')")


@pytest.fixture(scope="session")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    kind, path = BY_NAME["sqlite"], tmp_path_factory.mktemp("sqlite") / "shop.db"
    with sqlite3.connect(path) as shop:
        for statement in kind.rows():
            shop.execute(statement)
    shop.close()
    return Place(kind, make_url(f"sqlite:///{path}"))


@pytest.fixture(scope="session")
def filled_postgresql(postgresql: PostgreSQL) -> URL:
    """A database whose sessions begin at +05:00."""
    url, kind = postgresql.new(), BY_NAME["postgresql"]
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as shop:
        for statement in (
            f"alter database \"{url.database}\" set timezone = 'Asia/Karachi'",
            *kind.rows(),
            *kind.side_effect,
        ):
            shop.execute(statement)
    return url


def _on_postgresql(name: str, url: URL) -> Place:
    kind = BY_NAME[name]
    return Place(kind, url.set(drivername=kind.driver))


@pytest.fixture(scope="session")
def postgresql_place(filled_postgresql: URL) -> Place:
    return _on_postgresql("postgresql", filled_postgresql.set(drivername="postgresql"))


@pytest.fixture(scope="session")
def psycopg2_place(filled_postgresql: URL) -> Place:
    pytest.importorskip("psycopg2")
    return _on_postgresql("psycopg2", filled_postgresql)


@pytest.fixture(scope="session")
def redshift_place(filled_postgresql: URL) -> Place:
    pytest.importorskip("sqlalchemy_redshift")
    pytest.importorskip("psycopg2")
    return _on_postgresql("redshift", filled_postgresql)


@pytest.fixture(scope="session")
def mariadb_place(mariadb: MariaDB) -> Iterator[Place]:
    kind = BY_NAME["mariadb"]
    mariadb.execute(*kind.rows(), *kind.side_effect)
    yield Place(kind, mariadb.url)
    mariadb.execute("drop table reviews")


LOUD = (FutureWarning, DeprecationWarning, ResourceWarning, UserWarning)
"""What the clients of the emulated warehouses warn of, to whoever uses them."""


def _param(kind: Kind) -> Any:
    ignored = [f"ignore::{each.__name__}" for each in LOUD] if kind.emulated else []
    return pytest.param(kind.name, marks=[pytest.mark.filterwarnings(each) for each in ignored])


@pytest.fixture(scope="session", params=list(map(_param, KINDS)))
def place(request: pytest.FixtureRequest) -> Place:
    """A warehouse of each kind."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found
