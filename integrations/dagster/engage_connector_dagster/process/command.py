"""Runs one command of the connector in a process of its own, and hands back what it printed.

Its dependencies may differ from those of the orchestrator, a signal ends it in order, and what is
secret stands in its environment alone.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import guard

Log = Callable[[str], None]

GRACE = 90.0
"""Seconds for what is on the wire to be answered and recorded: more than `timeout` (60 s)."""
LOOK_EVERY = 1.0
"""Seconds between two looks at whether anybody still waits for the command."""
OF_THE_ORCHESTRATOR = ("AIRFLOW_", "_AIRFLOW_", "__AIRFLOW_", "DAGSTER_")
"""How variables begin that are none of the command's business: its keys are among them."""
OF_ONE_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command has ended. `document` is what it printed, empty when that was none; `last` are
    its last lines on standard error, where there was no document; `asked`: it was to stop."""

    code: int
    document: Mapping[str, Any]
    last: str = ""
    asked: bool = False


@dataclass
class Connector:
    """The connector of the environment of `python`, with the project of the file `config`.

    `env` is added to its environment, and so is `secrets`, whose values stand in no line of the
    log. `grace`: seconds that it has to end in order."""

    config: str
    python: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    grace: float = GRACE
    log: Log = print
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _asked: bool = field(default=False, repr=False)

    def run(self, *arguments: str) -> Ended:
        """Run a command to its end. When this is interrupted, or whoever has begun this process is
        gone, the command ends in order first."""
        self._asked = False
        interpreter = self.python or sys.executable
        file = Path(self.config).absolute()
        line = [interpreter, "-P", "-m", "connector", "--config", str(file), *arguments, "--json"]
        guarded = [sys.executable, "-I", "-S", guard.__file__, str(self.grace), *line]
        self._process = subprocess.Popen(
            guarded,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(self.python, {**self.env, **self.secrets}),
            cwd=file.parent,
            start_new_session=True,  # what is sent to the orchestrator's group is not for it
        )
        try:
            out, last = self._follow(self._process)
            code = self._process.wait()
        finally:
            self._end(self._process)
        document = _document(out)
        return Ended(code, document, "" if document else "\n".join(last), self._asked)

    def stop(self) -> None:
        """Ask a command that goes on to end in order: what is on the wire is answered and recorded,
        for `grace` seconds at most. Does not wait; may be called by the handler of a signal."""
        self._asked = True
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)

    def _follow(self, process: "subprocess.Popen[bytes]") -> tuple[bytes, list[str]]:
        """What it prints, and its last lines on standard error, each of which is logged."""
        out, rest, last = bytearray(), b"", list[str]()
        beginner = os.getppid()
        with selectors.DefaultSelector() as watch:
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                watch.register(stream, selectors.EVENT_READ)
            while watch.get_map():
                for key, _ in watch.select(LOOK_EVERY):
                    read = os.read(key.fd, 1 << 16)
                    if not read:
                        watch.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        out += read
                    else:
                        *lines, rest = (rest + read).split(b"\n")
                        last = [*last, *self._tell(lines)][-LAST_LINES:]
                if os.getppid() != beginner and not self._asked:
                    self.stop()  # nobody would hear of the end
        return bytes(out), [*last, *self._tell([rest])][-LAST_LINES:]

    def _tell(self, lines: list[bytes]) -> list[str]:
        """Log lines, without secrets."""
        told = []
        for line in lines:
            if text := self._without_secrets(line.decode(errors="replace").strip()):
                told.append(text)
                self.log(_in_words(text))
        return told

    def _without_secrets(self, text: str) -> str:
        for secret in self.secrets.values():
            text = text.replace(secret, "***") if secret else text
        return text

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """Whatever has interrupted this, the command has ended when this returns."""
        if process.poll() is None:
            self.stop()
            until = time.monotonic() + self.grace + 5
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


def environment(python: str | None, added: Mapping[str, str]) -> dict[str, str]:
    """That of this process with what is `added`, for a process of `python`: without what is the
    orchestrator's alone."""
    not_for_it = () if python in (None, sys.executable) else OF_ONE_PYTHON
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(OF_THE_ORCHESTRATOR) and name not in not_for_it
    }
    return {**inherited, "NO_COLOR": "1", **added}


def _document(out: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(out)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _in_words(line: str) -> str:
    """A line of `--progress json` in words; any other as it is."""
    try:
        told = json.loads(line)
        return (
            f"{told['activation']}: {told['delivered']} delivered, {told['left']} left,"
            f" {told['rate']}/s after {told['seconds']} s"
        )
    except (ValueError, KeyError, TypeError):
        return line
