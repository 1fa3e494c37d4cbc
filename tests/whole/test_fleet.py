"""Many activations on many keys, in two processes on one PostgreSQL ledger, one killed and one
frozen meanwhile: every row once, and no more connections than are promised."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from sqlalchemy import URL

from connector.sandbox.engage.running import Running, running
from tests.postgresql import PostgreSQL
from tests.whole.shop import Shop, an_engage, behaving, contact_id
from tests.whole.test_serve import started, until

ACTIVATIONS, KEYS, ROWS = 24, 8, 12
MOST_TO_THE_LEDGER, MOST_TO_THE_WAREHOUSE = 40, 20
HEAD = """
version: 1
warehouse: {{url: "{warehouse}"}}
ledger: {{url: "{ledger}", lease: 2s}}
serve: {{runs: 8, retry: 1s}}
destinations:
"""
DESTINATION = """
  k{number}: {{type: engage, url: {url}, api_key: {key}, requests_per_second: 40, timeout: 2s,
               settle_after: 1s}}
"""
ACTIVATION = """
  a{number}:
    schedule: {{every: 5s}}
    destination: k{key}
    model: {{sql: "select 'a{number}-' || g as id, '{contact}' as contact
                   from generate_series(1, {rows}) g"}}
    schema_id: visit
    row_key: id
    start: all
    contact: {{column: contact, identifier: contactId}}
    payload: {{visitId: id}}
"""


@contextmanager
def counting(server: PostgreSQL, databases: list[URL]) -> Iterator[Counter[str]]:
    """The most connections to each of `databases` at any moment that was looked at."""
    most, over = Counter[str](), threading.Event()
    names = [url.database for url in databases]

    def look() -> None:
        address = server.address.render_as_string(hide_password=False)
        query = "select datname, count(*) from pg_stat_activity where datname = any(%s) group by 1"
        with psycopg.connect(address, autocommit=True) as connection:
            while not over.wait(0.05):
                for name, number in connection.execute(query, [names]):
                    most[name] = max(most[name], number)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


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
    text = HEAD.format(
        warehouse=warehouse.render_as_string(hide_password=False),
        ledger=postgresql_url.render_as_string(hide_password=False),
    )
    for number, each in enumerate(keys):
        text += DESTINATION.format(number=number, url=each.url, key=each.api_key)
    text += "activations:\n"
    for number in range(ACTIVATIONS):
        places = {"key": number % KEYS, "contact": contact_id(1), "rows": ROWS}
        text += ACTIVATION.format(number=number, **places)
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
