"""What `schema migrate` would do, what has to be typed for it, and how it is carried out."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from connector.ledger.decisions import Person
from connector.ledger.replacing import Replacement, Standing, Step
from connector.ledger.reports import Document
from connector.project.app import Workshop
from connector.rules.definition import Definition
from connector.rules.delivery import State
from connector.rules.difference import Difference, Kind, difference
from connector.rules.errors import ConfigurationError, Interrupted
from connector.schemas import files
from connector.schemas.commands import Schemas
from connector.schemas.plan import use_document
from connector.schemas.provision import Use
from connector.schemas.replace import Migrating, cancel, hindrances, migrate, schema_of
from connector.sync.progress import Progress
from connector.sync.run import refuse_misfits


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What a migration would do; or, where one is `under_way`, what is left of it."""

    schemas: Schemas
    schema_id: str
    local: Definition | None
    live: Definition | None
    uses: list[Use]
    under_way: Replacement | None

    @property
    def difference(self) -> Difference:
        """In what the new schema differs from the one that is, or was, deleted."""
        if self.under_way:
            return difference(self.under_way.was, self.under_way.definition)
        assert self.live is not None
        assert self.local is not None
        return difference(self.live, self.local)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        return self.under_way is not None or bool(self.difference)

    @property
    def interactions(self) -> int:
        """How many interactions are deleted and sent again."""
        if self.under_way:
            return self.under_way.interactions
        return sum(use.delivered for use in self.uses)

    @property
    def confirmation(self) -> str:
        """What is to be typed."""
        return f"{self.schema_id} {self.interactions}"

    @property
    def without_date(self) -> list[str]:
        """The activations whose rows would get today as createdDate, since none is mapped."""
        activations = self.schemas.app.settings.project.activations
        return [
            use.activation
            for use in self.uses
            if use.activation in activations and activations[use.activation].created_date is None
        ]

    def refuse_unless(self, typed: str) -> None:
        """Raises ConfigurationError unless `typed` is the confirmation."""
        if " ".join(typed.split()) != self.confirmation:
            raise ConfigurationError(
                f'nothing was done: it is confirmed with "{self.confirmation}", the id of the'
                " schema and the number of its interactions that the ledger knows"
            )

    def document(self) -> Document:
        """The plan, for programs."""
        rate = self.schemas.app.settings.project.destinations[self.schemas.destination]
        changes = self.difference
        return {
            "destination": self.schemas.destination,
            "id": self.schema_id,
            "step": self.under_way.step if self.under_way else None,
            "changes": [
                {"kind": c.kind, "property": c.property or None, "message": c.message}
                for c in changes.changes
            ],
            "interactions": self.interactions,
            "seconds": round(self.interactions / rate.requests_per_second, 1),
            "newly_required": [c.property for c in changes.of(Kind.NOW_REQUIRED)],
            "without_created_date": self.without_date,
            "activations": [use_document(use) for use in self.uses],
        }


async def planned(schemas: Schemas, schema_id: str) -> MigrationPlan:
    """What a migration of `schema_id` would do. Writes nothing to the destination.

    Raises ConfigurationError when it cannot be done, with everything that has to be done first.
    """
    with schemas.app.ledger() as ledger:
        under_way = ledger.replacements.under_way(schemas.names, schema_id)
        uses = schemas.uses_of(schema_id)
        schemas.refuse_moved(uses)
        if under_way:
            local = _local(schemas, under_way.schema_id)
            return MigrationPlan(schemas, under_way.schema_id, local, None, uses, under_way)
        found = files.definitions(schemas.base, [schema_id])
        ((schema_id, (local, _)),) = found.items()
        live = await schemas.live(schema_id)
        plan = MigrationPlan(schemas, schema_id, local, live, uses, None)
        if plan.is_needed:
            place, also = schemas.place, [use.activation for use in uses]
            book = ledger.replacements
            _refuse(plan, book.standings(place, schemas.names, schema_id, also))
        return plan


def _refuse(plan: MigrationPlan, standings: dict[str, Standing]) -> None:
    assert plan.local is not None
    changes = plan.difference
    if not changes.compatible:
        lost = "; ".join(c.message for c in changes.of(Kind.REMOVED, Kind.RETYPED))
        raise ConfigurationError(
            f"not backward compatible: {lost}. Keep what the live schema has, or give the file an"
            " id of its own: then it is another schema"
        )
    project = plan.schemas.app.settings.project
    if problems := hindrances(standings, project.activations):
        raise ConfigurationError(*problems)
    for use in plan.uses:
        if use.paused is not None:
            refuse_misfits(project.activations[use.activation], schema_of(plan.local))


def _local(schemas: Schemas, schema_id: str) -> Definition | None:
    """The file of a schema that is being migrated, if there still is one."""
    try:
        return files.definitions(schemas.base, [schema_id])[schema_id][0]
    except (ConfigurationError, KeyError):
        return None


@dataclass(slots=True)
class Migrated:
    """How a migration ended: where its rows stand, by state, and what a person should know."""

    plan: MigrationPlan
    standing: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 when rows wait for a person."""
        return 1 if any(self.standing.get(s) for s in (State.REJECTED, State.IN_DOUBT)) else 0

    def document(self) -> Document:
        """How it ended, for programs."""
        return self.plan.document() | {
            "step": Step.DONE,
            "rows": dict(sorted(self.standing.items())),
            "notes": self.notes,
        }


async def carried_out(
    plan: MigrationPlan, person: Person, give_up: int, progress: Progress
) -> Migrated:
    """Begin the migration, or go on with it, to its end."""
    schemas = plan.schemas
    async with schemas.app.workshop() as workshop:
        work = _work(plan, workshop, person, give_up, progress)
        running = schemas.app.interruption
        running.running.add(work.stop)
        try:
            if running.asked:
                raise Interrupted("interrupted before it began")
            standing = await migrate(work, plan.under_way or _planned(plan))
        finally:
            running.running.discard(work.stop)
    return Migrated(plan, standing, work.notes)


async def cancelled(plan: MigrationPlan, person: Person) -> None:
    """Forget the migration that is under way. Raises ConfigurationError."""
    if plan.under_way is None:
        raise ConfigurationError(f'no migration of "{plan.schema_id}" is under way')
    async with plan.schemas.app.workshop() as workshop:
        await cancel(_work(plan, workshop, person, 0, Progress()), plan.under_way)


def _planned(plan: MigrationPlan) -> Replacement:
    assert plan.live is not None
    assert plan.local is not None
    return Replacement(plan.schemas.destination, plan.live, plan.local, plan.interactions)


def _work(
    plan: MigrationPlan, workshop: Workshop, person: Person, give_up: int, progress: Progress
) -> Migrating:
    schemas, ledger = plan.schemas, workshop.ledger
    names: Iterable[str] = [use.activation for use in plan.uses if use.paused is not None]
    if plan.under_way:
        names = ledger.replacements.members(plan.under_way)
    settings = schemas.app.settings
    jobs = {name: workshop.job(settings.activation(name)) for name in names}
    destination = settings.project.destinations[schemas.destination]
    return Migrating(
        ledger=ledger,
        engage=workshop.engage(schemas.destination),
        jobs=jobs,
        person=person,
        settle_after=destination.timeout + destination.settle_after,
        place=destination.place,
        names=schemas.names,
        local=plan.local,
        give_up=give_up,
        progress=progress,
    )
