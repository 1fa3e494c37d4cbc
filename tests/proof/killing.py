"""Two workers on one ledger, killed, frozen, suspended and cut off at random, under clocks that
step and faults of every kind; then a look at what the destination holds.

    python -m tests.proof.killing sqlite --seconds 60 --seed 7
    python -m tests.proof.killing sqlite --destination mxo
    python -m tests.proof.killing sqlite --mirror --rounds 300

A seed draws everything: what fails how often, and what happens to whom when. Processes and clocks
are real, so that two runs of one seed make the same choices, but are not the same to the letter.
"""

import argparse
import json
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, redirect_stderr, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import psycopg
from sqlalchemy import make_url

from connector.destinations import http
from connector.ledger import beating, leases, store
from connector.ledger.processes import Process
from connector.ledger.store import Ledger
from connector.ledger.tables import database_time
from connector.sync import health, reading
from tests.proof.engages import Engages
from tests.proof.forks import Fork, forking, warm_up
from tests.proof.killing_clocks import HOUR, Clocks
from tests.proof.killing_grounds import GROUNDS
from tests.proof.killing_partition import Partition
from tests.proof.killing_plan import CONTACTS, MOST_MERGES, WAVES, Ground, Plan, drawn, once_merged
from tests.proof.killing_proxy import Proxy
from tests.proof.ledgers import Ledgers, PostgreSQLDatabases, ledgers
from tests.proof.project import Project, make_warehouse
from tests.proof.truth import Verdict, duplicates, judge, judge_told, rows_of

WORKERS = 2
QUIET_WITHIN = 150.0
LONGEST = 8
"""Times what a loop is to take, if until then nothing has happened in it."""
FREEZE = (1.1, 1.8)
"""Seconds: longer than the lease, so that the other worker takes over."""
SUSPEND = (9.5, 11.0)
"""Seconds: longer than the wait and the bounds of a Date, so that the other worker settles what the
suspended one had on record, and sends it."""
CUT_OFF = (1.1, 1.6)
"""Seconds: longer than the time-out, so that what arrives after it was given up."""


@dataclass(slots=True)
class Report:
    """What was done to them, and what came of it."""

    database: str
    seed: int
    plan: Plan
    rows: int
    seconds: float = 0
    done: Counter[str] = field(default_factory=Counter)
    """Kills, freezes and so on: what happened, and how often."""
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    """In the end."""
    verdict: Verdict = field(default_factory=Verdict)
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        return self.verdict.good and not self.error

    @property
    def document(self) -> dict[str, object]:
        """For JSON."""
        counts = {"done": dict(self.done), "faults": dict(self.faults)}
        counts["states"] = dict(self.states)
        return {**asdict(self), **counts, "plan": asdict(self.plan)}


def ground_of(plan: Plan) -> Ground:
    """Where it is played."""
    return GROUNDS[plan.destination]


def fill(plan: Plan, file: Path, rows: int) -> int:
    """A warehouse with the first `rows` rows. For forked processes."""
    columns = ground_of(plan).columns(plan)
    make_warehouse(file, f"insert into visits select {columns} from range({rows}) t(i)")
    return 0


# --- workers ------------------------------------------------------------------------------------


REST = 0.15
"""Seconds after a run that could do nothing: what it waits for takes longer than that."""


def work(
    plan: Plan, project: Project, wrong: Clocks, number: int, prepare: Callable[[], None]
) -> int:
    """Sync for ever. For forked processes, which `prepare` first."""
    prepare()
    wrong.wear(number)
    if plan.usurping:
        Process.is_dead = lambda self: True  # type: ignore[method-assign]
    # what is known of a request is said of all its rows at once, by somebody who is alone; so is
    # what a mirror reads
    if plan.usurping and not plan.equal and plan.destination != "mxo" and not plan.mirror:
        for book in (store, leases, beating):
            vars(book)["prolong"] = lambda c, run, lease: database_time(c)
        Ledger.beat = lambda self, runs: []  # type: ignore[method-assign]
    while True:
        code, run = project.sync()
        has_done = any(run.get(name) for name in ("delivered", "removed", "replaced"))
        time.sleep(REST if code == 3 or not has_done else 0.02)


def rest(plan: Plan, project: Project, wrong: Clocks) -> int:
    """Sync until nothing is left to do. For forked processes."""
    hurry()
    wrong.wear(LAST)
    if ground_of(plan).told:
        return project.sync_until_told(QUIET_WITHIN)
    return project.sync_until_quiet(QUIET_WITHIN)


LAST = 4000
"""The number of the process that does what is left."""


