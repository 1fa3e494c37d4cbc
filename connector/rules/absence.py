"""When "not there" may be believed: two clocks have to agree that the request is old enough.

An attempt that is younger than the wait may still be on its way, or hidden from the read-back. One
clock cannot say so alone, for a clock that steps makes a young attempt old. There are three:

* the database's, which may step;
* the destination's, from the `Date` of its answers: it may step too, be missing, or be nonsense;
* the boot-time clock of this machine, which nobody sets and which never runs ahead; it is known
  only where the attempt was opened, or its doubt was seen before, since the same boot.
"""

from datetime import timedelta

from connector.basis import dataclass

NOTHING = timedelta(0)
SEND_WITHIN = 5.0
"""Most seconds from opening an attempt to its first byte, by whichever clock. A process that was
frozen in between must not send any more: somebody may have settled the row meanwhile. After a jump
of the clocks it does not send either: nobody knows how long it was. The row goes back, and the
attempt that is opened for it next proves in the ledger that the run still holds it."""


def send_within(settle_after: timedelta) -> float:
    """Seconds from opening an attempt, or from putting a deletion on record, to its first byte at
    most: half of the wait at least is left for the way there, and for what the destination needs to
    store and to show it."""
    return min(SEND_WITHIN, settle_after.total_seconds() / 2)


@dataclass(frozen=True, slots=True)
class Age:
    """How old an attempt is, by each clock: none says more than it knows. `destination`: None where
    its clock was not known then, or is not now. `boot`: None on another boot, or machine."""

    database: timedelta
    destination: timedelta | None = None
    boot: timedelta | None = None


def believed_in(age: Age, wait: timedelta) -> timedelta:
    """How long until the absence may be believed, as things stand; below 0: it is believed.

    The boot-time clock, where it is known, and one of the others; or else both of them. A clock
    of the database that was set back says nothing until it has caught up: then, without a
    destination's clock, the boot-time clock alone has to say so twice over.
    """
    others = [age.database] if age.destination is None else [age.database, age.destination]
    oldest, youngest = max(others), min(others)
    if age.boot is None:
        by_both = wait - youngest if len(others) > 1 else timedelta.max
        return min(by_both, max(wait, wait - oldest))  # the latter once it is seen again, here
    if oldest < NOTHING:
        return 2 * wait - age.boot
    return max(wait - age.boot, wait - oldest)


def wants_another_look(age: Age, wait: timedelta) -> bool:
    """Whether this boot's clock has to be brought in, from now on: the others are not enough, and
    waiting alone will not make them agree."""
    if age.boot is not None:
        return False
    if age.destination is None:
        return True
    return (age.database > wait) != (age.destination > wait) or age.database < NOTHING
