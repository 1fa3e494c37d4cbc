"""What MySQL has and others have not: a FLOAT that it shows in six digits, and a day of zeros."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.rules.interaction import Interaction, Invalid
from connector.rules.values import Unreadable, shown_or_single, shown_whole
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


@pytest.mark.parametrize("kind", ["date", "datetime", "timestamp null", "datetime(6)"])
def test_a_day_of_zeros_that_comes_late_is_told_wherever_it_stands(
    mariadb: MariaDB, tmp_path: Path, kind: str
) -> None:
    mariadb.execute(
        f"create table days (id integer, x {kind})",
        "insert into days values (1, '2026-11-01'), (2, '2026-11-02')",
    )
    try:
        shop = Shop(mariadb.url, tmp_path)
        activation = an_activation(model={"table": "days"}, cursor="x")
        _, mark = staged(shop, activation)
        mariadb.execute(
            "set sql_mode = ''", "insert into days values (3, '0000-00-00'), (4, '2026-11-03')"
        )

        (found, _), after = staged(shop, activation, mark)
    finally:
        mariadb.execute("drop table days")

    assert isinstance(found["3"], Invalid)
    assert "outside of the years 1 to 9999" in found["3"].reason
    assert isinstance(found["4"], Interaction)
    assert after.value > mark.value


@pytest.mark.parametrize("written", ["12345.7 12345.669921875", b"12345.7 12345.669921875"])
def test_some_drivers_give_bytes(written: Any) -> None:
    assert shown_or_single(written) == 12345.67
    assert isinstance(shown_whole(written), Unreadable)
    assert shown_whole(b"19.99 19.989999771118164") == 19.99
