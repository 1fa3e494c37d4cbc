"""Whatever happens in whichever order: never twice, never altered, never lost."""

import pytest
from sqlalchemy import URL

from tests.postgresql import PostgreSQL
from tests.proof.machine import run_machine
from tests.proof.machine_mirror import run_mirror_machine
from tests.proof.machine_world import Clock, Plan, Process
from tests.targets import PROVE

pytestmark = pytest.mark.timeout(3600 if PROVE else 300)


def test_no_story_breaks_the_promise() -> None:
    happened = run_machine(examples=3000 if PROVE else 25, steps=10 if PROVE else 8)

    for what in ("stored, answer", "died", "stopped", "attention", "pruned"):
        assert happened[what] > 0, f"{what}: the stories are too tame"


def test_no_story_of_a_mirror_breaks_the_promise() -> None:
    happened = run_mirror_machine(examples=30, steps=6)

    for what in ("stored, answer", "done, answer", "died"):
        assert happened[what] > 0, f"{what}: the stories are too tame"


def test_no_story_breaks_the_promise_on_postgresql(
    postgresql: PostgreSQL, migrated_postgresql: str
) -> None:
    url: URL = postgresql.new(template=migrated_postgresql)
    try:
        happened = run_machine(examples=500 if PROVE else 6, steps=8, ledger=url)
    finally:
        postgresql.drop(url)

    assert happened["stored, answer"] > 0


@pytest.mark.parametrize("ended", [False, True])
def test_who_stood_still_goes_on_when_the_one_that_ran_alone_has_ended(ended: bool) -> None:
    clock = Clock()
    clock.begin("nobody", "monotonic")
    alone, other = (Process(number, Plan()) for number in (1, 2))
    clock.processes, clock.running = (alone, other), alone
    alone.dead = ended

    clock.advance(1.0)

    assert other.omitted == (0.0 if ended else 1.0)
