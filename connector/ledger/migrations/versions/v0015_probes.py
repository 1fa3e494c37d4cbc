"""How destinations behaved when they were measured."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String, Text

revision = "0015"
down_revision = "0014"

Id = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "probes",
        Column("id", Id, primary_key=True),
        *[Column(name, String, nullable=False) for name in ("destination", "type", "address")],
        Column("measured_at", BigInteger, nullable=False),
        Column("document", Text, nullable=False),
    )
