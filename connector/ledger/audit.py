"""The audit list as it is read: who did what, newest first."""

import json

from sqlalchemy import or_, select

from connector.ledger.deeds import audit
from connector.ledger.records import instant
from connector.ledger.transaction import Reader
from connector.rules.deed import Document


class AuditList(Reader):
    """What persons did."""

    def audit(self, names: tuple[str, ...], since: int | None, limit: int | None) -> list[Document]:
        """The newest entries; `names`: of an activation, under any of its names (none: of all);
        `since`: milliseconds since 1970."""
        k = audit.c
        query = select(audit).order_by(k.id.desc()).limit(limit)
        if names:
            query = query.where(or_(*(k.activation == name for name in names)))
        if since is not None:
            query = query.where(k.at >= since)
        return [
            {
                "id": row.id,
                "at": instant(row.at),
                "by": row.by,
                "what": row.what,
                "activation": row.activation,
                "run_id": row.run_id,
                "details": json.loads(row.details),
            }
            for row in self._all(query)
        ]
