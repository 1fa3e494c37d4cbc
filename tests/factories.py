"""The parts of a configuration and of a model, made in one line each."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from connector.destinations.engage import EngageActivation as Activation
from connector.ledger.records import Known
from connector.rules.delivery import State
from connector.rules.interaction import Interaction, Invalid
from connector.rules.mapping import RowMapper
from connector.rules.schema import InteractionSchema
from connector.rules.watermark import Watermark
from connector.sync.reading import Plan
from connector.warehouse import Scan

STOCKHOLM = ZoneInfo("Europe/Stockholm")
REVIEW: dict[str, Any] = {
    "model": {"table": "reviews"},
    "schema_id": "productReview",
    "row_key": "review_id",
    "start": "all",
    "contact": {"column": "email", "identifier": "email"},
}


def an_activation(name: str = "reviews", **over: Any) -> Activation:
    """An activation; `over` replaces or adds keys as a user would write them."""
    return Activation.model_validate(REVIEW | over).named(name)


def a_schema(required: Sequence[str] = (), /, **properties: Any) -> InteractionSchema:
    """A schema with these properties: a specification, or the name of a type."""
    specs = {
        name: {"type": spec} if isinstance(spec, str) else spec for name, spec in properties.items()
    }
    return InteractionSchema(
        "productReview", {"type": "object", "properties": specs, "required": list(required)}
    )


def a_mapper(
    schema: InteractionSchema | None = None, zone: ZoneInfo | None = STOCKHOLM, **over: Any
) -> RowMapper:
    """A mapper for rows that hold the columns which the activation names, in that order."""
    activation = an_activation(**over)
    return RowMapper(activation, schema, columns_of(activation), zone)


def columns_of(activation: Activation) -> list[str]:
    """The distinct columns that `activation` names, in the order of its grammar."""
    return list(dict.fromkeys(activation.columns.values()))


def mapped(value: Any, zone: ZoneInfo | None = STOCKHOLM, **spec: Any) -> Interaction | Invalid:
    """What becomes of a row that holds `value` for a property `rating` with the rules `spec`."""
    mapper = a_mapper(a_schema(rating=spec), zone, payload={"rating": "rating"})
    return mapper(["r1", "anna@example.com", value])


def a_plan(*, history: bool = False, **over: Any) -> Plan:
    """A reading of a model whose columns are those that the activation names."""
    schema = a_schema(rating={"type": "integer", "minimum": 1, "maximum": 5})
    activation = an_activation(**{"cursor": "reviewed_at", "payload": {"rating": "rating"}} | over)
    columns = tuple(columns_of(activation))
    cursor = activation.cursor.column if activation.cursor else None
    return Plan(
        activation=activation,
        scan=Scan(columns, activation.row_key, cursor),
        mapper=RowMapper(activation, schema, columns, STOCKHOLM),
        zone=STOCKHOLM,
        mark=Watermark(cursor),
        lower=None,
        history=history,
        edition={},
    )


def a_known(
    state: State = State.DELIVERED,
    *,
    digest: str | None = None,
    reason: str | None = None,
    run_id: str = "an earlier run",
    contact: str | None = None,
    payload: str | None = None,
) -> Known:
    """What the ledger has under a row key."""
    return Known(1, state, digest, reason, run_id, contact, payload)
