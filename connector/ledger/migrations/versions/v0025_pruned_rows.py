"""Of rows that were delivered long ago no more is kept than by what they are known again."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Nothing is pruned by this, nor where `ledger.keep` is not said."""
    op.create_table(
        "pruned",
        Column("number", Integer, primary_key=True),
        Column("activation", String, nullable=False, unique=True),
        Column("rows", BigInteger, nullable=False, server_default="0"),
        Column("runs", BigInteger, nullable=False, server_default="0"),
        Column("before", BigInteger),
        Column("day", Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "pruned_keys",
        Column("activation", Integer, primary_key=True, autoincrement=False),
        Column("high", BigInteger, primary_key=True, autoincrement=False),
        Column("low", BigInteger, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pruned_interactions",
        Column("high", BigInteger, primary_key=True, autoincrement=False),
        Column("low", BigInteger, primary_key=True, autoincrement=False),
        Column("activation", Integer, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    # a row that is deleted is looked for there
    op.create_index("removed_interactions_of", "removed_interactions", ["delivery_id"])
