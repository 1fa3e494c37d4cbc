"""What a start takes, in instructions: the same figure on a busy machine as on an idle one.

    python -m benchmarks.instructions [--write]

valgrind counts them, each as a multiple of what it takes to import the libraries that the connector
stands on, so that another processor and another build of Python change little. Fails where one is
a tenth above what is on record in `instructions.json`; `--write` puts what was counted on record.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import COMPILED, Failed
from benchmarks.world import make_project, make_warehouse, sink

ON_RECORD = Path(__file__).with_name("instructions.json")
LIBRARIES = ("-c", "import duckdb, httpx, pydantic, sqlalchemy")
CONNECTOR = ("-m", "connector")
COUNTED: Mapping[str, tuple[str, ...]] = {
    "status": (*CONNECTOR, "status"),
    "sync, nothing new": (*CONNECTOR, "sync"),
    "preview": (*CONNECTOR, "preview", "reviews"),
}
"""What is counted, on a project whose rows are delivered."""
ROWS = 200
MORE = 1.1
"""How many times what is on record is no longer the same."""
SIDE_BY_SIDE = 2
NOT_COUNTED = 3
"""The exit code where there is no valgrind, or one that does not know this processor."""


def main() -> None:
    """Count, show, compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put what is counted on record")
    options = parser.parse_args()
    try:
        found = counted()
    except Failed as failed:
        print(f"nothing is counted, so nothing is compared: {failed}", file=sys.stderr)
        sys.exit(NOT_COUNTED)
    if options.write:
        ON_RECORD.write_text(json.dumps(found, indent=2) + "\n")
    before = json.loads(ON_RECORD.read_text()) if ON_RECORD.exists() else {}
    sys.exit(compared(found, before))


def counted() -> dict[str, float]:
    """Each of `COUNTED` as a multiple of the imports. Raises Failed."""
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed")
    with delivered_project() as folder, ThreadPoolExecutor(SIDE_BY_SIDE) as lanes:
        commands = {"": LIBRARIES, **COUNTED}
        taken = dict(
            zip(
                commands,
                lanes.map(lambda each: instructions(each, folder), commands.values()),
                strict=True,
            )
        )
    imports = taken.pop("")
    print(f"the imports alone: {imports / 1e6:,.0f} million instructions")
    return {name: round(number / imports, 3) for name, number in taken.items()}


def compared(found: Mapping[str, float], before: Mapping[str, float]) -> int:
    """Tell each figure beside the one on record; 1 if one is too high."""
    code = 0
    for name, number in found.items():
        on_record = before.get(name, number)
        high = number > on_record * MORE
        code |= high
        verdict = "too many" if high else "fewer: --write" if number * MORE < on_record else ""
        line = f"{name:20} {number:6.3f} times the imports, on record {on_record:.3f} {verdict}"
        print(line.rstrip())
    return code


def instructions(arguments: tuple[str, ...], folder: Path) -> int:
    """How many Python takes for the arguments. Raises Failed where it does not do its job."""
    counting = (
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
    )
    done = subprocess.run(
        ["valgrind", *counting, sys.executable, *arguments],
        cwd=folder,
        env=os.environ
        | COMPILED
        | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or not found:
        raise Failed(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))


@contextmanager
def delivered_project() -> Iterator[Path]:
    """A folder with a project that has nothing new to send, and its destination."""
    with TemporaryDirectory() as named, sink() as there:
        folder = Path(named)
        make_project(folder, make_warehouse(folder / "warehouse.duckdb", ROWS), there.url)
        for _ in "warm":  # what is imported is compiled, and the run after the first has no news
            subprocess.run(
                [sys.executable, *CONNECTOR, "sync"],
                cwd=folder,
                env=os.environ | COMPILED,
                check=True,
                capture_output=True,
            )
        yield folder


if __name__ == "__main__":
    main()
