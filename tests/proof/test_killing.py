"""Two workers that are killed, frozen and cut off at random, under faults of every kind.

A short loop on each database, and at each other destination, and rounds of a mirror; `make prove`
has longer ones, and many more, with other seeds.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import DATABASES
from tests.postgresql import PostgreSQL
from tests.proof.prove import Document, documents
from tests.targets import PROVE

SECONDS = 40 if PROVE else 3
SECONDS_OTHERS = 20 if PROVE else 2
DEADLINE = 3000 if PROVE else 400
pytestmark = pytest.mark.timeout(DEADLINE + 20)
SEEDS = {"sqlite": 3, "postgresql": 6}
"""Together they have every variant: equal rows, contacts to look up, no respect for leases."""
OTHERS = {"mxo": 0, "survey_dynamix": 5}
"""Batches; and rows of one external_ref, without respect for leases."""
LOOPS = (*DATABASES, *OTHERS)
ROUNDS, ROUNDS_SEED = 200 if PROVE else 4, 4
"""Of a mirror; it is quiet in every fourth round, about."""


@pytest.fixture(scope="module")
def reports(postgresql: PostgreSQL) -> dict[str, Document]:
    """What came of the loops, by database, or by destination."""
    server = postgresql.address.render_as_string(hide_password=False)

    def loop(name: str) -> Document:
        if name in OTHERS:
            words = ["sqlite", "--destination", name, "--seed", str(OTHERS[name])]
            words += ["--seconds", str(SECONDS_OTHERS)]
        else:
            words = [name, "--seed", str(SEEDS[name]), "--seconds", str(SECONDS)]
        return documents("tests.proof.killing", [*words, "--server", server], DEADLINE)[0]

    with ThreadPoolExecutor(len(DATABASES)) as both:
        return dict(zip(LOOPS, both.map(loop, LOOPS), strict=True))


@pytest.mark.parametrize("name", LOOPS)
def test_nothing_is_stored_twice_and_nothing_is_lost(
    reports: dict[str, Document], name: str
) -> None:
    report = reports[name]
    print(f"{name}: seed {report['seed']}, {report['done']}, {report['faults']}")

    assert report["error"] == ""
    assert report["verdict"] == {"duplicates": [], "losses": [], "lies": []}
    assert report["done"]["kills"] > 0
    assert report["faults"]
    assert report["states"]["delivered"] > report["rows"] / 2


def test_a_mirror_has_one_interaction_of_each_row_at_most_and_in_the_end_exactly_its_model() -> (
    None
):
    words = ["sqlite", "--mirror", "--rounds", str(ROUNDS), "--seed", str(ROUNDS_SEED)]
    (report,) = documents("tests.proof.killing", words, DEADLINE)
    print(f"mirror: seed {report['seed']}, {report['done']}, {report['faults']}")

    assert report["error"] == ""
    assert report["verdict"] == {"duplicates": [], "losses": [], "lies": []}
    assert (report["rounds"], report["quiet"] > 0) == (ROUNDS, True)
    assert report["done"]["kills"] > 0
    assert report["deleted"] > 0
