"""A model is read from a place that was read before, and what stands behind it is told."""

from datetime import UTC, datetime, timedelta
from itertools import cycle, product
from typing import Any

import pytest

from tests.targets import in_short
from tests.whole.shop import Done, Shop, contact_id

TIMES = {
    "timestamp": "n",
    "timestamptz": "n at time zone 'Europe/Stockholm'",
    "date": "n::date",
    "text": "strftime(n, '%Y-%m-%d %H:%M:%S')",
    "text in UTC": "strftime(n, '%Y-%m-%dT%H:%M:%SZ')",
    "text with an offset": "strftime(n, '%Y-%m-%dT%H:%M:%S+02:00')",
}
FULL = "connector sync visits --full"


def a_table(shop: Shop, kind: str, made_of: str = "n", **options: str) -> None:
    """A model whose cursor is the column n, made of a column of this kind."""
    shop.execute(
        f"create table w (id text, n {kind}, contact text, seen_at timestamp default '2026-11-01')"
    )
    shop.configure(
        **{"model": model(made_of), "cursor": "cursor: n", "payload": "{visitId: id}"} | options
    )


def model(cursor: str) -> str:
    return f"select * replace ({cursor} as n) from w"


def add(shop: Shop, **rows: Any) -> None:
    """Add rows: a key and what its cursor is made of."""
    shop.execute(
        "insert into w (id, n, contact) values (?, ?, ?)",
        [(key, value, contact_id(1)) for key, value in rows.items()],
    )


def ago(hours: float) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(hours=hours)


def notes(shop: Shop, *arguments: str) -> str:
    return " ".join(shop.sync(*arguments).run["notes"])


def told_by_all(shop: Shop) -> str:
    """What a run says of its position, after seeing that preview and check say the same."""
    checked = shop.connector("check", "visits")
    previewed = shop.connector("preview", "visits", "--json").json["notes"]
    done = shop.sync()

    assert (done.code, done.run["status"]) == (1, "attention")
    assert previewed == done.run["notes"]
    assert previewed[0] in checked.out
    assert checked.code == 1
    assert shop.sync().run["notes"] == previewed  # it stays true
    return str(previewed[0])


def is_quiet(shop: Shop) -> None:
    """Nothing is said of the position, by anybody."""
    assert shop.connector("preview", "visits", "--json").json["notes"] == []
    assert "behind" not in shop.connector("check", "visits").out
    assert shop.sync().run["notes"] == []


# --- the future ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cursor", "start"),
    in_short(
        [*zip(TIMES, cycle(("all", "now"))), *zip(TIMES, cycle(("now", "all")))], slice(len(TIMES))
    ),
)
def test_a_row_from_the_future_hides_no_row_that_comes_after_it(
    shop: Shop, cursor: str, start: str
) -> None:
    a_table(
        shop, "timestamp", TIMES[cursor], cursor="cursor: {column: n, overlap: 1d}", start=start
    )
    old = {"a": ago(120), "far": datetime(2062, 1, 1), "soon": ago(-30)}  # noqa: DTZ001
    add(shop, **old)
    shop.sync()

    add(shop, b=ago(97))
    shop.sync()
    add(shop, c=ago(74))
    shop.sync()
    add(shop, d=ago(53), farther=datetime(2063, 1, 1))  # noqa: DTZ001
    done = shop.sync()

    new = {"b": 1, "c": 1, "d": 1, "farther": 1}
    assert shop.stored == (new if start == "now" else new | dict.fromkeys(old, 1))
    assert done.run["watermark"] < ago(20).isoformat()
    assert shop.sync().run["staged"] == 0


def test_a_model_of_bookings_alone_is_sent_once_and_read_again_until_their_time_comes(
    shop: Shop,
) -> None:
    a_table(shop, "timestamp")
    add(shop, a=ago(-24), b=ago(-48))

    first, second = shop.sync().run, shop.sync().run
    add(shop, c=ago(-30))
    third = shop.sync().run

    assert [run["read"] for run in (first, second, third)] == [2, 2, 3]
    assert [run["delivered"] for run in (first, second, third)] == [2, 0, 1]
    assert third["watermark"] is None


