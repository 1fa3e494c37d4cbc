"""(h): a mirror of a large model of which little or nothing has changed."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.growth import FAST, copied
from benchmarks.measure import Failed, Measured
from benchmarks.world import (
    ROOT,
    World,
    change_rows,
    make_project,
    make_warehouse,
    remove_rows,
    replace_rows,
)
from connector.project.app import App
from connector.project.settings import load
from connector.sync.mirror import with_digests
from connector.sync.preflight import preflight
from connector.sync.reading import plan

ROWS = 1_000_000
SOME = 1_000
ROUNDS = 1
"""Filling the ledger takes longer than they do."""
READS = "mode: mirror"
COUNTED = (sys.executable, "-m", "benchmarks.counted")
READ = "read.json"
HERE = {"PYTHONPATH": str(ROOT)}
PAGE = 50_000
OWN = {
    "row_key": "?1",
    "source": "?2",
    "changed_at": "one.changed_at - 86400000",
    "interaction_id": "printf('%08x-0b1d-4c55-8e0b-%012d', ?3 * 2654435761 & 4294967295, ?3)",
    "digest": "printf('%0' || length(one.digest) || 'x', ?3 * 2654435761)",
}
"""What every delivered row has of its own: see growth.py."""


def mirrors(world: World) -> list[dict[str, Any]]:
    """A first row alone; then all of them, unchanged, some changed, some gone."""
    rows = world.scale.large or world.scale.rows(ROWS, 20 * SOME)
    directory = world.fresh("mirror")
    warehouse = make_warehouse(directory / "warehouse.duckdb", 1)
    make_project(directory, warehouse, world.sink.url, reads=READS)
    _sync(world, directory, sent=1)
    alone = _sync(world, directory)
    replace_rows(warehouse, rows)
    _fill(directory, rows)
    world.tell(f"a ledger of {rows:,} rows is filled")
    runs: dict[str, list[Measured]] = {"nothing": [], "changed": [], "gone": []}
    for turn in range(world.scale.rounds(ROUNDS)):
        runs["nothing"].append(_sync(world, directory))
        change_rows(warehouse, SOME, 2 * turn)
        runs["changed"].append(_sync(world, directory, sent=SOME, deleted=SOME))
        remove_rows(warehouse, SOME, 2 * turn + 1)
        runs["gone"].append(_sync(world, directory, deleted=SOME))
        for name, measured in runs.items():
            last = measured[-1]
            world.tell(f"{name}: {last.wall:.1f} s, {last.peak:.0f} MB, {dict(last.seen)}")
    return [_line("one row alone", 1, alone, alone)] + [
        _line(name, rows, measure.median(measured), alone) for name, measured in runs.items()
    ]


def _line(name: str, rows: int, measured: Measured, rest: Measured) -> dict[str, Any]:
    return {
        "name": name,
        "rows": rows,
        "wall": measured.wall,
        "cpu": measured.cpu,
        "peak": measured.peak,
        "over_rest": measured.peak - rest.peak,
        **measured.seen,
    }


def _sync(world: World, directory: Path, sent: int = 0, deleted: int = 0) -> Measured:
    """Run it. Raises Failed unless it sent and took back so many rows."""
    world.sink.reset()
    measured = measure.run((*COUNTED, READ, "sync", "--json"), directory, HERE)
    seen = world.sink.figures()
    if (seen["rows"], seen["deleted"]) != (sent, deleted):
        raise Failed(f"{sent} rows were to be sent and {deleted} taken back: {seen}")
    return replace(measured, seen=json.loads((directory / READ).read_text()))


def _fill(directory: Path, rows: int) -> None:
    """Put a delivered row for each of the model beside the one that is delivered, with the
    warehouse's own digest."""
    ledger = directory / "ledger.db"
    with closing(sqlite3.connect(ledger)) as connection:
        connection.executescript(FAST.format(rows=1))
        triggers = connection.execute("select name, sql from sqlite_master where type = 'trigger'")
        for name, _ in (found := triggers.fetchall()):
            connection.execute(f"drop trigger {name}")  # nothing begins as delivered
        connection.execute("create temporary table one as select * from deliveries")
        names, values = copied(connection, "deliveries", OWN, without="id")
        insert = f"insert or ignore into deliveries ({names}) select {values} from one"
        with closing(_digests(directory)) as digests:
            connection.executemany(insert, digests)
        connection.execute("update delivery_counts set number = ?", (rows,))
        for _, statement in found:
            connection.execute(statement)
        connection.commit()
        there = "select count(*), count(distinct source) from deliveries"
        if connection.execute(there).fetchone() != (rows, rows):
            raise Failed("not every row has a digest of its own")


def _digests(directory: Path) -> Generator[tuple[str, str, int], None, None]:
    """The row keys of the model with the digests that the warehouse computes, numbered. Raises
    Failed when that is not what the first sync has recorded."""
    app = App(load(directory / "activations.yaml"))
    activation = app.settings.project.activations["reviews"]

    async def live() -> Any:
        async with app.destination("engage") as client:
            return await preflight(activation, client)

    number = 0
    with app.source(activation, asyncio.run(live())) as source:
        reading = with_digests(plan(source))
        with closing(source.reader.rows(reading.activation, reading.scan.brief, None, PAGE)) as all:
            for batch in all:
                for key, digest in batch:
                    yield key, digest, number
                    number += 1
