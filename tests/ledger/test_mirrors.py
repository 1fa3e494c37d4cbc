"""What stands beside a mirror's rows, and is carried out: on SQLite and on PostgreSQL."""

from datetime import timedelta

import pytest

from connector.ledger.mirrored import Aim, Asking, Figures, Gone, Left, Refreshed, There, Wish
from connector.rules.delivery import Accepted
from connector.rules.errors import LeaseLost
from tests.ledger.factories import (
    REVIEWS,
    a_row,
    an_invalid_row,
    answered,
    begun,
    closing,
    delivered,
    doubted,
    execute,
    expire_lease,
    forget_holder,
    select,
    sent,
    staged,
    states,
    stored,
)


def mirrored(ledger, key="r1"):
    return ledger.mirrored(REVIEWS, [key])[key]


def delivered_rows(ledger, *keys):
    """A run that has delivered rows, each under the id `i-KEY`."""
    run = staged(ledger, *keys)
    for key in keys:
        delivered(ledger, run, key, f"i-{key}")
    return run


def wish(ledger, run, aim, *keys, to=None, suspect=False):
    """Put the same beside rows."""
    rows = [Wish(mirrored(ledger, k).known.id, aim, to and to(k), suspect) for k in keys]
    ledger.reflect(run, [], rows)


def replacing(key):
    return a_row(key, "what it says now", about="somebody", source="s2")


def marked(ledger, only_shown=False):
    """What is to be taken back, by its key."""
    rows = ledger.to_take_back(REVIEWS, 0, 100, only_shown)
    return {row.row_key: row for row in rows}


def gone(ledger, run, *keys, suspect=False):
    """It was asked for, and is gone."""
    rows = marked(ledger)
    assert ledger.take_away(run, [Asking(rows[key]) for key in keys]) == [True] * len(keys)
    return ledger.take_away(run, [Gone(rows[key], suspect) for key in keys])


def decisions(engine, key="r1"):
    return [
        (row.decision, row.was, row.state)
        for row in select(
            engine,
            "select s.* from decisions s join deliveries d on d.id = s.delivery_id"
            " where d.row_key = :key order by s.id",
            key=key,
        )
    ]


def changes(engine):
    return select(engine, "select * from changes order by delivery_id")


def test_what_is_gone_is_removed_and_keeps_its_id(ledger, engine):
    run = delivered_rows(ledger, "r1", "r2")
    wish(ledger, run, Aim.REMOVE, "r1")

    assert gone(ledger, run, "r1") == [True]

    row = stored(engine)
    assert (row.state, row.interaction_id) == ("removed", "i-r1")
    assert states(engine) == {"r1": "removed", "r2": "delivered"}
    assert decisions(engine) == [("removed", "delivered", "removed")]
    assert (changes(engine), marked(ledger)) == ([], {})
    assert ledger.live(REVIEWS) == 1


def test_what_is_replaced_is_pending_with_what_it_says_now(ledger, engine):
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.REPLACE, "r1", to=replacing)

    assert gone(ledger, run, "r1") == [True]

    row = stored(engine)
    assert (row.state, row.interaction_id, row.about, row.source) == (
        *("pending", None, "somebody"),
        "s2",
    )
    assert "what it says now" in row.payload
    assert decisions(engine) == [("replaced", "delivered", "pending")]
    assert ledger.owned(REVIEWS, ["i-r1"]) == {"i-r1"}
    answered(ledger, run, "r1", Accepted("i-2", 201))
    assert stored(engine).interaction_id == "i-2"


def test_an_answer_that_comes_late_is_none_to_what_is_sent_in_its_place(ledger, engine):
    run = staged(ledger, "r1")
    opened = sent(ledger, run, "r1")["r1"]
    ledger.record(run, [closing(opened, Accepted("i-r1", 201))])
    wish(ledger, run, Aim.REPLACE, "r1", to=replacing)
    gone(ledger, run, "r1")

    ledger.record(run, [closing(opened, Accepted("i-late", 201))])

    assert (stored(engine).state, stored(engine).interaction_id) == ("pending", None)


def test_what_cannot_be_sent_in_its_place_is_invalid(ledger, engine):
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.REPLACE, "r1", to=an_invalid_row)

    gone(ledger, run, "r1")

    row = stored(engine)
    assert (row.state, row.reason, row.payload) == ("invalid", "rating: missing", None)


def test_what_returns_is_pending_and_its_old_id_stays_owned(ledger, engine):
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.REMOVE, "r1")
    gone(ledger, run, "r1")

    ledger.reflect(run, [(mirrored(ledger), replacing("r1"))], [])

    assert (stored(engine).state, stored(engine).interaction_id) == ("pending", None)
    assert decisions(engine)[-1] == ("returned", "removed", "pending")
    assert ledger.owned(REVIEWS, ["i-r1"]) == {"i-r1"}


@pytest.mark.parametrize("suspect", [False, True])
def test_what_was_not_found_is_read_back_before_it_is_sent(ledger, engine, suspect):
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.REPLACE, "r1", to=replacing)

    gone(ledger, run, "r1", suspect=suspect)

    assert bool(stored(engine).suspect) is suspect


