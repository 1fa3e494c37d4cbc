"""What a person decides about a row: by typed commands, on record, and never at a run's side."""

import asyncio
import json
import os
import pty
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest

from connector.decisions.deciding import Selection
from connector.decisions.quarantine import Discard
from connector.ledger.decisions import Person
from connector.project.app import App
from connector.project.settings import load
from connector.rules.delivery import QUARANTINE, State
from connector.rules.errors import StaleMove
from connector.sandbox.behaviour import Faults
from tests.whole.shop import SCHEMA, Done, Shop, behaving, contact_id


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for `condition()`; fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def quarantine(shop: Shop, verb: str, *arguments: str) -> Done:
    """`connector quarantine VERB visits … --json`."""
    return shop.connector("quarantine", verb, "visits", *arguments, "--json")


def rows(done: Done) -> dict[str, Any]:
    """What became of each row, by key."""
    return {row["row_key"]: row for row in done.json["rows"]}


def instant(text: str) -> float:
    """A time of a document in seconds."""
    return datetime.fromisoformat(text).timestamp()


def story(shop: Shop, key: str) -> Any:
    return shop.connector("explain", "visits", key, "--json").json


def listed(shop: Shop, *arguments: str) -> dict[str, str]:
    """The keys and states in quarantine."""
    found = shop.connector("quarantine", "list", *arguments, "--json").json["rows"]
    return {row["row_key"]: row["state"] for row in found}


def reject(shop: Shop, *keys: str) -> None:
    """Rows that the destination has refused; it takes everything from now on."""
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={400: 1.0}))
    shop.add(*({"id": key} for key in keys))
    shop.sync()
    shop.sandbox.behaviour = behaving()


def doubt(shop: Shop, *keys: str, arrived: bool = False) -> None:
    """Rows in doubt; the destination behaves from now on."""
    faults = Faults(reset_after=1.0) if arrived else Faults(reset_before=1.0)
    shop.sandbox.behaviour = behaving(faults=faults, read_back_delay=30)
    shop.add(*({"id": key} for key in keys))
    shop.sync()
    shop.sandbox.behaviour = behaving()


def beyond_the_overlap(shop: Shop) -> None:
    """A row so late that what came before it is not read any more."""
    shop.add({"id": "late", "seen_at": "2026-11-09 10:00:00"})
    shop.sync()


# --- list ---------------------------------------------------------------------------------------


def test_the_list_tells_reasons_with_counts_and_then_the_rows(shop: Shop) -> None:
    shop.add(*({"id": f"bad{n}", "rating": 9} for n in range(30)), {"id": "no", "contact": None})
    shop.sync()

    text = shop.connector("quarantine", "list", "visits").out
    document = shop.connector("quarantine", "list", "visits", "--json").json
    some = shop.connector("quarantine", "list", "--limit", "3", "--json").json

    assert "  30  visits" in text
    assert "… and 11 more; --limit shows more of them" in text
    assert [(g["count"], g["state"], g["example_key"]) for g in document["groups"]] == [
        (30, "invalid", "bad0"),
        (1, "invalid", "no"),
    ]
    assert len(document["rows"]) == 31
    told = {"activation", "row_key", "state", "reason", "since", "mapped"}
    assert set(document["rows"][0]) == told
    assert len(some["rows"]) == 3


def test_the_list_is_narrowed_down_by_state_and_reason(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9}, {"id": "nobody", "contact": None})
    reject(shop, "refused")

    assert set(listed(shop)) == {"bad", "nobody", "refused"}
    assert listed(shop, "--state", "rejected") == {"refused": "rejected"}
    assert listed(shop, "visits", "--reason", "RATING") == {"bad": "invalid"}
    assert listed(shop, "--state", "in_doubt") == {}
    done = shop.connector("quarantine", "list", "--state", "pending")
    assert (done.code, "'pending' is not one of" in done.err) == (2, True)
    assert "No such row" in shop.connector("quarantine", "list", "--reason", "nothing like it").out


# --- retry --------------------------------------------------------------------------------------


