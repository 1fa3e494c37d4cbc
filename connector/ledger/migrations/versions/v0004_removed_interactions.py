"""Ids of deleted interactions are kept, so that none is ever taken for another row's."""

import re
from collections.abc import Iterator
from hashlib import blake2b
from uuid import UUID

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    String,
    column,
    select,
    table,
    true,
)

revision = "0004"
down_revision = "0003"

Id = BigInteger().with_variant(Integer, "sqlite")
RELEASED = re.compile(r"was the interaction (.+)", re.DOTALL)
"""How a decision to release a row has always said what was deleted before."""
CHUNK = 1000


def upgrade() -> None:
    """Create the table, with what the ledger still knows of the time before it."""
    removed = op.create_table(
        "removed_interactions",
        Column("digest", String, primary_key=True),
        Column(
            "delivery_id", Id, ForeignKey("deliveries.id"), primary_key=True, autoincrement=False
        ),
        sqlite_with_rowid=False,
    )
    entries = [
        {"digest": digest, "delivery_id": delivery_id}
        for digest, delivery_id in sorted({(_digest(i), d) for d, i in _known()})
    ]
    for start in range(0, len(entries), CHUNK):
        op.bulk_insert(removed, entries[start : start + CHUNK])


def _known() -> Iterator[tuple[int, str]]:
    decisions = table("decisions", *map(column, ("delivery_id", "decision", "reason"))).c
    migrated = table(
        "migrated_rows", *map(column, ("delivery_id", "interaction_id")), column("moved", Boolean)
    ).c
    c = op.get_bind()
    said = select(decisions.delivery_id, decisions.reason).where(decisions.decision == "released")
    for delivery_id, reason in c.execute(said):
        if reason and (found := RELEASED.fullmatch(reason)) and found[1] != "None":
            yield delivery_id, found[1]
    gone = select(migrated.delivery_id, migrated.interaction_id).where(
        migrated.moved == true(), migrated.interaction_id.is_not(None)
    )
    for delivery_id, interaction_id in c.execute(gone):
        yield delivery_id, interaction_id


def _digest(interaction_id: str) -> str:
    try:
        plain = str(UUID(interaction_id))
    except ValueError:
        plain = interaction_id
    return blake2b(plain.encode(errors="replace"), digest_size=16).hexdigest()
