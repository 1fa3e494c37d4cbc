"""A check and a preview say what the next run would do, and that is what it then does."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connector.rules.grammar import Limits
from connector.rules.hold import Hold
from connector.sandbox.behaviour import Faults
from connector.sync.outlook import Ahead, Stands, Would, what_next_run_would_do
from tests.factories import an_activation
from tests.whole.shop import Shop, behaving
from tests.whole.test_check import messages
from tests.whole.test_serve import started, until


def checked(shop: Shop, *arguments: str) -> Any:
    """The outlook of a check, which a preview must share."""
    done = shop.connector("check", "--json", *arguments)
    (document,) = done.json["activations"]
    previewed = shop.connector("preview", "visits", "--json", "--limit", "0").json
    assert previewed["outlook"] == document["outlook"]
    return done.code, document["outlook"]["would"], document["outlook"]["because"]


def with_limits(shop: Shop, good: int, bad: int, limits: str) -> None:
    shop.configure(limits=limits)
    shop.add_many(good)
    shop.execute(
        f"insert into visits select 'x' || i, timestamp '2026-11-02', 'c', 's', 9, 1, true"
        f" from range({bad}) t(i)"
    )


@pytest.mark.parametrize(
    ("good", "bad", "limits", "held"),
    [
        (10, 0, "{rows: 10}", False),
        (11, 0, "{rows: 10}", True),
        (11, 0, "{rows: 20}", False),
        (10, 1, "{rows: 10}", False),
        (90, 10, "{refused: 10%}", False),
        (90, 11, "{refused: 10%}", True),
        (2500, 300, "{refused: 10%}", True),
        (2500, 20, "{refused: 10%}", False),
        (5000, 0, "{rows: 4000}", True),
        (0, 3, "{}", False),
    ],
)
def test_what_is_told_is_what_happens(
    shop: Shop, good: int, bad: int, limits: str, held: bool
) -> None:
    with_limits(shop, good, bad, limits)

    code, would, because = checked(shop)
    text = shop.connector("check").out
    done = shop.sync()

    assert (would == "be_held") == (done.run["status"] == "held") == held
    assert code == (1 if held or bad else 0)
    assert not held or done.run["notes"][-1] == f"held: {because}"
    assert ("Ready" in text) == (code == 0)
    assert not held or "would be held" in shop.connector("preview", "visits").out


def test_while_it_is_held_it_stays_so(shop: Shop) -> None:
    with_limits(shop, 11, 0, "{rows: 10}")
    shop.sync()
    shop.add_many(5, first=11)

    code, would, because = checked(shop)

    assert (code, would) == (1, "be_held")
    assert because.startswith("11 rows are to be sent")
    assert "nothing new is read" in messages(shop.connector("check", "--json"), "advice")
    shop.configure(limits="{rows: 12}")
    assert checked(shop)[:2] == (0, "send")
    assert shop.sync().run["delivered"] == 11


def test_a_first_sync_of_more_than_a_history_is_held(shop: Shop) -> None:
    shop.add_many(100_001)

    code, would, because = checked(shop)

    assert (code, would) == (1, "be_held")
    assert because.startswith("100001 rows are to be sent by the first sync")


def test_a_pause_is_told_and_fails_only_who_asked_for_it(shop: Shop) -> None:
    shop.add({"id": "v1"})
    shop.connector("pause", "visits", "--by", "Ada")

    assert checked(shop)[:2] == (0, "be_passed_by")
    assert checked(shop, "visits")[:2] == (1, "be_passed_by")
    text = shop.connector("check").out
    assert "Ada has paused it" in text
    assert "Not ready" in text
    assert "paused" in shop.connector("sync").out


def test_a_run_that_goes_on_stands_in_the_way(shop: Shop) -> None:
    shop.configure(timeout="60s")
    shop.sandbox.behaviour = behaving(faults=Faults(hang_before=1.0, hang_seconds=60))
    shop.add_many(5)
    process = shop.start("sync")
    until(lambda: shop.posts > 0)

    code, would, because = checked(shop)

    assert (code, would) == (3, "be_stopped")
    assert because.startswith("run ")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert checked(shop)[:2] == (0, "send_nothing")  # a dead process holds nothing


def test_a_ledger_from_a_backup_is_told(shop: Shop) -> None:
    shop.add({"id": "v1"})
    shop.sync()
    shop.connector("restored")

    assert "from a backup" in messages(shop.connector("check", "--json"), "advice")
    assert "from a backup" in shop.connector("preview", "visits").out


def test_rows_that_wait_are_told_by_a_check(shop: Shop) -> None:
    shop.add({"id": "v1", "rating": 9})
    shop.sync()

    done = shop.connector("check", "--json")

    assert done.code == 1
    assert "1 recorded row waits for a person (1 invalid)" in messages(done, "data")


def test_without_a_schema_nothing_fits_it(shop: Shop) -> None:
    shop.add_many(5)
    shop.configure(key="wrong")

    found = messages(shop.connector("check", "--json"), "ok")

    assert "fit the schema" in found
    assert "the first 5 rows can be mapped; whether they fit the schema could not be" in found


def test_rows_that_are_recorded_are_not_counted_as_invalid(shop: Shop) -> None:
    shop.add_many(5)
    shop.sync()
    shop.execute("update visits set rating = 99")

    done = shop.connector("check", "--json")

    assert done.code == 0
    assert "no row is new, of 5 rows" in messages(done, "ok")
    assert "there is nothing to send" in shop.connector("check").out


def test_new_rows_are_found_behind_many_that_are_recorded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.sync.reading.BATCH", 2)
    shop.add_many(6)
    shop.sync()
    shop.execute(
        "insert into visits select 'x' || i, timestamp '2026-11-02', 'c', 's', 9, 1, true"
        " from range(2) t(i)"
    )
    assert checked(shop) == (1, "send_nothing", None)
    shop.add_many(1, first=6)

    assert checked(shop) == (1, "send", None)
    done = shop.connector("check", "--json")
    assert "1 of the first 2 rows would be invalid" in messages(done, "data")

    monkeypatch.setattr("connector.sync.check.MOST_ROWS", 4)
    done = shop.connector("check", "--json")
    assert done.json["activations"][0]["outlook"] is None
    found = messages(done, "ok")
    assert "none of the first 4 rows that a run would read is new" in found
    assert "4 of 9 rows were looked at" in found
    assert "nothing to send" not in shop.connector("check").out


def test_what_may_be_sent_once_it_was_asked_about_is_told(shop: Shop) -> None:
    shop.configure(identifier="email", timeout="1s", settle_after="0s")
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={500: 1.0}))
    shop.add({"id": "v1", "contact": "c1@example.com"}, {"id": "v2", "contact": "new@example.com"})
    shop.sync()
    shop.sandbox.behaviour = behaving()

    assert checked(shop) == (1, "send_nothing", None)
    found = messages(shop.connector("check", "--json"), "advice")
    shown = shop.connector("preview", "visits").out

    for told in (found, " ".join(shown.split())):
        assert "1 row in doubt may be sent" in told
        assert "1 row without a contact yet may be sent" in told
    assert "There is nothing to send" not in shown
    assert "A sync would work, but" in shop.connector("check").out
    assert shop.connector("preview", "visits", "--json").json["outlook"]["may_send"] == 2


# --- the destination ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        (None, {"key": "wrong"}, "refuses the API key"),
        (None, {"url": "http://127.0.0.1:9"}, "could not connect"),
        (None, {"schema": "visits"}, "has no schema"),
        (None, {"payload": "{visitId: id, colour: sku}"}, "colour"),
        ({}, {"key": "wrong"}, "refuses the API key"),
        ({"limits": "{rows: 0}"}, {"key": "wrong"}, "refuses the API key"),
    ],
    ids=["key", "url", "schema", "mapping", "nothing to send", "held"],
)
def test_a_run_that_the_destination_stops_is_told_as_that(
    shop: Shop, first: dict[str, str] | None, then: dict[str, str], words: str
) -> None:
    shop.add({"id": "v1"})
    if first is not None:
        shop.configure(**first)
        shop.sync()
    shop.configure(**then)

    done = shop.connector("check", "--json")

    outlook = done.json["activations"][0]["outlook"]
    assert (outlook["would"], words in outlook["because"]) == ("be_stopped", True)
    synced = shop.sync()
    assert (synced.code, synced.run["status"], words in synced.run["error"]) == (
        done.code,
        "stopped",
        True,
    )


def test_what_is_paused_is_passed_by_whatever_its_destination_says(shop: Shop) -> None:
    shop.configure(key="wrong", more="paused: true")

    done = shop.connector("check", "--json")

    assert done.json["activations"][0]["outlook"]["would"] == "be_passed_by"
    assert shop.sync().json == {"runs": []}


# --- the ledger -----------------------------------------------------------------------------------


def test_a_check_writes_nothing(shop: Shop) -> None:
    shop.add({"id": "v1"})
    assert "the ledger can be written" in messages(shop.connector("check", "--json"), "ok")
    assert not shop.ledger_file.parent.exists()

    def content() -> dict[Path, bytes]:
        """Of all files but the memory that SQLite's processes share."""
        folder = shop.ledger_file.parent
        return {p: p.read_bytes() for p in folder.iterdir() if not p.name.endswith("-shm")}

    shop.sync()
    before = content()
    assert shop.connector("check").code == 0
    assert content() == before
    assert shop.connector("preview", "visits").code == 0
    assert content() == before


