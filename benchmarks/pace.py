"""(c): how well the rate is kept, and what that costs."""

from typing import Any

from benchmarks import measure
from benchmarks.world import CONNECTOR, World, make_project

RATES = (50, 200)
SECONDS = 20
SYNC = (*CONNECTOR, "sync", "--json")


def paced(world: World) -> list[dict[str, Any]]:
    """A sync at each rate, and one with nothing to do, whose CPU is that of the start."""
    return [_paced(world, rate) for rate in RATES]


def _paced(world: World, rate: int) -> dict[str, Any]:
    rows = world.scale.rows(rate * SECONDS)
    directory = world.fresh("paced")
    make_project(directory, world.warehouse(rows), world.sink.url, rate=rate)
    world.sink.reset()
    sending = measure.run(SYNC, directory)
    seen = world.sink.figures()
    starting = measure.run(SYNC, directory)
    world.tell(f"{rate}/s: {(seen['posts'] - 1) / seen['seconds']:.1f}/s")
    return {
        "rate": rate,
        "rows": rows,
        "posts": seen["posts"],
        "attained": (seen["posts"] - 1) / seen["seconds"] / rate,
        "busiest": seen["busiest"],
        "cpu_whole": sending.cpu / sending.wall,
        "cpu_sending": (sending.cpu - starting.cpu) / seen["seconds"],
        "cpu_per_row": (sending.cpu - starting.cpu) / rows * 1e6,
        "peak": sending.peak,
    }
