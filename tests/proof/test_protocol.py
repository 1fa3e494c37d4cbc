"""The protocol holds in every world that can come about; without any of its parts it does not.

The model does not read the connector's code: what it says changes only where it is changed itself.
"""

import pytest

from tests.proof.protocol import HOLDS, Case, cases, check
from tests.targets import PROVE

LARGEST = {
    "the protocol over restores of the ledger",
    "the protocol over a ledger that goes back beneath its runs",
    "a restore beneath a run that goes on",
}
"""More worlds than all others together: only in `make prove`."""
CASES = [case for case in cases(long=PROVE) if PROVE or case.name not in LARGEST]
pytestmark = pytest.mark.long


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_promise_is_kept_or_broken_as_is_expected_of(case: Case) -> None:
    verdict = check(case)

    assert verdict.found == case.expected, str(verdict)
    assert bool(verdict.steps) == (case.expected != HOLDS)


def test_what_the_protocol_is_there_for_does_happen_in_its_world() -> None:
    """A search that never gets to where it matters would prove nothing."""
    happened = check(Case("with the lease")).happened
    happened |= check(Case("without", lease=False)).happened
    happened |= check(Case("with a clock that steps", database_steps=True)).happened

    for text in (
        "run A is killed",
        "run A opens nothing: the row has moved",
        "run A has lost its lease and stops",
        "run A does not send: too late, or no connection",
        "run A gets no answer that it can trust",
        "a dead run's request is lost",
        "Engage stores a dead run's request",
        "run A records: accepted, in vain",
        "run A records: not applied, in vain",
        "run A asks Engage too early to believe it",
        "run A settles: delivered",
        "run A settles: pending",
        "run A settles nothing",
        "THE DATABASE'S CLOCK STEPS forward",
        "THE DATABASE'S CLOCK STEPS back",
    ):
        assert text in happened, text


def test_a_broken_promise_is_told_step_by_step() -> None:
    (case,) = (case for case in CASES if case.name == "an orphan is pending again")

    told = str(check(case)).splitlines()

    assert told[0].startswith("duplicate (")
    assert sum("SENDS" in line for line in told) == 2
    assert told[-1].strip().startswith(f"{len(told) - 1}. at ")
