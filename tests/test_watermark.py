"""The watermark reads back exactly, never goes back, and never hides a row that is to come."""

# ruff: noqa: DTZ001, DTZ901 -- times without a zone are one kind of cursor

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from connector.rules.errors import ConfigurationError
from connector.rules.walltime import lowest_shown
from connector.rules.watermark import (
    CLOCKS_APART,
    DEFAULT_OVERLAP,
    TIMES,
    Kind,
    Watermark,
    advance,
    converted,
    end_of_past,
    floor_is_to_come,
    from_text,
    history_floor,
    is_to_come,
    kind_of_value,
    read_from,
    shape,
    to_text,
)
from tests.factories import STOCKHOLM, an_activation

NOW, LATEST = datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(9999, 12, 1, tzinfo=UTC)
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


texts = ("2026-07-01T12:03:00Z", "2026-07-01 14:03", "2026-07-01 12:03:00+00", "2026-07-02")
just_then = st.sampled_from([(Kind.TEXT, text) for text in texts])


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
    """What a cursor of `kind` shows now; where no zone is known, in the west, where it is least."""
    local = NOW.astimezone(zone or timezone(timedelta(hours=-12)))
    shown = {Kind.LOCAL_TIME: local.replace(tzinfo=None), Kind.DATE: local.date()}
    return shown.get(kind, NOW)


# --- kinds and their text ------------------------------------------------------------------------


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


@given(of(*ORDERED, number=2), zones)
def test_the_watermark_never_goes_back(case, zone):
    kind, before, position = case

    after = advance(at(before, kind), [position], NOW, zone)

    assert after.value >= before


@given(of(*TIMES, number=1), zones)
def test_a_row_from_the_future_moves_nothing_until_its_time_comes(case, zone):
    kind, position = case

    after = advance(Watermark("at", kind), [position], NOW, zone)

    assert after.value == (position if position <= now_as(kind, zone) else None)


@given(
    of(*TIMES, number=6),
    zones,
)
def test_the_watermark_is_the_newest_place_read_that_is_not_in_the_future(case, zone):
    kind, *positions = case
    positions.sort()
    past = [position for position in positions if position <= now_as(kind, zone)]

    after = advance(Watermark("at", kind), positions, NOW, zone)

    assert after.value == (past[-1] if past else None)


WAYS = [("%Y-%m-%d", ""), ("%Y-%m-%d %H:%M:%S", ""), ("%Y-%m-%dT%H:%M", "Z"),
        ("%Y-%m-%dT%H:%M:%S", "+02:00"), ("%Y-%m-%d %H:%M", "-0930")]  # fmt: skip


@given(st.lists(near_now[Kind.LOCAL_TIME], min_size=1), st.sampled_from(WAYS), zones)
def test_texts_that_are_times_are_in_the_future_as_times_are(moments, way, zone):
    form, suffix = way
    texts = sorted(moment.strftime(form) + suffix for moment in moments)
    offset = datetime.fromisoformat(f"2026-07-01T00:00{suffix}").tzinfo
    there = NOW.astimezone(offset or zone or timezone(timedelta(hours=-12)))
    past = [text for text in texts if text <= there.strftime(form) + suffix]

    after = advance(Watermark("at", Kind.TEXT), texts, NOW, zone)

    assert after.value == (past[-1] if past else None)


def test_offsets_that_change_in_summer_are_compared_as_instants():
    texts = ["2026-07-01T13:30:00+02:00", "2026-07-01T13:30:00-01:00", "2026-07-01T13:31:00+02:00"]

    assert advance(Watermark("at", Kind.TEXT), texts, NOW, None).value == texts[2]
    assert advance(Watermark("at", Kind.TEXT), texts[:2], NOW, None).value == texts[0]


@pytest.mark.parametrize("text", ["2026-02-30", "2026-06-01 24:00:00", "0000-00-00 00:00:00"])
def test_a_text_that_is_written_like_a_time_and_is_none_is_never_a_watermark(text):
    activation = an_activation(cursor="at")
    good = "2026-06-01" if len(text) == 10 else "2026-06-01 10:00:00"

    assert advance(Watermark("at", Kind.TEXT), [good, text], NOW, STOCKHOLM).value == good
    assert read_from(activation, at(text), STOCKHOLM) == text


@pytest.mark.parametrize("value", [5, Decimal("5.5"), "abc"])
def test_what_is_no_time_is_never_in_the_future(value):
    mark = Watermark("at", kind_of_value(value, "at", "reviews"))

    assert advance(mark, [value], NOW, STOCKHOLM).value == value
    assert not is_to_come(at(value), NOW, STOCKHOLM)