def test_a_watermark_in_the_future_is_not_believed(shop: Shop) -> None:
    a_table(shop, "timestamp")
    add(shop, a=ago(96))
    shop.sync()
    with shop.ledger_connection() as ledger:
        ledger.execute("update watermarks set value = '2062-01-01 00:00:00'")
    add(shop, b=ago(90))
    previewed = shop.connector("preview", "visits", "--json").json

    done, again = shop.sync(), shop.sync()

    assert "lies in the future" in done.run["notes"][0]
    assert previewed["notes"] == done.run["notes"]
    assert (previewed["new"], done.run["delivered"]) == (1, 1)
    assert (again.run["notes"], again.run["delivered"]) == ([], 0)
    assert again.run["watermark"] < ago(80).isoformat()


# --- clocks --------------------------------------------------------------------------------------


OVERLAPS = [
    ({"a": "2026-03-29 01:50", "b": "2026-03-29 03:10"}, "2026-03-29 01:55"),
    ({"a": "2026-10-25 02:50"}, "2026-10-25 02:05"),  # 15 minutes later, by another reading
    ({"a": "2026-10-25 02:30"}, "2026-10-25 01:31"),
]
WRITTEN = ["n", "strftime(n, '%Y-%m-%d %H:%M:%S')", "strftime(n, '%Y-%m-%dT%H:%M')"]


@pytest.mark.parametrize(
    ("overlap", "cursor"), in_short(product(OVERLAPS, WRITTEN), slice(None, None, 4))
)
def test_an_overlap_is_real_time(
    shop: Shop, cursor: str, overlap: tuple[dict[str, str], str]
) -> None:
    before, late = overlap
    a_table(shop, "timestamp", cursor, cursor="cursor: {column: n, overlap: 1h}")
    add(shop, **before)
    shop.sync()
    add(shop, late=late)

    assert shop.sync().run["delivered"] == 1


# --- start: now ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "cursor", "at", "late", "after"),
    [
        ("bigint", "n", 5000, 4999, 5001),
        ("bigint", "n::decimal(18,2)", 5000, 4999, 5001),
        *(
            ("timestamp", cursor, "2026-07-01 12:00", "2026-07-01 11:59", "2026-07-01 12:01")
            for name, cursor in TIMES.items()
            if name != "date"
        ),
        ("timestamp", "n::date", "2026-07-02 12:00", "2026-07-01 12:00", "2026-07-03 12:00"),
    ],
)
def test_what_comes_late_after_start_now_is_new_and_what_was_there_is_history(
    shop: Shop, kind: str, cursor: str, at: Any, late: Any, after: Any
) -> None:
    a_table(shop, kind, cursor, start="now")
    add(shop, there=late, newest=at)
    assert shop.sync().run["delivered"] == 0
    add(shop, late=late, after=after)

    assert shop.sync().run["delivered"] == 2
    assert shop.sync("--full").run["delivered"] == 0
    assert shop.stored == {"late": 1, "after": 1}


@pytest.mark.parametrize("cursor", ["n", "strftime(n, '%Y-%m-%d %H:%M:%S')"])
def test_a_longer_overlap_does_not_send_what_was_history(shop: Shop, cursor: str) -> None:
    a_table(shop, "timestamp", cursor, start="now")
    add(shop, old="2026-07-01 08:00", newest="2026-07-01 12:00")
    shop.sync()
    shop.configure(cursor="cursor: {column: n, overlap: 30d}")

    assert shop.sync().run["delivered"] == 0
    assert shop.sync("--full").run["delivered"] == 0


