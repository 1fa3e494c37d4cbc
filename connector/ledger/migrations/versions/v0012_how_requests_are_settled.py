"""How a request is settled is known of each; what a run took for granted is counted."""

from alembic import op
from sqlalchemy import Column, Integer, String

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Take the step."""
    op.add_column("requests", Column("proof", String, nullable=False, server_default="request"))
    for name in ("resent", "assumed"):
        op.add_column("runs", Column(name, Integer, nullable=False, server_default="0"))
