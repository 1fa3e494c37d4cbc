"""A deadline is over by whichever clock counts most, and after a jump nothing is relied on."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules import clocks
from connector.rules.clocks import Deadline, Moment

START = Moment(1000.0, 5000.0, 1_800_000_000.0)
SECONDS = st.floats(0, 1e5)


def later(monotonic: float, boot: float, wall: float) -> Moment:
    return Moment(START.monotonic + monotonic, START.boot + boot, START.wall + wall)


def passed(moment: Moment, monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.setattr(clocks, "now", lambda: moment)
    return Deadline(START, 5.0).passed()


@pytest.mark.parametrize(
    ("moment", "word"),
    [
        (later(4.9, 4.9, 4.9), None),
        (later(5.1, 5.1, 5.1), "more than 5 s"),
        (later(0.1, 10.1, 10.1), "more than 5 s"),
        (later(0.1, 0.1, 10.1), "more than 5 s"),
        (later(0.1, 0.1, 3600.1), "more than 5 s"),
        (later(0.1, 0.1, -3599.9), "jumped"),
        (later(0.1, 3.1, 3.1), "jumped"),
        (later(0.1, 0.1, 0.9), None),
    ],
    ids=[
        "in time",
        "too late",
        "the machine was suspended",
        "a virtual machine was paused",
        "the wall clock was set forward",
        "the wall clock was set back",
        "a short suspend",
        "a wall clock that is set right gently",
    ],
)
def test_a_deadline_looks_at_every_clock(
    moment: Moment, word: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = passed(moment, monkeypatch)

    assert (reason is None) if word is None else (reason is not None and word in reason)


@given(real=SECONDS, omitted=st.tuples(SECONDS, SECONDS), step=st.floats(-1e5, 1e5))
def test_no_time_is_hidden_by_clocks_that_stand_still_or_by_one_that_is_set(
    real: float, omitted: tuple[float, float], step: float
) -> None:
    """Two clocks stand still as long as they like, or the wall clock is set: never both."""
    standing = later(max(0.0, real - omitted[0]), max(0.0, real - omitted[1]), real)
    stepped = later(real, real, real + step)

    for moment in (standing, stepped):
        assert START.longest_until(moment) >= real - 1e-3
        assert START.shortest_until(moment) <= real + 1e-3


def test_this_moment_goes_on_by_all_clocks() -> None:
    first, second = clocks.now(), clocks.now()

    assert all(a <= b for a, b in zip(first, second, strict=True))
    assert not first.jumped(second)


def test_processes_of_one_boot_know_that_they_are() -> None:
    code = "from connector.rules import clocks; print(clocks.boot())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    expected = clocks.boot() if Path("/proc/uptime").exists() else None
    assert expected is None or int(said.stdout) == expected
    assert 0 <= clocks.boot() < 2**63


@pytest.mark.parametrize("uptime", ["1.00 0.00\n", "nonsense", ""])
def test_a_clock_that_somebody_has_put_there_belongs_to_this_process_alone(
    uptime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process with another clock would take its readings for those of the machine."""
    (tmp_path / "uptime").write_text(uptime)
    monkeypatch.setattr(clocks, "UPTIME", tmp_path / "uptime")

    assert clocks.boot() == clocks.THIS_PROCESS
