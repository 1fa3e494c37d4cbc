"""Runs tell between which deliveries theirs stand."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Of earlier runs it is not known, as of those that an older connector still begins."""
    for name in ("first_delivery", "last_delivery"):
        op.add_column("runs", Column(name, BigInteger))
