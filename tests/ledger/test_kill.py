"""Processes that are really killed: what the ledger acknowledged is there, and nothing is torn."""

import random

import pytest

from tests.ledger.factories import attempts, begun, due, select, states, stored
from tests.ledger.processes import process

BATCH = 40


def test_a_process_killed_in_the_middle_of_staging_leaves_no_half_batch(ledger_url, ledger, engine):
    with process("hold staging", ledger_url) as other:
        assert other.said() == "in the middle"
        other.kill()

    begun(ledger)

    assert states(engine) == {"first": "pending"}
    assert ledger.watermark("reviews")[0].value == 1


def test_a_process_killed_before_the_commit_of_an_attempt_has_not_opened_it(
    ledger_url, ledger, engine
):
    with process("hold opening", ledger_url) as other:
        assert other.said() == "before the commit"
        other.kill()

    begun(ledger)

    assert (stored(engine).state, stored(engine).attempt) == ("pending", 0)
    assert attempts(engine) == []
    assert due(ledger).keys() == {"r1"}


@pytest.mark.parametrize("seed", [1, 2])
def test_wherever_a_staging_process_is_killed_rows_and_watermark_agree(
    ledger_url, ledger, engine, seed
):
    dice = random.Random(seed)
    for _ in range(2):
        with process("stage", ledger_url, str(BATCH)) as other:
            for _ in range(dice.randrange(1, 30)):
                acknowledged = int(other.said())
            other.kill()

        ((rows,),) = select(engine, "select count(*) from deliveries")
        mark = ledger.watermark("reviews")[0].value
        assert rows == mark
        assert mark >= acknowledged
        assert mark % BATCH == 0
