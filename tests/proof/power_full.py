"""A disk that is full, or fails, under the ledger: the run stops with a sentence, and nothing goes
out whose attempt is not on record. When there is space again, every row arrives once.

Space ends in three ways: SQLite may have no more pages; the operating system gives a process no
larger files; and, call by call, a disk says that it is full or that it cannot.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

import apsw

from connector.ledger import leases
from connector.sandbox.behaviour import Faults
from tests.proof.power import GONE, WAYS, below_the_ledger, saying_besides
from tests.proof.power_bench import Bench, bench, error_of, reading
from tests.proof.power_dbapi import Driver
from tests.proof.power_disk import NUMBERS, Truncation, Write, mounted
from tests.whole.shop import Done

ROWS = 150
DOUBTS = Faults(no_id_after=0.3)
"""Enough of both for the ledger to grow while it delivers and settles, not only while it stages."""
PAGE, LATE = 4096, 4
FOR_GOOD = 1 << 30
LIMITED = """
import resource, sys
from connector.__main__ import main

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


@dataclass(slots=True)
class DiskFull:
    """What came of many disks without space."""

    points: int = 0
    stopped: int = 0
    """Runs that could not do all their work."""
    rows: int = 0
    unrecorded: int = 0
    """Requests without an attempt on record."""
    forgotten: int = 0
    """Interactions of rows that the ledger held for unsent."""
    unclear: list[str] = field(default_factory=list)
    """Ends that did not name the ledger and the reason, or had the wrong exit code."""
    duplicates: int = 0
    losses: int = 0
    disagreements: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        return not (
            self.unrecorded
            or self.forgotten
            or self.unclear
            or self.duplicates
            or self.losses
            or self.disagreements
        )