def hurry() -> None:
    """Shorter pauses: those that are kind to a real Engage would take up the whole test."""
    health.OUTAGE_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)  # type: ignore[assignment]
    http.GET_PAUSES = (0.05, 0.1, 0.2)
    reading.BATCH = 50


# --- the loop -----------------------------------------------------------------------------------


class Chaos:
    """Two workers, and everything that happens to them."""

    freeze, cut_off = FREEZE, CUT_OFF

    @staticmethod
    def preparing() -> None:
        """What each worker begins with."""
        hurry()

    def __init__(
        self,
        plan: Plan,
        path: Path,
        engages: Engages,
        project: Project,
        proxy: Proxy | None,
        partition: Partition,
    ) -> None:
        self.plan, self.path, self.engages, self.project = plan, path, engages, project
        self.ground = ground_of(plan)
        self.partition, self.wrong = partition, Clocks(path / "clocks", project.ledger)
        self._numbers: dict[Fork, int] = {}
        self._asleep: set[Fork] = set()
        """Whoever is suspended; nothing else happens to it until it wakes."""
        self.dice = Random(f"chaos {plan.seed}")
        self.done: Counter[str] = Counter()
        self.proxy = proxy
        self._began = time.monotonic()
        self._workers: list[Fork] = []
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.defects: list[str] = []
        """What workers said that ended by themselves."""
        self._waves = [path / f"wave-{n}.duckdb" for n in range(WAVES)]
        self._is_down = False
        self._posts = self._goal = 0
        self._merges: Counter[int] = Counter()
        self._limit = 0.0

    def run(self) -> list[str]:
        """Until the time is over; earlier, if a row is stored twice: then it says which."""
        next_look = 0.0
        while not (self._is_over(now := self._now()) or self.defects):
            self._arrive(now)
            self._revive()
            self._do_what_is_due(now)
            if self._is_time(now):
                self._act(now)
            if now >= next_look and not self._is_down:
                next_look = now + 0.3
                if found := duplicates(
                    self.engages.all[0].interactions(), self.ground.expected(self.plan)
                ):
                    return found
            time.sleep(0.01)
        return []

    def _is_over(self, now: float) -> bool:
        """Whether there was time enough. On a slow machine: for something to happen at all, too."""
        if now < self.plan.seconds:
            return False
        happened = self.done["kills"] and (self._is_down or self.engages.faults())
        return bool(happened) or now > LONGEST * self.plan.seconds

    def end(self) -> None:
        """Everybody is gone, and the world is at peace again."""
        self.all_gone()
        self.done["processes"] += 1
        self.engages.all[0].behave(self.ground.calm(self.plan))
        self.project.arrive(self._waves[-1])

    def all_gone(self) -> None:
        """Nobody works any more, and nothing more happens."""
        for worker in self._workers:
            worker.kill()
        if self._is_down:
            self._up()
        if self.proxy:
            self.proxy.calm()
        self.wrong.step(HOUR)  # what rests by a clock that was ahead would rest for an hour

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _is_time(self, now: float) -> bool:
        """Whether enough was sent since the last act, or nothing has been for long. By what was
        sent, not by the clock: on a slow machine nobody would live long enough to send anything."""
        posts = self._posts if self._is_down else self.engages.all[0].traffic()["posts"]
        self._posts = posts
        if posts < self._goal and now < self._limit:
            return False
        self._goal = posts + self.dice.randrange(1, 40)
        self._limit = now + self.dice.uniform(0.3, 1.5)
        return True

    def _arrive(self, now: float) -> None:
        wave = min(WAVES - 1, int(now / self.plan.seconds * WAVES * 1.2))
        if not self.project.has(self._waves[wave]):
            self.project.arrive(self._waves[wave])

    def _revive(self) -> None:
        for worker in [worker for worker in self._workers if worker.ended()]:
            self._workers.remove(worker)
            if worker.status != -signal.SIGKILL:
                self.defects.append(f"a worker ended ({worker.status}): {worker.words()}")
        while len(self._workers) < WORKERS:
            self.done["processes"] += 1
            said = self.path / f"worker-{self.done['processes']}.txt"
            number = self.done["processes"]
            working = partial(work, self.plan, self.project, self.wrong, number, self.preparing)
            self._workers.append(fork := Fork(working, said))
            self._numbers[fork] = number

    def _do_what_is_due(self, now: float) -> None:
        for entry in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove(entry)
            entry[1]()

    def _act(self, now: float) -> None:
        """Something happens."""
        acts: list[tuple[float, Callable[[float], None]]] = [
            (6, self._kill),
            (3, self._freeze),
            (0.5, self._down),
            (3, self._step),
            (1, self._suspend),
            (2, self._cut_off),
            (1, self._change_faults),
        ]
        if self.plan.looked_up and self.plan.destination == "engage":
            acts.append((1, self._merge))
        if self.plan.destination == "mxo":
            acts.append((1, self._revoke))
        if self.proxy:
            acts.append((3, self._terminate))
        (act,) = self.dice.choices([a for _, a in acts], [weight for weight, _ in acts])
        act(now)

    def _anybody(self) -> Fork:
        return self.dice.choice([w for w in self._workers if w not in self._asleep])

    def _kill(self, now: float) -> None:
        self._anybody().kill()
        self.done["kills"] += 1

    def _freeze(self, now: float) -> None:
        worker = self._anybody()
        worker.send(signal.SIGSTOP)
        # bounded: a process that stands still in a transaction of SQLite keeps the lock
        thaw = now + self.dice.uniform(*self.freeze)
        self._later.append((thaw, lambda: worker.send(signal.SIGCONT)))
        self.done["freezes"] += 1

    def _step(self, now: float) -> None:
        self.wrong.step(self.dice.choice((0.0, HOUR)))
        self.done["clock steps"] += 1

    def _suspend(self, now: float) -> None:
        """Its machine sleeps, and its clocks do not know for how long; only the wall clock does."""
        worker, seconds = self._anybody(), self.dice.uniform(*SUSPEND)
        if self._asleep or now + seconds > self.plan.seconds:
            return
        worker.send(signal.SIGSTOP)
        if _holds_the_lock(self.project.ledger):
            worker.send(signal.SIGCONT)
            return

        def wake() -> None:
            self.wrong.slept(self._numbers[worker], seconds)
            self._asleep.clear()
            worker.send(signal.SIGCONT)

        self._asleep.add(worker)
        self._later.append((now + seconds, wake))
        self.done["suspends"] += 1

    def _cut_off(self, now: float) -> None:
        self.partition.cut(self.dice.uniform(*self.cut_off))
        self.done["partitions"] += 1

    def _down(self, now: float) -> None:
        if not self._is_down:
            self._is_down = True
            self.engages.down(0)
            self._later.append((now + self.dice.uniform(0.2, 1.0), self._up))
            self.done["times down"] += 1

    def _up(self) -> None:
        self.engages.up(0)
        self._is_down = False

    def _change_faults(self, now: float) -> None:
        if not self._is_down:
            self.engages.all[0].behave(self.ground.behaviour(self.plan, self.dice))

    def _merge(self, now: float) -> None:
        """A contact becomes another one; where rows are sent by contactIds nobody could follow."""
        number = self.dice.randrange(CONTACTS)
        times = self._merges[number]
        if not self._is_down and times < MOST_MERGES:
            self._merges[number] += 1
            old, new = once_merged(number, times), once_merged(number, times + 1)
            self.engages.all[0].merge(old, new)
            self.done["merges"] += 1

    def _revoke(self, now: float) -> None:
        """No token is taken any more that was given."""
        if not self._is_down:
            self.engages.all[0].revoke()
            self.done["tokens lost"] += 1

    def _terminate(self, now: float) -> None:
        url = make_url(self.project.ledger)
        query = (
            "select pg_terminate_backend(pid) from (select pid from pg_stat_activity where"
            " datname = current_database() and pid <> pg_backend_pid() order by random() limit 1) x"
        )
        address = url.render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            self.done["backends ended"] += len(connection.execute(query).fetchall())