def test_a_row_that_was_corrected_behind_the_watermark_is_sent_after_a_retry(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9}, {"id": "good"})
    shop.sync()
    beyond_the_overlap(shop)
    shop.execute("update visits set rating = 3 where id = 'bad'")

    unread = shop.sync()
    retried = quarantine(shop, "retry", "--by", "anna", "--note", "fixed in the till")
    posts = shop.posts
    sent = shop.sync()

    assert (unread.run["delivered"], posts) == (0, 2)  # a retry sends nothing
    assert retried.code == 0
    assert retried.json["by"] == "person: anna"
    row = rows(retried)["bad"]
    assert (row["was"], row["state"], row["reason"]) == ("invalid", "pending", None)
    assert (sent.code, sent.run["delivered"]) == (0, 1)
    assert shop.stored == {"bad": 1, "good": 1, "late": 1}
    (decision,) = story(shop, "bad")["decisions"]
    assert (decision["by"], decision["decision"], decision["was"], decision["state"]) == (
        "person: anna", "retried", "invalid", "pending",
    )  # fmt: skip
    assert (decision["reason"][:7], decision["note"]) == ("rating:", "fixed in the till")


def test_rows_are_tried_again_by_the_schema_as_it_is_now(shop: Shop) -> None:
    shop.add({"id": "ten", "rating": 10}, {"id": "minus", "rating": -1})
    shop.sync()
    beyond_the_overlap(shop)
    wider: Any = deepcopy(SCHEMA)
    wider["jsonSchema"]["properties"]["rating"]["maximum"] = 10
    shop.sandbox.engage.remove_schema("visit")
    shop.sandbox.engage.add_schema(wider)

    retried = quarantine(shop, "retry")
    shop.sync()

    states = {key: row["state"] for key, row in rows(retried).items()}
    assert states == {"ten": "pending", "minus": "invalid"}
    assert shop.stored == {"ten": 1}  # a schema takes its interactions with it
    assert story(shop, "minus")["decisions"][0]["state"] == "invalid"


def test_a_row_that_has_another_fault_now_has_todays_reason(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9})
    reject(shop, "refused")
    shop.execute("update visits set rating = 3, contact = null where id = 'bad'")
    shop.execute("update visits set rating = 77 where id = 'refused'")

    retried = quarantine(shop, "retry")

    assert retried.code == 0
    assert {key: row["was"] for key, row in rows(retried).items()} == {
        "bad": "invalid", "refused": "rejected",
    }  # fmt: skip
    assert rows(retried)["bad"]["reason"].startswith("contact:")
    assert rows(retried)["refused"]["reason"].startswith("rating:")
    assert listed(shop) == {"bad": "invalid", "refused": "invalid"}


def test_a_rejected_row_is_sent_again_unchanged_when_a_person_says_so(shop: Shop) -> None:
    reject(shop, "v1")
    shop.sync()
    untouched = shop.posts

    retried = quarantine(shop, "retry", "v1")
    sent = shop.sync()

    assert untouched == 1
    assert rows(retried)["v1"]["state"] == "pending"
    assert (sent.code, sent.run["delivered"], shop.stored) == (0, 1, {"v1": 1})
    assert [a["outcome"] for a in story(shop, "v1")["attempts"]] == ["refused", "accepted"]


def test_a_row_that_left_the_model_stays_as_it_is_and_is_told(shop: Shop) -> None:
    shop.add({"id": "gone", "rating": 9}, {"id": "here", "rating": 9})
    shop.sync()
    shop.execute("delete from visits where id = 'gone'")
    shop.execute("update visits set rating = 1 where id = 'here'")

    text = shop.connector("quarantine", "retry", "visits", "gone")
    retried = quarantine(shop, "retry")

    assert text.code == 0
    assert "1 row is not in the model any more" in text.out
    assert set(rows(retried)) == {"here"}
    (missing,) = retried.json["missing"]
    assert (missing["row_key"], missing["state"]) == ("gone", "invalid")
    assert story(shop, "gone")["decisions"] == []
    assert listed(shop) == {"gone": "invalid"}


def test_a_retry_takes_the_rows_whose_reason_is_named(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9}, {"id": "nobody", "contact": None})
    shop.sync()
    shop.execute(f"update visits set rating = 1, contact = '{contact_id(1)}'")

    retried = quarantine(shop, "retry", "--reason", "rating")

    assert set(rows(retried)) == {"bad"}
    assert listed(shop) == {"nobody": "invalid"}


