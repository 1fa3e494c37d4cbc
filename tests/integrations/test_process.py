"""The real connector as a process of an orchestrator: each end it can have, and no orphan."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from engage_connector_airflow.process.command import Connector, Ended
from engage_connector_airflow.process.outcome import Verdict, judge, sync_arguments
from engage_connector_airflow.process.planned import NotPlanned, Planned, read_plan

from tests.targets import in_short
from tests.whole.shop import Shop

TASK = """
import os, sys
sys.path.insert(0, {place!r})
from engage_connector_airflow.process.command import Connector
from engage_connector_airflow.process.outcome import judge

if os.fork() == 0:  # as a supervisor has a process for its task
    print("task", os.getpid(), flush=True)
    connector = Connector({config!r}, grace=30, log=lambda line: print(line, flush=True))
    connector.run("sync", "visits", "--progress", "json")
    os._exit(0)
os.wait()
"""
PLACE = str(Path(__file__).parents[2] / "integrations/airflow")


def connector_of(shop: Shop, **more: object) -> Connector:
    return Connector(str(shop.config), grace=20, log=lambda line: None, **more)  # type: ignore[arg-type]


def sync(shop: Shop, **more: object) -> Ended:
    return connector_of(shop).run(*sync_arguments("visits", tag="a/tag", **more))  # type: ignore[arg-type]


@pytest.fixture
def slow(shop: Shop) -> Shop:
    """One that takes ten seconds for all of its rows."""
    shop.configure(rate=40)
    shop.add_many(400)
    return shop


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not become true"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The processes that `pid` has begun."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def runs(pid: int) -> bool:
    """Whether `pid` does, and is not merely not waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ready(shop: Shop) -> None:
    shop.add({"id": "v1"})


def attention(shop: Shop) -> None:
    shop.add({"id": "v1"}, {"id": "v2", "rating": 9})


def held(shop: Shop) -> None:
    shop.configure(limits="{rows: 1}")
    shop.add({"id": "v1"}, {"id": "v2"})


def paused(shop: Shop) -> None:
    shop.configure(more="paused: true")


def unreachable(shop: Shop) -> None:
    ready(shop)
    text = shop.config.read_text()
    shop.config.write_text(text.replace(shop.sandbox.url, "http://127.0.0.1:1"))


def refused(shop: Shop) -> None:
    ready(shop)
    shop.config.write_text(shop.config.read_text().replace("api_key: ", "api_key: not-"))


def mistaken(shop: Shop) -> None:
    shop.config.write_text(shop.config.read_text().replace("row_key:", "row_kex:"))


def without_a_warehouse(shop: Shop) -> None:
    shop.warehouse_file.unlink()


REAL = [
    (ready, Verdict.SUCCEED, None),
    (attention, Verdict.WARN, None),
    (held, Verdict.SKIP, "held"),
    (without_a_warehouse, Verdict.RETRY, "warehouse"),
    (mistaken, Verdict.FAIL, "configuration"),
    (paused, Verdict.SKIP, "paused"),
    (unreachable, Verdict.RETRY, "destination"),
    (refused, Verdict.FAIL, "key_refused"),
]
"""First one for each verdict; `test_outcome.py` has every end that was told."""


@pytest.mark.parametrize(
    ("prepare", "verdict", "kind"),
    in_short([pytest.param(*case, id=case[0].__name__) for case in REAL], slice(len(Verdict))),
)
def test_each_end_of_the_real_one_has_its_verdict(
    shop: Shop, prepare: Callable[[Shop], None], verdict: Verdict, kind: str | None
) -> None:
    prepare(shop)

    ended = sync(shop)

    outcome = judge(ended)
    told = outcome.run or ended.document["error"]
    assert (outcome.verdict, told.get("kind")) == (verdict, kind)


def test_a_budget_ends_in_order_and_the_tag_sums_what_all_have_done(slow: Shop) -> None:
    first = judge(sync(slow, budget=2))
    slow.configure(rate=5000)
    second = judge(sync(slow))

    assert (first.verdict, first.done) == (Verdict.SUCCEED, False)
    assert (second.verdict, second.done) == (Verdict.SUCCEED, True)
    totals = connector_of(slow).run("runs", "visits", "--tag", "a/tag").document["totals"]
    assert (totals["runs"], totals["delivered"], totals["done"]) == (2, 400, True)
    assert set(slow.stored.values()) == {1}


