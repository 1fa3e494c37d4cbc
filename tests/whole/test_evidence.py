"""What the destination shows proves something only where it can be of nothing else."""

import json
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from typing import Any
from unittest.mock import patch

import pytest

from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.running import Running, running
from tests.whole.shop import PATIENCE, Shop, an_engage, behaving, contact_id
from tests.whole.test_settle import SOON, settled
from tests.whole.test_undo import a_run, undo

LOOKED_UP = {"identifier": "email", **SOON}
LATER = {"settle_after": "3m"}
"""So that nothing is settled before a test says so, however slow the machine is."""


def reasons(shop: Shop) -> dict[str, str]:
    """Why rows wait for a person."""
    rows = shop.connector("quarantine", "list", "--json").json["rows"]
    return {row["row_key"]: row["reason"] for row in rows}


def released(shop: Shop, run_id: str) -> int:
    """Let what was taken back be sent again."""
    return int(shop.connector("release", run_id, "--yes", "--json").json["released"])


def ids(shop: Shop) -> list[str]:
    """The interactions that the ledger knows of delivered rows."""
    with closing(sqlite3.connect(shop.ledger_file)) as connection:
        query = "select interaction_id from deliveries where state = 'delivered'"
        return [row[0] for row in connection.execute(query)]


# --- what was deleted and is listed still -------------------------------------------------------


def test_what_was_taken_back_and_is_listed_still_is_not_taken_for_what_was_sent_again(
    shop: Shop,
) -> None:
    shop.configure(**SOON)
    run_id = a_run(shop, 3)
    shop.sandbox.behaviour = behaving(listed_after_delete=600)
    assert undo(shop, run_id).json["undone"] == 3
    assert released(shop, run_id) == 3
    shop.sandbox.behaviour = behaving(listed_after_delete=600, faults=Faults(reset_before=1.0))

    lost = shop.sync().run
    shop.sandbox.behaviour = behaving(listed_after_delete=600)
    settled(shop)

    assert (lost["delivered"], lost["in_doubt"]) == (0, 3)
    assert shop.stored == {"v0": 1, "v1": 1, "v2": 1}
    assert sorted(ids(shop)) == sorted(i.id for i in shop.sandbox.engage.interactions())


def test_an_answer_with_the_id_of_what_was_deleted_is_not_believed(shop: Shop) -> None:
    shop.configure(**SOON)
    run_id = a_run(shop, 1)
    undo(shop, run_id)
    released(shop, run_id)
    shop.sandbox.behaviour = behaving(faults=Faults(repeat_before=1.0))

    done = shop.sync()  # a cache has the answer of the first time still
    shop.sandbox.behaviour = behaving()
    settled(shop)

    assert (done.code, done.run["delivered"], done.run["in_doubt"]) == (3, 0, 1)
    assert "and is deleted" in done.run["error"]
    assert shop.stored == {"v0": 1}


def test_verify_does_not_take_what_was_taken_back_for_a_second_one(shop: Shop) -> None:
    shop.configure(payload="{visitId: sku}")
    run_id = a_run(shop, 1)
    shop.sandbox.behaviour = behaving(listed_after_delete=600)
    undo(shop, run_id)
    released(shop, run_id)
    again = shop.sync().run

    verified = shop.connector("verify", again["run_id"], "--json").json

    assert again["delivered"] == 1
    assert verified["doubled"] == []


# --- one id for several rows --------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("fault", ["repeat_before", "repeat_after"])
def test_an_id_that_a_row_owns_makes_a_doubt_and_stops_the_run(
    shop: Shop, fault: str, concurrency: int
) -> None:
    shop.configure(**SOON, concurrency=concurrency, cursor="")
    shop.add({"id": "first"})
    shop.sync()
    shop.sandbox.behaviour = behaving(faults=Faults.model_validate({fault: 1.0}))
    shop.add_many(20)

    # the cache has the first answer, and gives it to all
    done = shop.sync()
    posts = shop.posts
    shop.sandbox.behaviour = behaving()
    settled(shop)

    assert (done.code, done.run["status"], done.run["delivered"]) == (3, "stopped", 0)
    assert "the id of an interaction that" in done.run["error"]
    assert done.run["in_doubt"] == posts - 1  # others were under way while it was recorded
    assert done.run["in_doubt"] + done.run["pending"] == 20
    assert shop.stored == Counter(["first", *(f"v{i}" for i in range(20))])
    assert len(set(ids(shop))) == 21


