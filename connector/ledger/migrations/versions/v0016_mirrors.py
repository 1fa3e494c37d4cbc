"""Mirrors: what is taken back since its row is gone or has changed. Approvals, and who did what."""

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


def _turns() -> None:
    """Rows that wait until their contact may be told something again."""
