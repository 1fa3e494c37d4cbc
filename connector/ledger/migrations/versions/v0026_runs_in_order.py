"""The newest runs of all activations are found without a look at every run."""

from alembic import op
from sqlalchemy import text

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Those that somebody may have to look at are few, and have an index of their own."""
    place = ["started_at", "run_id"]
    few = text("status <> 'succeeded'")
    op.create_index("runs_in_order", "runs", place)
    op.create_index(
        "runs_not_well", "runs", [*place, "status"], sqlite_where=few, postgresql_where=few
    )
