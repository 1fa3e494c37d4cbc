"""Turns: two machines send one activation in slices, and half of the slices are killed.

    python -m tests.proof.turns postgresql --rows 100000 --slice 20 --seed 7

The machines share one ledger and have turns; each has a folder, a copy of the warehouse and a host
name of its own, so that neither sees whether a process of the other one lives. What counts is what
the destination holds in the end: each row, once. Prints a line of JSON, and ends with 1 if a row is
there twice or not at all, or if the runs say something else together.
"""

import argparse
import io
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from connector.cli import main as cli
from tests.postgresql import postgresql_server
from tests.proof.engages import Address, Engages
from tests.proof.forks import Fork, forking, warm_up
from tests.proof.ledgers import ledgers
from tests.proof.project import Project, make_warehouse
from tests.whole.shop import contact_id

TAG = "a proof of turns"
CURSOR = "cursor: {column: seen_at, overlap: 1m}"  # what each turn reads again is not the point
OPTIONS: dict[str, Any] = {
    "cursor": CURSOR,
    "timeout": "2s",
    "settle_after": "1s",
    "lease": "2s",
    "concurrency": 32,
}
WAREHOUSE = "shop.duckdb"
PAUSE = 0.2
KILLED = 0.5
"""Of the slices."""


@dataclass(slots=True)
class Turns:
    """What came of it."""

    slices: int = 0
    kills: int = 0
    busy: int = 0
    """Turns in which the lease of a killed run had not run out yet."""
    late: float = 0.0
    """Seconds that the slowest slice took beyond its time."""
    wrong: list[str] = field(default_factory=list)


class Machine:
    """One of the two: a folder, and a host name. Nothing else tells the ledger where a run is."""

    def __init__(self, name: str, project: Project) -> None:
        self.name, self._project = name, project
        self._numbers = count(1)

    def start(self, *arguments: str) -> tuple[Fork, Path]:
        """A command there, as a process, and the file that gets its document."""
        number = next(self._numbers)
        file = self._project.path / f"told-{number}.json"
        work = partial(self._command, file, arguments)
        return Fork(work, self._project.path / f"said-{number}.txt"), file

    def told(self, *arguments: str) -> Any:
        """The document of a command there."""
        fork, file = self.start(*arguments)
        fork.wait(120)
        return json.loads(file.read_text())

    def _command(self, file: Path, arguments: Sequence[str]) -> int:
        with patch.object(socket, "gethostname", lambda: self.name), redirect_stdout(io.StringIO()):
            code = cli.run(["--config", str(self._project.config), *arguments, "--json"])
            assert isinstance(sys.stdout, io.StringIO)
            file.write_text(sys.stdout.getvalue())
        return code


def take_turns(
    machines: Sequence[Machine], seconds: float, chances: random.Random, deadline: float
) -> Turns:
    """Slices, in turn, until one says that all is done and nothing is in doubt."""
    turns = Turns()
    while time.monotonic() < deadline:
        machine = machines[turns.slices % 2]
        began = time.monotonic()
        slice = ("sync", "--for", f"{seconds:g}s", "--tag", TAG, "--fail-on", "never")
        fork, told = machine.start(*slice)
        turns.slices += 1
        if chances.random() < KILLED and not _ends(fork, chances.uniform(0.1, 1.0) * seconds):
            fork.kill()
            turns.kills += 1
            continue
        code = fork.wait(seconds + 60)
        turns.late = max(turns.late, time.monotonic() - began - seconds)
        (run,) = json.loads(told.read_text())["runs"]
        if run["kind"] == "busy":
            turns.busy += 1
            time.sleep(PAUSE)
        elif code or run["kind"]:
            turns.wrong.append(f"a slice ended with {code}: {run['error']}")
        elif run["done"] and not run["in_doubt"]:
            return turns
        elif run["done"]:
            time.sleep(PAUSE)  # its doubts must be older before they are believed
    turns.wrong.append("it did not come to an end")
    return turns


