"""Measure how long the pages take of a project that has run for months, and print a table.

    python -m benchmarks.pages [--activations 300] [--delivered 1000000] [--folder FOLDER]

Each page is asked for several times, one request after the other, after a first one that is not
counted. *CPU* is what the serving process has worked for it, which says most where the machine does
other things, too. A folder is kept, and used again the next time.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from connector.sandbox.engage.running import running
from tests.web.filled import Size, make_project
from tests.whole.shop import an_engage

ROUNDS = 9
PORT = 9171
PAGES = {
    "activations": "/",
    "activations, what needs a person": "/?state=person",
    "activation": "/activations/{name}",
    "held": "/activations/{held}/held",
    "runs": "/runs",
    "runs that were stopped": "/runs?status=stopped",
    "runs of one activation": "/runs?activation={name}",
    "run": "/runs/{run}",
    "quarantine": "/quarantine",
    "quarantine, by reason": "/quarantine?reason=maximum",
    "row in quarantine": "/rows?activation={name}&key=q0",
    "row that was delivered": "/rows?activation={name}&key=old-0",
    "destinations": "/destinations",
    "verifications": "/receipts",
    "audit": "/audit",
}


def main() -> None:
    """Make the project, serve it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--activations", type=int, default=300)
    parser.add_argument("--delivered", type=int, default=1_000_000)
    parser.add_argument("--quarantined", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    size = Size(asked.activations, asked.delivered, asked.quarantined, held=5)
    with ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(TemporaryDirectory(prefix="pages-")))
        folder.mkdir(parents=True, exist_ok=True)
        sandbox = stack.enter_context(running(engage=an_engage(), port=PORT))
        names = make_project(folder, sandbox, size, lambda *words: _connector(folder, *words))
        _unscheduled(folder / "activations.yaml")
        url, process = stack.enter_context(_served(folder))
        with httpx.Client(base_url=url, timeout=60) as client:
            newest = client.get("/api/runs", params={"activation": names[0], "limit": 1}).json()
            places = {"name": names[0], "held": names[-1], "run": newest["runs"][0]["run_id"]}
            print("| page | ms | CPU ms | KB |\n| --- | ---: | ---: | ---: |")
            for name, path in PAGES.items():
                print(_line(name, *_measured(client, process, path.format(**places))), flush=True)
        print(f"\nLoad average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores.")


def _unscheduled(file: Path) -> None:
    """Nothing is run by itself meanwhile: only pages are measured."""
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(x for x in lines if not x.strip().startswith(("schedule:", "verify:"))))


def _connector(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "connector", *words]
    subprocess.run(command, cwd=folder, check=False, stdout=sys.stderr)


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address of the pages, and the process that serves them."""
    command = [sys.executable, "-m", "connector", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split(" on ")[1].strip(), process
    finally:
        process.terminate()
        process.wait(60)


def _measured(client: httpx.Client, process: Any, path: str) -> tuple[float, float, float]:
    """Milliseconds until the page is there, those of work for it, and its size in KB."""
    first = client.get(path)
    assert first.status_code == 200, f"{path}: HTTP {first.status_code}"
    took, worked = [], []
    for _ in range(ROUNDS):
        began, before = time.perf_counter(), _cpu(process.pid)
        client.get(path)
        took.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (_cpu(process.pid) - before))
    return median(took), sum(worked) / len(worked), len(first.content) / 1024


def _cpu(pid: int) -> float:
    """Seconds that a process has worked, all of its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _line(name: str, took: float, worked: float, size: float) -> str:
    return f"| {name} | {took:,.0f} | {worked:,.0f} | {size:,.0f} |"


if __name__ == "__main__":
    main()