def test_an_id_that_two_rows_get_at_once_is_that_of_the_first(shop: Shop) -> None:
    """A cache that has nothing yet: one request gets through, and all get its answer."""
    shop.configure(**SOON, concurrency=16)
    shop.sandbox.behaviour = behaving(faults=Faults(repeat_after=0.5), seed=3)
    shop.add_many(20)

    done = shop.sync()
    shop.sandbox.behaviour = behaving()
    for _ in range(3):
        shop.sync("--wait")

    (status,) = shop.connector("status", "--json").json["activations"]
    assert done.code == 3
    assert set(shop.stored.values()) == {1}
    assert len(ids(shop)) == len(set(ids(shop)))
    # one whose id was on record as another row's before its own answer came is left to a person
    assert len(shop.stored) + status["counts"]["in_doubt"] >= 20


def test_a_row_whose_id_was_given_to_another_row_is_left_to_a_person(shop: Shop) -> None:
    """What it sent is there, and the ledger says that it is another row's: a cache was quicker."""
    shop.configure(**SOON | LATER)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=60)
    shop.add({"id": "true"})
    shop.sync()
    (there,) = shop.sandbox.engage.interactions()
    shop.sandbox.behaviour = behaving(read_back_delay=60)
    shop.add({"id": "false", "sku": "other"})
    shop.sync()
    with shop.ledger_connection() as ledger:
        ledger.execute(
            "update deliveries set interaction_id = ? where row_key = 'false'", [there.id]
        )
    shop.sandbox.behaviour = behaving()
    shop.configure(**SOON)
    time.sleep(2.1)

    run = shop.sync().run

    assert (run["in_doubt"], shop.posts) == (1, 2)
    assert 'gave its id to the row "false"' in reasons(shop)["true"]


def test_the_same_id_at_another_destination_is_another_one(shop: Shop) -> None:
    """Only ids of one destination are compared: another one may count from one, too."""
    shop.add({"id": "v1"})
    shop.sync()
    (name,) = ids(shop)
    other = shop.config.read_text()
    with running(engage=an_engage()) as second:
        _send_to(second, shop, other, name)


def _send_to(second: Running, shop: Shop, other: str, name: str) -> None:
    shop.config.write_text(
        other.replace("destinations:\n", "destinations:\n" + _second_destination(second))
        + other.partition("activations:\n")[2]
        .replace("visits:", "again:", 1)
        .replace("schema_id", "destination: second\n    schema_id")
    )
    shop.config.write_text(
        shop.config.read_text().replace("  visits:\n", "  visits:\n    destination: engage\n")
    )
    import connector.sandbox.engage.store as engage_module

    with patch.object(engage_module, "uuid4", lambda: name):
        runs = shop.sync().json["runs"]

    assert [run["delivered"] for run in runs] == [0, 1]
    assert second.engage.interactions()[0].id == name


def _second_destination(second: Running) -> str:
    return f"  second:\n    type: engage\n    url: {second.url}\n    api_key: {second.api_key}\n"


# --- contacts that become another one -----------------------------------------------------------


def merge(shop: Shop, old: int, into: int) -> None:
    """The contact `old` becomes the contact `into`."""
    shop.sandbox.engage.merge_contacts(contact_id(old), contact_id(into))


@pytest.mark.parametrize("merged_list", ["empty", "404"])
@pytest.mark.parametrize("payload", ["{visitId: id}", "{visitId: sku}"])
def test_what_was_stored_before_its_contact_was_merged_is_found_at_the_other(
    shop: Shop, merged_list: Any, payload: str
) -> None:
    shop.configure(**LOOKED_UP | LATER, payload=payload)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=60)
    shop.add(*({"id": f"v{i}", "contact": "c1@example.com"} for i in range(15)))
    shop.sync()
    merge(shop, 1, 2)
    merge(shop, 2, 3)
    posts, stored = shop.posts, shop.stored
    shop.sandbox.behaviour = behaving(merged_list=merged_list, merged_contact="follows")
    shop.configure(**SOON)
    time.sleep(2.1)  # absence would be believed by now

    settled(shop) if merged_list == "empty" else shop.sync()

    assert shop.posts == posts if merged_list == "404" else shop.stored == stored
    assert max(shop.stored.values()) <= (1 if "id}" in payload else 15)


def test_what_was_never_stored_goes_to_the_contact_that_it_is_now(shop: Shop) -> None:
    shop.configure(**LOOKED_UP)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.add(*({"id": f"v{i}", "contact": "c1@example.com"} for i in range(5)))
    shop.sync()
    merge(shop, 1, 2)
    shop.sandbox.behaviour = behaving()

    settled(shop)

    assert set(shop.stored.values()) == {1}
    assert {i.contact_id for i in shop.sandbox.engage.interactions()} == {contact_id(2)}


def test_doubts_of_contacts_that_became_one_are_counted_together(shop: Shop) -> None:
    """Equal rows of two contacts, all stored: at the one that is left stand twice as many."""
    shop.configure(**LOOKED_UP | LATER, payload="{visitId: sku}")
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=60)
    shop.add(*({"id": f"v{i}", "contact": f"c{1 + i % 2}@example.com"} for i in range(6)))
    shop.sync()
    merge(shop, 1, 2)
    posts = shop.posts
    shop.sandbox.behaviour = behaving()
    shop.configure(**SOON)
    time.sleep(2.1)

    settled(shop)

    assert shop.posts == posts == 6
    assert len(set(ids(shop))) == 6