def kill_loop(plan: Plan, kept: Ledgers, path: Path, server: str | None) -> Report:
    """One loop from beginning to end."""
    began = time.monotonic()
    report = Report(kept.name, plan.seed, plan, plan.rows)
    with ExitStack() as stack:
        engages = stack.enter_context(Engages(1, plan.destination))
        through = server and kept.name == "postgresql"
        proxy = stack.enter_context(Proxy(str(server), plan.seed)) if through else None
        partition = stack.enter_context(Partition(engages.all[0].url))
        ledger = kept.migrated(path)
        stack.callback(kept.drop, ledger)
        project = _project(plan, path, engages, ledger, proxy, partition)
        chaos = Chaos(plan, path, engages, project, proxy, partition)
        engages.all[0].behave(chaos.ground.behaviour(plan, chaos.dice))
        found = chaos.run()
        chaos.end()
        report.verdict.duplicates = found
        report.error = "\n".join(chaos.defects)
        if not found and not report.error:
            _finish(plan, project, report, chaos.wrong)
        report.done = chaos.done + (proxy.cuts() if proxy else Counter()) + partition.late()
        report.faults = engages.faults()
    report.seconds = round(time.monotonic() - began, 1)
    return report


def _holds_the_lock(ledger: str) -> bool:
    """Whether somebody stands still in a transaction of SQLite: then nobody else could go on."""
    if not ledger.startswith("sqlite"):
        return False
    with closing(sqlite3.connect(make_url(ledger).database or "", timeout=0)) as connection:
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError:
            return True
    return False


