"""What references of an activation's rows begin with is recorded, so that it cannot change."""

from alembic import op
from sqlalchemy import Column, String

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Of what was recorded before it is learnt from the next run."""
    op.add_column("watermarks", Column("reference_prefix", String))
