"""The main job: each row of a model is stored once at the destination."""

import json
import sqlite3
import time
from collections import Counter
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import URL

from connector.rules import absence
from connector.sandbox.behaviour import Faults, ReadFaults
from tests.whole.shop import Shop, behaving, contact_id


def test_every_row_is_stored_once_and_a_second_sync_sends_nothing(shop: Shop) -> None:
    shop.add_many(1200)

    first, posts = shop.sync(), shop.posts
    second = shop.sync()

    assert first.code == second.code == 0
    assert first.run["status"] == second.run["status"] == "succeeded"
    assert (first.run["read"], first.run["staged"], first.run["delivered"]) == (1200, 1200, 1200)
    assert second.run["delivered"] == 0
    assert posts == shop.posts == 1200
    assert set(shop.stored.values()) == {1}


def test_the_body_is_what_the_mapping_says(shop: Shop) -> None:
    shop.configure(payload="{visitId: id, price: price, free: free, date: seen_at, rating: rating}")
    shop.add({"id": "v1", "seen_at": "2026-07-01 10:00:00.123456", "price": "4.00", "rating": None})

    shop.sync()

    (stored,) = shop.sandbox.engage.interactions()
    assert stored.blob == (
        b'{"contactId":"%b","schemaId":"visit","createdDate":"2026-07-01T08:00:00.123456Z",'
        b'"payload":{"visitId":"v1","price":4.0,"free":true,'
        b'"date":"2026-07-01T10:00:00.123456+02:00"}}' % contact_id(1).encode()
    )


def test_every_request_carries_the_documented_headers(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(strict_user_agent=True)
    shop.add({"id": "v1"})

    assert shop.sync().code == 0
    agents = {entry.user_agent for entry in shop.sandbox.requests.entries()}
    assert agents == {"engage-connector/0.1.0"}


def test_a_late_row_within_the_overlap_is_sent_once(shop: Shop) -> None:
    shop.add({"id": "v1", "seen_at": "2026-11-01 12:00:00"})
    shop.sync()
    shop.add({"id": "late", "seen_at": "2026-11-01 11:15:00"})

    shop.sync()
    shop.sync()

    assert shop.stored == {"v1": 1, "late": 1}


def test_rows_that_share_the_watermark_are_sent_once_whenever_they_come(shop: Shop) -> None:
    shop.configure(cursor="cursor: {column: seen_at, overlap: 0}")
    for number in range(4):
        shop.add({"id": f"v{number}"})
        shop.sync()

    assert shop.stored == {"v0": 1, "v1": 1, "v2": 1, "v3": 1}


def test_a_row_dated_in_the_future_hides_none_that_comes_after_it(shop: Shop) -> None:
    shop.add({"id": "typo", "seen_at": "2062-01-01 00:00:00"})
    shop.sync()
    shop.execute("insert into visits select 'now', now()::timestamp, contact, sku, 5, 1, true"
                 " from visits limit 1")  # fmt: skip

    shop.sync()

    assert shop.stored == {"typo": 1, "now": 1}


def test_an_edited_mapping_or_model_sends_nothing_again(shop: Shop) -> None:
    shop.add_many(50)
    shop.sync()
    shop.configure(
        payload="{visitId: id, price: price}",
        model="select *, 'new' as more from visits -- edited",
    )
    shop.execute("update visits set rating = 1, sku = 'other'")

    shop.sync()

    assert shop.posts == 50


def test_another_cursor_column_reads_everything_again_and_sends_nothing_again(shop: Shop) -> None:
    shop.add_many(20)
    shop.sync()
    shop.configure(model="select *, seen_at + interval 1 year as loaded_at from visits",
                   cursor="cursor: loaded_at")  # fmt: skip
    shop.add({"id": "old", "seen_at": "2020-01-01 00:00:00"})

    done = shop.sync()

    assert (done.run["read"], done.run["delivered"]) == (21, 1)
    assert set(shop.stored.values()) == {1}


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [("identifier", "email", None), ("row_key", "sku", "row_key"), ("schema_id", "x", "schema")],
)
def test_what_would_make_rows_new_again_is_refused(
    shop: Shop, option: str, value: str, word: str | None
) -> None:
    shop.add({"id": "v1"})
    shop.sync()
    if option == "identifier":
        shop.execute("update visits set contact = 'c1@example.com'")
        shop.configure(identifier=value)
    else:
        text = shop.config.read_text()
        before = {"row_key": "row_key: id", "schema_id": "schema_id: visit"}[option]
        shop.config.write_text(text.replace(before, f"{option}: {value}"))

    done = shop.sync()

    assert shop.posts == 1
    assert done.code == (0 if word is None else 2)
    if word:
        assert word in done.run["error"]