def test_a_watermark_in_the_future_is_known_as_such():
    an_hour = timedelta(hours=1)

    assert is_to_come(at(NOW + an_hour), NOW, STOCKHOLM)
    assert not is_to_come(at(NOW - an_hour), NOW, STOCKHOLM)
    assert is_to_come(at(datetime(2026, 7, 1, 14, 1)), NOW, STOCKHOLM)
    assert not is_to_come(at(datetime(2026, 7, 1, 14, 1)), NOW, ZoneInfo("Asia/Tokyo"))
    assert not is_to_come(at(datetime(2026, 7, 2, 1)), NOW, None)  # it has come somewhere
    assert is_to_come(at("2026-07-01T12:01Z"), NOW, None)


@given(of(*ORDERED, number=2), zones)
def test_the_watermark_never_passes_the_position_that_was_recorded(case, zone):
    kind, before, position = case

    after = advance(at(before, kind), [position], NOW, zone)

    assert after.value <= max(before, position)


@given(of(*Kind, number=2), zones)
def test_nothing_but_the_position_changes(case, zone):
    kind, before, position = case
    mark = at(before, kind, floor=before)

    after = advance(mark, [position], NOW, zone)

    assert replace(after, value=before) == mark
    assert advance(after, [position], NOW, zone) == after


@given(of(*Kind))
def test_a_batch_without_a_position_moves_nothing(case):
    kind, value = case

    assert advance(at(value, kind), [], NOW, STOCKHOLM) == at(value, kind)


def test_now_is_what_the_clocks_of_the_cursors_zone_show():
    later_here = datetime(2026, 7, 1, 13, 59)

    assert advance(at(datetime.min), [later_here], NOW, STOCKHOLM).value == later_here
    assert advance(at(datetime.min), [later_here], NOW, None).value == datetime.min


# --- where a run reads from ----------------------------------------------------------------------


@given(of(*Kind))
@example((Kind.DATE, date.min))
@example((Kind.LOCAL_TIME, datetime.min))
@example((Kind.INSTANT, datetime.min.replace(tzinfo=UTC)))
def test_a_run_never_reads_from_behind_its_watermark(case):
    kind, value = case

    lower = read_from(an_activation(cursor="at"), at(value, kind), STOCKHOLM)

    assert lower is not None
    assert type(lower) is type(value)
    assert lower <= value  # texts that are times are cut, which sorts before them


@given(of(Kind.INTEGER, Kind.DECIMAL), st.integers(0, 10**40))
@example((Kind.DECIMAL, Decimal("9" * 38)), 1000)
@example((Kind.DECIMAL, Decimal("9" * 38)), 1)
def test_an_overlap_of_numbers_is_never_rounded_away(case, overlap):
    kind, value = case
    activation = an_activation(cursor={"column": "at", "overlap": overlap})

    lower = read_from(activation, at(value, kind), None)

    assert lower == value if overlap == 0 else lower < value


@given(of(Kind.LOCAL_TIME, Kind.INSTANT), st.integers(1, 10**6))
def test_an_overlap_of_times_is_as_long_as_it_says(case, seconds):
    kind, value = case
    activation = an_activation(cursor={"column": "at", "overlap": f"{seconds}s"})

    lower = read_from(activation, at(value, kind), ZoneInfo("UTC"))

    assert lower is not None
    assert value - lower == timedelta(seconds=seconds) or lower.replace(tzinfo=None) == datetime.min


def test_where_no_zone_is_known_clocks_may_have_been_set_by_two_hours():
    activation = an_activation(cursor="at")

    assert read_from(activation, at("2026-07-01 12:00:00"), None) == "2026-07-01 09:00"
    assert read_from(activation, at("2026-07-01T12:00:00Z"), None) == "2026-07-01T11:00"


def test_no_overlap_is_none():
    activation = an_activation(cursor={"column": "at", "overlap": 0})

    assert read_from(activation, at("2026-07-01 12:00:30"), STOCKHOLM) == "2026-07-01 12:00"
    assert read_from(activation, at(NOW), None) == NOW


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

    lower = read_from(an_activation(cursor="at"), at(value), STOCKHOLM)
    assert lower is not None
    assert lower < value


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


@given(of(*TIMES), st.datetimes(datetime(1970, 1, 2), timezones=offsets), zones)
def test_nothing_before_the_start_is_ever_read(case, start, zone):
    kind, value = case
    activation = an_activation(cursor="at", start=start)
    local = lowest_shown(start, zone or UTC)
    floor = {Kind.LOCAL_TIME: local, Kind.DATE: local.date()}.get(kind, start)

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


