"""What the ledger takes for a row, without a warehouse and a destination. Microseconds of CPU of
this process: to stage it, to hand it out, to put its attempt and its answer on record, and to tell
a run's rows again; and bytes, by table and index, once it is delivered.

    python -m benchmarks.rows [--rows 20000] [--batch 128] [--rounds 3] [--postgresql]

Prints one document, of the median round. `--batch`: attempts in one transaction, and answers.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, make_url, text

from benchmarks.world import postgresql
from connector.ledger.engine import writing_engine
from connector.ledger.generation import GenerationFile
from connector.ledger.records import Closing, Delivery, Identity, Opening, Run, Staged, Tally
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger
from connector.rules.delivery import Accepted, State
from connector.rules.interaction import Interaction
from connector.rules.watermark import Kind, Watermark

ACTIVATION = "reviews"
IDENTITY = Identity("engage", "review", ("id",), renamed_from=False)
PAGE = 500
STAGED = 2_000
PAYLOAD = (
    '{{"reviewId": "R{n:09d}", "productSku": "SKU-{n:05d}", "productName": "Trail jacket {n}",'
    ' "category": "Outdoor clothing", "rating": 4, "price": 129.5, "isVerifiedPurchase": true,'
    ' "reviewText": "Kept me dry for {n} days"}}'
)
SIZES = {
    "sqlite": "select name, sum(pgsize) from dbstat group by name",
    "postgresql": "select relname, pg_relation_size(oid) from pg_class where relkind in ('r', 'i')"
    " and relnamespace = 'public'::regnamespace",
}


class Costs:
    """CPU by what it was for."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}

    @contextmanager
    def of_part(self, name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.of[name] = self.of.get(name, 0.0) + time.process_time() - began


def rows(first: int, last: int) -> list[Staged]:
    """New rows of a model."""
    return [
        Staged(
            f"R{n:09d}",
            Interaction(
                f"3f2504e0-4f89-41d3-9a0c-{n:012d}",
                f"2026-01-01T00:00:{n % 60:02d}+00:00",
                PAYLOAD.format(n=n).encode(),
            ),
        )
        for n in range(first, last)
    ]


def send(ledger: Ledger, run: Run, some: list[Delivery], costs: Costs) -> None:
    """The attempts of some rows, and what they brought."""
    openings = [Opening(d, str(d.contact), boot=71, boot_at=5_000_000) for d in some]
    closings = [Closing(d.id, 1, Accepted(an_id(d.id), 201)) for d in some]
    with costs.of_part("open"):
        assert all(ledger.record(run, openings))
    with costs.of_part("close"):
        assert all(result is True for result in ledger.record(run, closings))


def an_id(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}-0b1d-4c55-8e0a-{number:012d}"


def measure(engine: Engine, folder: Path, number: int, batch: int) -> dict[str, Any]:
    """One run over so many rows, on a fresh ledger."""
    ledger = Ledger(engine, timedelta(seconds=600), GenerationFile(folder / "ledger.generation"))
    run, costs, found = ledger.begin(ACTIVATION, IDENTITY), Costs(), list[Delivery]()
    for first in range(0, number, STAGED):
        new = rows(first, min(first + STAGED, number))
        with costs.of_part("stage"):
            ledger.stage(run, new, [], Watermark("id", Kind.INTEGER, first), begun=True)
    with costs.of_part("due"):
        while page := ledger.due(
            ACTIVATION, State.PENDING, found[-1].id if found else 0, limit=PAGE
        ):
            found += page
    for first in range(0, number, batch):
        send(ledger, run, found[first : first + batch], costs)
    ledger.finish(run, "succeeded", Tally())
    with costs.of_part("told again"):
        told, after = 0, 0
        reports = Reports(engine)
        while told_now := reports.delivered(run.run_id, 2**53, after, PAGE):
            told, after = told + len(told_now), told_now[-1].id
    assert told == number
    with engine.begin() as c:
        sizes = bytes_of(c, number)
    taken = {name: round(1e6 * seconds / number, 1) for name, seconds in costs.of.items()}
    return {"cpu_us": taken, "bytes": sizes}


def bytes_of(c: Connection, number: int) -> dict[str, float]:
    """By table and index, those that take more than a byte for a row."""
    found = {name: size / number for name, size in c.execute(text(SIZES[c.dialect.name]))}
    large = {name: round(size, 1) for name, size in found.items() if size >= 1}
    return {**dict(sorted(large.items())), "all": round(sum(found.values()), 1)}


def median(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    costs = [each["cpu_us"] for each in rounds]
    middle = {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}
    return {"cpu_us": middle, "bytes": rounds[-1]["bytes"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()

    def one(url: str, folder: Path) -> dict[str, Any]:
        engine = writing_engine(make_url(url))
        try:
            return measure(engine, folder, given.rows, given.batch)
        finally:
            engine.dispose()

    def each(fresh: Callable[[Path], str]) -> list[dict[str, Any]]:
        found = []
        for _ in range(given.rounds):
            with tempfile.TemporaryDirectory() as folder:
                found.append(one(fresh(Path(folder)), Path(folder)))
        return found

    if given.postgresql:
        with postgresql() as urls:
            result = median(each(lambda _: next(urls)))
    else:
        result = median(each(lambda folder: f"sqlite:///{folder}/ledger.db"))
    print(json.dumps({"rows": given.rows, "batch": given.batch, **result}, indent=2))


if __name__ == "__main__":
    main()
