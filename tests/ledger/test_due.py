"""What may be tried now, in what order, and what rests."""

from datetime import UTC, datetime, timedelta

from connector.ledger.decisions import Person, Retried
from connector.rules.delivery import NotApplied, Refused, State
from tests.ledger.factories import (
    REVIEWS,
    a_mark,
    a_row,
    an_invalid_row,
    answered,
    begun,
    closing,
    content_of,
    delivered,
    doubted,
    due,
    execute,
    refused,
    sent,
    staged,
    waits,
)

HOUR = timedelta(hours=1)


def test_rows_are_due_in_the_order_in_which_they_were_staged(ledger):
    run = staged(ledger, "r3", "r1")
    ledger.stage(run, [a_row("r2"), a_row("r0")], [], a_mark(2), begun=True)

    assert list(due(ledger)) == ["r3", "r1", "r2", "r0"]


def test_pages_follow_each_other_without_a_gap_or_a_row_twice(ledger):
    keys = [f"r{number}" for number in range(25)]
    staged(ledger, *keys)

    pages: list[list[str]] = []
    after = 0
    while len(pages) < 9 and (page := ledger.due(REVIEWS, State.PENDING, after, 10)):
        pages.append([row.row_key for row in page])
        after = page[-1].id

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [key for page in pages for key in page] == keys


def test_a_page_goes_on_behind_rows_that_left_meanwhile(ledger):
    run = staged(ledger, "r1", "r2", "r3", "r4")
    first = ledger.due(REVIEWS, State.PENDING, 0, 2)
    delivered(ledger, run, "r1")
    sent(ledger, run, "r2")

    rest = ledger.due(REVIEWS, State.PENDING, first[-1].id, 10)

    assert [row.row_key for row in rest] == ["r3", "r4"]


def test_a_due_row_carries_all_that_is_needed_to_send_it(ledger):
    run = staged(ledger, "r1")
    answered(ledger, run, "r1", NotApplied("busy", 429))

    row = due(ledger)["r1"]

    assert (row.state, row.attempt, row.contact) == (State.PENDING, 1, "anna@example.com")
    assert row.payload == content_of(a_row()).payload.decode()
    assert datetime.fromisoformat(row.created_date).tzinfo is not None
    assert row.waited is None


def test_rows_of_other_activations_and_states_are_not_due(ledger):
    run = staged(ledger, "pending", "delivered", "in_doubt", "rejected", an_invalid_row("invalid"))
    delivered(ledger, run, "delivered")
    doubted(ledger, run, "in_doubt")
    ledger.record(run, [refused(due(ledger)["rejected"])])
    other = begun(ledger, "another")
    ledger.stage(other, [a_row("elsewhere")], [], a_mark(), begun=True)

    assert due(ledger).keys() == {"pending"}


def test_attempts_are_counted_that_were_in_vain_for_what_is_to_be_sent_now(ledger):
    """Not those of before it was refused and a person tried it again."""
    run = staged(ledger, "r1", "r2")
    counted = list[int]()
    for _ in range(2):
        answered(ledger, run, "r1", NotApplied("busy", 429))
        counted.append(due(ledger)["r1"].in_vain)
    answered(ledger, run, "r1", Refused("no", 400))
    again = Retried(ledger.cases(REVIEWS, ["r1"])["r1"], content_of(a_row("r1")))
    ledger.decide(run, Person("anna"), [again])
    counted.append(due(ledger)["r1"].in_vain)
    answered(ledger, run, "r1", NotApplied("busy", 429))

    assert counted == [1, 2, 0]
    assert (due(ledger)["r1"].in_vain, due(ledger)["r1"].attempt) == (1, 4)
    assert due(ledger)["r2"].in_vain == 0


def test_a_resting_row_is_not_due_and_says_when_it_will_be(ledger, engine):
    run = staged(ledger, "r1", "r2")
    opened = sent(ledger, run, "r1")["r1"]
    assert ledger.next_due(REVIEWS) is None
    rests(ledger, run, opened)

    assert due(ledger).keys() == {"r2"}
    assert timedelta(minutes=59) < ledger.next_due(REVIEWS) <= HOUR

    execute(engine, "update deliveries set due_at = 1 where row_key = 'r1'")
    assert due(ledger).keys() == {"r1", "r2"}
    assert ledger.next_due(REVIEWS) == timedelta(0)


