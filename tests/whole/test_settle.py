"""Doubts are settled by asking the destination, and never by guessing."""

import random
import signal
import time
from collections import Counter

import pytest

from connector.sandbox.behaviour import Faults, ReadFaults
from tests.targets import PROVE
from tests.whole.shop import PATIENCE, Shop, behaving, contact_id

SOON = {"timeout": "1s", "settle_after": "1s"}


def settled(shop: Shop, seconds: float = 40) -> None:
    """Sync until no doubt is left; the run that finds a row absent sends it."""
    deadline = time.monotonic() + seconds
    while True:
        run = shop.sync().run
        if not run["in_doubt"]:
            assert (run["pending"], run["done"]) == (0, True)
            return
        assert time.monotonic() < deadline, run
        time.sleep(0.1)


def test_what_was_stored_without_an_answer_is_found_in_the_same_run(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(status_after={500: 1.0}))
    shop.add({"id": "v1"})

    done = shop.sync()

    assert (done.code, done.run["delivered"], done.run["in_doubt"]) == (0, 1, 0)
    assert shop.posts == 1
    story = shop.connector("explain", "visits", "v1", "--json").json
    assert story["interaction_id"] == shop.sandbox.engage.interactions()[0].id


def test_what_was_sent_before_an_edit_of_the_mapping_is_found(shop: Shop) -> None:
    shop.configure(**SOON, payload="{visitId: sku, rating: rating}")
    faults = {"faults": Faults(status_after={500: 1.0}), "read_faults": ReadFaults(html=1.0)}
    shop.sandbox.behaviour = behaving(**faults)
    shop.add({"id": "v1", "sku": "s1"})
    assert shop.sync().run["in_doubt"] == 1
    shop.configure(payload="{visitId: sku, rating: rating, productSku: id}")
    shop.sandbox.behaviour = behaving()

    settled(shop)

    assert (shop.posts, shop.state("v1")) == (1, "delivered")


def test_what_is_not_there_is_believed_only_after_the_wait(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={500: 1.0}))
    shop.add({"id": "v1"})

    first = shop.sync()
    shop.sandbox.behaviour = behaving()
    at_once = shop.sync()
    settled(shop)

    assert (first.run["in_doubt"], at_once.run["in_doubt"]) == (1, 1)
    assert shop.posts == 2
    assert shop.stored == {"v1": 1}
    outcomes = shop.connector("explain", "visits", "v1", "--json").json["attempts"]
    assert [attempt["outcome"] for attempt in outcomes] == ["unknown", "accepted"]


def test_why_doubts_cannot_be_settled_is_told_and_is_no_news_of_the_run(shop: Shop) -> None:
    unread = ReadFaults(html=1.0)
    shop.sandbox.behaviour = behaving(faults=Faults(status_after={503: 1.0}), read_faults=unread)
    shop.add({"id": "v1"}, {"id": "v2"})

    first = shop.sync("--fail-on", "new")
    again = shop.sync("--fail-on", "new")
    shop.sandbox.behaviour = behaving()
    settled(shop)

    (note,) = first.run["notes"]
    assert note.startswith(
        "2 rows in doubt cannot be settled as long as the destination does not show what it has ("
    )
    assert "(reading back gave no list: HTTP 200)" in note
    assert again.run["notes"] == [note]
    assert (first.code, again.code) == (1, 0)
    assert shop.stored == {"v1": 1, "v2": 1}
    assert shop.connector("runs", "--json").json["runs"][0]["notes"] == []


@pytest.mark.parametrize("status", [303, 406])
@pytest.mark.parametrize("stored", [True, False])
def test_what_does_not_say_that_nothing_was_stored_stops_the_run_and_is_settled(
    shop: Shop, status: int, stored: bool
) -> None:
    shop.configure(**SOON)
    said = {status: 1.0}
    faults = Faults(status_after=said) if stored else Faults(status_before=said)
    shop.sandbox.behaviour = behaving(faults=faults)
    shop.add({"id": "v1"})

    first = shop.sync()
    shop.sandbox.behaviour = behaving()
    settled(shop)

    assert (first.code, first.run["status"]) == (3, "stopped")
    assert f"HTTP {status}" in first.run["error"]
    assert shop.posts == (1 if stored else 2)
    assert shop.stored == {"v1": 1}


def test_a_request_that_is_stored_late_is_not_sent_again(shop: Shop) -> None:
    shop.configure(timeout="1s", settle_after="4s")
    faults = Faults(late_commit=1.0, late_by=2, late_answer="reset")
    shop.sandbox.behaviour = behaving(faults=faults)
    shop.add({"id": "v1"})

    shop.sync()
    settled(shop)

    assert shop.posts == 1
    assert shop.stored == {"v1": 1}


def test_a_read_back_that_lags_is_waited_for(shop: Shop) -> None:
    shop.configure(timeout="1s", settle_after="4s")
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=2)
    shop.add_many(30)

    first = shop.sync()
    settled(shop)

    assert first.run["in_doubt"] > 0
    assert shop.posts == 30
    assert set(shop.stored.values()) == {1}


def test_wait_stays_until_its_own_doubts_are_settled(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=0.3), seed=5)
    shop.add_many(30)

    first = shop.sync("--wait")
    shop.sandbox.behaviour = behaving()
    second = shop.sync("--wait")

    assert first.run["in_doubt"] == second.run["pending"] == 0
    assert (first.run["delivered"], first.run["pending"], first.code) == (26, 4, 1)
    assert "4 rows are left to a later run" in first.run["notes"][0]
    assert shop.stored == Counter(f"v{i}" for i in range(30))


