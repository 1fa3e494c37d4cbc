"""Rows that are done are counted as they move, and runs tell what they do while they do it."""

from typing import Any

from alembic import op
from sqlalchemy import Column, Integer, String

revision = "0006"
down_revision = "0005"

COUNTED = ("delivered", "discarded", "undone")
DAY = 86_400_000
"""Milliseconds."""
GROUPED = f"""
    INSERT INTO delivery_counts (activation, state, day, number)
    SELECT activation, state, changed_at / {DAY}, count(*) FROM deliveries
    WHERE state IN {COUNTED} GROUP BY 1, 2, 3
"""
UNDONE = """
    UPDATE runs SET undone = (
        SELECT count(*) FROM deliveries d
        WHERE d.state <> 'delivered' AND d.state = 'undone' AND d.activation = runs.activation
        AND d.run_id = runs.run_id
    ) WHERE EXISTS (
        SELECT 1 FROM delivery_counts c
        WHERE c.activation = runs.activation AND c.state = 'undone'
    )
"""
"""Only where an activation has undone rows at all; those are in the index of open rows."""


def upgrade() -> None:
    """Count what is there, once; from then on the triggers do."""
    op.create_table(
        "delivery_counts",
        Column("activation", String, primary_key=True),
        Column("state", String, primary_key=True),
        Column("day", Integer, primary_key=True, autoincrement=False),
        Column("number", Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("runs", Column("undone", Integer, nullable=False, server_default="0"))
    op.execute(GROUPED)
    op.execute(UNDONE)
    if op.get_bind().dialect.name == "sqlite":
        count_row_by_row(COUNTED)
        count_undone_row_by_row()
    else:
        count_by_statement(COUNTED)


def count_anew(states: tuple[str, ...]) -> None:
    """Count rows in `states` from now on, in which there are none yet that were not counted."""
    if op.get_bind().dialect.name != "sqlite":
        for name in ("insert", "delete", "update"):
            op.execute(f"DROP TRIGGER deliveries_counted_by_{name} ON deliveries")
            op.execute(f"DROP FUNCTION deliveries_counted_by_{name}()")
        count_by_statement(states)
        return
    for name in ("in_by_insert", "in_by_update", "out_by_delete", "out_by_update"):
        op.execute(f"DROP TRIGGER deliveries_counted_{name}")
    count_row_by_row(states)


def count_row_by_row(states: tuple[str, ...]) -> None:
    """SQLite's triggers. One after the other in their conditions, without a list: SQLite would
    build a set of it at each row."""
    steps = {"in": ("NEW", "+"), "out": ("OLD", "-")}
    moved = "(OLD.state <> NEW.state OR OLD.changed_at <> NEW.changed_at" + (
        " OR OLD.activation <> NEW.activation)"
    )
    events = {
        "in": {"insert": ("INSERT", "1"), "update": ("UPDATE", moved)},
        "out": {"delete": ("DELETE", "1"), "update": ("UPDATE", moved)},
    }
    for way, (row, sign) in steps.items():
        counted = " OR ".join(f"{row}.state = '{state}'" for state in states)
        for name, (event, condition) in events[way].items():
            of = " OF state, changed_at, activation" if event == "UPDATE" else ""
            op.execute(
                f"CREATE TRIGGER deliveries_counted_{way}_by_{name} AFTER {event}{of} ON deliveries"
                f" WHEN ({counted}) AND {condition} BEGIN"
                " INSERT INTO delivery_counts (activation, state, day, number)"
                f" VALUES ({row}.activation, {row}.state, {row}.changed_at / {DAY}, {sign}1)"
                f" ON CONFLICT DO UPDATE SET number = number {sign} 1; END"
            )


def count_undone_row_by_row() -> None:
    """How many of a run's rows were undone, in SQLite."""
    op.execute(
        "CREATE TRIGGER deliveries_undone AFTER UPDATE OF state ON deliveries"
        " WHEN OLD.state = 'delivered' AND NEW.state = 'undone' BEGIN"
        " UPDATE runs SET undone = undone + 1 WHERE run_id = OLD.run_id; END"
    )


def count_by_statement(states: tuple[str, ...]) -> None:
    """PostgreSQL's triggers: a counter that moved with each row would be read through all of its
    own earlier versions, so that a transaction of many rows took the square of its time."""
    for name, event, tables, body in (
        ("insert", "INSERT", "NEW TABLE AS new_rows", _counting(states, ("new_rows", "+"))),
        ("delete", "DELETE", "OLD TABLE AS old_rows", _counting(states, ("old_rows", "-"))),
        (
            "update",
            "UPDATE",
            "OLD TABLE AS old_rows NEW TABLE AS new_rows",
            _counting(states, ("new_rows", "+"), ("old_rows", "-")) + COUNTING_UNDONE,
        ),
    ):
        function = f"deliveries_counted_by_{name}"
        op.execute(
            f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body} RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {function} AFTER {event} ON deliveries REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )


def _counting(states: tuple[str, ...], *sources: tuple[str, str]) -> str:
    rows = " UNION ALL ".join(
        f"SELECT activation, state, changed_at / {DAY} AS day, {sign}1 AS n FROM {table}"
        f" WHERE state IN {states}"
        for table, sign in sources
    )
    return f"""
        INSERT INTO delivery_counts AS c (activation, state, day, number)
        SELECT activation, state, day, sum(n) FROM ({rows}) AS moved
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (activation, state, day) DO UPDATE SET number = c.number + EXCLUDED.number;
    """


COUNTING_UNDONE = """
    UPDATE runs SET undone = undone + moved.n FROM (
        SELECT o.run_id, count(*) AS n FROM old_rows o JOIN new_rows n ON n.id = o.id
        WHERE o.state = 'delivered' AND n.state = 'undone' GROUP BY 1
    ) AS moved WHERE runs.run_id = moved.run_id;
"""


def downgrade() -> Any:
    """Older code would not count."""
    raise NotImplementedError("restore a backup instead")
