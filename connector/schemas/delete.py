"""Delete a schema, and with it all of its interactions, of all contacts. Only by name, and only
when nothing of this project sends to it."""

from collections.abc import Sequence
from typing import ClassVar

from connector.basis import dataclass
from connector.ledger.replacing import goes_on
from connector.rules.deed import Document, Retype
from connector.rules.definition import Definition
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.schemas.catalogue import Catalogue, Use, interactions, known_rows
from connector.schemas.provision import Result, delete

ID_AND_NUMBER = "the id of the schema and the number of its interactions that the ledger knows"


@dataclass(frozen=True, slots=True)
class Plan:
    """What deleting a schema deletes, and what has to be typed for it."""

    destination: str
    definition: Definition
    uses: Sequence[Use]
    empty: ClassVar[bool] = False
    exit_code: ClassVar[int] = 0

    @property
    def question(self) -> Retype:
        text = f"{self.definition.id} {interactions(self.uses)}"
        return Retype(text, ID_AND_NUMBER, refusal="not deleted")

    def document(self) -> Document:
        return {
            "destination": self.destination,
            "id": self.definition.id,
            **known_rows(self.uses),
            "activations": [use.document() for use in self.uses],
        }


@dataclass(frozen=True, slots=True)
class Deleted:
    plan: Plan
    result: Result
    error: ClassVar[ConnectorError | None] = None

    @property
    def exit_code(self) -> int:
        return self.result.exit_code

    def document(self) -> Document:
        outcome = {"status": self.result.status, "message": self.result.message or None}
        return self.plan.document() | outcome


@dataclass(frozen=True, slots=True)
class Delete:
    catalogue: Catalogue
    schema_id: str

    async def plan(self) -> Plan:
        """What would be deleted. Raises ConfigurationError when it is not there, or when something
        still sends to it."""
        catalogue, schema_id = self.catalogue, self.schema_id
        definition = await catalogue.live(schema_id)
        uses = catalogue.uses_of(schema_id)
        catalogue.refuse_moved(uses)
        self._refuse_used(uses)
        return Plan(catalogue.destination, definition, uses)

    def _refuse_used(self, uses: Sequence[Use]) -> None:
        with self.catalogue.reports() as reports:
            for use in uses:
                if replaced := reports.schema_being_replaced(use.activation):
                    raise ConfigurationError(goes_on(replaced))
            if active := [use.activation for use in uses if use.paused is False]:
                raise ConfigurationError(
                    f'the schema "{self.schema_id}" is in use by {", ".join(active)}; set paused:'
                    " true there (and let a scheduler that runs take it up) before the schema is"
                    " deleted"
                )
            for use in uses:
                if run := reports.run_under_way(use.activation):
                    raise ConfigurationError(
                        f'the run {run} of "{use.activation}" is sending to the schema'
                        f' "{self.schema_id}"; wait for its end'
                    )

    async def do(self, plan: Plan, agreed: bool) -> Deleted:
        """Delete it. Raises ConfigurationError when it is no longer as it was agreed to."""
        now = await self.plan()
        if now.question != plan.question:
            raise ConfigurationError(
                f'not deleted: "{self.schema_id}" had {interactions(plan.uses)} interactions when'
                f" it was asked about, and has {interactions(now.uses)} now"
            )
        async with self.catalogue.store() as store:
            return Deleted(plan, await delete(self.schema_id, store))
