"""Mirrors: what is taken back since its row is gone or has changed. Approvals, and who did what."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String, Text

revision = "0016"
down_revision = "0015"

Id = BigInteger().with_variant(Integer, "sqlite")
ONLY_ADDED_TO = "the audit list is only added to"


def upgrade() -> None:
    """Take the step."""
    _mirrors()
    _approvals()
    _limits()
    _turns()


def _mirrors() -> None:
    """Rows that are taken back, and what the model says of them now."""


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


def _turns() -> None:
    """Rows that wait until their contact may be told something again."""
