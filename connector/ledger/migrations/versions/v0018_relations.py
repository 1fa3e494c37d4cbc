"""Which relation a run took for its model of dbt, so that another one is noticed."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Take the step."""
    for name in ("dbt_model", "relation"):
        op.add_column("runs", Column(name, Text))
