"""A preview tells what a sync would do, and does none of it."""

import json
from pathlib import Path

import pytest

from connector.sandbox.behaviour import ReadFaults
from tests.whole.shop import SCHEMA, Shop, behaving, contact_id


def files(folder: Path) -> dict[str, bytes]:
    """All but what SQLite shares among those who have the ledger open: who reads stands there."""
    some = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".db-shm")
    return {str(path): path.read_bytes() for path in some}


def test_a_preview_writes_nothing_and_posts_nothing(shop: Shop) -> None:
    shop.add_many(30)
    before = files(shop.path)

    done = shop.connector("preview", "visits", "--json")

    assert done.code == 0
    assert files(shop.path) == before
    assert not shop.ledger_file.exists()
    assert shop.posts == 0


def test_a_preview_counts_what_a_sync_then_does(shop: Shop) -> None:
    shop.add_many(20)
    shop.sync()
    shop.add({"id": "new"}, {"id": "bad", "rating": 9}, {"id": "new", "sku": "again"})

    document = shop.connector("preview", "visits", "--json").json
    run = shop.sync().run

    assert document["new"] == run["delivered"] == 1
    assert document["invalid"] == run["invalid"] == 1
    assert document["already_recorded"] == 20
    assert document["repeated"] == 1
    assert document["reasons"] == [
        {"reason": "rating: an integer breaks the rule maximum 5", "count": 1, "example_key": "bad"}
    ]
    assert shop.connector("preview", "visits", "--json").json["new"] == 0


