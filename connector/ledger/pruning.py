"""Prune what was delivered long ago: of its rows no more stays than by what they are known again.

Whoever prunes has the lease, as whoever records rows has, and proves it in each transaction: so no
row is recorded anew while it goes. A transaction is short, and whole: it deletes rows and puts what
is left of them in their place, or does neither. Which rows those are is found by the spans of runs
that ended long ago, so nothing looks at all rows; it is proven of each once more as it goes.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    update,
)

from connector.basis import dataclass
from connector.ledger.counts import DAY, count_pruned
from connector.ledger.deeds import DEED, PRUNED, Entry, note
from connector.ledger.digests import Halves, as_rows, halves, halves_of
from connector.ledger.history import ENDED_WELL, MOST_RUNS, ended_well, tempos
from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.leases import WOKEN, Book, is_by_hand
from connector.ledger.mirrored import changes, is_of
from connector.ledger.moving import newest_id
from connector.ledger.ownership import ASKED, digest_of
from connector.ledger.processes import process_of
from connector.ledger.records import Run, milliseconds, moment
from connector.ledger.tables import (
    NOW,
    attempts,
    chunks,
    decisions,
    deliveries,
    delivery_counts,
    leases,
    migrated_rows,
    pruned,
    pruned_interactions,
    pruned_keys,
    removed_interactions,
    requests,
    runs,
    services,
    turns,
    upsert,
)
from connector.ledger.transaction import Reader, repeated
from connector.rules.delivery import State
from connector.rules.history import ENOUGH

SINCE = "0025"
"""The step of the tables from which on a connector knows of pruned rows."""
TOGETHER = 1_000
"""Rows, and runs, that go in one transaction."""
WINDOW = 20_000
"""Ids among which is searched in one statement."""
RUNS_THAT_STAY = 50
"""The newest of each activation, however old: limits compare with so many."""

a, d, p, r = attempts.c, deliveries.c, pruned.c, runs.c
NEEDED = (
    true(),
    r.relation.is_not(None),
    r.delivered > 0,
    r.status == "held",
    r.status.in_(ENDED_WELL),
    ~r.run_id.startswith(WOKEN),
)
"""Of each of these kinds the newest run stays: later ones ask for it."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned. `done`: nothing is left that could be."""

    rows: int = 0
    runs: int = 0
    done: bool = True


@dataclass(frozen=True, slots=True)
class Gone:
    """How many rows and runs were pruned; all of them were delivered, or had ended, `before`."""

    rows: int
    runs: int
    before: datetime | None


@dataclass(frozen=True, slots=True)
class Old:
    """What of an activation is old enough: `rows` that were delivered, some of which may have to
    stay, and `runs`. `before`: in milliseconds since 1970, all of it was then."""

    rows: int
    runs: int
    before: int


@dataclass(frozen=True, slots=True)
class Reach:
    """Up to where is pruned: what was delivered, or had ended, on earlier days (UTC). `rows`: the
    rows, too, which those of a mirror are never."""

    activation: str
    day: int
    rows: bool

    @property
    def before(self) -> int:
        """When that day began."""
        return self.day * DAY