def test_invalid_rows_are_never_posted_and_each_has_its_reason(shop: Shop) -> None:
    shop.add(
        {"id": "good"},
        {"id": "too-much", "rating": 7},
        {"id": "nobody", "contact": None},
        {"id": "timeless", "seen_at": None},
    )

    done = shop.sync()

    assert done.code == 1
    assert (done.run["status"], done.run["invalid"]) == ("attention", 3)
    assert shop.stored == {"good": 1}
    rows = shop.connector("quarantine", "list", "--json").json["rows"]
    assert {row["row_key"]: row["reason"].split(":")[0] for row in rows} == {
        "too-much": "rating",
        "nobody": "contact",
        "timeless": "cursor",
    }


def test_a_corrected_row_is_sent_and_an_edited_one_that_was_sent_is_not(shop: Shop) -> None:
    shop.add({"id": "broken", "rating": 9}, {"id": "fine"})
    shop.sync()
    shop.execute("update visits set rating = 5 where id = 'broken'")
    shop.execute("update visits set rating = 1 where id = 'fine'")

    done = shop.sync()

    assert (done.run["delivered"], done.run["invalid"]) == (1, 0)
    assert shop.stored == {"broken": 1, "fine": 1}
    assert shop.state("broken") == "delivered"


def test_a_row_key_that_repeats_is_sent_once_and_reported(shop: Shop) -> None:
    shop.add({"id": "twice"}, {"id": "twice", "seen_at": "2026-11-01 10:00:01"}, {"id": None})

    done = shop.sync()

    assert done.code == 1
    assert shop.stored == {"twice": 1}
    assert "repeated a row key (id), such as twice" in " ".join(done.run["notes"])
    assert "1 row without a usable row key" in " ".join(done.run["notes"])


def test_start_now_sends_nothing_that_was_there_and_everything_that_comes(shop: Shop) -> None:
    shop.configure(start="now")
    shop.add_many(30)

    first = shop.sync()
    shop.add(
        {"id": "tie", "seen_at": "2026-11-01 00:00:04"},
        {"id": "next", "seen_at": "2026-11-01 00:00:05"},
    )
    second = shop.sync()

    assert (first.code, first.run["delivered"], first.run["pending"]) == (0, 0, 0)
    assert second.run["delivered"] == 2
    assert shop.stored == {"tie": 1, "next": 1}


def test_start_now_without_a_cursor_sends_only_new_rows(shop: Shop) -> None:
    shop.configure(start="now", cursor="")
    shop.add_many(30)
    shop.sync()
    shop.add({"id": "next", "seen_at": "2020-01-01 00:00:00"})

    shop.sync()

    assert shop.stored == {"next": 1}


def test_a_start_time_leaves_older_rows_alone(shop: Shop) -> None:
    shop.configure(start="2026-11-01T10:00:00+01:00")
    shop.add({"id": "before", "seen_at": "2026-11-01 09:59:59.999999"}, {"id": "at"})

    shop.sync()

    assert shop.stored == {"at": 1}


