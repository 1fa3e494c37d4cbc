"""The text of a row's key is what it is known by: nothing may change it unnoticed."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.targets import in_short
from tests.whole.shop import Shop, contact_id

SEEN_AS_KEY = "select {} as id, * exclude (id) from visits"


def days(shop: Shop, number: int, first: int = 1) -> None:
    """Visits on so many days, each of one day of its own."""
    shop.add(
        *(
            {"id": str(i), "seen_at": f"2026-10-{i:02} 00:00:00", "price": f"{i}.00"}
            for i in range(first, first + number)
        )
    )


def keyed_by(shop: Shop, expression: str, **options: Any) -> None:
    """Configure the model so that its row key is this expression."""
    model = SEEN_AS_KEY.format(expression)
    shop.configure(model=model, payload="{visitId: sku}", **{"cursor": "", **options})


BY_TIME = "cursor: {column: seen_at, overlap: 1h}"
REFUSED = [
    ("seen_at::date", "seen_at"),
    ("seen_at", "seen_at::date"),
    ("seen_at", "seen_at::timestamptz"),
    ("seen_at", "seen_at::varchar"),
    ("seen_at::timestamp_ns", "seen_at"),
    ("id::int", "lpad(id, 4, '0')"),
    ("price + 0.5", "price::int"),
    ("id::varchar", "id::blob"),
    ("id::blob", "id::varchar"),
    ("md5(id)::uuid", "upper((md5(id)::uuid)::varchar)"),
    ("id::int > 0", "(id::int > 0)::int"),
]
ALLOWED = [
    ("id::int", "id::bigint"),
    ("id::int", "id::decimal(10, 2)"),
    ("id::decimal(9, 2)", "id::decimal(12, 4)"),
    ("id::int", "id"),
    ("id", "id::int"),
    ("price::double", "id::int"),
    ("md5(id)::uuid", "md5(id)::uuid::varchar"),
    ("seen_at::date", "seen_at::date::varchar"),
    ("seen_at", "seen_at::timestamp_s"),
    ("id::varchar", "id::text"),
]


@pytest.mark.parametrize(
    ("was", "now", "cursor"),
    in_short([(*REFUSED[0], BY_TIME), *((*pair, "") for pair in REFUSED)], slice(0, None, 2)),
)
def test_a_key_that_is_written_differently_is_refused_before_anything_is_recorded(
    shop: Shop, was: str, now: str, cursor: str
) -> None:
    days(shop, 1 if "> 0" in was else 5)
    keyed_by(shop, was, cursor=cursor)
    assert shop.sync().code == 0
    sent = shop.posts

    keyed_by(shop, now, cursor=cursor)
    days(shop, 2, first=20)
    commands = [shop.sync(), shop.connector("preview", "visits"), shop.connector("check")]

    assert [done.code for done in commands] == [2, 2, 2], commands
    assert all("its row_key held" in done.out + done.err for done in commands)
    assert "Ready" not in commands[2].out
    assert shop.posts == sent
    keyed_by(shop, was, cursor=cursor)
    assert shop.sync().code in (0, 1)
    assert shop.posts == sent + (0 if "> 0" in was else 2)


@pytest.mark.parametrize(
    ("was", "now", "cursor"),
    in_short([(*ALLOWED[3], BY_TIME), *((*pair, "") for pair in ALLOWED)], slice(0, None, 2)),
)
def test_a_key_that_is_written_the_same_goes_on(
    shop: Shop, was: str, now: str, cursor: str
) -> None:
    days(shop, 5)
    keyed_by(shop, was, cursor=cursor)
    shop.sync()

    keyed_by(shop, now, cursor=cursor)
    days(shop, 1, first=20)

    assert shop.connector("check").code == 0
    run = shop.sync().run
    assert (run["staged"], run["delivered"]) == (1, 1)
    assert shop.posts == 6


def test_one_changed_column_of_several_is_named(shop: Shop) -> None:
    shop.add({"id": "a|b"}, {"id": "c"})
    options = {"row_key": "[id, day]", "payload": "{visitId: id}", "cursor": ""}
    shop.configure(model="select *, seen_at::date as day from visits", **options)
    shop.sync()

    shop.configure(model="select *, seen_at as day from visits", **options)

    assert "the column day of its row_key held dates" in str(shop.sync().run["error"])


def test_a_model_without_rows_says_nothing_about_its_keys(shop: Shop) -> None:
    keyed_by(shop, "id")
    shop.sync()
    keyed_by(shop, "seen_at")
    days(shop, 2)

    assert shop.sync().run["delivered"] == 2


def test_an_old_ledger_learns_what_its_keys_hold_at_the_next_reading(shop: Shop) -> None:
    days(shop, 2)
    keyed_by(shop, "seen_at::date")
    shop.sync()
    with shop.ledger_connection() as ledger:
        ledger.execute("update watermarks set key_kinds = null, rereads = null")

    assert shop.sync().code == 0
    keyed_by(shop, "seen_at")
    assert shop.sync().code == 2


def test_sqlite_has_no_types_that_a_key_could_lose(shop: Shop) -> None:
    """There each value has its own: numbers, and later a text beside them."""
    with closing(sqlite3.connect(shop.path / "shop.db")) as other, other:
        other.execute("create table visits (id, seen_at, contact, sku, rating)")
        other.execute(
            "insert into visits values (1, '2026-10-01 10:00:00', ?, 's', 4)", [contact_id(1)]
        )
    text = shop.config.read_text().replace("duckdb:///shop.duckdb", "sqlite:///shop.db")
    shop.config.write_text(text.replace("visitId: id", "visitId: sku"))
    assert shop.sync().run["delivered"] == 1

    with closing(sqlite3.connect(shop.path / "shop.db")) as other, other:
        other.execute(
            "insert into visits values ('A7', '2026-10-01 11:00:00', ?, 's', 4)", [contact_id(1)]
        )
        other.execute("update visits set id = 1.0 where id = 1")

    assert shop.connector("check").code == 0
    assert shop.sync().run["delivered"] == 1
    assert shop.posts == 2


# --- keys that are not the same at each reading -------------------------------------------------

UNSTABLE = [
    "uuid()::varchar",
    "uuid()",
    "md5(random()::varchar)",
    "id || '-' || (epoch_us(current_localtimestamp()) + random() * 1000)::varchar",
]
CURSORS = [
    "",
    BY_TIME,
    "cursor: {column: seen_at, overlap: 0}",
]


@pytest.mark.parametrize(
    ("key", "cursor", "number"),
    in_short(
        [
            *((UNSTABLE[0], cursor, number) for number in (1, 40) for cursor in CURSORS),
            *((key, "", 7) for key in UNSTABLE[1:]),
        ],
        slice(0, None, 2),
    ),
)
def test_a_key_that_changes_at_each_reading_is_told_and_held(
    shop: Shop, key: str, cursor: str, number: int
) -> None:
    shop.add_many(number)
    keyed_by(shop, key, cursor=cursor)
    checked = shop.connector("check")
    shop.sync()
    preview = shop.connector("preview", "visits", "--json")
    held = shop.sync()
    again = shop.sync()

    assert checked.code == 2
    assert "is not the same at each reading" in checked.out
    assert "Ready" not in checked.out
    assert "the row key seems to change" in preview.json["outlook"]["because"]
    assert (held.code, held.run["status"]) == (1, "held")
    assert any("the row key seems to change" in note for note in held.run["notes"])
    assert again.run["status"] == "held"
    assert shop.posts == number


@pytest.mark.parametrize("cursor", CURSORS)
def test_what_is_held_is_given_up_and_a_stable_key_goes_on(shop: Shop, cursor: str) -> None:
    shop.add_many(12)
    keyed_by(shop, "id", cursor=cursor)
    shop.sync()
    keyed_by(shop, "uuid()::varchar", cursor=cursor)
    assert shop.sync().run["status"] == "held"

    keyed_by(shop, "id", cursor=cursor)
    given_up = shop.connector(
        "quarantine", "discard", "visits", "--state", "pending", "--yes", "--json"
    )
    shop.sync()
    shop.add_many(1, first=12)
    last = shop.sync()

    assert given_up.code == 0, given_up
    assert (last.code, last.run["delivered"]) == (0, 1)
    assert shop.posts == 13


def test_a_limited_run_sends_no_row_under_another_key(shop: Shop) -> None:
    shop.add_many(40)
    keyed_by(shop, "uuid()::varchar")
    shop.sync()

    assert shop.sync("--limit", "3").run["status"] == "held"
    assert shop.posts == 40


def test_history_under_other_keys_is_not_sent(shop: Shop) -> None:
    shop.add_many(20)
    keyed_by(shop, "uuid()::varchar", start="now")
    shop.sync()

    assert shop.sync().run["status"] == "held"
    assert shop.posts == 0


def test_an_approval_or_a_limit_lets_other_rows_go(shop: Shop) -> None:
    shop.add_many(20)
    shop.configure(cursor="")
    shop.sync()
    shop.execute("delete from visits")
    shop.add_many(20, first=100)
    held = shop.sync()
    approved = shop.sync("--approve")

    shop.execute("delete from visits")
    shop.add_many(20, first=200)
    shop.configure(limits="{changed_keys: 100%}")
    limited = shop.sync()

    assert held.run["status"] == "held"
    assert approved.run["delivered"] == limited.run["delivered"] == 20


@pytest.mark.parametrize("cursor", CURSORS)
def test_ordinary_changes_of_a_model_are_not_held(shop: Shop, cursor: str) -> None:
    """A window of retention, deletions, one row for another, an empty model, limited runs."""
    shop.configure(cursor=cursor)
    shop.add_many(60)
    assert shop.sync("--limit", "20").run["delivered"] == 20
    assert shop.sync("--limit", "20").run["delivered"] == 20
    assert shop.sync().run["delivered"] == 20

    shop.execute("delete from visits where id < 'v3'")  # a window that moves on
    shop.add_many(20, first=60)
    assert shop.sync().run["delivered"] == 20
    shop.execute("delete from visits where id not in ('v79', 'v78')")
    shop.add_many(5, first=80)
    assert shop.sync().run["delivered"] == 5
    shop.execute("delete from visits")
    assert shop.sync().run["status"] == "succeeded"
    shop.add({"id": "x1", "seen_at": "2026-11-02 10:00:00"})
    assert shop.sync().run["delivered"] == 1
    shop.execute("delete from visits")
    shop.add({"id": "x2", "seen_at": "2026-11-02 10:00:01", "sku": "another"})
    assert shop.sync().run["delivered"] == 1


def test_rows_that_are_all_new_each_day_are_not_held(shop: Shop) -> None:
    for day in range(1, 5):
        shop.execute("delete from visits")
        shop.configure(cursor="cursor: {column: seen_at, overlap: 0}")
        shop.add(
            *(
                {"id": f"{day}-{i}", "seen_at": f"2026-10-0{day} {i:02}:00:00", "sku": f"{day}-{i}"}
                for i in range(20)
            )
        )
        run = shop.sync().run
        assert (run["status"], run["delivered"]) == ("succeeded", 20)


def test_a_row_number_that_gives_rows_other_keys_is_told(shop: Shop) -> None:
    shop.add_many(100)
    shuffled = "(select * from visits order by random())"
    shop.configure(
        cursor="",
        payload="{visitId: sku}",
        model=f"select row_number() over () as id, * exclude (id) from {shuffled}",
    )

    checked = shop.connector("check")

    assert checked.code == 2
    assert "stood for rows of other contacts" in checked.out


def test_a_large_model_with_a_stable_key_is_ready(shop: Shop) -> None:
    shop.add_many(5000)

    assert shop.connector("check").code == 0
    shop.sync()
    assert shop.sync().run["status"] == "succeeded"
