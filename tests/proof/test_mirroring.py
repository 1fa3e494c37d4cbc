"""A mirror keeps its promises in every world that can come about; without any of its parts it does
not.

The model does not read the connector's code: what it says changes only where it is changed itself.
"""

import pytest

from tests.proof.mirroring import Case, check, protocols, weakened
from tests.proof.protocol import HOLDS
from tests.targets import PROVE

CASES = [*protocols(PROVE), *weakened(PROVE)]
pytestmark = pytest.mark.long


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_promise_is_kept_or_broken_as_is_expected_of(case: Case) -> None:
    verdict = check(case)

    assert verdict.found == case.expected, str(verdict)
    assert bool(verdict.steps) == (case.expected != HOLDS)


def test_what_the_protocol_is_there_for_does_happen_in_its_world() -> None:
    """A search that never gets to where it matters would prove nothing."""
    happened = check(Case("one content", runs=1, contents=1, shown_within=1)).happened

    for text in (
        "run A is killed",
        "run A's DELETE is applied",
        "a dead run's DELETE is applied",
        "run A's DELETE is lost",
        "run A's DELETE finds nothing: missing",
        "run A hears missing too early to believe it",
        "run A sees that it is shown still",
        "run A takes it back: removed",
        "run A takes it back: pending",
        "run A settles: delivered",
        "run A settles: pending",
    ):
        assert text in happened, text
