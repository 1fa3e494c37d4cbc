"""Airflow in a folder of its own, and a project beside it. `make test-airflow` runs these."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HOME = tempfile.mkdtemp(prefix="airflow-")
os.environ.update(  # before Airflow is imported
    AIRFLOW_HOME=HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="false",
    AIRFLOW__CORE__DAGS_FOLDER=f"{HOME}/dags",
    AIRFLOW__LOGGING__LOGGING_LEVEL="INFO",
    AIRFLOW__CORE__UNIT_TEST_MODE="false",
)

import pytest  # noqa: E402
from trial import KEY, PYTHON, Trial  # noqa: E402

CONNECTION = f'{{"conn_type": "http", "password": "{KEY}"}}'
os.environ["AIRFLOW_CONN_ENGAGE_ACME"] = CONNECTION
os.environ.pop("ENGAGE_API_KEY", None)


def pytest_configure() -> None:
    assert PYTHON, "CONNECTOR_PYTHON says where the connector is: make test-airflow"


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path / "project")
    yield trial
    trial.close()


@pytest.fixture(scope="session")
def home() -> Path:
    return Path(HOME)


def airflow(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Airflow."""
    line = [sys.executable, "-W", "ignore", "-m", "airflow", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="session")
def migrated(home: Path) -> Path:
    """Airflow's folder, with its database."""
    (home / "dags").mkdir()
    assert airflow("db", "migrate").returncode == 0
    return home
