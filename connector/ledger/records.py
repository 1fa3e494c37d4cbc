"""What goes into the ledger and what comes out, as values; and the reads that both sides share."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import sqlite

from connector.ledger.tables import database_now, deliveries
from connector.rules.contacts import Matches
from connector.rules.delivery import Outcome, State
from connector.rules.interaction import Interaction, Invalid
from connector.rules.keys import Kind as KeyKind
from connector.rules.keys import Kinds
from connector.rules.place import Place
from connector.rules.turnover import Rereads, Turnover
from connector.rules.watermark import Kind, Watermark, from_text

if TYPE_CHECKING:
    from connector.ledger.footing import Footing

COUNTS = ("read", "staged", "delivered", "invalid", "rejected", "waiting", "in_doubt", "pending")
NOW: Any = database_now()

Edition = dict[str, str]
"""By part of an activation (model, payload …) a hash of how it is written."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What must not change under an activation's name, since it decides what a row is."""

    destination: str
    schema_id: str
    row_key: tuple[str, ...]
    renamed_from: str | bool | None = None
    """Its earlier name; False: it is a new one, whatever else the ledger knows."""
    previous_schema_id: str | None = None
    """The schema under which its rows were sent before."""
    neighbours: frozenset[str] = frozenset()
    """The names of the other activations that are configured."""
    place: Place | None = None
    """Where its destination is; None: not known, in a ledger of an older connector."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of the rows of an activation, to know them at the next reading."""

    key_kinds: Kinds | None = None
    """What the columns of the row key hold."""
    rereads: Rereads | None = None
    """What the next run reads again."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution, and the fence that proves that it still holds its activation.

    A command in which a person decides about rows is one too, but stands in no record of runs.
    """

    run_id: str
    activation: str
    fence: int
    started_at: datetime
    restored: str | None = None
    """What says that the ledger was put back from a backup, if this run was the first to see it."""
    footing: "Footing | None" = field(default=None, compare=False, repr=False)
    """What it knows of the ledger under it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger already has under a row key. `contact` and `payload`: None once they are
    gone."""

    id: int
    state: State
    digest: str | None
    reason: str | None
    run_id: str
    contact: str | None = None
    payload: str | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Staged:
    """A row of the model on its way into the ledger."""

    row_key: str
    content: Interaction | Invalid
    history: bool = False
    """It stood in the model before `start: now`: recorded, so that it is never sent."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row that is to be sent."""

    id: int
    row_key: str
    state: State
    attempt: int
    contact: str
    contact_id: str | None
    created_date: str
    payload: str
    suspect: bool
    """It may have been sent by a ledger that is lost, and is read back before it is sent."""
    waited: int | None
    """Milliseconds since its contact was first not found."""


@dataclass(frozen=True, slots=True)
class FoundContact:
    """What a look-up found, to be kept for later runs. `refused`: the destination has refused the
    contactId since, so it spares no look-up any more."""

    destination: str
    digest: str
    identifier: str
    contact_id: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """An attempt to be put on record before its first byte. `found`: what was learnt for it;
    `boot_at`: when that was, by the boot-time clock of the machine's `boot`; `destination_at`: when
    at the latest, by the destination's clock."""

    delivery: Delivery
    contact_id: str
    found: FoundContact | None = None
    boot: int | None = None
    boot_at: int | None = None
    destination_at: int | None = None

    @property
    def number(self) -> int:
        """The attempt's number, from 1."""
        return self.delivery.attempt + 1


@dataclass(frozen=True, slots=True)
class Presumed:
    """A suspect row: recorded as if an attempt that this ledger has forgotten had been made.
    `found`: what was learnt for it."""

    delivery: Delivery
    contact_id: str
    found: FoundContact | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """What an attempt brought. `rest`: how long the row is left alone before the next one;
    `found`: what it says about a contact."""

    delivery_id: int
    number: int
    outcome: Outcome
    rest: timedelta = timedelta(0)
    found: FoundContact | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that no attempt is opened for: its contact is unknown, or could not be looked up
    (`rest`: how long it is left alone), or it is refused."""

    delivery: Delivery
    state: State
    reason: str
    rest: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A row in doubt about its last attempt. `contact`: the identifier that was looked up for it;
    `age`: how long ago, by the database's clock, that
    attempt was opened; taken before the destination is asked. `boot_at`: when it was opened, or its
    doubt first seen, by the clock of `boot`; `destination_at`: when at the latest it was opened, by
    the destination's."""

    delivery_id: int
    row_key: str
    attempt: int
    contact_id: str
    created_date: str
    payload: str
    age: timedelta
    contact: str
    digest: str | None = None
    boot: int | None = None
    boot_at: int | None = None
    destination_at: int | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """A row that an interaction belongs to. `interaction_id` None: a person said that it was
    delivered. `changed_at` in milliseconds since 1970."""

    id: int
    row_key: str
    state: State
    run_id: str
    changed_at: int
    interaction_id: str | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A row whose interaction may be at the destination without being known yet."""

    id: int
    created_date: str
    payload: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a doubt ends (or, with the state in_doubt, why it does not)."""

    doubt: Doubt
    state: State
    word: str
    interaction_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """The figures of a run that was held: before its first request, or when too many of its rows
    were rejected."""

    due: int
    staged: int
    invalid: int
    first: bool = False
    """It would have been the first sync of its activation."""
    rejected: int = 0
    again: int = 0
    """Rows that it should have read again; `gone` of them were missing, while as many unknown ones
    appeared."""
    gone: int = 0


