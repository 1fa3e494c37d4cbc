"""What an activation is includes where its rows went, and what its row key's columns hold."""

from typing import Any

from alembic import op
from sqlalchemy import Column, String, Text

revision = "0002"
down_revision = "0001"

FINAL = ("delivered", "discarded")


def upgrade() -> None:
    """Old activations learn theirs at their next run; rows that are never sent again are no longer
    suspect."""
    op.add_column("watermarks", Column("type", String))
    op.add_column("watermarks", Column("address", Text))
    op.add_column("watermarks", Column("key_kinds", Text))
    op.add_column("watermarks", Column("rereads", Text))
    states = ", ".join(f"'{state}'" for state in FINAL)
    op.execute(f"UPDATE deliveries SET suspect = NULL WHERE suspect AND state IN ({states})")


def downgrade() -> Any:
    """What was learnt would be lost."""
    raise NotImplementedError("restore a backup instead")
