"""The rows of a mirror: what the model says now is put beside them, and carried out.

A change stands in `changes` before anything is asked of the destination, and its row moves once the
deletion is confirmed, in one transaction: the new content is pending only then. So there is never
more than one interaction of a row, whatever dies when.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, case, delete, exists, func, or_, select, update

from connector.ledger.counts import count_in_run
from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.leases import Book, lock, prolong
from connector.ledger.mirrored import (
    CHANGED,
    NOT_THERE,
    OVER,
    REMOVED,
    REPLACED,
    RETURNED,
    UNSENT,
    Aim,
    Asking,
    Gone,
    Late,
    Left,
    Marked,
    Mirrored,
    MirroredRows,
    Refreshed,
    Taking,
    There,
    Wish,
    changes,
    cover,
    is_of,
)
from connector.ledger.moving import (
    BODY,
    CORRECTED,
    WAS,
    Move,
    Row,
    Told,
    content_of,
    move,
    remember_beginnings,
)
from connector.ledger.ownership import remember_removed
from connector.ledger.records import Run, Staged, milliseconds
from connector.ledger.tables import (
    OPEN,
    attempts,
    chunks,
    database_time,
    deliveries,
    ledgers,
    upsert,
)
from connector.ledger.transaction import repeated
from connector.ledger.turns import put_turns
from connector.rules.delivery import State
from connector.rules.errors import LeaseLost
from connector.rules.interaction import Invalid

d, g, a = deliveries.c, changes.c, attempts.c
CONTENT = (*BODY, "about", "source")
PAGE = 1000
KNOWN_FOR_SURE = or_(d.suspect.is_not(True), d.state == State.INVALID)
"""Nothing of an unsent row is stored: a suspect one is read back first, where that can be done."""


class Mirrors(Book, MirroredRows):
    """What the model says of a mirror's rows is recorded, and carried out."""

    @repeated
    def reflect(
        self,
        run: Run,
        corrected: Sequence[tuple[Mirrored, Staged]],
        wishes: Sequence[Wish],
        refreshed: Sequence[Refreshed] = (),
        dropped: Collection[int] = (),
    ) -> None:
        """Put on record what the model says of rows that are recorded: `corrected`, of which
        nothing is stored, read differently; `wishes` are put beside rows, `dropped` are the rows
        beside which nothing stands any more, unless it was asked for. Raises LeaseLost."""
        with self._leased(run) as (c, now):
            _correct(c, run, corrected, now)
            if wishes:
                c.execute(_wishing(c), [_wished(run, wish, now) for wish in wishes])
            if refreshed:
                rows = [
                    {"id": r.delivery_id, "about": r.about, "source": r.source} for r in refreshed
                ]
                entry = json_rows(c.dialect.name, "id", "about", "source").c
                statement = update(deliveries).where(d.id == entry.id)
                c.execute(statement.values(about=entry.about, source=entry.source), in_one(rows))
            for part in chunks([*dropped, *(before.known.id for before, _ in corrected)]):
                c.execute(delete(changes).where(g.delivery_id.in_(part), g.asked_at.is_(None)))
            invalid = sum(isinstance(staged.content, Invalid) for _, staged in corrected)
            count_in_run(c, run.run_id, invalid=invalid)

    @repeated
    def end_reading(self, run: Run) -> None:
        """Drop what the reading that has come to its end did not make anew: changes beside rows
        that are over. Raises LeaseLost."""
        with self._leased(run) as (c, _):
            over = select(d.id).where(d.activation == run.activation, d.state.in_(OVER), OPEN)
            c.execute(delete(changes).where(g.delivery_id.in_(over)))

    @repeated
    def apply_to_unsent(self, run: Run, revive: bool = False) -> int:
        """Carry out what stands beside rows of which nothing is stored: the next PAGE of them; how
        many there were. `revive`: suspect rows that were rejected are to be read back. Raises
        LeaseLost."""
        any_of_it = select(g.delivery_id).select_from(CHANGED).where(is_of(run.activation))
        if self._first(any_of_it.limit(1)) is None:
            return 0
        with self._leased(run) as (c, now):
            ours = (is_of(run.activation), d.state.in_(UNSENT), OPEN)
            query = select(
                d.id, d.state, d.attempt, d.reason, g.aim, g.invalid, *(g[name] for name in CONTENT)
            ).select_from(CHANGED)
            found = c.execute(
                query.where(*ours, KNOWN_FOR_SURE).order_by(g.delivery_id).limit(PAGE)
            ).all()
            ids = [row.id for row in found]
            _give_up(c, ids)
            old = _restored(c)
            _move_all(c, run, [_carried_out(run, row, old) for row in found], now)
            for part in chunks(ids):
                c.execute(delete(changes).where(g.delivery_id.in_(part)))
            if revive:
                again = query.where(*ours, d.state == State.REJECTED)
                rows = [Row(r.id, State.REJECTED, r.attempt) for r in c.execute(again)]
                move(c, READ_BACK, rows, now, run.run_id)
            return len(found)

    @repeated
    def take_away(self, run: Run, entries: Sequence[Taking]) -> list[bool | LeaseLost]:
        """Put on record what is asked for, and what came of it; False for rows that were moved.
        What is known already is recorded whoever holds the activation now; nothing is asked for
        without it: those entries get a LeaseLost."""
        asking = [entry for entry in entries if isinstance(entry, Asking)]
        results = dict[int, bool | LeaseLost]()
        with self._standing(run) as c:
            try:
                now = prolong(c, run, self._lease)
            except LeaseLost as lost:
                lock(c, run.activation)
                now = database_time(c)
                results.update((id(entry), lost) for entry in asking)
                asking = []
            results |= _asked(c, asking, now)
            gone = [entry for entry in entries if isinstance(entry, Gone)]
            results |= _take_away(c, run, gone, now)
            late = [entry for entry in entries if isinstance(entry, Late)]
            of = [(each.row.delivery_id, each.row.attempt + 1, each.turn) for each in late]
            put_turns(c, run.activation, of)
            for entry in entries:
                match entry:
                    case There(row):
                        c.execute(delete(changes).where(*_as_seen(row), g.aim == Aim.LOOK))
                    case Left(row, rest, refused, missed):
                        facts: dict[str, Any] = {"refused": refused}
                        facts["due_at"] = now + milliseconds(rest) if rest else None
                        facts |= {"suspect": True} if missed else {}
                        c.execute(update(changes).where(*_as_seen(row)).values(facts))
        return [results.get(id(entry), True) for entry in entries]

    @repeated
    def approve_changes(self, run: Run, approval: int) -> int:
        """Let go what stands beside rows now, where it was approved that the model has none: what
        that means for each row is put on record only by the reading of the run that may go.
        `approval`: which one; 0: that of the run itself. How many rows there are. Raises
        LeaseLost."""
        with self._leased(run) as (c, _):
            return cover(c, run.activation, approval)

    @repeated
    def disapprove_changes(self, run: Run) -> None:
        """No approval covers what is held any more. Raises LeaseLost."""
        with self._leased(run) as (c, _):
            ours = select(d.id).where(d.id == g.delivery_id, d.activation == run.activation)
            covered = update(changes).where(g.approved.is_not(None), exists(ours))
            c.execute(covered.values(approved=None))

    @repeated
    def drop_changes(self, run: Run) -> int:
        """The activation is no mirror any more: what was only wished for is dropped. How many
        deletions were asked for without being confirmed. Raises LeaseLost."""
        with self._leased(run) as (c, _):
            ours = select(d.id).where(d.id == g.delivery_id, d.activation == run.activation)
            c.execute(delete(changes).where(exists(ours), g.asked_at.is_(None)))
            return int(c.execute(select(func.count()).where(exists(ours))).scalar_one())


