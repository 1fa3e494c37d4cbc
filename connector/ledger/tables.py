"""The ledger's tables, and the little SQL that stands in many statements.

People query them, so names and columns are part of the outside. Times are whole milliseconds since
1970 in UTC by the database's clock: six bytes in SQLite, and the same arithmetic in both databases
(docs/ledger.md shows how to read them).
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    select,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

T = TypeVar("T")
MOST_NAMED = 1000
metadata = MetaData()
Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only under INTEGER

OPEN, NOT_WELL = text("state <> 'delivered'"), text("status <> 'succeeded'")
"""The predicates of indexes over few rows, and few runs; queries repeat them to be served."""

ledgers = Table(  # one row
    "ledgers",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("identity", String, nullable=False),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("server", String),  # PostgreSQL's cluster and timeline
    Column("restored_at", BigInteger),  # when it was last found to come from a backup
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("activation", String, primary_key=True),
    Column("cursor", String),
    Column("kind", String),  # what the cursor is: see connector.rules.watermark.Kind
    Column("value", Text),  # the position up to which every row is recorded
    Column("floor", Text),  # rows below it are history, since the activation began with start: now
    Column("destination", String, nullable=False),
    Column("schema_id", String, nullable=False),
    Column("row_key", Text, nullable=False),
    Column("begun_at", BigInteger),  # when the first run had read the whole model
    Column("read_at", BigInteger),  # when the model was last read to its end
    Column("held", Text),  # JSON: the figures for which a run was held; NULL: it is not held
    Column("edition", Text),  # JSON: hashes of how the activation was written at its last reading
    Column("suspect", Boolean),  # until the model was read to its end after a restore
    Column("changed_at", BigInteger, nullable=False),
    Column("left_behind", Integer),  # newest rows behind, unrecorded at an edit; NULL: not counted
    # NULL in these: recorded by an older connector, and learnt from the next run
    Column("type", String),  # what kind of destination the rows went to
    Column("address", Text),  # where that is: see connector.rules.place
    Column("key_kinds", Text),  # JSON: what the row key's columns hold: see connector.rules.keys
    Column("rereads", Text),  # JSON: what the next run reads again: see connector.rules.turnover
    Column("origin", String),  # what its rows' references are computed from: its first name, and …
    Column("reference_prefix", String),  # … what the destination's settings put before; "": nothing
    Column("identifier", Text),  # JSON: what contacts are known by, and what narrows that
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("activation", String, nullable=False),
    Column("row_key", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),  # attempts opened so far
    Column("run_id", String, nullable=False),  # the run that moved the row last
    Column("changed_at", BigInteger, nullable=False),
    Column("interaction_id", Text),
    Column("digest", String),  # of payload and created date: see connector.rules.interaction
    Column("contact", Text),  # the identifier as it stands in the row; gone once delivered
    Column("contact_id", Text),  # what the look-up gave; gone once delivered
    Column("created_date", Text),
    Column("payload", Text),  # the JSON object to be sent; gone once delivered
    Column("reason", Text),
    Column("due_at", BigInteger),  # not before; NULL: at once
    Column("waiting_since", BigInteger),
    Column("suspect", Boolean),  # read back before its first send: see restored.py
    # of a mirror's rows; NULL: of none
    Column("about", String),  # short keyed hash of whom it is about
    Column("source", String),  # the warehouse's digest of the row; NULL: it has computed none
    # no lists of more than two: SQLite would build a set of each for every statement
    CheckConstraint(
        "(state <> 'pending' AND state <> 'sending' AND state <> 'waiting' AND state <> 'in_doubt')"
        " OR (payload IS NOT NULL AND contact IS NOT NULL AND created_date IS NOT NULL)",
        name="unsent_rows_keep_their_body",
    ),
    CheckConstraint(
        "state <> 'delivered' OR (payload IS NULL AND contact IS NULL AND contact_id IS NULL)",
        name="delivered_rows_keep_no_body",
    ),
    CheckConstraint(
        "(state <> 'invalid' AND state <> 'rejected' AND state <> 'in_doubt'"
        " AND state <> 'discarded') OR reason IS NOT NULL",
        name="quarantined_rows_have_a_reason",
    ),
    CheckConstraint(
        "state NOT IN ('sending', 'in_doubt') OR (attempt > 0 AND contact_id IS NOT NULL)",
        name="sent_rows_have_an_attempt_and_a_contact",
    ),
    CheckConstraint(
        "state <> 'waiting' OR (waiting_since IS NOT NULL AND due_at IS NOT NULL)",
        name="waiting_rows_are_due_again",
    ),
    CheckConstraint(
        "interaction_id IS NULL OR (state = 'delivered' OR state = 'undone' OR state = 'removed')",
        name="only_delivered_rows_have_an_interaction",
    ),
)
Index("deliveries_key", deliveries.c.activation, deliveries.c.row_key, unique=True)
# in PostgreSQL the indexes have the same conditions; naming them here would import that dialect for
# every ledger
# only the beginning of an id: small, and enough to find the few rows that must be looked at
Index(
    "deliveries_interaction",
    text("substr(interaction_id, 1, 8)"),
    _table=deliveries,
    sqlite_where=text("interaction_id IS NOT NULL"),
)
Index(
    "deliveries_open",
    deliveries.c.activation,
    deliveries.c.state,
    deliveries.c.id,
    sqlite_where=OPEN,
)

delivery_counts = Table(  # kept by triggers: nobody counts millions of rows to be told of them
    "delivery_counts",
    metadata,
    Column("activation", String, primary_key=True),
    Column("state", String, primary_key=True),  # one of COUNTED
    Column("day", Integer, primary_key=True, autoincrement=False),  # of changed_at, since 1970
    Column("number", Integer, nullable=False),
    sqlite_with_rowid=False,
)
COUNTED = ("delivered", "discarded", "undone", "removed")
"""States in which rows pile up; the others are few, and the index over open rows counts them."""
PRUNED = "pruned"
"""The word in place of a state for rows that were delivered and of which nothing else is left."""

requests = Table(  # of destinations that take many rows in one, or know rows by their request
    "requests",
    metadata,
    Column("id", Id, primary_key=True),
    Column("activation", String, nullable=False),
    Column("run_id", String, nullable=False),  # the run that sent it last
    Column("reference", String, nullable=False),  # its own, by which the destination is asked
    Column("theirs", Text),  # the destination's own id of it, where that is another one
    Column("rows", Integer, nullable=False),
    Column("digest", String, nullable=False),  # of its bytes
    Column("times", Integer, nullable=False, server_default="1"),  # that it was sent
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("outcome", String),  # that of an attempt; then absent, or split
    Column("http_status", Integer),
    Column("reason", Text),
    Column("seen_at", BigInteger),  # when the destination first said that it has it
    Column("known_at", BigInteger),  # the same, when it was asked for by our reference
    Column("asked_at", BigInteger),  # when it was last asked about it
    Column("next_at", BigInteger),  # not to be asked before
    Column("ended_at", BigInteger),  # since when nobody asks any more
    # how it could be settled when it was sent: request, row, or none (see Proof in the port)
    Column("proof", String, nullable=False, server_default="request"),
    Column("done_at", BigInteger),  # when the destination first said that it is done with it
    Column("absent_at", BigInteger),  # when it first said that there is none, late enough
)
Index("requests_reference", requests.c.activation, requests.c.reference, unique=True)
STILL_OPEN = text("ended_at IS NULL")
Index("requests_open", requests.c.activation, requests.c.id, sqlite_where=STILL_OPEN)
ASKABLE = requests.c.proof == "request"
"""Requests that the destination could be asked for when they were sent, however it is set now."""

attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("run_id", String, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("outcome", String),  # accepted, submitted, refused, not_applied, unknown
    Column("http_status", Integer),
    Column("reason", Text),
    # of attempts that are open or in doubt: two more clocks, since one alone may step
    Column("boot", BigInteger),  # a boot of a machine, and …
    Column("boot_at", BigInteger),  # … its CLOCK_BOOTTIME at the opening, or the doubt's beginning
    Column("destination_at", BigInteger),  # the opening by the destination's clock, at the latest
    Column("request", Id),  # of `requests`, and …
    Column("place", Integer),  # … where the row stood in it; NULL: there is none on record
    CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="closed_with_an_outcome"),
    sqlite_with_rowid=False,
)
Index("attempts_request", attempts.c.request, sqlite_where=text("request IS NOT NULL"))
CLOCKS_OF_DOUBTS = (attempts.c.boot, attempts.c.boot_at, attempts.c.destination_at)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("delivery_id", Id, ForeignKey("deliveries.id"), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),  # "read-back of run …", or "person: …"
    Column("decision", String, nullable=False),
    Column("was", String, nullable=False),  # the state that the row had
    Column("state", String, nullable=False),  # what it became
    Column("reason", Text),  # why it was what it was, until then
    Column("note", Text),  # what the person said about it
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("activation", String, nullable=False),
    Column("status", String, nullable=False),  # running, succeeded, attention, held, stopped
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    *[
        Column(name, Integer, nullable=False, server_default="0")
        for name in ("read", "staged", "delivered", "invalid", "rejected", "waiting", "in_doubt")
    ],
    Column("pending", Integer, nullable=False, server_default="0"),
    Column("watermark", Text),
    Column("error", Text),
    Column("notes", Text),  # JSON array of sentences
    Column("contacts", Text),  # JSON: how many identifiers matched; NULL: none was looked up
    Column("undone", Integer, nullable=False, server_default="0"),  # of those it delivered, since
    Column("kind", String),  # of what stopped it: see connector.rules.errors.KINDS
    Column("retryable", Boolean),  # whether running it again may help, with nothing changed
    Column("submitted", Integer, nullable=False, server_default="0"),
    # of rows that nobody could be asked about: sent again, or taken for delivered
    Column("resent", Integer, nullable=False, server_default="0"),
    Column("assumed", Integer, nullable=False, server_default="0"),
    # what later runs are compared with (see connector.rules.history); NULL: nothing
    Column("due", Integer),  # rows that it had to send
    Column("matched", Float),  # share of their contacts that was found, before the first send
    Column("empty", Boolean),  # the model had no row at all
    Column("comparable", Boolean),  # a run like any other, if it has ended well
    # interactions that a mirror has taken back: their row is gone, or it has changed
    *[Column(n, Integer, nullable=False, server_default="0") for n in ("removed", "replaced")],
    Column("by", Text),  # who asked for it: a name, or "schedule"; NULL: nobody said so
    *[Column(name, Text) for name in ("dbt_model", "relation")],  # what it read of dbt
    Column("tag", Text),  # by which whoever asked for it finds it again
    Column("done", Boolean),  # nothing was left to be sent at once; NULL: not known
    Column("rests", Text),  # JSON: rows that wait for a window or their turn; NULL: none
    # ids between which the deliveries are that it touched; 0: none yet, NULL: not known
    *[Column(name, BigInteger) for name in ("first_delivery", "last_delivery")],
)
Index("runs_by_tag", runs.c.tag, sqlite_where=text("tag IS NOT NULL"))
Index("runs_by_activation", runs.c.activation, runs.c.started_at)
Index("runs_in_order", runs.c.started_at, runs.c.run_id)
Index("runs_not_well", runs.c.started_at, runs.c.run_id, runs.c.status, sqlite_where=NOT_WELL)

migrations = Table(  # schemas that are deleted and created anew: see replacing.py
    "migrations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("destination", String, nullable=False),
    Column("schema_id", String, nullable=False),
    Column("step", String, nullable=False),
    Column("was", Text, nullable=False),  # JSON: the schema that is deleted
    Column("definition", Text, nullable=False),  # JSON: the schema that is created
    Column("interactions", Integer, nullable=False),  # the number that was confirmed
    Column("by", Text, nullable=False),  # "person: …"
    Column("started_at", BigInteger, nullable=False),
    Column("asked_at", BigInteger),  # when the last deletion, or creation, was asked for
    Column("changed_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)
Index(
    "migrations_under_way",
    migrations.c.destination,
    migrations.c.schema_id,
    unique=True,
    sqlite_where=text("finished_at IS NULL"),
)

migrated_rows = Table(  # what is sent again: recorded before anything is deleted
    "migrated_rows",
    metadata,
    Column("delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True, autoincrement=False),
    Column("migration", Id, ForeignKey("migrations.id"), nullable=False, index=True),
    Column("moved", Boolean, nullable=False),  # the row is pending with this content
    Column("interaction_id", Text, index=True),  # deleted, but perhaps still shown for a while
    Column("digest", String),
    Column("contact", Text),  # gone once moved, as the next two
    Column("created_date", Text),
    Column("payload", Text),
    Column("reason", Text),  # why it cannot be sent again
)

removed_interactions = Table(  # deleted, and perhaps still shown for a while: see ownership.py
    "removed_interactions",
    metadata,
    Column("digest", String, primary_key=True),  # of the interaction's id
    Column("delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

Index("removed_interactions_of", removed_interactions.c.delivery_id)

pruned = Table(  # activations of which delivered rows, or runs, were pruned: see pruned.py
    "pruned",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("activation", String, nullable=False, unique=True),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("runs", BigInteger, nullable=False, server_default="0"),
    Column("before", BigInteger),  # all of them were delivered, or had ended, before that
    Column("day", Integer, nullable=False, server_default="0"),  # up to which all is done
)

pruned_keys = Table(  # by which a pruned row is known again: see digests.py
    "pruned_keys",
    metadata,
    Column("activation", Integer, primary_key=True, autoincrement=False),  # its number
    *[Column(n, BigInteger, primary_key=True, autoincrement=False) for n in ("high", "low")],
    sqlite_with_rowid=False,
)

pruned_interactions = Table(  # which were those of pruned rows: an id has one owner for ever
    "pruned_interactions",
    metadata,
    *[Column(n, BigInteger, primary_key=True, autoincrement=False) for n in ("high", "low")],
    Column("activation", Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

trials = Table(  # interactions that are no rows': tests and probes; see trials.py
    "trials",
    metadata,
    Column("id", Id, primary_key=True),
    Column("destination", String, nullable=False),
    Column("type", String, nullable=False),  # where that is, as in watermarks
    Column("address", String, nullable=False),
    Column("aim", String, nullable=False),  # probe, test, schema
    Column("target", String, nullable=False),  # the schema
    Column("state", String, nullable=False),  # open, removed, absent, kept
    Column("activation", String),  # of the row that it was made of; NULL: of none
    Column("row_key", Text),
    Column("reference", String),  # a mark that it carries
    Column("contact", Text),  # gone once it is removed or known absent, as the payload
    Column("created_date", Text),
    Column("payload", Text),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),  # when its answer was recorded
    Column("outcome", String),  # that of an attempt
    Column("http_status", Integer),
    Column("interaction_id", Text),
    Column("digest", String),  # of the id, as in removed_interactions
    Column("ended_at", BigInteger),
    Column("holder", Text),  # JSON: the process that made it
    Column("boot", BigInteger),  # as in attempts
    Column("boot_at", BigInteger),
    Column("destination_at", BigInteger),
    CheckConstraint(
        "state IN ('open', 'kept') OR (contact IS NULL AND payload IS NULL)",
        name="ended_trials_keep_no_body",
    ),
    CheckConstraint(
        "(interaction_id IS NULL) = (digest IS NULL)", name="an_id_is_known_by_its_digest"
    ),
)
Index("trials_interaction", trials.c.digest, sqlite_where=text("digest IS NOT NULL"))
Index("trials_open", trials.c.type, trials.c.address, sqlite_where=text("state = 'open'"))

pauses = Table(  # activations that nothing runs, without an edit of the configuration
    "pauses",
    metadata,
    Column("activation", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("migration", Id, ForeignKey("migrations.id")),  # which keeps it until it is done
)
PAUSERS = ("replacement of the schema {}", "migration of the schema {}")
"""What stands as the author of a pause that a replacement made; the latter in older ledgers."""

services = Table(  # processes that follow the schedules, each while it lives
    "services",
    metadata,
    Column("id", String, primary_key=True),
    Column("holder", Text, nullable=False),  # JSON: host, process, since when
    Column("started_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),  # silent for longer, it counts as ended
    Column("schedules", Text, nullable=False),  # JSON: by activation, when it is due next
)

receipts = Table(  # what a verification of an activation found: see connector.rules.receipt
    "receipts",
    metadata,
    Column("receipt_id", String, primary_key=True),
    Column("activation", String, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),  # what was delivered later, the next one looks at
    *[
        Column(name, Integer, nullable=False)
        for name in ("rows", "interactions", "missing", "twice", "changed", "not_proven")
    ],
    Column("result", String, nullable=False),  # ok, not_proven, deviation
    Column("document", Text, nullable=False),  # JSON, byte for byte what is signed
    Column("key", String, nullable=False),  # which key signed it
    Column("signature", String, nullable=False),
    Column("deviations", Text, nullable=False),  # JSON: rows that the next one looks at again
)
Index("receipts_by_activation", receipts.c.activation, receipts.c.began_at)

turns = Table(  # of activations with `per_contact`: who was sent to when, or waits: turns.py
    "turns",
    metadata,
    Column("delivery_id", Id, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("activation", String, nullable=False),
    Column("contact", String, nullable=False),  # short keyed hash of the contact's id
    Column("at", BigInteger, nullable=False),  # by the wall clock; of who waits: not before
    Column("void", Boolean, nullable=False),  # certainly not stored: it has used up nothing
    Column("cap", String),  # by which a row waits that has no attempt yet; NULL: it has one
    sqlite_with_rowid=False,
)
Index("turns_by_contact", turns.c.activation, turns.c.contact, turns.c.at)
Index("turns_waiting", turns.c.activation, turns.c.at, sqlite_where=text("cap IS NOT NULL"))

leases = Table(
    "leases",
    metadata,
    Column("activation", String, primary_key=True),
    Column("fence", BigInteger, nullable=False),  # grows by one with every run
    Column("run_id", String),  # NULL: nobody holds it
    Column("holder", Text),  # JSON: host, process, since when
    Column("expires_at", BigInteger, nullable=False),
    Column("writes", BigInteger, nullable=False, server_default="0"),  # of all who have held it
)
FREE = {"run_id": None, "holder": None, "expires_at": 0}
"""The columns of a lease that nobody has."""


class database_now(FunctionElement[int]):  # noqa: N801 -- used as a SQL function
    """The database's clock in milliseconds since 1970: the one clock that all processes share."""

    type = BigInteger()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(element: object, compiler: object, **kw: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(database_now, "postgresql")
def _postgresql_now(element: object, compiler: object, **kw: Any) -> str:
    return "CAST(extract(epoch from clock_timestamp()) * 1000 AS bigint)"


NOW: Any = database_now()


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """The values, in lists that are short enough to be named in one statement."""
    whole = list(values)
    for start in range(0, len(whole), MOST_NAMED):
        yield whole[start : start + MOST_NAMED]


def upsert(c: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the database's own dialect."""
    if c.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # late: other ledgers need it not

    return postgresql.insert(table)


def database_time(c: Connection) -> int:
    """The database's clock in milliseconds since 1970."""
    return int(c.execute(select(NOW)).scalar_one())


TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
"""PostgreSQL's timeline, which changes with a restore."""
