"""Send windows in processes of their own, by the system's clock: one closes while a run sends, and
one opens while `connector serve` waits.

A window opens and closes at whole minutes. So that none has to be waited for, the zone is made for
the test: its clocks show now whatever is wanted.
"""

import json
import math
import os
import struct
import time
import zoneinfo
from pathlib import Path

from tests.whole.shop import Shop
from tests.whole.test_serve import Served, started, until

DAY = 86_400
NOON = DAY // 2
NEVER = 'schedule: {cron: "0 3 1 1 *"}'
"""Once a year."""


def zone_of(shop: Shop, now: int, shows: int) -> dict[str, str]:
    """A process's environment in which the clocks of the zone `Etc/Test` show at `now` so many
    seconds since midnight."""
    file = Path(shop.path, "zones", "Etc", "Test")
    file.parent.mkdir(parents=True)
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 5)  # of one kind of time, with a name of 5 bytes
    kind = struct.pack(">lbb", shows - now % DAY, 0, 0) + b"TEST\0"
    file.write_bytes(b"TZif" + bytes(16) + counts + kind)
    return {"PYTHONTZPATH": os.pathsep.join([str(file.parent.parent), *zoneinfo.TZPATH])}


def send(between: str, more: str = "description: Visits") -> str:
    return f'send: {{between: "{between}", timezone: Etc/Test}}\n    {more}'


def soon(shop: Shop, seconds: int) -> int:
    """So many seconds after a process that is started now does its work: a slow machine takes many
    for its start."""
    began = time.monotonic()
    shop.start("sync").communicate()
    return seconds + math.ceil(3 * (time.monotonic() - began))


def times(shop: Shop) -> list[float]:
    """When each interaction was stored."""
    return [each.stored_at for each in shop.sandbox.engage.interactions()]


def test_a_run_that_lasts_into_the_night_ends_in_order(shop: Shop) -> None:
    left = soon(shop, 5)
    rows = 16 * left
    shop.configure(more=send("08:00-12:00"), rate=8, concurrency=2)
    shop.add_many(rows)
    now = int(time.time())

    process = shop.start("sync", "--json", **zone_of(shop, now, NOON - left))
    out, err = process.communicate(timeout=100)

    assert process.returncode == 0, err
    (run,) = json.loads(out)["runs"]
    assert 0 < run["delivered"] == len(times(shop)) < rows
    assert run["delivered"] + run["pending"] == rows
    assert (run["in_doubt"], run["for_window"]) == (0, run["pending"])
    assert max(times(shop)) < now + left + 3, "what was on record by then goes out, and no more"


def rows_and_window(served: Served) -> tuple[int, bool]:
    """How many rows wait to be sent, and whether the window is open, at one time."""
    status = served.status
    return status["counts"]["pending"], status["window"]["open"]


def test_serve_begins_a_run_when_a_window_opens(shop: Shop) -> None:
    left = soon(shop, 5)
    shop.configure(more=send("12:00-20:00", NEVER))
    shop.add_many(20)
    now = int(time.time())
    served = started(shop, **zone_of(shop, now, NOON - left))
    assert served.post("/api/sync/visits").status_code == 202

    until(lambda: rows_and_window(served) == (20, False))
    until(lambda: len(times(shop)) == 20)

    assert min(times(shop)) >= now + left
    assert set(shop.stored.values()) == {1}
    assert served.end() == 0