def test_what_rests_since_the_clock_was_ahead_is_due_once_that_is_put_back(ledger, engine):
    """It would rest for as long as that was, though its contact is there by now."""
    run = staged(ledger, "r1", "r2", "r3")
    assert ledger.record(run, [waits(due(ledger)["r2"])]) == [True]
    rests(ledger, run, sent(ledger, run, "r1")["r1"])
    rests(ledger, run, sent(ledger, run, "r3")["r3"])
    assert not due(ledger)
    month = 30 * 86_400_000
    ahead = f"due_at = due_at + {month}, changed_at = changed_at + {month}"
    execute(engine, f"update deliveries set {ahead} where row_key in ('r1', 'r2')")

    assert due(ledger).keys() == {"r1"}
    assert due(ledger, State.WAITING).keys() == {"r2"}
    assert ledger.next_due(REVIEWS) <= HOUR  # of the third
    assert ledger.next_due(REVIEWS, later=True) <= HOUR


def test_a_wait_that_began_while_the_clock_was_ahead_begins_once_that_is_put_back(ledger, engine):
    """It would last longer by as long as that was."""
    run = staged(ledger, "r1", "r2")
    for key in ("r1", "r2"):
        assert ledger.record(run, [waits(due(ledger)[key])]) == [True]
    began = "update deliveries set due_at = 1, changed_at = 1, waiting_since = waiting_since"
    execute(engine, f"{began} - 86400000 where row_key = 'r1'")
    execute(engine, f"{began} + 86400000 where row_key = 'r2'")

    again = due(ledger, State.WAITING)
    assert ledger.record(run, [waits(again[key]) for key in ("r1", "r2")]) == [True, True]

    execute(engine, "update deliveries set due_at = 1")
    again = due(ledger, State.WAITING)
    lasted = [again[key].waited or 0 for key in ("r1", "r2")]
    assert lasted[0] >= 86_400_000
    assert 0 <= lasted[1] < 3_600_000


def rests(ledger, run, opened, span=HOUR):
    outcome = NotApplied("slow down", 429, span, busy=True)
    assert ledger.record(run, [closing(opened, outcome, span)]) == [True]


def test_the_first_resting_row_counts(ledger):
    run = staged(ledger, "r1", "r2")
    opened = sent(ledger, run, "r1", "r2")
    rests(ledger, run, opened["r1"], HOUR)
    rests(ledger, run, opened["r2"], timedelta(minutes=5))

    assert timedelta(minutes=4) < ledger.next_due(REVIEWS) <= timedelta(minutes=5)


def test_a_waiting_row_is_due_when_its_contact_is_to_be_looked_up_again(ledger):
    run = staged(ledger, "r1", "r2")
    rows = due(ledger)
    ledger.record(run, [waits(rows["r1"], HOUR), waits(rows["r2"], timedelta(0))])

    assert due(ledger) == {}
    assert due(ledger, State.WAITING).keys() == {"r2"}
    assert due(ledger, State.WAITING)["r2"].waited is not None
    assert ledger.next_due(REVIEWS) is None


def test_a_moment_may_be_given_up_to_which_rows_are_due(ledger):
    run = staged(ledger, "r1")
    earlier = datetime.now(UTC) - timedelta(seconds=30)
    ledger.record(run, [waits(due(ledger)["r1"], timedelta(0))])

    assert ledger.due(REVIEWS, State.WAITING, 0, 10, before=earlier) == []
    assert len(ledger.due(REVIEWS, State.WAITING, 0, 10, before=earlier + HOUR)) == 1


def test_counts_say_how_many_rows_stand_where_and_leave_delivered_ones_out(ledger):
    run = staged(ledger, "r1", "r2", "r3", "r4", "r5", an_invalid_row("r6"))
    delivered(ledger, run, "r1")
    doubted(ledger, run, "r2")
    ledger.record(run, [waits(due(ledger)["r3"])])

    assert ledger.counts(REVIEWS) == {
        State.IN_DOUBT: 1,
        State.WAITING: 1,
        State.PENDING: 2,
        State.INVALID: 1,
    }
    assert ledger.counts("another") == {}
