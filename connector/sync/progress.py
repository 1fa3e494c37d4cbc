"""Who follows a run, a retry or an undoing while it goes on."""

from typing import Self

from connector.ledger.records import Run, Tally
from connector.rules.tempo import Tempo


class Progress:
    """Told what a run does while it does it; this one keeps quiet. As a context it is shown, as
    long as that lasts."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def begun(self, run: Run, tempo: Tempo) -> None:
        """The run has its activation; `tempo` goes on counting its requests."""

    def reading(self, activation: str, rows: int) -> None:
        """`rows` were read so far."""

    def sending(self, activation: str, tally: Tally, total: int) -> None:
        """`tally` so far, of `total` rows that are to be sent."""

    def counting(self, activation: str, verb: str, done: int, total: int) -> None:
        """`done` of `total` rows, with what `verb` says."""

    def approved(self, activation: str) -> None:
        """The run sends what a person has let go, and has to do so to its end: another one would
        be held for the rest."""
