"""What the operator raises for each end of a sync; the ends are played."""

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from engage_connector_airflow import ConnectorSyncOperator, get_provider_info
from engage_connector_airflow.operators import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)
from trial import KEY

PLAYED = """
import os, sys
print("the key is", os.environ.get("ENGAGE_API_KEY"), file=sys.stderr)
with open(os.environ["HEARD"], "a") as heard:
    print(*sys.argv[1:], file=heard)
told = "TOTALS" if "runs" in sys.argv else "SAYS"
print(os.environ[told])
sys.exit(int(os.environ["ENDS"]))
"""


class Task:
    """The task instance, as far as the operator knows one."""

    def __init__(self, try_number: int = 1) -> None:
        self.try_number = try_number
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture
def played(tmp_path: Path) -> Path:
    (tmp_path / "connector").mkdir()
    (tmp_path / "connector/__init__.py").touch()
    (tmp_path / "connector/__main__.py").write_text(PLAYED)
    return tmp_path


def execute(
    played: Path, says: Any, ends: int = 0, task: Task | None = None, totals: Any = None, **of: Any
) -> dict[str, Any]:
    env = {
        "PYTHONPATH": str(played),
        "SAYS": json.dumps(says),
        "TOTALS": json.dumps({"runs": [], "totals": totals}),
        "ENDS": str(ends),
        "HEARD": str(played / "heard"),
    }
    operator = ConnectorSyncOperator(
        task_id="t",
        activation="visits",
        config=str(played / "activations.yaml"),
        python=sys.executable,
        env=env,
        **of,
    )
    dag = SimpleNamespace(dag_id="nightly")
    context: Any = {"ti": task or Task(), "dag": dag, "run_id": "manual__1"}
    return operator.execute(context)


def run(status: str, kind: str | None = None, retryable: bool = False, **more: Any) -> Any:
    facts = {"activation": "visits", "run_id": "r1", "status": status, "kind": kind, **more}
    return {
        "runs": [{"error": "reason", "retryable": retryable, "notes": [], "done": True} | facts]
    }


def error(kind: str, retryable: bool = False) -> Any:
    return {"error": {"kind": kind, "message": "reason", "retryable": retryable}}


@pytest.mark.parametrize(
    ("says", "ends", "raised"),
    [
        (run("held", "held"), 1, AirflowSkipException),
        (error("paused"), 2, AirflowSkipException),
        (run("stopped", "busy", True), 3, AirflowException),
        (run("stopped", "destination", True), 3, AirflowException),
        (error("ledger", True), 3, AirflowException),
        (run("stopped", "interrupted", True), 130, AirflowException),
        (run("stopped", "key_refused"), 3, AirflowFailException),
        (error("configuration"), 2, AirflowFailException),
        (run("stopped", "defect"), 3, AirflowFailException),
    ],
)
def test_each_end_becomes_what_airflow_understands(
    played: Path, says: Any, ends: int, raised: type[Exception]
) -> None:
    with pytest.raises(raised) as told:
        execute(played, says, ends)

    assert type(told.value) is raised


def test_what_a_person_must_look_at_becomes_what_is_wished(played: Path) -> None:
    assert execute(played, run("attention"), 1)["status"] == "attention"
    for of, says, raised in [
        ({"on_attention": "fail"}, run("attention"), AirflowFailException),
        ({"on_held": "fail"}, run("held", "held"), AirflowFailException),
    ]:
        with pytest.raises(raised):
            execute(played, says, 1, **of)


def test_the_first_try_hands_on_its_counts_and_a_later_one_the_sum(played: Path) -> None:
    first = Task()
    done = execute(played, run("succeeded", delivered=5), task=first)

    assert done == first.pushed["counts"]
    facts = [done[name] for name in ("delivered", "done", "tag", "run_id")]
    assert facts == [5, True, "airflow/nightly/manual__1", "r1"]

    again = Task(try_number=2)
    execute(
        played, run("succeeded", delivered=0), task=again, totals={"delivered": 5, "done": True}
    )

    assert again.pushed["counts"]["delivered"] == 5
    heard = (played / "heard").read_text().splitlines()
    assert "sync visits --tag airflow/nightly/manual__1" in heard[0]
    assert "runs visits --tag airflow/nightly/manual__1" in heard[-1]


def test_the_rest_of_a_budget_is_the_next_turns_or_is_done_at_once(played: Path) -> None:
    left = run("succeeded", done=False)

    assert execute(played, left, budget=60)["done"] is False
    assert "--for 60s" in (played / "heard").read_text()
    with pytest.raises(AirflowRescheduleException):
        execute(played, left, budget=60, on_budget="again", totals={"done": False})
    done = execute(played, run("succeeded"), budget=60, on_budget="again", totals={"done": True})
    assert done["done"] is True


def test_a_connection_becomes_a_variable_of_the_sync_alone(
    played: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logging.getLogger().addHandler(kept := Kept())
    try:
        execute(played, run("succeeded"), conn_ids={"ENGAGE_API_KEY": "engage_acme"})
    finally:
        logging.getLogger().removeHandler(kept)

    assert KEY not in "".join([*heard, caplog.text])


@pytest.mark.parametrize("conn_id", ["nobody", "without"])
def test_a_connection_that_is_not_there_is_not_tried_again(
    played: Path, conn_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WITHOUT", '{"conn_type": "http"}')
    with pytest.raises(AirflowFailException, match=conn_id):
        execute(played, run("succeeded"), conn_ids={"ENGAGE_API_KEY": conn_id})


def test_openlineage_is_told_what_was_sent(played: Path) -> None:
    pytest.importorskip("airflow.providers.openlineage.extractors")
    env = {"PYTHONPATH": str(played), "HEARD": str(played / "heard"), "ENDS": "0"}
    env["SAYS"] = json.dumps(run("succeeded", delivered=5))
    operator = ConnectorSyncOperator(
        task_id="t",
        activation="visits",
        config=str(played / "activations.yaml"),
        python=sys.executable,
        env=env,
        reads=[("postgres://warehouse:5432", "shop.public.visits")],
    )
    context: Any = {"ti": Task(), "dag": SimpleNamespace(dag_id="d"), "run_id": "r"}
    operator.execute(context)

    told = operator.get_openlineage_facets_on_complete(None)

    assert [(each.namespace, each.name) for each in told.inputs] == [
        ("postgres://warehouse:5432", "shop.public.visits")
    ]
    (output,) = told.outputs
    assert (output.namespace, output.name) == ("connector://engage", "visits")
    assert output.outputFacets["outputStatistics"].rowCount == 5


def test_airflow_finds_the_provider() -> None:
    from importlib.metadata import entry_points

    (found,) = [e for e in entry_points(group="apache_airflow_provider") if "engage" in e.value]
    assert found.load()() == get_provider_info()
