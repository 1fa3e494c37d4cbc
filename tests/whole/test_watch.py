"""Runs are watched while they go on, in another process too, and from before there is a ledger."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time

from tests.test_layout import STYLES
from tests.whole.shop import Shop


def seen(place: int, *wanted: str) -> str:
    """What a terminal is shown, once it was shown everything that is wanted."""
    found, end = "", time.monotonic() + 40
    while not all(word in found for word in wanted):
        assert time.monotonic() < end, re.sub(r"\s+", " ", found)
        if select.select([place], [], [], 0.2)[0]:
            found += STYLES.sub("", os.read(place, 65536).decode(errors="replace"))
    return found


def test_the_view_waits_for_a_ledger_and_is_left_by_a_key(shop: Shop) -> None:
    shop.add({"id": "good"}, {"id": "bad", "rating": 9})
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "connector", "--config", str(shop.config)]
    environment = {**os.environ, "COLUMNS": "80", "LINES": "30", "TERM": "xterm"}
    process = subprocess.Popen(
        [*command, "watch", "--every", "1s"],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
    )
    try:
        seen(mine, "there is no ledger yet")
        shop.sync()
        seen(mine, "Needs a person (1)", "1 row to decide about: 1 invalid", "Last runs")
        os.write(mine, b"q")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(mine)
        os.close(its)


def test_a_run_of_another_process_is_told_line_by_line(shop: Shop) -> None:
    shop.configure(rate=50, concurrency=1)
    shop.add_many(400)
    process = shop.start("sync")
    found: list[dict[str, object]] = []
    try:
        end = time.monotonic() + 30
        while not found and time.monotonic() < end:
            told = shop.connector("watch", "--times", "2", "--json")
            documents = [json.loads(line) for line in told.out.splitlines()]
            assert (told.code, len(documents)) == (0, 2)
            found = [run for run in documents[1]["running"] if run["rate"]]
        line = shop.connector("watch", "--times", "1").out
    finally:
        process.terminate()
        process.communicate(timeout=30)

    assert (found[0]["activation"], found[0]["state"]) == ("visits", "sending")
    assert ("visits: " in line, " delivered, " in line) == (True, True)
    assert shop.connector("watch", "another", "--json").json["error"]["kind"] == "configuration"
    assert "--every: expected a duration" in shop.connector("watch", "--every", "often").err