@pytest.mark.parametrize(
    ("sample", "start", "floor"),
    [
        ("2026-03-05 10:00:00", "2026-03-01T00:00:00Z", "2026-03-01 01:00"),
        ("2026-03-05T10:00:00Z", "2026-03-01T00:00:00Z", "2026-03-01T00:00"),
        ("2026-03-05T10:00", "2026-03-01T00:00:30+01:00", "2026-03-01T00:00:30"),
        ("2026-03-05", "2026-03-01T23:30:00Z", "2026-03-02"),
        ("2026-03-05 10:00", "2026-10-25T01:30:00Z", "2026-10-25 02:30"),
    ],
)
def test_a_start_is_written_as_the_texts_of_the_cursor_are(sample, start, floor):
    activation = an_activation(cursor={"column": "at", "overlap": "1h"}, start=start)
    early, late = sample.replace("2026", "2025"), sample.replace("2026", "2027")

    first = read_from(activation, Watermark("at", Kind.TEXT, sample=sample), STOCKHOLM)

    assert first == floor
    assert read_from(activation, at(early), STOCKHOLM) == floor
    assert floor < read_from(activation, at(late), STOCKHOLM) < late


@pytest.mark.parametrize(
    ("sample", "zone", "word"),
    [
        ("abc", STOCKHOLM, "that are none; use start: all"),
        ("2026-03-05 10:00:00+01", STOCKHOLM, "offsets of their own"),
        ("2026-03-05 10:00:00", None, "warehouse.timezone"),
    ],
)
def test_a_start_is_refused_where_texts_cannot_be_held_against_it(sample, zone, word):
    activation = an_activation(cursor="at", start="2026-01-01T00:00:00Z")

    with pytest.raises(ConfigurationError, match=word):
        read_from(activation, Watermark("at", Kind.TEXT, sample=sample), zone)


def test_an_overlap_of_texts_is_judged_before_the_first_is_read():
    activation = an_activation(cursor={"column": "at", "overlap": "1d"}, start="all")
    postgresql = Watermark("at", Kind.TEXT, sample="2026-11-01 00:01:00+00")

    assert read_from(activation, postgresql, None) is None
    assert read_from(activation, replace(postgresql, value=postgresql.sample), None) is not None
    with pytest.raises(ConfigurationError, match="overlap does not go"):
        read_from(activation, Watermark("at", Kind.TEXT, sample="abc"), None)


@given(of(*Kind), zones)
def test_start_now_reads_from_the_overlap_behind_what_is_there(case, zone):
    kind, newest = case
    activation = an_activation(cursor="at", start="now")

    assume(not is_to_come(at(newest, kind), LATEST - timedelta(days=2), zone))
    mark = history_floor(activation, newest, Watermark("at", kind), zone, LATEST)

    assert mark.floor == read_from(an_activation(cursor="at"), at(newest, kind), zone)
    assert read_from(activation, mark, zone) == mark.floor
    assert mark.value is None


@given(of(*ORDERED, number=2), zones)
def test_history_stays_history_however_far_a_run_reads_back(case, zone):
    kind, newest, position = case
    activation = an_activation(cursor="at", start="now")
    mark = history_floor(activation, newest, Watermark("at", kind), zone, NOW)

    after = advance(mark, [max(position, mark.floor)], NOW, zone)
    longer = an_activation(
        cursor={"column": "at", "overlap": "30d" if kind in TIMES else 10**6}, start="now"
    )

    assert read_from(longer, after, zone) >= mark.floor


@given(of(*Kind) | just_then, zones, st.sampled_from(["0s", None]))
def test_what_is_new_a_little_later_is_above_the_floor_also_by_a_clock_that_is_behind(
    case, zone, overlap
):
    """That of the first run may have been ahead, and have taken for the past what was to come."""
    kind, newest = case
    timed = kind in TIMES or (kind is Kind.TEXT and shape(newest) is not None)
    cursor = {"column": "at"} | ({"overlap": overlap} if overlap and timed else {})
    activation = an_activation(cursor=cursor, start="now")

    mark = history_floor(activation, newest, Watermark("at", kind), zone, NOW + CLOCKS_APART)

    assert not floor_is_to_come(replace(mark, value=newest), NOW, zone)


@pytest.mark.parametrize("floor", ["2026-06-30", "2026-06-30 11:00", "2026-06-30T11:00:00Z"])
def test_texts_that_are_times_are_not_read_from_before_their_floor(floor):
    activation = an_activation(cursor={"column": "at", "overlap": "30d"}, start="now")
    later = floor.replace("06-30", "07-01")

    assert read_from(activation, at(later, floor=floor), STOCKHOLM) == floor


