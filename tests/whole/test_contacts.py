"""Contacts: found by any identifier, asked for once, waited for, and never guessed."""

import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import duckdb
import pytest
from sqlalchemy import URL, create_engine, text

from connector.sandbox.behaviour import Faults, ReadFaults
from connector.sandbox.engage import contacts
from connector.sandbox.engage.store import Engage
from connector.sandbox.exchange import Refusal
from connector.sync import lookup
from tests.whole.shop import Shop, behaving, contact_id


def with_contacts(engage: Engage, number: int, first: int = 10) -> None:
    """More contacts, in the same manner as the ten that are there."""
    for n in range(first, number):
        engage.add_contact({"contactId": contact_id(n), "email": f"c{n}@example.com"})


def failing_for(value: str, look_up: Callable[..., tuple[str, str]]) -> Callable[..., Any]:
    """A look-up that answers with a 500 for one identifier, and else as `look_up`."""

    def failing(query: Mapping[str, str]) -> tuple[str, str]:
        kind, wanted = look_up(query)
        if wanted == value:
            raise Refusal(500, "Unexpected", "Something went wrong")
        return kind, wanted

    return failing


def reasons(shop: Shop) -> dict[str, str]:
    """Why rows are in the quarantine."""
    rows = shop.connector("quarantine", "list", "--json").json["rows"]
    return {row["row_key"]: row["reason"] for row in rows}


def attempts(shop: Shop, key: str) -> list[tuple[str, int | None]]:
    """The outcomes of the attempts on a row."""
    story = shop.connector("explain", "visits", key, "--json").json
    return [(attempt["outcome"], attempt["http_status"]) for attempt in story["attempts"]]


def test_a_run_whose_look_ups_all_fail_is_not_green_and_the_next_tries_them_again(
    shop: Shop,
) -> None:
    shop.configure(identifier="email")
    shop.add_by_email(3)
    shop.sandbox.behaviour = behaving(lookup_faults=ReadFaults(html=1.0))

    stopped, still = shop.sync(), shop.sync()
    shop.sandbox.behaviour = behaving()
    foretold = shop.connector("preview", "visits", "--json").json
    again = shop.sync()

    for each in (stopped, still):
        assert (each.code, each.run["status"], each.run["kind"]) == (3, "stopped", "destination")
        assert (each.run["pending"], each.run["resting"], each.run["retryable"]) == (3, 0, True)
        assert "the contact look-up gave no contactId" in each.run["error"]
    assert (foretold["pending"], len(foretold["requests"])) == (3, 3)
    assert (again.code, again.run["delivered"], again.run["pending"]) == (0, 3, 0)
    assert set(shop.stored.values()) == {1}


def test_an_address_that_cannot_be_looked_up_is_asked_for_once_a_run_and_stops_no_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.configure(identifier="email")
    shop.add(
        {"id": "poor", "contact": "c0@example.com"}, {"id": "good", "contact": "c1@example.com"}
    )

    with monkeypatch.context() as there:
        there.setattr(contacts, "_lookup", failing_for("c0@example.com", contacts._lookup))
        first = shop.sync("--wait")
        asked = shop.look_ups
        shop.add({"id": "more", "contact": "c2@example.com"})
        second = shop.sync("--wait")
    last = shop.sync()

    for each in (first, second):
        assert (each.code, each.run["status"]) == (1, "attention")
        assert (each.run["delivered"], each.run["pending"]) == (1, 1)
        assert "1 row is left to a later run" in each.run["notes"][0]
    assert shop.look_ups - asked - 1 <= asked  # as often in the second run as in the first
    assert (last.code, last.run["delivered"]) == (0, 1)
    assert shop.stored == Counter(["poor", "good", "more"])


