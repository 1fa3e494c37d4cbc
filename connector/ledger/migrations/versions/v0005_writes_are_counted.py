"""The lease counts what its holders write, so that a ledger that went back is seen at once."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the count."""
    op.add_column("leases", Column("writes", BigInteger, nullable=False, server_default="0"))
