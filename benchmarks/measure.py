"""Run a command as a whole process on one core, and say what it took."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).with_name("launch.py")
CLIENT_CORE, SERVER_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
WORDS = 2000
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""As after an installation: a module is compiled once, not at each start."""


class Failed(Exception):
    """A command that was to be measured did not do its job."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one process took: seconds by the clock, seconds of CPU (its children's too), and the
    megabytes of memory that it held at its peak. `seen`: what the sink saw of it."""

    wall: float
    cpu: float
    peak: float
    out: str = field(repr=False, default="")
    seen: Mapping[str, Any] = field(default_factory=dict)


def run(
    command: Sequence[str | Path],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    codes: Sequence[int] = (0,),
    core: int = CLIENT_CORE,
) -> Measured:
    """Measure `command` in `directory`. Raises Failed when it ends with another code than `codes`.

    A small process starts it: the peak of a process counts what its parent held when it forked.
    """
    report = directory / ".measured.json"
    done = subprocess.run(
        [sys.executable, "-ISE", LAUNCHER, str(core), report, *map(str, command)],
        cwd=directory,
        env={**os.environ, **COMPILED, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    taken = json.loads(report.read_text())
    if taken.pop("code") not in codes:
        words = (done.stdout + done.stderr)[-WORDS:]
        raise Failed(f"{' '.join(map(str, command))} failed in {directory}:\n{words}")
    return Measured(**taken, out=done.stdout)


def median(measured: Sequence[Measured]) -> Measured:
    """The run in the middle by the clock; of an even number, the quicker one."""
    wall = statistics.median_low([each.wall for each in measured])
    return next(each for each in measured if each.wall == wall)
