"""The first tables, and the triggers that refuse illegal moves."""

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    String,
    Text,
    text,
)

revision = "0001"
down_revision = None

Id = BigInteger().with_variant(Integer, "sqlite")

FIRST_STATES = ("pending", "invalid", "discarded")
MOVES = (
    "pending>sending",
    "pending>waiting",
    "pending>in_doubt",
    "pending>rejected",
    "pending>delivered",
    "pending>discarded",
    "waiting>sending",
    "waiting>in_doubt",
    "waiting>rejected",
    "waiting>discarded",
    "sending>delivered",
    "sending>rejected",
    "sending>pending",
    "sending>in_doubt",
    "in_doubt>delivered",
    "in_doubt>rejected",
    "in_doubt>pending",
    "in_doubt>discarded",
    "invalid>pending",
    "invalid>discarded",
    "rejected>pending",
    "rejected>invalid",
    "rejected>discarded",
    "delivered>undone",
    "undone>pending",
)


def upgrade() -> None:
    """Create everything."""
    create_tables()
    create_triggers()


def create_tables() -> None:
    """The tables and their indexes."""
    op.create_table(
        "ledgers",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("identity", String, nullable=False),
        Column("generation", BigInteger, nullable=False, server_default="0"),
        Column("server", String),
        Column("restored_at", BigInteger),
    )
    op.create_table(
        "watermarks",
        Column("activation", String, primary_key=True),
        Column("cursor", String),
        Column("kind", String),
        Column("value", Text),
        Column("floor", Text),
        Column("destination", String, nullable=False),
        Column("schema_id", String, nullable=False),
        Column("row_key", Text, nullable=False),
        Column("begun_at", BigInteger),
        Column("read_at", BigInteger),
        Column("held", Text),
        Column("edition", Text),
        Column("suspect", Boolean),
        Column("changed_at", BigInteger, nullable=False),
    )
    op.create_table(
        "deliveries",
        Column("id", Id, primary_key=True),
        Column("activation", String, nullable=False),
        Column("row_key", Text, nullable=False),
        Column("state", String, nullable=False),
        Column("attempt", Integer, nullable=False, server_default="0"),
        Column("run_id", String, nullable=False),
        Column("changed_at", BigInteger, nullable=False),
        Column("interaction_id", Text),
        Column("digest", String),
        Column("contact", Text),
        Column("contact_id", Text),
        Column("created_date", Text),
        Column("payload", Text),
        Column("reason", Text),
        Column("due_at", BigInteger),
        Column("waiting_since", BigInteger),
        Column("suspect", Boolean),
        CheckConstraint(
            "state NOT IN ('pending', 'sending', 'waiting', 'in_doubt')"
            " OR (payload IS NOT NULL AND contact IS NOT NULL AND created_date IS NOT NULL)",
            name="unsent_rows_keep_their_body",
        ),
        CheckConstraint(
            "state <> 'delivered' OR (payload IS NULL AND contact IS NULL AND contact_id IS NULL)",
            name="delivered_rows_keep_no_body",
        ),
        CheckConstraint(
            "state NOT IN ('invalid', 'rejected', 'in_doubt', 'discarded') OR reason IS NOT NULL",
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
            "interaction_id IS NULL OR state IN ('delivered', 'undone')",
            name="only_delivered_rows_have_an_interaction",
        ),
    )
    op.create_index("deliveries_key", "deliveries", ["activation", "row_key"], unique=True)
    op.create_index(
        "deliveries_interaction",
        "deliveries",
        [text("substr(interaction_id, 1, 8)")],
        sqlite_where=text("interaction_id IS NOT NULL"),
        postgresql_where=text("interaction_id IS NOT NULL"),
    )
    op.create_index(
        "deliveries_open",
        "deliveries",
        ["activation", "state", "id"],
        sqlite_where=text("state <> 'delivered'"),
        postgresql_where=text("state <> 'delivered'"),
    )
    op.create_table(
        "attempts",
        Column("delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("run_id", String, nullable=False),
        Column("opened_at", BigInteger, nullable=False),
        Column("closed_at", BigInteger),
        Column("outcome", String),
        Column("http_status", Integer),
        Column("reason", Text),
        CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="closed_with_an_outcome"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "decisions",
        Column("id", Id, primary_key=True),
        Column("delivery_id", Id, ForeignKey("deliveries.id"), nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("by", Text, nullable=False),
        Column("decision", String, nullable=False),
        Column("was", String, nullable=False),
        Column("state", String, nullable=False),
        Column("reason", Text),
        Column("note", Text),
    )
    op.create_index("ix_decisions_delivery_id", "decisions", ["delivery_id"])
    op.create_table(
        "contacts",
        Column("destination", String, primary_key=True),
        Column("digest", String, primary_key=True),
        Column("identifier", String, nullable=False),
        Column("contact_id", String, nullable=False),
        Column("looked_up_at", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("contacts_by_age", "contacts", ["destination", "looked_up_at"])
    op.create_table(
        "runs",
        Column("run_id", String, primary_key=True),
        Column("activation", String, nullable=False),
        Column("status", String, nullable=False),
        Column("started_at", BigInteger, nullable=False),
        Column("finished_at", BigInteger),
        *[
            Column(name, Integer, nullable=False, server_default="0")
            for name in (
                "read",
                "staged",
                "delivered",
                "invalid",
                "rejected",
                "waiting",
                "in_doubt",
            )
        ],
        Column("pending", Integer, nullable=False, server_default="0"),
        Column("watermark", Text),
        Column("error", Text),
        Column("notes", Text),
        Column("contacts", Text),
    )
    op.create_index("runs_by_activation", "runs", ["activation", "started_at"])
    create_migrations()
    op.create_table(
        "pauses",
        Column("activation", String, primary_key=True),
        Column("at", BigInteger, nullable=False),
        Column("by", Text, nullable=False),
        Column("migration", Id, ForeignKey("migrations.id")),
    )
    op.create_table(
        "leases",
        Column("activation", String, primary_key=True),
        Column("fence", BigInteger, nullable=False),
        Column("run_id", String),
        Column("holder", Text),
        Column("expires_at", BigInteger, nullable=False),
    )


def create_migrations() -> None:
    """The tables of schemas that are deleted and created anew."""
    op.create_table(
        "migrations",
        Column("id", Id, primary_key=True),
        Column("destination", String, nullable=False),
        Column("schema_id", String, nullable=False),
        Column("step", String, nullable=False),
        Column("was", Text, nullable=False),
        Column("definition", Text, nullable=False),
        Column("interactions", Integer, nullable=False),
        Column("by", Text, nullable=False),
        Column("started_at", BigInteger, nullable=False),
        Column("asked_at", BigInteger),
        Column("changed_at", BigInteger, nullable=False),
        Column("finished_at", BigInteger),
    )
    op.create_index(
        "migrations_under_way",
        "migrations",
        ["destination", "schema_id"],
        unique=True,
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    )
    op.create_table(
        "migrated_rows",
        Column(
            "delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True, autoincrement=False
        ),
        Column("migration", Id, ForeignKey("migrations.id"), nullable=False),
        Column("moved", Boolean, nullable=False),
        Column("interaction_id", Text),
        Column("digest", String),
        Column("contact", Text),
        Column("created_date", Text),
        Column("payload", Text),
        Column("reason", Text),
    )
    op.create_index("ix_migrated_rows_migration", "migrated_rows", ["migration"])
    op.create_index("ix_migrated_rows_interaction_id", "migrated_rows", ["interaction_id"])


def create_triggers() -> None:
    """The database itself refuses what `connector.rules.delivery.TRANSITIONS` does not list."""
    other = " AND ".join(f"NEW.state <> '{state}'" for state in FIRST_STATES)
    create_trigger("deliveries_first_state", "INSERT", other)
    create_trigger("deliveries_move", "UPDATE OF state", forbidden(MOVES))


def forbidden(moves: Sequence[str]) -> str:
    """The condition for a change of the state that is none of `moves`."""
    # one after the other, the common ones first: SQLite would build a set of a list at each row
    allowed = " OR ".join(
        f"(OLD.state = '{old}' AND NEW.state = '{new}')"
        for old, new in (move.split(">") for move in moves)
    )
    return f"OLD.state <> NEW.state AND NOT ({allowed})"


def create_trigger(name: str, event: str, forbidden: str) -> None:
    """A trigger that aborts the statement when the condition `forbidden` holds for a row."""
    message = "the ledger does not allow this move"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON deliveries WHEN {forbidden}"
            f" BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {event} ON deliveries FOR EACH ROW"
        f" WHEN ({forbidden}) EXECUTE FUNCTION {name}()"
    )


def downgrade() -> Any:
    """There is nothing before the first step."""
    raise NotImplementedError("restore a backup instead")
