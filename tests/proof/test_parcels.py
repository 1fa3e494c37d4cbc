"""Requests that are processed later: the promises hold in every world, and not without any part."""

import pytest

from tests.proof.parcels import Case, cases, check
from tests.proof.protocol import HOLDS
from tests.targets import PROVE

LARGEST = "a destination that forgets what it was never asked about"
"""As many worlds as all others together: only in `make prove`. What breaks there without a witness
is looked at here, and that it is kept with one in `test_requests_weakened.py`."""
CASES = [case for case in cases(long=PROVE) if PROVE or case.name != LARGEST]
pytestmark = pytest.mark.long


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_promise_is_kept_or_broken_as_is_expected_of(case: Case) -> None:
    verdict = check(case)

    assert verdict.found == case.expected, "\n".join(verdict.steps)
    assert bool(verdict.steps) == (case.expected != HOLDS)


def test_what_the_protocol_is_there_for_does_happen_in_its_world() -> None:
    happened = check(Case("as it is built")).happened

    for text in (
        "run 0 is killed",
        "run 0 opens nothing",
        "run 0 does not send",
        "run 0 gets a 2xx",
        "run 0 records: refused",
        "a request is lost",
        "its row is turned down",
        "the destination forgets it",
        "run 0 asks: not found",
        "run 0 settles: submitted",
        "run 0 settles: pending",
        "run 0 settles: delivered",
        "run 0 settles: rejected",
        "run 0 settles: a person's",
        "run 0 settles nothing",
    ):
        assert text in happened, text
