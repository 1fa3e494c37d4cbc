"""How a run ended, and which exit code that is."""

from collections.abc import Mapping, Sequence
from dataclasses import field

from connector.basis import dataclass
from connector.ledger.records import COUNTS, Run, Tally
from connector.rules.deed import Document
from connector.rules.delivery import QUARANTINE
from connector.rules.errors import HELD, ConnectorError, FailOn, Locate, unlocated, why
from connector.rules.turns import WAITS_FOR_TIME
from connector.sync.settled import is_unread


@dataclass(frozen=True, slots=True)
class Result:
    """How the run of an activation ended; without a `run` it did not come to one. `error`: what
    stopped it; `status`: succeeded, attention, held, stopped or not_begun; `waits`: the rows that
    waited for a person when it had ended, by state, whichever run left them there."""

    activation: str
    error: ConnectorError | None
    run: Run | None = None
    status: str = "stopped"
    tally: Tally = field(default_factory=Tally)
    waits: Mapping[str, int] = field(default_factory=dict)

    @property
    def run_id(self) -> str | None:
        return self.run.run_id if self.run else None

    @property
    def left(self) -> int:
        """How much this run itself has left for a person: rows, and sentences. Doubts are its own,
        or an earlier run's, also where it says why they cannot be settled."""
        tally = self.tally
        news = sum(not is_unread(note) for note in tally.notes)
        return tally.invalid + tally.rejected + tally.own_doubts + news

    def exit_code(self, fail_on: FailOn = FailOn.WAITING) -> int:
        """The code of this one alone."""
        if self.error is not None:
            return self.error.exit_code
        if self.status == NOT_BEGUN:
            return 0
        match fail_on:
            case FailOn.NEVER:
                return 0
            case FailOn.NEW if self.status != "held":
                return int(self.left > 0)
            case _:
                return int(self.status != "succeeded")

    def document(self, recorded: Document | None, locate: Locate = unlocated) -> Document:
        """The run, for programs, as the ledger has `recorded` it."""
        run = dict(recorded or NO_RUN | {"activation": self.activation, "status": self.status})
        if recorded and run["finished_at"] is None:  # it could not take its end
            run |= {"status": self.status, "notes": self.tally.notes}
            run |= {name: getattr(self.tally, name) for name in COUNTS}
            run |= {"contacts": None, "done": False}
        run["error"] = self.error.told(locate) if self.error else None
        run |= why(self.error)
        if run["status"] == HELD:
            run["kind"] = HELD
        run |= {name: getattr(self.tally, name) for name in WAITS_FOR_TIME}
        run["waits"] = {state.value: self.waits.get(state, 0) for state in QUARANTINE}
        return run


NOT_BEGUN = "not_begun"
"""The status in the place of a run whose time was over before its turn came."""

NO_RUN: Document = {
    "run_id": None,
    "activation": None,
    "status": "stopped",
    **dict.fromkeys((*COUNTS, "undone"), 0),
    "watermark": None,
    "started_at": None,
    "finished_at": None,
    "notes": [],
    "by": None,
    "tag": None,
    "done": False,
}
"""In the place of a run that did not come to be."""


def exit_code(codes: Sequence[int]) -> int:
    """One code for several: interrupted, then what must be changed, then what may pass."""
    return next((code for code in (130, 2, 3, 1) if code in codes), 0)
