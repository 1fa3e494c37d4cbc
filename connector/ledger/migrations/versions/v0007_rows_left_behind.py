"""Rows that an edit left behind the watermark are counted, so that later ones are told apart."""

from alembic import op
from sqlalchemy import Column, Integer

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Take the step."""
    op.add_column("watermarks", Column("left_behind", Integer))
