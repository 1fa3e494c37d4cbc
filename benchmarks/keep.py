"""What `ledger.keep` does: bytes of a row before and after it is pruned, how long that takes, and
what it costs that so many are known.

    python -m benchmarks.keep [--rows 1000000] [--postgresql]

Fills a ledger with delivered rows of 400 days ago, prunes all of them, and asks for batches of
keys. Prints one document. CPU is that of this process: of PostgreSQL without the server's.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, make_url, text

from benchmarks.rows import ACTIVATION, IDENTITY, SIZES, rows, send
from benchmarks.rows import Costs as Unused
from benchmarks.world import postgresql
from connector.ledger.engine import writing_engine
from connector.ledger.generation import GenerationFile
from connector.ledger.records import Tally
from connector.ledger.store import Ledger
from connector.rules.delivery import State
from connector.rules.watermark import Kind, Watermark

DAY = 86_400_000
AGO, KEPT = 400, timedelta(days=365)
BATCHES = (50, 2_000)
ROUNDS = 20
FILL = {
    "sqlite": "with recursive numbers (n) as"
    " (select 2 union all select n + 1 from numbers where n <= :rows)",
    "postgresql": "with numbers as (select n from generate_series(2, :rows + 1) n)",
}
AN_ID = {
    "sqlite": "printf('%08x-0b1d-4c55-8e0a-%012d', n * 2654435761 & 4294967295, n)",
    "postgresql": "lpad(to_hex(n * 2654435761 & 4294967295), 8, '0') || '-0b1d-4c55-8e0a-'"
    " || lpad(n::text, 12, '0')",
}
A_KEY = {"sqlite": "printf('R%09d', n)", "postgresql": "'R' || lpad(n::text, 9, '0')"}


COUNTED = (
    "insert into delivery_counts (activation, state, day, number)"
    f" select activation, state, changed_at / {DAY}, count(*) from deliveries group by 1, 2, 3"
)


@contextmanager
def unguarded(c: Connection) -> Iterator[None]:
    """Without the triggers, which let no row be delivered that was not sent."""
    if c.dialect.name == "postgresql":
        c.exec_driver_sql("set local session_replication_role = replica")
        yield
        return
    triggers = c.exec_driver_sql("select name, sql from sqlite_master where type = 'trigger'").all()
    for trigger in triggers:
        c.exec_driver_sql(f"drop trigger {trigger[0]}")
    yield
    for trigger in triggers:
        c.exec_driver_sql(trigger[1])


def fill(engine: Engine, ledger: Ledger, number: int) -> None:
    """So many delivered rows, as one that was really delivered; and the newest, which stays."""
    run, dialect = ledger.begin(ACTIVATION, IDENTITY), engine.dialect.name
    ledger.stage(run, rows(1, 2), [], Watermark("id", Kind.INTEGER, 1), begun=True)
    send(ledger, run, ledger.due(ACTIVATION, State.PENDING, 0, 1), Unused())
    ledger.finish(run, "succeeded", Tally(delivered=number))
    deliveries = (
        "insert into deliveries (id, activation, row_key, state, attempt, run_id, changed_at,"
        f" interaction_id, digest) {FILL[dialect]} select n, activation, {A_KEY[dialect]}, state,"
        f" attempt, run_id, changed_at, {AN_ID[dialect]}, digest from numbers, deliveries one"
        " where one.id = 1"
    )
    attempts = (
        "insert into attempts (delivery_id, number, run_id, opened_at, closed_at, outcome,"
        f" http_status) {FILL[dialect]} select n, number, run_id, opened_at, closed_at, outcome,"
        " http_status from numbers, attempts one where one.delivery_id = 1"
    )
    past = AGO * DAY
    with engine.begin() as c, unguarded(c):
        c.execute(text(f"update deliveries set changed_at = changed_at - {past}"))
        c.execute(text(deliveries), {"rows": number})
        c.execute(text("delete from delivery_counts"))
        c.execute(text(COUNTED))
        c.execute(text(attempts), {"rows": number})
        c.execute(
            text(
                f"update runs set started_at = started_at - {past},"
                f" finished_at = finished_at - {past}, last_delivery = :last"
            ),
            {"last": number + 1},
        )


def sizes(engine: Engine, number: int) -> dict[str, Any]:
    """Bytes for a row, by table and index; and in all, free pages included."""
    with engine.begin() as c:
        if engine.dialect.name == "postgresql":
            found = {name: size / number for name, size in c.execute(text(SIZES["postgresql"]))}
            whole = sum(found.values())
        else:
            found = {name: size / number for name, size in c.execute(text(SIZES["sqlite"]))}
            pages, size = (
                c.exec_driver_sql(f"pragma {word}").scalar_one()
                for word in ("page_count", "page_size")
            )
            whole = pages * size / number
    large = {name: round(size, 1) for name, size in found.items() if size >= 1}
    return {**dict(sorted(large.items())), "used": round(sum(found.values()), 1),
            "file": round(whole, 1)}  # fmt: skip


def asked(ledger: Ledger, rounds: Sequence[Sequence[str]]) -> float:
    """Milliseconds of CPU of one question for such keys, of a median round."""
    taken = []
    for some in rounds:
        began = time.process_time()
        ledger.known(ACTIVATION, some)
        taken.append(time.process_time() - began)
    return round(1e3 * statistics.median(taken), 3)


def questions(ledger: Ledger, number: int) -> dict[str, float]:
    """Of keys all over what is there, and of such as nobody knows."""
    found = {}
    for size in BATCHES:
        step = max(1, number // size)
        known = [
            [f"R{i + n + 2:09d}" for i in range(0, number - ROUNDS, step)] for n in range(ROUNDS)
        ]
        unknown = [[f"X{n * size + i}" for i in range(size)] for n in range(ROUNDS)]
        found[f"known, {size}"] = asked(ledger, known)
        found[f"unknown, {size}"] = asked(ledger, unknown)
    return found


def measure(engine: Engine, folder: Path, number: int) -> dict[str, Any]:
    """One ledger, filled and pruned."""
    ledger = Ledger(engine, timedelta(seconds=600), GenerationFile(folder / "ledger.generation"))
    fill(engine, ledger, number)
    before, asked_before = sizes(engine, number), questions(ledger, number)
    run = ledger.begin(ACTIVATION, IDENTITY)
    began, cpu = time.perf_counter(), time.process_time()
    done = ledger.prune(run, KEPT)
    taken, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert done.rows == number, done
    began = time.process_time()
    ledger.prune(run, KEPT, most=10_000)
    quiet = time.process_time() - began
    return {
        "bytes before": before,
        "bytes after": sizes(engine, number),
        "ms of 1,000 rows": round(1e6 * taken / number, 2),
        "ms of CPU of 1,000 rows": round(1e6 * cpu / number, 2),
        "ms of CPU where all is done": round(1e3 * quiet, 2),
        "ms of CPU of a question, before": asked_before,
        "ms of CPU of a question, after": questions(ledger, number),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()

    def one(url: str, folder: Path) -> dict[str, Any]:
        engine = writing_engine(make_url(url))
        try:
            return measure(engine, folder, given.rows)
        finally:
            engine.dispose()

    with tempfile.TemporaryDirectory() as folder:
        if given.postgresql:
            with postgresql() as urls:
                result = one(next(urls), Path(folder))
        else:
            result = one(f"sqlite:///{folder}/ledger.db", Path(folder))
    print(json.dumps({"rows": given.rows, **result}, indent=2))


if __name__ == "__main__":
    main()
