"""How many rows a run has taken up, of as many as it may send."""

import sys

from connector.basis import dataclass


@dataclass(slots=True)
class Taken:
    """The rows that a run has taken up; `limit`: as many as it may send, None: all."""

    limit: int | None
    rows: int = 0
    spared: int = 0
    """Those of them whose contact the destination could not tell: they are the next run's, and use
    up no limit, or as many of them in front would keep all others from ever being sent."""

    @property
    def left(self) -> int:
        """How many more it may take up."""
        return max(0, (sys.maxsize if self.limit is None else self.limit) - self.rows + self.spared)
