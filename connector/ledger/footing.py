"""What a run knows of the ledger that it stands on; each of its transactions is compared with it.

A ledger may go back while a run sends: a failover to a replica that is behind, a copy put over the
file. The lease counts every transaction of its holder, and the holder remembers which of them were
committed. So a ledger that has forgotten one of them is seen by the very next, whatever the clocks
and however young the copy is; and since each attempt is put on record in such a transaction, before
its first byte, nothing is sent from a ledger that has forgotten a send of this run.
"""

from dataclasses import dataclass, field
from threading import Lock

from connector.ledger.generation import Generation, GenerationFile
from connector.rules.errors import LeaseLost, LedgerChanged


@dataclass(frozen=True, slots=True)
class Seen:
    """What one transaction saw: which ledger, its generation, the writes that the lease counts with
    this one, and PostgreSQL's timeline."""

    ledger: str | None
    number: int | None
    writes: int
    timeline: str | None = None


@dataclass(slots=True)
class Footing:
    """The ledger as one run has seen it. Shared by the threads of the run."""

    activation: str
    fence: int
    ledger: str
    number: int
    """The highest generation that is known to be committed."""
    writes: int
    """The same of the writes that the lease counts."""
    timeline: str | None = None
    file: GenerationFile | None = None
    lost: LedgerChanged | None = None
    """What was seen first that must not be: nothing is begun any more."""
    marked: bool = False
    """The ledger has been marked since."""
    _lock: Lock = field(default_factory=Lock)

    def known(self) -> Seen:
        """What is known to be committed; to be taken before a transaction looks."""
        with self._lock:
            return Seen(self.ledger, self.number, self.writes, self.timeline)

    def compare(self, before: Seen, now: Seen) -> None:
        """Raises LedgerChanged when what a transaction sees `now` contradicts what was known."""
        if self.lost:
            raise self.lost
        if reason := _difference(before, now):
            raise self.lose(reason)

    def lose(self, reason: str) -> LedgerChanged:
        """What is raised now and ever after. The next run knows it, even if this one can tell the
        ledger nothing any more."""
        if self.lost is None:
            self.lost = LedgerChanged(reason)
            if self.file:
                self.file.accuse(self.ledger, reason)
        return self.lost

    def wrote(self, writes: int) -> None:
        """So many are committed. Raises LeaseLost when somebody else has written since: a ledger
        that went back may call a lease valid that another run had taken over."""
        with self._lock:
            self.writes = max(self.writes, writes)
            alone = self.file is None or self.file.written(
                self.ledger, self.activation, self.fence, self.writes
            )
        if not alone:
            raise LeaseLost(
                f'another run took over "{self.activation}" while this one was silent; it stops'
            )

    def counted(self, generation: Generation) -> None:
        """The ledger has come to this generation."""
        with self._lock:
            self.number = max(self.number, generation.number)
        if self.file:
            self.file.raise_to(self.ledger, generation.number)


def _difference(before: Seen, now: Seen) -> str | None:
    if now.ledger != before.ledger:
        return "it is another ledger now"
    if before.timeline and now.timeline and before.timeline != now.timeline:
        return f"PostgreSQL is on timeline {now.timeline} and was on {before.timeline}"
    if now.writes <= before.writes:
        lost = before.writes - now.writes + 1
        return f"it has forgotten the last {lost} of {before.writes} times that this run wrote"
    if (now.number or 0) < (before.number or 0):
        return f"it is at generation {now.number} and was at {before.number} before"
    return None