@pytest.mark.parametrize("cursor", ["cursor: seen_at", ""])
def test_an_empty_model_is_no_trouble(shop: Shop, cursor: str) -> None:
    shop.configure(cursor=cursor, start="now")

    first = shop.sync()
    shop.add({"id": "v1"})
    second = shop.sync()

    assert (first.code, second.code) == (0, 0)
    assert shop.stored == {"v1": 1}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("ts", "timestamp '2026-11-01' + to_microseconds(i // 3)"),
        ("tz", "(timestamp '2026-11-01' + to_microseconds(i // 3)) at time zone 'Asia/Tokyo'"),
        ("ns", "make_timestamp_ns(1793491200000000000 + i // 3)"),
        ("day", "date '2026-11-01' + (i // 3)::int"),
        ("number", "i // 3"),
        ("huge", "(i // 3)::hugeint * 100000000000000000000"),
        ("amount", "((i // 3) / 100)::decimal(9,2)"),
        ("word", "printf('%05d', i // 3)"),
    ],
)
def test_every_kind_of_cursor_reads_on_where_it_stopped(
    shop: Shop, column: str, values: str
) -> None:
    shop.configure(
        model=f"select id, seen_at, contact, sku, rating, {values} as {column}"
        " from (select *, replace(id, 'v', '')::int as i from visits)",
        cursor=f"cursor: {column}",
    )
    shop.add_many(40)
    shop.sync("--limit", "17")
    shop.add_many(20, first=40)

    while shop.sync("--limit", "17").run["delivered"]:
        pass

    assert shop.stored == Counter(f"v{i}" for i in range(60))
    assert shop.sync().run["staged"] == 0


def test_a_limit_sends_at_most_so_many_rows_and_forgets_none(shop: Shop) -> None:
    shop.add_many(25)

    sent = [shop.sync("--limit", "10").run["delivered"] for _ in range(4)]

    assert sent == [10, 10, 5, 0]
    assert len(shop.stored) == 25


def test_a_limit_forgets_no_row_behind_one_that_cannot_be_recorded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.sync.reading.BATCH", 3)
    shop.configure(cursor="cursor: {column: seen_at, overlap: 1s}")
    shop.add({"id": None}, {"id": "v1"}, {"id": "v1"}, {"id": "v2"})
    shop.add(*({"id": f"w{n}", "seen_at": "2026-11-01 11:00:00"} for n in range(4)))

    while shop.sync("--limit", "2").run["delivered"]:
        pass

    assert shop.stored == dict.fromkeys(["v1", "v2", "w0", "w1", "w2", "w3"], 1)


def test_a_limit_makes_no_news_of_history(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.sync.reading.BATCH", 3)
    shop.configure(start="now")
    shop.add(*({"id": f"old{n}"} for n in range(7)))

    shop.sync("--limit", "2")
    shop.sync()

    assert shop.stored == {}


def test_a_run_that_would_pass_a_limit_is_held_until_it_is_approved(shop: Shop) -> None:
    shop.configure(limits="{rows: 20}")
    shop.add_many(21)

    held = shop.sync()
    shop.add_many(5, first=21)
    approved = shop.sync("--approve")

    assert (held.code, held.run["status"], held.run["delivered"]) == (1, "held", 0)
    assert "limits.rows is 20" in " ".join(held.run["notes"])
    assert (approved.code, approved.run["delivered"]) == (0, 21)  # exactly those that were held
    assert shop.sync().run["delivered"] == 5


def test_too_many_invalid_rows_hold_the_run_until_it_is_approved(shop: Shop) -> None:
    shop.configure(limits="{refused: 10%}")
    shop.add_many(8)
    shop.add({"id": "bad", "rating": 77})

    held = [shop.sync().run["status"] for _ in range(3)]
    posts = shop.posts
    approved = shop.sync("--approve")

    assert (held, posts) == (["held"] * 3, 0)
    assert (approved.run["delivered"], shop.sync().run["status"]) == (8, "attention")


def test_too_many_rejected_rows_hold_the_rest_of_a_run(shop: Shop) -> None:
    shop.configure(limits="{refused: 10%}", concurrency=4)
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={400: 1.0}))
    shop.add_many(100)

    held, posts = shop.sync(), shop.posts
    shop.sandbox.behaviour = behaving()
    still = shop.sync()
    shop.add_many(5, first=100)
    approved = shop.sync("--approve")

    assert (held.code, held.run["status"]) == (1, "held")
    assert held.run["rejected"] == posts in range(11, 16)  # the 11th, and what was under way
    assert f"held: {posts} rejected of 100 rows" in held.run["notes"][-1]
    assert (still.run["status"], still.run["delivered"]) == ("held", 0)
    assert approved.run["delivered"] == 100 - posts
    assert shop.sync().run["delivered"] == 5