class OldRows(Reader):
    """What of an activation could be pruned, and was."""

    def older_connector(self) -> str | None:
        """A process that is at work and does not know of pruned rows, so that it would send them
        again; None: there is none. One that begins now would not take the ledger."""
        held = select(leases.c.holder).where(
            leases.c.run_id.is_not(None), leases.c.expires_at > NOW
        )
        serving = select(services.c.holder).where(services.c.expires_at > NOW)
        for (holder,) in [*self._all(held), *self._all(serving)]:
            process = process_of(holder)
            if process is None:
                return "a process that nothing is known of"
            if process.tables < SINCE and not process.is_dead():
                return f"process {process.pid} on {process.host}"
        return None

    def already_pruned(self, activation: str | None = None) -> Gone:
        """What was pruned of `activation`, or of all of them."""
        numbers = select(func.sum(p.rows), func.sum(p.runs), func.max(p.before))
        if activation is not None:
            numbers = numbers.where(p.activation == self._name(activation))
        rows, ended, before = self._first(numbers)
        return Gone(int(rows or 0), int(ended or 0), before and moment(before))

    def old(self, activation: str, span: timedelta, rows: bool) -> Old:
        """What of `activation` is older than `span`; `rows`: its rows, too."""
        reach, _ = self._reach(self._name(activation), span, rows)
        number = 0
        if rows:
            n = delivery_counts.c
            old = (n.activation == reach.activation, n.state == State.DELIVERED, n.day < reach.day)
            number = self._first(select(func.coalesce(func.sum(n.number), 0)).where(*old))[0]
        ended = select(func.count()).where(*self._ended(reach))
        return Old(int(number), int(self._first(ended)[0]), reach.before)

    def _reach(self, name: str, span: timedelta, rows: bool) -> tuple[Reach, int]:
        """Up to where is to be pruned, and up to which day that is done."""
        done = select(p.day).where(p.activation == name).scalar_subquery()
        now, day = self._first(select(NOW, done))
        return Reach(name, (int(now) - milliseconds(span)) // DAY, rows), day or 0

    def _ended(self, reach: Reach) -> tuple[ColumnElement[bool], ...]:
        """The condition for runs that are to go."""
        mine = r.activation == reach.activation
        newest = select(r.started_at).where(mine).order_by(r.started_at.desc())
        bound = newest.limit(1).offset(RUNS_THAT_STAY - 1).scalar_subquery()
        in_order = (r.started_at.desc(), r.run_id.desc())
        kinds = [select(r.run_id).where(mine, kind).order_by(*in_order) for kind in NEEDED]
        stay = {row[0] for each in kinds for row in self._all(each.limit(1))}
        stay |= self._teaching(reach.activation)
        old = (r.started_at < reach.before, r.finished_at < reach.before, r.started_at < bound)
        return mine, *old, r.run_id.not_in(stay)

    def _teaching(self, activation: str) -> set[str]:
        """The runs by which limits know what is usual: the newest of each weekday that had rows to
        send, and the newest that looked contacts up, as many as are enough."""
        of_weekday: dict[int, list[str]] = {}
        had_rows = ended_well(activation, r.run_id, r.started_at).where(r.comparable, r.due > 0)
        for run_id, began in self._all(had_rows.limit(MOST_RUNS)):
            of_weekday.setdefault(began // DAY % 7, []).append(run_id)
        matched = or_(r.matched.is_not(None), r.contacts.is_not(None))
        asked = ended_well(activation, r.run_id).where(r.comparable, matched).limit(ENOUGH)
        newest = [run_id for each in of_weekday.values() for run_id in each[:ENOUGH]]
        return {*newest, *(run_id for (run_id,) in self._all(asked))}


class Pruning(Book, OldRows):
    """What was delivered long ago is pruned."""

    def prune(
        self,
        lease: Run,
        span: timedelta,
        rows: bool = True,
        most: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Pruned:
        """Prune what of the activation is older than `span`, as whole days (UTC); at most about so
        many rows as `most`; without it also what only a look at all rows finds. Where it is `by` a
        person it is on the audit list. Raises LeaseLost.

        `rows`: its delivered rows, too, which those of a mirror are never; `stop`: asked between
        two transactions whether to end.
        """
        reach, done = self._reach(lease.activation, span, rows)
        if most is not None and done >= reach.day:
            return Pruned()
        if self.older_connector():
            return Pruned(done=False)
        gone = 0
        for ids in self._old_rows(reach, everywhere=most is None):
            gone += self._prune_rows(lease, reach, ids)
            if stop() or (most is not None and gone >= most):
                return Pruned(gone, 0, False)
        ended = self._prune_runs(lease, reach, everywhere=most is None)
        self._reached(lease, reach)
        return Pruned(gone, ended)

    # --- rows -----------------------------------------------------------------------------------

    def _old_rows(self, reach: Reach, everywhere: bool) -> Iterator[Sequence[int]]:
        """The ids of rows that may go, some at a time."""
        n = delivery_counts.c
        mine = (n.activation == reach.activation, n.state == State.DELIVERED)
        any_old = select(n.day).where(*mine, n.day < reach.day, n.number > 0).limit(1)
        if not reach.rows or not self._first(any_old):
            return
        if everywhere:
            last = self._first(select(func.max(d.id)))[0] or 0
            yield from self._in_span(reach, 0, last)
            return
        ended = (r.activation == reach.activation, r.finished_at < reach.before)
        place = (r.started_at, r.run_id)
        query = select(*place, r.first_delivery, r.last_delivery).where(
            *ended, r.started_at < reach.before, r.last_delivery > 0
        )
        page = self._all(query.order_by(*place).limit(TOGETHER))
        while page:
            for row in page:
                yield from self._in_span(reach, row.first_delivery - 1, row.last_delivery)
            beyond = tuple_(*place) > (page[-1].started_at, page[-1].run_id)
            page = self._all(query.where(beyond).order_by(*place).limit(TOGETHER))

    def _in_span(self, reach: Reach, after: int, last: int) -> Iterator[Sequence[int]]:
        mine = (is_of(reach.activation), d.state == State.DELIVERED, d.about.is_(None))
        query = select(d.id).where(*mine, d.changed_at < reach.before).order_by(d.id)
        while after < last:
            until = min(after + WINDOW, last)
            found = [row[0] for row in self._all(query.where(d.id > after, d.id <= until))]
            yield from chunks(found)
            after = until

    @repeated
    def _prune_rows(self, lease: Run, reach: Reach, ids: Sequence[int]) -> int:
        """Those of these rows that may go do; how many there were."""
        with self._leased(lease) as (c, now):
            # the newest of all stays, since SQLite would give its id to another row
            mine = (is_of(reach.activation), d.id.in_(these(c)), d.id < newest_id(c))
            what = (d.id, d.row_key, d.interaction_id, d.changed_at)
            query = select(*what).where(*mine, d.changed_at < reach.before, MAY_GO, ~_counts(reach))
            going = c.execute(query, in_one([{"id": id} for id in ids])).all()
            if asked := _being_forgotten(c, going):
                going = [row for row in going if row.id not in asked]
            if going:
                number = _number(c, reach, len(going))
                _remember(c, number, going)
                _delete(c, [row.id for row in going])
                count_pruned(c, reach.activation, Counter(row.changed_at // DAY for row in going))
                _tell(c, lease, now, {"rows": len(going), "runs": 0})
            return len(going)

    # --- runs -----------------------------------------------------------------------------------

    def _prune_runs(self, lease: Run, reach: Reach, everywhere: bool) -> int:
        ended, gone = self._ended(reach), 0
        if not everywhere and reach.rows:  # of the others it is not known where their rows are
            ended = (*ended, r.last_delivery.is_not(None))
        query = select(r.run_id).where(*ended).order_by(r.started_at).limit(TOGETHER)
        while names := [row[0] for row in self._all(query)]:
            gone += self._delete_runs(lease, reach, names)
        return gone

    @repeated
    def _delete_runs(self, lease: Run, reach: Reach, names: Sequence[str]) -> int:
        with self._leased(lease) as (c, now):
            _number(c, reach, 0, len(names))
            _tell(c, lease, now, {"rows": 0, "runs": len(names)})
            c.execute(delete(tempos).where(tempos.c.run_id.in_(names)))
            return c.execute(delete(runs).where(r.run_id.in_(names))).rowcount

    @repeated
    def _reached(self, lease: Run, reach: Reach) -> None:
        """All is done up to there."""
        with self._leased(lease) as (c, _):
            number = _number(c, reach)
            mine = (p.number == number, p.day < reach.day)
            c.execute(update(pruned).where(*mine).values(day=reach.day))


def _tell(c: Connection, lease: Run, now: int, gone: Mapping[str, int]) -> None:
    """On the audit list, where a person prunes: so many at a time as went together."""
    if lease.by and is_by_hand(lease.run_id):
        details = {**gone, DEED: lease.run_id}
        note(c, Entry(PRUNED, lease.by, lease.activation, details=details), now)


def _number(c: Connection, reach: Reach, rows: int = 0, ended: int = 0) -> int:
    """The number of the activation, with so many more rows and runs that are pruned."""
    mine = p.activation == reach.activation
    if c.execute(select(p.number).where(mine)).first() is None:
        c.execute(insert(pruned).values(activation=reach.activation))
    if rows or ended:
        before = func.coalesce(p.before, 0)
        later = update(pruned).where(mine, before < reach.before).values(before=reach.before)
        c.execute(later)
        c.execute(update(pruned).where(mine).values(rows=p.rows + rows, runs=p.runs + ended))
    return int(c.execute(select(p.number).where(mine)).scalar_one())


def _remember(c: Connection, number: int, going: Sequence[Any]) -> None:
    """What rows that go are known by."""
    kept = {halves(row.row_key) for row in going}
    own = {halves_of(digest_of(row.interaction_id)) for row in going if row.interaction_id}
    old = removed_interactions.c
    former = select(old.digest).where(old.delivery_id.in_(these(c)))
    found = c.execute(former, in_one([{"id": row.id} for row in going]))
    own |= {halves_of(digest) for digest in found.scalars()}
    for table, some in ((pruned_keys, kept), (pruned_interactions, own)):
        if some:
            c.execute(upsert(c, table).on_conflict_do_nothing(), _rows(number, some))


def _being_forgotten(c: Connection, going: Sequence[Any]) -> set[int]:
    """Those of these rows of which somebody has asked for the deletion of what they own, and not
    heard what came of it: the next forgetting asks once more."""
    names, old = {row.id: row.interaction_id for row in going}, removed_interactions.c
    query = select(old.delivery_id).where(old.digest == ASKED, old.delivery_id.in_(these(c)))
    marked = set(c.execute(query, in_one([{"id": id} for id in names])).scalars())
    own = {digest_of(names[id]): id for id in marked if names[id]}
    beside = select(old.digest, old.delivery_id).where(old.digest.in_(list(own)))
    found = c.execute(beside) if own else ()
    return {row.delivery_id for row in found if own[row.digest] == row.delivery_id}


def _rows(number: int, found: set[Halves]) -> list[dict[str, int]]:
    return [{"activation": number, **each} for each in as_rows(sorted(found))]


def _delete(c: Connection, ids: Sequence[int]) -> None:
    rows = in_one([{"id": id} for id in ids])
    for table in (attempts, decisions, removed_interactions, turns):
        c.execute(delete(table).where(table.c.delivery_id.in_(these(c))), rows)
    c.execute(delete(deliveries).where(d.id.in_(these(c))), rows)


def these(c: Connection) -> Select[int]:
    """The ids in the one parameter of a statement: so many by their names would take longer to be
    written than to be deleted."""
    return select(json_rows(c.dialect.name, "id").c.id)


def _counts(reach: Reach) -> ColumnElement[bool]:
    """A turn that may count still: no cap looks back for longer than rows are kept."""
    return exists().where(turns.c.delivery_id == d.id, turns.c.at >= reach.before)


def _stands_in(table: Any) -> ColumnElement[bool]:
    return exists().where(table.c.delivery_id == d.id)


SPOKEN_OF = exists().where(
    a.delivery_id == d.id, requests.c.id == a.request, requests.c.ended_at.is_(None)
)
"""The destination is still asked about the row's request."""
MAY_GO = and_(
    d.state == State.DELIVERED,
    d.about.is_(None),  # a mirror takes its rows back by what they are known by now
    ~or_(*map(_stands_in, (changes, migrated_rows)), SPOKEN_OF),
)
