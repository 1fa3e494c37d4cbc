"""Limits that know history hold a run before its first request, over weeks of runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.whole.shop import Shop

WEEK = 7 * 86_400_000


def a_week_passes(shop: Shop) -> None:
    """As seen from the runs that there are."""
    with shop.ledger_connection() as ledger:
        ledger.execute("update runs set started_at = started_at - ?", (WEEK,))


def weeks(shop: Shop, number: int, rows: int = 20, since: int = 0) -> None:
    """So many weekly runs of so many rows, after a first one."""
    for week in range(since, since + number + 1):
        shop.add_by_email(rows, first=week * rows)
        assert shop.sync().run["delivered"] == rows
        a_week_passes(shop)


def foreseen(shop: Shop) -> Any:
    """What a check and a preview say of the next run."""
    (document,) = shop.connector("check", "--json").json["activations"]
    assert shop.connector("preview", "visits", "--json").json["outlook"] == document["outlook"]
    return document["outlook"]


@pytest.fixture
def weekly(shop: Shop) -> Shop:
    shop.configure(identifier="email", limits="{rows: 3x}")
    return shop


def test_three_times_the_usual_rows_are_held_until_they_are_approved(weekly: Shop) -> None:
    weeks(weekly, 9)
    assert "9 of 10 runs" in " ".join(foreseen(weekly)["notes"])
    weeks(weekly, 0, since=10)
    weekly.add_by_email(61, first=1000)
    posts, told = weekly.posts, foreseen(weekly)

    held = weekly.sync()
    status = weekly.connector("status", "--json").json["activations"][0]["held"]
    a_week_passes(weekly)
    again = weekly.sync()

    assert (held.code, held.run["status"], weekly.posts) == (1, "held", posts)
    assert held.run["notes"][-1] == f"held: {told['because']}" == status == again.run["notes"][-1]
    assert "61 rows are to be sent" in status
    assert "usually have 20 (the median of 10 runs)" in status
    assert weekly.sync("--approve").run["delivered"] == 61


def test_twice_the_usual_rows_go(weekly: Shop) -> None:
    weeks(weekly, 10)
    weekly.add_by_email(60, first=1000)

    assert weekly.sync().run["delivered"] == 60


def test_parts_of_a_model_and_what_is_held_teach_nothing(weekly: Shop) -> None:
    weeks(weekly, 0)
    for number in range(12):
        weekly.add_by_email(2, first=1000 + 2 * number)
        weekly.sync("--limit", "2")

    assert "0 of 10 runs" in " ".join(foreseen(weekly)["notes"])


def test_a_fall_of_the_match_rate_is_held_before_anything_is_sent(shop: Shop) -> None:
    shop.configure(identifier="email", limits="{matched: 20%}")
    weeks(shop, 10)
    shop.execute(
        "insert into visits select 'x' || i, timestamp '2026-11-01 12:00', 'c' || (i % 30)"
        " || '@example.com', 's', 3, 1, true from range(30) t(i)"
    )
    posts, previewed = shop.posts, shop.connector("preview", "visits", "--json").json

    held = shop.sync()
    looked_up = shop.look_ups
    approved = shop.sync("--approve")

    assert (held.run["status"], held.run["delivered"]) == ("held", 0)
    assert "33.3% belong to a contact, and 100.0% usually do" in held.run["notes"][-1]
    assert held.run["notes"][-1] == f"held: {previewed['outlook']['because']}"
    assert shop.posts - posts == approved.run["delivered"] == 10
    assert shop.look_ups - looked_up == 20  # those that were found were kept


def test_the_limit_on_matches_needs_contacts_that_are_looked_up(shop: Shop) -> None:
    shop.configure(limits="{matched: 20%}")

    assert "needs contacts that are looked up" in shop.sync().err + shop.sync().out


def visited(shop: Shop, key: str, ago: timedelta) -> None:
    shop.add({"id": key, "seen_at": (datetime.now(UTC) - ago).strftime("%Y-%m-%d %H:%M:%S")})


def test_rows_that_are_too_old_hold_the_run(shop: Shop) -> None:
    shop.configure(limits="{older_than: 72h}")
    visited(shop, "new", timedelta(hours=1))
    visited(shop, "old", timedelta(hours=80))
    visited(shop, "older", timedelta(days=9))
    told = foreseen(shop)

    held = shop.sync()
    visited(shop, "newer", timedelta(hours=1))
    approved = shop.sync("--approve")

    assert (held.code, held.run["status"], held.run["delivered"]) == (1, "held", 0)
    assert held.run["notes"][-1] == f"held: {told['because']}"
    assert "2 of 3 rows to be sent happened longer ago" in told["because"]
    assert "such as older, old" in told["because"]
    assert approved.run["delivered"] == 3
    assert shop.sync().run["delivered"] == 1


def test_a_model_that_is_emptied_is_held_until_it_has_rows_again(shop: Shop) -> None:
    shop.configure(identifier="email")
    weeks(shop, 9)
    shop.execute("create table kept as select * from visits")
    shop.execute("delete from visits")
    told = foreseen(shop)

    held = [shop.sync().run for _ in range(2)]
    shop.execute("insert into visits select * from kept")
    shop.add_by_email(5, first=5000)
    after = shop.sync()

    assert [run["status"] for run in held] == ["held", "held"]
    assert held[0]["notes"][-1] == f"held: {told['because']}"
    assert "had rows in each of 10 runs" in told["because"]
    assert (after.run["status"], after.run["delivered"]) == ("succeeded", 5)


@pytest.mark.parametrize(("allowed", "status"), [(False, "held"), (True, "succeeded")])
def test_a_model_may_be_empty_where_that_is_written_or_approved(
    shop: Shop, allowed: bool, status: str
) -> None:
    shop.configure(identifier="email")
    weeks(shop, 9)
    shop.execute("delete from visits")
    if allowed:
        shop.configure(limits="{empty: allow}")

    assert shop.sync().run["status"] == status
    assert shop.sync("--approve").run["status"] == "succeeded"
    assert shop.sync().run["status"] == "succeeded"
