"""A destination that is silent while interactions are taken back: how long it is asked again."""

from datetime import timedelta

from connector.rules.delivery import Unknown
from connector.rules.errors import DestinationUnusable
from connector.rules.read_back import Unread

MOST_SILENT = 20
"""Requests in a row without an answer that can be used, after which the destination is given up."""
SECOND_LOOK = timedelta(seconds=0.5)
"""How long after all others what was not found is asked for once more."""
PAUSES = (timedelta(seconds=5), timedelta(seconds=15))
"""Before what got no answer is asked again."""


class Silence:
    """Counts the requests in a row that got no useful answer."""

    def __init__(self) -> None:
        self._length = 0

    def heard(self, answer: object) -> None:
        """Note an answer. Raises DestinationUnusable when there were too many without use."""
        if isinstance(answer, Unknown) and answer.unasked:
            return
        if not isinstance(answer, Unknown | Unread):
            self._length = 0
            return
        self._length += 1
        if self._length >= MOST_SILENT:
            raise DestinationUnusable(
                f"{self._length} requests in a row got no answer that can be used (the last:"
                f" {answer.reason})"
            )