def _facts(staged: Staged, now: int) -> dict[str, Any]:
    return content_of(staged, now) | {"about": staged.about, "source": staged.source}


def _correct(c: Any, run: Run, rows: Sequence[tuple[Mirrored, Staged]], now: int) -> None:
    """Rows of which nothing is stored read differently, or are there again."""
    contents = [(before.known, _facts(staged, now)) for before, staged in rows]
    _give_up(c, [seen.id for seen, _ in contents])
    old = _restored(c)
    ways = [_to(run, seen, State(facts["state"]), facts, old) for seen, facts in contents]
    _move_all(c, run, ways, now)


def _give_up(c: Any, ids: Collection[int]) -> None:
    """What these rows were until now is remembered, where they are about to be sent anew."""
    remember_beginnings(c, ids)
    for part in chunks(ids):
        removed = select(d.id, d.interaction_id).where(d.id.in_(part), d.state == State.REMOVED)
        remember_removed(c, [(row[0], row[1]) for row in c.execute(removed)])


def _move_all(c: Any, run: Run, ways: Sequence[tuple[Move, Row]], now: int) -> set[int]:
    by_way = defaultdict[Move, list[Row]](list)
    for how, row in ways:
        by_way[how].append(row)
    moved = set[int]()
    for how, rows in by_way.items():
        moved |= move(c, how, rows, now, run.run_id)
    return moved


