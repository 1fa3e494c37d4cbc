"""The last look at a request that has its slot: what this process was lent may be over by then, and
others may have been written late."""

from time import monotonic

from connector.destinations.hooks import LastLook, SlotOver, TooEarly
from connector.destinations.pacing import Pacer

NOT_LENT = "what this process was lent of the key's rate is over"


class SlotLook:
    """The last look at a request that has its slot."""

    def __init__(self, pacer: Pacer, last_look: LastLook) -> None:
        self._pacer, self._last_look = pacer, last_look
        self._loan = loan = pacer.loan
        self._open = loan is not None
        if loan is not None:
            loan.unused += 1

    def __call__(self) -> str | None:
        """As every last look; before each piece that is written. Raises SlotOver, and TooEarly."""
        if why_not := self._last_look():
            return why_not
        if self._loan is not None and not self._loan.holds():
            raise SlotOver(NOT_LENT)
        now = monotonic()
        if (wait := self._pacer.sent_lately.wait(self._pacer.rate, now)) > 0:
            raise TooEarly(wait)
        self._pacer.sent_lately.add(now)
        self.close()
        return None

    def close(self) -> None:
        """It is written by now, or never will be."""
        if self._open and self._loan is not None:
            self._loan.unused -= 1
        self._open = False
