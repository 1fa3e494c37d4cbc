"""Bring a destination's schemas to what the project's files say. Creates; deletes only by name.

Engage has no request that changes a schema. So a schema is created, is there already, or has become
another one, which only its user can decide about. What a request did is never taken from its answer
alone: the schema is read back.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from connector.destinations.port import AnyDestination, Applied, SchemaOutcome
from connector.ledger.reports import Document
from connector.rules.activation import Activation
from connector.rules.definition import MOST_SCHEMAS, Definition, capitals_clash
from connector.rules.delivery import NotApplied, Refused, State, Unknown
from connector.rules.difference import Difference, difference, next_version, versions
from connector.rules.errors import ConfigurationError, DestinationUnusable

PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each look for what a request did; nothing says how soon Engage shows it."""

NOT_SENT_YET = (State.PENDING, State.WAITING, State.SENDING)


class Action(StrEnum):
    """What a schema of the project needs."""

    CREATE = "create"
    UNCHANGED = "unchanged"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Use:
    """An activation that sends interactions of a schema. `paused` None: it is not configured any
    more, and only the ledger knows it. `counts`: its rows in the ledger, by state."""

    activation: str
    paused: bool | None
    counts: Mapping[str, int]

    @property
    def delivered(self) -> int:
        """How many interactions the destination is known to have."""
        return self.counts.get(State.DELIVERED, 0)

    @property
    def in_doubt(self) -> int:
        """How many more it may have."""
        return self.counts.get(State.IN_DOUBT, 0)

    @property
    def to_be_sent(self) -> int:
        """How many are still to come."""
        return sum(self.counts.get(state, 0) for state in NOT_SENT_YET)


