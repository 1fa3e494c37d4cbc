"""Runs say which rows rest until a window opens or a turn comes."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Of earlier runs it is not known."""
    op.add_column("runs", Column("rests", Text))
