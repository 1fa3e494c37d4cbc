"""When rows may be sent: what clocks show, over midnight, over the days of a week, and where the
clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.grammar import DAYS, parse_days, parse_spans
from connector.rules.window import Window, window_text

STOCKHOLM = ZoneInfo("Europe/Stockholm")
SECOND = timedelta(seconds=1)


def window(between: object, days: object = list(DAYS), zone: str = "Europe/Stockholm") -> Window:
    return Window(parse_spans(between), parse_days(days), ZoneInfo(zone))


def at(text: str, zone: ZoneInfo = STOCKHOLM, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def test_it_is_open_from_its_first_moment_until_just_before_its_last() -> None:
    day = window("08:00-20:00")
    assert not day.is_open(at("2026-06-01T07:59:59.999"))
    assert day.is_open(at("2026-06-01T08:00"))
    assert day.is_open(at("2026-06-01T19:59:59.999"))
    assert not day.is_open(at("2026-06-01T20:00"))
    assert day.opens_at(at("2026-06-01T20:00")) == at("2026-06-02T08:00")
    assert day.closes_at(at("2026-06-01T12:00")) == at("2026-06-01T20:00")
    assert day.opened_at(at("2026-06-01T12:00")) == at("2026-06-01T08:00")
    assert day.opens_at(at("2026-06-01T12:00")) is None
    assert day.closes_at(at("2026-06-01T07:00")) is None
    assert day.opened_at(at("2026-06-01T07:00")) is None


def test_what_passes_midnight_belongs_to_the_day_on_which_it_began() -> None:
    night = window("22:00-06:00", "fri")
    assert night.is_open(at("2026-06-05T23:00"))  # a Friday
    assert night.is_open(at("2026-06-06T05:59"))
    assert not night.is_open(at("2026-06-06T06:00"))
    assert not night.is_open(at("2026-06-05T05:59"))
    assert night.closes_at(at("2026-06-05T23:00")) == at("2026-06-06T06:00")
    assert night.opens_at(at("2026-06-06T06:00")) == at("2026-06-12T22:00")


def test_until_midnight_and_the_whole_day() -> None:
    assert window("20:00-24:00").closes_at(at("2026-06-01T21:00")) == at("2026-06-02T00:00")
    assert window("20:00-00:00").closes_at(at("2026-06-01T21:00")) == at("2026-06-02T00:00")
    always = window("00:00-24:00")
    assert always.is_open(at("2026-06-01T00:00"))
    assert always.is_open(at("2026-06-01T23:59:59"))
    assert always.closes_at(at("2026-06-01T21:00")) is None
    assert always.opened_at(at("2026-06-01T21:00")) is None
    weekdays = window("00:00-24:00", "mon-fri")
    assert weekdays.opens_at(at("2026-06-06T12:00")) == at("2026-06-08T00:00")
    assert weekdays.closes_at(at("2026-06-04T12:00")) == at("2026-06-06T00:00")


def test_several_times_of_a_day() -> None:
    both = window(["08:00-10:00", "18:00-20:00"])
    assert both.opens_at(at("2026-06-01T10:00")) == at("2026-06-01T18:00")
    assert both.closes_at(at("2026-06-01T18:30")) == at("2026-06-01T20:00")


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("mon", {0}),
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("sat-mon", {5, 6, 0}),
        (["mon", "wed"], {0, 2}),
        (["sat-sun", "Wed"], {2, 5, 6}),
        ("mon-mon", {0}),
    ],
)
def test_days_are_written_alone_as_ranges_and_as_lists(written: object, numbers: set[int]) -> None:
    assert parse_days(written) == numbers


@pytest.mark.parametrize("written", ["", "monday-x", [], "mon-tue-wed", 3, ["mon", 1], "someday"])
def test_other_days_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected days such as"):
        parse_days(written)


@pytest.mark.parametrize(
    "written",
    ["8-20", "08:00", "24:00-08:00", "08:00-24:01", "08:60-09:00", "25:00-26:00", [], 800, "x"],
)
def test_other_times_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected times of day"):
        parse_spans(written)


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="the whole day is 00:00-24:00"):
        parse_spans("08:00-08:00")


def test_an_hour_that_the_clocks_skip() -> None:
    """On 29 March 2026 the clocks of Stockholm go from 02:00 to 03:00."""
    early = window("02:30-04:00")
    assert early.opens_at(at("2026-03-29T01:59")) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert early.closes_at(at("2026-03-29T03:30")) == at("2026-03-29T04:00")
    within = window("02:15-02:45")
    assert within.opens_at(at("2026-03-29T01:00")) == at("2026-03-30T02:15")
    until = window("01:00-02:30")
    assert until.closes_at(at("2026-03-29T01:30")) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_an_hour_that_the_clocks_show_twice() -> None:
    """On 25 October 2026 they go from 03:00 back to 02:00: what they show counts."""
    night = window("01:00-02:30")
    first = at("2026-10-25T02:29:59")
    assert night.is_open(first)
    assert night.closes_at(first) == at("2026-10-25T02:30")
    again = at("2026-10-25T02:00", fold=1)
    assert night.opens_at(at("2026-10-25T02:45")) == again
    assert night.opened_at(again + 60 * SECOND) == again
    assert night.closes_at(again) == at("2026-10-25T02:30", fold=1)


times = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(  # noqa: DTZ001
    lambda naive: naive.replace(tzinfo=UTC, microsecond=0)
)
minutes = st.integers(0, 95).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
spans = st.tuples(minutes, minutes).filter(lambda two: two[0] != two[1]).map("-".join)
zones = st.sampled_from(["Europe/Stockholm", "America/New_York", "Australia/Lord_Howe", "UTC"])
some_days = st.lists(st.sampled_from(DAYS), min_size=1, max_size=7)


@given(times, st.lists(spans, min_size=1, max_size=3), some_days, zones)
def test_the_next_change_is_the_first(
    now: datetime, between: list[str], days: list[str], zone: str
) -> None:
    """Nothing changes on the way to it, and just before it is still as it was."""
    some = window(between, days, zone)
    is_open = some.is_open(now)
    then = some.closes_at(now) if is_open else some.opens_at(now)
    last = then or now + timedelta(days=9)
    assert then is None or some.is_open(then) is not is_open
    step = timedelta(minutes=15)
    here = now
    while (here := here + step) < last:
        assert some.is_open(here) is is_open
    assert some.is_open(last - SECOND) is is_open


@given(times, st.lists(spans, min_size=1, max_size=3), some_days, zones)
def test_since_when_it_is_open(
    now: datetime, between: list[str], days: list[str], zone: str
) -> None:
    some = window(between, days, zone)
    since = some.opened_at(now)
    if since:
        assert some.is_open(since)
        assert not some.is_open(since - SECOND)
        assert since <= now
        closed = some.closes_at(since)
        assert closed is None or now < closed
    elif some.is_open(now):
        assert all(some.is_open(now - timedelta(hours=h)) for h in range(24 * 15))


@pytest.mark.parametrize(
    ("between", "days", "expected"),
    [
        ("08:00-20:00", list(DAYS), "every day 08:00-20:00"),
        ("08:00-20:00", "mon-fri", "mon-fri 08:00-20:00"),
        (
            ["08:00-12:00", "13:00-24:00"],
            ["mon", "wed", "fri-sat"],
            "mon, wed, fri-sat 08:00-12:00, 13:00-24:00",
        ),
        ("22:00-06:00", "sat-mon", "sat-mon 22:00-06:00"),
        ("00:00-24:00", "sun", "sun 00:00-24:00"),
    ],
)
def test_it_is_told_as_it_is_written(between: object, days: object, expected: str) -> None:
    assert window_text(window(between, days)) == f"{expected} (Europe/Stockholm)"


def test_one_that_never_closes_is_told_as_none() -> None:
    assert window_text(window("00:00-24:00", list(DAYS))) == "at any time"
