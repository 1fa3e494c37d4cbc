"""Turns on record: with each attempt, given back where nothing is stored, in one line."""

from dataclasses import replace
from datetime import timedelta

import pytest

from connector.ledger.parcels import Kept, OpeningAll
from connector.ledger.turns import digest_of, wall
from connector.rules.delivery import Accepted, NotApplied, Refused, Unknown
from connector.rules.turns import FOR_TURN, Cap, Turn
from tests.ledger.factories import (
    CONTACT_ID,
    REVIEWS,
    begun,
    closing,
    delivered,
    due,
    execute,
    expire_lease,
    opening,
    select,
    sent,
    staged,
)

CAP = Cap(2, 86_400_000)
WHO = "someone"


def taken(ledger, run, *keys):
    """Open an attempt of each with its turn."""
    rows = due(ledger)
    opened = {key: replace(opening(rows[key]), turn=Turn(WHO, wall())) for key in keys}
    assert ledger.record(run, list(opened.values())) == [True] * len(keys)
    return opened


def told(ledger, run, opened, outcome):
    done = replace(closing(opened, outcome), at=wall())
    assert ledger.record(run, [done]) == [True]


def waits(ledger, run, key, at):
    kept = Kept(due(ledger)[key], CONTACT_ID, FOR_TURN, turn=Turn(WHO, at, CAP.word))
    assert ledger.record(run, [kept]) == [True]


def line(ledger, first=10**6, last=10**6, but=None):
    return ledger.lines(REVIEWS, CAP, {WHO: (first, last)}, but or {}).get(WHO)


def used(ledger):
    """How many turns count; a cap that allows more sees them all."""
    found = ledger.lines(REVIEWS, Cap(9, CAP.every), {WHO: (10**6, 10**6)}, {}).get(WHO)
    return len(found.taken) if found else 0


def test_a_turn_is_used_up_with_the_attempt_unless_nothing_is_stored(ledger):
    run = staged(ledger, "r1", "r2", "r3", "r4")
    opened = taken(ledger, run, "r1", "r2", "r3", "r4")
    assert used(ledger) == 4

    told(ledger, run, opened["r1"], Accepted("i-1", 201))
    told(ledger, run, opened["r2"], Unknown("no answer"))
    assert used(ledger) == 4
    told(ledger, run, opened["r3"], NotApplied("busy", 429))
    told(ledger, run, opened["r4"], Refused("no", 400))
    assert used(ledger) == 2


def test_a_late_answer_that_it_was_stored_takes_the_turn_again(ledger):
    run = staged(ledger, "r1")
    opened = taken(ledger, run, "r1")["r1"]
    told(ledger, run, opened, NotApplied("busy", 429))
    assert used(ledger) == 0

    assert ledger.record(run, [replace(closing(opened, Accepted("i-1", 201)), at=wall())]) == [True]

    assert used(ledger) == 1


def test_rows_that_wait_are_not_due_and_stand_before_those_behind_them(ledger):
    run = staged(ledger, "r1", "r2", "r3")
    later = wall() + 3_600_000
    waits(ledger, run, "r2", later)
    ids = {key: row.id for key, row in due(ledger).items()}

    def due_by(cap):
        return [row.row_key for row in ledger.due(REVIEWS, "pending", 0, 10, None, cap)]

    assert due_by(CAP) == ["r1", "r3"]
    assert due_by(Cap(3, CAP.every)) == ["r1", "r2", "r3"]
    assert line(ledger, ids["r3"], ids["r3"]).ahead == {ids["r2"]: later}
    assert line(ledger, ids["r1"], ids["r1"]) is None
    assert ledger.waiting_for_turn(REVIEWS, CAP).number == 1
    assert 3_500_000 < ledger.next_turn(REVIEWS, CAP) <= 3_600_000


def test_where_one_before_them_is_gone_those_behind_it_are_looked_at(ledger):
    run = staged(ledger, "r1", "r2")
    opened = taken(ledger, run, "r1")["r1"]
    waits(ledger, run, "r2", wall() + 3_600_000)

    told(ledger, run, opened, Refused("no", 400))

    assert ledger.next_turn(REVIEWS, CAP) == 0
    assert [row.row_key for row in ledger.due(REVIEWS, "pending", 0, 10, None, CAP)] == ["r2"]


def test_a_row_that_failed_stays_the_first_in_line(ledger):
    run = staged(ledger, "r1", "r2")
    ids = {key: row.id for key, row in due(ledger).items()}
    told(ledger, run, taken(ledger, run, "r1")["r1"], NotApplied("busy", 429))

    assert list(line(ledger, ids["r2"], ids["r2"]).ahead) == [ids["r1"]]
    assert line(ledger, ids["r1"], ids["r2"], but={ids["r1"]: 2}) is None


