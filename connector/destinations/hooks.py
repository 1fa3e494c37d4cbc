"""What is called while a request is made: to stop, to look once more, to count, to observe."""

from collections.abc import Callable

Stopping = Callable[[], object]
"""Whether somebody has asked to stop: then nothing that may be repeated is begun any more. A text
says that it is too late instead, and why."""
LastLook = Callable[[], str | None]
"""Asked directly before the first byte; gives the reason why the request must not go out."""
InFlight = Callable[[int], None]
"""Told 1 when a request begins, and -1 when it has ended, whatever came of it."""
Observer = Callable[[str, str, float], None]
"""Told each request: its method, the status of its answer ("none" without one) and the seconds."""


class CalledOff(Exception):
    """The last look at a request gave a reason, and not a byte of it was written."""


class SlotOver(CalledOff):
    """The slot in which the request was to go is over, and nothing else is against it: it may go in
    another one."""


class TooEarly(CalledOff):
    """With the request a second would have more than the rate allows: it may go in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("others were written late")
        self.seconds = seconds


def nothing_to_see() -> None:
    """The last look at a request that may go out at any time."""


def uncounted(more: int) -> None:
    """Where nobody counts what is in flight."""


def unobserved(method: str, answer: str, seconds: float) -> None:
    """The observer where nobody observes."""
