"""The ledger goes back to an older state under a run that sends, or between two runs.

    python -m tests.proof.rolling sqlite --trials 60 --seed 7

SQLite: a copy is put over the file that the run has open, or takes its place under its name.
PostgreSQL: a streaming replica that has fallen behind is promoted when its primary dies, or the
tables are put back as they were, on the same server and timeline. Afterwards the project goes on
until it is quiet, and what the destination holds is compared with what it should hold.
"""

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from tests.proof.engages import Address, Engages
from tests.proof.forks import Fork, forking, warm_up
from tests.proof.project import Project, make_warehouse
from tests.proof.replicas import Pair, pair
from tests.proof.truth import Expected, Verdict, judge, rows_of
from tests.whole.shop import behaving, contact_id

ROWS = 160
RATE = 160
"""Rows in a second, so that a run takes one."""
OPTIONS: dict[str, Any] = {"timeout": "1s", "settle_after": "1s", "concurrency": 8, "rate": RATE}
QUIET_WITHIN = 30.0
SHORT, LONG = "1s", "30s"
"""Leases: with the long one no heartbeat comes between the copy and the moment it is put back."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn. `sent`: how many rows are there when the copy is made; `later`: seconds until
    it takes the ledger's place; `killed`: the run is dead by then."""

    way: str
    sent: int
    later: float
    lease: str
    killed: bool