@pytest.mark.parametrize("what", ["gone", "several"])
def test_a_contact_that_cannot_be_found_any_more_makes_nothing_absent(
    shop: Shop, what: str
) -> None:
    shop.configure(**LOOKED_UP | LATER)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=60)
    shop.add({"id": "v1", "contact": "c1@example.com"})
    shop.sync()
    shop.configure(**SOON)
    shop.sandbox.engage.merge_contacts(contact_id(1), contact_id(2))
    if what == "gone":
        shop.sandbox.engage.remove_contact(contact_id(2))
    else:
        shop.sandbox.engage.add_contact({"contactId": contact_id(70), "email": "c1@example.com"})
    shop.sandbox.behaviour = behaving()
    time.sleep(2.1)

    run = shop.sync().run

    assert (run["in_doubt"], shop.posts) == (1, 1)
    assert "its identifier finds it no more" in reasons(shop)["v1"]


def test_an_absence_waits_for_a_look_up_that_fails(shop: Shop) -> None:
    from connector.sandbox.behaviour import ReadFaults

    shop.configure(**LOOKED_UP)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.add({"id": "v1", "contact": "c1@example.com"})
    shop.sync()
    shop.sandbox.behaviour = behaving(lookup_faults=ReadFaults(status={409: 0.0}, html=1.0))
    time.sleep(2.1)

    run = shop.sync().run

    assert (run["in_doubt"], shop.posts) == (1, 1)
    shop.sandbox.behaviour = behaving()
    settled(shop)
    assert shop.stored == {"v1": 1}


@pytest.mark.parametrize("status", ["404", "400"])
def test_a_contact_that_was_merged_in_the_midst_of_a_run_is_looked_up_once_more(
    shop: Shop, status: Any
) -> None:
    shop.configure(identifier="email", concurrency=1, contact_cache="0")
    shop.sandbox.behaviour = behaving(unknown_contact=status, answer_delay=0.005)
    shop.add(*({"id": f"v{i}", "contact": "c1@example.com"} for i in range(60)))

    def in_the_midst() -> None:
        for n, posts in ((1, 10), (2, 30)):  # twice, so that the second answer is doubted too
            while shop.posts < posts:
                time.sleep(0.001)
            merge(shop, n, n + 1)

    merging = threading.Thread(target=in_the_midst)
    merging.start()
    run = shop.sync().run
    merging.join()

    assert (run["delivered"], run["rejected"]) == (60, 0)
    assert set(shop.stored.values()) == {1}
    assert run["contacts"]["looked_up"] == 1
    assert shop.look_ups <= 4


def test_a_suspect_row_is_looked_for_at_the_contact_that_it_is_now(shop: Shop) -> None:
    """A cached contact, merged after the backup: what was sent to it is listed at another."""
    shop.configure(**LOOKED_UP)
    shop.add({"id": "v0", "contact": "c1@example.com"})
    shop.sync()
    backup = shop.ledger_file.read_bytes()
    shop.add({"id": "v1", "contact": "c1@example.com"})
    shop.sync()
    merge(shop, 1, 2)
    shop.ledger_file.write_bytes(backup)
    time.sleep(2.1)

    settled(shop)

    assert shop.stored == {"v0": 1, "v1": 1}
    assert shop.posts == 2


# --- lists without an end -----------------------------------------------------------------------


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_read_back_without_an_end_can_be_stopped(shop: Shop, stop: signal.Signals) -> None:
    shop.configure(**SOON, rate=200)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.add({"id": "v1"})
    shop.sync()
    shop.sandbox.behaviour = behaving()
    endless(shop)

    process = shop.start("sync", "--json")
    while shop.sandbox.requests.count("GET /interactions") < 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(stop)
    out, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    (run,) = json.loads(out)["runs"]
    assert (run["status"], run["in_doubt"]) == ("stopped", 1)


def test_a_read_back_without_an_end_ends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.destinations.engage.client.MOST_PAGES", 30)
    shop.configure(**SOON)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.add({"id": "v1"})
    shop.sync()
    shop.sandbox.behaviour = behaving()
    endless(shop)
    time.sleep(2.1)

    run = shop.sync().run

    assert run["in_doubt"] == 1
    assert shop.sandbox.requests.count("GET /interactions") <= 62
    assert shop.posts == 1


def endless(shop: Shop) -> None:
    """Each page has a new token, and leads on to another."""
    from connector.sandbox.engage.interactions import Page

    numbers = iter(range(10**9))
    shop.sandbox.engage.page = (  # type: ignore[method-assign]
        lambda *_: Page([], f"token-{next(numbers)}")
    )
