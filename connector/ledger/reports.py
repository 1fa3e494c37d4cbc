"""The reading side of the ledger: what people ask, and what a preview needs. Writes nothing."""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, exists, func, or_, select

from connector.contacts import AMBIGUOUS
from connector.delivery import QUARANTINE, READ_BACK_BY_RUNS, State
from connector.errors import Problem
from connector.interaction import instant_text
from connector.ledger import forgetting, takeback
from connector.ledger.contacts import cached
from connector.ledger.delivered import delivered, owners, unsettled
from connector.ledger.engine import transaction
from connector.ledger.holder import holder_of
from connector.ledger.identity import identity_problems, recorded_name
from connector.ledger.places import sends_to
from connector.ledger.records import (
    COUNTS,
    NOW,
    Delivered,
    Edition,
    Identity,
    Known,
    Remembered,
    Unsettled,
    database_time,
    known_rows,
    moment,
    similar_keys,
    some_keys,
    stored_identity,
    stored_remembered,
    stored_watermark,
)
from connector.ledger.tables import (
    OPEN,
    attempts,
    decisions,
    deliveries,
    leases,
    migrations,
    pauses,
    runs,
    watermarks,
)
from connector.place import Place
from connector.watermark import Watermark

Document = dict[str, Any]

RUNS = select(runs, leases.c.holder, (leases.c.expires_at > NOW).label("leased")).join_from(
    runs, leases, leases.c.run_id == runs.c.run_id, isouter=True
)
"""Runs, each with what is known of its process while it holds its activation."""
SILENT = (
    "its process has ended or fallen silent; what it left behind is settled by the next run, which"
    " is safe at any time"
)


