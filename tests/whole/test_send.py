"""A test send: a row's body at a test contact, shown as it is there, and nothing left of it."""

import random
import subprocess
import time
from typing import Any

import pytest

from connector.sandbox.behaviour import Faults
from tests.targets import PROVE
from tests.whole.shop import Done, Shop, behaving, contact_id
from tests.whole.test_crash import killed, until

SOON = {"timeout": "1s", "settle_after": "1s", "lease": "2s"}
TESTER = contact_id(5)
DELETE = "DELETE /interactions/{id}"


def send(shop: Shop, key: str = "v1", to: str = TESTER, *more: str) -> Done:
    return shop.connector("send", "visits", key, "--to", to, "--yes", "--json", *more)


def at(shop: Shop, contact: str) -> list[Any]:
    """What is there of a contact."""
    return [i for i in shop.sandbox.engage.interactions() if i.contact_id == contact]


def trials(shop: Shop) -> list[tuple[Any, ...]]:
    with shop.ledger_connection() as c:
        return c.execute("select state, contact, payload from trials order by id").fetchall()


def sides(done: Done) -> dict[str, Any]:
    return {side["property"]: side for side in done.json["differences"]}


@pytest.mark.parametrize("recorded", [True, False])
def test_a_row_goes_to_a_test_contact_and_is_taken_back(shop: Shop, recorded: bool) -> None:
    shop.add({"id": "v1"})
    preview = shop.connector("preview", "visits", "--json").json["requests"][0]
    if recorded:
        shop.sync()
    before = len(shop.sandbox.engage.interactions())

    done = send(shop)

    document = done.json
    assert (done.code, document["status"], document["taken_back"]) == (0, "succeeded", True), done
    sent = document["request"]["body"]
    assert sent == {**preview["body"], "contactId": TESTER}
    assert document["answer"]["http_status"] == 200
    assert document["interaction"]["payload"] == sent["payload"]
    assert document["interaction"]["id"] == document["answer"]["interaction_id"]
    assert all(side["same"] for side in document["differences"])
    assert len(shop.sandbox.engage.interactions()) == before
    assert trials(shop) == [("removed", None, None)]
    shop.sync()
    assert shop.stored == {"v1": 1}
    assert not at(shop, TESTER)


def test_it_is_shown_to_a_person_who_is_asked_first(shop: Shop) -> None:
    shop.add({"id": "v1"})

    unasked = shop.connector("send", "visits", "v1", "--to", TESTER)
    done = shop.connector("send", "visits", "v1", "--to", TESTER, "--yes")

    assert unasked.code == 2
    assert "automations may start" in unasked.out
    assert "--yes" in unasked.err
    assert done.code == 0, done
    for words in ("POST http", '"rating": 4', "Answer: HTTP 200", "No difference", "taken back"):
        assert words in done.out
    assert shop.posts == 1