def test_in_a_restored_ledger_all_that_becomes_pending_is_read_back(ledger, engine):
    run = delivered_rows(ledger, "r1", "r2")
    execute(engine, "update ledgers set restored_at = 1")
    wish(ledger, run, Aim.REPLACE, "r1", to=replacing)
    wish(ledger, run, Aim.REMOVE, "r2")
    gone(ledger, run, "r1", "r2")
    ledger.reflect(run, [(mirrored(ledger, "r2"), replacing("r2"))], [])

    assert [bool(stored(engine, key).suspect) for key in ("r1", "r2")] == [True, True]


def test_a_row_in_doubt_is_not_taken_back_before_it_is_settled(ledger, engine):
    run = staged(ledger, "r1")
    doubted(ledger, run, "r1")
    wish(ledger, run, Aim.REMOVE, "r1")

    assert marked(ledger) == {}
    assert ledger.apply_to_unsent(run) == 0
    assert stored(engine).state == "in_doubt"
    assert ledger.figures(REVIEWS) == Figures(live=1, removed=1, replaced=0)


def test_what_was_never_stored_is_dropped_without_being_asked_for(ledger, engine):
    run = staged(ledger, "r1", "r2", an_invalid_row("r3"))
    wish(ledger, run, Aim.REMOVE, "r1", "r3")

    assert ledger.apply_to_unsent(run) == 2
    assert ledger.apply_to_unsent(run) == 0

    assert states(engine) == {"r1": "removed", "r2": "pending", "r3": "removed"}
    assert changes(engine) == []


def test_a_suspect_row_is_not_dropped_before_it_was_read_back(ledger, engine):
    run = staged(ledger, a_row("r1", suspect=True))
    wish(ledger, run, Aim.REMOVE, "r1")

    assert ledger.apply_to_unsent(run) == 0
    assert states(engine) == {"r1": "pending"}


def test_a_wish_that_holds_no_more_is_dropped_unless_it_was_asked_for(ledger, engine):
    run = delivered_rows(ledger, "r1", "r2")
    wish(ledger, run, Aim.REMOVE, "r1", "r2")
    assert ledger.take_away(run, [Asking(marked(ledger)["r2"])]) == [True]
    ids = [mirrored(ledger, key).known.id for key in ("r1", "r2")]

    ledger.reflect(run, [], [], [], ids)
    assert [row.delivery_id for row in changes(engine)] == [ids[1]]

    assert ledger.drop_changes(run) == 1
    assert mirrored(ledger, "r2").change.asked


def test_a_deletion_is_not_asked_for_without_the_lease(ledger, engine):
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.REMOVE, "r1")
    row = marked(ledger)["r1"]
    forget_holder(engine)
    expire_lease(engine)
    other = begun(ledger)

    (refused,) = ledger.take_away(run, [Asking(row)])

    assert isinstance(refused, LeaseLost)
    assert not mirrored(ledger).change.asked
    assert ledger.take_away(other, [Asking(row)]) == [True]


def test_what_is_gone_is_recorded_whoever_holds_the_activation(ledger, engine):
    """It was asked for by a run that another one has taken over from: a fact all the same, once."""
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.REPLACE, "r1", to=replacing)
    row = marked(ledger)["r1"]
    ledger.take_away(run, [Asking(row)])
    forget_holder(engine)
    expire_lease(engine)
    other = begun(ledger)
    wish(ledger, other, Aim.REMOVE, "r1")  # so says the model by now

    assert ledger.take_away(run, [Gone(row, False)]) == [True]
    assert ledger.take_away(other, [Gone(row, False)]) == [False]
    assert (stored(engine).state, stored(engine).interaction_id) == ("removed", "i-r1")


def test_a_row_that_has_another_interaction_by_now_is_left_alone(ledger, engine):
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.REMOVE, "r1")
    row = marked(ledger)["r1"]
    execute(engine, "update deliveries set interaction_id = 'another'")

    assert ledger.take_away(run, [Asking(row)]) == [False]
    assert ledger.take_away(run, [Gone(row, False)]) == [False]
    assert stored(engine).state == "delivered"


def test_an_approval_covers_what_was_shown_and_nothing_that_was_said_since(ledger):
    run = delivered_rows(ledger, "r1", "r2", "r3")
    wish(ledger, run, Aim.REMOVE, "r1", "r2")
    assert ledger.approve_changes(run, 7) == 2
    wish(ledger, run, Aim.REMOVE, "r1", "r3")  # said again, and said first
    wish(ledger, run, Aim.REPLACE, "r2", to=replacing)  # said otherwise

    assert ledger.figures(REVIEWS) == Figures(3, removed=1, replaced=1, to_send=1)
    assert set(marked(ledger, only_shown=True)) == {"r1"}

    ledger.disapprove_changes(run)
    assert ledger.figures(REVIEWS).removed == 2


