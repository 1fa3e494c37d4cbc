"""The destination's clock, as the `Date` of its answers tells it: a second opinion on time.

Nothing is sent on the strength of it alone. It is known within bounds, since an answer says when it
was made in whole seconds, and nobody knows when between the request and its coming that was.
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

from connector.rules.clocks import Moment

COARSE = 2.0
"""Seconds by which a Date may be behind: it has no fractions, and servers write it anew only once a
second."""
STEADY = 5.0
"""Seconds by which an answer may differ from what the one before lets expect: behind one address
there may be several machines."""


class DestinationClock:
    """What time it is at the destination, for as long as its answers agree on that.

    One that stands still, steps or is nonsense is unknown from then on.
    """

    def __init__(self) -> None:
        self._date = 0.0
        self._sent: Moment | None = None
        self._received: Moment | None = None
        self._broken = False

    def saw(self, headers: Mapping[str, str], sent: Moment, received: Moment) -> None:
        """An answer came; between these two moments it was made."""
        text = headers.get("Date")
        if text is None or "Age" in headers:  # a cache gives the date at which it was filled
            return
        date = seconds_of(text)
        if date is None or not self._agrees(date, sent, received):
            self._broken = True
        else:
            self._date, self._sent, self._received = date, sent, received

    def earliest(self, now: Moment) -> int | None:
        """Milliseconds since 1970 at the destination: it is not earlier there."""
        if self._received is None or self._broken:
            return None
        return int((self._date + self._received.shortest_until(now)) * 1000)

    def latest(self, now: Moment) -> int | None:
        """Milliseconds since 1970 at the destination: it is not later there."""
        if self._sent is None or self._broken:
            return None
        return int((self._date + COARSE + _longest(self._sent, now)) * 1000) + 1

    def _agrees(self, date: float, sent: Moment, received: Moment) -> bool:
        if self._sent is None or self._received is None:
            return True
        least = self._date + self._received.shortest_until(sent) - COARSE
        most = self._date + COARSE + _longest(self._sent, received)
        return least - STEADY <= date <= most + STEADY


def _longest(since: Moment, now: Moment) -> float:
    """By the clocks that nobody sets: one that is set forward would let any Date pass."""
    return max(now.monotonic - since.monotonic, now.boot - since.boot)


@lru_cache(maxsize=16)  # many answers of one second
def seconds_of(text: str) -> float | None:
    """A Date as seconds since 1970; None for what is none."""
    try:
        moment = parsedate_to_datetime(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
