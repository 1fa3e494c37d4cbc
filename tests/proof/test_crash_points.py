"""Wherever a run dies or pauses, the next one ends with every row stored once.

Some points of a run: those at which most is at stake, and others from all over it. `make prove` has
more of them here, and then as many as there is time for.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import DATABASES
from tests.postgresql import PostgreSQL
from tests.proof.crashing import KINDS
from tests.proof.crashing_story import CRASH, FIRST_RUN, PAUSE, TWO_CRASHES
from tests.proof.prove import Document, documents
from tests.targets import PROVE

POINTS = 60 if PROVE else 3
"""Of each kind of story, on each database: a number, so that a slow machine tells as many."""
OTHERS = {
    "mxo": (1, (CRASH, TWO_CRASHES, PAUSE)),
    "survey_dynamix": (2, (CRASH, PAUSE)),
    "mirror": (3, (CRASH, PAUSE)),
    "turns": (2, (CRASH, TWO_CRASHES)),
    "held": (2, (CRASH, PAUSE)),
    "kept": (2, (CRASH, PAUSE)),
}
"""The other destinations, a mirror, a cap, runs that are held, and runs that prune: how many points
of each kind of story, and which kinds."""
DEADLINE = 1200 if PROVE else 900
pytestmark = pytest.mark.timeout(DEADLINE + 20)
SEED = 1


@pytest.fixture(scope="module")
def reports(postgresql: PostgreSQL) -> dict[tuple[str, str], Document]:
    """What came of the stories, by database and kind."""
    server = postgresql.address.render_as_string(hide_password=False)
    common = ["--points", str(POINTS), "--seed", str(SEED), "--server", server]

    def play(database: str) -> list[Document]:
        return documents("tests.proof.crashing", [database, *common], DEADLINE)

    with ThreadPoolExecutor(len(DATABASES)) as both:
        found = [report for played in both.map(play, DATABASES) for report in played[:-1]]
    return {(report["database"], report["kind"]): report for report in found}


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("kind", KINDS)
def test_after_it_every_row_is_stored_once_and_the_ledger_says_so(
    reports: dict[tuple[str, str], Document], database: str, kind: str
) -> None:
    report = reports[database, kind]
    print(f"{kind}, {database}: {report['reached']} of {report['points']} points, seed {SEED}")

    assert report["bad"] == []
    assert report["reached"] > 0


@pytest.mark.parametrize("database", DATABASES)
def test_every_statement_commit_and_request_is_a_point(
    reports: dict[tuple[str, str], Document], database: str
) -> None:
    assert reports[database, CRASH]["points"] > 500
    assert reports[database, FIRST_RUN]["points"] > 15


@pytest.mark.parametrize("destination", OTHERS)
def test_after_it_every_row_is_at_the_destination_once(destination: str) -> None:
    number, kinds = OTHERS[destination]
    points = ["--points", str(20 if PROVE else number), "--seed", str(SEED)]
    wanted = [word for kind in kinds for word in ("--kind", kind)]
    arguments = ["sqlite", "--destination", destination, *points, *wanted]

    *found, _ = documents("tests.proof.crashing", arguments, DEADLINE)

    assert [report["bad"] for report in found] == [[] for _ in kinds]
    assert any(report["reached"] > 0 for report in found), "no two runs are alike, but none came"
    assert all(report["points"] > 500 for report in found)
