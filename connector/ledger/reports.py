"""The reading side of the ledger: what people ask, and what a preview needs. Writes nothing."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, func, or_, select

from connector.ledger.approvals import HeldRuns
from connector.ledger.aside import QuarantinedRows
from connector.ledger.audit import AuditList
from connector.ledger.carried import CarriedRows
from connector.ledger.counts import (
    counts_of,
    delivered_by_day_of,
    delivered_since,
    newest_deliveries,
    oldest_of,
    state_counts,
)
from connector.ledger.days import day_number
from connector.ledger.engine import nothing
from connector.ledger.forgetting import HeldRows
from connector.ledger.identity import identity_problems
from connector.ledger.in_line import InLine
from connector.ledger.leases import WOKEN, who_has
from connector.ledger.mirrored import MirroredRows
from connector.ledger.ownership import (
    OF_DELIVERED,
    Unsettled,
    delivered_row,
    home_row,
    neighbours,
    sends_to,
)
from connector.ledger.paging import holding, open_rows, rows_of_run, windows
from connector.ledger.probes import Probes
from connector.ledger.pruned import number_of, pruned_among
from connector.ledger.pruning import OldRows
from connector.ledger.questions import Questions
from connector.ledger.receipts import KeptReceipts
from connector.ledger.records import (
    Delivered,
    Identity,
    document,
    instant,
    moment,
    stored_identity,
)
from connector.ledger.renamed import Renamed
from connector.ledger.restored import is_suspect
from connector.ledger.run_list import RUNS, RunList, run_documents
from connector.ledger.services import Service, living
from connector.ledger.siblings import Siblings
from connector.ledger.standing import (
    Paused,
    Standing,
    known_of,
    paused_among,
    paused_by,
    standing,
)
from connector.ledger.story import attempts_of, by_run, change_of, decisions_of, processed, story
from connector.ledger.tables import (
    NOW,
    OPEN,
    chunks,
    database_time,
    deliveries,
    leases,
    pruned,
    runs,
    watermarks,
)
from connector.ledger.takeback import SentRows
from connector.ledger.taken_away import TakenAwayRows
from connector.ledger.transaction import transaction
from connector.ledger.trends import Trends
from connector.ledger.under_way import UnderWay
from connector.ledger.waking import Sleepers
from connector.rules.contacts import AMBIGUOUS
from connector.rules.deed import Document
from connector.rules.delivery import MAY_BE_THERE, QUARANTINE, TO_BE_SENT, State
from connector.rules.errors import Problem
from connector.rules.place import Place

d = deliveries.c


class Reports(
    Renamed,
    Questions,
    SentRows,
    HeldRows,
    CarriedRows,
    KeptReceipts,
    Sleepers,
    MirroredRows,
    TakenAwayRows,
    HeldRuns,
    AuditList,
    InLine,
    Trends,
    RunList,
    QuarantinedRows,
    Siblings,
    UnderWay,
    OldRows,
):
    """Answers about the ledger behind `engine`, or about one that does not exist yet (None)."""

    def __init__(self, engine: Engine | None, earlier: Mapping[str, str] | None = None) -> None:
        """`earlier`: names under which activations may still be recorded."""
        self.has_ledger = engine is not None
        self._engine = engine or nothing()
        self._earlier = earlier or {}

    def probes(self, place: Place) -> Probes:
        """What was measured at `place`."""
        return Probes(self._engine, place)

    def identity_problems(self, activation: str, identity: Identity) -> list[Problem]:
        """Why a run would refuse to take the activation for what is recorded under its name."""
        with transaction(self._engine) as c:
            return identity_problems(c, activation, identity)

    def pauses(self, activations: Sequence[str]) -> dict[str, Paused]:
        """Those of `activations` that are kept from running without an edit of the configuration,
        under whatever names they are recorded."""
        earlier = [self._earlier[name] for name in activations if name in self._earlier]
        there: dict[str, Paused] = {}
        for part in chunks([*activations, *earlier]):
            there |= {row[0]: Paused(row[1], row[2]) for row in self._all(paused_among(part))}
        found = {name: there[name] for name in activations if name in there}
        if any(name in there for name in earlier):
            with transaction(self._engine) as c:
                recorded = {name: self._recorded(c, name) for name in activations}
            found = {now: there[name] for now, name in recorded.items() if name in there} | found
        return found

    def paused_by(self, activation: str) -> str | None:
        """Who has paused the activation without editing the configuration, under whatever name it
        is recorded; None: nobody has."""
        paused = self.pauses([activation]).get(activation)
        return paused and paused.by

    def schema_being_replaced(self, activation: str) -> str | None:
        """The schema whose replacement keeps the activation; None: none does."""
        paused = self.pauses([activation]).get(activation)
        return paused and paused.schema_id

    def held(self, activation: str) -> str | None:
        """Why the activation is held, as the newest run that was says; None when it is not."""
        held = self.holds([activation]).get(activation)
        return held.reason if held else None

    def holder(self, activation: str) -> str | None:
        """Who works on the activation now, so that a run would be refused; None: nobody does."""
        lease = self._lease(activation)
        return lease and who_has(lease)

    def is_suspect(self, activation: str) -> bool:
        """Whether rows are read back before they are sent, since the ledger is from a backup."""
        with transaction(self._engine) as c:
            return is_suspect(c, self._recorded(c, activation))

    def ambiguous(self, activation: str) -> int:
        """How many rows are rejected since several contacts have their identifier."""
        query = select(func.count()).where(
            self._of(deliveries, activation),
            d.state == State.REJECTED,
            d.reason.startswith(AMBIGUOUS),
            OPEN,
        )
        return int(self._first(query)[0])

    def counts(self, activation: str) -> dict[str, int]:
        """How many rows stand in each state; every state is there."""
        found = dict.fromkeys((state.value for state in State), 0)
        with transaction(self._engine) as c:
            return found | state_counts(c, self._recorded(c, activation))

    def standings(self, activations: Sequence[str]) -> dict[str, Standing]:
        """Where each of `activations` stands: what is told of one, in a few statements for all."""
        with transaction(self._engine) as c:
            recorded = {name: self._recorded(c, name) for name in activations}
            names = list(recorded.values())
            known, counts = known_of(c, names), counts_of(c, names)
            newest: dict[str, Document] = {}
            for part in chunks(known.newest):
                rows = c.execute(RUNS.where(runs.c.run_id.in_(part))).all()
                documents = run_documents(c, rows, self._called)
                newest |= {document["activation"]: document for document in documents}
            paused = paused_by(c, [*activations, *names])
        none = dict.fromkeys((state.value for state in State), 0)
        return {
            name: standing(
                of,
                known,
                none | counts.get(of, {}),
                last_run=newest.get(of),
                paused_by=paused.get(name) or paused.get(of),
            )
            for name, of in recorded.items()
        }

    def last_delivered(self, activations: Sequence[str]) -> dict[str, int]:
        """When each of `activations` has delivered a row last that still is, in milliseconds since
        1970, by the run that did it; of one that has none, nothing."""
        with transaction(self._engine) as c:
            recorded = {name: self._recorded(c, name) for name in activations}
            found = newest_deliveries(c, list(recorded.values()))
        return {name: found[of] for name, of in recorded.items() if of in found}

    def oldest(self, activations: Sequence[str]) -> dict[str, tuple[float | None, float | None]]:
        """Seconds since 1970: when the oldest doubt and the longest wait of each began."""
        with transaction(self._engine) as c:
            recorded = {name: self._recorded(c, name) for name in activations}
            found = oldest_of(c, list(recorded.values()))
        return {name: found.get(of, (None, None)) for name, of in recorded.items()}

    def days(self, activation: str, now: datetime, number: int) -> list[Document]:
        """How many rows were delivered on each of the last `number` days (UTC) and still are,
        oldest first."""
        return self.days_of([activation], now, number)[activation]

    def days_of(
        self, activations: Sequence[str], now: datetime, number: int
    ) -> dict[str, list[Document]]:
        """The same of several activations."""
        last = now.astimezone(UTC).date()
        first = last - timedelta(days=number - 1)
        begin = day_number(first)
        with transaction(self._engine) as c:
            recorded = {name: self._recorded(c, name) for name in activations}
            found = delivered_by_day_of(c, list(recorded.values()), begin)
        days = [(begin + i, (first + timedelta(days=i)).isoformat()) for i in range(number)]
        none = dict[int, int]()
        return {
            name: [{"day": text, "delivered": there.get(day, 0)} for day, text in days]
            for name, of in recorded.items()
            for there in (found.get(of, none),)
        }

    def delivered_since(
        self, activations: Sequence[str], now: datetime, number: int
    ) -> dict[str, tuple[int, int]]:
        """How many rows of each were delivered on the last `number` days, and on the last of them
        alone, and still are."""
        last = day_number(now.astimezone(UTC).date())
        with transaction(self._engine) as c:
            recorded = {name: self._recorded(c, name) for name in activations}
            found = delivered_since(c, list(recorded.values()), last - number + 1, last)
        return {name: found.get(of, (0, 0)) for name, of in recorded.items()}

    def services(self) -> list[Service]:
        with transaction(self._engine) as c:
            return living(c)

    def last_began(self, activation: str) -> datetime | None:
        """When the newest run of the activation began that was to read its model."""
        return self.last_began_of([activation])[activation]

    def last_began_of(self, activations: Sequence[str]) -> dict[str, datetime | None]:
        """The same of several activations."""
        began, of_it = func.max(runs.c.started_at), runs.c.activation
        found: dict[str, int] = {}
        with transaction(self._engine) as c:
            recorded = {name: self._recorded(c, name) for name in activations}
            for part in chunks(list(recorded.values())):
                query = select(of_it, began).where(
                    of_it.in_(part), ~runs.c.run_id.startswith(WOKEN)
                )
                found.update((name, at) for name, at in c.execute(query.group_by(of_it)))
        return {name: moment(found[of]) if of in found else None for name, of in recorded.items()}

    def delivery(self, activation: str, row_key: str) -> Document | None:
        """The whole story of one row, without its contact and its payload."""
        with transaction(self._engine) as c:
            name = self._recorded(c, activation)
            row = c.execute(
                select(deliveries).where(d.activation == name, d.row_key == row_key)
            ).first()
            if row is None:
                return self._pruned_row(c, activation, name, row_key)
            tries, decided = attempts_of(c, row.id), decisions_of(c, row.id)
            change = change_of(c, row.id)
            home = home_row(c, name)
        told = story(tries, decided)
        told += processed(told, tries, row.state, instant(row.changed_at))
        return {
            "activation": activation,
            "row_key": row_key,
            "destination": home.destination if home is not None else None,
            "address": home.address if home is not None else None,
            **document(row, "state", "reason", "interaction_id", "run_id"),
            "since": instant(row.changed_at),
            **document(row, "due_at", "waiting_since"),
            "suspect": bool(row.suspect),
            "held": self.held(activation) if row.state in TO_BE_SENT or change else None,
            "change": change,
            "attempts": tries,
            "decisions": [each for each in decided if not by_run(each)],
            "story": told,
            "pruned": None,
        }

    def _pruned_row(
        self, c: Connection, activation: str, name: str, row_key: str
    ) -> Document | None:
        """What is told of a row that is pruned; None: it is none."""
        number = number_of(c, name)
        if number is None or not pruned_among(c, number, [row_key]):
            return None
        home = home_row(c, name)
        before = c.execute(select(pruned.c.before).where(pruned.c.number == number)).scalar()
        unknown = ("reason", "interaction_id", "run_id", "since", "due_at", "waiting_since")
        return {
            "activation": activation,
            "row_key": row_key,
            "destination": home.destination if home is not None else None,
            "address": home.address if home is not None else None,
            "state": State.DELIVERED.value,
            **dict.fromkeys((*unknown, "held", "change")),
            "suspect": False,
            **{name: list[Document]() for name in ("attempts", "decisions", "story")},
            "pruned": {"before": instant(before)},
        }

    def with_key(self, row_key: str) -> list[Document]:
        """The rows of whichever activations that have just this key."""
        theirs = (d.activation == watermarks.c.activation) & (d.row_key == row_key)
        columns = (d.activation, d.row_key, d.state, d.reason, d.changed_at.label("since"))
        query = select(*columns).join_from(watermarks, deliveries, theirs).order_by(d.activation)
        called = {self._name(name): name for name in self._earlier}
        found = [document(row, *row._fields) for row in self._all(query)]
        return [
            each | {"activation": called.get(name := each["activation"], name)} for each in found
        ]

    def sent_as(self, activation: str, row_key: str) -> tuple[str | None, str | None]:
        """The time under which a row was, or will be, sent, and the digest of what was recorded of
        it; None where that is not known any more."""
        query = select(d.created_date, d.digest).where(
            self._of(deliveries, activation), d.row_key == row_key
        )
        row = self._first(query)
        return (None, None) if row is None else (row[0], row[1])

    def quarantine(
        self,
        activation: str | None = None,
        limit: int | None = None,
        state: State | None = None,
        reason: str | None = None,
        key: str | None = None,
        since: int | None = None,
    ) -> list[Document]:
        """Rows that wait for a person: invalid, rejected and in doubt; oldest first.

        `state`, `reason` and `key` (a part of it, whatever the capitals), and `since` when they are
        so at the earliest (milliseconds since 1970), narrow them down.
        """
        rows = self._quarantined(activation, state, since, holding(reason, key))
        order = attrgetter("activation", "since", "id")
        chosen = sorted(rows, key=order) if limit is None else nsmallest(limit, rows, key=order)
        names = ("activation", "row_key", "state", "reason", "since")
        return [document(row, *names) for row in chosen]

    def _quarantined(
        self,
        activation: str | None,
        state: State | None,
        since: int | None,
        parts: Iterator[ColumnElement[bool]],
    ) -> Iterator[Any]:
        at = d.changed_at.label("since")
        query = select(d.id, d.activation, d.row_key, d.state, d.reason, at).where(*parts)
        if since is not None:
            query = query.where(d.changed_at >= since)
        names = [self._name(activation)] if activation is not None else self.homes()
        for name in names:
            yield from open_rows(self._engine, name, [state] if state else QUARANTINE, query)

    def _of(self, table: Table, activation: str) -> ColumnElement[bool]:
        """The condition for what is recorded of `activation`, under its earlier name if need be."""
        return table.c.activation == self._name(activation)

    def quarantine_groups(
        self,
        activation: str | None = None,
        state: State | None = None,
        reason: str | None = None,
        key: str | None = None,
        since: int | None = None,
    ) -> list[Document]:
        """The same rows, counted by state and reason; the largest groups first."""
        numbers: Counter[tuple[str, str, str]] = Counter()
        examples: dict[tuple[str, str, str], str] = {}
        for row in self._quarantined(activation, state, since, holding(reason, key)):
            what = (row.activation, row.state, row.reason)
            numbers[what] += 1
            examples[what] = min(row.row_key, examples.get(what, row.row_key))
        return [
            {
                "activation": what[0],
                "state": what[1],
                "reason": what[2],
                "count": number,
                "example_key": examples[what],
            }
            for what, number in sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
        ]

    # --- reading back ---------------------------------------------------------------------------

    def identity(self, activation: str) -> Identity | None:
        """What the rows of an activation were when they were recorded."""
        row = self._first(select(watermarks).where(watermarks.c.activation == activation))
        return row and stored_identity(row)

    def origin(self, activation: str) -> str | None:
        """The name under which an activation was recorded first."""
        name = self._name(activation)
        query = select(watermarks.c.origin).where(watermarks.c.activation == name)
        row = self._first(query)
        return None if row is None else str(row[0] or name)

    def now(self) -> int:
        """The database's clock in milliseconds since 1970; 0 where there is no ledger."""
        with transaction(self._engine) as c:
            return database_time(c)

    def delivered(self, run_id: str, until: int, after: int, limit: int) -> list[Delivered]:
        """The next rows, after the delivery with the id `after`, that stand as delivered by a run
        since `until` (milliseconds since 1970) at the latest."""
        query = select(*OF_DELIVERED).where(
            d.run_id == run_id, d.state == State.DELIVERED, d.changed_at <= until
        )
        found = rows_of_run(self._engine, run_id, query, d.id, after, limit)
        return list(map(delivered_row, found))

    def unsettled(self, activation: str, contact_id: str) -> list[Unsettled]:
        """The contact's rows at that destination that are on the wire or in doubt."""
        with transaction(self._engine) as c:
            origin = func.coalesce(watermarks.c.origin, d.activation)
            query = select(d.id, origin, d.row_key, d.created_date, d.payload).where(
                watermarks.c.activation == d.activation,
                d.activation.in_(neighbours(c, activation)),
                d.state.in_(MAY_BE_THERE),
                OPEN,
                func.lower(d.contact_id) == contact_id.lower(),
            )
            return [Unsettled(*row) for row in c.execute(query)]

    def schema_uses(self, place: Place | None, destinations: Collection[str]) -> list[Document]:
        """Each activation that has recorded rows for the destination at `place`, which is called
        one of `destinations`: its schema, and how many of its rows stand in each state; those that
        are no longer configured, too."""
        w = watermarks.c
        query = select(w.activation, w.schema_id).where(sends_to(place, destinations))
        with transaction(self._engine) as c:
            rows = c.execute(query.order_by(w.activation)).all()
            return [
                document(row, *row._fields) | {"counts": state_counts(c, row[0])} for row in rows
            ]

    def run_under_way(self, activation: str) -> str | None:
        """The id of the run that holds the activation now; None when none does."""
        lease = self._lease(activation)
        return lease and str(lease.run_id)

    def _lease(self, activation: str) -> Any:
        """The lease of the activation, if somebody holds it now."""
        now_held = (leases.c.run_id.is_not(None), leases.c.expires_at > NOW)
        return self._first(select(leases).where(self._of(leases, activation), *now_held))

    def homes(self) -> dict[str, Identity]:
        """Of every activation in the ledger, what its rows were when they were recorded."""
        query = select(watermarks).order_by(watermarks.c.activation)
        return {row.activation: stored_identity(row) for row in self._all(query)}

    def keys_holding(self, names: Collection[str], activations: Collection[str]) -> int:
        """How many row keys hold one of `names` themselves."""
        holding = or_(*(d.row_key.icontains(name, autoescape=True) for name in names))
        query = select(func.count()).where(d.activation.in_(list(activations)), holding)
        return sum(row[0] for row in windows(self._engine, query, d.id))
