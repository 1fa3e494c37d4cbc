"""Replace a schema by a changed one: the plan, what has to be typed for it, and how it ends.

All of its interactions are deleted and sent again; what was begun goes on when it is done again.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from typing import ClassVar

from connector.basis import dataclass
from connector.ledger.decisions import Person
from connector.ledger.replacing import Replacement, Replacements, Step
from connector.rules.deed import Document, Retype
from connector.rules.definition import Definition
from connector.rules.delivery import State
from connector.rules.difference import Kind
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.schemas.catalogue import Catalogue, Use, configured, interactions
from connector.schemas.delete import ID_AND_NUMBER
from connector.schemas.hindrances import refuse_unsettled
from connector.schemas.lint import definitions
from connector.schemas.replacing import Means, Replacing, cancel, carry_through
from connector.sync.preflight import refuse_misfits
from connector.sync.progress import Progress

UNCHANGED = "unchanged"
"""The step of a replacement that is not needed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replacement would do; or what is left of one that has begun. `local`: what the file
    of the schema has, if there still is one."""

    catalogue: Catalogue
    replacement: Replacement
    uses: Sequence[Use]
    local: Definition | None
    exit_code: ClassVar[int] = 0

    @property
    def question(self) -> Retype | None:
        """What is to be typed; nothing for what has begun."""
        if self.replacement.begun:
            return None
        text = f"{self.replacement.schema_id} {self.replacement.interactions}"
        return Retype(text, ID_AND_NUMBER)

    @property
    def empty(self) -> bool:
        """Whether the live schema is as its file has it."""
        return not self.replacement.begun and not self.replacement.difference

    @property
    def without_date(self) -> list[str]:
        """The activations whose rows would get today as createdDate, since none is mapped."""
        activations = self.catalogue.activations
        return [n for n in configured(self.uses) if activations[n].happened is None]

    @property
    def in_windows(self) -> list[str]:
        """The activations that send inside a window alone, also what they send again."""
        activations = self.catalogue.activations
        return [n for n in configured(self.uses) if activations[n].send is not None]

    @property
    def in_turns(self) -> list[str]:
        """The activations that tell a contact something only so often."""
        activations = self.catalogue.activations
        return [n for n in configured(self.uses) if activations[n].per_contact is not None]

    def document(self) -> Document:
        replacement, changes = self.replacement, self.replacement.difference
        step = replacement.step if replacement.begun else None
        return {
            "destination": self.catalogue.destination,
            "id": replacement.schema_id,
            "step": UNCHANGED if self.empty else step,
            "changes": changes.document(),
            "interactions": replacement.interactions,
            "seconds": self.catalogue.seconds(replacement.interactions),
            "newly_required": [c.property for c in changes.of(Kind.NOW_REQUIRED)],
            "without_created_date": self.without_date,
            "send_window": self.in_windows,
            "per_contact": self.in_turns,
            "activations": [use.document() for use in self.uses],
        }


@dataclass(frozen=True, slots=True)
class Replaced:
    """How a replacement ended: where its rows stand, by state, and what a person should know."""

    plan: Plan
    step: Step
    rows: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    error: ClassVar[ConnectorError | None] = None

    @property
    def exit_code(self) -> int:
        """1 when rows wait for a person."""
        return 1 if any(self.rows.get(s) for s in (State.REJECTED, State.IN_DOUBT)) else 0

    def document(self) -> Document:
        return self.plan.document() | {
            "step": self.step,
            "rows": dict(sorted(self.rows.items())),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Replace:
    """A deed: replace a schema. `give_up`: most rows that may be lost."""

    catalogue: Catalogue
    schema_id: str
    means: Callable[[], AbstractAsyncContextManager[Means]]
    person: Person
    give_up: int = 0
    progress: Progress = field(default_factory=Progress)

    async def plan(self) -> Plan:
        """What it would do. Raises ConfigurationError when it cannot be done, with everything that
        has to be done first."""
        async with self.means() as means:
            return await self._plan(means.ledger.replacements)

    async def _plan(self, book: Replacements) -> Plan:
        catalogue, schema_id = self.catalogue, self.schema_id
        under_way = book.under_way(catalogue.names, schema_id)
        uses = catalogue.uses_of(schema_id)
        catalogue.refuse_moved(uses)
        if under_way:
            return Plan(catalogue, under_way, uses, self._local(under_way.schema_id))
        ((schema_id, (local, _)),) = definitions(catalogue.base, [schema_id]).items()
        live = await catalogue.live(schema_id)
        draft = Replacement(catalogue.destination, live, local, interactions(uses))
        plan = Plan(catalogue, draft, uses, local)
        if not plan.empty:
            self._refuse(plan, book)
        return plan

    def _local(self, schema_id: str) -> Definition | None:
        try:
            return definitions(self.catalogue.base, [schema_id])[schema_id][0]
        except (ConfigurationError, KeyError):
            return None

    def _refuse(self, plan: Plan, book: Replacements) -> None:
        catalogue, draft = self.catalogue, plan.replacement
        if not draft.difference.compatible:
            raise ConfigurationError(draft.difference.incompatibility)
        names = [use.activation for use in plan.uses]
        standings = book.standings(catalogue.place, catalogue.names, draft.schema_id, names)
        refuse_unsettled(standings, configured(plan.uses), catalogue.activations)
        for name in configured(plan.uses):
            refuse_misfits(catalogue.activations[name], draft.definition.schema)

    async def do(self, plan: Plan, agreed: bool) -> Replaced:
        """Begin the replacement, or go on with it, to its end."""
        async with self.means() as means:
            work = self._work(plan, means)
            rows = await carry_through(work)
        return Replaced(plan, Step.DONE, rows, work.notes)

    async def cancel(self) -> Replaced:
        """Forget the one that is under way. Raises ConfigurationError."""
        plan = await self.plan()
        if not plan.replacement.begun:
            schema_id = plan.replacement.schema_id
            raise ConfigurationError(f'no replacement of "{schema_id}" is under way')
        async with self.means() as means:
            await cancel(self._work(plan, means))
        return Replaced(plan, Step.CANCELLED)

    def _work(self, plan: Plan, means: Means) -> Replacing:
        names = configured(plan.uses)
        if plan.replacement.begun:
            names = means.ledger.replacements.members(plan.replacement)
        return Replacing(
            means=means,
            replacement=plan.replacement,
            flows={name: means.flow(name, self.progress) for name in names},
            catalogue=self.catalogue,
            local=plan.local,
            person=self.person,
            give_up=self.give_up,
        )
