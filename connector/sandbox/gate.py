"""Who may come in at all: this machine only, and so many requests a second."""

import ipaddress
import math
from email.utils import formatdate

from connector.sandbox.behaviour import Common


def is_loopback(host: str | None) -> bool:
    """Say whether a host name or address is this machine, and cannot be another one."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def retry_after(behaviour: Common, now: float) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of a 429: Retry-After, if the behaviour has one."""
    if behaviour.retry_after is None:
        return ()
    # Both forms know whole seconds only; rounded up, since too early would be a lie.
    text = str(math.ceil(behaviour.retry_after))
    if behaviour.retry_after_form == "date":
        text = formatdate(math.ceil(now + behaviour.retry_after), usegmt=True)
    return ((b"retry-after", text.encode()),)


class TokenBucket:
    """Lets `rate` requests through in a second, and as many at once after a pause."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = max(rate, 1.0)
        self._filled = now

    def take(self, now: float) -> bool:
        """Say whether one more request may pass, and count it if so."""
        gained = max(0.0, now - self._filled) * self._rate
        self._tokens = min(max(self._rate, 1.0), self._tokens + gained)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
