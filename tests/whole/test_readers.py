"""Whoever reads the ledger disturbs no run: not a foreign tool that forgets to let go, either."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGKILL
from threading import Timer

import pytest

from connector.ledger import engine
from tests.whole.shop import PATIENCE, Shop

READER = """
import sqlite3, sys
ledger = sqlite3.connect(sys.argv[1])
ledger.execute("begin")
print(ledger.execute("select count(*) from deliveries").fetchone()[0], flush=True)
sys.stdin.read()
print(ledger.execute("select count(*) from deliveries").fetchone()[0], flush=True)
"""
LONGER_THAN_THE_LEASE = 2.6
"""Seconds; the lease of a `Shop` is 2 s, and a run looks after it three times in that."""


@contextmanager
def a_reader(shop: Shop) -> Iterator["subprocess.Popen[str]"]:
    """A process that reads the ledger with the SQLite of this machine's Python, in a transaction
    that it ends when its input does."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER, str(shop.ledger_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline().strip() == "10"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def ten(shop: Shop) -> Shop:
    """A shop of which ten rows were sent."""
    shop.add_many(10)
    assert shop.sync().code == 0
    return shop


def test_a_sync_goes_on_beside_a_reader_that_never_lets_go(ten: Shop) -> None:
    ten.add_many(200, first=10)
    with a_reader(ten) as reader:
        done = ten.sync()
        assert reader.poll() is None
        out, _ = reader.communicate("", timeout=PATIENCE)

    assert (done.code, done.run["delivered"], done.run["in_doubt"]) == (0, 200, 0)
    assert out.strip() == "10"  # what it sees is what there was
    assert set(ten.stored.values()) == {1}


def test_with_a_rollback_journal_a_sync_waits_for_a_reader_and_loses_no_answer(
    ten: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SQLITE", None)
    ten.add_many(200, first=10)
    ten.connector("pause", "visits")  # the ledger changes to its journal before anybody reads
    ten.connector("resume", "visits")
    with a_reader(ten) as reader:
        Timer(LONGER_THAN_THE_LEASE, reader.kill).start()
        done = ten.sync()
        assert reader.wait(20) == -SIGKILL

    assert (done.code, done.run["delivered"], done.run["in_doubt"]) == (0, 200, 0)
    assert set(ten.stored.values()) == {1}
