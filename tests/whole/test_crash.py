"""Real processes, really killed: nothing is lost, nothing is repeated, doubts stay doubts."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from connector.sandbox.behaviour import Faults
from tests.targets import PROVE
from tests.whole.shop import PATIENCE, Shop, behaving

ROWS = 1500
LONG = 2 * PATIENCE
"""Seconds that an answer takes for which whoever is told to stop does not wait."""


def until(condition: object, seconds: float = 60) -> None:
    """Wait for `condition()`; fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)


def killed(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> int:
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    return process.returncode


@pytest.mark.parametrize("seed", range(8) if PROVE else range(1))
def test_a_process_killed_again_and_again_repeats_nothing_and_loses_nothing(
    shop: Shop, seed: int
) -> None:
    rng = random.Random(seed)
    shop.sandbox.behaviour = behaving(answer_delay=0.004)
    shop.add_many(ROWS)

    for _ in range(6):
        process, goal = shop.start("sync"), shop.posts + rng.randrange(1, ROWS // 8)
        until(lambda p=process, g=goal: shop.posts >= g or p.poll() is not None)
        time.sleep(rng.random() * 0.02)  # anywhere between two commits
        killed(process)
    last = shop.sync()

    stored = shop.stored
    assert set(stored.values()) == {1}, "a row was sent twice"
    (status,) = shop.connector("status", "--json").json["activations"]
    counts = status["counts"]
    assert counts["delivered"] + counts["in_doubt"] == ROWS
    assert counts["in_doubt"] == last.run["in_doubt"]
    assert len(stored) >= counts["delivered"] >= len(stored) - counts["in_doubt"]
    again = shop.posts
    shop.sync()
    assert shop.posts == again


def test_a_row_whose_process_died_on_the_wire_is_found_again(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=30))
    shop.configure(timeout="60s")
    shop.add({"id": "v1"})

    process = shop.start("sync")
    until(lambda: len(shop.stored) == 1)
    killed(process)
    shop.sandbox.behaviour = behaving()
    done = shop.sync()

    assert (done.code, done.run["in_doubt"], done.run["delivered"]) == (0, 0, 1), done
    assert shop.posts == 1
    story = shop.connector("explain", "visits", "v1", "--json").json
    assert story["interaction_id"] == shop.sandbox.engage.interactions()[0].id
    assert story["attempts"][0]["outcome"] == "unknown"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_records_what_is_under_way(shop: Shop, number: int) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=0.3)
    shop.add_many(200)

    process = shop.start("sync", "--json")
    until(lambda: shop.posts >= 16)
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE)
    shop.sandbox.behaviour = behaving()
    done = shop.sync()

    assert process.returncode == 130
    assert '"status": "stopped"' in out
    assert done.run["in_doubt"] == 0
    assert len(shop.stored) == 200
    assert set(shop.stored.values()) == {1}


def test_a_second_run_of_the_same_activation_is_refused(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=0.3)
    shop.add_many(100)

    process = shop.start("sync")
    until(lambda: shop.posts >= 1)
    second = shop.sync()
    process.communicate(timeout=PATIENCE)

    assert second.code == 3
    assert second.run["status"] == "stopped"
    assert "held by run" in second.run["error"]
    assert process.returncode == 0
    assert set(shop.stored.values()) == {1}


def test_a_frozen_run_that_was_replaced_sends_nothing_more(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=0.05)
    shop.add_many(400)

    process = shop.start("sync", "--json")
    until(lambda: shop.posts >= 20)
    shop.freeze(process)
    until(lambda: shop.sync().code != 3)  # its lease of two seconds ends, and another takes over
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 3
    assert "another run took over" in out, out
    assert set(shop.stored.values()) == {1}
    (status,) = shop.connector("status", "--json").json["activations"]
    # what the woken run had opened too long ago, and so did not send, is pending again
    left = status["counts"]["in_doubt"] + status["counts"]["pending"]
    assert len(shop.stored) >= 400 - left


