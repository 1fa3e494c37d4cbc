"""A project for Dagster. `make test-dagster` runs these."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from engage_connector_dagster import ConnectorResource
from trial import KEY, PYTHON, Trial

os.environ["KEY_OF_ACME"] = KEY
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "true"
os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
os.environ.pop("ENGAGE_API_KEY", None)


def pytest_configure() -> None:
    assert PYTHON, "CONNECTOR_PYTHON says where the connector is: make test-dagster"


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path / "project")
    yield trial
    trial.close()


@pytest.fixture
def connector(trial: Trial) -> ConnectorResource:
    return ConnectorResource(
        config=trial.config, python=PYTHON, secrets={"ENGAGE_API_KEY": "KEY_OF_ACME"}
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
