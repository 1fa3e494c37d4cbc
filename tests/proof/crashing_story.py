"""A story of a crash: a run is killed or paused somewhere, others go on; and what the destination
holds in the end."""

import shutil
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

from connector.ledger.pruning import OldRows, Reach
from tests.proof.crashing_points import Point, Points, points_in
from tests.proof.engages import Address, Engages
from tests.proof.forks import DEFECT, Fork, warm_up
from tests.proof.ledgers import Ledgers
from tests.proof.project import Project, make_warehouse
from tests.proof.truth import Verdict, duplicates, judge, rows_of
from tests.proof.worlds import World

CRASH, FIRST_RUN, TWO_CRASHES, PAUSE = "crash", "crash of a first run", "two crashes", "pause"

QUIET_WITHIN = 200.0
DEADLINE = 280.0
"""Far above what a story takes: a slow machine gives a process a second of its own in ten."""
LOOK_EVERY = 0.5
LONGEST_PAUSE = 5.0
"""Longer than the lease and the wait of the settling together, so that another run takes over and
settles; shorter than SQLite waits for a lock that the paused process may hold."""


@dataclass(frozen=True, slots=True)
class Case:
    """What happens in a story: at which points a process is killed, one process after the other, or
    at which one it pauses."""

    kind: str
    kills: tuple[Point, ...] = ()
    pause: Point | None = None


@dataclass(slots=True)
class Outcome:
    """How a story ended. `places`: where the processes were when it happened to them."""

    case: Case
    places: list[str]
    verdict: Verdict
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        return self.verdict.good and not self.error


class Ground:
    """Where the stories are played: ledgers, warehouses, and places that outlive a crash."""

    def __init__(
        self, path: Path, kept: Ledgers, engages: Engages, seed: int, world: World
    ) -> None:
        self.path, self.ledgers, self.engages, self.seed = path, kept, engages, seed
        self.world, self._behaviour = world, world.behaviour(seed)
        self._numbers = count(1)
        self.first = self._warehouse("first", world.first)
        self.second = self._warehouse("second", world.first, *world.second)
        self.last = self._warehouse("last", world.first, *world.second, *world.last)
        warm_up(self._once)

    def project(self, engage: Address, afresh: bool) -> Project:
        """A new project, and a destination that holds nothing."""
        path = self.path / f"project-{next(self._numbers)}"
        engage.forget()
        engage.behave(self._behaviour)
        url = self.ledgers.nothing(path) if afresh else self.ledgers.migrated(path)
        project = Project(path, engage, url, text=self.world.text, **self.world.options)
        project.arrive(self.first)
        return project

    def clear(self, project: Project) -> None:
        """It is over."""
        self.ledgers.drop(project.ledger)
        shutil.rmtree(project.path)

    def points(self, afresh: bool) -> list[Point]:
        """Every point of a run that nothing happens to; proves that it ends well by itself."""
        engage = self.engages.all[0]
        project = self.project(engage, afresh)
        log = project.path / "points.txt"
        fork = Fork(partial(_run, project, self, log, None, None), project.path / "run.txt")
        assert fork.wait(DEADLINE) == 0, fork.words()
        last = Fork(partial(_rest, project, self), project.path / "last.txt")
        assert last.wait(DEADLINE) == 0, last.words()
        verdict = judge(engage.interactions(), rows_of(project.ledger), self.world.expected)
        assert verdict.good, f"{verdict}\n{fork.words()}"
        points = points_in(log)
        self.clear(project)
        # of a first run, what is new is how the ledger is made: up to the first that is written
        made = (n for n, (label, _) in enumerate(points, 1) if "after ledger: COMMIT of" in label)
        return points[: next(made)] if afresh else points

    def _warehouse(self, name: str, *statements: str) -> Path:
        file = self.path / f"{name}.duckdb"

        def make() -> int:
            make_warehouse(file, *statements)
            return 0

        fork = Fork(make, self.path / "warehouse.txt")
        assert fork.wait(DEADLINE) == 0, fork.words()
        return file

    def _once(self) -> None:
        project = self.project(self.engages.all[0], afresh=True)
        with (self.path / "once.txt").open("w") as words, redirect_stderr(words):
            project.sync("--wait")
        self.clear(project)