def as_an_ordinary_user(shop: Shop, *arguments: str) -> Any:
    """The document of a command that is let do only what the modes of files let it do."""
    command = [sys.executable, "-m", "connector", "--config", str(shop.config), *arguments]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="nothing is read-only to root"
)
@pytest.mark.parametrize("what", ["file", "folder", "a folder for the first one"])
def test_a_ledger_that_may_not_be_written_is_noticed(shop: Shop, what: str) -> None:
    shop.add({"id": "v1"})
    if what != "a folder for the first one":
        shop.sync()
    folder = shop.ledger_file.parent
    folder.mkdir(exist_ok=True)
    path = shop.ledger_file if what == "file" else folder
    path.chmod(path.stat().st_mode & ~0o222)

    code, document = as_an_ordinary_user(shop, "check", "--json")
    synced, _ = as_an_ordinary_user(shop, "sync", "--json")

    path.chmod(0o700)
    assert (code, synced) == (3, 3)
    assert document["activations"][0]["outlook"]["would"] == "be_stopped"


def test_a_ledger_that_is_no_database_or_has_no_folder_is_noticed(
    shop: Shop, tmp_path: Path
) -> None:
    shop.add({"id": "v1"})
    (tmp_path / "a-file").write_text("")
    shop.configure(ledger=f"sqlite:///{tmp_path}/a-file/ledger.db")

    assert checked(shop)[:2] == (3, "be_stopped")
    assert shop.sync().code == 3


