"""No test hangs: each has a time limit, and so have the ends of a worker and of the whole run.

A test that is over its time fails, with the stacks of all threads (pytest-timeout, by a signal).
Where a signal is not heard, in native code or in a lock's wait at the interpreter's end, the
process is ended a little later, with the stacks of all threads on standard error; xdist then
says which test its worker was at, and starts another one.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

GRACE = 60
"""Seconds after which a test that did not hear that its time is over ends with its process. Also
how long a failed test may take to clean up, and a process to end when its tests are done."""
SILENCE = 4000 if os.environ.get("CONNECTOR_PROVE") else 900
"""Seconds without a word from any worker after which a run is given up: longer than any limit."""

LIMIT = pytest.StashKey[float]()
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    assert sys.__stderr__ is not None
    config.stash[STDERR] = os.dup(sys.__stderr__.fileno())  # what captures output swaps the other
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Silence(config.stash[STDERR]))


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    item.stash[LIMIT] = settings.timeout
    _end_in(settings.timeout + GRACE, item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    # pytest gives up all timers where a test fails: its debugger might be open
    _end_in(item.stash.get(LIMIT, 0.0) + GRACE, item.config)
    return (yield)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_cancel_timer() -> None:
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    _end_in(GRACE, session.config)
    try:
        return (yield)
    finally:
        if hasattr(session.config, "workerinput"):  # it waits for the others, then is ended
            faulthandler.cancel_dump_traceback_later()


def _end_in(seconds: float, config: pytest.Config) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True, file=config.stash[STDERR])


class Silence:
    """Ends a run of several workers that says nothing for long, and says what they were at."""

    def __init__(self, stderr: int) -> None:
        self._stderr = stderr
        self._running: set[str] = set()
        self._heard = time.monotonic()
        threading.Thread(target=self._listen, daemon=True, name="silence").start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._heard = time.monotonic()
        self._running.add(nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._heard = time.monotonic()
        self._running.discard(nodeid)

    def _listen(self) -> None:
        while (left := self._heard + SILENCE - time.monotonic()) > 0:
            time.sleep(left)
        running = "".join(f"\n  {test}" for test in sorted(self._running)) or " no test"
        words = f"\nNo test began or ended for {SILENCE} s. Running:{running}\n"
        os.write(self._stderr, words.encode())
        faulthandler.dump_traceback(self._stderr)
        os._exit(3)
