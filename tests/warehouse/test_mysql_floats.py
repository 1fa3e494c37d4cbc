"""MySQL shows a FLOAT in six digits: what it holds is sent, and no two of its keys become one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mariadb import MariaDB
from tests.warehouse.factories import Shop, an_activation
from tests.warehouse.test_poison import staged


@pytest.fixture
def floats(mariadb: MariaDB, tmp_path: Path) -> Iterator[Shop]:
    """Numbers, as FLOAT and as FLOAT with a scale, which shows more digits."""
    rows = ", ".join(f"({n}, {x}, {x})" for n, x in NUMBERS.items())
    mariadb.execute(
        "create table floats (id integer, x float, y float(10, 2))",
        f"insert into floats values {rows}, (99, null, null)",
    )
    yield Shop(mariadb.url, tmp_path)
    mariadb.execute("drop table floats")


NUMBERS = {
    1: "19.99",
    2: "12345.67",
    3: "1234567",
    4: "1234568",
    5: "16777216",
    6: "-0.5",
    7: "1234567.875",
}


def sent(shop: Shop, **over: Any) -> dict[str, Any]:
    found, _ = staged(shop, an_activation(model={"table": "floats"}, **over))
    return {key: getattr(each, "payload", b"").decode() for key, each in found[0].items()}


def test_all_of_its_digits_are_sent(floats: Shop) -> None:
    shown = sent(floats, payload={"p": "x"})

    assert shown == {
        "1": '{"p":"19.99"}',
        "2": '{"p":"12345.67"}',
        "3": '{"p":"1234567.0"}',
        "4": '{"p":"1234568.0"}',
        "5": '{"p":"16777216.0"}',
        "6": '{"p":"-0.5"}',
        "7": '{"p":"1234567.9"}',
        "99": "{}",
    }
    # where the column shows more of it, that is what people know it by
    assert sent(floats, payload={"p": "y"})["7"] == '{"p":"1234567.88"}'


def test_a_contact_is_not_another_one(floats: Shop) -> None:
    contact = {"column": "x", "identifier": "customKey"}
    (found, _), _ = staged(floats, an_activation(model={"table": "floats"}, contact=contact))

    assert (found["3"].contact, found["4"].contact) == ("1234567", "1234568")


def test_as_a_key_it_stays_what_it_was_and_is_never_another_row(floats: Shop) -> None:
    (found, without), _ = staged(floats, an_activation(model={"table": "floats"}, row_key="x"))

    assert sorted(found) == ["-0.5", "19.99"]
    assert without == len(NUMBERS) + 1 - len(found)


def test_a_row_is_found_again_by_such_a_key(floats: Shop) -> None:
    activation = an_activation(model={"table": "floats"}, row_key="x", payload={"p": "y"})
    with floats.warehouse().open() as reader:
        resolved, columns = reader.resolve(activation)
        scan = reader.scan(resolved, columns)
        batches = list(reader.rows_of(resolved, scan, [(19.99,)], 10))

    assert [row[scan.columns.index("y")] for batch in batches for row in batch] == [19.99]
