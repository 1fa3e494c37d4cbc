"""Attempts keep when they were opened by two more clocks than the database's.

Of those that there are, nobody knows that any more: their doubts wait until they were seen long
enough.
"""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    for name in ("boot", "boot_at", "destination_at"):
        op.add_column("attempts", Column(name, BigInteger))
