"""Many activations on many keys, in two processes on one PostgreSQL ledger, one killed and one
frozen meanwhile: every row once, and no more connections than are promised."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import URL

from connector.sandbox.engage.running import Running, running
from tests.postgresql import PostgreSQL
from tests.proof.fleet import (
    MOST_TO_THE_LEDGER,
    MOST_TO_THE_WAREHOUSE,
    Size,
    counting,
    project,
)
from tests.whole.shop import Shop, an_engage, behaving
from tests.whole.test_serve import started, until

ACTIVATIONS, KEYS, ROWS = 24, 8, 12
SIZE = Size(ACTIVATIONS, KEYS, ROWS, every=5)


@pytest.fixture
def keys() -> Iterator[list[Running]]:
    """A destination for each key."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(running(engage=an_engage(), api_key=f"key-{number}"))
            for number in range(KEYS)
        ]
        for each in found:
            each.behaviour = behaving(answer_delay=0.05)
        yield found


def stored(keys: list[Running]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in keys:
        found.update(str(i.payload["visitId"]) for i in each.engage.interactions())
    return found


def test_every_row_once_whatever_becomes_of_the_processes(
    shop: Shop, keys: list[Running], postgresql: PostgreSQL, postgresql_url: URL
) -> None:
    warehouse = postgresql.new()
    text = project(SIZE, [ROWS] * ACTIVATIONS, "", warehouse, postgresql_url)
    for each in keys:
        text = text.replace("url: ,", f"url: {each.url},", 1)
    shop.config.write_text(text)

    with counting(postgresql, [warehouse, postgresql_url]) as most:
        one, two = started(shop), started(shop)
        until(lambda: len(stored(keys)) > 40)
        one.process.kill()
        until(lambda: len(stored(keys)) > 90)
        os.kill(two.process.pid, signal.SIGSTOP)
        three = started(shop)
        time.sleep(2.5)  # longer than its lease
        os.kill(two.process.pid, signal.SIGCONT)
        until(lambda: len(stored(keys)) == ACTIVATIONS * ROWS, seconds=80)
        ends = [served.end() for served in (two, three)]

    postgresql.drop(warehouse)
    assert set(stored(keys).values()) == {1}
    assert ends == [0, 0]
    assert 0 < most[str(postgresql_url.database)] < MOST_TO_THE_LEDGER
    assert 0 < most[str(warehouse.database)] < MOST_TO_THE_WAREHOUSE