@pytest.mark.parametrize("cursor", ["n", "strftime(n, '%Y-%m-%d %H:%M:%S')"])
def test_a_floor_of_an_earlier_version_stays_where_history_ends(shop: Shop, cursor: str) -> None:
    """It was the newest cursor itself, and nothing before it was recorded."""
    a_table(shop, "timestamp", cursor, start="now")
    add(shop, newest="2026-07-01 12:00")
    shop.sync()
    with shop.ledger_connection() as ledger:
        ledger.execute("update watermarks set floor = '2026-07-01 12:00:00', left_behind = null")
    add(shop, history="2026-07-01 11:30")

    for arguments in ([], [], ["--full"]):
        done = shop.sync(*arguments)
        assert (done.code, done.run["delivered"], done.run["notes"]) == (0, 0, [])
    add(shop, new="2026-07-01 12:00")
    assert shop.sync().run["delivered"] == 1


# --- rows behind ---------------------------------------------------------------------------------


def test_a_reload_with_smaller_ids_is_told_and_read_by_a_full_sync(shop: Shop) -> None:
    a_table(shop, "bigint")
    add(shop, **{f"v{n}": n for n in range(5001, 5006)})
    shop.sync()
    is_quiet(shop)
    shop.execute("delete from w")
    add(shop, **{f"r{n}": n for n in range(1, 4)})

    told = told_by_all(shop)
    full = shop.sync("--full")
    add(shop, r4=4)

    assert "the newest n of the model is 3, far behind the watermark 5005" in told
    assert FULL in told
    assert (full.code, full.run["delivered"], full.run["watermark"]) == (0, 3, "3")
    assert shop.sync().run["delivered"] == 1
    is_quiet(shop)


def test_ids_that_begin_anew_for_the_same_rows_are_told_too(shop: Shop) -> None:
    a_table(shop, "bigint")
    add(shop, **{f"v{n}": n for n in range(5001, 5006)})
    shop.sync()
    shop.execute("update w set n = n - 5000")

    assert FULL in told_by_all(shop)
    assert shop.sync("--full").run["delivered"] == 0
    is_quiet(shop)


@pytest.mark.parametrize("cursor", ["n::date", "strftime(n, '%Y-%m-%dT%H:%M:%SZ')"])
def test_a_floor_in_the_future_is_told_by_each_run_and_none_reads(shop: Shop, cursor: str) -> None:
    """The clock of the first run was ahead, so a row of the future was the newest of the past."""
    a_table(shop, "timestamp", cursor, start="now")
    add(shop, old="2026-07-01 08:00")
    shop.sync()
    with shop.ledger_connection() as ledger:
        ledger.execute("update watermarks set floor = replace(floor, '2026-0', '2126-0')")
    add(shop, new="2026-07-03 08:00")

    for arguments in (["sync"], ["sync"], ["preview", "visits"], ["check"]):
        done = shop.connector(*arguments)
        assert done.code == 2
        assert "began with start: now at 2126-0" in done.said
    assert shop.stored == {}

    with shop.ledger_connection() as ledger:
        ledger.execute("update watermarks set floor = replace(floor, '2126-0', '2026-0')")
    assert shop.sync().run["delivered"] == 1


@pytest.mark.parametrize("cursor", ["n", "n at time zone 'UTC'", TIMES["text in UTC"]])
def test_what_is_new_once_a_clock_that_was_ahead_is_right_is_sent(shop: Shop, cursor: str) -> None:
    """By that of the first run, a row that was yet to come was the newest of the past."""
    in_utc = "cursor: {column: n, overlap: 0s, timezone: UTC}"
    a_table(shop, "timestamp", cursor, cursor=in_utc, start="now")
    add(shop, newest=ago(0))
    shop.sync()
    with shop.ledger_connection() as ledger:  # the clock was 4 minutes ahead: so is what it saw
        ledger.execute("update watermarks set value = '2062' || substr(value, 5)")
    add(shop, new=ago(4 / 60))

    assert shop.sync().run["delivered"] == 1
    assert shop.stored == {"new": 1}


def test_a_floor_of_texts_in_utc_is_no_time_of_the_cursor_s_zone(shop: Shop) -> None:
    """Cut to the minute it says no zone any more: read as New York's it lay hours ahead."""
    cursor = "cursor: {column: n, timezone: America/New_York}"
    a_table(shop, "timestamp", TIMES["text in UTC"], cursor=cursor, start="now")
    add(shop, old=ago(0.5))
    shop.sync()
    add(shop, new=ago(0))

    done = shop.sync()

    assert (done.code, done.run["delivered"]) == (0, 1)


