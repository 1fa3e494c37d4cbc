"""The part of a key's rate that this process was lent, and how long it may be used.

The pacer of the key reads it, in the event loop; whoever borrows (see connector.project.borrowing)
writes it, in a thread of its own.
"""

import time
from collections import deque
from collections.abc import Callable

from connector.rules import clocks
from connector.rules.errors import ConnectorError
from connector.rules.shares import Share, wish

IDLE = 1.0
"""Seconds after which whoever has asked for nothing gives its part up."""
REMEMBERED = 10
"""Questions for which is remembered how much was sent."""


class Loan:
    """What this process has of one key: see connector.destinations.pacing.Loan."""

    def __init__(self, full: float, ask: Callable[[], None], give_up: Callable[[], None]) -> None:
        """`full`: what the configuration allows for the key; `ask`: see that it is asked for soon;
        `give_up`: that it is given up, waiting for that a moment."""
        self.full = full
        self.share: Share | None = None
        self.is_whole = False
        self.trouble: ConnectorError | None = None
        self.changed: Callable[[], None] = lambda: None
        self.ask, self.give_up = ask, give_up
        self.busy_until: float | None = None
        """The destination was busy, and nobody has been told yet."""
        self.unused = 0
        self._wanted, self._sent, self._asked = -IDLE, 0, time.monotonic()
        self._lately = deque[float](maxlen=REMEMBERED)

    # --- in the event loop ----------------------------------------------------------------------

    def holds(self) -> bool:
        """Whether anything may be sent now."""
        share = self.share
        return self.is_whole or (
            share is not None and share.rate > 0 and not share.is_over(clocks.now())
        )

    def want(self) -> bool:
        """Somebody would send now: whether anything may be sent."""
        self._wanted = time.monotonic()
        if self.holds():
            return True
        self.ask()
        return False

    def sent(self) -> None:
        """Another slot was taken."""
        self._sent += 1

    def busy(self, pause: float) -> None:
        """The destination wants nothing for so many seconds: the others are told."""
        self.busy_until = max(self.busy_until or 0.0, time.monotonic() + pause)
        self.ask()

    # --- in the thread of whoever borrows -------------------------------------------------------

    def is_wanted(self) -> bool:
        """Whether anybody has asked for it lately."""
        return self.unused > 0 or time.monotonic() - self._wanted <= IDLE

    def wish(self) -> float:
        """How much it wants, by what was sent since this was asked last."""
        now, share = time.monotonic(), self.share
        passed, self._asked = max(now - self._asked, 1e-3), now
        sent, self._sent = self._sent, 0
        self._lately.append(sent / passed)
        if share is None or not share.rate:
            return self.full
        return wish(self.full, share.rate, max(self._lately))