class Reports:
    """Answers about the ledger behind `engine`, or about one that does not exist yet (None).

    Every method raises LedgerUnavailable when the database cannot be read.
    """

    def __init__(self, engine: Engine | None, earlier: Mapping[str, str] | None = None) -> None:
        """`earlier`: names under which activations may still be recorded."""
        self._engine = engine
        self._earlier = earlier or {}

    def watermark(self, activation: str) -> tuple[Watermark, bool]:
        """The stored position, and whether some run has read the whole model."""
        row = self._watermark(activation)
        return (
            (Watermark(), False)
            if row is None
            else (stored_watermark(row), row.begun_at is not None)
        )

    def edition(self, activation: str) -> Edition:
        """How the activation was written when its model was last read to the end."""
        row = self._watermark(activation)
        return json.loads(row.edition) if row is not None and row.edition else {}

    def identity_problems(self, activation: str, identity: Identity) -> list[Problem]:
        """Why a run would refuse to take the activation for what is recorded under its name."""
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return identity_problems(c, activation, identity)

    def paused_by(self, activation: str) -> str | None:
        """Who has paused the activation without editing the configuration; None: nobody has."""
        row = self._first(select(pauses.c.by).where(pauses.c.activation == activation))
        return row and str(row[0])

    def migrated_schema(self, activation: str) -> str | None:
        """The schema whose migration keeps the activation; None: no migration does."""
        row = self._first(
            select(migrations.c.schema_id)
            .join_from(pauses, migrations, pauses.c.migration == migrations.c.id)
            .where(pauses.c.activation == activation)
        )
        return row and str(row[0])

    def held(self, activation: str) -> str | None:
        """Why the activation is held, as the newest run that was says; None when it is not."""
        row = self._watermark(activation)
        if row is None or not row.held:
            return None
        of_it = (self._of(runs, activation), runs.c.status == "held")
        notes = self._first(select(runs.c.notes).where(*of_it).order_by(runs.c.started_at.desc()))
        return str(json.loads(notes[0])[-1]) if notes and notes[0] else "held"

    def is_suspect(self, activation: str) -> bool:
        """Whether rows are read back before they are sent, since the ledger is from a backup."""
        d, mark, activation = deliveries.c, watermarks.c, self._name(activation)
        query = select(
            exists().where(mark.activation == activation, mark.suspect)
            | exists().where(
                d.activation == activation, d.state.in_(READ_BACK_BY_RUNS), d.suspect, OPEN
            )
        )
        return any(row[0] for row in self._all(query))

    def remembered(self, activation: str) -> Remembered:
        """What is remembered of the rows of an activation."""
        row = self._watermark(activation)
        return Remembered() if row is None else stored_remembered(row)

    def some_keys(self, activation: str, after: int, limit: int) -> list[tuple[int, str]]:
        """The next row keys, after the delivery with the id `after`."""
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return some_keys(c, self._name(activation), after, limit)

    def known(self, activation: str, keys: Collection[str]) -> dict[str, Known]:
        """What is recorded under each of `keys`."""
        if self._engine is None:
            return {}
        with transaction(self._engine) as c:
            return known_rows(c, self._name(activation), keys)

    def contacts(
        self, destination: str, digests: Collection[str], span: timedelta
    ) -> dict[str, str]:
        """By digest, the contactIds that were looked up within `span`."""
        if self._engine is None:
            return {}
        with transaction(self._engine) as c:
            return cached(c, destination, digests, span)

    def ambiguous(self, activation: str) -> int:
        """How many rows are rejected since several contacts have their identifier."""
        d = deliveries.c
        query = select(func.count()).where(
            d.activation == activation,
            d.state == State.REJECTED,
            d.reason.startswith(AMBIGUOUS),
            OPEN,
        )
        return int(next((row[0] for row in self._all(query)), 0))

    def counts(self, activation: str) -> dict[str, int]:
        """How many rows stand in each state; every state is there."""
        found = dict.fromkeys((state.value for state in State), 0)
        query = (
            select(deliveries.c.state, func.count())
            .where(self._of(deliveries, activation))
            .group_by(deliveries.c.state)
        )
        return found | {row[0]: row[1] for row in self._all(query)}

    def runs(self, activation: str | None = None, limit: int = 20) -> list[Document]:
        """The newest runs, newest first."""
        query = RUNS.order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(limit)
        if activation is not None:
            query = query.where(self._of(runs, activation))
        return [_run_document(row) for row in self._all(query)]

    def oldest(self, activation: str) -> tuple[float | None, float | None, float | None]:
        """Seconds since 1970: when the oldest doubt and the longest wait began, and when the
        model was last read to its end."""
        d = deliveries.c
        ours = (self._of(deliveries, activation), OPEN)
        doubt = select(func.min(d.changed_at)).where(*ours, d.state == State.IN_DOUBT)
        wait = select(func.min(d.waiting_since)).where(*ours, d.state == State.WAITING)
        read = select(watermarks.c.read_at).where(self._of(watermarks, activation))
        found = [self._first(query) for query in (doubt, wait, read)]
        first, second, third = (row[0] / 1000 if row and row[0] else None for row in found)
        return first, second, third

    def read_at(self, activation: str) -> str | None:
        """When the model was last read to its end."""
        row = self._watermark(activation)
        return instant(row.read_at) if row is not None else None

    def days(self, activation: str, now: datetime, number: int) -> list[Document]:
        """How many rows were delivered on each of the last `number` days (UTC), oldest first."""
        first = (now - timedelta(days=number - 1)).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        query = select(runs.c.started_at, runs.c.delivered).where(
            self._of(runs, activation), runs.c.started_at >= round(first.timestamp() * 1000)
        )
        found = {(first + timedelta(days=i)).date().isoformat(): 0 for i in range(number)}
        for began, number_delivered in self._all(query):
            day = moment(began).date().isoformat()
            found[day] = found.get(day, 0) + number_delivered
        return [{"day": day, "delivered": delivered} for day, delivered in found.items()]

    def last_began(self, activation: str) -> datetime | None:
        """When the newest run of the activation began."""
        query = select(func.max(runs.c.started_at)).where(self._of(runs, activation))
        row = self._first(query)
        return moment(row[0]) if row and row[0] is not None else None

    def run(self, run_id: str) -> Document | None:
        """One run."""
        row = self._first(RUNS.where(runs.c.run_id == run_id))
        return None if row is None else _run_document(row)

    def delivery(self, activation: str, row_key: str) -> Document | None:
        """The whole story of one row, without its contact and its payload."""
        d = deliveries.c
        row = self._first(
            select(deliveries).where(self._of(deliveries, activation), d.row_key == row_key)
        )
        if row is None:
            return None
        tries = self._all(
            select(attempts).where(attempts.c.delivery_id == row.id).order_by(attempts.c.number)
        )
        home = self._watermark(activation)
        return {
            "activation": activation,
            "row_key": row_key,
            "destination": home.destination if home is not None else None,
            "address": home.address if home is not None else None,
            "state": row.state,
            "reason": row.reason,
            "interaction_id": row.interaction_id,
            "run_id": row.run_id,
            "since": instant(row.changed_at),
            "due_at": instant(row.due_at),
            "waiting_since": instant(row.waiting_since),
            "attempts": [
                {
                    "number": a.number,
                    "run_id": a.run_id,
                    "opened_at": instant(a.opened_at),
                    "closed_at": instant(a.closed_at),
                    "outcome": a.outcome,
                    "http_status": a.http_status,
                    "reason": a.reason,
                }
                for a in tries
            ],
            "decisions": self._decisions(row.id),
        }

    def _decisions(self, delivery_id: int) -> list[Document]:
        c = decisions.c
        query = select(decisions).where(c.delivery_id == delivery_id).order_by(c.at, c.id)
        return [
            {
                "at": instant(row.at),
                "by": row.by,
                "decision": row.decision,
                "was": row.was,
                "state": row.state,
                "reason": row.reason,
                "note": row.note,
            }
            for row in self._all(query)
        ]

    def similar_keys(self, activation: str, row_key: str, limit: int = 5) -> list[str]:
        """Recorded row keys that hold `row_key`, whatever the capitals."""
        return [row[0] for row in self._all(similar_keys(self._name(activation), row_key, limit))]

    def quarantine(
        self,
        activation: str | None = None,
        limit: int | None = None,
        state: State | None = None,
        reason: str | None = None,
    ) -> list[Document]:
        """Rows that wait for a person: invalid, rejected and in doubt; oldest first.

        `state` and `reason` (a part of it, whatever the capitals) narrow them down.
        """
        d = deliveries.c
        query = (
            select(d.activation, d.row_key, d.state, d.reason, d.changed_at)
            .where(*_quarantined(activation and self._name(activation), state, reason), OPEN)
            .order_by(d.activation, d.changed_at, d.id)
            .limit(limit)
        )
        return [
            {
                "activation": r.activation,
                "row_key": r.row_key,
                "state": r.state,
                "reason": r.reason,
                "since": instant(r.changed_at),
            }
            for r in self._all(query)
        ]

    def _watermark(self, activation: str) -> Any:
        return self._first(select(watermarks).where(self._of(watermarks, activation)))

    def _of(self, table: Table, activation: str) -> ColumnElement[bool]:
        """The condition for what is recorded of `activation`, under its earlier name if need be."""
        return table.c.activation == self._name(activation)

    def _name(self, activation: str) -> str:
        earlier = self._earlier.get(activation)
        if self._engine is None or earlier is None:
            return activation
        with transaction(self._engine) as c:
            return recorded_name(c, activation, earlier)

    def quarantine_groups(
        self,
        activation: str | None = None,
        state: State | None = None,
        reason: str | None = None,
    ) -> list[Document]:
        """The same rows, counted by state and reason; the largest groups first."""
        d = deliveries.c
        what = (d.activation, d.state, d.reason)
        query = (
            select(*what, func.count(), func.min(d.row_key))
            .where(*_quarantined(activation and self._name(activation), state, reason), OPEN)
            .group_by(*what)
            .order_by(func.count().desc(), *what)
        )
        return [
            {
                "activation": r[0],
                "state": r[1],
                "reason": r[2],
                "count": r[3],
                "example_key": r[4],
            }
            for r in self._all(query)
        ]

    # --- reading back ---------------------------------------------------------------------------

    def identity(self, activation: str) -> Identity | None:
        """What the rows of an activation were when they were recorded."""
        row = self._first(select(watermarks).where(watermarks.c.activation == activation))
        return None if row is None else stored_identity(row)

    def now(self) -> int:
        """The database's clock in milliseconds since 1970; 0 where there is no ledger."""
        if self._engine is None:
            return 0
        with transaction(self._engine) as c:
            return database_time(c)

    def delivered(self, run_id: str, until: int, after: int, limit: int) -> list[Delivered]:
        """The next rows, after the delivery with the id `after`, that stand as delivered by a run
        since `until` (milliseconds since 1970) at the latest."""
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return delivered(c, run_id, until, after, limit)

    def owners(self, activation: str, ids: Collection[str]) -> dict[str, Delivered]:
        """The rows that the interactions `ids` belong to, at the destination of `activation`."""
        if self._engine is None:
            return {}
        with transaction(self._engine) as c:
            return owners(c, activation, ids)

    def unsettled(self, activation: str, contact_id: str) -> list[Unsettled]:
        """The contact's rows at that destination that are on the wire or in doubt."""
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return unsettled(c, activation, contact_id)

    def schema_uses(self, place: Place | None, destinations: Collection[str]) -> list[Document]:
        """Each activation that has recorded rows for the destination at `place`, which is called
        one of `destinations`: its schema, and how many of its rows stand in each state; those that
        are no longer configured, too."""
        w, d = watermarks.c, deliveries.c
        rows = self._all(
            select(w.activation, w.schema_id, d.state, func.count(d.id))
            .join_from(watermarks, deliveries, d.activation == w.activation, isouter=True)
            .where(sends_to(place, destinations))
            .group_by(w.activation, w.schema_id, d.state)
            .order_by(w.activation)
        )
        uses: dict[str, Document] = {}
        for activation, schema_id, state, number in rows:
            use = {"activation": activation, "schema_id": schema_id, "counts": {}}
            counts = uses.setdefault(activation, use)["counts"]
            if state is not None:
                counts[state] = number
        return list(uses.values())

    def run_under_way(self, activation: str) -> str | None:
        """The id of the run that holds the activation now; None when none does."""
        held = (leases.c.run_id.is_not(None), leases.c.expires_at > NOW)
        row = self._first(select(leases.c.run_id).where(leases.c.activation == activation, *held))
        return None if row is None else str(row.run_id)

    def homes(self) -> dict[str, Identity]:
        """Of every activation in the ledger, what its rows were when they were recorded."""
        query = select(watermarks).order_by(watermarks.c.activation)
        return {row.activation: stored_identity(row) for row in self._all(query)}

    def standing(self, run_id: str) -> takeback.Standing:
        """Where the rows stand that the run sent."""
        if self._engine is None:
            return takeback.Standing()
        with transaction(self._engine) as c:
            return takeback.standing(c, run_id)

    def deletable(self, run_id: str) -> list[takeback.Sent]:
        """Every row that the run sent and that can be taken back."""
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return takeback.deletable(c, run_id, 0, None)

    def releasable(self, run_id: str) -> list[takeback.Sent]:
        """Every row of the run that was taken back and may be sent again."""
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return takeback.releasable(c, run_id)

    def keys_holding(self, names: Collection[str], activations: Collection[str]) -> int:
        """How many row keys hold one of `names` themselves."""
        d = deliveries.c
        holding = or_(*(d.row_key.icontains(name, autoescape=True) for name in names))
        query = select(func.count()).where(d.activation.in_(list(activations)), holding)
        return sum(row[0] for row in self._all(query))

    def held_of(
        self, names: Collection[str], activations: Collection[str]
    ) -> list[forgetting.Held]:
        """What is held of the person with one of `names`."""
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return forgetting.held_of(c, names, activations)

    def owned_rows(
        self, interaction_ids: Collection[str], activations: Collection[str]
    ) -> dict[str, forgetting.Held]:
        """The delivered rows that own these interactions, by the interaction's id."""
        if self._engine is None:
            return {}
        with transaction(self._engine) as c:
            return forgetting.owned_rows(c, interaction_ids, activations)

    def _all(self, query: Any) -> list[Any]:
        if self._engine is None:
            return []
        with transaction(self._engine) as c:
            return list(c.execute(query))

    def _first(self, query: Any) -> Any:
        return next(iter(self._all(query)), None)