def test_a_preview_shows_the_very_bodies_that_a_sync_sends(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c3@example.com", "sku": "Å ∑ 😀"})

    (request,) = shop.connector("preview", "visits", "--json").json["requests"]
    shop.sync()

    (stored,) = shop.sandbox.engage.interactions()
    assert request["body"] == json.loads(stored.blob)
    assert request["body"]["contactId"] == contact_id(3)
    assert (request["row_key"], request["method"]) == ("v1", "POST")
    assert request["url"] == f"{shop.sandbox.url}/api/v3/interactions"


def test_a_preview_shows_as_many_requests_as_asked_for_and_estimates_the_time(shop: Shop) -> None:
    shop.configure(rate=50)
    shop.add_many(100)

    done = shop.connector("preview", "visits", "--limit", "3", "--json")

    assert len(done.json["requests"]) == 3
    assert done.json["estimated_seconds"] == 2.0
    assert "sandbox" not in done.out.replace(shop.sandbox.url, "")  # the API key


def test_rows_that_wait_in_the_ledger_are_shown_first_and_as_they_are_sent(shop: Shop) -> None:
    shop.add_many(5)
    shop.sandbox.behaviour = behaving(bad_key_status=401)
    shop.configure(key="wrong", concurrency=1)  # so that they come in the order of their sending
    assert shop.sync().code == 3
    shop.configure(key=shop.sandbox.api_key)
    shop.add({"id": "w1"})

    document = shop.connector("preview", "visits", "--json", "--limit", "4").json
    rest = shop.connector("preview", "visits", "--json").json["requests"]
    shop.sync("--limit", "4")

    assert document["pending"] + document["new"] == 6
    sent = [json.loads(stored.blob) for stored in shop.sandbox.engage.interactions()]
    assert [request["body"] for request in document["requests"]] == sent
    assert len(rest) == 6


@pytest.mark.parametrize("mirrors", [False, True])
def test_rows_that_no_contact_can_have_are_counted_as_rejected(shop: Shop, mirrors: bool) -> None:
    if mirrors:
        shop.configure(cursor="mode: mirror")
    shop.add_many(3)
    shop.execute("update visits set contact = 'nope' where id <> 'v1'")

    some = shop.connector("preview", "visits", "--json", "--limit", "1").json
    shop.execute("delete from visits where id = 'v1'")
    none = shop.connector("preview", "visits", "--json").json
    told = shop.connector("preview", "visits").out
    run = shop.sync().run

    assert (some["new"], some["rejected"], len(some["requests"])) == (1, 2, 1)
    assert sum(reason["count"] for reason in some["reasons"]) == 2
    assert (none["new"], none["rejected"], none["requests"]) == (0, 2, [])
    assert none["outlook"]["would"] == "send_nothing"
    assert "Nothing would be sent now: it is certain that no contact can have" in told
    assert "2 would be rejected" in " ".join(told.split())
    assert (run["delivered"], run["rejected"], shop.posts) == (0, 2, 0)


@pytest.mark.parametrize(
    "column",
    [
        "case when rating = 3 then '2026-10-24T23:00:00+02:00' else '2026-10-24T23:10:00Z' end",
        "case when rating = 3 then '2026-10-24 23:00' else 'soon' end",
    ],
)
def test_what_stops_a_sync_stops_a_preview_and_a_check(shop: Shop, column: str) -> None:
    shop.configure(
        model=f"select *, {column} as at from visits", cursor="cursor: {column: at}", rate=50
    )
    shop.add({"id": "v1", "rating": 3}, {"id": "v2", "rating": 4})

    done = [shop.connector(*words, "--json") for words in (("preview", "visits"), ("check",))]
    run = shop.sync()

    assert [each.code for each in (*done, run)] == [2, 2, 2]
    assert all("no common order" in each.out for each in (*done, run))


def test_an_offline_preview_asks_nobody(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add(
        {"id": "v1", "contact": "c3@example.com"},
        {"id": "bad", "contact": "c4@example.com", "rating": 9},
    )

    without_schema = shop.connector("preview", "visits", "--offline", "--json").json
    (shop.path / "schemas").mkdir()
    (shop.path / "schemas" / "visit.json").write_text(json.dumps(SCHEMA))
    with_schema = shop.connector("preview", "visits", "--offline", "--json").json

    assert shop.sandbox.requests.entries() == []
    assert (without_schema["new"], without_schema["invalid"]) == (2, 0)
    assert (with_schema["new"], with_schema["invalid"]) == (1, 1)
    assert with_schema["requests"][0]["body"]["contactId"] is None


def test_a_contact_that_cannot_be_found_is_told_instead_of_a_request(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "nobody@example.com"})

    document = shop.connector("preview", "visits", "--json").json

    assert document["requests"] == []
    assert document["reasons"][0]["example_key"] == "v1"


def test_a_preview_for_people_names_counts_and_reasons(shop: Shop) -> None:
    shop.add({"id": "v1"}, {"id": "bad", "rating": 9})

    text = shop.connector("preview", "visits").out

    assert "1  would be sent" in text
    assert "rating: an integer breaks the rule maximum 5" in text
    assert "Nothing was sent" in text


def test_a_preview_without_the_destination_says_so(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(read_faults=ReadFaults(status={500: 1.0}))
    shop.config.write_text(shop.config.read_text().replace(shop.sandbox.url, "http://127.0.0.1:9"))

    done = shop.connector("preview", "visits", "--json")

    assert done.code == 3
    assert done.json["error"]["kind"] == "destination"


def test_a_preview_tells_columns_that_can_never_fit_and_what_is_unused(shop: Shop) -> None:
    shop.configure(payload="{visitId: id, rating: sku}")
    shop.add({"id": "v1"}, {"id": "v2", "sku": None})

    document = shop.connector("preview", "visits", "--json").json

    assert (document["new"], document["invalid"]) == (1, 1)
    misfit, unused = document["mapping"]
    assert "the column sku is a text (VARCHAR), which never fits" in misfit
    assert "productSku" in unused
    assert "never fits" in shop.connector("preview", "visits").out


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ("{visitId: id, nope: sku}", 'no property "nope"'),
        ("{productSku: sku}", 'requires the property "visitId"'),
        ("{visitId: id, rating: {value: many}}", "rating"),
    ],
)
def test_an_offline_preview_holds_the_mapping_against_the_local_schema(
    shop: Shop, payload: str, word: str
) -> None:
    (shop.path / "schemas").mkdir()
    (shop.path / "schemas" / "visit.json").write_text(json.dumps(SCHEMA))
    shop.configure(payload=payload)

    done = shop.connector("preview", "visits", "--offline", "--json")

    assert done.code == 2
    assert word in done.json["error"]["message"]
    assert shop.sandbox.requests.entries() == []
