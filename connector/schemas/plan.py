"""What the project's files need at a destination: what is missing, what has changed, and what each
way to change it would cost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from connector.basis import dataclass
from connector.rules.deed import Agree, Document
from connector.rules.definition import MOST_SCHEMAS, Definition, capitals_clash
from connector.rules.difference import Difference, Kind, difference, next_version, versions
from connector.rules.errors import ConfigurationError
from connector.schemas import files
from connector.schemas.catalogue import Catalogue, Use, interactions, known_rows
from connector.schemas.lint import definitions


class Action(StrEnum):
    CREATE = "create"
    UNCHANGED = "unchanged"
    CHANGED = "changed"


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What the project's files need. `as_version`: a changed schema is to be created beside the
    live one."""

    catalogue: Catalogue
    steps: Sequence[Step]
    paths: Mapping[str, Path]
    live: int
    as_version: bool = False
    empty: ClassVar[bool] = False
    """What nothing is sent for is told all the same."""

    def of(self, action: Action) -> list[Step]:
        return [step for step in self.steps if step.action is action]

    @property
    def versioned(self) -> list[Step]:
        """The changed schemas that get a new version."""
        return [s for s in self.of(Action.CHANGED) if self.as_version and s.difference.compatible]

    @property
    def to_create(self) -> list[Definition]:
        missing = [step.local for step in self.of(Action.CREATE)]
        return missing + [step.as_version for step in self.versioned if not step.version.live]

    @property
    def hindrance(self) -> str | None:
        """Why not all of that can be created."""
        return too_many(self.live, len(self.to_create))

    @property
    def question(self) -> Agree | None:
        if not self.to_create:
            return None
        names = ", ".join(definition.id for definition in self.to_create)
        return Agree(f"Create {names} at {self.catalogue.destination} ({self.catalogue.url})?")

    @property
    def exit_code(self) -> int:
        """A changed schema waits for a person, and so does one for which there is no room."""
        return 1 if self.of(Action.CHANGED) or self.hindrance else 0

    def document(self) -> Document:
        return {
            "destination": self.catalogue.destination,
            "live": self.live,
            "most": MOST_SCHEMAS,
            "hindrance": self.hindrance,
            "schemas": [self._step(step) for step in self.steps],
        }

    def _step(self, step: Step) -> Document:
        changes = step.difference
        document: Document = {
            "id": step.local.id,
            "file": str(self.paths[step.local.id]),
            "action": step.action,
            "activations": [use.document() for use in step.uses],
            "interactions": interactions(step.uses),
        }
        if step.action is Action.CHANGED:
            document |= {
                "compatible": changes.compatible,
                "changes": changes.document(),
                "as_version": asdict(step.version) if changes.compatible else None,
                "as_replacement": self._replacement(step) if changes.compatible else None,
            }
        return document

    def _replacement(self, step: Step) -> Document:
        """What it would cost to delete the schema, create it anew and send everything again."""
        return {
            **known_rows(step.uses),
            "seconds": self.catalogue.seconds(interactions(step.uses)),
            "newly_required": [c.property for c in step.difference.of(Kind.NOW_REQUIRED)],
        }


async def plan(catalogue: Catalogue, names: Sequence[str], as_version: bool = False) -> Plan:
    """What the files that `names` mean need at the destination.

    Raises ConfigurationError when a file breaks a rule, or when nothing is there to be planned.
    """
    local = definitions(catalogue.base, names)
    live = await catalogue.definitions()
    paths = {schema_id: path for schema_id, (_, path) in local.items()}
    steps = compare(
        {schema_id: definition for schema_id, (definition, _) in local.items()},
        live,
        catalogue.uses(),
        [path.stem for path in files.folder_files(catalogue.base)],
    )
    return Plan(catalogue, steps, paths, len(live), as_version)


def compare(
    local: Mapping[str, Definition],
    live: Mapping[str, Definition],
    uses: Mapping[str, Sequence[Use]],
    reserved: Collection[str] = (),
) -> list[Step]:
    """What each of `local` needs, given what is `live` and who uses it.

    `reserved` are ids that no new version may take. Raises ConfigurationError for an id that
    differs from a live one in capitals only.
    """
    clashes = [clash for schema_id in local if (clash := capitals_clash(schema_id, live))]
    if clashes:
        raise ConfigurationError(*clashes)
    taken = {*live, *local, *reserved}
    return [
        Step(
            local=definition,
            live=live.get(schema_id),
            uses=uses.get(schema_id.casefold(), ()),
            version=_version(definition, live, taken),
        )
        for schema_id, definition in local.items()
    ]


def _version(local: Definition, live: Mapping[str, Definition], taken: Collection[str]) -> Version:
    """The latest live version that is as the file has it, or the next free id."""
    for schema_id in reversed(versions(local.id, live)):
        if not difference(live[schema_id], local):
            return Version(schema_id, live=True)
    return Version(next_version(local.id, taken), live=False)


def too_many(live: int, more: int) -> str | None:
    """Why `more` schemas cannot be created beside `live` ones."""
    if not more or live + more <= MOST_SCHEMAS:
        return None
    return (
        f"{live} schemas are there and {more} would be created, but an environment of Engage may"
        f" have {MOST_SCHEMAS}"
    )
