"""Rows that a run tries no more, and leaves to the next one."""

from collections.abc import Container
from dataclasses import field

from connector.basis import dataclass
from connector.rules.delivery import State


@dataclass(slots=True)
class NextRuns(Container[int]):
    """Rows by their ids. One whose contact could not be looked up is not looked up again, so that
    an address which the destination cannot answer for stops no other row. One that the destination
    does not have is sent anew by a run once: what shows nothing of a row that it stores would be
    sent it without end by a run that waits."""

    pending: int = 0
    """How many of them are to be sent: the others wait for their contact."""
    absent_again: int = 0
    """How many were not there though this run had sent them anew."""
    takes_back: bool = False
    """Whether a mirror has left what it could not take back yet."""
    told_to_rest: int = 0
    """How many the destination would not have yet, which says nothing of others."""
    why: str | None = None
    """In its words, of the last of these."""
    _rows: set[int] = field(default_factory=set)
    _absent: set[int] = field(default_factory=set)

    def __contains__(self, row: object) -> bool:
        return row in self._rows

    def add(self, row: int, state: State = State.PENDING) -> None:
        """Leave it to the next run."""
        self.pending += state is State.PENDING and row not in self._rows
        self._rows.add(row)

    def rest(self, row: int, reason: str) -> None:
        """The same of one that the destination would not have yet."""
        self.add(row)
        self.told_to_rest += 1
        self.why = reason

    def may_go_anew(self, row: int) -> bool:
        """Whether this run sends a row again, which was found absent just now."""
        if row in self._absent:
            self.absent_again += row not in self._rows
            self.add(row)
            return False
        self._absent.add(row)
        return True
