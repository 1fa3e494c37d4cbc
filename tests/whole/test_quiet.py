"""What a run costs that finds nothing new: it is asked for every minute, and says little."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, event

from tests.whole.shop import Shop

MOST_WRITES = 4
BESIDE = ("rates", "beat")
"""Threads that ask again the longer a run takes: a machine may be slow."""
MIRROR = {"more": "mode: mirror", "cursor": ""}
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE)\b")


class Asked:
    """What was asked while somebody listened."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.writes = 0

    def before(self, c: Connection, _cursor: Any, sql: str, _p: Any, _x: Any, _m: bool) -> None:
        if not threading.current_thread().name.startswith(BESIDE):  # a pool numbers its own
            self.statements.append(f"{c.dialect.name}: {sql}")
            c.info["wrote"] = c.info.get("wrote") or bool(WRITES.match(sql))

    def commit(self, c: Connection) -> None:
        self.writes += c.info.pop("wrote", False)


@contextmanager
def listening() -> Iterator[Asked]:
    asked = Asked()
    for name, heard in (("before_cursor_execute", asked.before), ("commit", asked.commit)):
        event.listen(Engine, name, heard)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", asked.before)
        event.remove(Engine, "commit", asked.commit)


@pytest.mark.parametrize(
    ("mode", "most"),
    [({}, {"sqlite": 28, "postgresql": 39}), (MIRROR, {"sqlite": 47, "postgresql": 76})],
    ids=["events", "mirror"],
)
def test_a_run_with_nothing_new_asks_little(
    shop: Shop, ledger_url: URL, mode: dict[str, str], most: dict[str, int]
) -> None:
    """`most`: statements to the ledger and to the warehouse, by the kind of the ledger. On a server
    each transaction begins with one, in which it is told how long it may be silent."""
    shop.configure(ledger=ledger_url.render_as_string(hide_password=False), **mode)
    shop.add_many(3)
    assert shop.sync().run["delivered"] == 3
    shop.sync()

    with listening() as asked:
        assert shop.sync().run["read"] == 3

    said = "\n".join(asked.statements)
    assert len(asked.statements) <= most[ledger_url.get_backend_name()], said
    assert asked.writes <= MOST_WRITES, said
