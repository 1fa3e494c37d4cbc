"""(i): what can be told as a multiple of something that nobody can do without, in the same run."""

import json
import sqlite3
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Measured
from benchmarks.world import CONNECTOR, ROOT, World, make_project, make_warehouse

ROUNDS = 5
DELIVERED, STAGED, PREVIEWED = 20_000, 200_000, 1_000_000
SYNC = (*CONNECTOR, "sync")
LIBRARIES = (sys.executable, "-c", "import duckdb, httpx, pydantic, sqlalchemy")
ALONE = """
import duckdb
with duckdb.connect("warehouse.duckdb", read_only=True, config={config}) as connection:
    cursor = connection.execute(
        "select * from reviews where reviewed_at"
        " >= (select max(reviewed_at) - interval 1 hour from reviews) order by reviewed_at"
    )
    while cursor.fetchmany(2000):
        pass
"""
"""What a sync with nothing new reads, read by DuckDB alone."""
CONFIG = {"memory_limit": "64MB", "threads": 1}
Line = dict[str, Any]
Rounds = Mapping[str, Sequence[Measured]]


def ratios(world: World) -> list[Line]:
    """Everything that is told as a ratio and is not in another table."""
    directory = world.fresh("quiet")
    rows = world.scale.rows(DELIVERED)
    make_project(directory, make_warehouse(directory / "warehouse.duckdb", rows), world.sink.url)
    for _ in range(2):  # the first run has all rows, the next knows that there were no others
        measure.run(SYNC, directory)
    return [
        *_starts(world, directory),
        *_rows(world),
        _line("bytes of the ledger for a delivered row", _bytes(directory) / rows, "{:,.0f}"),
        *_statements(directory),
    ]


def _starts(world: World, directory: Path) -> list[Line]:
    """Whole processes with nothing new."""
    alone = (sys.executable, "-c", ALONE.format(config=CONFIG))
    commands = {
        "libraries": LIBRARIES,
        "alone": alone,
        "status": (*CONNECTOR, "status"),
        "sync": SYNC,
    }
    taken = _in_turns(world, commands, lambda command: measure.run(command, directory))
    cpu = {name: [each.cpu for each in rounds] for name, rounds in taken.items()}
    peak = {name: [each.peak for each in rounds] for name, rounds in taken.items()}
    name = "CPU seconds of {} ÷ those of importing duckdb, httpx, pydantic, sqlalchemy"
    return [
        _ratio(name.format("`sync` with nothing new"), cpu["sync"], cpu["libraries"], "{:.2f}"),
        _ratio(name.format("`status`"), cpu["status"], cpu["libraries"], "{:.2f}"),
        _ratio(
            "peak MB of `sync` with nothing new ÷ those of the same query by duckdb alone",
            *(peak["sync"], peak["alone"], "{:.0f}"),
        ),
    ]


def _rows(world: World) -> list[Line]:
    """CPU for a row, without the start, of what reads a whole model."""
    lines = []
    for what, number, told in (
        ("staging", world.scale.rows(STAGED), "CPU µs to stage a row"),
        ("preview", world.scale.rows(PREVIEWED), "CPU µs to preview a row"),
    ):
        directory = world.fresh(what)
        make_project(
            directory, make_warehouse(directory / "warehouse.duckdb", number), world.sink.url
        )
        measured = (sys.executable, "-m", "benchmarks.measured")
        commands = {each: (*measured, each) for each in ("reading", what)}
        taken = _in_turns(world, commands, partial(_fresh, directory))
        cpu = {
            name: [json.loads(each.out)["cpu"] / number * 1e6 for each in rounds]
            for name, rounds in taken.items()
        }
        lines.append(
            _ratio(
                f"{told}, of {number:,} ÷ those of reading it by the driver",
                *(cpu[what], cpu["reading"], "{:.1f}"),
            )
        )
        if what == "preview":
            peak = statistics.median(each.peak for each in taken[what])
            lines.append(_line(f"peak MB of a preview of {number:,} rows", peak, "{:.0f}"))
    return lines


def _fresh(directory: Path, command: Sequence[str | Path]) -> Measured:
    for file in directory.glob("ledger.db*"):
        file.unlink()
    return measure.run(command, directory, {"PYTHONPATH": str(ROOT)})


def _in_turns(
    world: World,
    commands: Mapping[str, Sequence[str | Path]],
    run: Callable[[Sequence[str | Path]], Measured],
) -> Rounds:
    taken: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(world.scale.rounds(ROUNDS)):
        for name, command in commands.items():
            taken[name].append(run(command))
            world.tell(f"{name}: {taken[name][-1].cpu:.2f} s, {taken[name][-1].peak:.0f} MB")
    return taken


def _statements(directory: Path) -> list[Line]:
    file = directory / "statements.json"
    measure.run((sys.executable, "-m", "benchmarks.statements", file, "sync"), directory)
    made = json.loads(file.read_text())
    told = "statements of `sync` with nothing new, {}"
    return [
        _line(told.format("to the ledger"), made["ledger"], "{:.0f}"),
        _line(told.format("to the warehouse"), made["warehouse"], "{:.0f}"),
        _line("transactions of `sync` with nothing new that write", made["writing"], "{:.0f}"),
    ]


def _bytes(directory: Path) -> int:
    """What the ledger takes once it is packed."""
    packed = directory / "packed.db"
    with closing(sqlite3.connect(directory / "ledger.db")) as connection:
        connection.execute(f"vacuum into '{packed}'")
    return packed.stat().st_size


def _ratio(what: str, ours: Sequence[float], theirs: Sequence[float], form: str) -> Line:
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return {
        "what": what,
        "ours": form.format(statistics.median(ours)),
        "theirs": form.format(statistics.median(theirs)),
        "ratio": f"{ratio:.2f}",
    }


def _line(what: str, value: float, form: str) -> Line:
    return {"what": what, "ours": form.format(value), "theirs": "", "ratio": ""}
