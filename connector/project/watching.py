"""What goes on in a project, seen again and again: runs of any process, by the ledger alone."""

from collections.abc import Sequence
from dataclasses import field
from datetime import UTC, datetime

from connector.basis import dataclass
from connector.ledger.run_list import RUNNING, Which
from connector.project.reporting import Reporting
from connector.rules.deed import Document
from connector.rules.errors import LedgerUnavailable
from connector.rules.interaction import instant_text

MOST_RUNNING = 1_000
LAST = 5
"""Ended runs that are told of."""
AMONG = 200
"""Runs among which those are looked for where not all activations are wanted."""
SENT = ("delivered", "submitted", "rejected", "removed", "replaced")
TOLD = ("read", "staged", "delivered", "submitted", "invalid", "rejected", "in_doubt", "pending")
SLACK = 0.7
"""How much of a rate is what it was before: it would jump, else."""


@dataclass(slots=True)
class _Pace:
    """How fast a run sends. `rate`: rows a second."""

    at: float
    sent: int
    read: int
    rate: float | None = None
    state: str = "running"


@dataclass(slots=True)
class Watching:
    """Looks at the activations that `names` choose (none: all)."""

    project: Reporting
    names: Sequence[str] = ()
    _paces: dict[str, _Pace] = field(default_factory=dict)
    _last: Document = field(default_factory=dict)

    def look(self) -> Document:
        """What stands now. A ledger that cannot be read at the moment is told as `trouble`, with
        what was seen before. Raises ConfigurationError."""
        now = datetime.now(UTC)
        try:
            found = self._look(now)
        except LedgerUnavailable as error:
            before = self._last or {"running": [], "needs": [], "ended": []}
            found = {**before, "trouble": str(error)}
        self._last = found
        return {"at": instant_text(now), **found}

    def _look(self, now: datetime) -> Document:
        chosen = {each.name for each in self.project.activations(self.names)}
        standing = self.project.status(self.names)
        of_project = [] if self.names else self.project.needs()
        with self.project.reports() as reports:
            going = reports.runs(None, MOST_RUNNING, Which(status=RUNNING))
            past = reports.runs(None, len(going) + (AMONG if self.names else LAST))
            there = reports.has_ledger
        going = [run for run in going if not self.names or run["activation"] in chosen]
        ended = [
            {name: run[name] for name in ("run_id", "activation", "status", *TOLD, "finished_at")}
            for run in past
            if run["status"] != RUNNING and (not self.names or run["activation"] in chosen)
        ]
        ids = {run["run_id"] for run in going}
        sending = {each["name"]: each["counts"]["sending"] for each in standing}
        self._paces = {key: pace for key, pace in self._paces.items() if key in ids}
        return {
            "running": [self._told(run, now, sending.get(run["activation"], 0)) for run in going],
            "needs": [
                *({"activation": None, **need.document} for need in of_project),
                *({"activation": e["name"], **need} for e in standing for need in e["needs"]),
            ],
            "ended": ended[:LAST],
            "trouble": None if there else "there is no ledger yet; the first sync makes it",
        }

    def _told(self, run: Document, now: datetime, sending: int) -> Document:
        """A run that goes on. `sending`: rows whose request is in flight, or about to be; `rate`:
        rows a second that were sent since the last look, evened out; `seconds_left`: what is
        recorded takes at that rate."""
        at, sent = now.timestamp(), sum(run[name] for name in SENT)
        pace = self._paces.setdefault(run["run_id"], _Pace(at, sent, run["read"]))
        if (passed := at - pace.at) > 0:
            fresh = (sent - pace.sent) / passed
            if sent > pace.sent:
                pace.state = "sending"
            elif run["read"] > pace.read:
                pace.state = "reading"
            old = pace.rate
            pace.rate = fresh if old is None else SLACK * old + (1 - SLACK) * fresh
            pace.at, pace.sent, pace.read = at, sent, run["read"]
        left = run["pending"] / pace.rate if pace.rate and pace.rate > 0.01 else None
        began = datetime.fromisoformat(run["started_at"])
        return {
            **{name: run[name] for name in ("run_id", "activation", *TOLD)},
            "sending": sending,
            "state": pace.state,
            "rate": None if pace.rate is None else round(pace.rate, 1),
            "seconds_left": None if left is None else round(left),
            "seconds": round(max(0.0, (now - began).total_seconds()), 1),
        }