@dataclass(slots=True)
class Report:
    """What came of many trials."""

    database: str
    trials: int = 0
    rows: int = 0
    noticed: int = 0
    """Runs that stopped by themselves."""
    ways: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    bad: list[tuple[str, Verdict]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the promise was kept."""
        return not (self.bad or self.errors)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trial happens. `ledger`: the ledger as the project has it; `truth`: the same, to be
    looked at in the end; `copy` makes a copy, `back` puts it in place."""

    ledger: str
    copy: Callable[[], None]
    back: Callable[[], None]
    truth: Callable[[], str]


def drawn(dice: Random, ways: Sequence[str], number: int) -> Plan:
    """A plan; the ways take turns."""
    return Plan(
        way=ways[number % len(ways)],
        sent=dice.randrange(1, ROWS // 2),
        later=dice.uniform(0.005, 0.35),
        lease=dice.choice((SHORT, LONG)),
        killed=dice.random() < 0.3,
    )


# --- SQLite ---------------------------------------------------------------------------------------

SQLITE = ("copied over", "moved over")


def sqlite_place(path: Path, plan: Plan) -> Place:
    """A file, and a copy as `.backup` makes it."""
    file, copy = path / "ledger.db", path / "backup.db"
    back = partial(_copy_over if plan.way == "copied over" else _move_over, copy, file, plan.killed)
    url = f"sqlite:///{file}"
    return Place(url, partial(_back_up, file, copy), back, lambda: url)


def _back_up(file: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(file, timeout=20)) as here,
        closing(sqlite3.connect(copy)) as there,
    ):
        here.backup(there)


def _copy_over(copy: Path, file: Path, alone: bool) -> None:
    if alone:  # as docs/operations.md asks for
        for beside in file.parent.glob("ledger.db-*"):
            beside.unlink()
    shutil.copyfile(copy, file)


def _move_over(copy: Path, file: Path, alone: bool) -> None:
    for beside in file.parent.glob("ledger.db-*") if alone else ():
        beside.unlink()
    copy.replace(file)


# --- PostgreSQL -----------------------------------------------------------------------------------

POSTGRESQL = ("replica promoted", "tables put back")
TABLES = ("ledgers", "watermarks", "deliveries", "attempts", "decisions", "runs", "leases")


@contextmanager
def postgresql_place(path: Path, plan: Plan) -> Iterator[Place]:
    """A primary and its replica."""
    with pair() as servers:
        if plan.way == "replica promoted":
            yield Place(servers.both, servers.cut_off, servers.fail_over, lambda: servers.second)
        else:
            yield Place(
                servers.first,
                partial(_copy_tables, servers.first),
                partial(_put_back, servers),
                lambda: servers.first,
            )


def _copy_tables(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("set transaction isolation level repeatable read")
        for table in TABLES:
            connection.execute(f"create table backup_{table} as table {table}")


def _put_back(servers: Pair) -> None:
    with psycopg.connect(servers.first) as connection:
        connection.execute("set session_replication_role = replica")  # as pg_restore does
        connection.execute(f"lock table {', '.join(TABLES)} in access exclusive mode")
        for table in TABLES:
            connection.execute(f"delete from {table}")
            connection.execute(f"insert into {table} table backup_{table}")


# --- one trial ------------------------------------------------------------------------------------


def trial(
    path: Path, engage: Address, place: Place, plan: Plan, warehouse: Path
) -> tuple[Verdict, bool]:
    """Carry out a plan: what came of it, and whether the run noticed."""
    engage.forget()
    engage.behave(behaving())
    project = Project(path, engage, place.ledger, lease=plan.lease, **OPTIONS)
    project.arrive(warehouse)
    run = Fork(lambda: project.sync()[0], path / "run.txt")
    _until(lambda: len(engage.interactions()) >= plan.sent or run.ended())
    place.copy()
    time.sleep(plan.later)
    if plan.killed:
        run.kill()
    place.back()
    noticed = run.wait(60) == 3
    _quiet(path, project, place)
    stored = engage.interactions()
    expected = Expected(
        Counter(f"v{i}" for i in range(ROWS)), lambda i: str(i["payload"]["visitId"])
    )
    return judge(stored, rows_of(place.truth()), expected), noticed


def _quiet(path: Path, project: Project, place: Place) -> None:
    """Run until nothing is left to do. A file that was spoilt when the copy was put over it is put
    in place once more, as a person would."""
    last = Fork(lambda: project.sync_until_quiet(QUIET_WITHIN), path / "quiet.txt")
    status = last.wait(QUIET_WITHIN + 30)
    if status:
        raise RuntimeError(f"not quiet: {last.words()[-600:]}")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_trials(database: str, trials: int, seed: int, seconds: float = 1e9) -> Report:
    """So many trials, or as many as the time lets be."""
    report, began, dice = Report(database), time.monotonic(), Random(seed)
    ways = SQLITE if database == "sqlite" else POSTGRESQL
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (engage,) = stack.enter_context(Engages(1)).all
        stack.enter_context(forking())
        warehouse = _prepare(path, engage)
        for number in range(trials):
            if time.monotonic() - began > seconds:
                break
            plan = drawn(dice, ways, number)
            _one(report, path / f"trial-{number}", engage, plan, warehouse)
    report.seconds = time.monotonic() - began
    return report


def _one(report: Report, path: Path, engage: Address, plan: Plan, warehouse: Path) -> None:
    path.mkdir()
    report.trials += 1
    report.rows += ROWS
    report.ways[plan.way + (", run killed before" if plan.killed else "")] += 1
    try:
        with ExitStack() as stack:
            if report.database == "sqlite":
                place = sqlite_place(path, plan)
            else:
                place = stack.enter_context(postgresql_place(path, plan))
            verdict, noticed = trial(path, engage, place, plan, warehouse)
    except (RuntimeError, TimeoutError, AssertionError) as error:
        report.errors.append(f"{plan}: {error}")
        print(report.errors[-1], file=sys.stderr, flush=True)
        return
    report.noticed += noticed and not plan.killed
    print(f"{plan}: {'good' if verdict.good else verdict}", file=sys.stderr, flush=True)
    if not verdict.good:
        report.bad.append((str(plan), verdict))
    shutil.rmtree(path)


def _prepare(path: Path, engage: Address) -> Path:
    """The warehouse of all trials; and one quick run, so that forks find everything imported."""
    warehouse = path / "all.duckdb"
    names = [contact_id(n) for n in range(10)]

    def made_of_rows() -> int:
        make_warehouse(
            warehouse,
            "insert into visits select 'v' || i, timestamp '2026-11-01' + to_seconds(i // 7),"
            f" ({names!r})[1 + i % 10], 'sku-' || i % 13, 1 + i % 5, 9.5, true"
            f" from range({ROWS}) t(i)",
        )
        return 0

    made = Fork(made_of_rows, path / "made.txt")
    assert made.wait(60) == 0, made.words()
    first = Project(path / "warm", engage, f"sqlite:///{path}/warm/ledger.db", **OPTIONS)

    def warm() -> None:
        first.arrive(warehouse)
        first.sync("--limit", "2")

    warm_up(warm)
    return warehouse


def main(arguments: Sequence[str]) -> int:
    """Prints a report as JSON; ends with 1 when the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=("sqlite", "postgresql"))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    report = run_trials(given.database, given.trials, given.seed, given.seconds)
    print(json.dumps({**asdict(report), "ways": dict(report.ways)}), flush=True)
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
