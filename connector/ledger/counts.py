"""How many rows stand where. Those that pile up were counted as they moved: they are looked up."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
    update,
)

from connector.ledger.tables import (
    COUNTED,
    OPEN,
    PRUNED,
    chunks,
    deliveries,
    delivery_counts,
    runs,
    upsert,
)
from connector.rules.delivery import State

d, n = deliveries.c, delivery_counts.c
DAY = 86_400_000
DONE = (State.DELIVERED.value, PRUNED)
"""What counts as delivered, whatever is left of it."""
TOLD_AS: Any = case((n.state == PRUNED, State.DELIVERED.value), else_=n.state)
FEW = tuple(state.value for state in State if state not in COUNTED)


def open_counts(c: Connection, activation: str) -> dict[str, int]:
    """How many rows stand in each state that rows pass through."""
    return _pairs(c.execute(passing(activation)))


def passing(activation: str) -> Select[str, int]:
    """The states that rows pass through, each with how many rows of `activation` stand in it."""
    return (
        select(d.state, func.count().label("number"))
        .where(d.activation == activation, d.state.in_(FEW), OPEN)
        .group_by(d.state)
    )


def with_passing(activation: str, *columns: Any, of: Any = None) -> Select[Any]:
    """These `columns` and, as `row_state` and `row_number`, the same: a row for each state, or just
    one. `of`: where the columns are from, one row at most."""
    now, one = passing(activation).subquery(), of
    if one is None:
        one = select(literal(1).label("one")).subquery()
    counted = now.c.state.label("row_state"), now.c.number.label("row_number")
    return select(*columns, *counted).select_from(one.outerjoin(now, true()))


def passing_of(rows: Sequence[Any]) -> Mapping[State, int]:
    """How many rows stand where, by what `with_passing` has found."""
    return {State(row.row_state): int(row.row_number) for row in rows if row.row_state}


def state_counts(c: Connection, activation: str) -> dict[str, int]:
    """How many rows stand in each state; those without a row are left out."""
    query = select(TOLD_AS, func.sum(n.number)).where(n.activation == activation).group_by(TOLD_AS)
    counted = {state: number for state, number in _pairs(c.execute(query)).items() if number}
    return open_counts(c, activation) | counted


def counts_of(c: Connection, activations: Sequence[str]) -> dict[str, dict[str, int]]:
    """The same of several activations, by name; those without a row are left out."""
    found: dict[str, dict[str, int]] = defaultdict(dict, open_counts_of(c, activations))
    for part in chunks(activations):
        counted = (
            select(n.activation, TOLD_AS, func.sum(n.number))
            .where(n.activation.in_(part))
            .group_by(n.activation, TOLD_AS)
        )
        for name, state, number in c.execute(counted):
            if number:
                found[name][state] = int(number)
    return dict(found)


def open_counts_of(c: Connection, activations: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many rows of several activations stand in each state that rows pass through, by name."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for part in chunks(activations):
        passing = (
            select(d.activation, d.state, func.count())
            .where(d.activation.in_(part), d.state.in_(FEW), OPEN)
            .group_by(d.activation, d.state)
        )
        for name, state, number in c.execute(passing):
            found[name][state] = int(number)
    return dict(found)


def oldest_of(
    c: Connection, activations: Sequence[str]
) -> dict[str, tuple[float | None, float | None]]:
    """Seconds since 1970: when the oldest doubt and the longest wait of each began; those without
    either are left out."""
    doubt = func.min(case((d.state == State.IN_DOUBT, d.changed_at)))
    wait = func.min(case((d.state == State.WAITING, d.waiting_since)))
    found: dict[str, tuple[float | None, float | None]] = {}
    for part in chunks(activations):
        query = (
            select(d.activation, doubt, wait)
            .where(d.activation.in_(part), d.state.in_((State.IN_DOUBT, State.WAITING)), OPEN)
            .group_by(d.activation)
        )
        for name, first, second in c.execute(query):
            found[name] = (first and first / 1000, second and second / 1000)
    return found


def delivered_by_day_of(
    c: Connection, activations: Sequence[str], first: int
) -> dict[str, dict[int, int]]:
    """By activation and day, from `first` on (since 1970, UTC), how many rows were delivered that
    still are."""
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for part in chunks(activations):
        query = select(n.activation, n.day, func.sum(n.number)).where(
            n.activation.in_(part), n.state.in_(DONE), n.day >= first
        )
        for name, day, number in c.execute(query.group_by(n.activation, n.day)):
            found[name][day] = int(number)
    return dict(found)


def delivered_since(
    c: Connection, activations: Sequence[str], first: int, last: int
) -> dict[str, tuple[int, int]]:
    """By activation, how many rows were delivered that still are: from the day `first` on (since
    1970, UTC), and on the day `last`."""
    found: dict[str, tuple[int, int]] = {}
    for part in chunks(activations):
        there = n.activation.in_(part), n.state.in_(DONE), n.day >= first
        query = select(
            n.activation, func.sum(n.number), func.sum(case((n.day == last, n.number), else_=0))
        ).where(*there)
        for name, number, newest in c.execute(query.group_by(n.activation)):
            found[name] = int(number), int(newest)
    return found


def newest_deliveries(c: Connection, activations: Sequence[str]) -> dict[str, int]:
    """When each has delivered a row last that still is, in milliseconds since 1970: when the run
    ended that did it, or, while it goes on, when it or the day of that row began.

    The days tell which runs may have done it, so that not all runs are looked at of an activation
    that has delivered nothing for long.
    """
    found: dict[str, int] = {}
    for part in chunks(activations):
        day = func.max(n.day).label("day")
        days = select(n.activation, day).where(
            n.activation.in_(part), n.state.in_(DONE), n.number > 0
        )
        last = days.group_by(n.activation).subquery().c
        run = select(func.coalesce(runs.c.finished_at, runs.c.started_at)).where(
            runs.c.activation == last.activation,
            runs.c.started_at < (cast(last.day, BigInteger) + 1) * DAY,
            runs.c.delivered > 0,
        )
        newest = run.order_by(runs.c.started_at.desc()).limit(1).scalar_subquery()
        for name, that_day, at in c.execute(select(last.activation, last.day, newest)):
            found[name] = max(int(at or 0), that_day * DAY)
    return found


def count_pruned(c: Connection, activation: str, by_day: Mapping[int, int]) -> None:
    """Rows of these days (since 1970) are not there to be counted any more: they still are."""
    statement = upsert(c, delivery_counts)
    more = {"number": n.number + statement.excluded.number}
    keys = ["activation", "state", "day"]
    mine = {"activation": activation, "state": PRUNED}
    c.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=more),
        [{**mine, "day": day, "number": number} for day, number in sorted(by_day.items())],
    )


def count_pruned_less(c: Connection, activation: str) -> None:
    """One of them is there no more. On which day it was is not known: the first has one less."""
    _count_on_first(c, activation, -1, n.number > 0)


def count_pruned_more(c: Connection, activation: str) -> None:
    """One of them that was counted off is there after all."""
    _count_on_first(c, activation, 1)


def _count_on_first(c: Connection, activation: str, more: int, *of: ColumnElement[bool]) -> None:
    """`of`: what is true of the day that is meant, the first of these."""
    mine = (n.activation == activation, n.state == PRUNED)
    first = select(func.min(n.day)).where(*mine, *of).scalar_subquery()
    on_first = update(delivery_counts).where(*mine, n.day == first)
    c.execute(on_first.values(number=n.number + more))


GROWING = (
    *("read", "staged", "delivered", "invalid", "rejected", "resent", "assumed"),
    *("removed", "replaced"),
)
COUNTING = (
    update(runs)
    .where(runs.c.run_id == bindparam("run"))
    .values({name: runs.c[name] + bindparam(f"more_{name}", type_=Integer) for name in GROWING})
)
"""Built once, for it stands in most transactions of a run."""


def count_in_run(c: Connection, run_id: str, **more: int) -> None:
    """Add to a run's figures, in the transaction that does what they tell: a run that is killed
    has told all that it did."""
    if any(more.values()):
        c.execute(COUNTING, {"run": run_id} | {f"more_{n}": more.get(n, 0) for n in GROWING})


def standing_figures(counts: Mapping[Any, int], ended: bool) -> dict[str, int]:
    """The figures of a run that tell how the rows of its activation stand. An attempt that is
    still open when the run has `ended` is one whose answer got lost."""
    lost = counts.get(State.SENDING, 0) if ended else 0
    return {
        "pending": counts.get(State.PENDING, 0),
        "waiting": counts.get(State.WAITING, 0),
        "submitted": counts.get(State.SUBMITTED, 0),
        "in_doubt": counts.get(State.IN_DOUBT, 0) + lost,
    }


def _pairs(rows: Any) -> dict[Any, int]:
    return {name: int(number) for name, number in rows}
