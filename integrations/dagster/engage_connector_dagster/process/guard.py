"""Runs a command, and lets it end in order when whoever began it is gone.

    python guard.py GRACE COMMAND…

Whoever begins it holds the other end of its standard input. When that closes, by kill -9, too, or
SIGTERM or SIGINT comes, the command gets SIGTERM, once; after GRACE seconds it is killed. So there
is no orphan that runs on. Should the guard itself be killed, Linux sends SIGTERM to the command.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
NOT_FOUND = 127
LOOK_EVERY = 0.5
"""Seconds between two looks at the command, should its signal be missed."""


def guard(grace: float, command: Sequence[str]) -> int:
    """Run `command` to its end; returns its exit code, 128 + N where signal N has ended it."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, _take_note)
    own = os.getpid()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=lambda: _end_with(own)
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND
    code = _watch(process, woken, grace)
    return code if code >= 0 else 128 - code


def _watch(process: "subprocess.Popen[bytes]", woken: int, grace: float) -> int:
    """Wait for the end of `process`, and bring it about when that is asked for."""
    beginner, kill_at = sys.stdin.fileno(), float("inf")
    watched = [beginner, woken]
    while (code := process.poll()) is None:
        if time.monotonic() > kill_at:
            process.kill()
        ready, _, _ = select.select(watched, [], [], LOOK_EVERY)
        asked = woken in ready and _asks(os.read(woken, 64))
        if beginner in ready and not os.read(beginner, 64):
            watched, asked = [woken], True
        if asked and kill_at == float("inf"):
            kill_at = time.monotonic() + grace
            process.send_signal(signal.SIGTERM)
    return code


def _asks(signals: bytes) -> bool:
    return signal.SIGTERM in signals or signal.SIGINT in signals


def _take_note(number: int, frame: object) -> None:
    """That it came stands in the pipe of signals."""


def _end_with(parent: int) -> None:
    """Between fork and exec: SIGTERM comes to what is run when `parent` is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(guard(float(sys.argv[1]), sys.argv[2:]))
