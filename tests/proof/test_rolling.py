"""A ledger goes back under a run that sends: a file copied over, a replica that was behind.

One of each kind; `make prove` has some more of them here, and then many more.
"""

import pytest

from tests.proof.prove import documents
from tests.proof.replicas import binaries
from tests.targets import PROVE

TRIALS = 8 if PROVE else 2
DEADLINE = 300
pytestmark = pytest.mark.timeout(DEADLINE + 20)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_stored_twice_when_the_ledger_goes_back_beneath_a_run(database: str) -> None:
    if database == "postgresql":
        try:
            binaries()
        except ImportError as missing:
            pytest.skip(str(missing))

    arguments = [database, "--trials", str(TRIALS), "--seed", "5"]
    (report,) = documents("tests.proof.rolling", arguments, DEADLINE)

    assert report["bad"] == []
    assert report["errors"] == []
    if database == "postgresql":  # a copy below SQLite's log may take nothing back: it is no alarm
        killed = sum(number for way, number in report["ways"].items() if "killed" in way)
        assert report["noticed"] + killed == TRIALS