def test_keys_that_cannot_be_retried_are_named_and_nothing_is_changed(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9}, {"id": "sent"})
    shop.sync()
    doubt(shop, "lost")
    shop.execute("update visits set rating = 1")

    done = shop.connector("quarantine", "retry", "visits", "bad", "lost", "sent", "ba")

    assert done.code == 2
    assert '"lost" is in doubt' in done.err
    assert "connector quarantine settle visits lost" in done.err
    assert '"sent" was delivered' in done.err
    assert 'no row with the key "ba"; recorded are, for example: bad' in done.err
    assert story(shop, "bad")["state"] == "invalid"
    assert story(shop, "bad")["decisions"] == []


def test_of_rows_that_share_a_key_the_first_counts_in_a_retry_too(shop: Shop) -> None:
    shop.add({"id": "twice", "rating": 9}, {"id": "twice", "rating": 2, "sku": "second"})
    shop.execute("update visits set seen_at = seen_at + interval 1 second where sku = 'second'")
    shop.sync()

    same = quarantine(shop, "retry", "twice")
    shop.execute("update visits set rating = 5 where rating = 9")
    quarantine(shop, "retry", "twice")
    shop.sync()

    assert rows(same)["twice"]["state"] == "invalid"
    (interaction,) = shop.sandbox.engage.interactions()
    assert interaction.payload["rating"] == 5


def test_history_is_not_sent_by_a_retry_either(shop: Shop) -> None:
    shop.configure(start="2026-10-01T00:00:00Z")
    shop.add({"id": "v1", "seen_at": None})
    shop.sync()
    shop.execute("update visits set seen_at = timestamp '2020-01-01 00:00:00'")

    retried = quarantine(shop, "retry")

    assert [case["row_key"] for case in retried.json["missing"]] == ["v1"]
    assert shop.sync().run["delivered"] == 0