Entry = Opening | Presumed | Closing | SetAside


@dataclass(frozen=True, slots=True)
class Repeated:
    """What became of an answer with the id of an interaction that is another row's, or deleted:
    it proves nothing. `distrust`: what it says of the destination; None where it may be right."""

    reason: str
    distrust: str | None


@dataclass(slots=True)
class Tally:
    """What a run did, row by row."""

    read: int = 0
    staged: int = 0
    delivered: int = 0
    invalid: int = 0
    rejected: int = 0
    given_up: int = 0
    """Those of the rejected that had waited for their contact since an earlier run."""
    waiting: int = 0
    in_doubt: int = 0
    own_doubts: int = 0
    """Those of the rows in doubt that this run itself has sent."""
    pending: int = 0
    notes: list[str] = field(default_factory=list)
    turnover: Turnover | None = None
    """What became of the rows that it should have read again, where as many others appeared."""
    contacts: Matches | None = None
    """How many identifiers matched; None where none is looked up."""


def stored_watermark(row: Any) -> Watermark:
    """The watermark in a row of the table."""
    if row.kind is None:
        return Watermark(row.cursor, left=row.left_behind)
    kind = Kind(row.kind)
    value, floor = (None if t is None else from_text(kind, t) for t in (row.value, row.floor))
    return Watermark(row.cursor, kind, value, floor, row.left_behind)


def stored_identity(row: Any) -> Identity:
    """What the rows of an activation were when they were recorded, from a row of the table."""
    place = None if row.address is None else Place(row.type, row.address)
    return Identity(row.destination, row.schema_id, tuple(json.loads(row.row_key)), place=place)


def stored_remembered(row: Any) -> Remembered:
    """What is remembered of the rows of an activation, from a row of the table."""
    kinds = None
    if row.key_kinds:
        kinds = tuple(kind and KeyKind(kind) for kind in json.loads(row.key_kinds))
    return Remembered(kinds, Rereads.of(row.rereads))


def remembering(what: Remembered | None) -> dict[str, Any]:
    """The columns that hold what is remembered; what is None stays as it is."""
    if what is None:
        return {}
    kinds = json.dumps(what.key_kinds) if what.key_kinds else None
    values = {"key_kinds": kinds, "rereads": what.rereads and what.rereads.text}
    return {name: value for name, value in values.items() if value is not None}


def some_keys(c: Connection, activation: str, after: int, limit: int) -> list[tuple[int, str]]:
    """The next row keys, each with its delivery's id, in the order in which they were recorded."""
    d = deliveries.c
    query = select(d.id, d.row_key).where(d.activation == activation, d.id > after)
    rows: Any = c.execute(query.order_by(d.id).limit(limit))
    return [(row[0], row[1]) for row in rows]


def known_rows(c: Connection, activation: str, keys: Collection[str]) -> dict[str, Known]:
    """What is recorded under each of `keys`; shared by the writing and the reading side."""
    d = deliveries.c
    rows = c.execute(
        select(
            d.row_key, d.id, d.state, d.digest, d.reason, d.run_id, d.contact, d.payload, d.attempt
        ).where(d.activation == activation, d.row_key.in_(list(keys)))
    )
    return {r[0]: Known(r[1], State(r[2]), *r[3:]) for r in rows}


def upsert(c: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the database's own dialect."""
    if c.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # late: other ledgers need it not

    return postgresql.insert(table)


def database_time(c: Connection) -> int:
    """The database's clock in milliseconds since 1970."""
    return int(c.execute(select(NOW)).scalar_one())


def moment(milliseconds: int) -> datetime:
    """A time of the ledger as an aware datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
