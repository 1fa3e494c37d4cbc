"""What is not installed is told with the extra that brings it: every extra, and no other name."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from connector.destinations.secrets import EXTRAS, Secrets
from connector.ledger.engine import plain_engine
from connector.project import tracing
from connector.rules.errors import ConfigurationError
from connector.rules.variables import Unfilled
from connector.warehouse.drivers import DRIVERS
from connector.warehouse.opening import Warehouse
from tests.generated import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_OURS: dict[str, list[str]] = PROJECT["optional-dependencies"]
HIDDEN = {
    *("psycopg", "psycopg2", "pymysql", "MySQLdb", "pymssql", "pyodbc", "oracledb", "trino"),
    *(
        "sqlalchemy_redshift",
        "snowflake",
        "sqlalchemy_bigquery",
        "databricks",
        "clickhouse_connect",
    ),
    *("pyathena", "apprise", "opentelemetry", "hvac", "boto3", "google", "requests"),
}


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `pip install engage-connector` alone."""
    for name in [name for name in sys.modules if name.partition(".")[0] in HIDDEN]:
        monkeypatch.delitem(sys.modules, name)
    for name in HIDDEN:
        monkeypatch.setitem(sys.modules, name, None)


def told_of(url: str) -> str:
    with pytest.raises(ConfigurationError) as refused, Warehouse(make_url(url), ROOT).open():
        pass
    return str(refused.value)


@pytest.mark.parametrize("dialect", sorted({each.dialect for each in DRIVERS if each.extra}))
@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_driver_of_a_warehouse(dialect: str) -> None:
    (extra,) = {each.extra for each in DRIVERS if each.dialect == dialect and each.extra}

    assert f'pip install "engage-connector[{extra}]"' in told_of(f"{dialect}://user@host/shop")


@pytest.mark.parametrize("url", [each.url for each in DRIVERS if not each.extra])
@pytest.mark.usefixtures("nothing_installed")
def test_a_driver_that_no_extra_brings_is_told_with_one_that_an_extra_brings(url: str) -> None:
    dialect = url.partition("+")[0]
    if dialect in ("duckdb", "sqlite"):
        return  # always there

    assert f"and write {dialect}://" in told_of(f"{url}://user@host/shop")


@pytest.mark.parametrize("url", ["postgresql://host/x", "postgresql+psycopg2://host/x"])
@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_driver_of_the_ledger(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r'pip install "engage-connector\[postgres\]"'):
        plain_engine(make_url(url))


@pytest.mark.parametrize(("scheme", "extra"), EXTRAS.items())
@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_client_of_a_secret_manager(scheme: str, extra: str, tmp_path: Path) -> None:
    with pytest.raises(Unfilled, match=rf'pip install "engage-connector\[{extra}\]"'):
        Secrets(tmp_path)(scheme, "path#key")


@pytest.mark.usefixtures("nothing_installed")
def test_traces_that_are_asked_for_and_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing._say_once_what_is_missing.cache_clear()
    monkeypatch.setenv(tracing.ASKED_FOR_BY[0], "http://127.0.0.1:4318")

    with capture_logs() as logs:
        tracing.Tracing.from_environment()
        tracing.Tracing.from_environment()

    assert [each["reason"] for each in logs] == ['run: pip install "engage-connector[otel]"']


def test_all_is_all() -> None:
    (line,) = OF_OURS["all"]
    (named,) = re.findall(r"engage-connector\[(.+)\]", line)

    assert named.split(",") == [name for name in OF_OURS if name != "all"]


def test_every_extra_that_is_named_anywhere_exists_and_every_extra_is_named() -> None:
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "connector").rglob("*.py"),
    ]
    written = "\n".join(page.read_text() for page in pages)
    found: set[Any] = set()
    for names in re.findall(r"engage-connector\[([a-z,]+)\]", written):
        found |= set(names.split(","))

    assert found <= set(OF_OURS)
    assert set(OF_OURS) <= found | set(re.findall(r"`([a-z]+)`", written))