class TooOftenError(Exception):
    """A row is stored more often than it should be."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(found)
        self.found = found


Waiting = Generator[None, None, None]
"""Something that is done bit by bit, beside others; it yields whenever it has to wait."""


class Story:
    """One story, with all the processes in it."""

    def __init__(self, ground: Ground, engage: Address, case: Case) -> None:
        self._ground, self._engage, self._case = ground, engage, case
        self._project = ground.project(engage, afresh=case.kind == FIRST_RUN)
        self._forks: list[Fork] = []

    def play(self) -> Generator[None, None, Outcome]:
        """Let it happen, start again, and see what the destination holds."""
        outcome = Outcome(self._case, [], Verdict())
        try:
            yield from self._happens()
            yield from self._until(self._start(self._rest).ended)
            rows = rows_of(self._project.ledger)
            outcome.verdict = judge(self._engage.interactions(), rows, self._ground.world.expected)
            outcome.error = "\n".join(self._defects())
        except TooOftenError as many:
            outcome.verdict.duplicates = many.found
        except TimeoutError as late:
            outcome.error = str(late)
        outcome.places = [p.read_text() for p in sorted(self._project.path.glob("*.place"))]
        for fork in self._forks:
            fork.kill()
        self._ground.clear(self._project)
        return outcome

    def _happens(self) -> Waiting:
        if self._case.pause is not None:
            yield from self._pause(self._case.pause)
        for point in self._case.kills:
            yield from self._until(self._start_run(fatal=point).ended)

    def _pause(self, point: Point) -> Waiting:
        """One process pauses; another takes over and does all it can; then the first goes on."""
        paused = self._start_run(pause=point)
        yield from self._until(lambda: paused.ended() or paused.stopped())
        other = self._start(self._rest)
        end = time.monotonic() + LONGEST_PAUSE
        yield from self._until(lambda: other.ended() or time.monotonic() > end)
        paused.send(signal.SIGCONT)
        yield from self._until(lambda: paused.ended() and other.ended())

    def _start_run(self, fatal: Point | None = None, pause: Point | None = None) -> Fork:
        log = self._project.path / f"points-{len(self._forks)}.txt"
        return self._start(partial(_run, self._project, self._ground, log, fatal, pause))

    def _start(self, work: Callable[[], int]) -> Fork:
        fork = Fork(work, self._project.path / f"said-{len(self._forks)}.txt")
        self._forks.append(fork)
        return fork

    def _rest(self) -> int:
        return _rest(self._project, self._ground)

    def _until(self, condition: Callable[[], bool]) -> Waiting:
        """Wait for `condition`, unless a row is stored twice meanwhile."""
        expected = self._ground.world.expected
        deadline, look = time.monotonic() + DEADLINE, time.monotonic() + LOOK_EVERY
        while not condition():
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError(f"nothing happens any more:\n{self._forks[-1].words()}")
            if now > look:
                look = now + LOOK_EVERY
                if found := duplicates(self._engage.interactions(), expected):
                    raise TooOftenError(found)
            yield

    def _defects(self) -> Sequence[str]:
        """What processes said that did not end as they should."""
        fine = (0, -signal.SIGKILL)
        return [
            f"a process ended with {'a defect' if fork.status == DEFECT else fork.status}:\n"
            f"{fork.words()}"
            for fork in self._forks
            if fork.status not in fine
        ]


def _run(
    project: Project, ground: Ground, log: Path, fatal: Point | None, pause: Point | None
) -> int:
    """What a process does that is to be disturbed: a run, late rows, and a second run; with an
    approval after each, and another run, where they are held."""
    Points(log, fatal, pause).watch()
    _let_all_be_old(ground)
    project.sync()
    if ground.world.approved:  # the later rows, where a process before has come so far
        project.approve(*ground.world.approved[project.has(ground.second)])
        project.sync()
    project.arrive(ground.second)
    project.sync("--wait")
    if ground.world.approved:
        project.approve(*ground.world.approved[1])
        project.sync("--wait")
    return 0


def _rest(project: Project, ground: Ground) -> int:
    """What is started afterwards, by somebody who does not know what happened."""
    _let_all_be_old(ground)
    approving = [partial(project.approve, *each) for each in ground.world.approved] or (None, None)
    if not project.has(ground.second):
        if ground.world.last:
            project.sync("--wait")
        else:
            project.sync_until_quiet(QUIET_WITHIN, approving[0])
        project.arrive(ground.second)
    if ground.world.last:
        project.sync("--wait")
        project.arrive(ground.last)
    return project.sync_until_quiet(QUIET_WITHIN, approving[1])


def _let_all_be_old(ground: Ground) -> None:
    """In this process, which is a fork: whatever is delivered was delivered days ago."""
    if not ground.world.prunes:
        return
    reach = OldRows._reach

    def far(reports: OldRows, name: str, _: timedelta, rows: bool) -> tuple[Reach, int]:
        return reach(reports, name, timedelta(days=-2), rows)[0], 0

    patch.object(OldRows, "_reach", far).start()