def _to(
    run: Run, seen: Any, became: State, facts: dict[str, Any], restored: bool
) -> tuple[Move, Row]:
    """How an unsent row, or one that was removed, gets this content."""
    was = State(seen.state)
    returns, told = was is State.REMOVED, None
    if was is not became:
        word = RETURNED if returns else CORRECTED
        told = Told(f"run {run.run_id}", word, was, became, seen.reason, facts["reason"])
    brings = {name: facts.get(name) for name in BRINGS}
    how = FROM_THE_MODEL[became, returns, restored]
    return how, Row(seen.id, was, seen.attempt, brings, told)


def _restored(c: Any) -> bool:
    """Whether the ledger was ever put back from a backup."""
    return c.execute(select(ledgers.c.restored_at)).scalar() is not None


def _carried_out(run: Run, row: Any, restored: bool) -> tuple[Move, Row]:
    if row.aim == Aim.REMOVE:
        was = State(row.state)
        told = Told(f"run {run.run_id}", REMOVED, was, State.REMOVED, row.reason)
        return DROPPED, Row(row.id, was, row.attempt, {}, told)
    became = State.INVALID if row.invalid is not None else State.PENDING
    facts = {name: row._mapping[name] for name in CONTENT} | {"reason": row.invalid}
    return _to(run, row, became, facts, restored)


def _wished(run: Run, wish: Wish, now: int) -> dict[str, Any]:
    facts: dict[str, Any] = {**dict.fromkeys(CONTENT), "invalid": None}
    if wish.to is not None:
        content = _facts(wish.to, now)
        facts |= {name: content[name] for name in CONTENT} | {"invalid": content["reason"]}
    beside = {"delivery_id": wish.delivery_id, "aim": wish.aim.value, "run_id": run.run_id}
    return {**beside, "found_at": now, "suspect": wish.suspect or None, **facts}


def _wishing(c: Any) -> Any:
    """What is wished for anew takes the place of what was; what was learnt of it stays, and an
    approval of another aim is none of this one."""
    statement = upsert(c, changes)
    new = statement.excluded
    as_before = and_(
        g.aim == new.aim,
        func.coalesce(g.digest, "") == func.coalesce(new.digest, ""),
        func.coalesce(g.about, "") == func.coalesce(new.about, ""),
    )
    return statement.on_conflict_do_update(
        index_elements=["delivery_id"],
        set_={
            **{name: new[name] for name in ("aim", "run_id", "invalid", *CONTENT)},
            "found_at": case((as_before, g.found_at), else_=new.found_at),
            "approved": case((as_before, g.approved), else_=None),
            "suspect": func.coalesce(new.suspect, g.suspect),
        },
    )


def _as_seen(row: Marked) -> tuple[Any, ...]:
    """The change beside a row that is still as it was seen."""
    still = exists().where(
        d.id == g.delivery_id,
        d.state == State.DELIVERED,
        d.attempt == row.attempt,
        d.interaction_id == row.interaction_id,
    )
    return g.delivery_id == row.delivery_id, still


def _asked(c: Any, entries: Sequence[Asking], now: int) -> dict[int, bool | LeaseLost]:
    results = dict[int, bool | LeaseLost]()
    for entry in entries:
        statement = update(changes).where(*_as_seen(entry.row), g.aim != Aim.LOOK)
        asked = statement.values(asked_at=func.coalesce(g.asked_at, now), refused=None)
        results[id(entry)] = c.execute(asked).rowcount == 1
    return results


