"""What a round of settling brought, by rows or by requests."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(slots=True)
class Settled:
    """What a round of settling brought. `next_in`: how long until the next doubt may be believed
    absent; None when none is waited for."""

    delivered: int = 0
    absent: int = 0
    rejected: int = 0
    resent: int = 0
    assumed: int = 0
    taken: int = 0
    """Those of all that the destination had taken over before."""
    beside_trials: int = 0
    """Those of which nothing is said, since a test or a probe may look like them."""
    next_in: timedelta | None = None

    def add(self, other: "Settled") -> None:
        """Count what another round brought with this one's."""
        numbers = ("delivered", "absent", "rejected", "resent", "assumed", "taken", "beside_trials")
        for name in numbers:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.next_in is not None:
            self.wait_for(other.next_in)

    def wait_for(self, span: timedelta) -> None:
        """Some doubt may be settled after `span`."""
        self.next_in = span if self.next_in is None else min(self.next_in, span)


def since(then: int | None, now: int | None) -> timedelta | None:
    """How long ago `then` was, in milliseconds of one clock; None where one is not known."""
    return None if then is None or now is None else timedelta(milliseconds=now - then)