def test_a_row_that_never_shows_is_sent_anew_once_in_a_run_that_waits(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.add({"id": "v1"})

    stopped = shop.sync("--wait")

    assert (stopped.code, stopped.run["status"], stopped.run["kind"]) == (
        3,
        "stopped",
        "destination",
    )
    assert (stopped.run["pending"], stopped.run["retryable"], shop.posts) == (1, True, 2)


def test_equal_events_are_counted_and_not_merged(shop: Shop) -> None:
    """Three rows that look the same, two of them stored without an answer."""
    shop.configure(**SOON, payload="{visitId: sku}")
    shop.sandbox.behaviour = behaving(
        faults=Faults(reset_before=0.34, reset_after=0.66), seed=4, read_back_delay=0.5
    )
    shop.add({"id": "a"}, {"id": "b"}, {"id": "c"})

    shop.sync()
    shop.sandbox.behaviour = behaving()
    settled(shop)

    assert shop.stored == {"sku-1": 3}
    ids = {
        shop.connector("explain", "visits", key, "--json").json["interaction_id"] for key in "abc"
    }
    assert ids == {i.id for i in shop.sandbox.engage.interactions()}


def test_more_interactions_than_doubts_are_left_to_a_person(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add({"id": "v1"})
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=30)
    shop.sync()
    shop.sandbox.engage.receive(shop.sandbox.engage.interactions()[0].blob)  # somebody else's
    shop.sandbox.behaviour = behaving()

    done = shop.sync()

    assert (done.code, done.run["in_doubt"]) == (1, 1)
    assert shop.posts == 1
    (row,) = shop.connector("quarantine", "list", "--json").json["rows"]
    assert "2 interactions at the destination could be this row's" in row["reason"]


@pytest.mark.parametrize("shape", ["items", "data", "array"])
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_every_page_is_read_whatever_its_shape(shop: Shop, shape: str, order: str) -> None:
    shop.add(*({"id": f"old{i}"} for i in range(120)))
    shop.sync()
    shop.sandbox.behaviour = behaving(
        faults=Faults(reset_after=1.0), page_shape=shape, page_order=order
    )
    shop.add({"id": "new", "seen_at": "2026-11-01 09:30:00"})

    done = shop.sync()

    assert (done.run["delivered"], done.run["in_doubt"]) == (1, 0)
    assert shop.posts == 121


def test_a_list_that_may_go_on_proves_nothing_absent(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add(*({"id": f"old{i}"} for i in range(60)))
    shop.sync()
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0), page_shape="array")
    shop.add({"id": "new", "seen_at": "2026-11-01 09:30:00"})
    shop.sync()
    time.sleep(2.1)

    done = shop.sync()

    assert done.run["in_doubt"] == 1
    assert shop.posts == 61


def test_a_read_back_that_fails_settles_nothing(shop: Shop) -> None:
    from connector.sandbox.behaviour import ReadFaults

    shop.configure(**SOON)
    shop.sandbox.behaviour = behaving(
        faults=Faults(reset_before=1.0), read_faults=ReadFaults(html=1.0)
    )
    shop.add({"id": "v1"})
    shop.sync()
    time.sleep(2.1)  # the wait alone must not be enough

    done = shop.sync()

    assert done.run["in_doubt"] == 1
    assert shop.posts == 1


@pytest.mark.parametrize("seed", range(1, 9) if PROVE else [1])
def test_under_faults_and_kills_every_row_is_stored_once(shop: Shop, seed: int) -> None:
    shop.configure(timeout="1s", settle_after="2s")
    rng = random.Random(seed)
    shop.sandbox.behaviour = behaving(
        seed=seed,
        retry_after=0,
        answer_delay=0.002,
        read_back_delay=0.5,
        faults=Faults(
            too_many=0.05,
            status_before={500: 0.04, 503: 0.03},
            status_after={500: 0.05, 504: 0.03},
            reset_before=0.04,
            reset_after=0.05,
            cut_after=0.03,
            no_id_after=0.03,
            late_commit=0.03,
            late_by=0.7,
            late_answer="504",
        ),
    )
    shop.add_many(400)

    for _ in range(5):
        process, goal = shop.start("sync"), shop.posts + rng.randrange(20, 90)
        deadline = time.monotonic() + PATIENCE
        while shop.posts < goal and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    settled(shop, 90)

    assert shop.stored == Counter(f"v{i}" for i in range(400))
    (status,) = shop.connector("status", "--json").json["activations"]
    assert status["counts"]["delivered"] == 400
    owned = {contact_id(n) for n in range(10)}
    assert {i.contact_id for i in shop.sandbox.engage.interactions()} <= owned


def test_an_interaction_that_belongs_to_another_row_is_not_taken_for_ours(shop: Shop) -> None:
    """Two rows that look the same: one is delivered, the other never arrived."""
    shop.configure(**SOON, payload="{visitId: sku}")
    shop.add({"id": "a"})
    shop.sync()
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.add({"id": "b"})

    first = shop.sync()
    shop.sandbox.behaviour = behaving()
    settled(shop)

    assert first.run["in_doubt"] == 1
    assert shop.stored == {"sku-1": 2}
