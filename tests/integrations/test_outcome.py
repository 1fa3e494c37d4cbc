"""What an orchestrator makes of each end of a sync: told by a process that only plays one."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from engage_connector_airflow.process.command import Connector, Ended
from engage_connector_airflow.process.outcome import (
    Verdict,
    counts_of,
    judge,
    sync_arguments,
    tag_of,
)

from connector.rules.errors import KINDS

SUCCEED, WARN, SKIP, RETRY, FAIL = Verdict
PLAYED = """
import json, os, sys
print("loaded with", os.environ.get("ENGAGE_API_KEY"), file=sys.stderr)
print(os.environ["SAYS"], end="")
sys.exit(int(os.environ["ENDS"]))
"""


def run(status: str, kind: str | None = None, retryable: bool = False, **more: Any) -> Any:
    facts = {"activation": "visits", "run_id": "r1", "status": status, "kind": kind, **more}
    return {"runs": [{"error": None, "retryable": retryable, "notes": [], "done": True} | facts]}


def error(kind: str, retryable: bool = False) -> Any:
    return {"error": {"kind": kind, "message": "the reason", "retryable": retryable}}


MATRIX = [
    ("succeeded", 0, run("succeeded"), SUCCEED),
    ("time over", 0, run("succeeded", done=False), SUCCEED),
    ("not begun", 0, run("not_begun", done=False), SUCCEED),
    ("attention", 1, run("attention", waits={"invalid": 2}), WARN),
    ("held", 1, run("held", "held", notes=["6 rows"]), SKIP),
    ("held, told as an error", 1, error("held"), SKIP),
    ("paused", 2, error("paused"), SKIP),
    ("busy", 3, run("stopped", "busy", True), RETRY),
    ("busy, told as an error", 3, error("busy", True), RETRY),
    ("destination", 3, run("stopped", "destination", True), RETRY),
    ("warehouse", 3, run("stopped", "warehouse", True), RETRY),
    ("ledger", 3, error("ledger", True), RETRY),
    ("ledger of another version", 3, error("ledger"), FAIL),
    ("interrupted", 130, run("stopped", "interrupted", True), RETRY),
    ("key_refused", 3, run("stopped", "key_refused"), FAIL),
    ("configuration", 2, error("configuration"), FAIL),
    ("defect", 3, run("stopped", "defect"), FAIL),
    ("a kind of a later version", 3, error("moonshine", True), RETRY),
    ("a status of a later version", 0, run("dancing"), FAIL),
    ("killed", 137, None, RETRY),
    ("interrupted before it told anything", 130, None, RETRY),
    ("no such interpreter", 127, None, FAIL),
    ("no connector there", 1, None, FAIL),
]


@pytest.fixture
def played(tmp_path: Path) -> Path:
    """A connector that says what it is told to."""
    (tmp_path / "connector").mkdir()
    (tmp_path / "connector/__init__.py").touch()
    (tmp_path / "connector/__main__.py").write_text(PLAYED)
    return tmp_path


def ended(played: Path, says: Any, ends: int, **more: Any) -> Ended:
    env = {"PYTHONPATH": str(played), "ENDS": str(ends)}
    env["SAYS"] = "" if says is None else json.dumps(says)
    config = str(played / "activations.yaml")
    return Connector(config, sys.executable, env, **more).run("sync", "visits")


def test_every_kind_is_in_the_matrix() -> None:
    kinds: set[str] = set()
    for _, _, says, _ in MATRIX:
        for told in (says or {}).get("runs", [says["error"]] if says and "error" in says else []):
            kinds.add(told["kind"])

    assert kinds >= set(KINDS)


@pytest.mark.parametrize(("name", "ends", "says", "verdict"), MATRIX, ids=[m[0] for m in MATRIX])
def test_each_end_has_its_verdict(
    played: Path, name: str, ends: int, says: Any, verdict: Verdict
) -> None:
    outcome = judge(ended(played, says, ends))

    assert outcome.verdict is verdict
    assert outcome.why or verdict is SUCCEED


def test_held_and_attention_become_what_is_wished() -> None:
    held, waiting = Ended(1, run("held", "held")), Ended(1, run("attention"))

    assert [judge(held, on_held=on).verdict for on in ("succeed", "skip", "fail")] == [
        SUCCEED,
        SKIP,
        FAIL,
    ]
    assert [judge(waiting, on_attention=on).verdict for on in ("succeed", "skip", "fail")] == [
        WARN,
        SKIP,
        FAIL,
    ]
    assert judge(Ended(1, run("held", "held", notes=["6 rows"]))).why == "held: 6 rows"
    told = judge(Ended(1, run("attention", waits={"invalid": 2, "rejected": 0})))
    assert told.why == "something waits for a person: 2 invalid"


def test_a_pattern_that_chooses_two_is_refused() -> None:
    both = {"runs": run("succeeded")["runs"] * 2}

    assert judge(Ended(0, both)).verdict is FAIL


def test_a_secret_stands_in_the_environment_of_the_process_and_in_no_line(
    played: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.delenv("ENGAGE_API_KEY", raising=False)

    secrets = {"ENGAGE_API_KEY": "s3cret-key"}
    done = ended(played, None, 1, secrets=secrets, log=lines.append)

    assert lines == ["loaded with ***"]
    assert done.last == "loaded with ***"
    assert "ENGAGE_API_KEY" not in os.environ
    assert "s3cret" not in repr(Connector("a.yaml", secrets=secrets))


def test_what_is_the_orchestrators_alone_does_not_reach_the_process(
    played: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "x")
    monkeypatch.setenv("AIRFLOW_CONN_ENGAGE", "x")
    shown = PLAYED + "\nprint(*os.environ, file=sys.stderr)"
    (played / "connector/__main__.py").write_text(shown.replace("sys.exit", "0 and sys.exit"))
    lines: list[str] = []

    ended(played, None, 0, log=lines.append)

    assert "AIRFLOW" not in lines[-1]
    assert "SAYS" in lines[-1]


def test_a_tag_is_never_too_long_and_never_that_of_another() -> None:
    assert tag_of("airflow", "dag", "run") == "airflow/dag/run"
    long = [tag_of("airflow", "d" * 250, f"manual__{number}") for number in range(2)]
    assert [len(tag) for tag in long] == [250, 250]
    assert len(set(long)) == 2


def test_the_command_line_says_what_was_asked_for() -> None:
    line = sync_arguments("visits", tag="t", budget=0.4, limit=5, full=True)

    assert " ".join(line) == "sync visits --tag t --progress json --for 1s --limit 5 --full"
    assert "--for" not in sync_arguments("visits", tag="t")


def test_counts_are_those_of_a_run_or_of_all_with_a_tag() -> None:
    assert counts_of({"delivered": 7, "done": False, "tag": "t"}) == {
        "read": 0,
        "staged": 0,
        "delivered": 7,
        "invalid": 0,
        "rejected": 0,
        "waiting": 0,
        "in_doubt": 0,
        "pending": 0,
        "done": False,
    }