@pytest.mark.parametrize("mode", ["append", "mirror"])
def test_identifiers_that_no_contact_can_have_hold_a_run_before_its_first_request(
    shop: Shop, mode: str
) -> None:
    shop.configure(more=f"mode: {mode}", limits="{refused: 10%}", concurrency=1)
    if mode == "mirror":
        shop.configure(cursor="")
    shop.add_many(8)
    shop.add(*({"id": f"x{n}", "seen_at": "2026-11-02", "contact": "nobody"} for n in range(2)))

    foreseen = shop.connector("preview", "visits", "--json").json["outlook"]
    held, posts = shop.sync(), shop.posts
    still = shop.sync()
    approved = shop.sync("--approve")

    assert foreseen["would"] == "be_held"
    assert (held.code, held.run["status"], held.run["rejected"], posts) == (1, "held", 2, 0)
    assert held.run["notes"][-1] == f"held: {foreseen['because']}"
    assert "2 rejected of 10 rows" in foreseen["because"]
    assert (still.run["status"], still.run["delivered"]) == ("held", 0)
    assert (approved.run["delivered"], shop.posts) == (8, 8)


def test_an_approved_run_goes_on_whatever_is_rejected(shop: Shop) -> None:
    shop.configure(limits="{refused: 10%, rows: 3}")
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={400: 1.0}))
    shop.add_many(20)
    shop.sync()

    assert shop.sync("--approve").run["rejected"] == 20


def test_rejected_rows_that_are_tried_again_end_their_hold(shop: Shop) -> None:
    shop.configure(limits="{refused: 10%}")
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={400: 1.0}))
    shop.add_many(50)
    shop.sync()
    shop.sandbox.behaviour = behaving()
    shop.connector("quarantine", "retry", "visits")

    assert shop.sync().run["delivered"] == 50


def test_contacts_that_stayed_unknown_do_not_hold_the_rows_of_another_run(shop: Shop) -> None:
    shop.configure(limits="{refused: 10%}", identifier="email", wait="1s")
    shop.add(*({"id": f"u{n}", "contact": f"nobody{n}@example.com"} for n in range(5)))
    shop.sync()
    shop.add(*({"id": f"k{n}", "contact": "c1@example.com"} for n in range(5)))
    time.sleep(1.1)

    later = shop.sync()

    assert later.run["rejected"] == 5
    assert (later.run["status"], later.run["delivered"]) == ("attention", 5)


def test_a_hold_survives_a_run_that_was_stopped(shop: Shop) -> None:
    shop.configure(limits="{rows: 5}")
    shop.add_many(8)
    shop.sync()
    text = shop.config.read_text()
    shop.config.write_text(text.replace("api_key: sandbox", "api_key: wrong"))
    stopped = shop.sync()
    shop.config.write_text(text)
    (status,) = shop.connector("status", "--json").json["activations"]
    shop.add_many(3, first=8)

    approved = shop.sync("--approve")

    assert stopped.run["status"] == "stopped"
    assert "limits.rows is 5" in status["held"]
    assert shop.connector("status", "--json").json["activations"][0]["held"] is None
    assert approved.run["delivered"] == 8


def test_a_higher_limit_lets_a_held_run_go(shop: Shop) -> None:
    shop.configure(limits="{rows: 5}")
    shop.add_many(8)
    shop.sync()
    shop.configure(limits="{rows: 50}")

    assert shop.sync().run["delivered"] == 8


def test_contacts_are_looked_up_once_each(shop: Shop) -> None:
    shop.add_many(60)
    shop.execute("update visits set contact = 'c' || (replace(id, 'v', '')::int % 10)"
                 " || '@example.com'")  # fmt: skip
    shop.configure(identifier="email")

    shop.sync()

    assert len(shop.stored) == 60
    assert shop.sandbox.requests.count("GET /contacts/id") == 10


def test_unknown_contacts_wait_and_are_sent_when_they_appear(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "new@example.com"})

    first = shop.sync()
    shop.sandbox.engage.add_contact({"contactId": contact_id(77), "email": "new@example.com"})
    second = shop.sync()

    assert (first.code, first.run["waiting"]) == (0, 1)
    assert (second.run["delivered"], second.run["waiting"]) == (1, 0)
    assert shop.stored == {"v1": 1}