def test_what_was_sent_of_a_row_before_counts_when_it_goes_anew(ledger):
    """As in a mirror, that replaces it; of the attempt that is decided about, nothing does."""
    run = staged(ledger, "r1")
    row = due(ledger)["r1"]
    taken(ledger, run, "r1")

    assert len(line(ledger, but={row.id: 2}).taken) == 1
    assert line(ledger, but={row.id: 1}) is None


def test_a_request_of_many_rows_takes_the_turn_of_each(ledger):
    run = staged(ledger, "r1", "r2")
    rows = due(ledger)
    openings = [replace(opening(rows[key]), turn=Turn(WHO, wall())) for key in ("r1", "r2")]

    ledger.record(run, [OpeningAll("ref-1", "digest", openings)])

    assert used(ledger) == 2


def test_whoever_lost_the_activation_takes_no_turn(ledger, engine):
    """So one that has it, and has read the turns of all before it, decides alone."""
    run = staged(ledger, "r1")
    row = due(ledger)["r1"]
    expire_lease(engine)
    begun(ledger)

    (result,) = ledger.record(run, [replace(opening(row), turn=Turn(WHO, wall()))])

    assert result is not True
    assert used(ledger) == 0


@pytest.mark.parametrize("with_the_attempt", [True, False])
def test_written_only_with_the_answer_a_turn_is_lost_with_the_process(
    ledger, engine, with_the_attempt
):
    """Why it is written with the attempt: the weaker order lets the next run send once more."""
    run = staged(ledger, "r1", "r2")
    if with_the_attempt:
        taken(ledger, run, "r1")
    else:
        sent(ledger, run, "r1")
    expire_lease(engine)

    begun(ledger)

    assert used(ledger) == (1 if with_the_attempt else 0)


def test_the_turn_of_a_run_that_died_counts_from_when_that_is_found(ledger, engine):
    run = staged(ledger, "r1")
    taken(ledger, run, "r1")
    execute(engine, "update turns set at = at - 3600000")
    before = wall()
    expire_lease(engine)

    begun(ledger)

    assert line(ledger).taken[0] >= before


def test_what_is_older_than_the_cap_and_who_waits_no_more_is_removed(ledger, engine):
    run = staged(ledger, "r1", "r2", "r3", "r4")
    for key in ("r1", "r2"):
        told(ledger, run, taken(ledger, run, key)[key], Accepted(f"i-{key}", 201))
    execute(engine, "update turns set at = at - 86400001 where delivery_id = 1")
    waits(ledger, run, "r3", wall() + 1000)
    waits(ledger, run, "r4", wall() + 1000)
    delivered(ledger, run, "r4", "i-4")

    ledger.tidy_turns(REVIEWS, CAP)

    assert len(select(engine, "select * from turns")) == 2
    ledger.tidy_turns(REVIEWS, None)
    assert len(select(engine, "select * from turns where cap is not null")) == 0


def test_what_was_sent_while_the_clock_was_ahead_counts_from_when_it_is_put_back(ledger, engine):
    """It would count for as long, and rows of that contact wait. Less than a whole `every` may be a
    clock that is behind for a while: then nobody is sent to more often."""
    run = staged(ledger, "r1", "r2", "r3")
    told(ledger, run, taken(ledger, run, "r1")["r1"], Accepted("i-1", 201))
    told(ledger, run, taken(ledger, run, "r2")["r2"], Accepted("i-2", 201))
    waits(ledger, run, "r3", wall() + 31 * CAP.every)
    execute(engine, f"update turns set at = at + {30 * CAP.every} where delivery_id = 1")
    execute(engine, "update turns set at = at + 3600000 where delivery_id = 2")
    (hour,) = select(engine, "select at from turns where delivery_id = 2")

    assert ledger.rest(REVIEWS, "engage", timedelta(days=1), CAP).turns
    ledger.tidy_turns(REVIEWS, CAP)

    assert not ledger.rest(REVIEWS, "engage", timedelta(days=1), CAP).turns
    kept = {row.delivery_id: row.at for row in select(engine, "select * from turns")}
    assert wall() - 60_000 < kept[1] <= wall()
    assert (kept[2], kept[3]) == (hour.at, 0)


def test_who_is_forgotten_has_no_turns(ledger, engine):
    run = staged(ledger, "r1", "r2")
    key = run.footing.known.ledger
    rows = due(ledger)
    turn = Turn(digest_of(key, "C-1"), wall())
    ledger.record(run, [replace(opening(rows["r1"]), turn=turn)])
    ledger.record(run, [replace(opening(rows["r2"]), turn=Turn("another", wall()))])

    ledger.forget_turns(["c-1"], [], ["others"])
    elsewhere = len(select(engine, "select contact from turns"))
    ledger.forget_turns(["c-1"], [], [REVIEWS])

    assert elsewhere == 2
    assert [row.contact for row in select(engine, "select contact from turns")] == ["another"]


def test_a_cap_is_told_by_its_figures():
    assert Cap(3, round(timedelta(days=1).total_seconds() * 1000)).word == "3/86400000"
