"""Power cuts under the ledger: what it acknowledged is there, and every row arrives once.

The real runs work on a disk that loses its power at a drawn moment; what survives is opened by the
real code on the real disk, and runs go on until nothing is left to do. Engage keeps what it got.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import apsw

from connector.ledger import engine, leases
from connector.ledger.processes import this_process
from tests.proof.power_bench import MEMORY, Bench, bench, damage, error_of, fingerprint, reading
from tests.proof.power_dbapi import Driver
from tests.proof.power_disk import Disk, mounted
from tests.whole.shop import Done


@dataclass(frozen=True, slots=True)
class Way:
    """A way in which the ledger works on its files."""

    write_ahead: bool
    """With a write-ahead log, or else with a rollback journal."""
    pragmas: tuple[str, ...] = ()
    """What is said to SQLite besides what the ledger says."""


AS_IF_LARGE = ("cache_size = 8", "wal_autocheckpoint = 8")
"""With few rows, what many rows do: a transaction that leaves the cache before its commit, and a
log that is brought over to the database again and again."""
WAYS = {
    "WAL": Way(True),
    "TRUNCATE": Way(False),
    "WAL, as if large": Way(True, AS_IF_LARGE),
    "TRUNCATE, as if large": Way(False, AS_IF_LARGE),
}
ROWS = 18
Work = Callable[[], Done]
GONE = replace(this_process(), born="and gone")
"""Who holds the lease of a run here: a process that ends with it."""
NOTHING = fingerprint(lambda _: [])


@dataclass(slots=True)
class PowerCuts:
    """What came of many power cuts."""

    cuts: int = 0
    rows: int = 0
    commits: int = 0
    lost_commits: int = 0
    torn: int = 0
    """Ledgers that survived in a state in which they never were, or broken."""
    duplicates: int = 0
    losses: int = 0
    disagreements: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        return not (
            self.lost_commits or self.torn or self.duplicates or self.losses or self.disagreements
        )


@dataclass(frozen=True, slots=True)
class Case:
    """One trial: the way of working, the call at which the power goes, and all that is drawn."""

    way: str
    cut_at: int
    seed: int


def run_power(
    cuts: int | None, seed: int, ways: Sequence[str] = tuple(WAYS), synchronous: str = ""
) -> PowerCuts:
    """Cut the power of `cuts` runs, or at every call that changes something on the disk (None).

    Some of them lose it again while they recover. `synchronous` puts SQLite's own setting in place
    of the ledger's.
    """
    result, began = PowerCuts(), time.monotonic()
    with bench(ROWS) as project:
        for case in _cases(project, ways, cuts, seed):
            Trial(project, case, synchronous, result).run()
    result.seconds = time.monotonic() - began
    return result


def _cases(project: Bench, ways: Sequence[str], cuts: int | None, seed: int) -> Iterator[Case]:
    dice = random.Random(seed)
    for i, way in enumerate(ways):
        calls = _calls(project, WAYS[way])
        share = calls if cuts is None else (cuts + i) // len(ways)
        for n in range(share):
            point = n + 1 if cuts is None else 1 + int((n + dice.random()) * calls / share)
            yield Case(way, point, dice.randrange(1 << 30))


def _calls(project: Bench, way: Way) -> int:
    """How many calls a run without a power cut makes."""
    project.afresh(0)
    disk = Disk(project.ledger, None, random.Random(0))
    _live(project.sync, disk, way, History())
    return disk.calls


class History:
    """The states of a ledger, one after each acknowledged commit that changed something."""

    def __init__(self, first: str = NOTHING) -> None:
        self.states = [first]
        self._uncertain: str | None = None

    def about_to_commit(self, raw: apsw.Connection) -> None:
        """Remember what the commit will make, should it survive without being acknowledged."""
        with suppress(apsw.Error):  # the power is gone: the commit fails as well
            state = fingerprint(lambda query: raw.execute(query).fetchall())
            self._uncertain = state if state != self.states[-1] else None

    def committed(self) -> None:
        """The commit was acknowledged."""
        if self._uncertain:
            self.states.append(self._uncertain)
            self._uncertain = None

    def lost(self, survived: str) -> int | None:
        """How many acknowledged commits are gone; None if the ledger never was as it is now."""
        if survived == self._uncertain:
            return 0
        if survived not in self.states:
            return None
        return self.states[::-1].index(survived)


class Trial:
    """One project, once or several times without power, until everything is done."""

    def __init__(self, project: Bench, case: Case, synchronous: str, result: PowerCuts) -> None:
        self.project, self.case, self.result = project, case, result
        self.dice = random.Random(case.seed)
        way = WAYS[case.way]
        weaker = (f"synchronous = {synchronous}",) if synchronous else ()
        self.way = replace(way, pragmas=way.pragmas + weaker)

    def run(self) -> None:
        """Count into the result."""
        self.project.afresh(self.case.seed)
        survived = self._life(self.project.sync, self.case.cut_at, NOTHING)
        while survived and self.dice.random() < 0.4:  # and again, while it recovers
            work = self.dice.choice([self.project.sync, self.project.sync, self._look])
            survived = self._life(work, self.dice.randrange(1, 60), survived)
        if survived:
            self._finish()

    def _look(self) -> Done:
        return self.project.connector("status", "--json")

    def _life(self, work: Work, cut_at: int, before: str) -> str | None:
        """`work` until the power goes; the ledger's fingerprint then, None if it is broken."""
        disk, history = Disk(self.project.ledger, cut_at, self.dice), History(before)
        _live(work, disk, self.way, history)
        survived = _survived(self.project.shop.ledger_file)
        lost = history.lost(survived) if survived else None
        self.result.cuts += 1
        self.result.commits += len(history.states) - 1
        self.result.lost_commits += lost or 0
        self.result.torn += lost is None
        return survived

    def _finish(self) -> None:
        """The real code on the real disk, until nothing is left to do; then it is counted."""
        error = error_of(self.project.sync_until_quiet())
        wrong = [error] if error else self.project.disagreements()
        self.result.rows += self.project.valid
        self.result.duplicates += self.project.duplicates
        self.result.losses += self.project.losses
        self.result.disagreements += [f"{self.case}: {what}" for what in wrong]


