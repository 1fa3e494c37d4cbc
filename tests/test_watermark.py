"""The watermark reads back exactly, never goes back, and never hides a row that is to come."""

# ruff: noqa: DTZ001, DTZ901 -- times without a zone are one kind of cursor

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.errors import ConfigurationError
from connector.watermark import (
    DEFAULT_OVERLAP,
    TIMES,
    Kind,
    Watermark,
    advance,
    from_text,
    history_floor,
    kind_of_value,
    read_from,
    to_text,
)
from tests.factories import STOCKHOLM, an_activation

some = settings(deadline=None, max_examples=200)

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ORDERED = [kind for kind in Kind if kind is not Kind.TEXT]

offsets = st.integers(-14 * 60, 14 * 60).map(lambda n: timezone(timedelta(minutes=n)))
zones = st.sampled_from([None, STOCKHOLM, ZoneInfo("America/New_York"), ZoneInfo("UTC")])
cursors = {
    Kind.LOCAL_TIME: st.datetimes(),
    Kind.INSTANT: st.datetimes(timezones=offsets | st.just(UTC)),
    Kind.DATE: st.dates(),
    Kind.INTEGER: st.integers(-(2**127), 2**127),
    Kind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False)
    | st.decimals(min_value=-(10**38), max_value=10**38, places=4),
    Kind.TEXT: st.text(),
}
near_now = {
    Kind.LOCAL_TIME: st.datetimes(datetime(2026, 6, 1), datetime(2026, 8, 1)),
    Kind.INSTANT: st.datetimes(datetime(2026, 6, 1), datetime(2026, 8, 1), timezones=offsets),
    Kind.DATE: st.dates(date(2026, 6, 1), date(2026, 8, 1)),
}


def of(*kinds: Kind, number: int = 1):
    """A kind, and `number` cursor values of it."""
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.tuples(
            st.just(kind), *[near_now.get(kind, cursors[kind]) | cursors[kind]] * number
        )
    )


def at(value, kind=None, floor=None) -> Watermark:
    """The watermark of a cursor that stands at `value`."""
    return Watermark("at", kind or kind_of_value(value, "at", "reviews"), value, floor)


def now_as(kind, zone):
    """What a cursor of `kind` shows now."""
    local = NOW.astimezone(zone or UTC)
    shown = {Kind.LOCAL_TIME: local.replace(tzinfo=None), Kind.DATE: local.date()}
    return shown.get(kind, NOW)


# --- kinds and their text ------------------------------------------------------------------------


@settings(deadline=None, max_examples=400)
@given(of(*Kind))
@example((Kind.DECIMAL, Decimal("1E+5")))
@example((Kind.DECIMAL, Decimal("4.00")))
@example((Kind.LOCAL_TIME, datetime.min))
def test_every_position_is_read_back_exactly(case):
    kind, value = case

    back = from_text(kind, to_text(value))

    assert back == value
    assert type(back) is type(value)
    assert kind_of_value(back, "at", "reviews") is kind


@some
@given(of(*Kind))
def test_the_kind_of_a_cursor_is_seen_from_its_values(case):
    kind, value = case

    assert kind_of_value(value, "at", "reviews") is kind


@pytest.mark.parametrize(
    "value", [True, 1.5, float("nan"), Decimal("NaN"), None, b"x", [], timedelta(1)]
)
def test_what_has_no_dependable_order_is_no_cursor(value):
    with pytest.raises(ConfigurationError, match="the cursor at holds") as error:
        kind_of_value(value, "at", "reviews")

    assert error.value.problems[0].path == ("activations", "reviews", "cursor")


def test_a_position_is_text_for_people_and_none_before_the_first_row():
    assert at(datetime(2026, 1, 31, 12)).text == "2026-01-31 12:00:00"
    assert Watermark("at").text is None


# --- advancing -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=400)
@given(of(*ORDERED, number=2), zones)
def test_the_watermark_never_goes_back(case, zone):
    kind, before, position = case

    after = advance(at(before, kind), position, NOW, zone)

    assert after.value >= before


