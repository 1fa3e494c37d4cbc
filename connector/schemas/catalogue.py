"""The schemas of one destination, and who uses each of them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path

from connector.basis import dataclass
from connector.destinations.port import SchemaStore
from connector.ledger.records import Identity
from connector.ledger.reports import Reports
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.definition import Definition
from connector.rules.delivery import MAY_BE_THERE, TO_BE_SENT, State
from connector.rules.errors import ConfigurationError, Mark, did_you_mean
from connector.rules.place import Place


@dataclass(frozen=True, slots=True)
class Use:
    """An activation that sends interactions of a schema. `paused` None: it is not configured any
    more, and only the ledger knows it. `counts`: its rows in the ledger, by state."""

    activation: str
    paused: bool | None
    counts: Mapping[str, int]

    @property
    def configured(self) -> bool:
        return self.paused is not None

    @property
    def delivered(self) -> int:
        """How many interactions the destination is known to have."""
        return self.counts.get(State.DELIVERED, 0)

    @property
    def in_doubt(self) -> int:
        """How many more it may have."""
        return sum(self.counts.get(state, 0) for state in MAY_BE_THERE)

    @property
    def to_be_sent(self) -> int:
        """How many are still to come."""
        return sum(self.counts.get(state, 0) for state in TO_BE_SENT)

    def document(self) -> Document:
        return {
            "name": self.activation,
            "configured": self.configured,
            "paused": self.paused,
            "delivered": self.delivered,
            "in_doubt": self.in_doubt,
            "to_be_sent": self.to_be_sent,
        }


def configured(uses: Iterable[Use]) -> list[str]:
    return [use.activation for use in uses if use.configured]


def interactions(uses: Iterable[Use]) -> int:
    """How many interactions the ledger knows; others may have sent more."""
    return sum(use.delivered for use in uses)


def known_rows(uses: Collection[Use]) -> Document:
    """How many interactions the ledger knows, how many more there may be, and are to come."""
    return {
        "interactions": interactions(uses),
        "in_doubt": sum(use.in_doubt for use in uses),
        "to_be_sent": sum(use.to_be_sent for use in uses),
    }


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The schemas of one destination. `base`: the folder of the project."""

    base: Path
    destination: str
    place: Place
    names: Sequence[str]
    """Under which the destination is configured: this one's first."""
    url: str
    requests_per_second: float
    activations: Mapping[str, Activation]
    """Those that send there, under whichever of the names."""
    marks: Mapping[str, Mark]
    """Where in the configuration the schema_id of each of them stands."""
    store: Callable[[], AbstractAsyncContextManager[SchemaStore]]
    reports: Callable[[], AbstractContextManager[Reports]]
    identity: Callable[[Activation], Identity]

    def seconds(self, requests: int) -> float:
        """How long so many requests take at the destination's pace."""
        return round(requests / self.requests_per_second, 1)

    async def definitions(self) -> dict[str, Definition]:
        async with self.store() as store:
            return {definition.id: definition for definition in await store.definitions()}

    async def live(self, schema_id: str) -> Definition:
        """The live schema with exactly this id: one in other capitals is not what was meant.
        Raises ConfigurationError."""
        live = await self.definitions()
        self.refuse_unknown(schema_id, live)
        return live[schema_id]

    def refuse_unknown(self, schema_id: str, live: Collection[str]) -> None:
        if schema_id not in live:
            hint = did_you_mean(schema_id, list(live))
            raise ConfigurationError(f'{self.destination} has no schema "{schema_id}"{hint}')

    def uses(self) -> dict[str, list[Use]]:
        """Who uses each schema, by its id in small letters."""
        with self.reports() as reports:
            recorded = reports.schema_uses(self.place, self.names)
            return uses_by_schema(self.activations.values(), recorded)

    def uses_of(self, schema_id: str) -> list[Use]:
        return self.uses().get(schema_id.casefold(), [])

    def refuse_moved(self, uses: Sequence[Use]) -> None:
        """Raises ConfigurationError when interactions that the ledger has of one of `uses` are at
        another place, though it is called the same: what is deleted here would not be theirs."""
        known = [self.activations[name] for name in configured(uses)]
        with self.reports() as reports:
            found = [p for a in known for p in reports.identity_problems(a.name, self.identity(a))]
        if problems := [p for p in found if p.path[:2] == ("destinations", self.destination)]:
            raise ConfigurationError(*problems)


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