def test_contacts_that_cannot_be_found_are_rejected_with_the_reason(shop: Shop) -> None:
    shop.configure(identifier="email", wait="0")
    shop.sandbox.engage.add_contact({"contactId": contact_id(98), "email": "two@example.com"})
    shop.sandbox.engage.add_contact({"contactId": contact_id(99), "email": "two@example.com"})
    shop.add(
        {"id": "malformed", "contact": "no address"},
        {"id": "ambiguous", "contact": "two@example.com"},
        {"id": "unknown", "contact": "nobody@example.com"},
    )

    done = shop.sync()

    assert (done.code, done.run["rejected"], shop.posts) == (1, 3, 0)
    rows = shop.connector("quarantine", "list", "--json").json["rows"]
    reasons = {row["row_key"]: row["reason"] for row in rows}
    assert "malformed" in reasons["malformed"]
    assert "2 contacts" in reasons["ambiguous"]
    assert "contact_type" in reasons["ambiguous"]
    assert "no contact has this email" in reasons["unknown"]
    assert "example.com" not in str(rows)


def test_a_rejected_row_whose_contact_alone_was_corrected_is_sent(shop: Shop) -> None:
    shop.add({"id": "v1", "contact": contact_id(555)})
    first, unchanged = shop.sync().run, shop.sync().run
    shop.execute(f"update visits set contact = '{contact_id(2)}'")

    corrected = shop.sync().run

    assert (first["rejected"], unchanged["rejected"], corrected["delivered"]) == (1, 0, 1)
    assert [i.contact_id for i in shop.sandbox.engage.interactions()] == [contact_id(2)]


def test_a_malformed_contact_id_is_rejected_without_a_request(shop: Shop) -> None:
    shop.add({"id": "v1", "contact": "4711"})

    done = shop.sync()

    assert (done.run["rejected"], shop.posts) == (1, 0)


def test_what_the_destination_refuses_is_rejected_in_its_words(shop: Shop) -> None:
    shop.add({"id": "v1", "contact": contact_id(555)}, {"id": "v2"})

    done = shop.sync()

    assert (done.code, done.run["rejected"], done.run["delivered"]) == (1, 1, 1)
    story = shop.connector("explain", "visits", "v1", "--json").json
    assert story["state"] == "rejected"
    assert "404" in story["reason"]
    assert story["attempts"][0]["outcome"] == "refused"
    assert story["attempts"][0]["http_status"] == 404


def test_a_busy_destination_gets_every_row_in_the_end(shop: Shop) -> None:
    faults = Faults(too_many=0.3)
    shop.sandbox.behaviour = behaving(faults=faults, retry_after=0, seed=3)
    shop.add_many(60)

    while shop.sync().run["pending"]:
        pass

    assert shop.stored == Counter(f"v{i}" for i in range(60))


@pytest.mark.parametrize(
    "faults",
    [
        Faults(status_before={500: 1.0}),
        Faults(status_after={503: 1.0}),
        Faults(reset_before=1.0),
        Faults(reset_after=1.0),
        Faults(hang_after=1.0, hang_seconds=3),
        Faults(truncate_after=1.0),
        Faults(cut_after=1.0),
        Faults(no_id_after=1.0),
        Faults(html_after=1.0),
    ],
    ids=lambda faults: ",".join(sorted(faults.model_fields_set - {"hang_seconds"})),
)
def test_without_an_answer_to_trust_a_row_is_not_sent_again(shop: Shop, faults: Faults) -> None:
    shop.configure(timeout="1s")
    unreadable = ReadFaults(status={500: 1.0})
    shop.sandbox.behaviour = behaving(faults=faults, read_faults=unreadable)
    shop.add({"id": "v1"})

    first = shop.sync()
    shop.sandbox.behaviour = behaving()
    second = shop.sync()

    stored = len(shop.stored)
    assert (first.code, first.run["in_doubt"]) == (1, 1)
    assert shop.posts == 1
    assert (second.run["delivered"], second.run["in_doubt"]) == (stored, 1 - stored)
    assert shop.state("v1") == ("delivered" if stored else "in_doubt")


