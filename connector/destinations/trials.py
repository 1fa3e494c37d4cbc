"""The port's part for interactions that are no rows': tests, and the measuring of a destination."""

from collections.abc import Callable, Sequence
from typing import Protocol

from connector.rules.delivery import Outcome
from connector.rules.probing import Answered, Prospect, Question
from connector.rules.trial import LeftTrial, Trial


class Trials(Protocol):
    """Interactions that are no rows' (connector.rules.trial), on record before they are sent. What
    one has made is found by its id, or by what is on record of it, and taken back."""

    async def open(self, trial: Trial) -> int:
        """Put a trial on record, committed, before its first byte; its number."""

    def last_look(self, number: int) -> Callable[[], str | None]:
        """Why the request of this trial must not go out any more: whoever comes after may have
        found it absent meanwhile."""

    async def close(self, number: int, interaction_id: str | None, outcome: Outcome) -> bool:
        """Record the answer: from now on `interaction_id` is the trial's own; Refused and
        NotApplied end it. False where the id is that of a row, or of a trial that is gone: the
        answer proves nothing then, and nothing may be deleted under this id."""

    async def adopt(self, number: int, interaction_id: str) -> bool:
        """An interaction that was found is that of the trial, which is open and has none. False
        where it is another's by now."""

    async def removed(self, *numbers: int) -> None:
        """What they have made is gone, for certain: deleted, and not found by its id any more."""

    async def absent(self, *numbers: int) -> None:
        """They have made nothing, for certain."""

    async def kept(self, *numbers: int) -> None:
        """What they have made is meant to stay."""

    async def left(self) -> Sequence[LeftTrial]:
        """The trials at this place that are not at their end, the oldest first; those of calls
        that may still be going on among them (`living`)."""


class Probe(Protocol):
    """One measuring of one destination."""

    @property
    def questions(self) -> Sequence[Question]:
        """All that is asked."""
        ...

    async def prospect(self) -> Prospect:
        """What it will do. Asks, and changes nothing. Raises ConfigurationError where it cannot be
        done with this subject, DestinationUnusable where nothing answers."""
        ...

    async def answers(
        self, trials: Trials, tell: Callable[[str, int, int], None]
    ) -> list[Answered]:
        """Ask all questions. What was made meanwhile is on record in `trials`, and not all of it
        taken back yet. `tell`: what is going on, and how much of how many is done. Raises
        Interrupted as soon as it is to stop, and what a destination raises."""
        ...
