"""Requests that carry many rows, and rows that a destination has taken over."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String, Text, text

from connector.ledger.migrations.versions import v0001_first_tables as first

revision = "0010"
down_revision = "0009"

Id = BigInteger().with_variant(Integer, "sqlite")
MOVES = (
    *first.MOVES,
    "sending>submitted",
    "submitted>delivered",
    "submitted>rejected",
    "submitted>in_doubt",
    "submitted>discarded",
    "in_doubt>submitted",
    "pending>submitted",
)
NEEDED = ("payload", "contact", "created_date", "contact_id")


def upgrade() -> None:
    """Take the step."""
    create_requests()
    op.add_column("attempts", Column("request", Id))
    op.add_column("attempts", Column("place", Integer))
    known = text("request IS NOT NULL")
    op.create_index(
        "attempts_request", "attempts", ["request"], sqlite_where=known, postgresql_where=known
    )
    op.add_column("runs", Column("submitted", Integer, nullable=False, server_default="0"))
    drop_trigger("deliveries_move")
    first.create_trigger("deliveries_move", "UPDATE OF state", first.forbidden(MOVES))
    # a check of the table could not be added without writing all of it anew
    lacks = " OR ".join(f"NEW.{name} IS NULL" for name in NEEDED)
    first.create_trigger(
        "deliveries_submitted",
        f"UPDATE OF {', '.join(('state', 'attempt', *NEEDED))}",
        f"NEW.state = 'submitted' AND (NEW.attempt = 0 OR {lacks})",
    )


def create_requests() -> None:
    """The table of requests, and its indexes."""
    op.create_table(
        "requests",
        Column("id", Id, primary_key=True),
        Column("activation", String, nullable=False),
        Column("run_id", String, nullable=False),
        Column("reference", String, nullable=False),
        Column("theirs", Text),
        Column("rows", Integer, nullable=False),
        Column("digest", String, nullable=False),
        Column("times", Integer, nullable=False, server_default="1"),
        Column("opened_at", BigInteger, nullable=False),
        Column("closed_at", BigInteger),
        Column("outcome", String),
        Column("http_status", Integer),
        Column("reason", Text),
        *[Column(name, BigInteger) for name in ("seen_at", "known_at", "asked_at")],
        *[Column(name, BigInteger) for name in ("next_at", "ended_at")],
    )
    op.create_index("requests_reference", "requests", ["activation", "reference"], unique=True)
    still = text("ended_at IS NULL")
    op.create_index(
        "requests_open",
        "requests",
        ["activation", "id"],
        sqlite_where=still,
        postgresql_where=still,
    )


def drop_trigger(name: str) -> None:
    """Drop a trigger of `deliveries`."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DROP TRIGGER {name}")
        return
    op.execute(f"DROP TRIGGER {name} ON deliveries")
    op.execute(f"DROP FUNCTION {name}()")