def test_a_destination_that_only_makes_doubts_is_soon_left_alone(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(status_after={500: 1.0}))
    shop.add_many(300)

    done = shop.sync()

    assert (done.code, done.run["status"]) == (3, "stopped")
    assert shop.posts < 60
    assert done.run["in_doubt"] + done.run["pending"] == 300


@pytest.mark.parametrize(
    ("status", "word"), [(401, "API key"), (403, "API key"), (302, "redirect"), (405, "405")]
)
def test_what_no_row_would_get_through_stops_the_run_and_burns_none(
    shop: Shop, status: int, word: str
) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={status: 1.0}))
    shop.add_many(40)

    done = shop.sync()
    shop.sandbox.behaviour = behaving()
    again = shop.sync()

    assert (done.code, done.run["status"], done.run["pending"]) == (3, "stopped", 40)
    assert word in done.run["error"]
    assert again.run["delivered"] == 40
    assert set(shop.stored.values()) == {1}


def test_a_wrong_key_stops_before_any_row_is_read(shop: Shop) -> None:
    shop.add_many(5)
    text = shop.config.read_text().replace("api_key: sandbox", "api_key: s3cr3t-but-wrong")
    shop.config.write_text(text)

    done = shop.sync()

    assert done.code == 3
    assert (done.run["read"], done.run["staged"]) == (0, 0)
    assert "API key" in done.run["error"]
    assert "s3cr3t" not in done.out + done.err


def test_a_destination_that_is_down_stops_the_run(shop: Shop) -> None:
    shop.add_many(5)
    shop.config.write_text(shop.config.read_text().replace(shop.sandbox.url, "http://127.0.0.1:9"))

    done = shop.sync()

    assert (done.code, done.run["status"]) == (3, "stopped")
    assert "could not connect" in done.run["error"]


