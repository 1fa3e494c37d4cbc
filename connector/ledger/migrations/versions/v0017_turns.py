"""How often one contact is told something: who was sent to when, and which rows wait their turn."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, String, text

revision = "0017"
down_revision = "0016"

Id = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Take the step."""
    _turns()


def _turns() -> None:
    op.create_table(
        "turns",
        Column("delivery_id", Id, primary_key=True, autoincrement=False),
        Column("attempt", Integer, primary_key=True, autoincrement=False),
        Column("activation", String, nullable=False),
        Column("contact", String, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("void", Boolean, nullable=False),
        Column("cap", String),
        sqlite_with_rowid=False,
    )
    op.create_index("turns_by_contact", "turns", ["activation", "contact", "at"])
    waits = text("cap IS NOT NULL")
    columns = ["activation", "at"]
    op.create_index("turns_waiting", "turns", columns, sqlite_where=waits, postgresql_where=waits)
