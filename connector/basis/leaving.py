"""How an interrupted command ends whose threads do not: one that waits for a warehouse, or for a
database, cannot be ended, and Python waits for it. What is cut off is what a kill cuts off, which
the ledger is made for."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

AT_MOST = 3.0
"""Seconds that an interrupted command has to put away what it has."""
INTERRUPTED = 130
SHOW_CURSOR = "\x1b[?25h"


class Leaving:
    """What is left to do once a command is interrupted: `tell` that it was, and end with `code`."""

    tell: Callable[[], None] = staticmethod(lambda: None)
    code: int = INTERRUPTED
    timer: threading.Timer | None = None


@contextmanager
def interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end what is done within, also where a thread does not. For the main
    thread only."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if Leaving.timer:
            Leaving.timer.cancel()


def interrupt(_number: int, _frame: object) -> NoReturn:
    """A handler of signals: ends the command, and the process if that takes too long."""
    leave_soon(_tell_and_leave)
    raise KeyboardInterrupt


def leave_soon(leave: Callable[[], None]) -> None:
    """Call `leave` after a while, unless this process has ended by then."""
    Leaving.timer = threading.Timer(AT_MOST, leave)
    Leaving.timer.daemon = True
    Leaving.timer.start()


def leave() -> None:
    """End the process: all is told."""
    os._exit(Leaving.code)


def _tell_and_leave() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():  # a bar has hidden it
            stream.write(SHOW_CURSOR)
    Leaving.tell()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    leave()
