"""Measure how long the pages take of a project that has run for months, and print a table.

    python -m benchmarks.pages [--activations 300] [--delivered 1000000] [--folder FOLDER]

Two projects are alike but for the rows that were delivered: so many, and one. Pages and commands
take turns between them: *of one row's* is how many times as much the CPU of the first is as that of
the second, and tells what grows with rows. Each page is asked for several times, one request after
the other, after a first one that is not counted. *CPU* is what the serving process has worked for
it, or the whole process of a command: it says most where the machine does other things, too. A
folder is kept, and used again the next time.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from connector.sandbox.engage.running import Running, running
from tests.web.filled import Size, make_project
from tests.whole.shop import an_engage

ROUNDS = 9
PORT = 9171
CPU_OF_PROCESS = 2
"""Which of the clocks of a process tells how much it has worked (Linux)."""
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
    "`GET /api/status`": "/api/status",
    "`GET /metrics`": "/metrics",
}
COMMANDS = {
    "`connector status`": ("status",),
    "`connector runs`": ("runs",),
    "`connector quarantine list`": ("quarantine", "list"),
    "`connector explain`, a row in quarantine": ("explain", "{name}", "q0"),
    "`connector explain`, one that was delivered": ("explain", "{name}", "old-0"),
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
        sandbox = stack.enter_context(running(engage=an_engage(), port=PORT))
        sizes = (size, replace(size, delivered=1))
        many, one = (Project(folder / str(each.delivered), each, sandbox) for each in sizes)
        print("| page | ms | CPU ms | of one row's | KB |\n| --- | ---: | ---: | ---: | ---: |")
        with many.served(), one.served():
            for name, path in PAGES.items():
                took, worked, long, ratio = _page(many, one, path)
                cells = f"{1000 * took:,.0f} | {1000 * worked:,.0f} | {ratio:.2f}"
                print(f"| {name} | {cells} | {long / 1024:,.0f} |", flush=True)
        print("\n| command | CPU s | of one row's |\n| --- | ---: | ---: |")
        for name, words in COMMANDS.items():
            worked, ratio = _command(many, one, words)
            print(f"| {name} | {worked:.2f} | {ratio:.2f} |", flush=True)
        print(f"\nLoad average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores.")


class Project:
    """A project in a folder, and its pages while they are served."""

    def __init__(self, folder: Path, size: Size, sandbox: Running) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.names = make_project(folder, sandbox, size, self.run)
        _unscheduled(folder / "activations.yaml")
        self.client, self.pid = httpx.Client(timeout=60), 0
        self.places = {"name": self.names[0], "held": self.names[-1]}

    def run(self, *words: str) -> float:
        """Run a command. Returns the seconds that it has worked."""
        before = _children()
        command = [sys.executable, "-m", "connector", *words]
        subprocess.run(command, cwd=self.folder, check=False, stdout=subprocess.DEVNULL)
        return _children() - before

    @contextmanager
    def served(self) -> Iterator[None]:
        """While its pages can be asked for."""
        command = [sys.executable, "-m", "connector", "serve", "--port", "0"]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            self.client.base_url = process.stdout.readline().split(" on ")[1].strip()
            self.pid = process.pid
            asked = {"activation": self.names[0], "limit": "1"}
            newest = self.client.get("/api/runs", params=asked).json()
            self.places["run"] = newest["runs"][0]["run_id"]
            yield
        finally:
            process.terminate()
            process.wait(60)

    def ask(self, path: str) -> tuple[float, float, int]:
        """A page: seconds until it is there, those of work for it, and its size in bytes."""
        began, before = time.perf_counter(), _cpu(self.pid)
        answer = self.client.get(path.format(**self.places))
        took, worked = time.perf_counter() - began, _cpu(self.pid) - before
        assert answer.status_code == 200, f"{path}: HTTP {answer.status_code}"
        return took, worked, len(answer.content)


def _unscheduled(file: Path) -> None:
    """Nothing is run by itself meanwhile: only pages are measured."""
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(x for x in lines if not x.strip().startswith(("schedule:", "verify:"))))


def _page(many: Project, one: Project, path: str) -> tuple[float, float, int, float]:
    """Of a page of `many` rows: seconds until it is there, those of work for it, its size in bytes;
    and how many times as much work it is as that of `one`."""
    for project in (many, one):
        project.ask(path)
    rounds = [(many.ask(path), one.ask(path)) for _ in range(ROUNDS)]
    took, worked, least = (
        median(each[project][kind] for each in rounds) for project, kind in ((0, 0), (0, 1), (1, 1))
    )
    return took, worked, rounds[0][0][2], worked / least


def _command(many: Project, one: Project, words: Sequence[str]) -> tuple[float, float]:
    """Of a command on `many` rows: the seconds of its work, and how many times as many they are as
    those on `one`."""
    asked = [word.format(**many.places) for word in words]
    rounds = [(many.run(*asked), one.run(*asked)) for _ in range(ROUNDS)]
    worked, least = (median(each[project] for each in rounds) for project in (0, 1))
    return worked, worked / least


def _cpu(pid: int) -> float:
    """Seconds that a process has worked, all of its threads (Linux)."""
    return time.clock_gettime((~pid << 3) | CPU_OF_PROCESS)


def _children() -> float:
    """Seconds that the processes have worked that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