@settings(deadline=None, max_examples=400)
@given(of(*TIMES, number=1), zones)
def test_a_row_from_the_future_does_not_hide_what_comes_before_it(case, zone):
    kind, position = case

    after = advance(Watermark("at", kind), position, NOW, zone)

    assert after.value == min(position, now_as(kind, zone))


@some
@given(of(*ORDERED, number=2), zones)
def test_the_watermark_never_passes_the_position_that_was_recorded(case, zone):
    kind, before, position = case

    after = advance(at(before, kind), position, NOW, zone)

    assert after.value <= max(before, position)


@some
@given(of(*Kind, number=2), zones)
def test_nothing_but_the_position_changes(case, zone):
    kind, before, position = case
    mark = at(before, kind, floor=before)

    after = advance(mark, position, NOW, zone)

    assert replace(after, value=before) == mark
    assert advance(after, position, NOW, zone) == after


@some
@given(of(*Kind))
def test_a_batch_without_a_position_moves_nothing(case):
    kind, value = case

    assert advance(at(value, kind), None, NOW, STOCKHOLM) == at(value, kind)


def test_now_is_what_the_clocks_of_the_cursors_zone_show():
    later_here = datetime(2026, 7, 1, 13, 59)

    assert advance(at(datetime.min), later_here, NOW, STOCKHOLM).value == later_here
    assert advance(at(datetime.min), later_here, NOW, None).value == datetime(2026, 7, 1, 12)


# --- where a run reads from ----------------------------------------------------------------------


@settings(deadline=None, max_examples=400)
@given(of(*Kind))
@example((Kind.DATE, date.min))
@example((Kind.LOCAL_TIME, datetime.min))
@example((Kind.INSTANT, datetime.min.replace(tzinfo=UTC)))
def test_a_run_never_reads_from_behind_its_watermark(case):
    kind, value = case

    lower = read_from(an_activation(cursor="at"), at(value, kind), STOCKHOLM)

    assert type(lower) is type(value)
    assert lower <= value


@some
@given(of(Kind.INTEGER, Kind.DECIMAL), st.integers(0, 10**40))
@example((Kind.DECIMAL, Decimal("9" * 38)), 1000)
@example((Kind.DECIMAL, Decimal("9" * 38)), 1)
def test_an_overlap_of_numbers_is_never_rounded_away(case, overlap):
    kind, value = case
    activation = an_activation(cursor={"column": "at", "overlap": overlap})

    lower = read_from(activation, at(value, kind), None)

    assert lower == value if overlap == 0 else lower < value


@some
@given(of(Kind.LOCAL_TIME, Kind.INSTANT), st.integers(1, 10**6))
def test_an_overlap_of_times_is_as_long_as_it_says(case, seconds):
    kind, value = case
    activation = an_activation(cursor={"column": "at", "overlap": f"{seconds}s"})

    lower = read_from(activation, at(value, kind), STOCKHOLM)

    assert value - lower == timedelta(seconds=seconds) or lower.replace(tzinfo=None) == datetime.min


@pytest.mark.parametrize(
    ("overlap", "days"), [("1s", 1), ("1d", 1), ("25h", 2), ("36h", 2), ("3d", 3), (0, 0)]
)
def test_an_overlap_of_dates_counts_every_day_that_is_begun(overlap, days):
    activation = an_activation(cursor={"column": "at", "overlap": overlap})

    lower = read_from(activation, at(date(2026, 7, 10)), STOCKHOLM)

    assert lower == date(2026, 7, 10 - days)


@pytest.mark.parametrize("kind", DEFAULT_OVERLAP)
def test_rows_that_commit_late_are_read_without_being_asked_for(kind):
    value = {
        Kind.LOCAL_TIME: datetime(2026, 7, 1, 12),
        Kind.INSTANT: NOW,
        Kind.DATE: date(2026, 7, 1),
        Kind.INTEGER: 5000,
        Kind.DECIMAL: Decimal(5000),
    }[kind]

    assert read_from(an_activation(cursor="at"), at(value), STOCKHOLM) < value


