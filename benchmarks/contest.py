"""(a) and (b): every tool does the same job, in turns, against the same sink."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Failed, Measured
from benchmarks.peers import drt_project
from benchmarks.world import CONCURRENCY, CONNECTOR, ROOT, World, make_project

ROWS = 20_000
ROUNDS = 3
LATENCY = 0.1
SQLITE = "connector, SQLite ledger"

Prepare = Callable[[World, Path, Path], Sequence[str | Path]]
"""Makes what a tool needs in a folder, for a warehouse; gives the command."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One tool. `at_once`: the requests that it has under way."""

    name: str
    prepare: Prepare
    at_once: int = CONCURRENCY

    def run(self, world: World, rows: int, delay: float) -> Measured:
        """Send `rows` rows. Raises Failed unless the sink has each of them exactly once."""
        directory = world.fresh("contest")
        command = self.prepare(world, directory, world.warehouse(rows))
        world.sink.reset(delay)
        environment = {"HOME": str(directory), "PYTHONPATH": str(ROOT)}
        measured = measure.run(command, directory, environment)
        seen = world.sink.figures()
        if (seen["posts"], seen["rows"]) != (rows, rows):
            raise Failed(f"{self.name}: of {rows} rows the sink has {seen}")
        return replace(measured, seen=seen)


def _sqlite(world: World, directory: Path, warehouse: Path) -> Sequence[str | Path]:
    make_project(directory, warehouse, world.sink.url)
    return (*CONNECTOR, "sync", "--json")


def _postgresql(world: World, directory: Path, warehouse: Path) -> Sequence[str | Path]:
    make_project(directory, warehouse, world.sink.url, world.database())
    return (*CONNECTOR, "sync", "--json")


def _own(module: str) -> Prepare:
    """A peer that runs in the connector's environment."""
    return lambda world, directory, warehouse: (
        *(sys.executable, "-m", f"benchmarks.peers.{module}"),
        *(warehouse, world.sink.url),
    )


def _peer(module: str) -> Prepare:
    """A peer that runs in the environment of the peers."""
    return lambda world, directory, warehouse: (
        *(world.peers / "python", "-m", f"benchmarks.peers.{module}"),
        *(warehouse, world.sink.url),
    )


def _drt(world: World, directory: Path, warehouse: Path) -> Sequence[str | Path]:
    drt_project.write(directory, warehouse, world.sink.url)
    return (world.peers / "drt", "run")


CONTESTANTS = (
    Contestant(SQLITE, _sqlite),
    Contestant("connector, PostgreSQL ledger", _postgresql),
    Contestant("the connector's transport, bare", _own("bare_transport")),
    Contestant("httpx, bare", _own("bare_httpx")),
    Contestant("httpx over aiohttp, bare", _peer("bare_httpx_aiohttp")),
    Contestant("aiohttp, bare", _peer("bare_aiohttp")),
    Contestant("drt", _drt, 1),
    Contestant("dlt", _peer("dlt_pipeline"), 1),
    Contestant("script: duckdb, requests", _peer("script"), 1),
)


def unthrottled(world: World) -> list[dict[str, Any]]:
    """(a) As fast as each can."""
    rows = world.scale.rows(ROWS)
    return _compare(world, lambda _: rows, ROUNDS, 0.0)


def slow_answers(world: World) -> list[dict[str, Any]]:
    """(b) Against a server that takes 100 ms; for twenty seconds, or ten where one goes at a
    time."""

    def rows(contestant: Contestant) -> int:
        return world.scale.rows(6000 if contestant.at_once > 1 else 100, 20)

    return _compare(world, rows, 1, LATENCY)


def _compare(
    world: World, rows: Callable[[Contestant], int], rounds: int, delay: float
) -> list[dict[str, Any]]:
    runs: dict[str, list[Measured]] = {}
    for _ in range(world.scale.rounds(rounds)):
        for contestant in CONTESTANTS:
            measured = contestant.run(world, rows(contestant), delay)
            runs.setdefault(contestant.name, []).append(measured)
            world.tell(f"{contestant.name}: {rows(contestant) / measured.wall:,.0f} rows/s")
    return [_line(each, rows(each), runs[each.name], delay) for each in CONTESTANTS]


def _line(
    contestant: Contestant, rows: int, runs: Sequence[Measured], delay: float
) -> dict[str, Any]:
    middle = measure.median(runs)
    line = {
        "name": contestant.name,
        "rows": rows,
        "rate": rows / middle.wall,
        "cpu_per_row": middle.cpu / rows * 1e6,
        "peak": middle.peak,
        "rates": [rows / each.wall for each in runs],
        # the last answer leaves `delay` after the last request has come
        "sending_rate": rows / (middle.seen["seconds"] + delay),
        "sink_cpu_per_row": middle.seen["cpu"] / rows * 1e6,
    }
    if delay:
        line["possible"] = contestant.at_once / delay
    return line