def _take_away(c: Any, run: Run, entries: Sequence[Gone], now: int) -> dict[int, bool | LeaseLost]:
    """Rows whose interactions are gone become what the changes beside them say."""
    found = dict[int, Any]()
    for part in chunks(entry.row.delivery_id for entry in entries):
        query = select(g.delivery_id, g.aim, g.invalid, g.suspect, *(g[n] for n in CONTENT))
        found |= {r.delivery_id: r for r in c.execute(query.where(g.delivery_id.in_(part)))}
    old = _restored(c)
    ways = [
        _way(run, entry, found[entry.row.delivery_id], old)
        for entry in entries
        if entry.row.delivery_id in found
    ]
    moved = _move_all(c, run, ways, now)
    ids = {entry.row.delivery_id: entry.row.interaction_id for entry in entries}
    remember_removed(c, [(row, ids[row]) for row in moved])
    for part in chunks(moved):
        c.execute(delete(changes).where(g.delivery_id.in_(part)))
    aims = Counter(found[row].aim for row in moved)
    invalid = sum(how.became is State.INVALID and row.id in moved for how, row in ways)
    done = {"removed": aims[Aim.REMOVE], "replaced": aims[Aim.REPLACE], "invalid": invalid}
    count_in_run(c, run.run_id, **done)
    return {id(entry): entry.row.delivery_id in moved for entry in entries}


def _way(run: Run, entry: Gone, change: Any, restored: bool) -> tuple[Move, Row]:
    seen, suspect = entry.row, bool(entry.suspect or change.suspect or restored)
    facts: dict[str, Any] = {"was_id": seen.interaction_id}
    word = {Aim.REMOVE: REMOVED, Aim.REPLACE: REPLACED, Aim.LOOK: NOT_THERE}[Aim(change.aim)]
    if change.aim == Aim.REMOVE:
        became = State.REMOVED
    else:
        became = State.PENDING if change.invalid is None else State.INVALID
        facts |= {name: change._mapping[name] for name in CONTENT} | {"reason": change.invalid}
    was = f"{WAS}{seen.interaction_id}"
    told = Told(f"run {run.run_id}", word, State.DELIVERED, became, was)
    row = Row(seen.delivery_id, State.DELIVERED, seen.attempt, facts, told)
    return TAKEN[became, suspect], row


def _still_its(entry: Any) -> Any:
    return d.interaction_id == entry.was_id


def _suspicious(suspect: bool, **more: Any) -> Any:
    return lambda _: {"suspect": True if suspect else None, **more}


BRINGS = (*CONTENT, "reason")
FROM_THE_MODEL = {
    # an answer that comes only now to an attempt of a row that returns is about what was deleted
    (state, returns, suspect): Move(
        state,
        BRINGS,
        attempt=int(returns),
        by_run=True,
        but=_suspicious(True, contact_id=None) if suspect else lambda _: {"contact_id": None},
    )
    for state in (State.PENDING, State.INVALID)
    for returns in (False, True)
    for suspect in (False, True)
}
"""`suspect`: the ledger comes from a backup, so a run that it has forgotten may have sent just this
content: it is read back first."""
DROPPED = Move(State.REMOVED, (), UNSENT, by_run=True, where=lambda _: KNOWN_FOR_SURE)
READ_BACK = Move(
    State.PENDING,
    (),
    by_run=True,
    where=lambda _: d.suspect.is_(True),
    but=lambda _: {"contact_id": None},
)
"""A row that was rejected, and may have been sent by a run that this ledger has forgotten."""
TAKEN = {
    (state, suspect): Move(
        state,
        ("was_id", *(() if state is State.REMOVED else BRINGS)),
        (State.DELIVERED,),
        attempt=0 if state is State.REMOVED else 1,
        by_run=True,
        where=_still_its,
        but=_suspicious(suspect, **({} if state is State.REMOVED else {"contact_id": None})),
    )
    for state in (State.REMOVED, State.PENDING, State.INVALID)
    for suspect in (False, True)
}