@pytest.mark.parametrize(
    ("value", "overlap", "hint"),
    [
        (NOW, 5, "use a duration"),
        (datetime(2026, 7, 1), 5, "use a duration"),
        (date(2026, 7, 1), 5, "use a duration"),
        (5, "1h", "use a whole number"),
        (Decimal(5), "1h", "use a whole number"),
        ("abc", "1h", "a text cursor has no overlap"),
        ("abc", 5, "a text cursor has no overlap"),
    ],
)
def test_an_overlap_that_does_not_go_with_the_cursor_is_an_error(value, overlap, hint):
    activation = an_activation(cursor={"column": "at", "overlap": overlap})

    with pytest.raises(ConfigurationError, match=hint) as error:
        read_from(activation, at(value), STOCKHOLM)

    assert error.value.problems[0].path == ("activations", "reviews", "cursor", "overlap")


def test_before_the_first_row_everything_is_read():
    activation = an_activation(cursor="at")

    assert read_from(activation, Watermark("at"), STOCKHOLM) is None
    assert read_from(activation, Watermark("at", Kind.INTEGER), STOCKHOLM) is None


def test_without_a_cursor_everything_is_read():
    assert read_from(an_activation(), Watermark(), STOCKHOLM) is None


# --- start ---------------------------------------------------------------------------------------


@some
@given(of(*TIMES), st.datetimes(datetime(1970, 1, 2), timezones=offsets), zones)
def test_nothing_before_the_start_is_ever_read(case, start, zone):
    kind, value = case
    activation = an_activation(cursor="at", start=start)
    local = start.astimezone(zone or UTC)
    shown = {Kind.LOCAL_TIME: local.replace(tzinfo=None), Kind.DATE: local.date()}
    floor = shown.get(kind, start)

    first = read_from(activation, Watermark("at", kind), zone)
    later = read_from(activation, at(value, kind), zone)

    assert first == floor
    assert floor <= later <= max(value, floor)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("kind", TIMES)
def test_a_start_at_the_end_of_the_calendar_is_a_start(kind, moment):
    activation = an_activation(cursor="at", start=moment)

    for zone in ("America/New_York", "Asia/Tokyo"):
        assert read_from(activation, Watermark("at", kind), ZoneInfo(zone)) is not None


@pytest.mark.parametrize("value", [5, Decimal(5), "abc"])
def test_a_start_in_time_does_not_go_with_a_cursor_that_is_none(value):
    activation = an_activation(cursor="at", start="2026-01-01T00:00:00Z")

    with pytest.raises(ConfigurationError, match="start is a time") as error:
        read_from(activation, at(value), STOCKHOLM)

    assert error.value.problems[0].path == ("activations", "reviews", "start")


@some
@given(of(*Kind), zones)
def test_start_now_takes_what_is_there_as_history(case, zone):
    kind, highest = case

    mark = history_floor(highest, Watermark("at", kind), NOW, zone)

    assert mark.floor == (min(highest, now_as(kind, zone)) if kind in TIMES else highest)
    assert read_from(an_activation(cursor="at", start="now"), mark, zone) == mark.floor


@some
@given(of(*ORDERED, number=2), zones)
def test_history_stays_history_however_far_a_run_reads_back(case, zone):
    kind, highest, position = case
    activation = an_activation(cursor="at", start="now")
    mark = history_floor(highest, Watermark("at", kind), NOW, zone)

    after = advance(mark, max(position, mark.floor), NOW, zone)

    assert read_from(activation, after, zone) >= mark.floor


@pytest.mark.parametrize("start", ["all", "now"])
def test_a_floor_survives_a_change_of_start(start):
    activation = an_activation(cursor="at", start=start)

    assert read_from(activation, at(5000, floor=4900), STOCKHOLM) == 4900