def test_one_that_is_busy_or_killed_is_to_be_tried_again(slow: Shop) -> None:
    slow.configure(rate=4)  # it goes on for longer than another one takes to begin
    connector, ends = connector_of(slow), list[Ended]()
    going = Thread(target=lambda: ends.append(connector.run("sync", "visits")))
    going.start()
    until(lambda: slow.posts)
    busy = judge(sync(slow))

    assert connector._process is not None
    (running,) = children(connector._process.pid)
    os.kill(running, signal.SIGKILL)
    going.join(60)

    assert busy.verdict is Verdict.RETRY
    assert busy.why.startswith("busy: ")
    assert (ends[0].code, judge(ends[0]).verdict) == (137, Verdict.RETRY)


def test_one_that_is_asked_to_stop_ends_in_order(slow: Shop) -> None:
    connector, ends = connector_of(slow), list[Ended]()
    going = Thread(target=lambda: ends.append(connector.run("sync", "visits")))
    going.start()
    until(lambda: slow.posts)
    connector.stop()
    connector.stop()  # a second time does not make it end at once
    going.join(60)

    outcome = judge(ends[0])
    assert (outcome.verdict, outcome.run["kind"], ends[0].asked) == (
        Verdict.RETRY,
        "interrupted",
        True,
    )
    assert outcome.run["in_doubt"] == 0
    assert outcome.run["delivered"] == len(slow.stored)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("victim", ["supervisor", "task", "guard"])
def test_whoever_is_killed_leaves_no_orphan_and_no_doubt(slow: Shop, victim: str) -> None:
    script = TASK.format(place=PLACE, config=str(slow.config))
    supervisor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert supervisor.stdout is not None
        task = int(supervisor.stdout.readline().split()[1])
        until(lambda: slow.posts > 20)
        (guard,) = children(task)
        (connector,) = children(guard)
        os.kill(
            {"supervisor": supervisor.pid, "task": task, "guard": guard}[victim], signal.SIGKILL
        )

        until(lambda: not runs(connector))
        until(lambda: not runs(guard))
        until(lambda: not runs(task))
    finally:
        supervisor.kill()
        supervisor.communicate()

    sent = len(slow.stored)
    assert 20 < sent < 400
    (run,) = slow.connector("runs", "--json").json["runs"]
    assert (run["kind"], run["in_doubt"], run["delivered"]) == ("interrupted", 0, sent)
    slow.configure(rate=5000)
    assert judge(sync(slow)).run["delivered"] == 400 - sent
    assert set(slow.stored.values()) == {1}


def test_one_that_does_not_end_in_order_is_killed(shop: Shop) -> None:
    shop.configure(rate=40)
    shop.add_many(400)
    connector, ends = connector_of(shop), list[Ended]()
    connector.grace = 0.5
    going = Thread(target=lambda: ends.append(connector.run("sync", "visits")))
    going.start()
    until(lambda: shop.posts)
    assert connector._process is not None
    (running,) = children(connector._process.pid)
    os.kill(running, signal.SIGSTOP)
    connector.stop()
    going.join(60)

    assert not going.is_alive()
    assert judge(ends[0]).verdict is Verdict.RETRY


@pytest.mark.parametrize("python", [None, sys.executable])
def test_a_plan_is_read_without_any_secret(shop: Shop, python: str | None) -> None:
    text = shop.config.read_text().replace("api_key: sandbox", "api_key: ${NOT_SET}")
    shop.config.write_text(text.replace("start: all", "start: all\n    schedule: {every: 90m}"))

    (planned,) = read_plan(str(shop.config), python)

    assert (planned.name, planned.destination, planned.schedule) == (
        "visits",
        "engage",
        "every 90m",
    )
    assert planned.every is not None
    assert planned.every.total_seconds() == 5400
    assert planned.cron is None

    shop.config.write_text(shop.config.read_text() + "activations: {}\n")
    with pytest.raises(NotPlanned, match="activations"):
        read_plan(str(shop.config), python)


def test_a_plan_takes_what_it_knows_of_an_activation() -> None:
    told = {"name": "a", "destination": "d", "key": "k", "schedule": "0 6 * * *", "more": 1}

    planned = Planned.of(told)

    assert (planned.cron, planned.every, planned.timezone) == ("0 6 * * *", None, None)
