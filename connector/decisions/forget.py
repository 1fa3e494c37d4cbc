"""Remove what the ledger holds of a person, and, where that is wanted, their interactions.

Rows that are not delivered hold a contact and a body: they are discarded without them. Delivered
rows hold no contact, so whose they are is asked of the destination. Row keys stay, since they are
what keeps a row from being sent again.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import structlog

from connector.decisions.undo import Silence
from connector.destinations.engage import Engage
from connector.ledger.forgetting import Held
from connector.ledger.records import Run
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger
from connector.rules.activation import Activation, Identifier
from connector.rules.contacts import is_guid, malformed
from connector.rules.delivery import Found, NotApplied, Refused, Removal, Removed, Unknown
from connector.rules.errors import ConfigurationError, ConnectorError, DestinationUnusable
from connector.sync.flow import leased
from connector.sync.side_by_side import Stop, side_by_side
from connector.sync.thread import LedgerThread

log = structlog.get_logger()

Homes = Mapping[str, tuple[str, str]]
"""By activation: the name of its destination, and its schema."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """An interaction of the person, and the row that it belongs to."""

    interaction_id: str
    row: Held
    destination: str


@dataclass(slots=True)
class Plan:
    """What forgetting somebody would do. `interactions` is None where they are to stay."""

    names: tuple[str, ...]
    rows: list[Held] = field(default_factory=list)
    keys: int = 0
    """Row keys that hold one of the names themselves; they stay."""
    interactions: list[Theirs] | None = None
    foreign: int = 0
    """Interactions of the person that no row of the ledger owns; they stay."""
    unknown: list[str] = field(default_factory=list)
    """Destinations that have no contact with such a name, so nothing can be found there."""

    @property
    def states(self) -> dict[str, int]:
        """How many rows hold something of the person, by state."""
        return dict(Counter(row.state.value for row in self.rows))

    @property
    def activations(self) -> list[str]:
        """The activations that something is removed from."""
        theirs = [their.row for their in self.interactions or ()]
        return sorted({row.activation for row in (*self.rows, *theirs)})


@dataclass(slots=True)
class Forgotten:
    """What was done."""

    rows: int = 0
    deleted: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Row keys of interactions that the destination would not delete, and its words."""
    unknown: bool = False
    """Somewhere nobody goes with what was given, so interactions could not be looked for."""
    overwritten: bool = False
    """Nothing of it stands in the ledger's own files any more; where the database is a server's,
    that is the server's to do."""
    restored: str | None = None
    """What says that the ledger was put back from a backup, if that was seen only now."""
    error: ConnectorError | None = None

    @property
    def exit_code(self) -> int:
        """0, or 1 when something may be left, or that of what stopped it."""
        return self.error.exit_code if self.error else int(self.unknown or bool(self.refused))


# --- the plan -----------------------------------------------------------------------------------


def plan(reports: Reports, names: Sequence[str], activations: Collection[str]) -> Plan:
    """What the ledger holds of the person with these names."""
    rows = reports.held_of(names, activations)
    return Plan(tuple(names), rows, reports.keys_holding(names, activations))


async def find_interactions(
    found: Plan,
    reports: Reports,
    homes: Homes,
    configured: Mapping[str, Activation],
    engages: Mapping[str, Engage],
) -> None:
    """Add to the plan the person's interactions that belong to rows of the activations in `homes`.

    Raises ConfigurationError when the names are those of several contacts, DestinationUnusable
    when the destination cannot say whose they are.
    """
    found.interactions = []
    everybody: set[str] = set()
    for destination, engage in engages.items():
        here = {name: schema for name, (where, schema) in homes.items() if where == destination}
        mappings = [configured[name] for name in here if name in configured]
        contacts = await _contacts(found, set(here), mappings, engage)
        if not contacts:
            found.unknown.append(destination)
        for schema_id in sorted(set(here.values())):
            if await engage.schema(schema_id):  # its interactions went with a schema that is gone
                for contact_id in sorted(contacts):
                    ids = await _ids(contact_id, schema_id, engage)
                    owned = await asyncio.to_thread(reports.owned_rows, ids, set(here))
                    found.interactions += [Theirs(i, row, destination) for i, row in owned.items()]
                    ours = await asyncio.to_thread(reports.owned, min(here), ids)
                    found.foreign += len(ids - ours)
        everybody |= contacts
    # who it is is known now: other rows may be theirs, too, under the contact's own id
    names = tuple(dict.fromkeys((*found.names, *sorted(everybody))))
    known = await asyncio.to_thread(plan, reports, names, list(homes))
    found.names, found.rows, found.keys = known.names, known.rows, known.keys