def _project(
    plan: Plan,
    path: Path,
    engages: Engages,
    ledger: str,
    proxy: Proxy | None,
    partition: Partition | None,
) -> Project:
    ground = ground_of(plan)
    path.mkdir(exist_ok=True)
    for wave in range(WAVES):
        file = path / f"wave-{wave}.duckdb"
        making = Fork(partial(fill, plan, file, plan.rows * (wave + 1) // WAVES), path / "fill.txt")
        assert making.wait(60) == 0, making.words()
    return Project(
        path,
        engages.all[0],
        ledger,
        reached_at=proxy.address(ledger) if proxy else None,
        engage_at=partition.url if partition else None,
        text=ground.text(plan),
        **ground.options(plan),
    )


def _finish(plan: Plan, project: Project, report: Report, wrong: Clocks) -> None:
    """Let one process do what is left, and judge."""
    wanted = ground_of(plan).expected(plan)
    last = Fork(partial(rest, plan, project, wrong), project.path / "last.txt")
    deadline = time.monotonic() + QUIET_WITHIN + 30
    while not last.ended():
        if found := duplicates(project.engage.interactions(), wanted):
            report.verdict.duplicates = found
            last.kill()
            return
        if time.monotonic() > deadline:
            last.kill()
        time.sleep(0.2)
    if last.status:
        report.error = f"the last run failed ({last.status}): {last.words()}"
    rows = rows_of(project.ledger)
    judging = judge_told if ground_of(plan).told else judge
    report.verdict = judging(project.engage.interactions(), rows, wanted)
    report.states = Counter(row.state for row in rows.values())
    if report.database == "sqlite":
        with closing(sqlite3.connect(make_url(project.ledger).database or "")) as connection:
            (check,) = connection.execute("pragma quick_check").fetchone()
        if check != "ok":
            report.verdict.lies.append(f"the ledger is damaged: {check}")


def run(
    database: str,
    seeds: Sequence[int],
    seconds: float,
    server: str | None,
    destination: str = "engage",
) -> "list[Report]":
    """A loop of `seconds` for each of `seeds`, one after the other."""
    path = Path(tempfile.mkdtemp(prefix="connector-killing-"))
    reports = []
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        stack.enter_context(forking())
        kept = ledgers(database, path, server)
        if isinstance(kept, PostgreSQLDatabases):
            stack.callback(kept.close)
        warm_up(partial(_once, kept, path / "once", destination))
        for seed in seeds:
            report = kill_loop(drawn(seed, seconds, destination), kept, path / str(seed), server)
            reports.append(report)
            print(json.dumps(report.document), flush=True)
    return reports


def _once(kept: Ledgers, path: Path, destination: str) -> None:
    with Engages(1, destination) as engages, suppress(AssertionError):
        ledger = kept.migrated(path)
        plan = drawn(0, 1, destination)
        project = _project(plan, path, engages, ledger, None, None)
        project.arrive(path / "wave-0.duckdb")
        with (path / "said.txt").open("w") as words, redirect_stderr(words):
            project.sync()
        kept.drop(ledger)


def main(arguments: Sequence[str]) -> int:
    """Print each report as a line of JSON; 1 if anything was stored twice, lost or told wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=["sqlite", "postgresql"])
    parser.add_argument("--server", help="where the PostgreSQL is")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--seconds", type=float, default=10, help="of each loop")
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--destination", choices=GROUNDS, default="engage")
    parser.add_argument("--mirror", action="store_true", help="rounds of a mirror at an Engage")
    parser.add_argument("--rounds", type=int, default=100, help="of a mirror, for each seed")
    given = parser.parse_args(arguments)
    seeds = range(given.seed, given.seed + given.loops)
    if given.mirror:
        from tests.proof.killing_mirror import run_mirror

        return run_mirror(given.database, seeds, given.rounds, given.server)
    reports = run(given.database, seeds, given.seconds, given.server, given.destination)
    return 0 if all(report.good for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
