"""Processes of the command line that begin with everything imported.

To start an interpreter and import the connector takes a second of work, which is most of what a
test of a process costs. So one process beside each worker imports everything once, and is copied
for each command. A copy is a process as any other: a child of the tests, with an environment,
pipes and signals of its own; it runs what `python -m connector` runs, and ends as that does. The
processes that work on a ledger for its tests (`tests/ledger/processes.py`) are copies, too.

Run as a script it is what is copied; imported, it starts that, and asks it.
"""

import atexit
import ctypes
import gc
import json
import os
import pkgutil
import random
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SUBREAPER = 36
LARGEST = 1 << 20
ENCODING = "PYTHONIOENCODING"
BESIDE = (
    "psycopg",
    "connector.warehouse.duck",
    "sqlalchemy.dialects.postgresql.psycopg",
    "pytz",
    "uvicorn",
)
"""What the connector imports, or has imported for it, only where it is needed."""


class Copy(subprocess.Popen[str]):
    """A module that is run as a process, by default the command line; it has what any Popen has."""

    module = "connector"

    def _execute_child(  # type: ignore[override]
        self, args: Sequence[str], *given: Any, **more: Any
    ) -> None:
        environment, (asked, ask, told, tell, erred, err) = given[5], given[9:15]
        del ask, told, erred
        try:
            wanted = {"arguments": list(args), "environment": dict(environment or os.environ)}
            ends = [own if end == -1 else end for own, end in enumerate((asked, tell, err))]
            places = {"module": self.module, "folder": str(Path.cwd()), "alone": given[20]}
            self.pid = _copied({**wanted, **places}, ends)
            self._child_created = True
        finally:
            self._close_pipe_fds(*given[9:15])  # type: ignore[attr-defined]


class LedgerCopy(Copy):
    """A process that works on a ledger."""

    module = "tests.ledger.processes"


def start(
    arguments: Sequence[str], environment: Mapping[str, str], **ends: Any
) -> "subprocess.Popen[str]":
    """`python -m connector` with `arguments`, as a process with pipes for what it prints, or with
    the `ends` that a Popen is given."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **ends}
    if any(name.startswith("PYTHON") and os.environ.get(name) != environment[name]
           for name in environment.keys() - {ENCODING}):  # fmt: skip
        # what an interpreter is told at its start cannot be told to a copy
        command = [sys.executable, "-m", "connector", *arguments]
        return subprocess.Popen(command, env=environment, **pipes)
    return Copy(arguments, env=environment, **pipes)


@cache
def _original() -> socket.socket:
    """The way to what is copied."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.settimeout(60)
    command = [sys.executable, "-m", "tests.zygote", str(there.fileno())]
    with there:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, pass_fds=[there.fileno()]
        )
    atexit.register(_end, here, process)
    return here


def _end(way: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    way.close()  # then nobody can ask it for anything
    process.wait(timeout=10)


def _copied(wanted: Mapping[str, Any], ends: Sequence[int]) -> int:
    """The process id of a new copy, which is a child of this process."""
    way = _original()
    with _adopting():
        socket.send_fds(way, [json.dumps(wanted).encode()], ends)
        return int(way.recv(100))


@contextmanager
def _adopting() -> Iterator[None]:
    """Processes whose parent ends become children of this one, not of the system's first."""
    system = ctypes.CDLL(None)
    system.prctl(SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        system.prctl(SUBREAPER, 0, 0, 0, 0)


# --- in the process that is copied ----------------------------------------------------------------


def main(number: str) -> None:
    """Copy this process until nobody can ask for it any more. In a copy: be the command."""
    _import_everything()
    way = socket.socket(fileno=int(number))
    while True:
        message, ends, _, _ = socket.recv_fds(way, LARGEST, 3)
        if not message:
            os._exit(0)
        if (copy := _fork_twice()) is None:
            break
        for end in ends:
            os.close(end)
        way.send(str(copy).encode())
    way.close()
    _become(json.loads(message), ends)


def _import_everything() -> None:
    import connector

    modules = pkgutil.walk_packages(connector.__path__, "connector.")
    for name in (*BESIDE, LedgerCopy.module, *(module.name for module in modules)):
        if not name.endswith("__main__") and ".migrations." not in name:
            with suppress(ImportError):
                import_module(name)
    gc.collect()
    gc.freeze()  # what the collector never touches again is never copied for a copy
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads are left, which a copy would lose"


def _fork_twice() -> int | None:
    """A copy, whose parent ends at once; its process id. In the copy itself: None."""
    there, here = os.pipe()
    if (between := os.fork()) == 0:
        if (copy := os.fork()) == 0:
            os.close(there)
            os.close(here)
            return None
        os.write(here, str(copy).encode())
        os._exit(0)
    os.close(here)
    copy = int(os.read(there, 100))
    os.close(there)
    os.waitpid(between, 0)
    return copy


def _become(wanted: Mapping[str, Any], ends: Sequence[int]) -> None:
    """The command, with what it was given."""
    if wanted["alone"]:
        os.setsid()
    for number, end in enumerate(ends):
        os.dup2(end, number)
        os.close(end)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    time.tzset()
    random.seed()
    os.chdir(wanted["folder"])
    encoding = wanted["environment"].get(ENCODING)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        setattr(sys, name, _stream(getattr(sys, name), mode, encoding))
    gc.unfreeze = lambda: None  # to look through what was imported is to copy it
    sys.argv = [wanted["module"], *wanted["arguments"]]
    if wanted["module"] == LedgerCopy.module:
        import_module(LedgerCopy.module).main()
        _end_at_once(0)
    sys.path[0] = wanted["folder"]
    try:
        runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, int):
            _end_at_once(end.code)
        raise


def _end_at_once(code: int) -> None:
    """End as an interpreter does, but without taking apart, module by module, what was imported:
    that reads and so copies all of it, which is many times the work of most commands. Where what
    was printed cannot be written it returns: how that ends is the interpreter's own to say."""
    threading._shutdown()  # type: ignore[attr-defined]  # what is not a daemon is waited for
    gc.collect()  # what the command itself left behind says so; what was imported is frozen
    atexit._run_exitfuncs()
    with suppress(OSError):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)


def _stream(like: Any, mode: str, encoding: str | None) -> Any:
    """A stream of this process as an interpreter opens it."""
    return open(
        like.fileno(),
        mode,
        encoding=encoding or like.encoding,
        errors="strict" if encoding and like is not sys.stderr else like.errors,
        buffering=1 if like.line_buffering else -1,
        closefd=False,
    )


if __name__ == "__main__":
    main(sys.argv[1])