def test_a_retry_that_cannot_read_changes_nothing_and_lets_go(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    shop.configure(model="select * from nowhere")
    broken = quarantine(shop, "retry")
    shop.configure(model="select * from visits", payload="{visitId: id, nothing: sku}")
    misfit = quarantine(shop, "retry")
    shop.configure(payload="{visitId: id, rating: rating}")
    shop.sandbox.behaviour = behaving(bad_key_status=403)
    text = shop.config.read_text()
    shop.config.write_text(text.replace("api_key: sandbox", "api_key: wrong"))
    refused = quarantine(shop, "retry")
    shop.config.write_text(text)

    assert [d.code for d in (broken, misfit, refused)] == [2, 2, 3]
    assert [d.json["error"]["kind"] for d in (broken, misfit, refused)] == [
        "configuration", "configuration", "key_refused",
    ]  # fmt: skip
    assert story(shop, "bad")["decisions"] == []
    assert quarantine(shop, "retry").code == 0


def test_a_retry_under_a_changed_row_key_is_refused(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    shop.config.write_text(shop.config.read_text().replace("row_key: id", "row_key: sku"))

    done = quarantine(shop, "retry")

    assert (done.code, "row_key was" in done.json["error"]["message"]) == (2, True)


def test_a_slow_retry_keeps_the_activation_for_longer_than_its_lease(shop: Shop) -> None:
    shop.configure(timeout="30s", lease="3s")
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    shop.execute("update visits set rating = 1")
    known = shop.sandbox.requests.count()
    shop.sandbox.behaviour = behaving(answer_delay=7)

    process = shop.start("quarantine", "retry", "visits", "--json")
    until(lambda: shop.sandbox.requests.count() > known)
    begun, codes = time.monotonic(), []
    while time.monotonic() < begun + 4.5:
        tried = time.monotonic()
        code = quarantine(shop, "discard", "bad").code
        if process.poll() is None:
            codes.append(code)
            last = tried - begun
        time.sleep(0.1)
    out, _ = process.communicate(timeout=60)

    assert set(codes) == {3}
    assert last > 3  # which is the lease
    assert (process.returncode, json.loads(out)["rows"][0]["state"]) == (0, "pending")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_retry_changes_nothing_and_lets_go(shop: Shop, number: int) -> None:
    shop.configure(timeout="120s")
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    known = shop.sandbox.requests.count()
    shop.sandbox.behaviour = behaving(answer_delay=100)

    process = shop.start("quarantine", "retry", "visits", "--json")
    until(lambda: shop.sandbox.requests.count() > known)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    shop.sandbox.behaviour = behaving()

    assert process.returncode == 130
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert story(shop, "bad")["decisions"] == []
    with closing(sqlite3.connect(shop.ledger_file)) as connection:
        assert connection.execute("select run_id from leases").fetchall() == [(None,)]


def test_a_row_whose_wait_for_its_contact_ended_is_looked_up_anew(shop: Shop) -> None:
    shop.configure(identifier="email", wait="0")
    shop.add({"id": "v1", "contact": "new@example.com"})
    shop.sync()
    shop.sandbox.engage.add_contact({"contactId": contact_id(77), "email": "new@example.com"})

    quarantine(shop, "retry", "v1")

    assert shop.sync().run["delivered"] == 1


# --- settle -------------------------------------------------------------------------------------


def test_a_doubt_that_a_person_found_is_delivered_under_its_id(shop: Shop) -> None:
    doubt(shop, "v1", arrived=True)
    (interaction,) = shop.sandbox.engage.interactions()

    done = quarantine(shop, "settle", "v1", "--delivered", "--interaction-id", interaction.id)
    shop.sync()

    row = rows(done)["v1"]
    assert (done.code, row["was"], row["state"]) == (0, "in_doubt", "delivered")
    assert row["interaction_id"] == interaction.id
    told = story(shop, "v1")
    assert (told["state"], told["interaction_id"]) == ("delivered", interaction.id)
    assert told["decisions"][0]["reason"].startswith("no answer")
    assert (shop.posts, shop.stored) == (1, {"v1": 1})
    with closing(sqlite3.connect(shop.ledger_file)) as connection:
        dump = "\n".join(connection.iterdump())
    assert contact_id(1) not in dump


def test_a_doubt_may_be_settled_without_knowing_the_id(shop: Shop) -> None:
    doubt(shop, "v1", arrived=True)

    done = quarantine(shop, "settle", "v1", "--delivered")
    shop.sync()

    assert (done.code, shop.state("v1"), shop.posts) == (0, "delivered", 1)
    assert story(shop, "v1")["interaction_id"] is None


def test_an_interaction_that_another_row_owns_is_refused(shop: Shop) -> None:
    shop.add({"id": "first"})
    shop.sync()
    doubt(shop, "second")
    owned = story(shop, "first")["interaction_id"]

    done = quarantine(shop, "settle", "second", "--delivered", "--interaction-id", owned.upper())

    assert done.code == 2
    assert "belongs to another row already" in done.json["error"]["message"]
    assert (shop.state("second"), story(shop, "second")["decisions"]) == ("in_doubt", [])


def test_a_row_that_never_arrived_is_sent_after_the_wait_and_not_before(shop: Shop) -> None:
    doubt(shop, "v1")
    shop.configure(timeout="1s", settle_after="9s")

    done = quarantine(shop, "settle", "v1", "--not-delivered", "--by", "anna")
    due = story(shop, "v1")["due_at"]
    opened = story(shop, "v1")["attempts"][0]["opened_at"]
    text = shop.connector("explain", "visits", "v1").out
    sent = shop.sync()  # which stays for so short a rest

    row = rows(done)["v1"]
    assert (done.code, row["state"], row["due_at"]) == (0, "pending", due)
    assert "not before" in text
    again = story(shop, "v1")["attempts"][1]["opened_at"]
    assert instant(due) - instant(opened) == pytest.approx(10.001, abs=0.0005)
    assert instant(again) >= instant(due)
    assert (sent.run["delivered"], shop.stored) == (1, {"v1": 1})


def test_a_long_wait_is_left_to_a_later_sync_and_told(shop: Shop) -> None:
    doubt(shop, "v1")

    done = shop.connector("quarantine", "settle", "visits", "v1", "--not-delivered")
    sync = shop.sync()

    assert done.code == 0
    assert "is not sent before 20" in done.out
    assert (sync.run["pending"], shop.posts) == (1, 1)


def test_an_old_doubt_that_never_arrived_is_sent_by_the_next_sync(shop: Shop) -> None:
    doubt(shop, "v1")
    shop.configure(timeout="1s", settle_after="0")
    time.sleep(1.1)  # the bound itself

    done = shop.connector("quarantine", "settle", "visits", "v1", "--not-delivered")
    sync = shop.sync()

    assert "the next `connector sync` sends it" in done.out
    assert (sync.run["delivered"], shop.stored) == (1, {"v1": 1})


def test_the_answer_that_comes_after_all_keeps_the_row_from_being_sent_twice(shop: Shop) -> None:
    """The run is frozen while its request is answered; a person takes the request for lost."""
    shop.configure(timeout="60s")
    shop.sandbox.behaviour = behaving(answer_delay=4)
    shop.add({"id": "v1"})
    process = shop.start("sync", "--json")
    until(lambda: shop.posts == 1)
    shop.freeze(process)
    shop.sandbox.behaviour = behaving()

    done: list[Done] = []

    def settled() -> bool:
        done.append(quarantine(shop, "settle", "v1", "--not-delivered"))
        return done[-1].code != 3  # its lease of two seconds must end first

    until(settled)
    rested = shop.sync()
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    last = shop.sync()

    assert done[-1].code == 0
    assert rested.run["pending"] == 1
    assert (last.run["pending"], shop.state("v1")) == (0, "delivered")
    assert (shop.posts, shop.stored) == (1, {"v1": 1})
    assert story(shop, "v1")["interaction_id"] == shop.sandbox.engage.interactions()[0].id


def left_on_the_wire(shop: Shop, key: str) -> None:
    """A row that arrived, of a run that was killed before the answer came."""
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=30))
    shop.configure(timeout="60s")
    shop.add({"id": key})
    posts = shop.posts
    process = shop.start("sync")
    until(lambda: shop.posts == posts + 1)
    process.kill()
    process.communicate(timeout=30)
    shop.sandbox.behaviour = behaving()


