"""Runs are found again by a tag, and say whether anything was left to be sent."""

from alembic import op
from sqlalchemy import Boolean, Column, Text, text

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Of earlier runs neither is known."""
    op.add_column("runs", Column("tag", Text))
    op.add_column("runs", Column("done", Boolean))
    tagged = text("tag IS NOT NULL")
    op.create_index("runs_by_tag", "runs", ["tag"], sqlite_where=tagged, postgresql_where=tagged)