def test_ids_that_begin_anew_below_a_floor_are_told_with_another_way_out(shop: Shop) -> None:
    a_table(shop, "bigint", start="now")
    add(shop, **{f"v{n}": n for n in range(5001, 5006)})
    shop.sync()
    shop.execute("update w set n = n - 5000")

    told = told_by_all(shop)

    assert FULL not in told
    assert "give the activation a new name" in told


def test_times_of_an_earlier_year_are_told_where_nobody_knows_their_rows(shop: Shop) -> None:
    a_table(shop, "timestamp")
    add(shop, a=ago(24))
    shop.sync()
    shop.execute("delete from w")
    add(shop, b="2019-01-01", c="2019-01-02")

    assert "far behind the watermark" in told_by_all(shop)


@pytest.mark.parametrize(
    ("kind", "before", "after", "why"),
    [
        ("varchar", ["8", "9"], "10", "10 comes before 9"),
        ("bigint", [1764500000, 17645000100], 1764501200, "too large"),
        ("bigint", [5000, 9000], 7000, "later than `overlap` allows for"),
    ],
)
def test_a_new_row_behind_the_place_that_is_read_from_is_told(
    shop: Shop, kind: str, before: list[Any], after: Any, why: str
) -> None:
    a_table(shop, kind)
    add(shop, **{f"v{value}": value for value in before})
    shop.sync()
    is_quiet(shop)
    add(shop, new=after)

    told = told_by_all(shop)

    assert why in told
    assert "1 row of the model (such as new) stands behind" in told
    assert FULL in told
    assert shop.connector("preview", "visits", "--json").json["behind"] == 1
    assert shop.sync("--full").run["delivered"] == 1
    is_quiet(shop)


def test_numbers_that_are_texts_are_told_before_a_row_is_passed_over(shop: Shop) -> None:
    a_table(shop, "varchar")
    add(shop, a="9", b="10")

    assert "numbers that are texts" in shop.connector("check", "visits").out


@pytest.mark.parametrize("gone", ["n < 9000", "n = 9500", "n > 5000"])
def test_a_model_that_loses_rows_is_nothing_to_be_told(shop: Shop, gone: str) -> None:
    """One that keeps a window of rows, or from which a row was removed."""
    a_table(shop, "bigint", cursor="cursor: {column: n, overlap: 10}")
    add(shop, a=5000, b=9000, c=9500)
    shop.sync()
    shop.execute(f"delete from w where {gone}")

    is_quiet(shop)


def test_a_window_without_rows_is_nothing_to_be_told(shop: Shop) -> None:
    a_table(shop, "timestamp")
    add(shop, a=ago(24))
    shop.sync()
    shop.execute("delete from w")

    is_quiet(shop)


def test_rows_that_an_edit_left_behind_are_no_fault_but_later_ones_are_told(shop: Shop) -> None:
    a_table(shop, "bigint", model="select * from w where id <> 'left'")
    add(shop, left=1, a=5000, b=9000)
    shop.sync()
    shop.configure(model="select * from w")

    is_quiet(shop)
    is_quiet(shop)
    add(shop, late=7000)
    assert "1 row of the model" in told_by_all(shop)


def test_a_ledger_of_an_earlier_version_is_not_blamed_for_what_it_left_behind(shop: Shop) -> None:
    a_table(shop, "bigint")
    add(shop, a=9000)
    shop.sync()
    with shop.ledger_connection() as ledger:
        ledger.execute("update watermarks set left_behind = null")
    add(shop, b=5000)

    is_quiet(shop)
    add(shop, c=5001)
    assert "1 row of the model" in told_by_all(shop)


