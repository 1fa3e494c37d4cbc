"""What `schema apply` and `schema delete` would do, before they do it: what is created, what is
refused and why, what it would cost, and what has to be typed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connector.ledger.reports import Document
from connector.project.settings import Settings
from connector.rules.definition import MOST_SCHEMAS, Definition
from connector.rules.difference import Kind
from connector.rules.errors import ConfigurationError
from connector.schemas.provision import EXIT_CODES, Action, Result, Status, Step, Use, too_many

THERE = (Status.CREATED, Status.UNCHANGED, Status.KEPT_DIFFERENTLY)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the project's files need at a destination."""

    settings: Settings
    destination: str
    steps: Sequence[Step]
    files: Mapping[str, Path]
    live: int

    def of(self, action: Action) -> list[Step]:
        """The steps that are of this kind."""
        return [step for step in self.steps if step.action is action]

    @property
    def exit_code(self) -> int:
        """A changed schema waits for a person, and so does one for which there is no room."""
        return 1 if self.of(Action.CHANGED) or self.hindrance else 0

    @property
    def hindrance(self) -> str | None:
        """Why the missing ones cannot all be created."""
        return too_many(self.live, len(self.of(Action.CREATE)))

    def document(self) -> Document:
        """The plan, for programs."""
        return {
            "destination": self.destination,
            "live": self.live,
            "most": MOST_SCHEMAS,
            "hindrance": self.hindrance,
            "schemas": [self._step(step) for step in self.steps],
        }

    def _step(self, step: Step) -> Document:
        document: Document = {
            "id": step.local.id,
            "file": str(self.files[step.local.id]),
            "action": step.action,
            "activations": [use_document(use) for use in step.uses],
            "interactions": step.interactions,
        }
        if step.action is Action.CHANGED:
            document |= {
                "compatible": step.difference.compatible,
                "changes": [
                    {"kind": c.kind, "property": c.property or None, "message": c.message}
                    for c in step.difference.changes
                ],
                "as_version": None,
                "as_replacement": None,
            }
            if step.difference.compatible:
                version = {"id": step.version.id, "live": step.version.live}
                document |= {"as_version": version, "as_replacement": self._replacement(step)}
        return document

    def _replacement(self, step: Step) -> Document:
        """What it would cost to delete the schema, create it anew and send everything again."""
        settings = self.settings.project.destinations[self.destination]
        newly_required = [c.property for c in step.difference.of(Kind.NOW_REQUIRED)]
        return {
            "interactions": step.interactions,
            "in_doubt": sum(use.in_doubt for use in step.uses),
            "to_be_sent": sum(use.to_be_sent for use in step.uses),
            "seconds": round(step.interactions / settings.requests_per_second, 1),
            "newly_required": newly_required,
        }


@dataclass(frozen=True, slots=True)
class Application:
    """What `apply` does about a plan: what it creates, what is settled without a request, and which
    lines the user has to edit afterwards."""

    plan: Plan
    to_create: Sequence[Definition]
    settled: Sequence[Result]
    edits: Sequence[Document]

    @classmethod
    def of(cls, plan: Plan, as_version: bool) -> "Application":
        """Decide about every step. Raises ConfigurationError when there would be too many."""
        changed = plan.of(Action.CHANGED)
        versioned = [step for step in changed if as_version and step.difference.compatible]
        refused = [step for step in changed if step not in versioned]
        to_create = [step.local for step in plan.of(Action.CREATE)]
        to_create += [step.as_version for step in versioned if not step.version.live]
        if hindrance := too_many(plan.live, len(to_create)):
            raise ConfigurationError(f"{hindrance}; nothing was created")
        there = [step.local.id for step in plan.of(Action.UNCHANGED)]
        there += [step.version.id for step in versioned if step.version.live]
        settled = [Result(schema_id, Status.UNCHANGED) for schema_id in there]
        settled += [Result(s.local.id, Status.REFUSED, _why_refused(s)) for s in refused]
        edits = [edit for step in versioned for edit in _edits(step, plan.settings)]
        return cls(plan, to_create, settled, edits)

    def document(self, results: Sequence[Result]) -> Document:
        """What was done, for programs; `results` are those of the requests."""
        every = (*self.settled, *results)
        there = [r.schema_id for r in every if r.status in THERE]
        return {
            "destination": self.plan.destination,
            "schemas": [
                {"id": r.schema_id, "status": r.status, "message": r.message or None} for r in every
            ],
            "edits": [edit for edit in self.edits if edit["schema_id"] in there],
        }

    def codes(self, results: Sequence[Result]) -> list[int]:
        """The exit code of each result."""
        return [EXIT_CODES.get(r.status, 0) for r in (*self.settled, *results)]


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting a schema deletes, and what has to be typed for it."""

    destination: str
    definition: Definition
    uses: Sequence[Use]

    @property
    def interactions(self) -> int:
        """How many interactions the ledger knows; others may have sent more."""
        return sum(use.delivered for use in self.uses)

    @property
    def confirmation(self) -> str:
        """What is to be typed."""
        return f"{self.definition.id} {self.interactions}"

    def document(self) -> Document:
        """The deletion, for programs."""
        return {
            "destination": self.destination,
            "id": self.definition.id,
            "interactions": self.interactions,
            "in_doubt": sum(use.in_doubt for use in self.uses),
            "to_be_sent": sum(use.to_be_sent for use in self.uses),
            "activations": [use_document(use) for use in self.uses],
        }

    def refuse_unless(self, typed: str) -> None:
        """Raises ConfigurationError unless `typed` is the confirmation."""
        if " ".join(typed.split()) != self.confirmation:
            raise ConfigurationError(
                f'not deleted: it is confirmed with "{self.confirmation}", the id of the schema and'
                " the number of its interactions that the ledger knows"
            )


def use_document(use: Use) -> Document:
    """An activation that uses a schema, for programs."""
    return {
        "name": use.activation,
        "configured": use.paused is not None,
        "paused": use.paused,
        "delivered": use.delivered,
        "in_doubt": use.in_doubt,
        "to_be_sent": use.to_be_sent,
    }


def _why_refused(step: Step) -> str:
    changes = step.difference
    if changes.compatible:
        return (
            f"it is live and differs ({changes}), and Engage cannot change a schema; --as-version"
            f" creates {step.version.id} and leaves this one as it is"
        )
    lost = "; ".join(c.message for c in changes.of(Kind.REMOVED, Kind.RETYPED))
    return (
        f"not backward compatible: {lost}. Keep what the live schema has, or give the file an id of"
        " its own: then it is another schema"
    )


def _edits(step: Step, settings: Settings) -> list[Document]:
    """The lines of the configuration that send to a schema that gets a new version."""
    marks = settings.marks
    return [
        {
            "activation": use.activation,
            "file": str(settings.file),
            "line": marks.get(("activations", use.activation, "schema_id"), (1, 1))[0],
            "before": step.local.id,
            "schema_id": step.version.id,
            "recorded": sum(use.counts.values()),
        }
        for use in step.uses
        if use.paused is not None
    ]
