"""An overlap is real time: no clock of any zone, however it is set, hides a row."""

# ruff: noqa: DTZ001 -- times without a zone are what this is about

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.walltime import (
    EASTERNMOST,
    WESTERNMOST,
    earliest,
    lowest_shown,
    offset,
    offsets,
    shown,
)
from connector.rules.watermark import Kind, Watermark, advance, read_from
from tests.factories import STOCKHOLM, an_activation

ZONES = sorted(available_timezones())
HOUR = timedelta(hours=1)
TURNS = [
    ("Europe/Stockholm", "2026-03-29T01:00"),  # forward
    ("Europe/Stockholm", "2026-10-25T01:00"),  # back
    ("America/New_York", "2026-11-01T06:00"),
    ("America/Havana", "2026-11-01T05:00"),  # back to midnight
    ("America/Sao_Paulo", "2018-11-04T03:00"),  # a midnight that never was
    ("America/Sao_Paulo", "2018-02-18T02:00"),  # back over midnight
    ("Australia/Lord_Howe", "2026-04-04T15:00"),  # by half an hour
    ("Antarctica/Troll", "2026-10-25T01:00"),  # by two hours
    ("Africa/Casablanca", "2026-02-15T02:00"),  # for Ramadan
    ("Pacific/Apia", "2011-12-30T10:00"),  # a day that never was
    ("Pacific/Kwajalein", "1993-08-21T12:00"),
    ("America/Juneau", "1867-10-18T08:57:41"),  # a day that was twice
    ("Asia/Manila", "1844-12-31T15:55:52"),
]
"""Zones, and instants at or near which their clocks were set."""


@cache
def turns(name: str) -> list[datetime]:
    """Instants within an hour of which the clocks of a zone are set, in some years."""
    zone = ZoneInfo(name)
    hours = [datetime(year, 1, 1, tzinfo=UTC) + day * 24 * HOUR
             for year in (2009, 2018, 2026, 2027) for day in range(366)]  # fmt: skip
    days = [a for a, b in pairwise(hours) if _offset(a, zone) != _offset(b, zone)]
    return [
        day + hour * HOUR
        for day in days
        for hour in range(24)
        if _offset(day + hour * HOUR, zone) != _offset(day + (hour + 1) * HOUR, zone)
    ]


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


near_a_turn = st.one_of(
    st.sampled_from(TURNS).map(lambda t: (t[0], datetime.fromisoformat(t[1] + "+00:00"))),
    st.sampled_from(ZONES).flatmap(
        lambda name: st.tuples(
            st.just(name), st.sampled_from(turns(name) or [datetime(2026, 7, 1, tzinfo=UTC)])
        )
    ),
)
minutes = st.integers(-200, 200).map(lambda n: timedelta(minutes=n))
seconds = st.integers(0, 59).map(lambda n: timedelta(seconds=n))
overlaps = st.sampled_from([0, "1m", "30m", "1h", "90m", "2h", "1d", "3d"])
spans = {0: 0, "1m": 1, "30m": 30, "1h": 60, "90m": 90, "2h": 120, "1d": 1440, "3d": 4320}


def as_cursor(local: datetime, kind: str) -> object:
    """What a cursor of a row shows that happened at this local time."""
    return {
        "time": local,
        "date": local.date(),
        "text": local.isoformat(" "),
        "minutes": local.isoformat("T", "minutes"),
        "day": local.date().isoformat(),
    }[kind]


@given(
    near_a_turn,
    minutes,
    seconds,
    overlaps,
    st.integers(0, 3 * 24 * 60),
    st.sampled_from(["time", "date", "text", "minutes", "day"]),
)
def test_no_row_that_comes_within_the_overlap_is_passed_over(
    turn, before, second, overlap, later, kind
):
    """Whatever the clocks do: a row that happens less than the overlap before the row at which the
    watermark stands, or at any time after that, is read."""
    name, at = turn
    zone = ZoneInfo(name)
    of_the_mark = at + before + second
    value = as_cursor(shown(of_the_mark, zone), kind)
    names = {"time": Kind.LOCAL_TIME, "date": Kind.DATE}
    mark = Watermark("at", names.get(kind, Kind.TEXT), value)
    activation = an_activation(cursor={"column": "at", "overlap": overlap})

    lower = read_from(activation, mark, zone)

    assert lower is not None
    first = min(earliest(shown(of_the_mark, zone), zone), of_the_mark)
    row = first - timedelta(minutes=spans[overlap]) + timedelta(minutes=later)
    assert as_cursor(shown(row, zone), kind) >= lower
    assert lower <= value


