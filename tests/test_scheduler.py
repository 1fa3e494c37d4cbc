"""When runs start by themselves."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from connector.activation import Schedule
from connector.scheduler import next_run, trigger_of

SATURDAY = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/15 * * * *", "2026-11-21 12:15"),
        ("0 8 * * 0", "2026-11-22 08:00"),
        ("0 8 * * 7", "2026-11-22 08:00"),
        ("0 8 * * 1", "2026-11-23 08:00"),
        ("0 8 * * mon-fri", "2026-11-23 08:00"),
        ("0 8 * * 1-5", "2026-11-23 08:00"),
        ("0 8 * * */2", "2026-11-22 08:00"),
        ("0 8 * * sat,2", "2026-11-24 08:00"),
        ("0 8 1 1 *", "2027-01-01 08:00"),
    ],
)
def test_cron_counts_days_as_cron_does(cron: str, expected: str) -> None:
    due = next_run(Schedule(cron=cron), False, SATURDAY)

    assert due is not None
    assert due.strftime("%Y-%m-%d %H:%M") == expected


def test_cron_goes_by_its_zone() -> None:
    schedule = Schedule(cron="0 8 * * *", timezone=ZoneInfo("Europe/Stockholm"))

    assert next_run(schedule, False, SATURDAY) == datetime(2026, 11, 22, 7, tzinfo=UTC)


def test_an_interval_is_counted_from_now() -> None:
    due = next_run(Schedule(every=timedelta(minutes=15)), False, SATURDAY)

    assert due is not None
    assert timedelta(0) < due - SATURDAY <= timedelta(minutes=15, seconds=1) or due > SATURDAY


def test_without_a_schedule_or_when_paused_nothing_is_due() -> None:
    assert next_run(None, False, SATURDAY) is None
    assert next_run(Schedule(cron="* * * * *"), True, SATURDAY) is None


@pytest.mark.parametrize("cron", ["61 * * * *", "* * * *", "0 8 * * 8", "0 8 * * fun", "a b c d e"])
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(ValueError):
        trigger_of(Schedule(cron=cron))
