"""Create what the project's files have and a destination lacks. Deletes nothing, changes nothing:
Engage has no request that changes a schema, so what has changed is refused, or gets a version."""

from collections.abc import Sequence
from typing import ClassVar

from connector.basis import dataclass
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError, ConnectorError, DestinationUnusable
from connector.schemas.catalogue import Catalogue
from connector.schemas.plan import Action, Plan, Step
from connector.schemas.plan import plan as plan_files
from connector.schemas.provision import Result, Status, create

THERE = (Status.CREATED, Status.UNCHANGED, Status.KEPT_DIFFERENTLY)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each schema of a plan."""

    plan: Plan
    results: Sequence[Result]
    error: ClassVar[ConnectorError | None] = None

    @property
    def exit_code(self) -> int:
        return max((result.exit_code for result in self.results), default=0)

    def document(self) -> Document:
        """What was done, and which lines of the configuration are to be edited now."""
        there = [result.schema_id for result in self.results if result.status in THERE]
        return {
            "destination": self.plan.catalogue.destination,
            "schemas": [
                {"id": r.schema_id, "status": r.status, "message": r.message or None}
                for r in self.results
            ],
            "edits": [
                edit
                for step in self.plan.versioned
                if step.version.id in there
                for edit in _edits(step, self.plan.catalogue)
            ],
        }


@dataclass(frozen=True, slots=True)
class Apply:
    """A deed: create what is missing of the schemas that `names` mean."""

    catalogue: Catalogue
    names: Sequence[str]
    as_version: bool = False

    async def plan(self) -> Plan:
        """What would be created. Raises ConfigurationError also when there is no room for it."""
        found = await plan_files(self.catalogue, self.names, self.as_version)
        if found.hindrance:
            raise ConfigurationError(f"{found.hindrance}; nothing was created")
        return found

    async def do(self, plan: Plan, agreed: bool) -> Applied:
        """Create each unless it is there by now; the first doubt ends it."""
        results = _settled(plan)
        async with self.catalogue.store() as store:
            for definition in plan.to_create:
                try:
                    results.append(await create(definition, store))
                except DestinationUnusable as error:
                    results.append(Result(definition.id, Status.NOT_APPLIED, str(error)))
                if results[-1].exit_code == 3:
                    break
        return Applied(plan, results)


def _settled(plan: Plan) -> list[Result]:
    """What needs no request."""
    versioned = plan.versioned
    there = [step.local.id for step in plan.of(Action.UNCHANGED)]
    there += [step.version.id for step in versioned if step.version.live]
    refused = [step for step in plan.of(Action.CHANGED) if step not in versioned]
    return [Result(schema_id, Status.UNCHANGED) for schema_id in there] + [
        Result(step.local.id, Status.REFUSED, _why_refused(step)) for step in refused
    ]


def _why_refused(step: Step) -> str:
    changes = step.difference
    if changes.compatible:
        return (
            f"it is live and differs ({changes}), and Engage cannot change a schema; --as-version"
            f" creates {step.version.id} and leaves this one as it is"
        )
    return changes.incompatibility


def _edits(step: Step, catalogue: Catalogue) -> list[Document]:
    """The lines of the configuration that send to a schema that gets a new version."""
    return [
        {
            "activation": use.activation,
            "file": str(catalogue.marks[use.activation].file),
            "line": catalogue.marks[use.activation].line,
            "before": step.local.id,
            "schema_id": step.version.id,
            "recorded": sum(use.counts.values()),
        }
        for use in step.uses
        if use.configured
    ]