def test_what_cannot_be_sent_or_is_about_another_is_told_apart(ledger, engine):
    run = delivered_rows(ledger, "r1", "r2", "r3")
    execute(engine, "update deliveries set about = 'somebody'")
    wish(ledger, run, Aim.REPLACE, "r1", to=replacing)
    wish(ledger, run, Aim.REPLACE, "r2", to=an_invalid_row)
    wish(ledger, run, Aim.REPLACE, "r3", to=lambda key: a_row(key, about="another"))

    figures = ledger.figures(REVIEWS)

    assert (figures.replaced, figures.unlike, figures.to_send) == (3, 2, 2)
    assert ledger.examples(REVIEWS, Aim.REPLACE) == ("r1", "r2", "r3")


def test_what_was_delivered_without_an_id_is_stuck_and_so_is_what_is_refused(ledger, engine):
    run = delivered_rows(ledger, "r1", "r2", "r3")
    execute(engine, "update deliveries set interaction_id = null where row_key = 'r1'")
    wish(ledger, run, Aim.REMOVE, "r1", "r2", "r3")
    rows = marked(ledger)
    ledger.take_away(run, [Asking(rows["r2"]), Asking(rows["r3"])])
    ledger.take_away(run, [Left(rows["r2"], refused="it has started")])

    found = {each.why: (each.rows, each.example, each.words) for each in ledger.stuck(REVIEWS)}

    assert found == {
        "without_id": (1, "r1", None),
        "refused": (1, "r2", "it has started"),
        "unknown": (1, "r3", None),
    }


def test_what_is_left_rests_and_is_there_for_the_next_run(ledger):
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.REMOVE, "r1")
    row = marked(ledger)["r1"]

    ledger.take_away(run, [Left(row, timedelta(minutes=5), missed=True)])

    assert timedelta(minutes=4) < marked(ledger)["r1"].due_in <= timedelta(minutes=5)
    assert mirrored(ledger).change.suspect


def test_what_was_looked_for_and_is_there_is_let_be(ledger):
    run = delivered_rows(ledger, "r1", "r2")
    wish(ledger, run, Aim.LOOK, "r1", to=replacing, suspect=True)
    wish(ledger, run, Aim.REMOVE, "r2")
    rows = marked(ledger)

    ledger.take_away(run, [There(rows["r1"]), There(rows["r2"])])

    assert set(marked(ledger)) == {"r2"}


def test_what_was_looked_for_and_is_not_there_is_sent_after_a_read_back(ledger, engine):
    run = delivered_rows(ledger, "r1")
    wish(ledger, run, Aim.LOOK, "r1", to=replacing)

    assert ledger.take_away(run, [Gone(marked(ledger)["r1"], True)]) == [True]

    row = stored(engine)
    assert (row.state, bool(row.suspect)) == ("pending", True)
    assert decisions(engine) == [("not_there", "delivered", "pending")]


def test_what_is_known_of_rows_is_refreshed_together(ledger, engine):
    run = delivered_rows(ledger, "r1", "r2")
    ids = [mirrored(ledger, key).known.id for key in ("r1", "r2")]

    ledger.reflect(run, [], [], [Refreshed(ids[0], "a", None), Refreshed(ids[1], None, "s")])

    assert [(r.about, r.source) for r in (mirrored(ledger, k) for k in ("r1", "r2"))] == [
        ("a", None),
        (None, "s"),
    ]


def test_rows_that_may_come_to_be_there_are_read_by_pages_of_ids(ledger, monkeypatch):
    monkeypatch.setattr("connector.ledger.mirrored.WINDOW", 2)
    run = delivered_rows(ledger, "r1", "r2", "r3")
    wish(ledger, run, Aim.REMOVE, "r2")
    newest, after, found = ledger.newest_row(), 0, []
    while after < newest:
        page, after = ledger.present(REVIEWS, after, newest)
        assert len(page) <= 2
        found += page

    assert [(row.row_key, row.change) for row in found] == [
        ("r1", None),
        ("r2", Aim.REMOVE),
        ("r3", None),
    ]


def test_what_a_person_took_back_stays_so_when_a_reading_ends(ledger, engine):
    run = delivered_rows(ledger, "r1", "r2")
    wish(ledger, run, Aim.REMOVE, "r1", "r2")
    execute(engine, "update deliveries set state = 'undone' where row_key = 'r1'")

    ledger.end_reading(run)

    assert [row.delivery_id for row in changes(engine)] == [mirrored(ledger, "r2").known.id]
    assert (states(engine)["r1"], set(marked(ledger))) == ("undone", {"r2"})


def test_what_may_be_another_rows_is_not_taken_back_and_a_person_is_told(ledger):
    """The first answer with an id may have been the wrong one."""
    run = staged(ledger, "r1", "r2")
    opened = sent(ledger, run, "r1", "r2")
    ledger.record(run, [closing(opened["r2"], Accepted("i-1", 201))])
    ledger.record(run, [closing(opened["r1"], Accepted("i-1", 201))])

    wish(ledger, run, Aim.REPLACE, "r2", to=replacing)

    assert marked(ledger) == {}
    assert [(each.why, each.rows, each.example) for each in ledger.stuck(REVIEWS)] == [
        ("unsure", 1, "r2")
    ]