def _live(work: Work, disk: Disk, way: Way, history: History) -> None:
    """`work` on `disk`, until it ends or the power goes; then the power goes in any case."""
    driver = Driver(disk.vfs, history.about_to_commit, history.committed)
    with mounted(disk), below_the_ledger(driver, way):
        done = work()
        assert disk.dead or done.code != 3, f"stopped although there is power: {done}"
        assert "unexpected" not in done.out, done
        disk.cut()
        driver.close()
    disk.reboot()


@contextmanager
def below_the_ledger(driver: Driver, way: Way) -> Iterator[None]:
    """Let the ledger use `driver`, in that way, in a process that is gone afterwards."""
    with (
        mock.patch.object(engine, "SQLITE", driver),
        mock.patch.object(engine, "is_local", return_value=way.write_ahead),
        saying_besides(*way.pragmas),
        mock.patch.object(leases, "this_process", return_value=GONE),
    ):
        yield


@contextmanager
def saying_besides(*pragmas: str) -> Iterator[None]:
    """Let every connection of the ledger say `pragmas` besides its own."""
    durable_at = engine._durable_at

    def further_at(file: Path) -> Callable[[Any, Any], None]:
        durable = durable_at(file)

        def further(connection: Any, record: Any) -> None:
            durable(connection, record)
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")

        return further

    with mock.patch.object(engine, "_durable_at", further_at):
        yield


def _survived(file: Path) -> str | None:
    """The fingerprint of what survived, seen on a copy: the real code shall find it as it is."""
    if not file.exists():
        return NOTHING
    with TemporaryDirectory(dir=MEMORY) as folder:
        copy = copytree(file.parent, Path(folder) / "copy") / file.name
        try:
            if damage(copy):
                return None
            with reading(copy) as rows:
                return fingerprint(rows)
        except sqlite3.DatabaseError:
            return None
