"""A trial: an interaction at a destination that is no row's, and how it ends.

`connector probe` makes some to see how a destination behaves, `connector send` makes one to show
what becomes of a row. Each is on record before its first byte leaves, so that whoever comes after
a crash finds it; its id, as soon as it is known, belongs to no row.
"""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

import orjson

from connector.basis import dataclass
from connector.rules.interaction import canonical

UNSETTLED = (
    "a test or a probe that was not taken back may look like this row, so nothing is said of it"
    " before that is cleaned up: the next `connector send` or `connector probe` of this destination"
    " does so"
)
"""Why nothing is said of a row in doubt while such a trial is open."""
NOTE = f"{UNSETTLED[:1].upper()}{UNSETTLED[1:]}."
"""The same, for people."""


class Aim(StrEnum):
    """What a trial is made for."""

    PROBE = "probe"
    """To see how the destination behaves."""
    TEST = "test"
    """To see what becomes of a row."""
    SCHEMA = "schema"
    """It is no interaction but the schema `target` itself, made for probes: whoever deletes it
    has deleted all that is in it."""


class TrialState(StrEnum):
    """How a trial stands."""

    OPEN = "open"
    """It is there, or may be, and is to be taken back."""
    REMOVED = "removed"
    """It was there, and is gone."""
    ABSENT = "absent"
    """It never got there."""
    KEPT = "kept"
    """It is there, and is meant to stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is sent, as far as it takes to know it again at the destination."""

    aim: Aim
    target: str
    """What it goes to: a schema, a survey, a touchpoint."""
    contact: str = ""
    """As it is sent."""
    created: str = ""
    """RFC 3339, as it is sent."""
    payload: bytes = b""
    """A flat JSON object, as it is sent."""
    reference: str = ""
    """A mark that it carries and nothing else does; empty where it carries none."""
    activation: str = ""
    """Whose row it is made of, and that row's key; empty where it is made of none."""
    row_key: str = ""
    by: str = ""
    """Who asked for it; not kept with it, since the audit list tells that."""

    def looks_like(
        self, contact: str, row: tuple[str, str], payload: str, plain: Callable[[str], str]
    ) -> bool:
        """Whether its interaction could be taken for that of a row: that was sent to the same
        contact, or is the very row, or says the same, since contacts are merged. `plain`: the one
        writing of a contact."""
        if plain(contact) == plain(self.contact) or row == (self.activation, self.row_key):
            return True
        return canonical(orjson.loads(payload)) == canonical(orjson.loads(self.payload or b"{}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftTrial:
    """A trial that is not at its end."""

    number: int
    trial: Trial
    interaction_id: str | None
    """What the destination called it; None: not known, nor whether it got there."""
    age: timedelta
    """Since it was put on record, by the database's clock; the other clocks are those of attempts
    (connector.rules.absence), in milliseconds."""
    boot: int | None
    boot_at: int | None
    destination_at: int | None
    living: bool
    """The process that made it may still be at work on it."""