@given(near_a_turn, minutes, st.integers(0, 49 * 60))
def test_no_clock_ever_shows_less_than_the_lowest(turn, before, later):
    name, at = turn
    zone, moment = ZoneInfo(name), at + before

    lowest = lowest_shown(moment, zone)

    assert lowest <= shown(moment + timedelta(minutes=later), zone)


@given(near_a_turn, minutes)
def test_the_lowest_is_shown_indeed(turn, before):
    name, at = turn
    zone, moment = ZoneInfo(name), at + before

    lowest = lowest_shown(moment, zone)

    readings = {lowest.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    assert any(shown(r, zone) == lowest and r >= moment for r in readings)


@given(near_a_turn, minutes, minutes, minutes, st.sampled_from(["time", "text", "date"]))
def test_a_row_of_the_repeated_hour_never_becomes_a_watermark_that_hides_the_present(
    turn, now, of_the_row, of_the_next, kind
):
    """A row is recorded by a run that starts `now`. One that happens later is read by the next."""
    name, at = turn
    zone, start = ZoneInfo(name), at + now
    value = as_cursor(shown(at + of_the_row, zone), kind)
    names = {"time": Kind.LOCAL_TIME, "date": Kind.DATE}
    fresh = Watermark("at", names.get(kind, Kind.TEXT))

    mark = advance(fresh, [value], start, zone)
    lower = read_from(an_activation(cursor={"column": "at", "overlap": 0}), mark, zone)

    if at + of_the_row <= start:
        assert mark.value == value
    if lower is not None and at + of_the_next >= start:
        assert as_cursor(shown(at + of_the_next, zone), kind) >= lower


@given(near_a_turn, minutes, st.integers(0, 49 * 60), st.sampled_from(list(Kind)[:3]))
def test_nothing_that_happens_after_the_start_is_lost(turn, before, later, kind):
    name, at = turn
    zone, start = ZoneInfo(name), at + before
    if start.year < 1970:
        return
    row = start + timedelta(minutes=later)
    local = shown(row, zone)
    cursor = {Kind.LOCAL_TIME: local, Kind.DATE: local.date(), Kind.INSTANT: row}[kind]

    lower = read_from(an_activation(cursor="at", start=start), Watermark("at", kind), zone)

    assert cursor >= lower


def test_the_hour_that_was_skipped_is_no_part_of_an_overlap():
    mark = Watermark("at", Kind.LOCAL_TIME, datetime(2026, 3, 29, 3, 10))

    lower = read_from(an_activation(cursor={"column": "at", "overlap": "1h"}), mark, STOCKHOLM)

    assert lower == datetime(2026, 3, 29, 1, 10)


def test_a_start_within_the_repeated_hour_takes_both_readings():
    start = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    activation = an_activation(cursor="at", start=start)

    lower = read_from(activation, Watermark("at", Kind.LOCAL_TIME), STOCKHOLM)

    assert lower == datetime(2026, 10, 25, 2, 0)


@pytest.mark.parametrize(
    "suffixes", [("+02:00", "+01:00"), ("+0200", "+0100"), ("-09:30", "+14:00")]
)
def test_offsets_of_their_own_may_change_from_row_to_row(suffixes):
    """As they do in a column that somebody writes in local time with its offset."""
    first, second = (datetime.fromisoformat(f"2026-10-25T00:00{s}").tzinfo for s in suffixes)
    at = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)
    mark = Watermark("at", Kind.TEXT, at.astimezone(first).isoformat("T"))

    lower = read_from(an_activation(cursor={"column": "at", "overlap": "1h"}), mark, None)

    assert lower is not None
    assert (at - HOUR).astimezone(second).isoformat("T") >= lower


def test_no_place_on_earth_is_further_west_or_east():
    moments = [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 13)]
    offsets = [_offset(moment, ZoneInfo(name)) for name in ZONES for moment in moments]
    west, east = (zone.utcoffset(None) or timedelta(0) for zone in (WESTERNMOST, EASTERNMOST))

    assert west <= min(offsets)
    assert max(offsets) <= east


@pytest.mark.parametrize(("name", "near"), TURNS)
def test_offsets_between_two_instants_are_those_of_each_moment_there(name: str, near: str) -> None:
    zone, turn = ZoneInfo(name), datetime.fromisoformat(near).replace(tzinfo=UTC)
    first, last = turn - timedelta(days=3), turn + timedelta(days=3)

    found = offsets(first, last, zone)

    assert len(found) > 1
    for hours in range(6 * 24 + 1):
        at = first + timedelta(hours=hours)
        by = next(by for since, by in reversed(found) if at >= since)
        assert by == offset(at, zone)
