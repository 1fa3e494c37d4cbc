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


@dataclass(slots=True)
class Health:
    """How the destination has behaved lately, and when to give up on it: after `most_doubts` in a
    row."""

    most_doubts: int
    doubts: int = 0
    pauses: int = 0
    resumes_at: float = 0.0

    def saw(self, outcome: Outcome, now: float) -> float:
        """Seconds to pause before anything else is sent. Raises DestinationUnusable."""
        match outcome:
            case Accepted(distrust=why_not) | Unknown(distrust=why_not) if why_not:
                raise DestinationUnusable(why_not, outcome.http_status)
            case Accepted() | Submitted() | Refused() | NotApplied(alone=True):
                self.doubts = self.pauses = 0
            case Unknown():
                self.doubts += 1
                if self.doubts >= self.most_doubts:
                    raise DestinationUnusable(
                        f"{self.doubts} requests in a row got no answer that can be trusted (the"
                        f" last: {outcome.reason}); sending on would only make more doubts"
                    )
            case Withheld() | NotApplied(again=True):
                pass
            case NotApplied(reason, busy=False) if now >= self.resumes_at:
                if self.pauses >= len(OUTAGE_PAUSES):
                    raise DestinationUnusable(f"the destination is out of reach ({reason})")
                pause = float(OUTAGE_PAUSES[self.pauses])
                self.pauses += 1
                self.resumes_at = now + pause
                return pause
            case NotApplied():
                pass
        return 0.0
