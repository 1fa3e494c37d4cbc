"""How long requests are remembered: when one was done, and when another was first not there."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Of earlier requests neither is known, so they are no evidence."""
    for name in ("done_at", "absent_at"):
        op.add_column("requests", Column(name, BigInteger))
