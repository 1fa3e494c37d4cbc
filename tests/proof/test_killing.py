"""Two workers that are killed, frozen and cut off at random, under faults of every kind.

A short loop on each database; `make prove` has longer ones, and many more, with other seeds.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import DATABASES
from tests.postgresql import PostgreSQL
from tests.proof.prove import Document, documents
from tests.targets import PROVE

SECONDS = 40 if PROVE else 5
DEADLINE = 400
pytestmark = pytest.mark.timeout(DEADLINE + 20)
SEEDS = {"sqlite": 3, "postgresql": 6}
"""Together they have every variant: equal rows, contacts to look up, no respect for leases."""


@pytest.fixture(scope="module")
def reports(postgresql: PostgreSQL) -> dict[str, Document]:
    """What came of the loops, by database."""
    server = postgresql.address.render_as_string(hide_password=False)
    common = ["--seconds", str(SECONDS), "--server", server]

    def loop(database: str) -> Document:
        seed = ["--seed", str(SEEDS[database])]
        return documents("tests.proof.killing", [database, *seed, *common], DEADLINE)[0]

    with ThreadPoolExecutor(len(DATABASES)) as both:
        return dict(zip(DATABASES, both.map(loop, DATABASES), strict=True))


@pytest.mark.parametrize("database", DATABASES)
def test_nothing_is_stored_twice_and_nothing_is_lost(
    reports: dict[str, Document], database: str
) -> None:
    report = reports[database]
    print(f"{database}: seed {report['seed']}, {report['done']}, {report['faults']}")

    assert report["error"] == ""
    assert report["verdict"] == {"duplicates": [], "losses": [], "lies": []}
    assert report["done"]["kills"] > 0
    assert report["faults"]
