"""Rows in quarantine: found by what they are, page by page, and counted by reason and day."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from connector.basis import dataclass
from connector.ledger.days import UTC, Offsets, day_of
from connector.ledger.history import Histories
from connector.ledger.paging import holding, open_rows
from connector.ledger.records import document
from connector.ledger.tables import OPEN, chunks, deliveries, watermarks
from connector.rules.deed import Document
from connector.rules.delivery import QUARANTINE, State

d = deliveries.c
TOLD = (d.id, d.activation, d.row_key, d.state, d.reason, d.changed_at.label("since"))
NAMES = ("activation", "row_key", "state", "reason", "since")


@dataclass(frozen=True, slots=True)
class Aside:
    """Which rows in quarantine are meant: of `activations` (None: of all that are recorded), in one
    of `states`, whose reason holds `reason` and whose key holds `key`, or begins with it where that
    ends in `*`; whatever the capitals."""

    activations: tuple[str, ...] | None = None
    states: tuple[State, ...] = QUARANTINE
    reason: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the list of rows, which is in the order of time: that of the row with `id`, which
    is what it is `since` (milliseconds since 1970)."""

    since: int
    id: int


@dataclass(frozen=True, slots=True)
class Figure:
    """So many rows of one activation came into the quarantine for one reason on one day (since
    1970, in the zone that was asked for). `key`: the first of theirs."""

    activation: str
    state: str
    reason: str
    day: int
    number: int
    key: str


class QuarantinedRows(Histories):
    """What waits for a person."""

    def quarantine_figures(self, wanted: Aside, offsets: Offsets = UTC) -> list[Figure]:
        """How many rows, by activation, state, reason and day, by clocks with these `offsets`."""
        day = day_of(d.changed_at, offsets)
        what = (d.activation, d.state, d.reason, day)
        query = select(*what, func.count().label("number"), func.min(d.row_key).label("key"))
        return [
            Figure(*row)
            for part in self._parts(wanted, query)
            for row in self._all(part.group_by(*what))
        ]

    def quarantine_rows(
        self, wanted: Aside, limit: int, after: Mark | None, backwards: bool
    ) -> list[tuple[Mark, Document]]:
        """The next rows after a place: the oldest first, or, `backwards`, the newest."""
        found = list[Any]()
        for part in self._parts(wanted, select(*TOLD)):
            query = part if after is None else part.where(_beyond(after, backwards))
            order = (d.changed_at.desc(), d.id.desc()) if backwards else (d.changed_at, d.id)
            found += self._all(query.order_by(*order).limit(limit))
        found.sort(key=lambda row: (row.since, row.id), reverse=backwards)
        return [(Mark(row.since, row.id), document(row, *NAMES)) for row in found[:limit]]

    def every_quarantined(self, wanted: Aside) -> Iterator[Document]:
        """All of the rows, one activation after the other, in transactions that are short."""
        names = {figure.activation for figure in self.quarantine_figures(wanted)}
        query = select(*TOLD).where(*holding(wanted.reason, wanted.key))
        for name in sorted(names):
            for row in open_rows(self._engine, name, wanted.states, query):
                yield document(row, *NAMES)

    def _parts(self, wanted: Aside, query: Select[Any]) -> Iterator[Select[Any]]:
        """`query` for the rows, in statements of which the index over open rows serves each."""
        parts = holding(wanted.reason, wanted.key)
        query = query.where(d.state.in_(wanted.states), OPEN, *parts)
        if wanted.activations is None:
            known = d.activation == watermarks.c.activation
            yield query.join_from(watermarks, deliveries, known)
            return
        recorded: Sequence[str] = [self._name(name) for name in wanted.activations]
        for names in chunks(dict.fromkeys(recorded)):
            yield query.where(d.activation.in_(names))


def _beyond(place: Mark, backwards: bool) -> ColumnElement[bool]:
    if backwards:
        later = and_(d.changed_at == place.since, d.id < place.id)
        return or_(d.changed_at < place.since, later)
    later = and_(d.changed_at == place.since, d.id > place.id)
    return or_(d.changed_at > place.since, later)
