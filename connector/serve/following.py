"""Runs that were asked for, by the id that whoever asked was given at once: also while one waits
for its place, and when it gave that to others and goes on afterwards."""

import time
from collections.abc import Callable
from dataclasses import field

from connector.basis import dataclass
from connector.ledger.processes import new_run_id
from connector.project.reporting import DID
from connector.rules.deed import Document
from connector.rules.errors import ConnectorError
from connector.sync.result import Result

MOST = 1_000
"""That are remembered after they have ended; what they have done stands in the ledger."""
SUMS = (*DID, "undone")
"""Counts that are added up; the others say how rows stand now."""


@dataclass(eq=False, slots=True)
class Asked:
    """A run that was asked for. `runs`: the ids of what has become of it, the first is its own."""

    run_id: str
    activation: str
    runs: list[str] = field(default_factory=list)
    is_over: bool = False
    error: ConnectorError | None = None
    """Why it did not come to a run."""


def asked_now(activation: str) -> Asked:
    """A run that is asked for now."""
    return Asked(new_run_id(round(time.time() * 1000)), activation)


class Following:
    """What was asked for in this process."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}

    def keep(self, asked: Asked) -> None:
        """It may be followed from now on."""
        self._asked[asked.run_id] = asked
        over = [run_id for run_id, each in self._asked.items() if each.is_over]
        for run_id in over[:-MOST]:
            del self._asked[run_id]

    def document(self, run_id: str, recorded: Callable[[str], Document | None]) -> Document | None:
        """All that has become of it as one run; None where nobody has asked for it here, or one run
        was enough."""
        asked = self._asked.get(run_id)
        if asked is None:
            return None
        found = [run for each in asked.runs if (run := recorded(each))]
        if not found:
            return _not_begun(asked)
        if asked.is_over and len(found) == 1:
            return None
        document = found[-1] | {"run_id": run_id, "started_at": found[0]["started_at"]}
        document |= {name: sum(run[name] for run in found) for name in SUMS}
        waits = not asked.is_over and document["status"] != "running"
        if waits:
            document |= {"status": "running", "finished_at": None, "done": None}
        return document | {"waits_for_place": waits, "runs": list(asked.runs)}


def _not_begun(asked: Asked) -> Document:
    """It waits for its place, or was given up there."""
    error = asked.error
    if asked.is_over and error is None:
        error = ConnectorError("it was not begun: it was paused, or this process ended, meanwhile")
    document = Result(asked.activation, error).document(None)
    del document["waits"]
    status = "stopped" if asked.is_over else "running"
    facts: Document = {"run_id": asked.run_id, "status": status, "contacts": None, "runs": []}
    return document | facts | {"waits_for_place": not asked.is_over}
