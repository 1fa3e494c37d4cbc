"""A process that is killed around a request with many rows: each row arrives once all the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.third_party.test_freight import ROWS, Project, installed, project

__all__ = ["installed", "project"]
KILLED = 9
CHILD = """
import os, sys
from connector.cli.main import run
from connector.ledger.parcels import ClosingAll, OpeningAll
from connector.ledger.store import Ledger

point, config = sys.argv[1:]
record, asked, seen = Ledger.record, Ledger.asked, []

def counted(entries, kind):
    seen.extend(entry for entry in entries if isinstance(entry, kind))
    return len(seen) > 1  # the first request has a single row

def recording(self, run_, entries):
    if point == "answered" and counted(entries, ClosingAll):
        os._exit(9)
    results = record(self, run_, entries)
    if point == "recorded" and counted(entries, OpeningAll):
        os._exit(9)
    if point == "submitted" and counted(entries, ClosingAll):
        os._exit(9)
    return results

def asking(self, run_, what):
    if point == "told" and counted([what], object):
        os._exit(9)
    result = asked(self, run_, what)
    if point == "settled" and counted([what], object):
        os._exit(9)
    return result

Ledger.record, Ledger.asked = recording, asking
sys.exit(run(["--config", config, "sync"]))
"""


@pytest.mark.parametrize("point", ["recorded", "answered", "submitted", "told", "settled"])
def test_wherever_a_run_is_killed_each_row_arrives_once(project: Project, point: str) -> None:
    config = project.path / "activations.yaml"
    path = {"PYTHONPATH": f"{project.path / 'site'}:{Path(__file__).parent.parent.parent}"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, point, str(config)],
        env=path,
        cwd=project.path,
        capture_output=True,
        timeout=60,
    )
    assert child.returncode == KILLED, child.stderr
    project.age()

    synced = project.sync("--wait")

    assert (synced["status"], synced["in_doubt"]) == ("succeeded", 0)
    assert project.states == {"delivered": ROWS}
    assert project.all_arrived_once()
