"""Runs are watched while they go on, in another process too, and from before there is a ledger."""

import fcntl
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from tests.test_layout import STYLES
from tests.whole.shop import Shop

CLEAN = ("\x1b[?1049l", "\x1b[?25h")
"""The screen of before, and its cursor."""


@dataclass
class Watched:
    """A terminal with `connector watch` in it, and all that it was shown."""

    process: "subprocess.Popen[bytes]"
    place: int
    shown: str = ""
    looked: int = 0

    def sees(self, *wanted: str) -> None:
        """It is shown everything that is wanted, after what was seen before."""
        end = time.monotonic() + 40
        while not all(word in STYLES.sub("", self.shown[self.looked :]) for word in wanted):
            assert time.monotonic() < end, re.sub(r"\s+", " ", self.shown)
            self.read(0.2)
        self.looked = len(self.shown)

    def read(self, seconds: float) -> None:
        if select.select([self.place], [], [], seconds)[0]:
            self.shown += os.read(self.place, 65536).decode(errors="replace")

    def left(self) -> int:
        """The exit code, once it has ended and all is read."""
        while self.process.poll() is None:
            self.read(0.1)
        self.read(0.1)
        return self.process.returncode


@contextmanager
def watching(shop: Shop) -> Iterator[Watched]:
    mine, its = pty.openpty()
    before = termios.tcgetattr(its)
    process = subprocess.Popen(
        [sys.executable, "-m", "connector", "--config", str(shop.config), "watch"],
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, "COLUMNS": "80", "LINES": "30", "TERM": "xterm"},
        preexec_fn=partial(_has_terminal, its),
    )
    try:
        yield Watched(process, mine)
        assert termios.tcgetattr(its) == before  # keys are heard as before
    finally:
        process.kill()
        process.wait()
        os.close(mine)
        os.close(its)


def _has_terminal(place: int) -> None:
    """So that Ctrl-C, typed there, reaches it."""
    os.setsid()
    fcntl.ioctl(place, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize("way", ["q", "Ctrl-C", "SIGTERM"])
def test_the_view_is_left_at_once_and_leaves_the_terminal_as_it_was(shop: Shop, way: str) -> None:
    with watching(shop) as terminal:
        terminal.sees("there is no ledger yet")
        if way == "SIGTERM":
            terminal.process.terminate()
        else:
            os.write(terminal.place, {"q": b"q", "Ctrl-C": b"\x03"}[way])
        code = terminal.left()

    assert code == 0
    assert terminal.shown.endswith(CLEAN) or all(each in terminal.shown[-80:] for each in CLEAN)
    assert "Traceback" not in terminal.shown


def test_the_view_goes_on_when_the_ledger_comes_vanishes_and_breaks(shop: Shop) -> None:
    shop.add({"id": "good"}, {"id": "bad", "rating": 9})
    with watching(shop) as terminal:
        terminal.sees("there is no ledger yet")
        shop.sync()
        terminal.sees("Needs a person (1)", "1 row to decide about: 1 invalid", "Last runs")
        for file in shop.ledger_file.parent.glob(f"{shop.ledger_file.name}*"):
            file.unlink()
        terminal.sees("there is no ledger yet")
        shop.ledger_file.write_bytes(b"this is no database" * 1000)
        terminal.sees("the ledger", "q leaves")
        os.write(terminal.place, b"q")
        assert terminal.left() == 0

    assert "Traceback" not in terminal.shown


def test_what_needs_a_person_in_the_project_itself_is_told(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    shop.configure(name="another", more="renamed_from: false")

    line = shop.connector("watch", "--times", "1").out
    (of_all,) = shop.connector("watch", "--times", "1", "--json").json["needs"]
    of_one = shop.connector("watch", "another", "--times", "1", "--json").json["needs"]

    assert "nothing runs; 1 needs a person" in line
    assert (of_all["activation"], of_all["kind"]) == (None, "left")
    assert '"visits" is not configured any more' in of_all["text"]
    assert of_one == []
    with watching(shop) as terminal:
        terminal.sees("Needs a person (1)", 'the project: "visits" is not configured any more')
        os.write(terminal.place, b"q")
        assert terminal.left() == 0


def test_a_run_of_another_process_is_told_line_by_line(shop: Shop) -> None:
    shop.configure(rate=50, concurrency=1)
    shop.add_many(400)
    process = shop.start("sync")
    found: list[dict[str, object]] = []
    try:
        end = time.monotonic() + 30
        while not found and time.monotonic() < end:
            told = shop.connector("watch", "--times", "2", "--json")
            documents = [json.loads(line) for line in told.out.splitlines()]
            assert (told.code, len(documents)) == (0, 2)
            found = [run for run in documents[1]["running"] if run["rate"]]
        line = shop.connector("watch", "--times", "1").out
    finally:
        process.terminate()
        process.communicate(timeout=30)

    assert (found[0]["activation"], found[0]["state"]) == ("visits", "sending")
    assert ("visits: " in line, " delivered, " in line) == (True, True)
    assert shop.connector("watch", "another", "--json").json["error"]["kind"] == "configuration"
    assert "--every: expected a duration" in shop.connector("watch", "--every", "often").err
