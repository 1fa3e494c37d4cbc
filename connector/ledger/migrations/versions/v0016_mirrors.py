"""Mirrors: what is taken back since its row is gone or has changed. Approvals, and who did what."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Integer, String, Text

from connector.ledger.migrations.versions import v0001_first_tables as first
from connector.ledger.migrations.versions import v0006_counted_rows as counted
from connector.ledger.migrations.versions import v0010_requests as before

revision = "0016"
down_revision = "0015"

Id = BigInteger().with_variant(Integer, "sqlite")
MOVES = (
    *before.MOVES,
    *(f"{state}>removed" for state in ("pending", "waiting", "invalid", "rejected", "delivered")),
    "pending>invalid",
    "waiting>pending",
    "waiting>invalid",
    "delivered>pending",
    "delivered>invalid",
    "removed>pending",
    "removed>invalid",
)
COUNTED = ("delivered", "discarded", "undone", "removed")
HAS_ID = "interaction_id IS NULL OR state IN ({})"
CONSTRAINT = "only_delivered_rows_have_an_interaction"
WITH_IDS = ("'delivered', 'undone'", "'delivered', 'undone', 'removed'")
"""The states in which a row may have one: until now, and from now on."""
GIVES_UP = (
    "OLD.state = 'delivered' AND (NEW.state = 'pending' OR NEW.state = 'invalid') AND"
    " (OLD.interaction_id IS NULL OR NEW.interaction_id IS NOT NULL OR NEW.attempt = OLD.attempt)"
)
"""What was sent of a row is replaced only where it can be taken back; and an answer to an attempt
of before is not one to what is sent anew."""
ONLY_ADDED_TO = "the audit list is only added to"


def upgrade() -> None:
    """Take the step."""
    _mirrors()
    _approvals()
    _limits()


def _mirrors() -> None:
    """Rows that are taken back, and what the model says of them now."""
    for name in ("about", "source"):
        op.add_column("deliveries", Column(name, String))
    for name in ("removed", "replaced"):
        op.add_column("runs", Column(name, Integer, nullable=False, server_default="0"))
    op.create_table(
        "changes",
        Column(
            "delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True, autoincrement=False
        ),
        Column("aim", String, nullable=False),
        Column("run_id", String, nullable=False),
        Column("found_at", BigInteger, nullable=False),
        Column("approved", Integer),
        Column("asked_at", BigInteger),
        Column("due_at", BigInteger),
        Column("refused", Text),
        Column("suspect", Boolean),
        *[Column(name, Text) for name in ("contact", "created_date", "payload")],
        *[Column(name, String) for name in ("digest", "about", "source")],
        Column("invalid", Text),
    )
    before.drop_trigger("deliveries_move")
    first.create_trigger("deliveries_move", "UPDATE OF state", first.forbidden(MOVES))
    first.create_trigger("deliveries_replaced", "UPDATE OF state", GIVES_UP)
    counted.count_anew(COUNTED)
    _let_removed_rows_have_ids()


def _let_removed_rows_have_ids() -> None:
    """Widen a check. SQLite would have to write the table anew for it, with all of its rows; where
    a check only becomes wider, its documentation has a way that leaves them as they are."""
    old, new = (HAS_ID.format(states) for states in WITH_IDS)
    c = op.get_bind()
    if c.dialect.name != "sqlite":
        op.drop_constraint(CONSTRAINT, "deliveries")
        op.create_check_constraint(CONSTRAINT, "deliveries", new)
        return
    tables = "SELECT sql FROM sqlite_master WHERE name = 'deliveries'"
    if new in c.exec_driver_sql(tables).scalar_one():
        return
    version = c.exec_driver_sql("PRAGMA schema_version").scalar_one()
    c.exec_driver_sql("PRAGMA writable_schema = 1")
    change = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'deliveries'"
    c.exec_driver_sql(change, (old, new))
    c.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    c.exec_driver_sql("PRAGMA writable_schema = RESET")
    if new not in c.exec_driver_sql(tables).scalar_one():
        raise RuntimeError("the table of deliveries is not as the steps before have made it")


def _approvals() -> None:
    """Who let a held run go, and what else persons did."""
    op.add_column("runs", Column("by", Text))
    op.create_table(
        "approvals",
        Column("id", Id, primary_key=True),
        Column("activation", String, nullable=False),
        Column("run_id", String),
        Column("at", BigInteger, nullable=False),
        Column("by", Text, nullable=False),
        Column("note", Text),
        Column("digest", String, nullable=False),
        Column("shown", Text, nullable=False),
        Column("expires_at", BigInteger),
        Column("used_by", String),
        Column("used_at", BigInteger),
        Column("void", Text),
    )
    op.create_index("approvals_by_activation", "approvals", ["activation", "id"])
    op.create_table(
        "audit",
        Column("id", Id, primary_key=True),
        Column("at", BigInteger, nullable=False),
        Column("by", Text, nullable=False),
        Column("what", String, nullable=False),
        Column("activation", String),
        Column("run_id", String),
        Column("details", Text, nullable=False),
    )
    op.create_index("audit_by_activation", "audit", ["activation", "id"])
    _only_added_to("audit")


def _only_added_to(table: str) -> None:
    """What stands in `table` can be neither changed nor taken out."""
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{event.lower()} BEFORE {event} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{ONLY_ADDED_TO}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{ONLY_ADDED_TO}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_only_added_to()"
    )


def _limits() -> None:
    """What runs are compared with."""
    for column in (
        Column("due", Integer),
        Column("matched", Float),
        Column("empty", Boolean),
        Column("comparable", Boolean),
    ):
        op.add_column("runs", column)
