"""Staging: rows and watermark together, each row once, and what a known row may become."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from connector.ledger.records import Staged, Tally
from connector.rules.delivery import Refused, State
from connector.rules.errors import LedgerUnavailable
from connector.rules.interaction import Interaction
from connector.rules.watermark import Kind, Watermark
from tests.ledger.factories import (
    CONTACT,
    REVIEWS,
    SECRET,
    a_mark,
    a_row,
    an_invalid_row,
    answered,
    begun,
    content_of,
    delivered,
    doubted,
    due,
    execute,
    only,
    refused,
    select,
    sent,
    staged,
    states,
    stored,
    waits,
)

A_MOMENT = timedelta(milliseconds=5)  # the database rounds


def next_run(ledger, run):
    ledger.finish(run, "succeeded", Tally(), None)
    return begun(ledger)


def stage_again(ledger, run, row):
    """Stage `row` as a correction of what is known under its key."""
    known = ledger.known(REVIEWS, [row.row_key])[row.row_key]
    ledger.stage(run, [], [(known, row)], a_mark(2), begun=True)


def test_a_row_that_can_be_sent_is_pending_with_all_that_will_be_sent(ledger, engine):
    run = staged(ledger, a_row("r1"))

    row = stored(engine)
    assert (row.state, row.attempt, row.run_id) == ("pending", 0, run.run_id)
    assert (row.contact, row.payload) == (CONTACT, f'{{"text": "{SECRET}"}}')
    assert row.digest == content_of(a_row("r1")).digest
    assert (row.reason, row.due_at, row.contact_id, row.interaction_id) == (None,) * 4


def test_an_interaction_without_a_time_gets_the_time_of_staging(ledger, engine):
    before = datetime.now(UTC)
    staged(ledger, a_row("r1"), Staged("r2", Interaction(CONTACT, "2026-01-01T00:00:00Z", b"{}")))

    created = datetime.fromisoformat(stored(engine, "r1").created_date)
    assert before - A_MOMENT < created < datetime.now(UTC) + A_MOMENT
    assert stored(engine, "r2").created_date == "2026-01-01T00:00:00Z"


def test_an_invalid_row_is_kept_with_its_reason_and_nothing_private(ledger, engine):
    staged(ledger, an_invalid_row(reason="rating: missing"))

    row = stored(engine)
    assert (row.state, row.reason) == ("invalid", "rating: missing")
    assert (row.contact, row.payload, row.digest, row.created_date) == (None,) * 4


@pytest.mark.parametrize("row", [a_row(history=True), Staged("r1", an_invalid_row().content, True)])
def test_history_is_recorded_without_its_content_and_never_sent(ledger, engine, row):
    staged(ledger, row)

    found = stored(engine)
    assert (found.state, found.contact, found.payload) == ("discarded", None, None)
    assert found.reason == "stood in the model before the activation started"
    assert due(ledger) == {}


def test_a_row_key_and_a_payload_may_hold_any_text(ledger, engine):
    key = "ö|'\"\\ %s :x {} \u2028 \U0001f600"
    payload = b'{"text": "\\u0000 \\ud83d\\ude00 :x %s"}'
    staged(ledger, Staged(key, Interaction(CONTACT, None, payload)))

    assert ledger.known(REVIEWS, [key]).keys() == {key}
    assert due(ledger)[key].payload == payload.decode()


def test_known_rows_are_found_among_thousands_of_keys(ledger):
    staged(ledger, "r1", "r2")

    keys = [f"r{number}" for number in range(2, 3000)]
    assert ledger.known(REVIEWS, keys).keys() == {"r2"}
    assert ledger.known("another", keys) == {}
    assert ledger.known(REVIEWS, []) == {}


def test_what_is_known_of_a_row_has_its_content_until_that_is_gone(ledger):
    run = staged(ledger, "refused", "delivered", an_invalid_row("invalid"))
    ledger.record(run, [refused(due(ledger)["refused"])])
    delivered(ledger, run, "delivered")

    known = ledger.known(REVIEWS, ["refused", "delivered", "invalid"])

    content = content_of(a_row())
    assert (known["refused"].contact, known["refused"].payload) == (
        content.contact,
        content.payload.decode(),
    )
    for key in ("delivered", "invalid"):
        assert (known[key].contact, known[key].payload) == (None, None)


# --- together or not at all -----------------------------------------------------------------------


def test_the_watermark_moves_with_the_rows(ledger):
    run = begun(ledger)
    assert ledger.watermark(REVIEWS) == (Watermark(), False)

    ledger.stage(run, [a_row("r1")], [], a_mark(7), begun=False)

    assert ledger.watermark(REVIEWS) == (a_mark(7), False)


def test_when_one_row_cannot_be_recorded_neither_are_the_others_nor_the_watermark(ledger, engine):
    run = begun(ledger)
    ledger.stage(run, [a_row("r1")], [], a_mark(1), begun=False)
    impossible = Staged(None, a_row().content)  # type: ignore[arg-type]

    with pytest.raises(Exception, match="row_key"):
        ledger.stage(run, [a_row("r2"), impossible, a_row("r3")], [], a_mark(3), begun=True)

    assert states(engine) == {"r1": "pending"}
    assert ledger.watermark(REVIEWS) == (a_mark(1), False)


def test_when_the_watermark_cannot_be_moved_no_row_is_recorded(ledger, engine):
    run = begun(ledger)
    execute(engine, "alter table watermarks rename column floor to ceiling")

    with pytest.raises(LedgerUnavailable):
        ledger.stage(run, [a_row("r1")], [], a_mark(3), begun=True)

    assert states(engine) == {}


def test_that_a_model_was_read_to_its_end_is_never_forgotten(ledger, engine):
    run = begun(ledger)
    ledger.stage(run, [], [], a_mark(1), begun=True)
    first = only(engine, "select begun_at from watermarks")
    ledger.stage(run, [], [], a_mark(2), begun=False)
    ledger.stage(run, [], [], a_mark(3), begun=True)

    assert ledger.watermark(REVIEWS) == (a_mark(3), True)
    assert only(engine, "select begun_at from watermarks") == first


@pytest.mark.parametrize(
    "mark",
    [
        Watermark("id", Kind.INTEGER, 2**70, -1),
        Watermark("at", Kind.LOCAL_TIME, datetime(2026, 1, 2, 3, 4, 5, 678901)),  # noqa: DTZ001
        Watermark("at", Kind.INSTANT, datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1)))),
        Watermark(
            "at", Kind.INSTANT, datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
        ),
        Watermark("on", Kind.DATE, date(2026, 2, 28), date(2026, 1, 1)),
        Watermark("amount", Kind.DECIMAL, Decimal("12345678901234567890.000100")),
        Watermark("name", Kind.TEXT, "Ö'\"\\ \U0001f600"),
        Watermark("empty", None, None),
        Watermark(),
    ],
    ids=str,
)
def test_a_watermark_comes_back_as_it_was(ledger, mark):
    run = begun(ledger)
    ledger.stage(run, [], [], mark, begun=False)

    found, _ = ledger.watermark(REVIEWS)

    assert found == mark
    assert str(found.value) == str(mark.value)


# --- a row that is known --------------------------------------------------------------------------


def test_a_known_row_is_not_recorded_twice_and_keeps_its_body(ledger, engine):
    run = staged(ledger, "r1")
    before = tuple(stored(engine))

    ledger.stage(next_run(ledger, run), [a_row("r1", "changed")], [], a_mark(2), begun=True)

    assert tuple(stored(engine)) == before


def in_state(ledger, run, state):
    """A row r1 in `state`."""
    match state:
        case State.PENDING:
            pass
        case State.SENDING:
            sent(ledger, run, "r1")
        case State.DELIVERED:
            delivered(ledger, run, "r1")
        case State.IN_DOUBT:
            doubted(ledger, run, "r1")
        case State.WAITING:
            ledger.record(run, [waits(due(ledger)["r1"])])


@pytest.mark.parametrize("row", [a_row("r1", "changed"), an_invalid_row("r1")])
@pytest.mark.parametrize(
    "state", [State.PENDING, State.SENDING, State.DELIVERED, State.IN_DOUBT, State.WAITING]
)
def test_a_correction_does_not_touch_a_row_that_was_not_refused(ledger, engine, state, row):
    run = staged(ledger, "r1")
    in_state(ledger, run, state)
    before = tuple(stored(engine))

    stage_again(ledger, run, row)

    assert tuple(stored(engine)) == before
    assert before[3] == state


def test_an_invalid_row_that_was_corrected_is_pending(ledger, engine):
    run = staged(ledger, an_invalid_row("r1"))
    run = next_run(ledger, run)

    stage_again(ledger, run, a_row("r1"))

    row = stored(engine)
    assert (row.state, row.reason, row.run_id) == ("pending", None, run.run_id)
    assert row.payload == content_of(a_row()).payload.decode()
    assert due(ledger).keys() == {"r1"}


def test_an_invalid_row_that_is_invalid_for_another_reason_says_the_new_one(ledger, engine):
    run = staged(ledger, an_invalid_row("r1", "rating: missing"))

    stage_again(ledger, run, an_invalid_row("r1", "sku: missing"))

    assert (stored(engine).state, stored(engine).reason) == ("invalid", "sku: missing")


def test_a_rejected_row_that_was_corrected_is_sent_again_as_a_new_attempt(ledger, engine):
    run = staged(ledger, "r1")
    answered(ledger, run, "r1", Refused("sku unknown", 400))
    run = next_run(ledger, run)

    stage_again(ledger, run, a_row("r1", "corrected"))

    row = stored(engine)
    assert (row.state, row.reason, row.contact_id, row.attempt) == ("pending", None, None, 1)
    assert sent(ledger, run, "r1")["r1"].number == 2


def test_a_rejected_row_that_no_longer_fits_is_invalid_and_holds_nothing_private(ledger, engine):
    run = staged(ledger, "r1")
    ledger.record(run, [refused(due(ledger)["r1"])])

    stage_again(ledger, run, an_invalid_row("r1"))

    row = stored(engine)
    assert (row.state, row.reason) == ("invalid", "rating: missing")
    assert (row.contact, row.contact_id, row.payload) == (None, None, None)


def test_a_correction_that_comes_after_somebody_decided_moves_nothing(ledger, engine):
    run = staged(ledger, an_invalid_row("r1"))
    known = ledger.known(REVIEWS, ["r1"])["r1"]
    execute(engine, "update deliveries set state = 'discarded', reason = 'by hand'")

    ledger.stage(run, [], [(known, a_row("r1"))], a_mark(2), begun=True)

    assert (stored(engine).state, stored(engine).reason) == ("discarded", "by hand")


def test_two_activations_may_have_the_same_row_key(ledger, engine):
    staged(ledger, "r1")
    other = begun(ledger, "another")
    ledger.stage(other, [a_row("r1")], [], a_mark(), begun=True)

    found = select(engine, "select activation from deliveries order by activation")
    assert [row.activation for row in found] == ["another", "reviews"]


def test_a_refused_row_that_becomes_history_is_no_longer_suspect(ledger, engine):
    run = staged(ledger, an_invalid_row("r1"))
    execute(engine, "update deliveries set suspect = true")
    known = ledger.known(REVIEWS, ["r1"])["r1"]

    ledger.stage(run, [], [(known, a_row("r1", history=True))], a_mark(2), begun=True)

    assert (stored(engine).state, stored(engine).suspect) == ("discarded", None)