def _ends(fork: Fork, seconds: float) -> bool:
    """Whether it does within so many seconds."""
    deadline = time.monotonic() + seconds
    while not fork.ended() and time.monotonic() < deadline:
        time.sleep(0.005)
    return fork.ended()


def verdict(engage: Address, machine: Machine, rows: int, turns: Turns) -> dict[str, Any]:
    """What the destination holds, beside what the runs say of it."""
    stored = Counter(each["payload"]["visitId"] for each in engage.interactions())
    totals = machine.told("runs", "--tag", TAG)["totals"]
    expected = {f"v{number}" for number in range(rows)}
    twice = sorted(key for key, number in stored.items() if number > 1)
    said = {name: totals[name] for name in ("delivered", "pending", "in_doubt", "rejected")}
    if said != {"delivered": rows, "pending": 0, "in_doubt": 0, "rejected": 0}:
        turns.wrong.append(f"the runs say {said}")
    return {
        "rows": rows,
        "stored": stored.total(),
        "twice": twice[:20],
        "lost": sorted(expected - stored.keys())[:20],
        "strange": sorted(stored.keys() - expected)[:20],
        "slices": turns.slices,
        "kills": turns.kills,
        "busy": turns.busy,
        "latest_end": round(turns.late, 1),
        "totals": totals,
        "wrong": turns.wrong,
    }


def prove(database: str, rows: int, seconds: float, seed: int, rate: float) -> dict[str, Any]:
    """All of it, on parts of its own."""
    began, chances = time.monotonic(), random.Random(seed)
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = None
        if database == "postgresql":
            address = stack.enter_context(postgresql_server()).address
            server = address.render_as_string(hide_password=False)
        engage, aside = stack.enter_context(Engages(2)).all
        stack.enter_context(forking())
        contacts = [contact_id(number) for number in range(max(10, rows // 20))]
        for there in (engage, aside):
            there.know(contacts[10:])
        _prepare(path, aside, rows, contacts)
        ledger = ledgers(database, path, server).migrated(path / "shared")
        machines = []
        for name in ("one", "two"):
            project = Project(path / name, engage, ledger, rate=rate, **OPTIONS)
            shutil.copyfile(path / WAREHOUSE, path / name / WAREHOUSE)
            machines.append(Machine(f"machine-{name}", project))
        deadline = began + 60 + 20 * (seconds + rows / rate)
        turns = take_turns(machines, seconds, chances, deadline)
        report = verdict(engage, machines[0], rows, turns)
    took = round(time.monotonic() - began, 1)
    return {"database": database, "seed": seed, "slice": seconds, "seconds": took, **report}


def _prepare(path: Path, aside: Address, rows: int, contacts: list[str]) -> None:
    """The warehouse, and a quick run elsewhere, so that forks find everything imported."""
    number = len(contacts)

    def fill() -> int:
        make_warehouse(
            path / WAREHOUSE,
            "insert into visits select 'v' || i, timestamp '2026-11-01' + to_seconds(i // 7),"
            f" ({contacts!r})[1 + i % {number}], 'sku-' || i % 13, 1 + i % 5, 9.5, true"
            f" from range({rows}) t(i)",
        )
        return 0

    filled = Fork(fill, path / "filled.txt")
    assert filled.wait(60) == 0, filled.words()
    first = Project(path / "warm", aside, f"sqlite:///{path}/warm/ledger.db", **OPTIONS)

    def warm() -> None:
        first.arrive(path / WAREHOUSE)
        first.sync("--limit", "2", "--for", "1m")

    warm_up(warm)


def main(arguments: Sequence[str]) -> int:
    """Prove it, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("database", choices=["sqlite", "postgresql"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--slice", type=float, default=20.0, help="seconds of one")
    parser.add_argument("--rate", type=float, default=5000.0, help="requests a second, at most")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    asked = parser.parse_args(arguments)
    report = prove(asked.database, asked.rows, asked.slice, asked.seed, asked.rate)
    print(json.dumps(report), flush=True)
    faults = ("twice", "lost", "strange", "wrong")
    return int(any(report[name] for name in faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
