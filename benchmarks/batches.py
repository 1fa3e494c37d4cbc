"""(g): the same rows one by one to Engage and in batches to MXO, in turns, against one sink."""

import json
from dataclasses import dataclass
from typing import Any

from benchmarks import measure
from benchmarks.measure import Failed, Measured
from benchmarks.world import CONNECTOR, World, make_mxo_project, make_project

ROWS = 100_000
ROUNDS = 3
SYNC = (*CONNECTOR, "sync", "--wait", "--json")


@dataclass(frozen=True, slots=True)
class Way:
    """How rows travel: `rows` in one request, 0: to Engage."""

    name: str
    rows: int = 0

    def run(self, world: World, rows: int) -> Measured:
        """Send `rows` rows. Raises Failed unless the sink has each exactly once, and the ledger all
        of them as delivered."""
        directory, warehouse = world.fresh("batches"), world.warehouse(rows)
        if self.rows:
            make_mxo_project(directory, warehouse, world.sink.url, self.rows)
        else:
            make_project(directory, warehouse, world.sink.url)
        world.sink.reset()
        measured = measure.run(SYNC, directory)
        seen = world.sink.figures()
        delivered = json.loads(measured.out)["runs"][0]["delivered"]
        if (seen["rows"], seen["repeated"], delivered) != (rows, 0, rows):
            raise Failed(f"{self.name}: of {rows} rows {delivered} are delivered, and {seen}")
        return Measured(measured.wall, measured.cpu, measured.peak, seen=seen)


WAYS = (
    Way("Engage, a request a row"),
    Way("MXO, 100 rows a request", 100),
    Way("MXO, 1,000 rows a request", 1000),
    Way("MXO, 5,000 rows a request", 5000),
)


def compared(world: World) -> list[dict[str, Any]]:
    """All ways in turns; the round in the middle counts."""
    rows = world.scale.rows(ROWS)
    runs: dict[str, list[Measured]] = {way.name: [] for way in WAYS}
    for _ in range(world.scale.rounds(ROUNDS)):
        for way in WAYS:
            measured = way.run(world, rows)
            runs[way.name].append(measured)
            world.tell(f"{way.name}: {rows / measured.seen['seconds']:,.0f} rows/s while sending")
    return [_line(way, rows, runs) for way in WAYS]


def _line(way: Way, rows: int, runs: dict[str, list[Measured]]) -> dict[str, Any]:
    mine, one_by_one = runs[way.name], runs[WAYS[0].name]
    middle = measure.median(mine)
    return {
        "name": way.name,
        "requests": middle.seen["posts"],
        "sending_rates": [rows / each.seen["seconds"] for each in mine],
        "sending_rates_of_engage": [rows / each.seen["seconds"] for each in one_by_one],
        "rates": [rows / each.wall for each in mine],
        "rates_of_engage": [rows / each.wall for each in one_by_one],
        "cpu_per_row": middle.cpu / rows * 1e6,
        "peak": middle.peak,
    }
