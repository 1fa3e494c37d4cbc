"""A sync keeps to the time it is given, has a tag to be found by, and tells how far it is."""

import json
import time
from typing import Any

import pytest

from connector.rules.errors import LeaseLost
from connector.sandbox.behaviour import Faults
from connector.sync import run as running
from connector.sync.flow import Running
from tests.whole.shop import Shop, behaving
from tests.whole.test_crash import until

AGAIN = """
  {name}:
    model: {{sql: "select 'x' || id as id, seen_at, contact, sku, rating from visits"}}
    schema_id: visit
    row_key: id
    cursor: seen_at
    start: all
    contact: {{column: contact, identifier: contactId}}
    created_date: seen_at
    payload: {{visitId: id}}
"""


@pytest.fixture
def slow(shop: Shop) -> Shop:
    """One that takes five seconds for all of its rows."""
    shop.configure(rate=40)
    shop.add(*({"id": f"v{number}"} for number in range(200)))
    return shop


def test_a_sync_ends_in_order_when_its_time_is_over_and_the_next_goes_on(slow: Shop) -> None:
    sent, pending = 0, 200
    while not sent:  # a busy machine may need the time of a slice to begin
        began = time.monotonic()
        done = slow.connector("sync", "--for", "3s", "--json")
        took, run = time.monotonic() - began, done.run

        facts = [run[name] for name in ("status", "kind", "error", "done")]
        assert (done.code, facts) == (0, ["succeeded", None, None, False])
        assert run["delivered"] < 150
        assert run["delivered"] + run["pending"] in (0, pending)
        assert took < 3 + 15
        sent, pending = sent + run["delivered"], run["pending"] or pending

    slow.configure(rate=5000)
    (last,) = slow.connector("sync", "--for", "5m", "--json").json["runs"]

    assert (last["done"], last["status"]) == (True, "succeeded")
    assert sent + last["delivered"] == 200
    assert set(slow.stored.values()) == {1}
    assert len(slow.stored) == 200


def test_the_time_is_that_of_all_and_who_has_not_begun_is_told(slow: Shop) -> None:
    slow.config.write_text(
        slow.config.read_text() + AGAIN.format(name="later") + AGAIN.format(name="last")
    )

    done = slow.connector("sync", "--for", "2s", "--json")

    first, *others = done.json["runs"]
    assert (done.code, first["activation"], first["done"]) == (0, "visits", False)
    assert [run["activation"] for run in others] == ["later", "last"]
    for run in others:
        facts = [run[name] for name in ("status", "done", "run_id", "error", "kind")]
        assert facts == ["not_begun", False, None, None, None]

    told = slow.connector("sync", "--for", "2s").out
    assert "later: not done" in told
    assert "last: not begun" in told


def test_each_turn_begins_with_whose_last_run_is_the_longest_ago(slow: Shop) -> None:
    more = AGAIN.format(name="later") + AGAIN.format(name="last")
    slow.config.write_text(slow.config.read_text() + more)

    turns = [slow.connector("sync", "--for", "2s", "--json").json["runs"] for _ in range(4)]

    assert [runs[0]["activation"] for runs in turns] == ["visits", "later", "last", "visits"]


@pytest.mark.parametrize("busy", [False, True])
def test_whatever_the_destination_does_it_ends_within_the_time_and_one_answers(
    shop: Shop, busy: bool
) -> None:
    shop.configure(timeout="2s", concurrency=4)
    shop.add(*({"id": f"v{number}"} for number in range(40)))
    faults = Faults(too_many=1.0) if busy else Faults(hang_after=1.0, hang_seconds=30)
    shop.sandbox.behaviour = behaving(faults=faults, retry_after=4 if busy else None)

    began = time.monotonic()
    done = shop.connector("sync", "--for", "2s", "--fail-on", "never", "--json")

    assert time.monotonic() - began < 20  # and not when all of them have hung
    assert (done.code, done.run["done"], done.run["delivered"]) == (0, False, 0)
    assert done.run["in_doubt"] <= (0 if busy else 4)

    shop.sandbox.behaviour = behaving()
    shop.configure(settle_after="0")
    while not shop.connector("sync", "--wait", "--json").run["done"]:
        pass
    assert len(shop.stored) == 40
    assert set(shop.stored.values()) == {1}


def test_a_mirror_comes_to_what_its_model_has_in_slices(shop: Shop) -> None:
    limits = "{removed: 100%}"
    shop.configure(more="mode: mirror", cursor="", limits=limits, settle_after="0s", timeout="1s")
    shop.add(*({"id": f"v{number}", "rating": 1} for number in range(60)))
    assert shop.sync().run["done"] is True
    shop.execute("delete from visits where id like 'v1%'")
    shop.execute("update visits set rating = 5 where id like 'v2%'")
    shop.add(*({"id": f"w{number}"} for number in range(30)))

    shop.configure(rate=12)
    slices = [shop.connector("sync", "--for", "3s", "--json").run]
    while not slices[-1]["done"]:
        assert len(slices) < 30
        slices.append(shop.connector("sync", "--for", "3s", "--json").run)

    assert len(slices) > 1
    assert (sum(run["removed"] for run in slices), sum(run["replaced"] for run in slices)) == (
        11,
        11,
    )
    there = {i.payload["visitId"]: i.payload["rating"] for i in shop.sandbox.engage.interactions()}
    assert set(shop.stored.values()) == {1}
    assert len(there) == 60 - 11 + 30
    assert {there[key] for key in there if key.startswith("v2")} == {5}