@pytest.mark.parametrize("more", ["description: Visits", "per_contact: {most: 1, every: 1d}"])
def test_an_address_that_cannot_be_looked_up_uses_up_no_limit(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    shop.configure(identifier="email", more=more)
    shop.add({"id": "a", "contact": "c0@example.com"}, {"id": "b", "contact": "c1@example.com"})
    shop.add({"id": "c", "contact": "c2@example.com"})

    with monkeypatch.context() as there:
        there.setattr("connector.destinations.http.GET_PAUSES", ())
        there.setattr(contacts, "_lookup", failing_for("c0@example.com", contacts._lookup))
        runs = [shop.sync("--limit", "1").run for _ in range(3)]

    assert [(run["delivered"], run["pending"]) for run in runs] == [(0, 1), (1, 1), (1, 1)]
    assert shop.stored == Counter(["b", "c"])


# --- once a run, and not again ------------------------------------------------------------------


def test_thousands_of_rows_over_a_few_hundred_contacts_cost_a_look_up_for_each_contact(
    shop: Shop,
) -> None:
    shop.configure(identifier="email", concurrency=32)
    with_contacts(shop.sandbox.engage, 200)
    shop.add_by_email(3000, contacts=200)

    first, look_ups = shop.sync().run, shop.look_ups
    shop.add_by_email(600, first=3000, contacts=200)
    second = shop.sync().run

    assert (first["delivered"], look_ups) == (3000, 200)
    assert (second["delivered"], shop.look_ups) == (600, 200)
    assert len(shop.stored) == 3600
    assert first["contacts"] == {
        "identifiers": 200,
        "looked_up": 200,
        "cached": 0,
        "found": 200,
        "unknown": 0,
        "ambiguous": 0,
        "malformed": 0,
        "match_rate": 1.0,
    }
    assert (second["contacts"]["looked_up"], second["contacts"]["cached"]) == (0, 200)
    right = {contact_id(n) for n in range(200)}
    assert {i.contact_id for i in shop.sandbox.engage.interactions()} == right


def test_each_row_goes_to_the_contact_of_its_own_identifier(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add_by_email(40)
    shop.sync()
    shop.add_by_email(40, first=40)
    shop.sync()

    for stored in shop.sandbox.engage.interactions():
        number = int(str(stored.payload["visitId"]).removeprefix("v")) % 10
        assert stored.contact_id == contact_id(number)


def test_an_identifier_without_an_answer_to_use_is_asked_for_once_a_run_too(shop: Shop) -> None:
    shop.configure(identifier="email")
    for number in (90, 91):
        shop.sandbox.engage.add_contact(
            {"contactId": contact_id(number), "email": "two@example.com"}
        )
    people = ["nobody@example.com", "two@example.com", "really@odd"]
    shop.add(*({"id": f"v{i}", "contact": people[i % 3]} for i in range(60)))

    run = shop.sync().run

    assert (run["waiting"], run["rejected"]) == (20, 40)
    assert shop.look_ups == 3
    assert run["contacts"]["match_rate"] == 0.0
    counts = {k: run["contacts"][k] for k in ("unknown", "ambiguous", "malformed", "looked_up")}
    assert counts == {"unknown": 1, "ambiguous": 1, "malformed": 1, "looked_up": 3}


def test_two_activations_share_what_was_found(shop: Shop) -> None:
    shop.configure(identifier="email")
    text = shop.config.read_text()
    other = text.partition("activations:\n")[2].replace("visits:", "again:", 1)
    shop.config.write_text(text + other)
    shop.add_by_email(30)

    runs = shop.sync().json["runs"]

    assert [run["delivered"] for run in runs] == [30, 30]
    assert [run["contacts"]["looked_up"] for run in runs] == [10, 0]


def test_without_a_cache_nothing_is_kept_beyond_the_run(shop: Shop) -> None:
    shop.configure(identifier="email", contact_cache="0")
    shop.add_by_email(50)
    shop.sync()
    shop.add_by_email(50, first=50)
    shop.sync()

    assert shop.look_ups == 20
    assert cached(shop) == []


def cached(shop: Shop) -> list[tuple[str, str]]:
    """The kind and the contactId of what is cached."""
    with closing(sqlite3.connect(shop.ledger_file)) as connection:
        return connection.execute("select identifier, contact_id from contacts").fetchall()


def test_a_contact_is_looked_up_again_when_its_time_is_over_and_the_old_answer_is_removed(
    shop: Shop,
) -> None:
    shop.configure(identifier="email")
    shop.add_by_email(10)
    shop.sync()
    shop.configure(contact_cache="1s")
    time.sleep(1.1)  # what is waited for is the passing of this second
    shop.add_by_email(3, first=10, contacts=3)

    run = shop.sync().run
    time.sleep(1.1)
    shop.sync()

    assert (run["contacts"]["looked_up"], run["contacts"]["cached"]) == (3, 0)
    assert shop.look_ups == 13
    assert cached(shop) == []


def test_another_key_finds_nothing_of_what_was_cached(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add_by_email(10)
    shop.sync()
    shop.add_by_email(10, first=10)

    same = shop.connector("preview", "visits", "--offline", "--json")
    shop.config.write_text(shop.config.read_text().replace("api_key: ", "api_key: not-"))
    other = shop.connector("preview", "visits", "--offline", "--json")

    assert (same.json["contacts"]["cached"], other.json["contacts"]["cached"]) == (10, 0)


def test_more_identifiers_than_are_remembered_are_read_from_the_ledger(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MOST_REMEMBERED", 40)
    monkeypatch.setattr("connector.sync.deliver.PAGE", 10)
    shop.configure(identifier="email", concurrency=1)
    with_contacts(shop.sandbox.engage, 100)
    shop.add_by_email(500, contacts=100)

    run = shop.sync().run

    assert (run["delivered"], shop.look_ups) == (500, 100)


def test_look_ups_go_out_side_by_side(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=0.2)
    shop.configure(identifier="email", concurrency=10)
    shop.add_by_email(10)
    began = time.monotonic()

    shop.sync()

    arrivals = [e.time for e in shop.sandbox.requests.entries("GET /contacts/id")]
    assert len(arrivals) == 10
    assert max(arrivals) - min(arrivals) < 1  # one after the other they would take two seconds
    assert time.monotonic() - began < 20


# --- contacts that come later -------------------------------------------------------------------


def test_a_contact_that_appears_later_gets_every_row_that_waited_for_it(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add(*({"id": f"v{i}", "contact": "late@example.com"} for i in range(20)))
    first, again = shop.sync().run, shop.sync().run
    shop.sandbox.engage.add_contact({"contactId": contact_id(70), "email": "late@example.com"})

    found = shop.sync().run

    assert (first["waiting"], again["waiting"]) == (20, 20)
    assert (found["delivered"], found["waiting"]) == (20, 0)
    assert shop.look_ups == 3
    assert set(shop.stored.values()) == {1}


def test_rows_that_were_to_wait_longer_go_with_the_first_one_that_finds_the_contact(
    shop: Shop,
) -> None:
    shop.configure(identifier="email")
    shop.add(*({"id": f"v{i}", "contact": "late@example.com"} for i in range(5)))
    shop.add({"id": "stranger", "contact": "stranger@example.com"})
    shop.sync()
    with closing(sqlite3.connect(shop.ledger_file)) as connection:
        connection.execute("update deliveries set due_at = due_at + 3600000")
        connection.commit()
    shop.sandbox.engage.add_contact({"contactId": contact_id(70), "email": "late@example.com"})
    before = shop.look_ups
    nobody = shop.sync().run
    asked_while_all_rest = shop.look_ups - before
    shop.add({"id": "new", "contact": "late@example.com"})

    run = shop.sync().run

    assert (nobody["waiting"], asked_while_all_rest) == (6, 0)
    assert (run["delivered"], run["waiting"]) == (6, 1)
    assert shop.look_ups - before == 1


def test_a_contact_that_never_comes_is_rejected_with_the_reason(shop: Shop) -> None:
    shop.configure(identifier="email, contact_type: Member", wait="0")
    shop.add({"id": "v1", "contact": "nobody@example.com"})

    run = shop.sync().run

    assert (run["rejected"], shop.posts) == (1, 0)
    assert reasons(shop) == {"v1": "no contact of the type Member has this email"}


# --- ambiguous, malformed, stale ----------------------------------------------------------------


def test_an_ambiguous_contact_is_rejected_with_the_number_and_the_advice(shop: Shop) -> None:
    for number, kind in ((90, "Member"), (91, "Member"), (92, "Contact")):
        shop.sandbox.engage.add_contact(
            {"contactId": contact_id(number), "email": "x@example.com", "contactType": kind}
        )
    shop.add({"id": "v1", "contact": "x@example.com"})
    shop.configure(identifier="email")
    shop.sync()
    without = reasons(shop)["v1"]
    hint = shop.connector("check").out
    shop.add({"id": "v2", "contact": "x@example.com"}, {"id": "v3", "contact": "x@example.com"})
    shop.configure(identifier="email, contact_type: Member")
    shop.sync("--limit", "1")
    narrow = reasons(shop)["v2"]
    shop.configure(identifier="email, contact_type: Contact")

    run = shop.sync().run

    assert without == (
        "ambiguous contact: 3 contacts have this email; set contact.contact_type to say which kind"
        " is meant"
    )
    assert "1 row rejected, since several contacts have their email" in hint
    assert narrow == "ambiguous contact: 2 contacts of the type Member have this email"
    assert run["delivered"] == 1
    assert [i.contact_id for i in shop.sandbox.engage.interactions()] == [contact_id(92)]


@pytest.mark.parametrize(
    ("identifier", "contact"),
    [
        ("contactId", "4711"),
        ("contactId", "00000000-0000-0000-0000-000000000000"),
        ("email", "no address"),
        ("email", "two@at@example.com"),
        ("mobilePhone", "call me"),
        ("mobilePhone", "+46 70"),
        ("mobilePhone", "+46701234567890123"),
        ("socialSecurityNumber", "unknown"),
        ("customKey", "k" * 1001),
        ("any", "line\nbreak"),
    ],
)
def test_what_is_certainly_malformed_costs_no_request(
    shop: Shop, identifier: str, contact: str
) -> None:
    shop.configure(identifier=identifier)
    shop.add({"id": "v1", "contact": contact})

    run = shop.sync().run

    assert (run["rejected"], shop.look_ups, shop.posts) == (1, 0, 0)
    assert reasons(shop)["v1"].startswith("malformed contact identifier: ")
    assert contact not in reasons(shop)["v1"]


def test_what_engage_calls_malformed_is_rejected_with_advice(shop: Shop) -> None:
    shop.configure(identifier="mobilePhone")
    shop.add({"id": "v1", "contact": "0701234567"})

    run = shop.sync().run

    assert (run["rejected"], shop.look_ups) == (1, 1)
    assert "InvalidPhoneNumber" in reasons(shop)["v1"]
    assert "country code, such as +46" in reasons(shop)["v1"]


@pytest.mark.parametrize("limits", ["{rows: 1000}", "{refused: 50%}"])
def test_a_malformed_row_that_is_let_go_again_is_told_as_it_is_rejected_again(
    shop: Shop, limits: str
) -> None:
    shop.configure(identifier="email", limits=limits)
    shop.add(*({"id": f"v{n}", "contact": f"c{n}@example.com"} for n in range(5)))
    shop.add({"id": "bad", "contact": "c1 at example.com"})
    shop.sync()
    assert shop.state("bad") == "rejected"
    shop.connector("quarantine", "retry", "visits", "bad", "--yes")
    sets = ("new", "pending", "rejected")

    alone = shop.connector("preview", "visits", "--json").json
    checked = shop.connector("check", "--json").json["activations"][0]["outlook"]
    shop.add({"id": "v5", "contact": "c5@example.com"})
    both = shop.connector("preview", "visits", "--json").json
    run = shop.sync().run

    assert [alone[name] for name in sets] == [0, 0, 1]
    assert (alone["outlook"]["would"], alone["requests"]) == ("send_nothing", [])
    assert checked == alone["outlook"]
    assert [reason["example_key"] for reason in alone["reasons"]] == ["bad"]
    assert [both[name] for name in sets] == [1, 0, 1]
    assert (both["outlook"]["would"], len(both["requests"])) == ("send", 1)
    assert (run["delivered"], shop.state("bad")) == (1, "rejected")


def test_a_malformed_identifier_that_is_corrected_is_sent(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c1 at example.com"})
    shop.sync()
    shop.execute("update visits set contact = 'c1@example.com'")

    run = shop.sync().run

    assert (run["delivered"], shop.stored) == (1, {"v1": 1})


@pytest.mark.parametrize(
    ("identifier", "contact", "fields"),
    [
        ("mobilePhone", "+46701234567", {"mobilePhone": "+46701234567"}),
        ("socialSecurityNumber", "19121212-1212", {"socialSecurityNumber": "19121212-1212"}),
        ("customKey", "M-0815 å", {"memberNumber": "M-0815 å"}),
        ("any", "who@example.com", {"email": "who@example.com"}),
    ],
)
def test_a_contact_is_found_by_each_kind_of_identifier(
    shop: Shop, identifier: str, contact: str, fields: dict[str, str]
) -> None:
    shop.sandbox.engage.add_contact({"contactId": contact_id(77), **fields})
    shop.configure(identifier=identifier)
    shop.add({"id": "v1", "contact": contact}, {"id": "v2", "contact": contact})

    run = shop.sync().run

    assert (run["delivered"], shop.look_ups) == (2, 1)
    assert {i.contact_id for i in shop.sandbox.engage.interactions()} == {contact_id(77)}


def merged(engage: Engage, old: int, new: int, email: str) -> None:
    """The contact `old` is gone, and its address belongs to the contact `new`."""
    engage.remove_contact(contact_id(old))
    engage.add_contact({"contactId": contact_id(new), "email": email})


@pytest.mark.parametrize("status", ["404", "400"])
def test_a_cached_contact_that_is_refused_is_looked_up_once_more_in_the_same_run(
    shop: Shop, status: str
) -> None:
    shop.sandbox.behaviour = behaving(unknown_contact=status)
    shop.configure(identifier="email")
    shop.add_by_email(10)
    shop.sync()
    merged(shop.sandbox.engage, 3, 73, "c3@example.com")
    shop.add_by_email(100, first=10)
    before = shop.look_ups

    run = shop.sync().run
    shop.add_by_email(10, first=110)
    posts = shop.posts
    last = shop.sync().run

    assert (run["status"], run["delivered"], run["rejected"]) == ("succeeded", 100, 0)
    assert shop.look_ups - before == 1
    assert attempts(shop, "v13") == [("not_applied", int(status)), ("accepted", 200)]
    assert (run["contacts"]["cached"], run["contacts"]["looked_up"]) == (9, 1)
    assert (last["delivered"], shop.posts - posts) == (10, 10)  # the new id was cached
    new = {i.payload["visitId"] for i in shop.sandbox.engage.interactions(contact_id(73))}
    assert new == {f"v{n}" for n in range(13, 120, 10)}
    assert set(shop.stored.values()) == {1}


def test_a_cached_contact_that_is_gone_for_good_is_waited_for(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add_by_email(10)
    shop.sync()
    shop.sandbox.engage.remove_contact(contact_id(3))
    shop.add({"id": "new", "contact": "c3@example.com"})

    run = shop.sync().run
    again = shop.sync().run

    assert (run["waiting"], again["waiting"], shop.posts) == (1, 1, 11)
    assert attempts(shop, "new") == [("not_applied", 404)]
    assert run["contacts"]["unknown"] == 1


def test_a_row_that_is_refused_for_another_reason_costs_one_attempt_more_and_no_loop(
    shop: Shop,
) -> None:
    shop.configure(identifier="email", concurrency=1)
    shop.add_by_email(10)
    shop.sync()
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={400: 1.0}))
    shop.add_by_email(30, first=10)
    posts, look_ups = shop.posts, shop.look_ups

    run = shop.sync().run

    assert (run["status"], run["rejected"], run["pending"]) == ("attention", 30, 0)
    # once more for the first row of each contact; the others know that its id is the right one
    assert (shop.posts - posts, shop.look_ups - look_ups) == (40, 10)
    assert attempts(shop, "v10") == [("not_applied", 400), ("refused", 400)]
    assert attempts(shop, "v25") == [("refused", 400)]


def test_a_refusal_is_final_when_the_contact_is_still_the_same(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={404: 1.0}))
    shop.add({"id": "v1", "contact": "c1@example.com"})

    run = shop.sync().run

    assert (run["rejected"], shop.posts, shop.look_ups) == (1, 1, 2)
    assert run["contacts"]["looked_up"] == 1
    assert attempts(shop, "v1") == [("refused", 404)]


def test_a_cached_contact_that_is_refused_goes_again_although_the_limit_is_one_row(
    shop: Shop,
) -> None:
    shop.configure(identifier="email")
    shop.add_by_email(10)
    shop.sync()
    merged(shop.sandbox.engage, 3, 73, "c3@example.com")
    shop.add({"id": "one", "contact": "c3@example.com"}, {"id": "two", "contact": "c4@example.com"})

    shop.configure(limits="{rows: 1}")
    held = shop.sync().run
    run = shop.sync("--limit", "1", "--approve").run

    assert (held["status"], held["pending"]) == ("held", 2)
    assert (run["delivered"], shop.stored["one"]) == (1, 1)
    assert run["contacts"]["identifiers"] == 1  # of the row that was sent, not of all that are due


def test_a_process_that_is_killed_while_cached_contacts_are_refused_repeats_and_loses_nothing(
    shop: Shop,
) -> None:
    rng = random.Random(1)
    shop.configure(identifier="email", timeout="1s", settle_after="1s", concurrency=8)
    shop.add_by_email(10)
    shop.sync()
    shop.sandbox.behaviour = behaving(answer_delay=0.01)
    for number in range(1, 10, 2):
        merged(shop.sandbox.engage, number, 70 + number, f"c{number}@example.com")
    shop.add_by_email(390, first=10)

    for _ in range(3):
        process, goal = shop.start("sync"), shop.posts + rng.randrange(1, 60)
        deadline = time.monotonic() + 60
        while shop.posts < goal and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.communicate()
    run = shop.sync("--wait").run

    assert (run["status"], run["in_doubt"], run["pending"], run["waiting"]) == (
        "succeeded",
        0,
        0,
        0,
    )
    assert shop.stored == {f"v{n}": 1 for n in range(400)}


# --- what is remembered, and what is not --------------------------------------------------------


@pytest.mark.parametrize("rows", [20, 70, 150, 300])
def test_the_files_of_the_ledger_hold_no_address_once_everything_is_delivered(
    shop: Shop, rows: int
) -> None:
    shop.configure(identifier="email")
    shop.add_by_email(rows)

    shop.sync("--wait")

    assert len(cached(shop)) == 10
    files = [file for file in shop.ledger_file.parent.rglob("*") if file.is_file()]
    assert shop.ledger_file in files
    for file in files:
        assert b"example.com" not in file.read_bytes(), file


def test_a_postgresql_ledger_keeps_contacts_too(shop: Shop, postgresql_url: URL) -> None:
    address = postgresql_url.render_as_string(hide_password=False)
    shop.configure(ledger=address, identifier="email")
    shop.add_by_email(50)
    shop.sync()
    merged(shop.sandbox.engage, 3, 73, "c3@example.com")
    shop.add_by_email(50, first=50)

    run = shop.sync().run

    assert (run["delivered"], shop.look_ups) == (50, 11)
    engine = create_engine(postgresql_url.set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        ids = set(connection.execute(text("select contact_id from contacts")).scalars())
    engine.dispose()
    assert ids == {contact_id(n) for n in range(10)} - {contact_id(3)} | {contact_id(73)}


def test_the_match_rate_is_told_by_sync_runs_status_and_preview(shop: Shop) -> None:
    shop.configure(identifier="email", wait="0")
    shop.add(*({"id": f"v{i}", "contact": f"c{i}@example.com"} for i in range(12)))

    preview = shop.connector("preview", "visits", "--limit", "4", "--json").json
    shown = shop.connector("preview", "visits", "--limit", "4").out
    run = shop.sync().run
    after = shop.connector("preview", "visits", "--json").json
    (last,) = shop.connector("runs", "--json").json["runs"]
    (status,) = shop.connector("status", "--json").json["activations"]

    assert preview["contacts"]["identifiers"] == 12
    assert preview["contacts"]["cached"] == 0
    assert preview["contacts"]["sample"]["identifiers"] == 4
    assert "Of the 4 in the rows shown, 2 belong to a contact (50.0%): a sample" in shown
    assert run["contacts"]["match_rate"] == round(10 / 12, 4)
    assert last["contacts"] == status["last_run"]["contacts"] == run["contacts"]
    assert "83.3%" in shop.connector("runs").out
    assert "83.3%" in shop.connector("status").out
    assert after["contacts"] == {"identifiers": 0, "cached": 0, "malformed": 0, "sample": {
        **after["contacts"]["sample"], "identifiers": 0, "match_rate": None}}  # fmt: skip


def test_a_preview_knows_what_is_cached_and_keeps_nothing_itself(shop: Shop) -> None:
    shop.configure(identifier="email", rate=10)
    shop.add_by_email(5)
    shop.sync()
    before = shop.look_ups
    shop.add_by_email(20, first=5)
    shop.add({"id": "bad", "contact": "no address"})

    document = shop.connector("preview", "visits", "--limit", "2", "--json").json

    assert document["contacts"]["identifiers"] == 11
    assert (document["contacts"]["cached"], document["contacts"]["malformed"]) == (5, 1)
    assert shop.look_ups - before <= 2
    assert len(cached(shop)) == 5
    assert document["estimated_seconds"] == (20 + 5) / 10


def test_contact_ids_have_no_match_rate(shop: Shop) -> None:
    shop.add_many(3)

    assert shop.connector("preview", "visits", "--json").json["contacts"] is None
    assert shop.sync().run["contacts"] is None
    assert "matched" not in shop.connector("status").out


# --- a map in the warehouse ---------------------------------------------------------------------

LOOKUP = "email, lookup: {table: crm}"


def a_map(shop: Shop, *rows: tuple[str | None, str | None]) -> None:
    """A table of the warehouse that says which contact an e-mail address belongs to."""
    shop.execute("create or replace table crm (contact text, contact_id text)")
    shop.execute("insert into crm values (?, ?)", rows)


def test_contacts_of_the_warehouse_cost_engage_no_look_up(shop: Shop) -> None:
    a_map(shop, *((f"c{n}@example.com", contact_id(n)) for n in range(10)))
    shop.configure(identifier=LOOKUP)
    shop.add_by_email(1200)

    run = shop.sync().run

    assert (run["delivered"], shop.look_ups) == (1200, 0)
    assert run["contacts"] == {"identifiers": 10, "looked_up": 0, "cached": 0, "found": 10,
        "unknown": 0, "ambiguous": 0, "malformed": 0, "match_rate": 1.0}  # fmt: skip
    for stored in shop.sandbox.engage.interactions():
        number = int(str(stored.payload["visitId"]).removeprefix("v")) % 10
        assert stored.contact_id == contact_id(number)


def test_what_the_map_of_the_warehouse_lacks_waits_and_what_it_has_twice_is_rejected(
    shop: Shop,
) -> None:
    one, two = contact_id(1), contact_id(2)
    a_map(
        shop,
        *(("twice", one), ("twice", two), ("same", one), ("same", one.upper())),
        *(("broken", "4711"), ("nothing", None), ("blank", " "), (None, one)),
    )
    # without an identifier: the column holds whatever the map's key is
    shop.configure(identifier="null, lookup: {sql: 'select * from crm; -- all', key: CONTACT}")
    keys = ("twice", "same", "broken", "nothing", "blank", "absent")
    shop.add(*({"id": key, "contact": key} for key in keys))

    run = shop.sync().run
    a_map(shop, ("absent", two))
    later = shop.sync().run

    assert (run["delivered"], run["rejected"], run["waiting"]) == (1, 2, 3)
    assert "the lookup has 2 contacts with this contact" in reasons(shop)["twice"]
    assert "the lookup's contact_id is not a GUID" in reasons(shop)["broken"]
    assert (later["delivered"], later["waiting"]) == (1, 2)
    assert shop.stored == {"same": 1, "absent": 1}
    assert shop.look_ups == 0


def test_numbers_and_uuids_of_the_warehouse_are_compared_as_text(shop: Shop) -> None:
    shop.execute("create table members (number integer, contactId uuid)")
    shop.execute("insert into members values (4711, ?)", [(contact_id(5),)])
    shop.configure(
        model="select * replace (4711 as contact) from visits",
        identifier="customKey, lookup: {table: main.members, key: number, contact_id: contactId}",
    )
    shop.add({"id": "v1"})

    shop.sync()

    assert [i.contact_id for i in shop.sandbox.engage.interactions()] == [contact_id(5)]


def test_the_warehouse_is_not_held_while_rows_are_sent(shop: Shop) -> None:
    a_map(shop, *((f"c{n}@example.com", contact_id(n)) for n in range(10)))
    shop.configure(identifier=LOOKUP, rate=40)
    shop.add_by_email(80)
    process = shop.start("sync", "--json")
    deadline = time.monotonic() + 60
    while not shop.posts:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    with duckdb.connect(str(shop.path / "shop.duckdb")) as connection:  # to write
        connection.execute("insert into crm values ('x', 'y')")
    posts_meanwhile = shop.posts
    out, _ = process.communicate(timeout=60)

    assert posts_meanwhile < 80
    assert json.loads(out)["runs"][0]["delivered"] == 80


def test_a_preview_shows_contacts_of_the_warehouse_even_offline(shop: Shop) -> None:
    a_map(shop, ("c1@example.com", contact_id(4)))
    shop.configure(identifier=LOOKUP)
    shop.add({"id": "v1", "contact": "c1@example.com"}, {"id": "v2", "contact": "c2@example.com"})

    done = shop.connector("preview", "visits", "--offline", "--json").json

    assert [r["body"]["contactId"] for r in done["requests"]] == [contact_id(4)]
    assert done["contacts"]["sample"]["match_rate"] == 0.5
    assert shop.sandbox.requests.entries() == []


@pytest.mark.parametrize(
    ("identifier", "word"),
    [
        ("email, lookup: {table: crmm}", "crmm"),
        ("email, lookup: {table: crm, key: contct}", 'did you mean "contact"?'),
        ("email, lookup: {table: crm, contact_id: guid}", 'the lookup has no column "guid"'),
        ("email, lookup: {sql: drop table crm}", "the lookup: is not a query"),
        ("email, lookup: {sql: select 1; select 2}", "more than one statement"),
        ("email, lookup: nowhere.sql", "there is no file"),
    ],
)
def test_a_map_that_cannot_be_asked_is_found_by_check_and_stops_a_run(
    shop: Shop, identifier: str, word: str
) -> None:
    a_map(shop, ("c1@example.com", contact_id(4)))
    shop.configure(identifier=identifier)
    shop.add({"id": "v1", "contact": "c1@example.com"})

    check = shop.connector("check", "--json")
    sync = shop.sync()

    found = check.json["activations"][0]["findings"]
    assert word in " ".join(f["message"] for f in found if f["level"] == "configuration")
    assert (check.code, sync.code, shop.posts) == (2, 2, 0)
    assert word in sync.run["error"]
    assert sync.run["pending"] == 1


def test_a_check_says_which_columns_of_a_map_it_uses(shop: Shop) -> None:
    a_map(shop, ("c1@example.com", contact_id(4)))
    shop.configure(identifier=LOOKUP)
    shop.add({"id": "v1", "contact": "c1@example.com"})

    assert "the lookup runs and has the columns it needs (contact and contact_id)" in (
        shop.connector("check").out
    )


def test_a_check_warns_of_any_and_of_malformed_identifiers(shop: Shop) -> None:
    shop.configure(identifier="any")
    shop.add({"id": "v1", "contact": "c1@example.com"})
    warned = shop.connector("check")
    shop.configure(identifier="email")
    shop.add({"id": "v2", "contact": "nonsense"})

    done = shop.connector("check")

    assert (warned.code, done.code) == (0, 1)
    assert "A sync would work, but some rows wait for you." in done.out
    assert "identifier: any stops at the first kind that a value looks like" in warned.out
    assert "1 of the first 2 rows would be rejected, such as v2: malformed contact" in done.out
    assert "nonsense" not in done.out
    shop.execute("delete from visits where id = 'v1'")
    assert "A sync would send nothing, and some rows wait" in shop.connector("check").out
    assert shop.sync().code == 1
