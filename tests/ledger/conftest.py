"""Every transaction of these tests is looked at: in which order does it take its locks?"""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, event, inspect

from connector.ledger.migrations import HEAD, version_of
from connector.ledger.transaction import NOTES

ORDER = (
    {"verifications"},
    {"leases"},
    {"watermarks"},
    {"trials"},
    # kept apart by the lease of their activation
    {
        "runs",
        "tempos",
        "deliveries",
        "requests",
        "attempts",
        "decisions",
        "removed_interactions",
        "receipts",
        "turns",
        "pruned",
        "pruned_keys",
        "pruned_interactions",
    },
    {"contacts"},
    {"migrations"},
    {"migrated_rows"},
    {"pauses"},
    {"ledgers"},
)
RANK = {table: rank for rank, tables in enumerate(ORDER) for table in tables}
# in capitals, as the ledger's own statements are, and those that a test writes itself are not
WRITES = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")
LOCKS = re.compile(r"\sFROM\s+(\w+)")
KEEPS_APART = {"watermarks", "runs", "deliveries", "requests", "attempts", "decisions"}


class Locks:
    """What one transaction has locked so far."""

    def __init__(self) -> None:
        self.tables: list[str] = []
        self.statements: list[str] = []

    def took(self, table: str, statement: str) -> None:
        """Raises AssertionError where it should have taken that one before another one."""
        self.statements.append(statement[:300])
        if table not in RANK or table in self.tables:
            return
        highest = max((RANK[t] for t in self.tables), default=-1)
        assert RANK[table] >= highest, self._told(table)
        assert table not in KEEPS_APART or "leases" in self.tables, self._told(table)
        self.tables.append(table)

    def _told(self, table: str) -> str:
        return f"{table} after {self.tables or 'nothing'}:\n" + "\n".join(self.statements)


def locked_table(statement: str, context: object) -> str | None:
    """The table whose rows a statement locks, if it does."""
    if found := WRITES.match(statement):
        return found[1].lower()
    compiled = getattr(context, "compiled", None)
    asked = getattr(compiled and compiled.statement, "_for_update_arg", None)
    found = LOCKS.search(statement) if asked is not None else None
    return found[1].lower() if found else None


OUTSIDE = """
    select r.run_id, t.id from runs r join (
        select run_id, id from deliveries union all select run_id, delivery_id from attempts
    ) t on t.run_id = r.run_id
    where r.last_delivery is not null and not t.id between r.first_delivery and r.last_delivery
"""


@pytest.fixture(autouse=True)
def spans_hold_all_that_runs_touched(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a run has recorded, moved or tried is found where its record says, whatever it did."""
    if "ledger" not in request.fixturenames:
        yield
        return
    engine = request.getfixturevalue("engine")
    yield
    with engine.begin() as c:
        if c.dialect.name == "postgresql":  # a slow machine is no frozen process
            c.exec_driver_sql("set local idle_in_transaction_session_timeout = 0")
        if version_of(c) == HEAD and {"runs", "attempts"} <= {*inspect(c).get_table_names()}:
            assert c.exec_driver_sql(OUTSIDE).all() == []


@pytest.fixture(autouse=True)
def locks_are_taken_in_one_order(request: pytest.FixtureRequest) -> Iterator[None]:
    """leases, watermarks, rows, the ledger's own row: two transactions that take what they need in
    one order never wait for each other. What a test does by hand is left out."""
    broken: list[tuple[object, str]] = []

    def look(connection: Connection, cursor, statement: str, parameters, context, many) -> None:
        if (notes := connection.info.get(NOTES)) is None:
            return  # no transaction of the ledger's
        if connection.info.get("locks of") is not notes:
            connection.info["locks of"], connection.info["locks"] = notes, Locks()
        if (table := locked_table(statement, context)) is None:
            return
        if table == "alembic_version":  # a migration has a lock of its own, before all others
            broken[:] = [(whose, what) for whose, what in broken if whose is not notes]
        try:
            connection.info["locks"].took(table, statement)
        except AssertionError as wrong:
            broken.append((notes, str(wrong)))

    event.listen(Engine, "before_cursor_execute", look)
    yield
    event.remove(Engine, "before_cursor_execute", look)
    assert not broken, broken[0][1]
