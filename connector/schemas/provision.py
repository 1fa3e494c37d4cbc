"""Create or delete one schema. What a request did is never taken from its answer alone: the schema
is looked for afterwards."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import TypeVar

from connector.basis import dataclass
from connector.destinations.port import Applied, SchemaStore
from connector.rules.definition import Definition
from connector.rules.delivery import NotApplied, Refused, Unknown
from connector.rules.difference import difference
from connector.rules.errors import DestinationUnusable

T = TypeVar("T")
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each look for what a request did; nothing says how soon Engage shows it."""
LOOK_AGAIN = "running it again is safe, since it looks before it creates"


class Status(StrEnum):
    CREATED = "created"
    DELETED = "deleted"
    UNCHANGED = "unchanged"
    """It was as it should be: nothing was sent."""
    KEPT_DIFFERENTLY = "kept_differently"
    """Created, and read back as something else than what was sent."""
    REFUSED = "refused"
    """By us, or by the destination: nothing was done."""
    NOT_APPLIED = "not_applied"
    """Certainly not done, and it may work the next time."""
    UNKNOWN = "unknown"
    """No trustworthy answer came, and what was asked for does not show."""


EXIT_CODES = {
    Status.REFUSED: 1,
    Status.KEPT_DIFFERENTLY: 1,
    Status.NOT_APPLIED: 3,
    Status.UNKNOWN: 3,
}


@dataclass(frozen=True, slots=True)
class Result:
    schema_id: str
    status: Status
    message: str = ""

    @property
    def exit_code(self) -> int:
        """1: a person has to look at it; 3: running it again may help."""
        return EXIT_CODES.get(self.status, 0)


async def create(definition: Definition, store: SchemaStore) -> Result:
    """Create a schema unless it is there, and read it back. Never posts twice.

    Raises DestinationUnusable, with nothing created, when the key is refused or nothing answers.
    """
    key = definition.id
    if live := await store.definition(key):
        return _as_found(definition, live)
    outcome = await store.create_schema(definition)
    if isinstance(outcome, NotApplied):
        return Result(key, Status.NOT_APPLIED, outcome.reason)
    try:
        found = await _look_for(lambda: store.definition(key), outcome)
    except DestinationUnusable as error:
        return Result(key, Status.UNKNOWN, f"{error}; {LOOK_AGAIN}")
    match outcome:
        case Refused() if found:  # somebody else has created one meanwhile
            return _as_found(definition, found)
        case Refused(reason):
            return Result(key, Status.REFUSED, f"the destination refuses it: {reason}")
        case _ if found and (changed := difference(definition, found)):
            kept = f"created, but the destination keeps it differently: {changed}"
            return Result(key, Status.KEPT_DIFFERENTLY, kept)
        case _ if found:
            return Result(key, Status.CREATED)
        case Unknown(reason):
            return Result(key, Status.UNKNOWN, f"{reason}; {LOOK_AGAIN}")
        case Applied():
            reason = "the destination accepted it and does not show it"
            return Result(key, Status.UNKNOWN, f"{reason}; {LOOK_AGAIN}")


async def delete(
    schema_id: str, store: SchemaStore, last_look: Callable[[], str | None] = lambda: None
) -> Result:
    """Delete a schema with all its interactions, and see that it is gone. Never asks twice, and
    not when the `last_look`, taken directly before, gives a reason.

    Raises DestinationUnusable, with nothing deleted, when the key is refused.
    """

    async def gone() -> bool:
        return schema_id not in await store.schema_ids()

    outcome = await store.delete_schema(schema_id, last_look)
    if isinstance(outcome, NotApplied):
        return Result(schema_id, Status.NOT_APPLIED, outcome.reason)
    try:
        is_gone = await _look_for(gone, outcome)
    except DestinationUnusable as error:
        return Result(schema_id, Status.UNKNOWN, f"it may be deleted, but: {error}")
    match outcome:
        case _ if is_gone:
            return Result(schema_id, Status.DELETED)
        case Refused(reason):
            return Result(schema_id, Status.REFUSED, f"the destination refuses it: {reason}")
        case Unknown(reason):
            return Result(schema_id, Status.UNKNOWN, f"{reason}; it is still there, for now")
        case Applied():
            return Result(schema_id, Status.UNKNOWN, "accepted, but it is still there, for now")


async def _look_for(
    look: Callable[[], Awaitable[T]], outcome: Applied | Refused | Unknown
) -> T | None:
    """What `look` finds. A refusal is final; anything else may show late."""
    pauses: Sequence[float] = PAUSES[:1] if isinstance(outcome, Refused) else PAUSES
    for pause in pauses:
        await asyncio.sleep(pause)
        if found := await look():
            return found
    return None


def _as_found(definition: Definition, live: Definition) -> Result:
    if difference(live, definition):
        return Result(definition.id, Status.REFUSED, f"another schema {live.id} is there")
    return Result(definition.id, Status.UNCHANGED)