# --- who serves -----------------------------------------------------------------------------------


def served_by(shop: Shop) -> Any:
    (document,) = shop.connector("status", "--json").json["activations"]
    return [service["where"] for service in document["services"]], document["next_run"]


def test_no_run_is_told_that_nobody_begins(shop: Shop) -> None:
    shop.configure(more="schedule: {every: 1h}")

    assert served_by(shop) == ([], None)
    text = shop.connector("status").out
    assert "nothing serves" in text
    assert "Nothing follows the schedule of visits" in text


def test_everybody_who_serves_is_told_until_he_ends(shop: Shop) -> None:
    shop.configure(more="schedule: {every: 1h}")
    shop.add({"id": "v1"})
    first, second = started(shop), started(shop)
    until(lambda: shop.posts == 1)

    where, next_run = served_by(shop)

    pids = (first.process.pid, second.process.pid)
    assert [w.split(" on ")[0] for w in where] == [f"process {pid}" for pid in pids]
    assert next_run
    assert "follows schedules" in shop.connector("status").out
    assert first.end() == 0
    assert len(served_by(shop)[0]) == 1
    assert second.end(signal.SIGKILL) != 0
    assert served_by(shop) == ([], None)  # it could say no more


def test_what_is_held_and_within_the_limit_by_now_goes_without_what_is_new(shop: Shop) -> None:
    shop.configure(limits="{rows: 5}")
    shop.add_many(7)
    shop.sync()
    given_up = [f"v{number}" for number in range(4)]
    shop.connector("quarantine", "discard", "visits", *given_up, "--yes")
    shop.add_many(4, first=7)

    foreseen = shop.connector("preview", "visits", "--json").json
    shown = shop.connector("preview", "visits").out
    done = shop.sync()
    rest = shop.sync()

    outlook = foreseen["outlook"]
    assert (outlook["would"], outlook["left"]) == ("send", 4)
    assert (foreseen["new"], foreseen["pending"]) == (4, 3)
    assert "3  would be sent" in shown
    assert "4  new, and left to the run after that" in shown
    assert (done.run["delivered"], done.run["done"]) == (3, False)
    assert (rest.run["delivered"], rest.run["done"]) == (4, True)


# --- the answer itself ----------------------------------------------------------------------------


def test_what_stops_a_run_comes_before_a_pause_and_a_pause_before_a_hold() -> None:
    activation = an_activation(limits=Limits(rows=1))

    def would(**less: Any) -> Would:
        facts = {"hindrance": "no ledger", "paused": "resume it", "held": Hold(5, 5, 0)}
        now = Stands(**{**facts, **less}, counts={"pending": 5})
        return what_next_run_would_do(activation, now, Ahead()).would

    assert would() == Would.BE_STOPPED
    assert would(hindrance=None) == Would.BE_PASSED_BY
    assert would(hindrance=None, paused=None) == Would.BE_HELD


def test_a_run_that_only_ends_a_hold_leaves_what_is_new_to_the_next() -> None:
    stands = Stands(held=Hold(5, 5, 0), first=False, counts={"pending": 0})

    found = what_next_run_would_do(an_activation(), stands, Ahead(new=4))

    assert (found.would, found.sends, found.left) == (Would.NOTHING, 0, 4)
