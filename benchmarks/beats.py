"""What it costs to keep the leases of many runs of one process that write nothing just now, on a
PostgreSQL ledger of its own, and how long a run of another process waits for its beginning.

    python -m benchmarks.beats [--runs 300] [--lease 30] [--seconds 40]

Prints one document; milliseconds, and per second where it says so. The server waits for its disk.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, make_url

from benchmarks.world import postgresql
from connector.ledger.engine import writing_engine
from connector.ledger.generation import GenerationFile
from connector.ledger.records import Identity, Tally
from connector.ledger.store import Ledger
from connector.sync.beating import Beat

IDENTITY = Identity("engage", "review", ("id",), renamed_from=False)


def begin(pipe: Pipe, url: str, folder: Path) -> None:
    """In a process of its own: begin and end runs until told to stop; how long each begin took."""
    engine, took = writing_engine(make_url(url)), list[tuple[float, float]]()
    ledger = Ledger(engine, timedelta(seconds=30), GenerationFile(folder / "other.generation"))
    while not pipe.poll(0.05):
        began = time.monotonic()
        run = ledger.begin("other", IDENTITY)
        took.append((began, (time.monotonic() - began) * 1000))
        ledger.finish(run, "succeeded", Tally())
    pipe.send(took)


async def keep(ledger: Ledger, engine: Engine, runs: int, seconds: float) -> dict[str, float]:
    """The leases of so many runs; what that takes in a second."""
    statements: list[str] = []

    def heard(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async with AsyncExitStack() as stack:
        beat, lost = Beat(ledger), list[Exception]()
        for number in range(runs):
            run = ledger.begin(f"a{number:03}", IDENTITY)
            await stack.enter_async_context(beat.keeping(run, lost.append))
        event.listen(engine, "before_cursor_execute", heard)
        began = time.monotonic()
        used = time.process_time()
        await asyncio.sleep(seconds)
        used = time.process_time() - used
        event.remove(engine, "before_cursor_execute", heard)
    return {
        "statements_per_second": round(len(statements) / seconds, 2),
        "cpu_per_second": round(used * 1000 / seconds, 2),
        "lost": len(lost),
        "began": began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--lease", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=40)
    given = parser.parse_args()
    with postgresql() as urls, tempfile.TemporaryDirectory() as folder:
        url = next(urls)
        engine = writing_engine(make_url(url), runs=8)
        file = GenerationFile(Path(folder) / "ledger.generation")
        ledger = Ledger(engine, timedelta(seconds=given.lease), file)
        here, there = get_context("spawn").Pipe()
        other = get_context("spawn").Process(target=begin, args=(there, url, Path(folder)))
        other.start()
        found = asyncio.run(keep(ledger, engine, given.runs, given.seconds))
        here.send("enough")
        began = found.pop("began")
        took = sorted(wait for at, wait in here.recv() if at >= began)
        other.join()
        engine.dispose()
    waits = {"begin": round(statistics.median(took), 1), "longest_begin": round(took[-1], 1)}
    print(json.dumps({"runs": given.runs, **found, **waits, "begins": len(took)}))


if __name__ == "__main__":
    main()
