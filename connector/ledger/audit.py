"""The audit list as it is read: who did what, newest first. A deed about many rows was put on it
part by part, as they were recorded, and is told as one."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Select, or_, select

from connector.basis import dataclass
from connector.ledger.deeds import DEED, approvals, audit
from connector.ledger.paging import PAGE
from connector.ledger.records import instant
from connector.ledger.transaction import Reader
from connector.rules.deed import Document

k = audit.c
MOST_PERSONS = 200
FIGURES = {"rows", "runs"}
"""What of the parts of a deed is added up."""


@dataclass(frozen=True, slots=True)
class Deeds:
    """Which entries are meant: of an activation, under any of its `names` (none: of all); `since`
    then, in milliseconds since 1970; of one person, `by` name; of one kind, `what`; about one run,
    `run_id`; of a list, those that follow the entry `after`."""

    names: tuple[str, ...] = ()
    since: int | None = None
    by: str | None = None
    what: str | None = None
    run_id: str | None = None
    after: int | None = None


ALL = Deeds()


class AuditList(Reader):
    """What persons did."""

    def audit(self, which: Deeds = ALL, limit: int | None = None) -> list[Document]:
        """The newest entries that are meant."""
        found: list[Document] = []
        deeds: dict[Any, Document] = {}
        if which.after is not None:  # what was told on the page before may go on behind it
            query = _meant(which).where(k.id >= which.after).order_by(k.id).limit(PAGE)
            for row in self._all(query):
                entry = _entry(row)
                deeds[_deed(entry)] = entry
        further = 0  # what is told already may go on behind what others did meanwhile
        for entry in self._entries(which):
            deed = _deed(entry)
            if deed[0] is not None and (newer := deeds.setdefault(deed, entry)) is not entry:
                for figure in entry["details"].keys() & FIGURES:
                    newer["details"][figure] += entry["details"][figure]
            elif limit is not None and len(found) == limit:
                further += 1
                if further == PAGE:
                    break
            else:
                found.append(entry)
        return found

    def persons(self) -> list[str]:
        """Who has done something, by name."""
        query = select(k.by).distinct().order_by(k.by).limit(MOST_PERSONS)
        return [row.by for row in self._all(query)]

    def became_of(self, numbers: Collection[int]) -> dict[int, Document]:
        """What became of approvals: the run that has used each, why it is void, and until when it
        holds; by its number."""
        a = approvals.c
        query = select(a.id, a.used_by, a.void, a.expires_at).where(a.id.in_(sorted(numbers)))
        return {
            row.id: {
                "used_by": row.used_by,
                "void": row.void,
                "expires_at": instant(row.expires_at),
            }
            for row in (self._all(query) if numbers else ())
        }

    def _entries(self, which: Deeds) -> Iterator[Document]:
        query, before = _meant(which).order_by(k.id.desc()).limit(PAGE), which.after
        while rows := self._all(query if before is None else query.where(k.id < before)):
            yield from map(_entry, rows)
            before = rows[-1].id


def _meant(which: Deeds) -> Select[Any]:
    query = select(audit)
    if which.names:
        query = query.where(or_(*(k.activation == name for name in which.names)))
    if which.since is not None:
        query = query.where(k.at >= which.since)
    if which.by is not None:
        query = query.where(k.by == which.by)
    if which.what is not None:
        query = query.where(k.what == which.what)
    if which.run_id is not None:
        query = query.where(k.run_id == which.run_id)
    return query


def _deed(entry: Document) -> tuple[Any, ...]:
    """What tells the deed apart that an entry is a part of; None first: it is one by itself. Takes
    the id of the deed out of the entry."""
    details = entry["details"]
    return details.pop(DEED, None), entry["what"], details.get("decision")


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
