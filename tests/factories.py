"""The parts of a configuration and of a model, made in one line each."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import make_url

from connector.destinations.engage import EngageActivation as Activation
from connector.ledger.home import Home
from connector.ledger.records import Identity, Known, Run
from connector.ledger.store import Ledger
from connector.rules.compiled import CompiledMapper
from connector.rules.contacts import ContactCache
from connector.rules.delivery import State
from connector.rules.interaction import Interaction, Invalid
from connector.rules.mapping import RowMapper
from connector.rules.schema import InteractionSchema
from connector.rules.watermark import Watermark
from connector.sync.beating import Beat
from connector.sync.flow import Flow, Orders, Running
from connector.sync.health import Health
from connector.sync.lookup import Contacts
from connector.sync.progress import Progress
from connector.sync.reading import Plan, Source
from connector.sync.side_by_side import Stop
from connector.sync.thread import LedgerThread
from connector.warehouse import Scan, Warehouse

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
    nobody: Any = None  # nothing is read
    return Plan(
        source=Source(activation, schema, nobody, nobody, STOCKHOLM, datetime.now(UTC)),
        home=Home(),
        activation=activation,
        scan=Scan(columns, activation.row_key, cursor),
        mapper=CompiledMapper(activation, schema, columns, STOCKHOLM),
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


class SameThread(LedgerThread):
    """Calls the ledger in the thread of the test."""

    async def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)


def a_running(
    ledger: Ledger,
    run: Run,
    destination: Any,
    settle_after: timedelta,
    contacts: Contacts,
    **over: Any,
) -> Running:
    """A run that goes on, of an activation with the name of `run`."""
    activation = an_activation(run.activation, **over)
    flow = Flow(
        name=run.activation,
        ledger=ledger,
        beat=Beat(ledger),
        thread=SameThread(),
        destination=destination,
        settle_after=settle_after,
        stop=Stop(),
        progress=Progress(),
        activation=activation,
        identity=Identity("engage", activation.schema_id, activation.row_key),
        warehouse=Warehouse(make_url("duckdb://"), Path()),
        zone=STOCKHOLM,
        contact_cache=ContactCache.of("engage", "http://engage", "key", timedelta(0)),
    )
    return Running(flow, Orders(), run, contacts, Health(20))
