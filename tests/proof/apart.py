"""A process of its own that is asked in lines, and answers each with a line of JSON."""

import json
import subprocess
import sys
from typing import Any, Self


class Apart:
    """A script of these proofs that runs until its `with` ends."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [sys.executable, "-m", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, line: str) -> Any:
        """What it answers to a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """What it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._script} has ended"
        return json.loads(line)
