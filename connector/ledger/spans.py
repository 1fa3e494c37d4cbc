"""Between which deliveries those of a run stand, so that they are found without looking at all.

A span holds every row that a run has recorded, moved or tried, and others besides; it only grows,
in the transaction that does so. Of runs of older connectors nothing is known: everything is looked
at then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import BigInteger, Connection, bindparam, case, or_, update

from connector.ledger.records import Run
from connector.ledger.tables import runs
from connector.ledger.transaction import TOUCHED, after_commit

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


def has_touched(run: Run) -> bool:
    """Whether it has recorded, moved or tried any row so far."""
    return run.footing.span is not None


@contextmanager
def spanning(c: Connection, run: Run) -> Iterator[None]:
    """Whatever is touched within becomes a part of the run's span, at the end of it."""
    about = c.info  # a connection that is lost has none
    about[TOUCHED] = []
    try:
        yield
        widen(c, run)
    finally:
        about.pop(TOUCHED, None)


def widen(c: Connection, run: Run) -> None:
    """Put on record what was touched so far, where its place in the order of locks is."""
    touched = c.info[TOUCHED]
    if not touched:
        return
    known = run.footing.span or (touched[0], touched[0] - 1)
    first, last = min(known[0], *touched), max(known[1], *touched)
    if (first, last) != known:
        c.execute(WIDER, {"run": run.run_id, "first": first, "last": last})
        after_commit(c, partial(setattr, run.footing, "span", (first, last)))
    touched.clear()
