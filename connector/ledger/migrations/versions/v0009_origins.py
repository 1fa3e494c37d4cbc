"""Under which name rows were recorded first: what is computed from it survives a renaming."""

from alembic import op
from sqlalchemy import Column, String, text

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Earlier renamings are not known any more: the name of today is the first that is known."""
    op.add_column("watermarks", Column("origin", String))
    op.execute(text("update watermarks set origin = activation"))
