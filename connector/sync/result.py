"""How a run ended, and which exit code that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connector.ledger.records import COUNTS, Run, Tally
from connector.rules.deed import Document
from connector.rules.delivery import QUARANTINE
from connector.rules.errors import HELD, ConnectorError, FailOn, Locate, unlocated, why


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

    def document(self, recorded: Document | None, locate: Locate = unlocated) -> Document:
        """The run, for programs, as the ledger has `recorded` it."""
        run = dict(recorded) if recorded else _no_run(self.activation)
        if recorded and self.result and run["finished_at"] is None:  # it could not take its end
            run |= {"status": self.result.status, "notes": self.result.tally.notes}
            run |= {name: getattr(self.result.tally, name) for name in COUNTS}
            run["contacts"] = None
        run["error"] = self.error.told(locate) if self.error else None
        run |= why(self.error)
        if run["status"] == HELD:
            run["kind"] = HELD
        waits = self.result.waits if self.result else {}
        run["waits"] = {state.value: waits.get(state, 0) for state in QUARANTINE}
        return run


def _no_run(activation: str) -> Document:
    """In the place of a run that did not come to be."""
    return {
        "run_id": None,
        "activation": activation,
        "status": "stopped",
        **dict.fromkeys((*COUNTS, "undone"), 0),
        "watermark": None,
        "started_at": None,
        "finished_at": None,
        "notes": [],
    }


def exit_code(codes: Sequence[int]) -> int:
    """One code for several: interrupted, then what must be changed, then what may pass."""
    return next((code for code in (130, 2, 3, 1) if code in codes), 0)
