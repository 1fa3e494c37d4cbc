"""The requests of the last second, by when they were written.

Slots are as far apart as the rate has it. But on a busy machine a request may be written long after
its slot began, and the next ones in time: then one second has more than the rate.
"""

from collections import deque

SECOND = 1.002
"""A second, and by how much requests may come closer to each other on their way."""


class SentLately:
    """When requests were written lately, in seconds of a clock that nobody sets."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self, now: float) -> None:
        """Another one is written."""
        self._times.append(now)
        while self._times[0] < now - SECOND:
            self._times.popleft()

    def wait(self, rate: float, now: float) -> float:
        """Seconds until another one may be written; not above 0 when it may be now. `rate`: of
        requests in a second."""
        most = max(1, int(rate))
        if len(self._times) < most:
            return 0.0
        return self._times[-most] + SECOND * min(1.0, most / rate) - now