def test_a_row_whose_run_was_killed_can_be_settled_at_once(shop: Shop) -> None:
    left_on_the_wire(shop, "v1")
    before = shop.state("v1")

    done = quarantine(shop, "settle", "v1", "--delivered")

    assert (before, done.code, shop.state("v1")) == ("sending", 0, "delivered")
    shop.sync()
    assert shop.posts == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["v1"], "either --delivered or --not-delivered"),
        (["v1", "--delivered", "--not-delivered"], "either --delivered or --not-delivered"),
        (["v1", "--not-delivered", "--interaction-id", "x"], "goes with --delivered"),
        (["v1", "--delivered", "--interaction-id", "two words"], "in one word"),
        (["v1", "--delivered", "--interaction-id", " "], "in one word"),
        (["v1", "--delivered"], '"v1" was delivered and is never sent again; only rows in doubt'),
        (["bad", "--delivered"], '"bad" is invalid and was not sent; only rows in doubt'),
        (["nothing", "--delivered"], 'no row with the key "nothing"'),
        (["v1", "--delivered", "--by", " "], "--by wants a name"),
    ],
)
def test_what_cannot_be_settled_is_refused_with_a_sentence(
    shop: Shop, arguments: list[str], sentence: str
) -> None:
    shop.add({"id": "v1"}, {"id": "bad", "rating": 9})
    shop.sync()

    done = quarantine(shop, "settle", *arguments)

    assert done.code == 2
    assert sentence in done.json["error"]["message"]
    assert story(shop, "v1")["decisions"] == story(shop, "bad")["decisions"] == []


# --- discard ------------------------------------------------------------------------------------


