"""How a run ended, and which exit code that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connector.ledger.records import Run, Tally
from connector.rules.errors import ConnectorError, FailOn


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. `error` is what stopped it; `waits`: the rows of the activation that waited
    for a person when it had ended, by state, whichever run left them there."""

    run: Run
    status: str
    tally: Tally
    error: ConnectorError | None = None
    waits: Mapping[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """How much this run itself has left for a person: rows, and sentences."""
        tally = self.tally
        return tally.invalid + tally.rejected + tally.own_doubts + len(tally.notes)


@dataclass(frozen=True, slots=True)
class Ended:
    """How the run of one activation ended; without a `result` it did not come to a run."""

    activation: str
    result: Result | None
    error: ConnectorError | None

    @property
    def status(self) -> str:
        """succeeded, attention, held or stopped."""
        return self.result.status if self.result else "stopped"

    @property
    def left(self) -> int:
        """How much it has left for a person; what earlier runs left is not counted."""
        return self.result.left if self.result else 0

    def exit_code(self, fail_on: FailOn = FailOn.WAITING) -> int:
        """The code of this one alone."""
        if self.error is not None:
            return self.error.exit_code
        match fail_on:
            case FailOn.NEVER:
                return 0
            case FailOn.NEW if self.status != "held":
                return int(self.left > 0)
            case _:
                return int(self.status != "succeeded")


def exit_code(codes: Sequence[int]) -> int:
    """One code for several: interrupted, then what must be changed, then what may pass."""
    return next((code for code in (130, 2, 3, 1) if code in codes), 0)
