"""What scheduled verifications found, and which process is about one."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String, Text

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "receipts",
        Column("receipt_id", String, primary_key=True),
        Column("activation", String, nullable=False),
        Column("began_at", BigInteger, nullable=False),
        Column("finished_at", BigInteger, nullable=False),
        Column("until", BigInteger, nullable=False),
        *[
            Column(name, Integer, nullable=False)
            for name in ("rows", "interactions", "missing", "twice", "changed", "not_proven")
        ],
        Column("result", String, nullable=False),
        Column("document", Text, nullable=False),
        Column("key", String, nullable=False),
        Column("signature", String, nullable=False),
        Column("deviations", Text, nullable=False),
    )
    op.create_index("receipts_by_activation", "receipts", ["activation", "began_at"])
    op.create_table(
        "verifications",
        Column("activation", String, primary_key=True),
        Column("began_at", BigInteger, nullable=False),
        Column("holder", Text, nullable=False),
        Column("token", String, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
    )