@given(of(*TIMES), zones)
def test_what_lies_before_the_end_of_the_past_has_come(case, zone):
    kind, highest = case
    mark = Watermark("at", kind)

    end = end_of_past(mark, highest, NOW, zone)

    if end is None:
        assert advance(mark, [highest], NOW, zone).value == highest
    else:
        assert end < highest or kind is Kind.DATE
        before = end - (timedelta(days=1) if kind is Kind.DATE else timedelta.resolution)
        assert advance(mark, [before], NOW, zone).value == before


# --- another kind of cursor ----------------------------------------------------------------------

CASTS = [
    (Kind.INTEGER, Kind.DECIMAL),
    (Kind.DECIMAL, Kind.INTEGER),
    (Kind.DATE, Kind.LOCAL_TIME),
    (Kind.DATE, Kind.INSTANT),
    (Kind.LOCAL_TIME, Kind.DATE),
    (Kind.LOCAL_TIME, Kind.INSTANT),
    (Kind.INSTANT, Kind.LOCAL_TIME),
    (Kind.INSTANT, Kind.DATE),
]


def cast_to(value, kind, offset, rounding):
    """What a warehouse makes of `value`, whose clocks are `offset` from UTC."""
    match value:
        case Decimal():
            return int(value.to_integral_value(rounding))
        case int():
            return Decimal(value)
        case datetime() if value.tzinfo:
            local = value.astimezone(offset).replace(tzinfo=None)
            return local.date() if kind is Kind.DATE else local
        case datetime():
            return value.date() if kind is Kind.DATE else value.replace(tzinfo=offset)
        case date():
            local = datetime(value.year, value.month, value.day)
            return local.replace(tzinfo=offset) if kind is Kind.INSTANT else local


values = {
    Kind.INTEGER: st.integers(-9, 9),
    Kind.DECIMAL: st.decimals(-9, 9, places=1),
    Kind.DATE: st.dates(date(2026, 6, 1), date(2026, 6, 9)),
    Kind.LOCAL_TIME: st.datetimes(datetime(2026, 6, 1), datetime(2026, 6, 4)),
    Kind.INSTANT: st.datetimes(datetime(2026, 6, 1), datetime(2026, 6, 4), timezones=st.just(UTC)),
}


@given(
    st.sampled_from(CASTS).flatmap(lambda c: st.tuples(st.just(c), *[values[c[0]]] * 3)),
    st.integers(-12, 14).map(lambda h: timezone(timedelta(hours=h))),
    st.sampled_from([ROUND_FLOOR, ROUND_CEILING, ROUND_HALF_UP]),
)
def test_a_cursor_of_another_kind_neither_sends_history_nor_loses_a_row(case, offset, rounding):
    (before, kind), floor, lower, row = case
    lower = max(lower, floor)

    place = converted(Watermark("at", before, lower, floor), lower, kind)

    now = cast_to(row, kind, offset, rounding)
    if place is not None and row < floor:
        assert now < place
    if place is not None and row >= lower:
        assert now >= place


def test_what_is_exactly_the_same_place_is_taken_over():
    def taken(value, kind):
        return converted(at(value, floor=value), value, kind)

    assert taken(5, Kind.DECIMAL) == 5
    assert taken(Decimal(5), Kind.INTEGER) == 5
    assert taken(date(2026, 6, 1), Kind.LOCAL_TIME) == datetime(2026, 6, 1)
    assert taken(datetime(2026, 6, 1), Kind.DATE) == date(2026, 6, 1)
    assert taken(datetime(2026, 6, 1, 10), Kind.DATE) is None
    assert taken(datetime(2026, 6, 1), Kind.INSTANT) is None
    assert taken("2026-06-01", Kind.DATE) is None
    assert taken(5, Kind.TEXT) is None


@pytest.mark.parametrize("start", ["all", "now"])
def test_a_floor_survives_a_change_of_start(start):
    activation = an_activation(cursor="at", start=start)

    assert read_from(activation, at(5000, floor=4900), STOCKHOLM) == 4900


def test_what_was_history_stays_so_where_start_becomes_a_time():
    floor = datetime(2026, 6, 1)
    mark = at(datetime(2026, 6, 1, 0, 10), floor=floor)
    earlier = an_activation(cursor="at", start="2026-01-01T00:00:00Z")
    later = an_activation(cursor="at", start="2026-06-01T12:00:00Z")

    assert read_from(earlier, mark, STOCKHOLM) == floor
    assert read_from(later, mark, STOCKHOLM) == datetime(2026, 6, 1, 14)
