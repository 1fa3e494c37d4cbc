"""How the rate of an API key is divided among the processes that use it."""

from alembic import op
from sqlalchemy import BigInteger, Column, Float, String

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "rates",
        Column("key_hash", String, primary_key=True),
        Column("rate", Float),
        Column("changed_at", BigInteger),
        Column("slowed_until", BigInteger),
    )
    op.create_table(
        "rate_shares",
        Column("key_hash", String, primary_key=True),
        Column("holder", String, primary_key=True),
        Column("rate", Float, nullable=False),
        Column("wants", Float, nullable=False),
        Column("share", Float, nullable=False),
        Column("until", BigInteger, nullable=False),
    )