def test_a_discarded_row_is_never_sent_whatever_the_model_says(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9})
    reject(shop, "refused")

    done = quarantine(shop, "discard", "bad", "refused", "--by", "anna", "--note", "test rows")
    shop.execute("update visits set rating = 3, sku = 'corrected'")
    later = shop.sync()
    retried = quarantine(shop, "retry")

    assert (done.code, {r["state"] for r in rows(done).values()}) == (0, {"discarded"})
    assert rows(done)["bad"]["reason"].startswith("discarded by anna (test rows); it was invalid:")
    assert (later.code, later.run["staged"], shop.posts) == (0, 0, 1)
    assert shop.stored == {}
    assert retried.json["rows"] == []
    assert listed(shop) == {}
    told = story(shop, "refused")
    assert (told["state"], told["decisions"][0]["was"]) == ("discarded", "rejected")
    assert told["decisions"][0]["reason"] in told["reason"]


def test_pending_and_waiting_rows_are_discarded_only_when_they_are_named(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "waits", "contact": "nobody@example.com"}, {"id": "bad", "rating": 9})
    reject(shop, "refused")
    quarantine(shop, "retry", "refused")

    everything = quarantine(shop, "discard", "--all", "--yes")
    named = quarantine(shop, "discard", "waits", "refused")
    shop.sandbox.engage.add_contact({"contactId": contact_id(77), "email": "nobody@example.com"})
    shop.sync()

    assert set(rows(everything)) == {"bad"}
    assert {key: row["was"] for key, row in rows(named).items()} == {
        "waits": "waiting", "refused": "pending",
    }  # fmt: skip
    assert shop.stored == {}


def test_a_doubt_that_is_discarded_may_have_arrived_and_that_is_said(shop: Shop) -> None:
    doubt(shop, "v1", arrived=True)

    done = shop.connector("quarantine", "discard", "visits", "v1")
    shop.sync()

    assert done.code == 0
    assert "it may have arrived at the destination all the same" in done.out
    assert "so it may have arrived" in story(shop, "v1")["reason"]
    assert (shop.posts, shop.state("v1")) == (1, "discarded")


@pytest.mark.parametrize("meant", [["v1"], ["--state", "in_doubt", "--yes"]])
@pytest.mark.parametrize("configured", [True, False])
def test_a_row_whose_run_was_killed_can_be_given_up_at_once(
    shop: Shop, meant: list[str], configured: bool
) -> None:
    left_on_the_wire(shop, "v1")
    before = shop.state("v1")
    if not configured:
        shop.configure(name="others", timeout="60s")

    done = quarantine(shop, "discard", *meant)

    assert (before, done.code) == ("sending", 0), done.said
    assert rows(done)["v1"]["was"] == "in_doubt"
    assert shop.connector("explain", "visits", "v1", "--json").json["state"] == "discarded"


@pytest.mark.parametrize(
    ("meant", "reason", "number"),
    [
        ((State.IN_DOUBT,), None, 2),
        (QUARANTINE, "The process ended", 1),
        (QUARANTINE, "connection", 1),
    ],
)
def test_a_question_counts_what_a_killed_run_had_on_the_wire(
    shop: Shop, meant: tuple[State, ...], reason: str | None, number: int
) -> None:
    doubt(shop, "v0", arrived=False)
    left_on_the_wire(shop, "v1")
    deed = Discard(App(load(shop.config)), "visits", Selection((), meant, reason), Person("anna"))

    shown = asyncio.run(deed.plan())
    done = asyncio.run(deed.do(shown, agreed=True))

    assert shown.question is not None
    assert f"({number} in doubt)" in shown.question.text
    assert [row["state"] for row in done.rows] == ["discarded"] * number


def test_many_rows_are_discarded_by_state_and_reason_without_a_terminal_only_with_yes(
    shop: Shop,
) -> None:
    shop.add(*({"id": f"bad{n}", "rating": 9} for n in range(3)), {"id": "no", "contact": None})
    shop.sync()

    asked = quarantine(shop, "discard", "--reason", "rating")
    untouched = listed(shop)
    done = quarantine(shop, "discard", "--reason", "rating", "--state", "invalid", "--yes")

    assert asked.code == 2
    message = asked.json["error"]["message"]
    assert "3 rows are to be discarded (3 invalid)" in message
    assert "--yes" in message
    assert len(untouched) == 4
    assert set(rows(done)) == {"bad0", "bad1", "bad2"}
    assert listed(shop) == {"no": "invalid"}


