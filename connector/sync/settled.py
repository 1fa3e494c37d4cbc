"""What a round of settling brought, by rows or by requests."""

from collections import Counter
from dataclasses import field
from datetime import timedelta
from typing import Protocol

from connector.basis import dataclass
from connector.ledger.records import Tally
from connector.rules import clocks
from connector.rules.absence import Age
from connector.rules.interaction import instant_text
from connector.rules.trial import NOTE
from connector.rules.words import rows

NUMBERS = (
    *("delivered", "absent", "rejected", "resent", "assumed", "later", "taken", "beside_trials"),
    "unread",
    "young",
)
UNREAD = (
    "{rows} in doubt cannot be settled as long as the destination does not show what it has"
    " ({reason}); each run asks again"
)


@dataclass(slots=True)
class Settled:
    """What a round of settling brought. `next_in`: how long until the next doubt may be believed
    absent; None when none is waited for."""

    delivered: int = 0
    absent: int = 0
    rejected: int = 0
    resent: int = 0
    assumed: int = 0
    later: int = 0
    """Those that are not there again, and are left to the next run."""
    taken: int = 0
    """Those of all that the destination had taken over before."""
    beside_trials: int = 0
    """Those of which nothing is said, since a test or a probe may look like them."""
    unread: Counter[str] = field(default_factory=Counter)
    """How many stay in doubt since the destination did not show all, by why it did not."""
    next_in: timedelta | None = None
    young: int = 0
    """Those in doubt that are waited for; the first of them for as long as `young_for`."""
    young_for: timedelta | None = None

    def add(self, other: "Settled") -> None:
        """Count what another round brought with this one's."""
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.next_in is not None:
            self.wait_for(other.next_in)
        self.young_for = earlier(self.young_for, other.young_for)

    def not_there(self, anew: bool) -> None:
        """Count a row that is pending again. `anew`: this run sends it again."""
        self.absent, self.later = self.absent + anew, self.later + (not anew)

    def tell(self, tally: Tally) -> None:
        """Put what keeps doubts from being settled into the tally of a run, in the place of what
        an earlier round has put there."""
        notes = tally.notes
        notes[:] = [note for note in notes if note != NOTE and not is_unread(note)]
        tally.too_young, at = self.young, self.young_for and clocks.wall() + self.young_for
        tally.next_settling = instant_text(at) if at else None
        if self.beside_trials:
            notes.append(NOTE)
        if self.unread:
            ((reason, _),) = self.unread.most_common(1)
            notes.append(UNREAD.format(rows=rows(self.unread.total()), reason=reason))

    def wait_for(self, span: timedelta, young: int = 0) -> None:
        """Something may be settled after `span`, so many rows in doubt (`young`) with it."""
        self.next_in = earlier(self.next_in, span)
        if young:
            self.young, self.young_for = self.young + young, earlier(self.young_for, span)


def earlier(one: timedelta | None, other: timedelta | None) -> timedelta | None:
    """The shorter of the two, as far as there are any."""
    return min((span for span in (one, other) if span is not None), default=None)


def is_unread(note: str) -> bool:
    """Whether a note says that doubts cannot be settled for what the destination does not show."""
    return UNREAD.split("}")[1].split("{")[0] in note


def since(then: int | None, now: int | None) -> timedelta | None:
    """How long ago `then` was, in milliseconds of one clock; None where one is not known."""
    return None if then is None or now is None else timedelta(milliseconds=now - then)


class Clocked(Protocol):
    """An attempt with what is known of when it was made: see `Doubt`."""

    @property
    def boot(self) -> int | None: ...

    @property
    def boot_at(self) -> int | None: ...

    @property
    def destination_at(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """When a destination is asked, before it is: by the clock of this `boot` and by its own."""

    boot: int
    here_at: int
    there_at: int | None

    def age(self, of: Clocked, database: timedelta) -> Age:
        """How old an attempt is then. `database`: by the ledger's clock."""
        here = since(of.boot_at, self.here_at) if of.boot == self.boot else None
        return Age(
            database=database,
            destination=since(of.destination_at, self.there_at),
            # a virtual machine that was put back to a snapshot has its boot, and an earlier time
            boot=None if here is None or here < timedelta(0) else here,
        )
