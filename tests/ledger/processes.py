"""Other processes that work on a ledger, to be killed or raced with.

Run as a script it is such a process; imported, it starts them: as copies of a process that has
imported everything, but for what starts in a world of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url

from connector.ledger.engine import writing_engine
from connector.ledger.store import Ledger
from tests import zygote
from tests.ledger.factories import a_mark, a_row, begun, due, opening, sent, staged, waits

ROOT = Path(__file__).parent.parent.parent
DEADLINE = 20.0


class Process:
    """A process that says a line when it has done something, and may wait to be told to go on."""

    def __init__(self, *arguments: str, inside: Sequence[str] = ()) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        if inside:
            command = [*inside, sys.executable, __file__, *arguments]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._popen = subprocess.Popen(command, env=environment, **pipes)
        else:
            self._popen = zygote.LedgerCopy(list(arguments), env=os.environ, **pipes)
        self.pid = self._popen.pid

    def said(self) -> str:
        """The next line; empty when it ended without one."""
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().strip()

    def tell(self, word: str) -> None:
        """Let it go on."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(word + "\n")
        self._popen.stdin.flush()

    def kill(self) -> None:
        """SIGKILL, and wait until the system knows it no more."""
        self._popen.kill()
        self._popen.wait()

    def kill_unnoticed(self) -> None:
        """SIGKILL, and leave it to be waited for by nobody: a zombie."""
        os.kill(self.pid, signal.SIGKILL)
        stat = Path(f"/proc/{self.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")

    def close(self) -> None:
        """Kill it if it still runs, and give its pipes back."""
        self.kill()
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            pipe.close()


def until(condition) -> None:
    """Wait for `condition`; fails after a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


@contextmanager
def process(work: str, url: URL, *arguments: str, inside: Sequence[str] = ()) -> Iterator[Process]:
    """Another process that does `work` on the ledger at `url`; `inside`: what starts it."""
    address = url.render_as_string(hide_password=False)
    started = Process(work, address, *arguments, inside=inside)
    try:
        yield started
    finally:
        started.close()


@contextmanager
def many(number: int, work: str, url: URL) -> Iterator[list[Process]]:
    """Several of them."""
    with ExitStack() as stack:
        yield [stack.enter_context(process(work, url)) for _ in range(number)]


def say(word: str) -> None:
    """Tell the process that started this one."""
    print(word, flush=True)


def wait() -> None:
    """Until the process that started this one says something, or ends."""
    sys.stdin.readline()


def open_when_told(url: URL) -> None:
    """Open the ledger at the same moment as others do."""
    say("ready")
    wait()
    writing_engine(url).dispose()
    say("opened")


def hold_with_an_attempt_open(url: URL) -> None:
    """Hold the activation, with one row on the wire, one pending and one set aside."""
    ledger = Ledger(writing_engine(url), timedelta(hours=1))
    run = staged(ledger, "sending", "pending", "waiting")
    row = due(ledger)["waiting"]
    ledger.record(run, [waits(row)])
    sent(ledger, run, "sending")
    say(run.run_id)
    wait()


def hold_in_the_middle_of_staging(url: URL) -> None:
    """Stage rows, and stand still where the watermark is moved and the rows are not inserted."""
    engine = writing_engine(url)
    ledger = Ledger(engine, timedelta(hours=1))
    run = begun(ledger)
    ledger.stage(run, [a_row("first")], [], a_mark(1), begun=False)

    @event.listens_for(engine, "before_cursor_execute")
    def stand_still(connection, cursor, statement, *rest) -> None:
        if statement.startswith("INSERT INTO deliveries"):
            say("in the middle")
            wait()

    ledger.stage(run, [a_row("second"), a_row("third")], [], a_mark(3), begun=False)


def hold_between_opening_and_committing(url: URL) -> None:
    """Open an attempt, and stand still before it is committed."""
    engine = writing_engine(url)
    ledger = Ledger(engine, timedelta(hours=1))
    run = staged(ledger, "r1")

    @event.listens_for(engine, "commit")
    def stand_still(connection) -> None:
        say("before the commit")
        wait()

    ledger.record(run, [opening(row) for row in due(ledger).values()])


def stage_without_end(url: URL, size: str) -> None:
    """Stage numbered rows in batches, on from the watermark; it holds how many there are."""
    ledger = Ledger(writing_engine(url), timedelta(hours=1))
    run = begun(ledger)
    at = ledger.watermark("reviews")[0].value or 0
    while True:
        rows = [a_row(f"r{number}") for number in range(at, at + int(size))]
        at += int(size)
        ledger.stage(run, rows, [], a_mark(at), begun=False)
        say(str(at))


WORKS: dict[str, Callable[..., None]] = {
    "open": open_when_told,
    "hold": hold_with_an_attempt_open,
    "hold staging": hold_in_the_middle_of_staging,
    "hold opening": hold_between_opening_and_committing,
    "stage": stage_without_end,
}


def main() -> None:
    """Do the work that the command line names."""
    _, work, address, *rest = sys.argv
    WORKS[work](make_url(address), *rest)


if __name__ == "__main__":
    main()