def interrupted(process: "subprocess.Popen[str]") -> str:
    """What a process prints that is told to stop, again where it was just about to read."""
    for _ in range(12):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=5)[0]
    raise AssertionError("it does not stop")


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("n", 130, 2), ("\x03", 130, 2)])
def test_a_person_at_a_terminal_is_asked(shop: Shop, answer: str, code: int, left: int) -> None:
    shop.add({"id": "bad", "rating": 9}, {"id": "no", "contact": None})
    shop.sync()
    ours, theirs = pty.openpty()
    command = ["quarantine", "discard", "visits", "--all", "--json"]
    process = shop.start_at(*command, stdin=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        asked = ""
        while "Discard them?" not in asked:
            asked += os.read(ours, 1000).decode()
        if answer == "\x03":
            out = interrupted(process)
        else:
            os.write(ours, f"{answer}\n".encode())
            out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

    assert "2 rows are to be discarded (2 invalid)" in asked
    assert process.returncode == code
    document = json.loads(out)
    assert ("rows" in document) == (code == 0)
    assert len(listed(shop)) == left


def test_what_changed_while_a_person_was_asked_is_not_discarded(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    app = App(load(shop.config))
    deed = Discard(app, "visits", Selection((), QUARANTINE), Person("anna"))
    shown = asyncio.run(deed.plan())
    shop.add({"id": "another", "rating": 9, "seen_at": "2026-11-01 11:00:00"})
    shop.sync()

    with pytest.raises(StaleMove, match="have changed since they were shown"):
        asyncio.run(deed.do(shown, agreed=True))
    assert set(listed(shop)) == {"bad", "another"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name the keys, or say --all, --state or --reason"),
        (["bad", "--all"], "not both"),
        (["bad", "--state", "invalid"], "not both"),
        (["bad", "sent"], '"sent" was delivered'),
        (["bad", "other"], 'no row with the key "other"'),
    ],
)
def test_what_cannot_be_discarded_is_refused_and_nothing_is_changed(
    shop: Shop, arguments: list[str], sentence: str
) -> None:
    shop.add({"id": "bad", "rating": 9}, {"id": "sent"})
    shop.sync()

    done = quarantine(shop, "discard", *arguments)

    assert done.code == 2
    assert sentence in done.json["error"]["message"]
    assert listed(shop) == {"bad": "invalid"}


def test_a_held_run_goes_when_enough_of_its_rows_were_discarded(shop: Shop) -> None:
    shop.configure(limits="{rows: 5}")
    shop.add_many(6)
    held = shop.sync().run["status"]

    quarantine(shop, "discard", "v0")
    sent = shop.sync()

    assert (held, sent.run["status"], sent.run["delivered"]) == ("held", "succeeded", 5)
    assert "v0" not in shop.stored


def test_a_run_that_was_held_for_invalid_rows_goes_when_they_were_corrected(shop: Shop) -> None:
    shop.configure(limits="{refused: 10%}")
    shop.add({"id": "bad", "rating": 9}, {"id": "good"})
    held = [shop.sync().run["status"]]
    shop.execute("update visits set rating = 3")
    held.append(shop.sync().run["status"])

    quarantine(shop, "retry")
    sent = shop.sync()

    assert held == ["held", "held"]
    assert (sent.run["status"], shop.stored) == ("succeeded", {"bad": 1, "good": 1})


@pytest.mark.parametrize("name", [(), ("calls",), ("visits",)])
def test_rows_of_an_activation_that_was_renamed_are_listed_under_its_name_before_a_run(
    shop: Shop, name: tuple[str, ...]
) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    shop.configure(name="calls", more="renamed_from: visits")

    document = shop.connector("quarantine", "list", *name, "--json").json
    (need,) = shop.connector("status", "--json").json["activations"][0]["needs"]

    for (each,) in (document["rows"], document["groups"]):
        assert (each["activation"], each["mapped"][0]["column"]) == ("calls", "rating")
    assert need["command"] == "connector quarantine list calls"


# --- one at a time, and on record ---------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["retry", "visits"],
        ["retry", "visits", "bad"],
        ["settle", "visits", "v0", "--delivered"],
        ["settle", "visits", "v0", "--not-delivered"],
        ["discard", "visits", "bad"],
        ["discard", "visits", "v0"],
        ["discard", "visits", "--all", "--yes"],
    ],
)
def test_while_a_run_is_at_work_nothing_is_decided(shop: Shop, command: list[str]) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=60))
    shop.configure(timeout="90s")
    shop.add({"id": "v0"})

    process = shop.start("sync")
    until(lambda: shop.posts == 1)
    done = shop.connector("quarantine", *command, "--json")
    states = (shop.state("v0"), shop.state("bad"))
    process.kill()
    process.communicate(timeout=30)

    assert (done.code, done.json["error"]["kind"]) == (3, "busy")
    assert "held by run" in done.json["error"]["message"]
    assert states == ("sending", "invalid")
    assert story(shop, "bad")["decisions"] == []


