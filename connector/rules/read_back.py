"""What a destination shows when it is asked, and what that says of a row in doubt."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connector.basis import dataclass


@dataclass(frozen=True, slots=True)
class Stored:
    """An interaction as the destination shows it. `created` None: not readable as a time;
    `reference`: the row's own, where it was sent along and is shown. `readable`: its payload is
    shown; `zoned`: so is the zone of its time."""

    id: str
    created: datetime | None
    payload: Mapping[str, Any]
    reference: str = ""
    readable: bool = True
    zoned: bool = True


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a destination shows. `gap` says why there may be more; None when this is all.
    `answered` False: it gave no answer, however often it was asked."""

    stored: Sequence[Stored]
    gap: str | None
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Shown:
    """The one interaction that was asked for, and whom it is about."""

    contact_id: str
    stored: Stored


@dataclass(frozen=True, slots=True)
class Unread:
    """The destination does not say whether it has an interaction. `answered` as in ReadBack."""

    reason: str
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Here:
    """The row's interaction is at the destination, or counts as being there. `how`: the word for
    that in the row's story; `interaction_id` None where the destination gives none. `unlike`: it
    carries the row's key, and says something else than what was asked for."""

    interaction_id: str | None
    how: str = "found"
    unlike: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing at the destination can be the row's interaction. `like`: interactions that look like
    it to the letter, and belong to other rows. `how`: the word in the row's story."""

    like: Sequence[str] = ()
    how: str = "absent"


@dataclass(frozen=True, slots=True)
class Underway:
    """The destination has the row and is not done with it; it may be asked again in `next_in`."""

    next_in: timedelta


@dataclass(frozen=True, slots=True)
class Split:
    """Nothing of the request is at the destination, and all that it ever answered was a refusal of
    the whole. Once that may be believed, as of Absent, the rows go again in halves; a row that was
    alone is rejected."""

    reason: str


@dataclass(frozen=True, slots=True)
class TurnedDown:
    """The destination had the row, and says that it was not stored."""

    reason: str


@dataclass(frozen=True, slots=True)
class Undecided:
    """Only a person can say. `lasting`: asking again will not help."""

    reason: str
    lasting: bool = False


Verdict = Here | Absent | Split | Underway | TurnedDown | Undecided | Unread
"""What a destination says of a row in doubt. Unread: it did not show all, so it stays in doubt."""
