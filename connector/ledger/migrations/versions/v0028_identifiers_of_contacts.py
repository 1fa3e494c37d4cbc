"""What the contacts of an activation's rows are known by is recorded, so that it is known when that
is edited."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Of what was recorded before it is learnt from the next run."""
    op.add_column("watermarks", Column("identifier", Text))
