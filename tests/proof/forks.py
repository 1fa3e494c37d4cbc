"""Processes that begin with everything imported: forked, watched, and ended with their parent."""

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import duckdb

DEFECT = 70
"""The exit code of a process whose work raised."""
LONGEST_LIFE = 900
"""Seconds after which a forked process ends by itself, should its parent be gone."""


class Fork:
    """A forked process that does `work` and ends; what it prints goes into the file `said`."""

    alive: ClassVar[set["Fork"]] = set()

    def __init__(self, work: Callable[[], int], said: Path) -> None:
        self.said = said
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = DEFECT
            try:
                code = _begin(work, said)
            finally:  # whatever comes, it must not go on with what is its parent's
                os._exit(code)
        Fork.alive.add(self)

    def ended(self) -> bool:
        """Whether it has; then `status` is its exit code, or the negative number of a signal."""
        if self.status is None:
            pid, raw = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._buried(raw)
        return self.status is not None

    def stopped(self) -> bool:
        """Whether it stands still (asked for as long as it has not ended)."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def wait(self, seconds: float) -> int:
        """Its status, when it has ended. Kills it and raises TimeoutError when it does not."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"a process did not end in {seconds:g} s:\n{self.words()}")
            time.sleep(0.002)
        assert self.status is not None
        return self.status

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if not self.ended():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and see it ended."""
        self.send(signal.SIGKILL)
        if self.status is None:
            self._buried(os.waitpid(self.pid, 0)[1])

    def words(self) -> str:
        """What it has printed lately."""
        return self.said.read_text(errors="replace")[-3000:] if self.said.exists() else ""

    def _buried(self, raw: int) -> None:
        self.status = os.waitstatus_to_exitcode(raw)
        Fork.alive.discard(self)


@contextmanager
def forking() -> Iterator[None]:
    """None of the processes forked in here is left behind."""
    try:
        yield
    finally:
        gc.unfreeze()
        for fork in list(Fork.alive):
            fork.kill()


def warm_up(work: Callable[[], object]) -> None:
    """Do once in this process what its children will do, so that they find everything imported and
    built; then see that no thread is left, since a fork takes only one along."""
    work()
    duckdb.default_connection().close()
    gc.collect()
    gc.freeze()  # what the collector never touches again is never copied for a child
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads are left, which a fork would lose"


def _begin(work: Callable[[], int], said: Path) -> int:
    Fork.alive.clear()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # not what the parent does about its own
    signal.alarm(LONGEST_LIFE)
    try:
        with said.open("a", buffering=1) as file:
            sys.stdout = sys.stderr = file
            return work()
    except BaseException:
        with said.open("a") as file:
            file.write(traceback.format_exc())
        return DEFECT