@dataclass(frozen=True, slots=True)
class Version:
    """The sibling that a changed schema can become. `live`: it is there already, as the file has
    it."""

    id: str
    live: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What one schema of the project needs at the destination, and what that would touch."""

    local: Definition
    live: Definition | None
    uses: Sequence[Use]
    version: Version

    @property
    def action(self) -> Action:
        """What is to be done."""
        if self.live is None:
            return Action.CREATE
        return Action.CHANGED if self.difference else Action.UNCHANGED

    @property
    def difference(self) -> Difference:
        """In what the file differs from the live schema."""
        return difference(self.live, self.local) if self.live else Difference()

    @property
    def as_version(self) -> Definition:
        """What the file holds, under the id of the next version."""
        return Definition(self.version.id, self.local.display_name, self.local.json_schema)

    @property
    def interactions(self) -> int:
        """How many interactions of this schema the ledger knows at the destination."""
        return sum(use.delivered for use in self.uses)


class Status(StrEnum):
    """How a request about a schema ended."""

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
    """What became of one schema."""

    schema_id: str
    status: Status
    message: str = ""


def plan(
    local: Mapping[str, Definition],
    live: Sequence[Definition],
    uses: Mapping[str, Sequence[Use]],
    reserved: Collection[str] = (),
) -> list[Step]:
    """What each of `local` needs, given what is `live` and who uses it.

    `reserved` are ids that no new version may take. Raises ConfigurationError for an id that
    differs from a live one in capitals only.
    """
    by_id = {definition.id: definition for definition in live}
    clashes = [clash for schema_id in local if (clash := capitals_clash(schema_id, by_id))]
    if clashes:
        raise ConfigurationError(*clashes)
    taken = {*by_id, *local, *reserved}
    return [
        Step(
            local=definition,
            live=by_id.get(schema_id),
            uses=uses.get(schema_id.casefold(), ()),
            version=_version(definition, by_id, taken),
        )
        for schema_id, definition in local.items()
    ]


def too_many(live: int, more: int) -> str | None:
    """Why `more` schemas cannot be created beside `live` ones."""
    if not more or live + more <= MOST_SCHEMAS:
        return None
    return (
        f"{live} schemas are there and {more} would be created, but an environment of Engage may"
        f" have {MOST_SCHEMAS}"
    )


def uses_by_schema(
    activations: Iterable[Activation], recorded: Sequence[Document]
) -> dict[str, list[Use]]:
    """Who uses each schema, by its id in small letters: `activations` of the configuration, and
    those that the ledger has `recorded` rows of."""
    found: dict[str, list[Use]] = {}
    counts = {(r["activation"], r["schema_id"].casefold()): r["counts"] for r in recorded}
    for activation in activations:
        key = (activation.name, activation.target.casefold())
        use = Use(activation.name, activation.paused, counts.pop(key, {}))
        found.setdefault(key[1], []).append(use)
    for (name, schema_id), former in counts.items():
        found.setdefault(schema_id, []).append(Use(name, None, former))
    return found


async def create(definition: Definition, engage: AnyDestination) -> Result:
    """Create a schema unless it is there, and read it back. Never posts twice.

    Raises DestinationUnusable, with nothing created, when the key is refused or nothing answers.
    """
    live = await engage.definition(definition.id)
    if live is not None:
        return _as_found(definition, live)
    outcome = await engage.create_schema(definition)
    if isinstance(outcome, NotApplied):
        return Result(definition.id, Status.NOT_APPLIED, outcome.reason)
    try:
        found = await _look_for(definition.id, engage, _patience(outcome))
    except DestinationUnusable as error:
        return Result(definition.id, Status.UNKNOWN, f"{error}; {LOOK_AGAIN}")
    return _missing(definition, outcome) if found is None else _made(definition, found, outcome)


async def delete(
    schema_id: str, engage: AnyDestination, last_look: Callable[[], str | None] = lambda: None
) -> Result:
    """Delete a schema with all its interactions, and see that it is gone. Never asks twice, and
    not when the `last_look`, taken directly before, gives a reason.

    Raises DestinationUnusable, with nothing deleted, when the key is refused.
    """
    outcome = await engage.delete_schema(schema_id, last_look)
    if isinstance(outcome, NotApplied):
        return Result(schema_id, Status.NOT_APPLIED, outcome.reason)
    try:
        gone = await _is_gone(schema_id, engage, _patience(outcome))
    except DestinationUnusable as error:
        return Result(schema_id, Status.UNKNOWN, f"it may be deleted, but: {error}")
    match outcome:
        case _ if gone:
            return Result(schema_id, Status.DELETED)
        case Refused(reason):
            return Result(schema_id, Status.REFUSED, f"the destination refuses it: {reason}")
        case Unknown(reason):
            return Result(schema_id, Status.UNKNOWN, f"{reason}; it is still there, for now")
        case Applied():
            return Result(schema_id, Status.UNKNOWN, "accepted, but it is still there, for now")


LOOK_AGAIN = "running it again is safe, since it looks before it creates"


def _patience(outcome: Applied | Refused | Unknown) -> Sequence[float]:
    """A refusal is final; anything else may show late."""
    return PAUSES[:1] if isinstance(outcome, Refused) else PAUSES


async def _look_for(
    schema_id: str, engage: AnyDestination, pauses: Sequence[float]
) -> Definition | None:
    for pause in pauses:
        await asyncio.sleep(pause)
        if found := await engage.definition(schema_id):
            return found
    return None


async def _is_gone(schema_id: str, engage: AnyDestination, pauses: Sequence[float]) -> bool:
    for pause in pauses:
        await asyncio.sleep(pause)
        if schema_id not in await engage.schema_ids():
            return True
    return False


def _missing(definition: Definition, outcome: Applied | Refused | Unknown) -> Result:
    match outcome:
        case Refused(reason):
            return Result(definition.id, Status.REFUSED, f"the destination refuses it: {reason}")
        case Unknown(reason):
            return Result(definition.id, Status.UNKNOWN, f"{reason}; {LOOK_AGAIN}")
        case Applied():
            reason = "the destination accepted it and does not show it"
            return Result(definition.id, Status.UNKNOWN, f"{reason}; {LOOK_AGAIN}")


def _made(definition: Definition, found: Definition, outcome: SchemaOutcome) -> Result:
    if isinstance(outcome, Refused):  # somebody else created one meanwhile
        return _as_found(definition, found)
    if changed := difference(definition, found):
        kept = f"created, but the destination keeps it differently: {changed}"
        return Result(definition.id, Status.KEPT_DIFFERENTLY, kept)
    return Result(definition.id, Status.CREATED)


def _as_found(definition: Definition, live: Definition) -> Result:
    if difference(live, definition):
        reason = f"another schema {live.id} is there"
        return Result(definition.id, Status.REFUSED, reason)
    return Result(definition.id, Status.UNCHANGED)


def _version(local: Definition, live: Mapping[str, Definition], taken: Collection[str]) -> Version:
    """The latest live version that is as the file has it, or the next free id."""
    for schema_id in reversed(versions(local.id, live)):
        if not difference(live[schema_id], local):
            return Version(schema_id, live=True)
    return Version(next_version(local.id, taken), live=False)
