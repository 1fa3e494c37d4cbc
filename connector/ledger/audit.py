"""The audit list as it is read: who did what, newest first. A deed about many rows was put on it
part by part, as they were recorded, and is told as one."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import or_, select

from connector.ledger.deeds import DEED, audit
from connector.ledger.paging import PAGE
from connector.ledger.records import instant
from connector.ledger.transaction import Reader
from connector.rules.deed import Document


class AuditList(Reader):
    """What persons did."""

    def audit(self, names: tuple[str, ...], since: int | None, limit: int | None) -> list[Document]:
        """The newest entries; `names`: of an activation, under any of its names (none: of all);
        `since`: milliseconds since 1970."""
        found: list[Document] = []
        deeds: dict[Any, Document] = {}
        further = 0  # what is told already may go on behind what others did meanwhile
        for entry in self._entries(names, since):
            details = entry["details"]
            deed = (details.pop(DEED, None), entry["what"], details.get("decision"))
            if deed[0] is not None and (newer := deeds.setdefault(deed, entry)) is not entry:
                newer["details"]["rows"] += details["rows"]
            elif limit is not None and len(found) == limit:
                further += 1
                if further == PAGE:
                    break
            else:
                found.append(entry)
        return found

    def _entries(self, names: tuple[str, ...], since: int | None) -> Iterator[Document]:
        k, before = audit.c, None
        query = select(audit).order_by(k.id.desc()).limit(PAGE)
        if names:
            query = query.where(or_(*(k.activation == name for name in names)))
        if since is not None:
            query = query.where(k.at >= since)
        while rows := self._all(query if before is None else query.where(k.id < before)):
            yield from map(_entry, rows)
            before = rows[-1].id


def _entry(row: Any) -> Document:
    return {
        "id": row.id,
        "at": instant(row.at),
        "by": row.by,
        "what": row.what,
        "activation": row.activation,
        "run_id": row.run_id,
        "details": json.loads(row.details),
    }
