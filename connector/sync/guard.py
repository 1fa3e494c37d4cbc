"""What stops a run while it sends: more refusals than the limits allow."""

from connector.basis import dataclass
from connector.ledger.records import Tally
from connector.rules.hold import Hold
from connector.sync.side_by_side import Stop


@dataclass(slots=True)
class Guard:
    """Stops a run that sends when too many of its rows are rejected: it would have been held, had
    that been known before. `share`: of `rows`; None: any, as after an approval."""

    rows: int
    invalid: int
    share: float | None
    stop: Stop
    stopped_it: bool = False

    def saw(self, tally: Tally) -> None:
        """Look at what has become of the rows so far. Those that waited for their contact since an
        earlier run were none of the rows that this one is judged by."""
        if self.share is None or self.stop.asked or not self.rows:
            return
        if (self.invalid + judged_rejected(tally)) / self.rows > self.share:
            self.stopped_it = True
            self.stop.now()


def judged_rejected(tally: Tally) -> int:
    """How many of the rows by which a run is judged were rejected."""
    return tally.rejected - tally.given_up


def guard_of(figures: Hold, tally: Tally, share: float | None, stop: Stop) -> Guard:
    """The guard of a run that goes, with these figures. `share`: of its rows that may be refused;
    None: any."""
    rows = figures.due + figures.invalid + judged_rejected(tally)
    return Guard(rows, figures.invalid, share, stop)
