"""How a destination has behaved lately, and when to pause or to give up on it."""

from connector.basis import dataclass
from connector.rules.delivery import (
    Accepted,
    NotApplied,
    Outcome,
    Refused,
    Submitted,
    Unknown,
    Withheld,
)
from connector.rules.errors import DestinationUnusable

OUTAGE_PAUSES = (1, 2, 4, 8, 16)
STANDSTILL = 300
"""Seconds in which rows are tried and none gets through, after which a run gives up: who asks it to
slow down for ever would keep it for ever."""


@dataclass(slots=True)
class Health:
    """How the destination has behaved in a run, and when to give up on it: after `most_doubts` in a
    row, or at a standstill."""

    most_doubts: int
    doubts: int = 0
    pauses: int = 0
    resumes_at: float = 0.0
    failed: str = ""
    """Why a row did not get through, the last time that the destination kept one from it."""
    reached: bool = False
    """Whether the destination has said of any row what becomes of it."""
    no_look_up: int = 0
    """Rows whose contact could not be looked up."""
    _since: float | None = None
    """Since when none has got through."""

    def saw(self, outcome: Outcome, now: float) -> float:
        """Seconds to pause before anything else is sent. Raises DestinationUnusable."""
        match outcome:
            case Accepted(distrust=why_not) | Unknown(distrust=why_not) if why_not:
                raise DestinationUnusable(why_not, outcome.http_status)
            case Accepted() | Submitted() | Refused() | NotApplied(alone=True):
                self.doubts = self.pauses = 0
                self.answered()
            case Unknown():
                self.doubts += 1
                if self.doubts >= self.most_doubts:
                    raise DestinationUnusable(
                        f"{self.doubts} requests in a row got no answer that can be trusted (the"
                        f" last: {outcome.reason}); sending on would only make more doubts"
                    )
            case Withheld():
                pass
            case NotApplied(reason):
                self._failed(reason, now)
                return self._pause(outcome, now)
        return 0.0

    def answered(self) -> None:
        """The destination has said what becomes of a row."""
        self.reached, self._since = True, None

    def _failed(self, reason: str, now: float) -> None:
        self.failed = reason
        if self._since is None:
            self._since = now
        if now - self._since >= STANDSTILL:
            minutes = f"{STANDSTILL / 60:g} minutes"
            raise DestinationUnusable(f"no row has got through for {minutes} (the last: {reason})")

    def _pause(self, outcome: NotApplied, now: float) -> float:
        if outcome.again or outcome.busy or now < self.resumes_at:
            return 0.0
        if self.pauses >= len(OUTAGE_PAUSES):
            raise DestinationUnusable(f"the destination is out of reach ({outcome.reason})")
        pause = float(OUTAGE_PAUSES[self.pauses])
        self.pauses += 1
        self.resumes_at = now + pause
        return pause
