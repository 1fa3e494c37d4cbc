"""Cron in every zone: each due time once, none skipped, with and without jitter."""

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.rules.due import delayed, due_after, five_fields, next_due, next_run
from connector.rules.grammar import Schedule

PROVE = bool(os.environ.get("CONNECTOR_PROVE"))
SATURDAY = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
FIRST, LAST = datetime(2017, 1, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIXED = ("0 0 * * *", "30 2 * * *", "*/20 1-3 * * *", "15 */2 * * *", "7 0,23 1,15 * 5")
RUNNING = ("*/15 * * * *", "30 * * * *", "0 0-23 * * 0,6")


def cron(expression: str, zone: str = "UTC") -> Schedule:
    return Schedule(cron=expression, timezone=ZoneInfo(zone))


def changes_of(zone: ZoneInfo, first: datetime = FIRST, last: datetime = LAST) -> list[datetime]:
    """The seconds at which the offset of `zone` changes."""
    found = []
    day, days = first, 5 * DAY
    while day < last:
        before = day.astimezone(zone).utcoffset()
        if before != (day + days).astimezone(zone).utcoffset():
            low, high = int(day.timestamp()), int((day + days).timestamp())
            while high - low > 1:
                middle = (low + high) // 2
                same = datetime.fromtimestamp(middle, zone).utcoffset() == before
                low, high = (middle, high) if same else (low, middle)
            found.append(datetime.fromtimestamp(high, UTC))
        day += days
    return found


@cache
def changes() -> list[tuple[str, datetime]]:
    """Every zone's changes of ten years; one of those zones that all do the same at a moment."""
    found: dict[object, tuple[str, datetime]] = {}
    for name in sorted(available_timezones() - {"localtime", "posixrules", "Factory"}):
        zone = ZoneInfo(name)
        for change in changes_of(zone):
            around = (change.astimezone(zone), (change - MINUTE).astimezone(zone))
            found.setdefault((change, *(t.utcoffset() for t in around)), (name, change))
    return list(found.values())


def dues(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    found = []
    while (due := due_after(schedule, after)) is not None and due <= until:
        assert due > after
        assert due.tzinfo is UTC
        found.append(due)
        after = due
    return found


def named(expression: str, wall: datetime) -> bool:
    """Whether cron names the minute `wall`: the five fields once more, as plainly as can be."""
    minute, hour, day, month, weekday = expression.split()
    days = (_in(day, wall.day, 1, 31), _in(weekday, wall.isoweekday() % 7, 0, 7))
    star = day.startswith("*") or weekday.startswith("*")
    return (
        _in(minute, wall.minute, 0, 59)
        and _in(hour, wall.hour, 0, 23)
        and _in(month, wall.month, 1, 12)
        and (all(days) if star else any(days))
    )


def _in(field: str, value: int, least: int, most: int) -> bool:
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{least}-{most}" if span == "*" else span).partition("-")
        if value in range(int(first), int(last or first) + 1, int(step or 1)):
            return True
    return False


def expected(expression: str, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """The same, by walking through every minute of real time."""
    running = _all_hours(expression)
    latest = max(_wall(zone, after - HOUR * h) for h in range(26))
    found = []
    moment = after
    while (moment := moment + MINUTE) <= until:
        wall = _wall(zone, moment)
        if running:
            due = named(expression, wall)
        else:  # what the clocks have gone past since they last showed something new
            passed = int((wall - latest) / MINUTE)
            due = any(named(expression, latest + MINUTE * (i + 1)) for i in range(passed))
            latest = max(latest, wall)
        if due:
            found.append(moment)
    return found


def _all_hours(expression: str) -> bool:
    return all(_in(expression.split()[1], hour, 0, 23) for hour in range(24))


def _wall(zone: ZoneInfo, moment: datetime) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


# --- the language ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("*/15 * * * *", "2026-11-21 12:15"),
        ("0 8 * * 0", "2026-11-22 08:00"),
        ("0 8 * * 7", "2026-11-22 08:00"),
        ("0 8 * * 1", "2026-11-23 08:00"),
        ("0 8 * * mon-fri", "2026-11-23 08:00"),
        ("0 8 * * 1-5", "2026-11-23 08:00"),
        ("0 8 * * */2", "2026-11-22 08:00"),
        ("0 8 * * 5-7", "2026-11-22 08:00"),
        ("0 8 * * sat,2", "2026-11-24 08:00"),
        ("0 8 1 1 *", "2027-01-01 08:00"),
        ("0 8 1 JAN-mar *", "2027-01-01 08:00"),
        ("30 4 1,15 * 5", "2026-11-27 04:30"),
        ("30 4 23 * 5", "2026-11-23 04:30"),
        ("0 8 13 * fri", "2026-11-27 08:00"),
        ("0 8 */31 * 5", "2027-01-01 08:00"),  # a star is no restriction: both must hold
        ("0 8 13 * */5", "2026-12-13 08:00"),
        ("5-5/15 13 * * *", "2026-11-21 13:05"),
        ("50/5 * * * *", "2026-11-21 12:50"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 31 2 1", "2027-02-01 00:00"),
        ("@daily", "2026-11-22 00:00"),
        ("@Weekly", "2026-11-22 00:00"),
        (" 0  8 * * * ", "2026-11-22 08:00"),
    ],
)
def test_cron_is_cron(expression: str, due: str) -> None:
    assert due_after(cron(expression), SATURDAY) == datetime.fromisoformat(due + "Z")


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("61 * * * *", '"61" does not stand for a minute'),
        ("* 24 * * *", '"24" does not stand for an hour'),
        ("* * 0 * *", "a day of the month"),
        ("* * * 13 *", "a month"),
        ("0 8 * * 8", "a day of the week"),
        ("0 8 * * fun", "a day of the week"),
        ("*/0 * * * *", "a minute"),
        ("5-1 * * * *", "a minute"),
        ("a b c d e", "a minute"),
        ("* * * *", "five fields"),
        ("0 * * * * *", "five fields"),
        ("@reboot", "@daily"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("0 0 31 2 */2", "never comes"),
        ("0 0 */31 * mon#2", "never comes"),
        ("9" * 5000 + " * * * *", "a minute"),
    ],
)
def test_what_is_no_cron_expression_or_never_comes_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        five_fields(expression)


@given(st.text("0123456789*,-/ l#@wmonsufritue", max_size=25) | st.text(max_size=12))
def test_any_text_is_an_expression_that_comes_or_is_refused(text: str) -> None:
    with suppress(ValueError):
        five_fields(text)
        assert due_after(cron(text), SATURDAY)


# --- where clocks are changed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("0 0 * * *", "America/Toronto", "2026-03-08T05:29:50Z", "2026-03-09T04:00:00Z"),
        ("0 0 * * *", "America/Toronto", "2026-03-08T04:29:50Z", "2026-03-08T05:00:00Z"),
        ("30 2 * * *", "Europe/Stockholm", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("30 2 * * *", "Europe/Stockholm", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
        ("30 2 * * *", "Europe/Stockholm", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "Europe/Stockholm", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ("30 2 * * *", "Europe/Stockholm", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
        ("*/15 * * * *", "Europe/Stockholm", "2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z"),
        ("30 * * * *", "Europe/Stockholm", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
        ("30 * * * *", "Europe/Stockholm", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
        ("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"),
        ("30 * * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-03T15:30:00Z"),
        ("0 8 * * *", "Europe/Stockholm", SATURDAY.isoformat(), "2026-11-22T07:00:00Z"),
        # midnights that were left out
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"),
        ("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00:00Z", "2026-03-28T22:00:00Z"),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z"),
        # … and a whole day
        ("0 8 * * *", "Pacific/Apia", "2011-12-30T00:00:00Z", "2011-12-30T10:00:00Z"),
        ("0 8 * * *", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T18:00:00Z"),
        ("0 8 * * 5", "Pacific/Apia", "2011-12-30T00:00:00Z", "2011-12-30T10:00:00Z"),
    ],
)
def test_a_fixed_time_comes_once_and_every_hour_in_real_time(
    expression: str, zone: str, after: str, due: str
) -> None:
    found = due_after(cron(expression, zone), datetime.fromisoformat(after))

    assert found == datetime.fromisoformat(due)


@pytest.mark.long
def test_at_every_change_of_ten_years_each_due_time_comes_once_and_none_is_skipped() -> None:
    """What is found is what a walk through every minute finds."""
    assert len(changes()) > 200
    random = Random(26)
    some = changes() if PROVE else random.sample(changes(), 40)
    for name, change in some:
        for expression in (*FIXED, *RUNNING) if PROVE else random.sample(FIXED + RUNNING, 2):
            start, end = change - 26 * HOUR, change + 26 * HOUR
            found = dues(cron(expression, name), start, end)
            assert found == expected(expression, ZoneInfo(name), start, end), (name, expression)


@pytest.mark.long
def test_at_every_change_of_ten_years_no_day_is_left_out() -> None:
    for name, change in changes():
        zone = ZoneInfo(name)
        for expression in ("0 0 * * *", "30 2 * * *"):
            found = dues(cron(expression, name), change - 3 * DAY, change + 3 * DAY)
            days = {due.astimezone(zone).date() for due in found}
            assert len(days) == len(found) in (5, 6, 7), (name, change, expression)
            # Antarctica/Troll changes its clocks by two hours, Casey by three
            assert all(b - a <= 27 * HOUR for a, b in pairwise(found)), (name, change)


@pytest.mark.long
def test_at_every_change_of_ten_years_every_quarter_is_a_quarter() -> None:
    for name, change in changes():
        found = dues(cron("*/15 * * * *", name), change - 3 * HOUR, change + 3 * HOUR)
        assert {b - a for a, b in pairwise(found)} <= {timedelta(minutes=15)}, (name, change)


def test_however_often_it_is_asked_the_answer_is_the_next_of_the_same_times() -> None:
    """Asked between two due times, at any moment, the second one is the answer."""
    random = Random(5)
    for name, change in random.sample(changes(), len(changes()) if PROVE else 60):
        schedule = cron(random.choice(FIXED + RUNNING), name)
        found = dues(schedule, change - 26 * HOUR, change + 26 * HOUR)
        for before, due in pairwise(found):
            moment = before + (due - before) * random.random()
            assert due_after(schedule, moment) == due, (name, schedule.cron, moment)


@given(
    st.deferred(lambda: st.sampled_from(changes())),
    st.sampled_from(FIXED + RUNNING),
    st.sampled_from([30, 15 * 60, 3600, 86400, 10 * 86400]),
    st.randoms(use_true_random=False),
)
@example(("Europe/Stockholm", datetime(2026, 10, 25, 1, tzinfo=UTC)), "30 2 * * *", 3600, Random(1))
def test_jitter_delays_each_due_time_and_skips_or_repeats_none(
    change: tuple[str, datetime], expression: str, jitter: int, random: Random
) -> None:
    """As a scheduler asks: for the next time, after each run."""
    name, at = change
    zone, span = ZoneInfo(name), timedelta(seconds=jitter)
    schedule = Schedule(cron=expression, timezone=zone, jitter=span)
    punctual = dues(cron(expression, name), at - 13 * HOUR, at + 13 * HOUR)
    now, found = at - 13 * HOUR, []
    for _ in punctual:
        due = due_after(schedule, now)
        assert due is not None
        now = delayed(due, schedule, random.random())
        assert due <= now <= due + span
        found.append(due)
    assert found == punctual


# --- after a start --------------------------------------------------------------------------------


def test_a_missed_run_is_made_up_for_at_once() -> None:
    hourly = cron("0 * * * *")

    assert next_due(hourly, SATURDAY - 3 * HOUR, SATURDAY) == SATURDAY
    later = next_due(hourly, SATURDAY - 10 * timedelta(seconds=1), SATURDAY)
    assert later is not None
    assert later > SATURDAY
    assert next_due(hourly, None, SATURDAY) == SATURDAY.replace(hour=13, minute=0, second=0)


def test_an_interval_is_counted_from_the_newest_run() -> None:
    quarterly = Schedule(every=timedelta(minutes=15))

    assert next_due(quarterly, None, SATURDAY) == SATURDAY
    assert next_due(quarterly, SATURDAY - 5 * MINUTE, SATURDAY) == SATURDAY + 10 * MINUTE
    assert next_due(quarterly, SATURDAY - 5 * HOUR, SATURDAY) == SATURDAY


@pytest.mark.parametrize("schedule", [cron("*/15 * * * *"), Schedule(every=timedelta(minutes=15))])
def test_a_run_that_began_before_the_clock_was_put_back_delays_nothing(schedule: Schedule) -> None:
    due = next_due(schedule, SATURDAY + 5 * DAY, SATURDAY)

    assert due is not None
    assert due <= SATURDAY + 15 * MINUTE


def test_people_are_told_when_the_next_run_will_be() -> None:
    every = Schedule(every=timedelta(minutes=15))

    assert next_run(cron("0 8 * * *"), False, SATURDAY - 5 * DAY, SATURDAY) == datetime(
        2026, 11, 22, 8, tzinfo=UTC
    )
    assert next_run(every, False, SATURDAY - MINUTE, SATURDAY) == SATURDAY + 14 * MINUTE
    assert next_run(None, False, None, SATURDAY) is None
    assert next_run(cron("* * * * *"), True, None, SATURDAY) is None