async def _ids(contact_id: str, schema_id: str, engage: Engage) -> set[str]:
    """All interactions of the contact and schema. Raises DestinationUnusable when that is not
    certain."""
    shown = await engage.read_back(contact_id, schema_id)
    if shown.gap:
        raise DestinationUnusable(
            f"the interactions of this contact cannot be listed ({shown.gap}); without"
            " --delete-interactions, what the ledger holds can be removed all the same"
        )
    return {stored.id for stored in shown.stored}


async def _contacts(
    found: Plan, activations: Collection[str], configured: Sequence[Activation], engage: Engage
) -> set[str]:
    """Who it is at one destination: contacts that were named, that rows know, or that are found by
    the identifiers. Raises ConfigurationError when they are several and not all were named."""
    named = {name.strip("{}").lower() for name in found.names if is_guid(name)}
    known = {
        row.contact_id.lower()
        for row in found.rows
        if row.contact_id and row.activation in activations
    }
    others = [name for name in found.names if not is_guid(name)]
    for activation in configured:
        if activation.contact.identifier is not Identifier.CONTACT_ID:
            for name in others:
                if malformed(name, activation.contact.identifier):
                    continue
                match await engage.look_up(name, activation.contact):
                    case Found(contact_id):
                        known.add(contact_id.strip("{}").lower())
                    case NotApplied(reason):
                        raise DestinationUnusable(reason)
    if len(known | named) > 1 and not known <= named:
        raise ConfigurationError(
            f"{len(known | named)} contacts go with what was given; name each that is to be"
            " forgotten by its contactId (--contact may be repeated), or narrow it down with"
            " --activation"
        )
    return known | named


# --- doing it -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Forget:
    """Everything that one forgetting needs. `engages`: the destinations by name."""

    plan: Plan
    ledger: Ledger
    engages: Mapping[str, Engage]
    by: str
    stop: Stop


async def forget(job: Forget) -> Forgotten:
    """Delete the interactions, then remove what the ledger holds. What stops it is in the result.

    In this order, since the ledger may know best which contact it is: whoever was stopped can
    begin anew. Raises ActivationBusy while a run holds one of the activations.
    """
    result = Forgotten(unknown=bool(job.plan.unknown))
    async with AsyncExitStack() as stack:
        thread = stack.enter_context(LedgerThread())
        leases = {
            name: await stack.enter_async_context(leased(job.ledger, thread, job.stop, name))
            for name in job.plan.activations
        }
        result.restored = next(
            (lease.restored for lease in leases.values() if lease.restored), None
        )
        forgetting = Forgetting(job, thread, leases, result)
        try:
            await forgetting.delete()
            await thread.call(forgetting.remove)
        except ConnectorError as error:
            result.error = error
    result.overwritten = await asyncio.to_thread(job.ledger.pack)
    return result


@dataclass(slots=True)
class Forgetting:
    """One forgetting, with the lease on each activation that something is removed from."""

    job: Forget
    thread: LedgerThread
    leases: Mapping[str, Run]
    result: Forgotten
    silence: Silence = field(default_factory=Silence)

    async def delete(self) -> None:
        """Delete the interactions; the row of each is forgotten with it."""
        theirs, result = self.job.plan.interactions or [], self.result
        for name, engage in self.job.engages.items():
            here = [their for their in theirs if their.destination == name]
            await side_by_side(engage.concurrency, self._one, here)
        self.job.stop.raise_error()
        if unanswered := len(theirs) - result.deleted - len(result.refused):
            raise DestinationUnusable(
                f"{unanswered} deletions got no answer that can be used; running it again goes on"
            )

    async def _one(self, their: Theirs) -> None:
        if self.job.stop.asked:
            return
        try:
            removal = await self.job.engages[their.destination].delete(their.interaction_id)
            await self._note(their.row, removal)
            self.silence.heard(removal)
        except ConnectorError as error:
            self.job.stop.now(error)

    async def _note(self, row: Held, removal: Removal) -> None:
        match removal:
            case Removed():
                lease, by = self.leases[row.activation], self.job.by
                await self.thread.call(self.job.ledger.forget, lease, by, [row])
                self.result.deleted += 1
            case Refused(reason):
                self.result.refused.append((row.row_key, reason))
            case Unknown(reason):
                log.warning("forget.unanswered", row_key=row.row_key, reason=reason)

    def remove(self) -> None:
        """Remove what the ledger holds of the person."""
        # as they stand now: what was on the wire of a dead run has become a doubt
        held = self.job.ledger.held_of(self.job.plan.names, list(self.leases))
        for activation, lease in self.leases.items():
            rows = [row for row in held if row.activation == activation]
            self.job.ledger.forget(lease, self.job.by, rows)
            self.result.rows += len(rows)
