"""How runs went in time: their phases, and their requests a second."""

from alembic import op
from sqlalchemy import Column, String, Text

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Of earlier runs it is not known."""
    op.create_table(
        "tempos",
        Column("run_id", String, primary_key=True),
        Column("document", Text, nullable=False),
    )