def test_of_two_persons_one_decides(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()

    persons = [
        shop.start("quarantine", "discard", "visits", "bad", "--by", name, "--json")
        for name in ("anna", "bo")
    ]
    documents = [json.loads(person.communicate(timeout=60)[0]) for person in persons]

    codes = sorted(person.returncode for person in persons)
    assert codes[0] == 0
    assert codes[1] in (2, 3)  # it was discarded already, or the other was at it
    (winner,) = [document["by"] for document in documents if "rows" in document]
    assert [d["by"] for d in story(shop, "bad")["decisions"]] == [winner]


def test_the_story_has_attempts_and_decisions_in_their_order(shop: Shop) -> None:
    reject(shop, "v1")
    quarantine(shop, "retry", "v1", "--by", "anna")
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0), read_back_delay=30)
    shop.sync()
    shop.configure(timeout="1s", settle_after="1s")
    quarantine(shop, "settle", "v1", "--not-delivered", "--by", "bo", "--note", "looked it up")
    shop.sandbox.behaviour = behaving()
    shop.sync()

    text = shop.connector("explain", "visits", "v1").out
    told = story(shop, "v1")

    lines = [line for line in text.splitlines() if line.startswith("20")]
    whats = ("attempt 1", "retried", "attempt 2", "not delivered", "attempt 3")
    assert len(lines) == 5
    assert all(what in line for what, line in zip(whats, lines, strict=True))
    assert "person: anna" in lines[1]
    assert "it was rejected: HTTP 400" in lines[1]
    assert "looked it up" in text
    moments = [told["attempts"][0]["closed_at"], told["decisions"][0]["at"],
               told["attempts"][1]["opened_at"], told["decisions"][1]["at"],
               told["attempts"][2]["opened_at"]]  # fmt: skip
    assert moments == sorted(moments)


def test_a_read_back_stands_in_the_story_too(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0))
    shop.add({"id": "v1"})
    run_id = shop.sync().run["run_id"]

    (decision,) = story(shop, "v1")["decisions"]

    assert decision["by"] == f"read-back of run {run_id}"
    assert (decision["decision"], decision["was"], decision["state"]) == (
        "found", "in_doubt", "delivered",
    )  # fmt: skip


def test_who_decides_is_the_login_name_unless_it_is_said(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add({"id": "bad", "rating": 9}, {"id": "worse", "rating": 99})
    shop.sync()
    monkeypatch.setenv("LOGNAME", "carla")
    quarantine(shop, "discard", "bad")
    quarantine(shop, "discard", "worse", "--by", " Anna\nof the\x1b shop ")

    by = [story(shop, key)["decisions"][0]["by"] for key in ("bad", "worse")]

    assert by == ["person: carla", "person: Anna of the shop"]


def test_a_project_without_a_ledger_has_nothing_to_decide(shop: Shop) -> None:
    shop.add({"id": "v1"})

    assert shop.connector("quarantine", "list", "--json").json == {"rows": [], "groups": []}
    assert quarantine(shop, "retry").json["rows"] == []
    assert quarantine(shop, "retry", "v1").code == 2
    assert quarantine(shop, "discard", "--all").json["rows"] == []
    shop.config.write_text(shop.config.read_text().replace("row_key: id", "row_key: [id, sku]"))
    assert shop.sync().run["delivered"] == 1  # a retry has not fixed what a row is
