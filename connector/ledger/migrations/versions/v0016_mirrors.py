"""Mirrors: what is taken back since its row is gone or has changed. Approvals, and who did what."""

from alembic import op
from sqlalchemy import Boolean, Column, Float, Integer

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Take the step."""
    _mirrors()
    _approvals()
    _limits()
    _turns()


def _mirrors() -> None:
    """Rows that are taken back, and what the model says of them now."""


def _approvals() -> None:
    """Who let a held run go, and what else persons did."""


def _limits() -> None:
    """What runs are compared with."""
    for column in (
        Column("due", Integer),
        Column("matched", Float),
        Column("empty", Boolean),
        Column("comparable", Boolean),
    ):
        op.add_column("runs", column)


def _turns() -> None:
    """Rows that wait until their contact may be told something again."""
