"""Reads what a project configures, as `connector plan` tells it: without any secret."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from re import fullmatch
from typing import Any

from .command import environment

READS = """
import gc
gc.disable()  # it ends at once
import connector, json, sys
try:
    document = connector.plan(sys.argv[1]).document()
except connector.ConnectorError as error:
    document = {"error": str(error)}
print(json.dumps(document))
"""
"""The public function, since a command line takes longer to begin: DAGs are parsed all the time."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class NotPlanned(Exception):
    """The configuration cannot be read, or there is no connector to read it."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What is configured of one activation. `key` is equal where one API key is, whose rate is
    shared; `timezone` is that of a cron expression."""

    name: str
    destination: str
    key: str
    schedule: str | None = None
    timezone: str | None = None
    tags: Sequence[str] = ()
    owner: str | None = None
    dbt: str | None = None
    paused: bool = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Planned":
        """One activation of the document; what a later version tells beside it is left out."""
        return cls(**{name: told[name] for name in cls.__slots__ if name in told})

    @property
    def every(self) -> timedelta | None:
        """The interval of a schedule that is one, such as `every 90m`."""
        found = fullmatch(r"every (\d+)([smhd])", self.schedule or "")
        return None if found is None else timedelta(**{UNITS[found[2]]: int(found[1])})

    @property
    def cron(self) -> str | None:
        """The expression of a schedule that has one."""
        return self.schedule if self.every is None else None


def read_plan(config: str, python: str | None = None) -> list[Planned]:
    """Every activation of the project of `config`, as the connector of `python` reads it; without
    one that of this interpreter, in this process. Raises NotPlanned."""
    document = _read_here(config) if python is None else _read_there(config, python)
    return [Planned.of(each) for each in document["activations"]]


def _read_here(config: str) -> Mapping[str, Any]:
    try:
        import connector
    except ImportError:
        raise NotPlanned("the connector is not installed here; say which python has it") from None
    try:
        document: Mapping[str, Any] = connector.plan(config).document()
    except connector.ConnectorError as error:
        raise NotPlanned(f"{config} could not be read: {error}") from None
    return document


def _read_there(config: str, python: str) -> Mapping[str, Any]:
    line = [python, "-P", "-c", READS, str(Path(config).absolute())]
    try:
        done = subprocess.run(line, capture_output=True, text=True, env=environment(python, {}))
    except OSError as error:
        raise NotPlanned(f"{python}: {error.strerror}") from None
    try:
        document: Mapping[str, Any] = json.loads(done.stdout)
        problem = document.get("error")
    except ValueError:
        problem = (
            done.stderr.strip().rpartition("\n")[2] or f"{python} ended with {done.returncode}"
        )
    if problem is not None:
        raise NotPlanned(f"{config} could not be read: {problem}")
    return document