def test_history_stays_history_when_start_is_edited_and_that_is_told_once(shop: Shop) -> None:
    a_table(shop, "timestamp", start="now")
    add(shop, old=ago(2))
    assert shop.sync().run["delivered"] == 0
    shop.configure(start="all")

    told = shop.connector("preview", "visits", "--json").json["notes"]
    first, second = shop.sync().run, shop.sync().run

    assert "which changes nothing" in " ".join(told)
    assert "which changes nothing" in " ".join(first["notes"])
    assert (first["delivered"], second["notes"]) == (0, [])


def test_rows_before_the_start_are_not_behind(shop: Shop) -> None:
    a_table(shop, "timestamp", start="2026-07-01T00:00:00Z")
    add(shop, a="2026-08-01", b="2026-06-01")
    shop.sync()
    add(shop, c="2026-06-02")

    is_quiet(shop)


# --- another kind --------------------------------------------------------------------------------

CASTS = [
    ("timestamp", "n::date", "n", "dates", "times without a zone"),
    ("timestamp", "n", "n::date", "times without a zone", "dates"),
    ("timestamp", "n", "n::timestamptz", "times without a zone", "times with a zone"),
    ("timestamp", "n::timestamptz", "n", "times with a zone", "times without a zone"),
    ("timestamp", "n::date", "n::timestamptz", "dates", "times with a zone"),
    ("timestamp", "n", "strftime(n, '%Y-%m-%d %H:%M')", "times without a zone", "texts written"),
    ("timestamp", "strftime(n, '%Y-%m-%d')", "strftime(n, '%Y-%m-%dT%H:%M')", "texts", "texts"),
    ("timestamp", "n", "epoch(n)::bigint", "times without a zone", "integers"),
    ("bigint", "n", "n::decimal(18,2)", "integers", "decimals"),
    ("bigint", "n::decimal(18,2)", "n", "decimals", "integers"),
    ("bigint", "n", "n::varchar", "integers", "texts"),
]


def changed(shop: Shop, kind: str, before: str, after: str, **options: str) -> Done:
    """The run after the cursor's column has become another kind; a row is new meanwhile."""
    first, second, third = (
        (1000, 9000, 9001)
        if kind == "bigint"
        else ("2026-06-01 10:00", "2026-09-01 11:00", "2026-09-01 11:30")
    )
    a_table(shop, kind, before, **options)
    add(shop, a=first)
    shop.sync()
    add(shop, b=second)
    shop.sync()
    shop.configure(model=model(after))
    add(shop, c=third)
    return shop.sync()


@pytest.mark.parametrize(
    ("kind", "before", "after", "was", "is_now"), in_short(CASTS, slice(0, None, 2))
)
def test_a_cursor_of_another_kind_is_told_read_once_as_a_whole_and_gone_on_with(
    shop: Shop, kind: str, before: str, after: str, was: str, is_now: str
) -> None:
    done = changed(shop, kind, before, after)

    (told,) = done.run["notes"]
    assert f"holds {is_now}" in told
    assert f"held {was}" in told
    assert (done.run["read"], done.run["delivered"]) == (3, 1)
    assert shop.sync().run["notes"] == []
    add(shop, d=9002 if kind == "bigint" else "2026-09-02 10:00")
    shop.sync()
    assert shop.stored == {"a": 1, "b": 1, "c": 1, "d": 1}


@pytest.mark.parametrize(
    ("kind", "before", "after", "was", "is_now"), in_short(CASTS, slice(1, None, 2))
)
def test_a_cursor_of_another_kind_never_sends_what_was_history(
    shop: Shop, kind: str, before: str, after: str, was: str, is_now: str
) -> None:
    done = changed(shop, kind, before, after, start="now")
    shop.sync("--full")

    if done.run["status"] == "stopped":
        assert done.code == 2
        assert f"held {was}" in done.run["error"]
        assert "give the activation a new name" in done.run["error"]
        assert shop.stored == {"b": 1}
    else:
        assert f"holds {is_now}" in done.run["notes"][0]
        assert shop.stored == {"b": 1, "c": 1}
    assert (done.run["status"] == "stopped") == ("texts" in was + is_now or "epoch" in after)
