"""A ledger goes back under a run that sends: a file copied over, a replica that was behind.

One of each kind; `make prove` has many more.
"""

import pytest

from tests.proof.prove import documents
from tests.proof.replicas import binaries

DEADLINE = 300
pytestmark = pytest.mark.timeout(DEADLINE + 20)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_stored_twice_when_the_ledger_goes_back_beneath_a_run(database: str) -> None:
    if database == "postgresql":
        try:
            binaries()
        except ImportError as missing:
            pytest.skip(str(missing))

    arguments = [database, "--trials", "2", "--seed", "5"]
    (report,) = documents("tests.proof.rolling", arguments, DEADLINE)

    assert report["bad"] == []
    assert report["errors"] == []
    if database == "postgresql":  # a copy below SQLite's log may take nothing back: it is no alarm
        assert report["noticed"] + sum("killed" in way for way in report["ways"]) == 2
