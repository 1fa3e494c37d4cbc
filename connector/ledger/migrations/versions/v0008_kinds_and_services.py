"""Why a run stopped, as programs read it, and which processes follow the schedules."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, String, Text, text

revision = "0008"
down_revision = "0007"

KILLED = "the process ended before the run did"


def upgrade() -> None:
    """Earlier runs get the kinds that their record still tells."""
    op.add_column("runs", Column("kind", String))
    op.add_column("runs", Column("retryable", Boolean))
    op.execute(
        text(
            "update runs set kind = 'interrupted', retryable = true where error = :killed"
        ).bindparams(killed=KILLED)
    )
    op.execute("update runs set kind = 'defect', retryable = false where error like 'unexpected %'")
    op.create_table(
        "services",
        Column("id", String, primary_key=True),
        Column("holder", Text, nullable=False),
        Column("started_at", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("schedules", Text, nullable=False),
    )
