"""(d) and (e): what it costs that a model is large, and that a ledger is full."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Failed, Measured
from benchmarks.world import CONNECTOR, World, add_rows, make_project, make_warehouse

SYNC = (*CONNECTOR, "sync", "--json")
HELD = 1
"""The exit code of a run that waits for an approval."""
MODELS = (1_000_000, 10_000_000, 100_000_000)
NEW = 1_000
FIRST_SYNCS = (100_000, 10_000_000)
DELIVERED = 10_000_000
SLICE = 20_000
ROUNDS = 3

FAST = """
pragma journal_mode = off;
pragma synchronous = off;
pragma cache_size = -500000;
create temporary table numbers (n integer primary key);
insert into numbers
    with recursive counting (n) as (select 1 union all select n + 1 from counting where n < {rows})
    select n - 1 from counting;
"""
OWN = {
    "row_key": "printf('R%09d', n)",
    "changed_at": "one.changed_at - {rows} + n",
    "interaction_id": "printf('%08x-0b1d-4c55-8e0a-%012d', n * 2654435761 & 4294967295, n)",
    "digest": "printf('%0' || length(one.digest) || 'x', n * 2654435761)",
}
"""What every delivered row has of its own; the rest is as in one that was really delivered."""


def models(world: World) -> list[dict[str, Any]]:
    """(d) A sync that finds nothing new, and one that finds 1,000 rows."""
    sizes = [world.scale.rows(size) for size in MODELS]
    projects = {size: _begun(world, f"model-{size}", size) for size in sizes}
    quiet: dict[int, list[Measured]] = {size: [] for size in sizes}
    new: dict[int, list[Measured]] = {size: [] for size in sizes}
    for _ in range(world.scale.rounds(ROUNDS)):
        for size, directory in projects.items():
            quiet[size].append(_sync(world, directory, 0))
            add_rows(directory / "warehouse.duckdb", NEW)
            new[size].append(_sync(world, directory, NEW))
            world.tell(f"{size:,}: {quiet[size][-1].wall:.2f} s, {new[size][-1].wall:.2f} s")
    return [
        {
            "size": size,
            "quiet": measure.median(quiet[size]).wall,
            "new": measure.median(new[size]).wall,
            "quiet_cpu": measure.median(quiet[size]).cpu,
            "new_cpu": measure.median(new[size]).cpu,
            "peak": measure.median(new[size]).peak,
        }
        for size in sizes
    ]


def ledgers(world: World) -> list[dict[str, Any]]:
    """(e) First syncs, small and large; then the same sync with an empty ledger and a full one."""
    return [*(_first_sync(world, world.scale.rows(rows)) for rows in FIRST_SYNCS), *_full(world)]


def _first_sync(world: World, rows: int) -> dict[str, Any]:
    """Staging alone: the run is held before its first request. Then a slice is let go."""
    directory = world.fresh("first")
    make_project(directory, world.warehouse(rows), world.sink.url, limit=1)
    staging = measure.run(SYNC, directory, codes=(HELD,))
    ledger = (directory / "ledger.db").stat().st_size
    some = min(world.scale.rows(SLICE), rows)
    world.tell(f"{rows:,} staged in {staging.wall:.1f} s, {staging.peak:.0f} MB")
    sending = _sync(world, directory, some, "--approve", "--limit", str(some))
    world.tell(f"{some:,} of them sent in {sending.wall:.1f} s, {sending.peak:.0f} MB")
    (directory / "ledger.db").unlink()
    return {
        "what": "first",
        "rows": rows,
        "staged_per_second": rows / staging.wall,
        "staging_peak": staging.peak,
        "sent": some,
        "sent_per_second": some / sending.wall,
        "sending_peak": sending.peak,
        "staged_bytes": ledger / rows,
    }


def _full(world: World) -> list[dict[str, Any]]:
    """The same rows in turns with a ledger that holds hardly anything, and with a full one."""
    rows, some = world.scale.rows(DELIVERED), world.scale.rows(SLICE)
    empty, full = (_begun(world, name, rows) for name in ("empty", "full"))
    for directory in (empty, full):
        add_rows(directory / "warehouse.duckdb", 1)
        _sync(world, directory, 1)
    _fill(full / "ledger.db", rows)
    runs: dict[Path, list[Measured]] = {empty: [], full: []}
    for _ in range(world.scale.rounds(ROUNDS)):
        for directory, measured in runs.items():
            add_rows(directory / "warehouse.duckdb", some)
            measured.append(_sync(world, directory, some))
            world.tell(f"{directory.name}: {some / measured[-1].wall:,.0f} rows/s")
    return [
        {
            "what": "ledger",
            "delivered": delivered,
            "rows": some,
            "rate": some / measure.median(runs[directory]).wall,
            "peak": measure.median(runs[directory]).peak,
            "bytes": _bytes(directory / "ledger.db"),
        }
        for directory, delivered in ((empty, 1), (full, rows + 1))
    ]


def _begun(world: World, name: str, rows: int) -> Path:
    """A project on a model of `rows` rows, all of which its first run has taken for history."""
    directory = world.fresh(name)
    warehouse = make_warehouse(directory / "warehouse.duckdb", rows)
    make_project(directory, warehouse, world.sink.url, start="now")
    _sync(world, directory, 0)
    return directory


def _fill(ledger: Path, rows: int) -> None:
    """Put `rows` more delivered rows, and their attempts, beside the one that is delivered."""
    connection = sqlite3.connect(ledger)
    connection.executescript(FAST.format(rows=rows))
    triggers = connection.execute("select name, sql from sqlite_master where type = 'trigger'")
    for name, _ in (found := triggers.fetchall()):
        connection.execute(f"drop trigger {name}")  # nothing begins as delivered
    one = "(select * from deliveries where state = 'delivered' limit 1) as one"
    own = {name: expression.format(rows=rows) for name, expression in OWN.items()}
    names, values = copied(connection, "deliveries", own, without="id")
    connection.execute(
        f"insert or ignore into deliveries ({names}) select {values} from numbers, {one} order by n"
    )
    tried = "(select a.* from attempts as a join deliveries as d on d.id = a.delivery_id) as one"
    names, values = copied(connection, "attempts", {"delivery_id": "d.id"})
    connection.execute(
        f"insert into attempts ({names}) select {values} from deliveries as d, {tried}"
        " where d.state = 'delivered' and d.id > one.delivery_id order by d.id"
    )
    for _, statement in found:
        connection.execute(statement)
    connection.commit()
    connection.close()


def _bytes(ledger: Path) -> float:
    """What the ledger takes for each row that it has delivered, all tables and indexes together."""
    with closing(sqlite3.connect(ledger)) as connection:
        query = "select count(*) from deliveries where state = 'delivered'"
        return ledger.stat().st_size / int(connection.execute(query).fetchone()[0])


def copied(
    connection: sqlite3.Connection, table: str, own: dict[str, str], without: str = ""
) -> tuple[str, str]:
    """The columns of a table, and for each its value: its own, or that of `one`."""
    columns = connection.execute(f"select name from pragma_table_info('{table}')").fetchall()
    names = [name for (name,) in columns if name != without]
    return ", ".join(names), ", ".join(own.get(name, f"one.{name}") for name in names)


def _sync(world: World, directory: Path, rows: int, *arguments: str) -> Measured:
    """Run it. Raises Failed unless it sent so many rows."""
    world.sink.reset()
    measured = measure.run((*SYNC, *arguments), directory)
    if (sent := world.sink.figures()["rows"]) != rows:
        raise Failed(f"{directory.name}: {rows} rows were to be sent, and {sent} were")
    return measured