def test_a_second_interruption_ends_at_once_and_leaves_doubts(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=LONG))
    shop.configure(timeout=f"{LONG}s")
    shop.add_many(30)

    process = shop.start("sync")
    until(lambda: shop.posts >= 16)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    shop.sandbox.behaviour = behaving()
    done = shop.sync()

    assert process.returncode == 130
    assert done.run["delivered"] == 30, (done, shop.connector("status", "--json").json)
    assert set(shop.stored.values()) == {1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [["check", "--json"], ["preview", "visits", "--json"]])
def test_other_commands_end_with_a_document_too(
    shop: Shop, command: list[str], number: int
) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=LONG)
    shop.add_many(3)

    process = shop.start(*command)
    until(lambda: shop.sandbox.requests.count() >= 1)
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert '"kind": "interrupted"' in out


def test_a_command_that_waits_for_the_ledger_ends_with_a_document(shop: Shop) -> None:
    """It works outside of any event loop."""
    shop.sync()

    with closing(sqlite3.connect(shop.ledger_file, isolation_level=None)) as held:
        held.execute("begin immediate")
        process = shop.start("pause", "visits", "--json")
        until(lambda: str(shop.ledger_file) in open_files(process.pid))
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert json.loads(out)["error"]["kind"] == "interrupted"


@pytest.mark.parametrize(
    ("command", "number", "times"), [("preview", signal.SIGTERM, 1), ("sync", signal.SIGINT, 2)]
)
def test_a_thread_that_does_not_end_is_not_waited_for(
    shop: Shop, command: str, number: int, times: int
) -> None:
    """At once where something is only looked at; by a second Ctrl-C where a run ends in order."""
    endless = "select *, (select count(*) from range(1000000000000)) as n from visits"
    shop.configure(model=endless)
    shop.add_many(1)

    with shop.start(command, "visits", "--json") as process:
        until(lambda: any("shop.duckdb" in name for name in open_files(process.pid)), 20)
        for n in range(times):
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1.5 if n + 1 < times else PATIENCE)
        still_there = process.poll() is None
        process.kill()
        said, _ = process.communicate(timeout=PATIENCE)

    assert not still_there
    assert process.returncode == 130
    assert '"kind": "interrupted"' in said


def open_files(pid: int) -> set[str]:
    """What a process has open."""
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(str(each.readlink()))
    return found


@pytest.mark.parametrize("where", ["full", "nobody reads"])
@pytest.mark.parametrize("command", [["status", "--json"], ["status"], ["schema-for-editors"]])
def test_output_that_cannot_be_written_is_no_result_that_waits_for_a_person(
    shop: Shop, command: list[str], where: str
) -> None:
    """And no traceback."""
    words = [sys.executable, "-m", "connector", "--config", str(shop.config), *command]
    reading, writing = os.pipe()
    os.close(reading)

    with Path("/dev/full").open("w") as full, os.fdopen(writing, "w") as pipe:
        out = full if where == "full" else pipe
        done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, text=True)

    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert ("No space left on device" in done.stderr) == (where == "full")


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_sync_whose_streams_are_closed_sends_all_the_same(shop: Shop, closed: str) -> None:
    shop.add_many(1)

    done = typed(shop, closed, "sync")

    assert done.returncode == 0
    assert sum(shop.stored.values()) == 1


@pytest.mark.parametrize("options", [["--verbose"], ["--log-format", "json"]])
def test_a_log_that_cannot_be_written_keeps_no_row_from_being_sent(
    shop: Shop, options: list[str]
) -> None:
    shop.add_many(3)

    done = typed(shop, "2>/dev/full", *options, "sync", "--json")

    assert sum(shop.stored.values()) == 3
    assert json.loads(done.stdout)["runs"][0]["delivered"] == 3
    assert done.returncode == 0


def test_who_cannot_be_asked_since_no_input_is_there_is_told_so(shop: Shop) -> None:
    shop.add_many(1)
    run_id = shop.sync().run["run_id"]

    done = typed(shop, "<&-", "undo", run_id)

    assert done.returncode == 2
    assert "--yes" in done.stderr


def typed(shop: Shop, streams: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command as a shell begins it that closes streams."""
    command = [sys.executable, "-m", "connector", "--config", str(shop.config), *words]
    line = ["sh", "-c", f'exec "$@" {streams}', "sh", *command]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)
