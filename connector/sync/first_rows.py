"""The rows that a preview shows: the first that a run would send, in its order."""

from collections.abc import Iterable
from heapq import nsmallest
from operator import itemgetter

from connector.rules.interaction import Interaction


class FirstRows:
    """The first of the rows that are added, `most` of them: those that are recorded before those
    that are new, in the order in which they were recorded."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._new: list[tuple[str, Interaction]] = []
        self._recorded: list[tuple[int, str, Interaction]] = []

    def add(self, row_key: str, interaction: Interaction, delivery_id: int | None = None) -> None:
        """One more row. `delivery_id`: under which it is recorded."""
        if delivery_id is not None:
            self._recorded.append((delivery_id, row_key, interaction))
            if len(self._recorded) > 2 * self.most:
                self._recorded = self._first_recorded
        elif len(self._new) < self.most:
            self._new.append((row_key, interaction))

    def wait(self, rows: Iterable[tuple[int, str, str, str, str]]) -> None:
        """Rows that wait in the ledger: id, key, contact, created date and body of each."""
        for delivery_id, row_key, contact, created, payload in rows:
            self.add(row_key, Interaction(contact, created, payload.encode()), delivery_id)

    @property
    def shown(self) -> list[tuple[str, Interaction]]:
        """Each with its key."""
        first = [(row_key, interaction) for _, row_key, interaction in self._first_recorded]
        return [*first, *self._new][: self.most]

    @property
    def _first_recorded(self) -> list[tuple[int, str, Interaction]]:
        return nsmallest(self.most, self._recorded, key=itemgetter(0))
