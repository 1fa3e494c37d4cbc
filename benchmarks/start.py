"""(f): what one waits for at the command line."""

from typing import Any

from benchmarks import measure
from benchmarks.measure import Measured
from benchmarks.world import CONNECTOR, World, add_rows, make_project, make_warehouse

COMMANDS = (("--help",), ("status",), ("preview", "reviews"))
ROUNDS = 7
DELIVERED, NEW = 20_000, 1_000


def commands(world: World) -> list[dict[str, Any]]:
    """Each command in turns, on a project with delivered and with new rows."""
    directory = world.fresh("start")
    delivered = world.scale.rows(DELIVERED)
    warehouse = make_warehouse(directory / "warehouse.duckdb", delivered)
    make_project(directory, warehouse, world.sink.url)
    measure.run((*CONNECTOR, "sync"), directory)
    add_rows(warehouse, NEW)
    runs: dict[tuple[str, ...], list[Measured]] = {command: [] for command in COMMANDS}
    for _ in range(world.scale.rounds(ROUNDS)):
        for command, measured in runs.items():
            measured.append(measure.run((*CONNECTOR, *command), directory))
    return [_line(" ".join(command), measured) for command, measured in runs.items()]


def _line(command: str, runs: list[Measured]) -> dict[str, Any]:
    middle = measure.median(runs)
    return {
        "command": command,
        "wall": middle.wall,
        "least": min(each.wall for each in runs),
        "cpu": middle.cpu,
        "peak": middle.peak,
    }
