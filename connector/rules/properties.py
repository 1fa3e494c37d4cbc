"""Property by property: what is sent of a row beside what a destination shows of it.

What is masked still tells its kind, how long it is, and whether both sides are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connector.basis import dataclass
from connector.rules.deed import Document
from connector.rules.interaction import (
    CREATED,
    PAYLOAD,
    canonical,
    differences,
    differences_in_meaning,
    instant_text,
    same_in_meaning,
)
from connector.rules.read_back import Shown

CONTACT = "contactId"
SAME = "the same"
THERE = "changed at the destination"
HERE = "changed in the warehouse since"
MISSING = "missing there"
DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Sides:
    """One property on both sides; None: it is not there. `why`: in which way they differ."""

    property: str
    ours: Any
    theirs: Any
    same: bool
    why: str = SAME

    def document(self) -> Document:
        return {
            "property": self.property,
            "ours": self.ours,
            "theirs": self.theirs,
            "same": self.same,
            "why": self.why,
        }

    def masked(self) -> "Sides":
        """The same without its values."""
        return replace(self, ours=mask(self.ours), theirs=mask(self.theirs))


@dataclass(frozen=True, slots=True)
class Ours:
    """What is sent of a row: contact, time (RFC 3339) and payload. None: not known."""

    contact: str | None
    created: str | None
    payload: Mapping[str, Any]


def compare(ours: Ours, shown: Shown, same_contact: bool, created_name: str) -> list[Sides]:
    """Every property of either side: those of the payload in the order in which they are sent, then
    what is only shown. `created_name`: how the destination calls the time."""
    stored, found = shown.stored, list[Sides]()
    if ours.contact is not None:
        found.append(_sides(CONTACT, ours.contact, shown.contact_id, same_contact))
    if ours.created is not None:
        theirs = None if stored.created is None else time_text(stored.created)
        then = stored.created is not None and (
            datetime.fromisoformat(ours.created) == stored.created
        )
        found.append(_sides(created_name, ours.created, theirs, then))
    names = dict.fromkeys((*ours.payload, *stored.payload))
    for name in names:
        mine, other = ours.payload.get(name), stored.payload.get(name)
        same = same_in_meaning(mine, other)
        label = f"payload.{name}" if name in (CONTACT, created_name) else name
        found.append(_sides(label, mine, other, same))
    return found


def told_since(
    sides: Sequence[Sides], ours: Ours, shown: Shown, digest: str | None, created_name: str
) -> list[Sides]:
    """The same with what has changed since the row was sent, as far as its `digest` tells."""
    if digest is None:
        return list(sides)
    created = None if ours.created is None else datetime.fromisoformat(ours.created)
    here = differences(digest, created, ours.payload)
    there = differences_in_meaning(digest, shown.stored.created, shown.stored.payload)
    found = []
    for each in sides:
        part = CREATED if each.property == created_name else PAYLOAD
        if each.why == DIFFERS and each.property != CONTACT and (part in here) != (part in there):
            each = replace(each, why=HERE if part in here else THERE)
        found.append(each)
    return found


def since_recorded(recorded: Mapping[str, Any], ours: Ours) -> list[Sides]:
    """Every property of a payload as it was recorded (`theirs`) and as it is now."""
    found = list[Sides]()
    for name in dict.fromkeys((*ours.payload, *recorded)):
        mine, then = ours.payload.get(name), recorded.get(name)
        same = canonical({name: mine}) == canonical({name: then})
        found.append(Sides(name, mine, then, same, SAME if same else HERE))
    return found


def _sides(name: str, ours: Any, theirs: Any, same: bool) -> Sides:
    if same:
        return Sides(name, ours, theirs, True)
    return Sides(name, ours, theirs, False, MISSING if theirs is None else DIFFERS)


def time_text(moment: datetime) -> str:
    """A time as it is shown there, its offset included."""
    if moment.utcoffset():
        return moment.isoformat()
    return instant_text(moment)


def mask(value: Any) -> Any:
    """What `value` is, without saying it."""
    match value:
        case None:
            return None
        case bool():
            return "‹true or false›"
        case int() | float():
            return f"‹number, {_long(value)}›"
        case dict():
            return {name: mask(each) for name, each in value.items()}
        case list():
            return [mask(each) for each in value]
        case _:
            return f"‹text, {_long(value)}›"


def _long(value: Any) -> str:
    number = len(str(value))
    return f"{number} character" if number == 1 else f"{number} characters"
