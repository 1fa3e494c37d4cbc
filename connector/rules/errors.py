"""Every exception that is meant to reach a person, in one tree, grouped by what to do next.

::

    ConnectorError
    ├── ConfigurationError      change the configuration or the command line; exit code 2
    │   └── ActivationPaused        somebody has paused what was to be run
    ├── StopRun                 something outside stood in the way; run again; exit code 3
    │   ├── WarehouseUnavailable    it could not be opened or read
    │   ├── LedgerUnavailable       it could not be opened, read or written
    │   │   ├── LedgerChanged       it went back to an older state, or was replaced, under a run
    │   │   └── LedgerOfAnotherVersion  its tables are not those that are known here
    │   ├── DestinationUnusable     not reachable, answers nothing that can be used
    │   │   ├── KeyRefused          it does not take the API key
    │   │   └── NothingGotThrough   it has let none of a run's rows through, which rest
    │   ├── ActivationBusy          another run holds the activation
    │   ├── LeaseLost               this run was taken for dead and replaced
    │   └── CannotListen            the address is taken, or not ours to take
    ├── ApprovalRefused         a held run stays held; exit code 1
    ├── Interrupted             somebody asked it to stop; exit code 130
    │   └── TimeOver                its own time is over, as was ordered; stops no run for anybody
    └── StaleMove               a row was not in the state that the caller believed

``kind`` and ``retryable`` are what programs go by: the words are those of `KINDS` alone.

Messages name activations, columns, row keys and files. They never hold a contact, a payload or a
secret, because they end in logs, in the ledger and on screens.
"""

import traceback
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path as FilePath
from typing import Any

from connector.basis import dataclass
from connector.basis.near import perhaps

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; lines and columns count from 1."""

    file: FilePath
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the configuration: where (path of keys in the YAML file) and what."""

    path: Path
    message: str
    rule: str = "configuration"
    """What kind of mistake, in a word or two for programs."""
    mark: Mark | None = None
    """Where that is in a file, once it is known."""

    @property
    def text(self) -> str:
        """The message, with its place."""
        return f"{self.mark}: {self.message}" if self.mark else self.message


def of_activation(name: str, *path: str | int, text: str) -> Problem:
    """A problem with an activation, or with what stands at `path` below it."""
    return Problem(("activations", name, *path), f'activation "{name}": {text}')


OUT_OF_REACH = "secret-out-of-reach"
"""The rule of a problem that lies where a secret is kept: nothing is written wrongly."""
Locate = Callable[[Problem], str]
"""How a problem is told, with its place in the configuration where that is known."""


KINDS = (
    "busy",
    "key_refused",
    "destination",
    "warehouse",
    "ledger",
    "configuration",
    "held",
    "paused",
    "interrupted",
    "defect",
)
"""Every word that can stand as a `kind`; `held` is that of a run, which no exception ends."""
HELD = "held"


class FailOn(StrEnum):
    """What makes a sync that ended in order end with exit code 1: that its own run has left
    something for a person, that anything waits for one, or nothing."""

    NEW = "new"
    WAITING = "waiting"
    NEVER = "never"


class ConnectorError(Exception):
    """The root. `kind` is what ``--json`` prints beside the message, and `retryable` whether the
    same command may do better later, with nothing changed by a person."""

    kind = "defect"
    retryable = False
    exit_code = 3

    def told(self, locate: Locate) -> str:
        """The message, with the places of its problems in the configuration."""
        return str(self)


class ConfigurationError(ConnectorError):
    """What was asked for cannot be done as it is written. Carries one or more problems."""

    kind = "configuration"
    exit_code = 2

    def __init__(self, *problems: Problem | str) -> None:
        self.problems: Sequence[Problem] = [
            Problem((), p) if isinstance(p, str) else p for p in problems
        ]
        if problems and all(problem.rule == OUT_OF_REACH for problem in self.problems):
            self.retryable, self.exit_code = True, StopRun.exit_code
        super().__init__("\n".join(p.text for p in self.problems))

    def told(self, locate: Locate) -> str:
        return "\n".join(locate(problem) for problem in self.problems)


def not_yaml(file: FilePath, line: int, column: int, text: str) -> ConfigurationError:
    """That a file cannot be read as what it is meant to be."""
    return ConfigurationError(Problem((), text, "yaml", Mark(file, line, column)))


class ActivationPaused(ConfigurationError):
    kind = "paused"


class StopRun(ConnectorError):
    """The run cannot go on. Nothing is lost: every row keeps its state in the ledger."""

    retryable = True


class WarehouseUnavailable(StopRun):
    kind = "warehouse"


class LedgerUnavailable(StopRun):
    kind = "ledger"


class LedgerChanged(LedgerUnavailable):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the ledger was changed beneath a run ({reason}), so it may have forgotten what was"
            " sent. The run stopped; the next one reads back what the ledger does not know to be"
            " delivered, before it sends that"
        )
        self.reason = reason


class LedgerOfAnotherVersion(LedgerUnavailable):
    retryable = False


class LedgerNowhere(LedgerUnavailable):
    """There can be none at its place."""

    retryable = False


class DestinationUnusable(StopRun):
    """The destination refuses the key, cannot be reached, or gives answers that mean nothing."""

    kind = "destination"

    def __init__(self, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class KeyRefused(DestinationUnusable):
    kind = "key_refused"
    retryable = False


class NothingGotThrough(DestinationUnusable):
    """All rows that were tried rest, since the destination would not answer for any: that may lie
    with these rows."""


class ActivationBusy(StopRun):
    kind = "busy"


class LeaseLost(StopRun):
    kind = "busy"


class CannotListen(StopRun):
    kind = "configuration"
    retryable = False


class ApprovalRefused(ConnectorError):
    kind = HELD
    exit_code = 1


class Interrupted(ConnectorError):
    kind = "interrupted"
    retryable = True
    exit_code = 130


class TimeOver(Interrupted):
    """A run is to end in order, since it has had the time that it was given."""


class StaleMove(ConnectorError):
    kind = "busy"  # somebody else has moved it
    retryable = True


def why(error: ConnectorError | None) -> dict[str, Any]:
    """What programs go by when something was stopped; nothing where nothing was."""
    if error is None:
        return {"kind": None, "retryable": False}
    return {"kind": error.kind, "retryable": error.retryable}


def unlocated(problem: Problem) -> str:
    """A problem whose place is not known."""
    return problem.text


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """'; did you mean "x"?' when one of `known` is near to `word`, else the whole list."""
    there = f"; there are: {', '.join(sorted(known))}" if known else ""
    return perhaps(word, known) or there


def unknown_key(activation: str, key: str, similar: Sequence[str]) -> str:
    """That nothing is recorded under `key`, and what is under keys like it."""
    hint = f"; recorded are, for example: {', '.join(similar)}" if similar else ""
    return f'"{activation}" has recorded no row with the key "{key}"{hint}'


def pruned_key(activation: str, key: str) -> str:
    """That no more is known of a row than that it was delivered."""
    return (
        f'"{activation}": the row "{key}" was delivered, and its details are pruned from the ledger'
        " (ledger.keep): it is never sent again, and nothing can be decided about it any more"
    )


def places(defect: BaseException) -> list[str]:
    """Where a mistake of ours happened. Its message is left out: it may hold a row's values."""
    frames = traceback.extract_tb(defect.__traceback__)
    return [f"{at.filename}:{at.lineno}" for at in frames[-5:]]
