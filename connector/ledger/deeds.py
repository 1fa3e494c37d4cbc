"""What persons did: the tables of approvals and of the audit list, and what alone adds to that.

An entry stands in the transaction of what it tells, so it is there when that has happened, and only
then. The list is only added to: triggers refuse everything else. It holds no row key and nothing of
a customer.
"""

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, String, Table, Text, insert, update

from connector.basis import dataclass
from connector.ledger.tables import NOW, Id, metadata, watermarks

APPROVED, REFUSED, EDITED = "approved", "approval_refused", "edited"
PAUSED, RESUMED = "paused", "resumed"
UNDONE, RELEASED, FORGOTTEN = "undone", "released", "forgotten"
RETRIED, SETTLED, DISCARDED = "retried", "settled", "discarded"
REPLACED, REPLACING, CANCELLED = "schema_replaced", "schema_replacing", "replacement_cancelled"
TESTED, PROBED, PRUNED = "test_sent", "probed", "pruned"
WORDS = (
    *(APPROVED, REFUSED, EDITED, PAUSED, RESUMED, RETRIED, SETTLED, DISCARDED),
    *(UNDONE, RELEASED, FORGOTTEN, REPLACING, REPLACED, CANCELLED, TESTED, PROBED, PRUNED),
)
"""What an entry can be about."""

DEED = "deed"
"""Under which name the details of an entry have an id of the deed that it is a part of."""

SCHEDULE = "schedule"
"""Who asked for a run that began by itself."""
NOBODY = "unknown"
"""Who did something that no name was given for."""

approvals = Table(  # who let a held run go; see approvals.py
    "approvals",
    metadata,
    Column("id", Id, primary_key=True),
    Column("activation", String, nullable=False),
    Column("run_id", String),  # the run that was held first
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("note", Text),
    Column("digest", String, nullable=False),  # of the rows that it lets go
    Column("shown", Text, nullable=False),  # JSON: counts and reason, as they were shown
    Column("expires_at", BigInteger),  # not used by then, it is void; NULL: it stays
    Column("used_by", String),  # the run that it has let go
    Column("used_at", BigInteger),
    Column("void", Text),  # why it lets nothing go any more
)
Index("approvals_by_activation", approvals.c.activation, approvals.c.id)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", String, nullable=False),  # one of WORDS
    Column("activation", String),  # as it was called then; NULL: it is about none
    Column("run_id", String),
    Column("details", Text, nullable=False),  # JSON: how many, and so on
)
Index("audit_by_activation", audit.c.activation, audit.c.id)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was done: `what` is one of WORDS, `by` a name."""

    what: str
    by: str
    activation: str | None = None
    run_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def note(c: Connection, entry: Entry, now: int | None = None) -> None:
    """Add to the list, in the transaction of the deed itself."""
    c.execute(
        insert(audit).values(
            at=NOW if now is None else now,
            by=entry.by.removeprefix("person: ") or NOBODY,
            what=entry.what,
            activation=entry.activation,
            run_id=entry.run_id,
            details=json.dumps(entry.details, ensure_ascii=False),
        )
    )


def end_hold(c: Connection, activation: str) -> None:
    """It is held no more: there is nothing left that anybody could let go."""
    mine = watermarks.c.activation == activation
    c.execute(update(watermarks).where(mine).values(held=None))
    void_standing(c, activation, "all that was held is given up")


def void_standing(c: Connection, activation: str, why: str) -> None:
    """Let an approval that no run has used let nothing go any more."""
    a = approvals.c
    standing = (a.activation == activation, a.used_by.is_(None), a.void.is_(None))
    c.execute(update(approvals).where(*standing).values(void=why))
