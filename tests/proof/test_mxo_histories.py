"""Any history of batches, under any switch of the sandbox: by the count of MXO no row takes effect
twice, what counts as delivered did take effect, and what counts as rejected did not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connector.sandbox.mxo.running import running
from tests.targets import PROVE
from tests.whole.mxo_project import SECRET, Project

SEEDS = range(60 if PROVE else 3)
WAVES, ROWS = 3, 4
CHOICES: dict[str, list[Any]] = {
    "own_id": ["honoured", "honoured", "ignored"],
    "same_id": ["twice", "409", "400", "ignored"],
    "batch_id_in": ["body", "header", "none"],
    "bad_record": ["listed", "refused"],
    "errors_by": ["reference", "index", "line", "customer_key", "text"],
    "errors_form": ["array", "object", "ndjson"],
    "counts": ["plain", "records", "missing"],
    "failing": [0, 0.3],
    "failing_lists": [True, False],
    "process_delay": [0, 0.2],
    "process_time": [0, 0.2],
    "errors_delay": [0, 0.3],
    "status_delay": [0, 0.1],
}
LOSING = ("reset_before", "reset_after", "late_commit", "truncate_after", "html_after",
          "no_id_after", "repeat_before", "repeat_after")  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    with running(secret=SECRET) as sandbox:
        project = Project(tmp_path, sandbox, capsys)
        yield project
        project.close()


def states(project: Project) -> dict[str, str]:
    """By customer, what the ledger says of a row."""
    with closing(sqlite3.connect(project.path / "ledger.db")) as ledger:
        found = ledger.execute("select row_key, state from deliveries")
        return {f"k{key[1:]}": state for key, state in found}


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_befalls_batches_the_ledger_is_right(project: Project, seed: int) -> None:
    dice = Random(f"batches {seed}")
    project.configure(
        mode="batch", settle_after="0.5s", more=f"batch: {{rows: {dice.choice((1, 2, 3))}}}"
    )
    config = project.path / "activations.yaml"
    config.write_text(config.read_text().replace("timeout: 2s", "timeout: 0.4s"))
    switches = {name: dice.choice(choices) for name, choices in CHOICES.items()}
    switches |= {"bad_customers": ["k2", "k5"], "seed": seed}
    faults: dict[str, Any] = dict.fromkeys(LOSING, 0.07) | {"late_by": 0.15}
    faults |= {"status_before": {500: 0.05}, "status_after": {502: 0.05}}
    faults["late_answer"] = dice.choice(("reset", "504", "id"))

    for wave in range(WAVES):
        project.behave(**switches, faults=faults)
        project.add(ROWS, wave * ROWS)
        project.sync()
        project.sync()
    project.behave(**switches)
    project.sync("--wait")
    project.sandbox.finish()

    said, effects = states(project), project.sandbox.store.effects()
    there = {each.customer for each in effects}
    assert len(there) == len(effects), switches
    assert {row for row, state in said.items() if state == "delivered"} <= there, switches
    assert not there & {row for row, state in said.items() if state == "rejected"}, switches
    assert len(said) == WAVES * ROWS
