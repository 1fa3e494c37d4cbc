"""DAGs of a project: made without a secret, and run by Airflow itself."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import airflow
from engage_connector_airflow import connector_dags, pools
from engage_connector_airflow.process.planned import NotPlanned
from trial import KEY, PYTHON, Trial

UNPINNED = "without its constraints Airflow 3.2 runs no task, whatever that is"
DAG_FILE = """
from engage_connector_airflow import connector_dags

globals().update(connector_dags(
    {config!r},
    python={python!r},
    conn_ids={{"ENGAGE_API_KEY": "engage_acme"}},
    budget=60,
    retries=0,
))
"""


def xcoms(home: Path, key: str) -> dict[str, object]:
    """What the tasks have handed on, by task."""
    with closing(sqlite3.connect(home / "airflow.db")) as connection:
        found = connection.execute("select task_id, value from xcom where key = ?", (key,))
        return {task: _plain(value) for task, value in found}


def _plain(value: object) -> object:
    while isinstance(value, str):
        value = json.loads(value)
    return value


@pytest.mark.skipif(version("apache-airflow").startswith("3.2."), reason=UNPINNED)
def test_airflow_runs_the_dag_of_a_project(trial: Trial, migrated: Path) -> None:
    trial.configure(
        trial.activation("fine"), trial.activation("odd"), trial.activation("off", "paused: true")
    )
    trial.add(fine=30, odd=(3, 9))
    file = migrated / "dags/connector.py"
    file.write_text(DAG_FILE.format(config=trial.config, python=PYTHON))

    done = airflow("dags", "test", "connector_engage_by_hand", "--dagfile-path", str(file))

    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-9000:]
    assert KEY not in told
    assert KEY.encode() not in (migrated / "airflow.db").read_bytes()
    counts = xcoms(migrated, "counts")
    assert set(counts) == {"fine", "odd"}
    facts = {task: (c["status"], c["delivered"], c["invalid"]) for task, c in counts.items()}
    assert facts == {"fine": ("succeeded", 30, 0), "odd": ("attention", 0, 3)}
    assert "something waits for a person: 3 invalid" in told
    assert set(trial.stored().values()) == {1}
    assert len(trial.stored()) == 30


def project(path: Path, number: int, keys: int = 100) -> str:
    """So many activations on so many keys, none of which is known here."""
    lines = ["version: 1", 'warehouse: {url: "duckdb:///w.duckdb"}', "destinations:"]
    lines += [
        f'  d{key}: {{type: engage, url: "https://x.example.com", api_key: "${{KEY_{key}}}"}}'
        for key in range(keys)
    ]
    lines += ["activations:"]
    for n in range(number):
        lines += [
            f"  a{n}:",
            f"    destination: d{n % keys}",
            "    model: {sql: 'select * from visits'}",
            "    schema_id: visit",
            "    row_key: id",
            "    cursor: seen_at",
            "    start: all",
            "    contact: {column: contact, identifier: contactId}",
            "    payload: {visitId: id}",
            "    schedule: {every: 90m}",
        ]
    (path / "activations.yaml").write_text("\n".join(lines) + "\n")
    return str(path / "activations.yaml")


def test_three_hundred_activations_become_dags_within_a_second_of_work(tmp_path: Path) -> None:
    config = project(tmp_path, 300)

    def work() -> float:
        of = [resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN]
        return sum(sum(resource.getrusage(each)[:2]) for each in of)

    took = []
    for _ in range(3):
        began = work()
        dags = connector_dags(config, python=PYTHON)
        took.append(work() - began)

    assert len(dags) == 100
    tasks = [task for dag in dags.values() for task in dag.tasks]
    assert len(tasks) == 300
    assert len({task.pool for task in tasks}) == 100
    assert "KEY_1" not in os.environ
    assert min(took) < 1


def test_a_schedule_becomes_a_timetable_in_its_zone(trial: Trial) -> None:
    at = 'schedule: {cron: "30 6 * * *", timezone: Europe/Stockholm}'
    trial.configure(
        trial.activation("a", at),
        trial.activation("b", "schedule: {every: 90m}"),
        trial.activation("c"),
    )

    dags = {dag.task_ids[0]: dag for dag in connector_dags(trial.config, python=PYTHON).values()}

    at_six = dags["a"].timetable
    assert "Europe/Stockholm" in str(
        getattr(at_six, "timezone", getattr(at_six, "_timezone", None))
    )
    every = dags["b"].timetable
    assert getattr(every, "delta", getattr(every, "_delta", None)) == timedelta(minutes=90)
    assert dags["c"].schedule is None
    assert dags["b"].dag_id == "connector_engage_every_90m"


def test_what_shares_a_key_shares_a_pool_and_each_activation_is_an_asset(trial: Trial) -> None:
    trial.configure(trial.activation("a"), trial.activation("b", "schedule: {every: 1h}"))

    tasks = [
        task for dag in connector_dags(trial.config, python=PYTHON).values() for task in dag.tasks
    ]

    assert {task.pool for task in tasks} == set(pools(trial.config, python=PYTHON))
    assert len({task.pool for task in tasks}) == 1
    assert {task.outlets[0].uri for task in tasks} == {
        "connector://engage/a",
        "connector://engage/b",
    }
    line = [sys.executable, "-m", "engage_connector_airflow", trial.config, "--python", PYTHON]
    printed = subprocess.run([*line, "--slots", "3"], capture_output=True, text=True, check=True)
    assert [each["slots"] for each in json.loads(printed.stdout).values()] == [3]


def test_a_mistake_in_the_configuration_is_told_where_dags_are_parsed(trial: Trial) -> None:
    trial.configure(trial.activation("a"))
    Path(trial.config).write_text(Path(trial.config).read_text() + "activations: {}\n")

    with pytest.raises(NotPlanned, match="activations"):
        connector_dags(trial.config, python=PYTHON)