def test_what_a_slice_has_left_is_no_measure_of_what_is_usual(slow: Shop) -> None:
    slow.configure(rate=5000)
    slow.sync()
    slow.add(*({"id": f"w{number}"} for number in range(100)))
    slow.configure(rate=15)
    slow.connector("sync", "--for", "4s")
    slow.configure(rate=5000)
    slow.connector("sync", "--for", "5m")
    slow.add({"id": "x"})
    slow.sync()

    with slow.ledger_connection() as ledger:
        told = ledger.execute(
            "select comparable, due, done from runs order by started_at"
        ).fetchall()

    first, cut, rest, last = told
    assert (first[0], cut, last) == (0, (1, 100, 0), (1, 1, 1))
    assert (rest[0], rest[2], 0 < rest[1] < 100) == (0, 1, True)


def test_a_time_that_is_none_is_refused(shop: Shop) -> None:
    for span in ("0", "soon", "10"):
        done = shop.connector("sync", "--for", span, "--json")
        assert (done.code, done.json["error"]["kind"]) == (2, "configuration")


def test_a_run_that_is_limited_stopped_or_held_is_not_done(shop: Shop) -> None:
    shop.add(*({"id": f"v{number}"} for number in range(4)))
    assert shop.connector("sync", "--limit", "3", "--json").run["done"] is False

    shop.configure(limits="{rows: 1}")
    shop.add({"id": "w1"}, {"id": "w2"})
    held = shop.connector("sync", "--json").run
    assert (held["status"], held["done"]) == ("held", False)

    shop.configure(limits="{}")
    assert shop.connector("sync", "--approve", "--json").run["delivered"] > 1
    assert shop.connector("sync", "--json").run["done"] is True


def test_runs_are_found_by_their_tag_and_added_up(shop: Shop) -> None:
    shop.config.write_text(shop.config.read_text() + AGAIN.format(name="others"))
    shop.add(*({"id": f"v{number}"} for number in range(5)))
    shop.connector("sync", "visits", "--limit", "2", "--tag", "turn 7")
    shop.connector("sync", "others", "--tag", "another")
    shop.add({"id": "bad", "rating": 9})
    shop.connector("sync", "--tag", "turn 7")

    found = shop.connector("runs", "--tag", "turn 7", "--json").json

    assert [(run["activation"], run["tag"]) for run in found["runs"]] == [
        ("others", "turn 7"),
        ("visits", "turn 7"),
        ("visits", "turn 7"),
    ]
    totals = found["totals"]
    assert (totals["runs"], totals["activations"], totals["done"]) == (3, 2, True)
    assert (totals["delivered"], totals["invalid"], totals["pending"]) == (6, 1, 0)
    assert totals["staged"] == sum(run["staged"] for run in found["runs"])
    short = shop.connector("runs", "visits", "--tag", "turn 7", "--limit", "1", "--json").json
    assert (len(short["runs"]), short["totals"]["delivered"]) == (1, 5)
    assert "In all: 3 runs" in shop.connector("runs", "--tag", "turn 7").out
    assert "totals" not in shop.connector("runs", "--json").json
    assert shop.connector("runs", "--tag", "never", "--json").json["totals"]["done"] is False


def test_progress_is_told_in_lines_of_json(slow: Shop) -> None:
    done = slow.connector("sync", "--progress", "json", "--for", "4.5s", "--json")

    *lines, last = [json.loads(line) for line in done.err.splitlines()]
    assert len(lines) > 0
    assert {line["ended"] for line in lines} == {False}
    assert last["ended"] is True
    assert last["run_id"] == done.run["run_id"]
    assert last["delivered"] == done.run["delivered"]
    assert {line["run_id"] for line in lines} <= {None, last["run_id"]}  # it may not have begun
    for line in lines:
        if line["delivered"]:
            assert line["activation"] == "visits"
            assert line["delivered"] + line["left"] == 200
            assert 0 < line["rate"] <= 60


def test_what_fails_once_the_time_is_over_is_told_as_what_it_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not as an interruption."""

    def read(of: Running, *_: Any) -> Any:
        until(lambda: of.flow.stop.asked)
        raise LeaseLost("another run has it")

    monkeypatch.setattr(running, "read_mirror", read)
    shop.configure(more="mode: mirror", cursor="")

    done = shop.connector("sync", "--for", "1s", "--json")

    assert (done.code, done.run["status"], done.run["kind"]) == (3, "stopped", "busy")
    assert done.run["error"] == "another run has it"
