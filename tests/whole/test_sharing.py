"""One rate for one key, whatever number of processes use it: the short form of tests.proof.sharing.

How much is sent a second at most is exact, whatever else this machine does; how much at least is
not, since others may work on it: the long form measures that.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from benchmarks.sink import busiest_second
from tests.proof.sharing import World, main, world
from tests.targets import PROVE

RATE, LATE = 50, 0.25
"""Requests a second; and seconds that one may be on its way where others use the machine."""
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def here(tmp_path: Path, ledger_url: URL) -> Iterator[World]:
    with world(tmp_path, ledger_url, RATE, rows=2000) as here:
        yield here


def test_together_they_keep_to_the_rate_whatever_becomes_of_one_of_them(here: World) -> None:
    for number in range(3):
        here.begins(number)
    begun = here.waits_for(0, 1, 2)
    time.sleep(2)
    here.tell(1, signal.SIGSTOP)
    time.sleep(3)
    here.tell(1, signal.SIGCONT)
    time.sleep(1)
    here.tell(0, signal.SIGKILL)
    time.sleep(3)
    now = time.monotonic()

    assert busiest_second([at for at, _ in here.seen()]) <= RATE + 4
    assert here.attained(begun, now) > 0.3


def test_without_the_ledger_nothing_is_sent_after_what_was_lent(
    here: World, ledger_url: URL, request: pytest.FixtureRequest
) -> None:
    here.begins(0)
    here.waits_for(0)
    time.sleep(1)

    if ledger_url.get_backend_name() == "sqlite":
        for file in list(here.directory.glob("ledger.db*")):
            file.rename(here.directory / f"gone.{file.name}")
    else:
        server = request.getfixturevalue("postgresql")
        server.drop(ledger_url)
        server.execute(f"create database {ledger_url.database}")  # with nothing in it
    gone = time.monotonic()
    time.sleep(3)

    assert here.seen()[-1][0] <= gone + 2 + LATE


@pytest.mark.skipif(not PROVE, reason="measures what an idle machine does, for two minutes each")
@pytest.mark.parametrize("rate", [50, 180])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_whole_rate_is_used_and_no_more(database: str, rate: int) -> None:
    assert main([database, "--rate", str(rate)]) == 0
