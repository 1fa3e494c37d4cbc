"""`connector serve` tries a stopped run again before it is due, where that may help."""

import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.serve.retrying import LONGEST, SPREAD, pause_after
from tests.web.test_api import HOOK, completed, tells
from tests.whole.shop import Shop, behaving
from tests.whole.test_serve import Served, started, until

HOURLY = "schedule: {every: 1h, jitter: 0s}"
SOON = "serve: {retry: 0.3s}\n"


def taken_away(shop: Shop) -> Path:
    """The warehouse is not there; where it is now."""
    return shop.warehouse_file.rename(shop.path / "away")


def serving(shop: Shop, more: str = HOURLY, serve: str = SOON) -> Served:
    shop.configure(more=more)
    shop.config.write_text(shop.config.read_text() + serve)
    return started(shop)


def runs(served: Served) -> Any:
    return served.get("/api/runs").json()["runs"]


def test_what_was_stopped_is_tried_again_until_it_gets_through(shop: Shop) -> None:
    shop.add_many(10)
    away = taken_away(shop)
    served = serving(shop)
    until(lambda: [run["status"] for run in runs(served)].count("stopped") >= 3)
    assert served.status["next_run"] > runs(served)[0]["started_at"]

    away.rename(shop.warehouse_file)
    until(lambda: served.status["counts"]["delivered"] == 10)
    until(lambda: not served.status["running"])

    assert (runs(served)[0]["status"], runs(served)[0]["by"]) == ("succeeded", "schedule")
    assert set(shop.stored.values()) == {1}
    number = len(runs(served))
    time.sleep(1.5)
    assert len(runs(served)) == number


@pytest.mark.parametrize(
    ("more", "key", "serve"),
    [
        (HOURLY, "wrong", SOON),  # a person must change the key
        ("description: by hand", "sandbox", SOON),  # a person has begun it
        (HOURLY, "sandbox", "serve: {retry: 0}\n"),
    ],
)
def test_what_no_trying_helps_or_nobody_wants_is_not_tried_again(
    shop: Shop, more: str, key: str, serve: str
) -> None:
    shop.add_many(3)
    if key == "sandbox":
        taken_away(shop)
    shop.configure(more=more)
    text = shop.config.read_text().replace(f"api_key: {shop.sandbox.api_key}", f"api_key: {key}")
    shop.config.write_text(text + serve)
    served = started(shop)
    if more != HOURLY:
        served.post("/api/sync/visits")
    until(lambda: runs(served) and runs(served)[0]["finished_at"])

    time.sleep(2)

    (run,) = runs(served)
    assert (run["status"], run["kind"]) == (
        "stopped",
        "key_refused" if key == "wrong" else "warehouse",
    )


def test_what_was_killed_goes_on_when_it_is_served_again(shop: Shop) -> None:
    shop.configure(timeout="2s", settle_after="1s")
    shop.sandbox.behaviour = behaving(answer_delay=0.05)
    shop.add_many(400)
    served = serving(shop, serve="serve: {retry: 4s}\n")  # as old must a doubt be
    until(lambda: shop.posts >= 50)
    served.end(signal.SIGKILL)

    served = started(shop)

    until(lambda: served.status["counts"]["delivered"] == 400)
    assert set(shop.stored.values()) == {1}


def test_what_a_job_of_dbt_has_begun_is_tried_again_without_a_schedule(shop: Shop) -> None:
    shop.add_many(3)
    away = taken_away(shop)
    served = serving(shop, "tags: [daily]", HOOK + "  retry: 0.3s\n")
    assert tells(served, completed()).json()["taken"]
    until(lambda: len(runs(served)) >= 2)

    away.rename(shop.warehouse_file)

    until(lambda: served.status["counts"]["delivered"] == 3)
    assert {run["by"] for run in runs(served)} == {"dbt"}


@given(st.integers(1, 10**6), st.floats(0, 1), st.timedeltas(timedelta(seconds=1), timedelta(1)))
def test_pauses_grow_and_have_an_end(failures: int, chance: float, first: timedelta) -> None:
    pause = pause_after(failures, first, chance)

    assert first * (1 - SPREAD) <= pause <= max(first, LONGEST) * (1 + SPREAD)
    assert pause_after(failures + 1, first, chance) >= pause
    assert pause_after(1, first, 0.5) == first
