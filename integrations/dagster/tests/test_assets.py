"""Assets of a project, materialized by Dagster itself."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import dagster as dg
from engage_connector_dagster import ConnectorAssets, ConnectorResource, connector_assets
from trial import CONTACT, KEY, PYTHON, Trial

AT_ONCE = dg.RetryPolicy(max_retries=3, delay=0.1)
DBT = {
    "dbt_project.yml": 'name: shop\nversion: "1.0"\nprofile: shop\n',
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: %s, threads: 1}}}\n",
    "models/reviews.sql": "select 'r' || i as id, timestamp '2026-11-01 10:00:00' as seen_at,"
    " '%s' as contact, 4 as rating from range(20) t(i)",
    "models/reviews.yml": "models: [{name: reviews, columns: [{name: id, data_tests: [unique]}]}]",
}


def materialize(
    made: ConnectorAssets, connector: ConnectorResource, instance: dg.DagsterInstance, **more: Any
) -> dg.ExecuteInProcessResult:
    assets = [*more.pop("before", []), *made.assets, *made.checks]
    resources = {"connector": connector, **more}
    return dg.materialize(assets, resources=resources, instance=instance, raise_on_error=False)


def facts_of(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of what was materialized, by activation."""
    return {
        event.asset_key.path[-1]: {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key and event.asset_key.path[0] == "connector"
    }


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Whether the check of each activation has passed."""
    return {
        each.asset_key.path[-1]: each.passed
        for each in result.get_asset_check_evaluations()
        if each.check_name == "nothing_waits_for_a_person"
    }


def test_each_activation_is_an_asset_and_a_check_tells_what_waits_for_a_person(
    trial: Trial, connector: ConnectorResource, instance: dg.DagsterInstance
) -> None:
    trial.configure(
        trial.activation("fine"), trial.activation("odd"), trial.activation("off", "paused: true")
    )
    trial.add(fine=30, odd=(3, 9))

    result = materialize(connector_assets(trial.config, python=PYTHON), connector, instance)

    assert result.success
    facts = facts_of(result)
    assert {name: (each["status"], each["delivered"]) for name, each in facts.items()} == {
        "fine": ("succeeded", 30),
        "odd": ("attention", 0),
    }
    assert checks_of(result) == {"fine": True, "odd": False}
    assert sum(trial.stored().values()) == len(trial.stored()) == 30
    logged = "".join(str(entry) for entry in result.all_events)
    assert KEY not in logged


def test_what_shares_a_key_shares_a_pool(trial: Trial) -> None:
    trial.configure(trial.activation("a"), trial.activation("b"))

    made = connector_assets(trial.config, python=PYTHON)

    assert len({asset.op.pool for asset in made.assets}) == 1
    assert all(asset.op.pool.startswith("connector_") for asset in made.assets)
    assert [key.path for asset in made.assets for key in asset.keys] == [
        ["connector", "engage", "a"],
        ["connector", "engage", "b"],
    ]


def test_what_a_retry_cannot_help_is_not_tried_again(
    trial: Trial, connector: ConnectorResource, instance: dg.DagsterInstance
) -> None:
    trial.configure(trial.activation("a"))
    trial.add(a=1)
    wrong = ConnectorResource(config=trial.config, python=PYTHON, env={"ENGAGE_API_KEY": "wrong"})
    made = connector_assets(trial.config, python=PYTHON, retry_policy=AT_ONCE)

    result = materialize(made, wrong, instance)

    assert not result.success
    retries = [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    assert retries == []
    (failed,) = result.get_step_failure_events()
    assert "key_refused" in str(failed.event_specific_data.error_display_string)


def test_what_is_held_waits_for_a_person_and_fails_without_a_retry(
    trial: Trial, connector: ConnectorResource, instance: dg.DagsterInstance
) -> None:
    trial.configure(trial.activation("a", "limits: {rows: 1}"))
    trial.add(a=5)
    made = connector_assets(trial.config, python=PYTHON, retry_policy=AT_ONCE)

    result = materialize(made, connector, instance)

    assert not result.success
    assert trial.connector("runs")["runs"][0]["kind"] == "held"
    assert len(trial.connector("runs")["runs"]) == 1
    skipped = materialize(
        connector_assets(trial.config, python=PYTHON, on_held="skip"), connector, instance
    )
    assert skipped.success
    assert facts_of(skipped) == {}


def syncs_of(config: str) -> list[int]:
    """The processes that sync a project."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if config in line and "sync" in line and not any("guard.py" in each for each in line):
            found.append(int(folder.name))
    return found


def test_a_sync_that_is_killed_twice_is_tried_again_and_its_counts_are_those_of_all(
    trial: Trial, connector: ConnectorResource, instance: dg.DagsterInstance
) -> None:
    trial.rate = 60
    trial.configure(trial.activation("a"))
    trial.add(a=200)
    made = connector_assets(trial.config, python=PYTHON, retry_policy=AT_ONCE)
    killed: list[int] = []

    def kill() -> None:
        end = time.monotonic() + 100
        while len(killed) < 2 and time.monotonic() < end:
            for pid in syncs_of(trial.config):
                if pid not in killed and len(trial.stored()) > 40 * (len(killed) + 1):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            time.sleep(0.1)

    killer = threading.Thread(target=kill)
    killer.start()
    result = materialize(made, connector, instance)
    killer.join()

    assert len(killed) == 2
    assert result.success
    facts = facts_of(result)["a"]  # what was on the wire at a kill is settled some seconds later
    assert facts["delivered"] + facts["in_doubt"] == 200
    trial.connector("sync", "--wait")
    stored = trial.stored()
    assert (len(stored), set(stored.values())) == (200, {1})
    retries = [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    assert len(retries) == 2


def test_a_model_of_dbt_is_upstream_of_what_reads_it(
    trial: Trial, connector: ConnectorResource, instance: dg.DagsterInstance
) -> None:
    from dagster_dbt import DbtCliResource, dbt_assets

    project = trial.path / "dbt"
    for name, text in DBT.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        place = {"profiles.yml": trial.path / "w.duckdb", "models/reviews.sql": CONTACT}
        (project / name).write_text(text % place[name] if name in place else text)
    dbt = Path(sys.executable).with_name("dbt")
    subprocess.run(
        [dbt, "parse", "--project-dir", project, "--profiles-dir", project], check=True, timeout=120
    )
    trial.configure(trial.activation("reviews", model="{dbt: reviews}"))
    text = Path(trial.config).read_text()
    Path(trial.config).write_text(text + "dbt: {project: dbt, target: dev, require: passed}\n")

    @dbt_assets(manifest=project / "target/manifest.json")
    def shop(context: dg.AssetExecutionContext, dbt: DbtCliResource):  # type: ignore[no-untyped-def]
        line = ["build", "--profiles-dir", str(project)]
        # where the connector looks for what dbt says of its build
        yield from dbt.cli(line, context=context, target_path=project / "target").stream()

    made = connector_assets(trial.config, python=PYTHON)
    resource = DbtCliResource(
        project_dir=str(project), profiles_dir=str(project), dbt_executable=str(dbt)
    )
    result = materialize(made, connector, instance, before=[shop], dbt=resource)

    assert result.success
    assert made.assets[0].dependency_keys == {dg.AssetKey(["reviews"])}
    assert facts_of(result)["reviews"]["delivered"] == 20
    assert checks_of(result) == {"reviews": True}
    assert json.dumps(trial.stored()).count("r") == 20