def instant(milliseconds: int | None) -> str | None:
    """A time of the ledger in RFC 3339."""
    if milliseconds is None:
        return None
    return instant_text(datetime.fromtimestamp(milliseconds / 1000, UTC))


def _quarantined(
    activation: str | None, state: State | None, reason: str | None
) -> list[ColumnElement[bool]]:
    """What the rows fulfil that are asked for."""
    d = deliveries.c
    conditions: list[ColumnElement[bool]] = [d.state.in_([state] if state else QUARANTINE)]
    if activation is not None:
        conditions.append(d.activation == activation)
    if reason is not None:
        conditions.append(d.reason.icontains(reason, autoescape=True))
    return conditions


def _run_document(row: Any) -> Document:
    """A run that was killed outright could not write so, and the next one has not yet: it counts as
    stopped all the same."""
    silent = row.status == "running" and not _is_alive(row)
    return {
        "run_id": row.run_id,
        "activation": row.activation,
        "status": "stopped" if silent else row.status,
        **{name: getattr(row, name) for name in COUNTS},
        "watermark": row.watermark,
        "started_at": instant(row.started_at),
        "finished_at": instant(row.finished_at),
        "error": SILENT if silent else row.error,
        "notes": json.loads(row.notes) if row.notes else [],
        "contacts": json.loads(row.contacts) if row.contacts else None,
    }


def _is_alive(row: Any) -> bool:
    holder = holder_of(row.holder)
    return bool(row.leased) and not (holder and holder.is_dead())
