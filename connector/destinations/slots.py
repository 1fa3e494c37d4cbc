"""The last look at a request that has its slot: what this process was lent may be over by then."""

from connector.destinations.hooks import LastLook, SlotOver
from connector.destinations.pacing import Loan

NOT_LENT = "what this process was lent of the key's rate is over"


class SlotLook:
    """The last look at a request that has its slot."""

    def __init__(self, loan: Loan | None, last_look: LastLook) -> None:
        self._loan, self._last_look = loan, last_look
        self._open = loan is not None
        if loan is not None:
            loan.unused += 1

    def __call__(self) -> str | None:
        """As every last look; before each piece that is written. Raises SlotOver."""
        if why_not := self._last_look():
            return why_not
        if self._loan is not None and not self._loan.holds():
            raise SlotOver(NOT_LENT)
        self.close()
        return None

    def close(self) -> None:
        """It is written by now, or never will be."""
        if self._open and self._loan is not None:
            self._loan.unused -= 1
        self._open = False
