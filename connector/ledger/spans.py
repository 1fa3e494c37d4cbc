"""Between which deliveries those of a run stand, so that they are found without looking at all.

A span holds every row that a run has recorded, moved or tried, and others besides; it only grows,
in the transaction that does so. Of runs of older connectors nothing is known: everything is looked
at then.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from sqlalchemy import BigInteger, Connection, Engine, bindparam, case, or_, select, update

from connector.ledger.records import Run
from connector.ledger.tables import runs
from connector.ledger.transaction import after_commit, repeated, transaction

TOUCHED = "connector: the rows that this transaction has touched"
EMPTY = {"first_delivery": 0, "last_delivery": 0}
"""The columns of a run that has touched nothing yet; ids begin at 1."""

r = runs.c
FIRST, LAST = bindparam("first", type_=BigInteger), bindparam("last", type_=BigInteger)
EARLIER = or_(r.last_delivery == 0, r.first_delivery > FIRST)
LATER = r.last_delivery < LAST
WIDER = (  # never where they are NULL
    update(runs)
    .where(r.run_id == bindparam("run"))
    .where(or_(EARLIER, LATER))
    .values(
        first_delivery=case((EARLIER, FIRST), else_=r.first_delivery),
        last_delivery=case((LATER, LAST), else_=r.last_delivery),
    )
)


@contextmanager
def spanning(c: Connection, run: Run) -> Iterator[None]:
    """Whatever is touched within becomes a part of the run's span, at the end of it."""
    touched, about = list[int](), c.info
    about[TOUCHED] = touched
    try:
        yield
    finally:
        about.pop(TOUCHED, None)
    if not touched:
        return
    known = run.footing.span or (touched[0], touched[0] - 1)
    first, last = min(known[0], *touched), max(known[1], *touched)
    if (first, last) != known:
        c.execute(WIDER, {"run": run.run_id, "first": first, "last": last})
        after_commit(c, partial(setattr, run.footing, "span", (first, last)))


def touch(c: Connection, ids: Sequence[int]) -> None:
    """A run touches the deliveries with these ids, and perhaps those between them, in a
    transaction of its own."""
    if ids:
        c.info[TOUCHED] += (min(ids), max(ids))


@repeated
def span_of(engine: Engine, run_id: str) -> tuple[int, int | None]:
    """The id before the first delivery that the run can have touched, and that of the last; None:
    it is not known which is the last."""
    with transaction(engine) as c:
        row = c.execute(select(r.first_delivery, r.last_delivery).where(r.run_id == run_id)).first()
    if row is None or row.last_delivery is None:
        return 0, None
    return max(0, row.first_delivery - 1), row.last_delivery
