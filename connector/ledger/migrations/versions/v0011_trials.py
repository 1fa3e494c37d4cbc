"""Interactions at a destination that are no rows': tests and probes."""

from alembic import op
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, String, Text, text

revision = "0011"
down_revision = "0010"

Id = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "trials",
        Column("id", Id, primary_key=True),
        *[
            Column(name, String, nullable=False)
            for name in ("destination", "type", "address", "aim", "target", "state")
        ],
        Column("activation", String),
        Column("row_key", Text),
        Column("reference", String),
        *[Column(name, Text) for name in ("contact", "created_date", "payload")],
        Column("opened_at", BigInteger, nullable=False),
        Column("closed_at", BigInteger),
        Column("outcome", String),
        Column("http_status", Integer),
        Column("interaction_id", Text),
        Column("digest", String),
        Column("ended_at", BigInteger),
        Column("holder", Text),
        *[Column(name, BigInteger) for name in ("boot", "boot_at", "destination_at")],
        CheckConstraint(
            "state IN ('open', 'kept') OR (contact IS NULL AND payload IS NULL)",
            name="ended_trials_keep_no_body",
        ),
        CheckConstraint(
            "(interaction_id IS NULL) = (digest IS NULL)", name="an_id_is_known_by_its_digest"
        ),
    )
    known, still = text("digest IS NOT NULL"), text("state = 'open'")
    op.create_index(
        "trials_interaction", "trials", ["digest"], sqlite_where=known, postgresql_where=known
    )
    op.create_index(
        "trials_open", "trials", ["type", "address"], sqlite_where=still, postgresql_where=still
    )
