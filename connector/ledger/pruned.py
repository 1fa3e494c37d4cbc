"""What is left of rows that were pruned: they were delivered long ago, and are known again.

Nothing else tells of such a row. Its key keeps it from being recorded, and so sent, once more; its
interaction, if it has one, from being taken for another row's. Both are only ever added to, in the
transaction that deletes the row, so at any time one of the two knows it. Who asks both asks for the
rows first: a row that is pruned in between is met at least once.
"""

from collections.abc import Collection

from sqlalchemy import Connection, exists, select

from connector.ledger.digests import as_rows, halves
from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.records import Known
from connector.ledger.tables import pruned, pruned_keys
from connector.rules.delivery import State

k, p = pruned_keys.c, pruned.c
PRUNED_ROW = Known(0, State.DELIVERED, None, None, "", None, None, 0)
"""What is known of a pruned row; there is no delivery with this id."""


def number_of(c: Connection, activation: str) -> int | None:
    """The number under which pruned rows of the activation are kept; None where there are none."""
    return c.execute(select(p.number).where(p.activation == activation)).scalar()


def pruned_among(c: Connection, number: int, keys: Collection[str]) -> set[str]:
    """Those of `keys` that are pruned rows' of the activation with this number."""
    by_halves = {halves(key): key for key in keys}
    entry = json_rows(c.dialect.name, "high", "low").c
    there = exists().where(k.activation == number, k.high == entry.high, k.low == entry.low)
    query = select(entry.high, entry.low).where(there)
    found = c.execute(query, in_one(as_rows(by_halves)))
    return {by_halves[row[0], row[1]] for row in found}
