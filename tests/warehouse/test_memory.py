"""A large model is read with as much memory as a small one, give or take what the sort may use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event

from connector.rules.errors import WarehouseUnavailable
from connector.warehouse import Warehouse
from tests.warehouse.factories import an_activation, rows

ROOT = Path(__file__).parent.parent.parent
ROWS = 2_000_000
MEGABYTE = 1024
"""Of the kilobytes in which the system counts."""
READ = """
import json, resource, sys
from pathlib import Path
from sqlalchemy import make_url
from connector.warehouse import Warehouse
from tests.warehouse.factories import an_activation, rows

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def read(number):
    sql = f"select i as id, i // 3 as at, repeat('x', 100) || i as x from range({number}) as t(i)"
    activation = an_activation(sql, cursor="at", payload={"x": "x"})
    count, last, ordered = 0, -1, True
    with Warehouse(make_url(f"duckdb:///{sys.argv[1]}"), Path(".")).open() as reader:
        for batch in rows(reader, activation, size=2000)[1]:
            count += len(batch)
            ordered = ordered and last < batch[0][0]
            last = batch[-1][0]
    return count, ordered

read(1000)
before = peak()
count, ordered = read(int(sys.argv[2]))
print(json.dumps({"rows": count, "ordered": ordered, "grown": peak() - before}))
"""


def test_two_million_rows_are_read_within_the_memory_that_duckdb_may_use(duck):
    arguments = [sys.executable, "-c", READ, str(duck.url.database), str(ROWS)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=True)
    found = json.loads(done.stdout)  # nothing else is there: DuckDB draws no progress bar

    assert (found["rows"], found["ordered"]) == (ROWS, True)
    # DuckDB's sort may take 64 MB; the rows as Python objects would be 560 MB on top of it
    assert found["grown"] < 150 * MEGABYTE


WIDE = "select i as id, repeat('x', 100000) || i as x from range(3000) as t(i)"
MANY_DISTINCT = "select count(distinct i * 7) as id, 'x' as x from range(10000000) as t(i)"


@pytest.mark.parametrize(("sql", "number"), [(WIDE, 3000), (MANY_DISTINCT, 1)])
def test_what_does_not_fit_gets_more_memory(duck, sql: str, number: int) -> None:
    activation = an_activation(sql, payload={"x": "x"})
    with Warehouse(duck.url, Path()).open() as reader:
        reader._connection.exec_driver_sql("SET memory_limit = '8MB'")
        _, batches = rows(reader, activation, size=2000)

        assert sum(len(batch) for batch in batches) == number
        assert reader.count(activation, None, None) == number


CURSORS = {
    "one each": "i",
    "some the same": "i // 700",
    "many the same": "case when i < 15000 then i // 5000 else i end",
    "all the same": "1",
    "NULLs": "case when i % 3 = 0 then null else i // 2 end",
    "times": "make_timestamp(i * 1000000)",
    "cut by Python": "make_timestamp_ns(1790000000000000000 + i // 2)",
    "before 1970": "make_timestamp_ns(-i * 700)",
    "not a number": "case when i < 16000 then i / 7 else 'nan'::double end",
    "texts": "('ä' || i % 5000)",
    "in another order": "chr(65 + (i % 26)::int + 32 * (i % 2)::int) collate nocase",
}


@pytest.mark.parametrize("cursor", CURSORS.values(), ids=CURSORS)
def test_what_is_too_much_to_sort_is_read_in_the_same_order(
    duck, cursor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.warehouse.reader.RANGE", 1000)
    columns = f"(i * 7919) % 20000 as id, {cursor} as at, repeat('x', 1000) || i as x"
    activation = an_activation(
        f"select {columns} from range(20000) as t(i)", cursor="at", payload={"x": "x"}
    )

    def read(limit: str) -> tuple[list[object], list[str]]:
        statements: list[str] = []
        with Warehouse(duck.url, Path()).open() as reader:
            reader._connection.exec_driver_sql(f"SET memory_limit = '{limit}'")
            _, batches = rows(reader, activation, size=500)
            event.listen(
                reader._connection, "before_cursor_execute", lambda *a: statements.append(a[2])
            )
            return [row[:2] for batch in batches for row in batch], statements

    expected, at_once = read("1GB")
    found, in_ranges = read("12MB")

    assert repr(found) == repr(expected)  # not a number is not equal to itself
    assert len(found) == 20000
    assert sum("offset" in sql for sql in at_once) == 0
    assert sum("offset" in sql for sql in in_ranges) > 0


def test_a_limit_in_the_url_has_the_last_word(duck) -> None:
    limited = Warehouse(duck.url.update_query_dict({"memory_limit": "8MB"}), Path())
    with limited.open() as reader, pytest.raises(WarehouseUnavailable, match=r"(?i)memory"):
        list(rows(reader, an_activation(WIDE, payload={"x": "x"}), size=2000)[1])