def test_the_ledger_forgets_the_body_and_the_contact_once_a_row_is_delivered(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c3@example.com", "sku": "very-private-sku"})

    shop.sync()

    with sqlite3.connect(shop.ledger_file) as connection:
        (row,) = connection.execute("select * from deliveries").fetchall()
    connection.close()
    assert "c3@example.com" not in str(row)
    assert "very-private-sku" not in str(row)


def test_the_rate_is_kept_for_look_ups_and_interactions_together(shop: Shop) -> None:
    shop.configure(rate=100, identifier="email")
    shop.add_many(100)
    shop.execute("update visits set contact = 'c' || (replace(id, 'v', '')::int % 10)"
                 " || '@example.com'")  # fmt: skip

    shop.sync()

    assert len(shop.stored) == 100
    assert shop.sandbox.requests.peak_per_second <= 103


def test_both_versions_of_the_api_are_spoken(shop: Shop) -> None:
    shop.add({"id": "v1"})
    shop.config.write_text(
        shop.config.read_text().replace("type: engage", "type: engage\n    api_version: v2")
    )

    assert shop.sync().code == 0
    paths = {entry.path for entry in shop.sandbox.requests.entries()}
    assert all(path.startswith("/api/v2/") for path in paths)


def test_the_sandbox_shows_what_it_received(shop: Shop) -> None:
    shop.add({"id": "v1", "sku": "sku-1"})
    shop.sync()

    page = httpx.get(shop.sandbox.url).text

    assert "sku-1" in page


def test_without_a_created_date_the_time_of_staging_is_sent(shop: Shop) -> None:
    shop.config.write_text(shop.config.read_text().replace("    created_date: seen_at\n", ""))
    shop.add({"id": "v1"})
    before = datetime.now(UTC)

    shop.sync()

    (stored,) = shop.sandbox.engage.interactions()
    assert before <= datetime.fromisoformat(json.loads(stored.blob)["createdDate"])
    assert datetime.fromisoformat(json.loads(stored.blob)["createdDate"]) <= datetime.now(UTC)


def test_a_composite_row_key_is_one_row_each(shop: Shop) -> None:
    shop.config.write_text(shop.config.read_text().replace("row_key: id", "row_key: [sku, id]"))
    shop.add({"id": "a", "sku": "x|y"}, {"id": "y|a", "sku": "x"}, {"id": "b", "sku": "x"})

    done = shop.sync()

    assert done.run["delivered"] == 3
    assert shop.state("x|b") == "delivered"
    assert shop.state(r"x\|y|a") == "delivered"


def test_a_sqlite_warehouse_does_the_same(shop: Shop) -> None:
    file = shop.path / "shop.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("create table visits (id integer primary key, seen_at text,"
                           " contact text, rating numeric, free integer)")  # fmt: skip
        rows = [(i, f"2026-11-01 10:00:{i:02}", contact_id(1), 4, i % 2) for i in range(30)]
        connection.executemany("insert into visits values (?, ?, ?, ?, ?)", rows)
    connection.close()
    shop.configure(payload="{visitId: id, free: free, rating: rating, date: seen_at}")
    shop.config.write_text(
        shop.config.read_text()
        .replace("duckdb:///shop.duckdb", "sqlite:///shop.sqlite")
        .replace("{column: seen_at, overlap: 1h}", "seen_at")
    )

    first, second = shop.sync(), shop.sync()

    assert (first.run["delivered"], second.run["delivered"]) == (30, 0)
    payload = shop.sandbox.engage.interactions()[0].payload
    assert payload["visitId"] in {str(i) for i in range(30)}
    assert isinstance(payload["free"], bool)
    assert payload["date"].startswith("2026-11-01T10:00:")
    assert payload["date"].endswith("+01:00")


def a_sqlite_shop(shop: Shop, *times: object) -> None:
    """The shop with a SQLite warehouse, whose cursor is what `times` hold."""
    with sqlite3.connect(shop.path / "shop.sqlite") as connection:
        connection.execute("create table if not exists visits (id integer primary key,"
                           " seen_at timestamp, contact text)")  # fmt: skip
        rows = [(at, contact_id(1)) for at in times]
        connection.executemany("insert into visits (seen_at, contact) values (?, ?)", rows)
    connection.close()
    shop.configure(payload="{visitId: id}", cursor="cursor: seen_at")
    shop.config.write_text(
        shop.config.read_text().replace("duckdb:///shop.duckdb", "sqlite:///shop.sqlite")
    )


def test_a_text_that_is_a_time_in_the_future_hides_nothing(shop: Shop) -> None:
    a_sqlite_shop(shop, "2026-01-01 00:00:00", "2099-01-01 00:00:00")
    shop.sync()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    a_sqlite_shop(shop, now)

    shop.sync()

    assert shop.stored == {"1": 1, "2": 1, "3": 1}


def test_a_text_that_is_a_time_has_an_overlap(shop: Shop) -> None:
    a_sqlite_shop(shop, "2026-01-01 12:00:00.5")
    shop.sync()
    a_sqlite_shop(shop, "2026-01-01 12:00:00", "2026-01-01 11:30:00")

    shop.sync()

    assert shop.stored == {"1": 1, "2": 1, "3": 1}


@pytest.mark.parametrize("odd", ["garbage", 1790000000, "2026-01-01T10:00:00", "2026-01-02"])
def test_cursors_without_a_common_order_are_refused(shop: Shop, odd: object) -> None:
    a_sqlite_shop(shop, "2026-01-01 00:00:00", odd)

    done = shop.sync()

    assert (done.code, done.run["status"], shop.posts) == (2, "stopped", 0)
    assert "no common order" in done.run["error"]


def test_an_overlap_that_does_not_fit_is_refused_before_anything_is_sent(shop: Shop) -> None:
    shop.configure(cursor="cursor: {column: rating, overlap: 1h}")
    shop.add({"id": "v1"})

    done = shop.sync()

    assert (done.code, shop.posts) == (2, 0)
    assert "use a whole number" in done.run["error"]


def test_a_busy_destination_that_asks_for_no_pause_gets_the_row_in_the_same_run(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(too_many=0.2), retry_after=0, seed=9)
    shop.add_many(40)

    run = shop.sync().run

    assert (run["delivered"], run["pending"]) == (40, 0)


def test_a_contact_that_is_being_created_is_waited_for(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.sandbox.behaviour = behaving(lookup_faults=ReadFaults(status={409: 1.0}))
    shop.add({"id": "v1", "contact": "c1@example.com"})

    first = shop.sync().run

    assert first["rejected"] + first["waiting"] == 1
    assert shop.posts == 0


def test_one_address_that_cannot_be_looked_up_stops_no_other_row(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add(*({"id": f"v{i}", "contact": f"c{i % 10}@example.com"} for i in range(40)))
    shop.add({"id": "poison", "contact": "c1@example.com\u2028"})
    shop.sandbox.behaviour = behaving(lookup_faults=ReadFaults(status={500: 0.25}), seed=1)

    run = shop.sync().run

    assert run["status"] != "stopped"
    assert run["delivered"] >= 30


def test_a_constant_that_breaks_the_schema_is_refused(shop: Shop) -> None:
    shop.configure(payload="{visitId: id, rating: {value: five}}")
    shop.add({"id": "v1"})

    done = shop.sync()

    assert (done.code, done.run["staged"]) == (2, 0)
    assert "rating" in done.run["error"]


def test_what_stopped_a_run_is_on_record_with_its_status(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={403: 1.0}))
    shop.add({"id": "v1"})
    shop.sync()

    (attempt,) = shop.connector("explain", "visits", "v1", "--json").json["attempts"]

    assert (attempt["outcome"], attempt["http_status"]) == ("not_applied", 403)


def test_a_contact_type_narrows_the_look_up(shop: Shop) -> None:
    engage = shop.sandbox.engage
    for number, kind in ((1, "Member"), (2, "Guest")):
        engage.add_contact(
            {"contactId": contact_id(90 + number), "email": "x@example.com", "contactType": kind}
        )
    shop.configure(identifier="email, contact_type: Member")
    shop.add({"id": "v1", "contact": "x@example.com"})

    shop.sync()

    assert engage.interactions()[0].contact_id == contact_id(91)


def test_a_row_that_waits_too_long_for_its_contact_is_rejected(shop: Shop) -> None:
    shop.configure(identifier="email", wait="1s")
    shop.add({"id": "v1", "contact": "nobody@example.com"})
    first = shop.sync()

    deadline = time.monotonic() + 20
    while (run := shop.sync().run)["waiting"]:
        assert time.monotonic() < deadline

    assert (first.run["waiting"], run["rejected"]) == (1, 1)
    assert "the wait for it has ended" in str(shop.connector("quarantine", "list", "--json").json)


def test_an_attempt_that_is_too_old_is_not_sent(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was frozen between the record and the request must not send any more."""
    shop.add({"id": "v1"})
    monkeypatch.setattr(absence, "SEND_WITHIN", -1.0)
    monkeypatch.setattr(
        "connector.rules.delivery.WITHHELD_PAUSES", (0.05, 3600)
    )  # the second is for another run

    done = shop.sync()

    assert shop.posts == 0
    assert (done.run["in_doubt"], done.run["pending"]) == (0, 1)
    attempts = shop.connector("explain", "visits", "v1", "--json").json["attempts"]
    assert {attempt["outcome"] for attempt in attempts} == {"not_applied"}


def test_activations_that_fail_stop_no_other(shop: Shop) -> None:
    text = shop.config.read_text()
    other = text.partition("activations:\n")[2].replace("visits:", "broken:", 1)
    shop.config.write_text(text + other.replace("select * from visits", "select * from nowhere"))
    shop.add({"id": "v1"})

    done = shop.sync()

    statuses = {run["activation"]: run["status"] for run in done.json["runs"]}
    assert done.code == 2
    assert statuses == {"visits": "succeeded", "broken": "stopped"}


def test_a_postgresql_ledger_does_the_same(shop: Shop, postgresql_url: URL) -> None:
    shop.configure(
        ledger=postgresql_url.render_as_string(hide_password=False), timeout="1s", settle_after="1s"
    )
    shop.sandbox.behaviour = behaving(faults=Faults(status_after={500: 0.1}, reset_before=0.1))
    shop.add_many(200)

    first, second = shop.sync("--wait"), shop.sync()

    assert (first.run["delivered"], second.run["delivered"]) == (200, 0)
    assert shop.stored == Counter(f"v{i}" for i in range(200))
    assert not shop.ledger_file.exists()