def run_disk_full(points: int | None, seed: int) -> DiskFull:
    """Let space end at `points` moments, or at every one that there is (None)."""
    result, began, dice = DiskFull(), time.monotonic(), random.Random(seed)
    shares = [None] * 3 if points is None else [points // 3, points // 6, points - points // 2]
    with bench(ROWS) as project:
        pages = _pages(project, points)
        no_more_pages(project, _spread(pages, shares[0], dice), result)
        no_larger_files(project, _spread(pages, shares[1], dice), result)
    with bench(ROWS // 8) as project:
        failing_calls(project, shares[2], dice, result)
    result.seconds = time.monotonic() - began
    return result


def no_more_pages(project: Bench, points: Sequence[int], result: DiskFull) -> None:
    """SQLite may use so many pages and no more."""
    for pages in points:
        project.afresh(0, DOUBTS)
        with _pragma(f"max_page_count = {pages}"):
            done = project.sync()
        judge(project, f"{pages} pages", done, result)


def no_larger_files(project: Bench, points: Sequence[int], result: DiskFull) -> None:
    """The operating system lets a process write no file larger than so many pages, and a half."""
    for pages in points:
        project.afresh(0, DOUBTS)
        done = limited(project, pages * PAGE + PAGE // 2)
        judge(project, f"files of {pages} pages", done, result)


def failing_calls(
    project: Bench, points: int | None, dice: random.Random, result: DiskFull
) -> None:
    """From some call to the disk on it fails, for a while or for good."""
    for way in ("WAL", "TRUNCATE"):
        project.afresh(0)
        healthy = FailingDisk(None, 0, apsw.IOError)
        sync_on(project, healthy, way)
        calls = range(1, healthy.calls + 1)
        for call in _spread(calls, None if points is None else points // 2, dice):
            project.afresh(dice.randrange(1 << 30))
            length = dice.choice([1, 3, 10, FOR_GOOD])
            disk = FailingDisk(call, length, dice.choice([apsw.FullError, apsw.IOError]))
            what = f"{way}: {disk.error.__name__} at call {call}, {length} times"
            judge(project, what, sync_on(project, disk, way), result)


# --- a run without space --------------------------------------------------------------------------


def limited(project: Bench, size: int) -> Done:
    """`connector sync --json` in a process that can write no file larger than `size`."""
    command = [sys.executable, "-c", LIMITED, str(size)]
    command += ["--config", str(project.shop.config), "sync", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def sync_on(project: Bench, disk: "FailingDisk", way: str) -> Done:
    """`connector sync --json --wait` whose ledger lies on `disk`."""
    driver = Driver(disk.vfs)
    with mounted(disk), below_the_ledger(driver, WAYS[way]):
        done = project.sync()
        driver.close()
    return done


@contextmanager
def _pragma(pragma: str) -> Iterator[None]:
    with saying_besides(pragma), mock.patch.object(leases, "this_process", return_value=GONE):
        yield


class FailingDisk:
    """Real files; from call number `first` on, `length` calls that would change something fail.

    A disk that is full takes no bytes, but it truncates, deletes and syncs.
    """

    def __init__(self, first: int | None, length: int, error: type[apsw.Error]) -> None:
        self.first, self.length, self.error = first, length, error
        self.vfs = f"failing{next(NUMBERS)}"
        self.calls = 0

    def check(self) -> None:
        """Reading always works."""

    def opened(self, _name: str, _flags: int, there: bool) -> None:
        """A file is being opened, and made unless it is `there`."""
        if not there:
            self._call(takes_space=False)

    def deleted(self, _name: str, _with_folder: bool) -> None:
        """A file is being deleted."""
        self._call(takes_space=False)

    def changed(self, _name: str, change: Write | Truncation) -> None:
        """A file is being changed."""
        self._call(takes_space=isinstance(change, Write))

    def synced(self, _name: str) -> None:
        """A file is being synced."""
        self._call(takes_space=False)

    def _call(self, takes_space: bool) -> None:
        self.calls += 1
        if self.first is None or not self.first <= self.calls < self.first + self.length:
            return
        if takes_space or self.error is not apsw.FullError:
            raise self.error("as the test wants it")


# --- what may be said afterwards ------------------------------------------------------------------


def judge(project: Bench, what: str, done: Done, result: DiskFull) -> None:
    """Count what came of a run, now that there is space again."""
    result.points += 1
    if done.code != 1:  # some rows are invalid: a run that did all its work says so
        result.stopped += 1
        if done.code != 3 or "ledger.db" not in error_of(done) or done.err:
            result.unclear.append(f"{what}: {done}")
    _judge_record(project, result)
    _finish(project, what, result)


def _judge_record(project: Bench, result: DiskFull) -> None:
    """Compare the ledger, as the run left it, with what Engage got."""
    attempts, sent = 0, set()
    if project.shop.ledger_file.exists():
        with reading(project.shop.ledger_file) as rows:
            if rows("select 1 from sqlite_master where name = 'attempts'"):
                ((attempts,),) = rows("select count(*) from attempts")
                states = "('sending', 'in_doubt', 'delivered')"
                sent = {
                    k for (k,) in rows(f"select row_key from deliveries where state in {states}")
                }
    result.unrecorded += max(0, project.posts - attempts)
    result.forgotten += len(set(project.shop.stored) - sent)


def _finish(project: Bench, what: str, result: DiskFull) -> None:
    """There is space again: run until nothing is left to do, and count."""
    error = error_of(project.sync_until_quiet())
    wrong = [error] if error else project.disagreements()
    result.rows += project.valid
    result.duplicates += project.duplicates
    result.losses += project.losses
    result.disagreements += [f"{what}: {each}" for each in wrong]


def _pages(project: Bench, points: int | None) -> range:
    """The numbers of pages with which not all the work can be done, and one more.

    All for None, else the last: with fewer, it is always the making of the tables that fails.
    """
    project.afresh(0, DOUBTS)
    project.sync()
    with reading(project.shop.ledger_file) as rows:
        ((pages,),) = rows("pragma page_count")
    return range(1 if points is None else pages - LATE, pages + 1)


def _spread(points: Sequence[int], number: int | None, dice: random.Random) -> list[int]:
    """`number` of `points`, evenly spread; all of them for None."""
    if number is None:
        return list(points)
    return [points[int((n + dice.random()) * len(points) / number)] for n in range(number)]