def test_what_becomes_different_there_is_shown(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(created_date_precision="seconds")
    shop.configure(payload="{visitId: id, rating: rating}")
    shop.add({"id": "v1", "seen_at": "2026-11-01 10:00:00.25"})

    found = sides(send(shop))

    assert [name for name, side in found.items() if not side["same"]] == ["createdDate"]
    assert found["createdDate"]["ours"].endswith(".250Z")
    assert found["createdDate"]["why"] == "differs"
    assert found["rating"] == {
        "property": "rating",
        "ours": 4,
        "theirs": 4,
        "same": True,
        "why": "the same",
    }


@pytest.mark.parametrize("status", [404, 409])
def test_what_is_too_young_to_be_deleted_is_deleted_later(shop: Shop, status: int) -> None:
    shop.sandbox.behaviour = behaving(delete_delay=1.5, delete_early_status=status)
    shop.add({"id": "v1"})

    done = send(shop)

    assert (done.code, done.json["taken_back"], done.json["left"]) == (0, True, []), done
    assert not at(shop, TESTER)


def test_it_may_stay(shop: Shop) -> None:
    shop.add({"id": "v1"})

    done = send(shop, "v1", TESTER, "--keep")

    assert (done.code, done.json["kept"], done.json["taken_back"]) == (0, True, False), done
    assert len(at(shop, TESTER)) == 1
    shop.sync()
    assert send(shop).code == 0
    assert len(at(shop, TESTER)) == 1


@pytest.mark.parametrize("to", ["c5@example.com", TESTER])
def test_the_contact_is_looked_up_as_the_rows_are_or_named_by_its_id(shop: Shop, to: str) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c1@example.com"})

    done = send(shop, "v1", to)

    assert (done.code, done.json["request"]["body"]["contactId"]) == (0, TESTER), done


@pytest.mark.parametrize(
    ("key", "to", "said"),
    [
        ("none", TESTER, 'has no row "none"'),
        ("bad", TESTER, "becomes no interaction: rating: "),
        ("v1", "nobody@example.com", "no contact has this email"),
    ],
)
def test_what_cannot_be_sent_is_said_and_sends_nothing(
    shop: Shop, key: str, to: str, said: str
) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1"}, {"id": "bad", "rating": 9})

    done = send(shop, key, to)

    assert done.code == 2
    assert said in done.json["error"]["message"]
    assert shop.posts == 0


def test_what_the_destination_refuses_is_told(shop: Shop) -> None:
    shop.add({"id": "v1"})

    done = send(shop, "v1", contact_id(99))

    assert (done.code, done.json["answer"]["outcome"]) == (1, "refused"), done
    assert done.json["taken_back"] is False
    assert trials(shop) == [("absent", None, None)]


@pytest.mark.parametrize("fault", ["reset_after", "no_id_after", "html_after", "reset_before"])
def test_a_lost_answer_is_settled_by_what_is_listed(shop: Shop, fault: str) -> None:
    shop.configure(**SOON)
    shop.sandbox.behaviour = behaving(faults=Faults.model_validate({fault: 1.0}))
    shop.add({"id": "v1"})

    done = send(shop)

    arrived = fault != "reset_before"
    assert done.json["taken_back"] is arrived, done
    assert done.code == int(not arrived)
    assert done.json["answer"]["outcome"] == "unknown"
    assert not shop.sandbox.engage.interactions()
    assert [row[0] for row in trials(shop)] == ["removed" if arrived else "absent"]


def test_one_that_is_shown_late_is_waited_for(shop: Shop) -> None:
    shop.configure(timeout="2s", settle_after="3s")
    shop.sandbox.behaviour = behaving(read_back_delay=0.5, delete_delay=0.8)
    shop.add({"id": "v1"})

    done = send(shop)

    assert (done.code, done.json["taken_back"]) == (0, True), done
    assert done.json["visible_after"] >= 0.4
    assert not shop.sandbox.engage.interactions()


def test_one_that_looks_the_same_and_is_nobodys_is_never_in_danger(shop: Shop) -> None:
    """Another system has sent the very same: after a crash nobody could tell them apart."""
    shop.add({"id": "v1"})
    send(shop, "v1", TESTER, "--keep")
    with shop.ledger_connection() as c:
        c.execute("delete from trials")

    done = send(shop)

    assert done.code == 2
    assert "looks like this one to the letter" in done.json["error"]["message"]
    assert len(at(shop, TESTER)) == 1


# --- a call that was killed -----------------------------------------------------------------------


def started(shop: Shop, *more: str) -> "subprocess.Popen[str]":
    return shop.start("send", "visits", "v1", "--to", TESTER, "--yes", "--json", *more)


@pytest.mark.parametrize("seed", range(30 if PROVE else 2))
def test_what_a_killed_call_left_is_cleaned_up_by_the_next(shop: Shop, seed: int) -> None:
    shop.configure(**SOON)
    rng = random.Random(seed)
    shop.sandbox.behaviour = behaving(answer_delay=0.05, read_back_delay=0.1)
    shop.add({"id": "v1"})
    posts = rng.randrange(2)

    process = started(shop)
    until(lambda: shop.posts >= posts or process.poll() is not None)
    time.sleep(rng.random() * 0.4)
    killed(process)
    done = send(shop)

    assert (done.code, done.json["taken_back"]) == (0, True), done
    assert not shop.sandbox.engage.interactions()
    assert {row[0] for row in trials(shop)} <= {"removed", "absent"}
    assert all(row[1:] == (None, None) for row in trials(shop))
    shop.sync()
    assert shop.stored == {"v1": 1}


def test_a_row_in_doubt_waits_for_the_cleaning_up_and_says_so(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add({"id": "v1", "contact": TESTER})
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.sync()
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=30))
    process = started(shop)
    until(lambda: len(at(shop, TESTER)) == 1)
    killed(process)
    shop.sandbox.behaviour = behaving()

    blocked = shop.sync()
    cleaned = send(shop)
    settled = shop.sync("--wait")

    assert (blocked.run["in_doubt"], blocked.run["status"]) == (1, "attention")
    assert "the next `connector send`" in blocked.run["notes"][-1]
    assert cleaned.code == 0, cleaned
    assert (settled.run["in_doubt"], settled.run["notes"]) == (0, [])
    assert len(at(shop, TESTER)) == 1
    assert shop.state("v1") == "delivered"


# --- a person that is forgotten -------------------------------------------------------------------


@pytest.mark.parametrize("interactions", [False, True])
def test_what_is_held_of_a_test_contact_is_forgotten(shop: Shop, interactions: bool) -> None:
    shop.add({"id": "v1"})
    shop.sync()
    send(shop, "v1", TESTER, "--keep")
    more = ["--delete-interactions"] if interactions else []

    shown = shop.connector("forget", "--contact", TESTER, "--dry-run", *more).out
    whom = ("--contact", TESTER, "--by", "vera")
    done = shop.connector("forget", *whom, "--yes", "--json", *more)

    assert done.code == 0, done
    newest, _ = shop.connector("audit", "--json").json["entries"]
    assert (newest["what"], newest["by"]) == ("forgotten", "vera")
    assert trials(shop) == [("removed" if interactions else "kept", None, None)]
    assert len(at(shop, TESTER)) == int(not interactions)
    there = "there, and deleted, too" if interactions else "kept"
    assert f"1 test of this contact is {there}." in done.json["notes"]
    assert (done.json["interactions"], done.json["deleted"]) == (
        (1, 1) if interactions else (None, 0)
    )
    assert ("1  interaction to be deleted" in shown) == interactions


def test_one_that_is_not_taken_back_yet_is_told_when_somebody_is_forgotten(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=30))
    shop.add({"id": "v1"})
    process = started(shop)
    until(lambda: len(at(shop, TESTER)) == 1)
    killed(process)
    shop.sandbox.behaviour = behaving()

    early = shop.connector("forget", "--contact", TESTER, "--yes", "--json")
    send(shop)
    late = shop.connector("forget", "--contact", TESTER, "--yes", "--json")

    assert early.code == 1
    assert "not taken back yet" in early.json["notes"][0]
    assert late.code == 0
    assert not at(shop, TESTER)


def test_a_test_stands_on_the_audit_list_without_key_and_contact(shop: Shop) -> None:
    shop.add({"id": "v1"})

    send(shop, "v1", TESTER, "--by", "anna")

    (entry,) = shop.connector("audit", "--json").json["entries"]
    assert (entry["by"], entry["what"], entry["activation"]) == ("anna", "test_sent", "visits")
    assert entry["details"] == {"destination": "engage", "target": "visit"}
