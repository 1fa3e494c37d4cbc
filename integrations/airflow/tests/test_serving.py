"""An activation that `connector serve` runs, and the task that waits for it."""

import asyncio
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import airflow
from engage_connector_airflow import ConnectorServeOperator
from engage_connector_airflow.operators import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from trial import KEY, PYTHON, Trial

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:
    from airflow.exceptions import TaskDeferred

TOKEN = "t0ken-of-serve"
DAG_FILE = """
from airflow.sdk import DAG
from engage_connector_airflow import ConnectorServeOperator

with DAG("served", schedule=None):
    ConnectorServeOperator(task_id="fine", activation="fine", conn_id="serve", every=0.5)
"""


@pytest.fixture
def serving(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """A project that is served."""
    trial.configure(
        trial.activation("fine"), trial.activation("odd"), trial.activation("off", "paused: true")
    )
    trial.add(fine=30, odd=(3, 9))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = [PYTHON, "-m", "connector", "--config", trial.config, "serve", "--port", str(port)]
    environment = {**os.environ, "ENGAGE_API_KEY": KEY, "CONNECTOR_TOKEN": TOKEN}
    served = subprocess.Popen(line, env=environment, cwd=trial.path, stdout=subprocess.DEVNULL)
    where = f'{{"conn_type": "http", "host": "127.0.0.1", "port": {port}, "password": "%s"}}'
    monkeypatch.setenv("AIRFLOW_CONN_SERVE", where % TOKEN)
    monkeypatch.setenv("AIRFLOW_CONN_STRANGER", where % "another")
    monkeypatch.setenv("AIRFLOW_CONN_NOBODY", '{"conn_type": "http", "port": 1}')
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
            break
        except OSError:
            time.sleep(0.1)
    yield trial
    served.terminate()
    served.wait(60)


def run(activation: str, conn_id: str = "serve", **of: Any) -> dict[str, Any]:
    """Execute the task, wait as the triggerer does, and go on."""
    operator = ConnectorServeOperator(
        task_id="t", activation=activation, conn_id=conn_id, every=0.2, **of
    )
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    context: Any = {"ti": ti, "dag": SimpleNamespace(dag_id="d"), "run_id": "r"}
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    path, given = deferred.value.trigger.serialize()
    assert path == "engage_connector_airflow.serving.RunTrigger"
    assert TOKEN not in str(given)

    async def event() -> Any:
        async for each in type(deferred.value.trigger)(**given).run():
            return each.payload
        return None

    done = getattr(operator, deferred.value.method_name)(context, asyncio.run(event()))
    assert pushed["counts"] == done
    return done


def test_serve_runs_it_and_the_task_ends_as_the_run_does(serving: Trial) -> None:
    fine, odd = run("fine"), run("odd")

    assert (fine["delivered"], fine["done"]) == (30, True)
    assert odd["invalid"] == 3
    with pytest.raises(AirflowFailException):
        run("odd", on_attention="fail")
    assert len(serving.stored()) == 30
    runs = serving.connector("runs", "fine", "--tag", "airflow/d/r")["runs"]
    assert [each["run_id"] for each in runs] == [fine["run_id"]]


@pytest.mark.skipif(not version("apache-airflow").startswith("3.3."), reason="tried there")
def test_airflow_itself_waits_for_the_end(serving: Trial, migrated: Path) -> None:
    file = migrated / "dags/served.py"
    file.write_text(DAG_FILE)

    done = airflow("dags", "test", "served", "--dagfile-path", str(file))

    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-5000:]
    assert TOKEN not in told
    assert len(serving.stored()) == 30


@pytest.mark.parametrize(
    ("activation", "conn_id", "raised"),
    [
        ("off", "serve", AirflowSkipException),
        ("unknown", "serve", AirflowFailException),
        ("fine", "stranger", AirflowFailException),
        ("fine", "nobody", AirflowException),
    ],
)
def test_what_does_not_begin_becomes_what_airflow_understands(
    serving: Trial, activation: str, conn_id: str, raised: type[Exception]
) -> None:
    operator = ConnectorServeOperator(task_id="t", activation=activation, conn_id=conn_id)
    context: Any = {"ti": None, "dag": SimpleNamespace(dag_id="d"), "run_id": "r"}

    with pytest.raises(raised) as told:
        operator.execute(context)

    assert type(told.value) is raised
