"""WHAT: read the rows of the project here by the driver alone, or stage them, or preview them.

Prints how many there were, and the seconds of CPU that they took without the start.

    python -m benchmarks.measured reading|staging|preview
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.sink import SCHEMA, SCHEMA_ID
from connector.cli.working import COLLECT
from connector.project.app import App
from connector.project.settings import load
from connector.rules.schema import InteractionSchema
from connector.sync.flow import Orders, Running
from connector.sync.health import Health
from connector.sync.preview import preview
from connector.sync.progress import Progress
from connector.sync.reading import BATCH, Source
from connector.sync.stage import stage

PROJECT, WAREHOUSE = Path("activations.yaml"), Path("warehouse.duckdb")
SELECT = (
    "select review_id, reviewed_at, contact_id, sku, product_name, category, rating, price,"
    " verified, review_text from reviews order by reviewed_at, review_id"
)
SETTINGS: dict[str, Any] = {"memory_limit": "64MB", "threads": 1}
"""As the connector opens DuckDB."""


class Clock:
    """The CPU that this process has taken since the clock was made."""

    def __init__(self) -> None:
        gc.set_threshold(*COLLECT)
        gc.freeze()
        self._began = time.process_time()

    def stop(self) -> float:
        return time.process_time() - self._began


def reading() -> tuple[int, float]:
    """The driver alone, in batches of the connector's size."""
    with duckdb.connect(str(WAREHOUSE), read_only=True, config=SETTINGS) as connection:
        clock, number = Clock(), 0
        cursor = connection.execute(SELECT)
        while rows := cursor.fetchmany(BATCH):
            number += len(rows)
        return number, clock.stop()


def staging() -> tuple[int, float]:
    """A first sync up to where it would send, into a new ledger."""
    return asyncio.run(_staging())


async def _staging() -> tuple[int, float]:
    app, schema = _project()
    [activation] = app.activations([])
    async with app.workshop() as workshop:
        with workshop.flow(activation, Progress()) as flow:
            run = flow.ledger.begin(flow.name, flow.identity)
            health = Health(flow.destination.can.most_doubts)
            running = Running(flow, Orders(), run, flow.contacts(), health)
            with flow.warehouse.open() as reader:
                clock = Clock()
                stage(running, schema, reader)
                taken = clock.stop()
            return running.tally.staged, taken


def previewing() -> tuple[int, float]:
    """What `connector preview` counts, without what it asks of the destination."""
    app, schema = _project()
    [activation] = app.activations([])
    zone, now = app.settings.project.warehouse.timezone, datetime.now(UTC)
    with app.reports() as reports, app.warehouse().open() as reader:
        clock = Clock()
        source = Source(activation, schema, reader, reports, zone, now)
        found = preview(source, 10, app.contact_cache(activation))
        return found.new, clock.stop()


def _project() -> tuple[App, InteractionSchema]:
    schema: Any = SCHEMA["jsonSchema"]
    return App(load(PROJECT)), InteractionSchema(SCHEMA_ID, schema)


WHAT: dict[str, Callable[[], tuple[int, float]]] = {
    "reading": reading,
    "staging": staging,
    "preview": previewing,
}


if __name__ == "__main__":
    rows, cpu = WHAT[sys.argv[1]]()
    print(json.dumps({"rows": rows, "cpu": cpu}))
