"""The long proof tells what it found, and fails when something was."""

import time
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import Console

from tests.proof import prove
from tests.proof.prove import Line, PartFailedError, Proof, documents, markdown, show

PROOF = Proof(1, 7, "postgresql://nowhere")
BAD = {"verdict": {"duplicates": ["v1 (2 times)"], "losses": [], "lies": []}, "error": ""}


def crash_report(**over: object) -> dict[str, object]:
    report = {
        "kind": "crash",
        "destination": "engage",
        "database": "sqlite",
        "tried": 3,
        "rows": 18,
        "points": 800,
    }
    return {**report, "reached": 2, "places": 2, "seconds": 4.2, "bad": [], **over}


def test_a_row_that_was_stored_twice_breaks_the_promise() -> None:
    line = prove._crash_line(crash_report(bad=[{**BAD, "case": {"kills": [5]}}]))

    assert (line.good, line.twice, line.kills, line.rows) == (False, 1, 2, 18)
    assert "v1 (2 times)" in line.notes[0]


def test_the_table_reads_well_as_text_and_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    line = Line("random kills, sqlite", 2, 1200, kills=40, kinds={"POST: reset": 9}, faults=9)

    show(Console(width=130), [line, prove._crash_line(crash_report())])
    shown, page = capsys.readouterr().out, markdown([line], PROOF)

    assert "random kills, sqlite" in shown
    assert "POST: reset" in shown
    assert "3 stories in a run of 800 points" in shown
    assert "| random kills, sqlite | 2 | 1,200 | 40 |  |  | 9 |  |  |  |  |" in page
    assert "seed 7" in page


def test_a_part_that_fails_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> list[Line]:
        raise PartFailedError("it did not end")

    monkeypatch.setattr(prove, "parts", lambda proof: [failing])

    (line,) = prove.prove(PROOF, Console(quiet=True))

    assert not line.good
    assert line.notes == ["it did not end"]


def test_a_part_that_is_not_there_is_said_to_be_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(prove.OTHERS, "model", lambda minutes, seed: import_module("nowhere"))

    assert prove.main(["--part", "model", "--seed", "1"]) == 0
    assert "left out" in capsys.readouterr().out


def test_of_a_part_that_takes_too_long_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "import subprocess, sys, time; from pathlib import Path\n"
    module += "child = subprocess.Popen(['sleep', '600'])\n"
    module += "Path('child').write_text(str(child.pid)); time.sleep(600)\n"
    (tmp_path / "forever.py").write_text(module)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(PartFailedError):
        documents("forever", [], 5)

    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and "Z" not in _state(child):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def test_the_seed_and_the_minutes_reach_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def listen(module: str, arguments: list[str], seconds: float) -> list[dict[str, object]]:
        told.append([module, *arguments])
        return [crash_report(), {"faults": {}}]

    monkeypatch.setattr(prove, "documents", listen)

    prove.crash(PROOF, "sqlite")

    (words,) = told
    assert words[:2] == ["tests.proof.crashing", "sqlite"]
    assert words[words.index("--seed") + 1] == "7"
    assert float(words[words.index("--seconds") + 1]) == pytest.approx(2 * 60 * prove.CRASHING)
