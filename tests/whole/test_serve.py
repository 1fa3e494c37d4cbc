"""`connector serve` as a process: schedules, requests, reloads, and its end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL

from connector.sandbox.behaviour import Faults
from tests.test_secrets import Manager, manager
from tests.whole.shop import PATIENCE, Shop, behaving

__all__ = ["manager"]

PLAIN: dict[str, Any] = {"timeout": 30, "verify": False}
"""For requests without TLS: to read the system's certificates takes longer than the request does,
and a test asks until something comes."""
EVERY_SECOND = "schedule: {every: 1s}"


def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@dataclass
class Served:
    process: "subprocess.Popen[str]"
    url: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers=headers, **PLAIN)

    def post(self, path: str, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", headers=headers, **PLAIN)

    @property
    def status(self) -> Any:
        (document,) = self.get("/api/status").json()["activations"]
        return document

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def started(shop: Shop, *options: str, **environment: str) -> Served:
    process = shop.start("serve", "--port", "0", *options, **environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert " on http" in line, process.communicate(timeout=PATIENCE)
    return Served(process, line.split(" on ")[1].strip())


@pytest.fixture
def served(shop: Shop) -> Served:
    return started(shop)


def test_a_schedule_sends_what_is_new_each_once(shop: Shop) -> None:
    shop.configure(more=EVERY_SECOND)
    shop.add_many(20)
    served = started(shop)
    until(lambda: shop.posts == 20)
    shop.add_many(20, first=20)
    until(lambda: shop.posts == 40)

    assert served.status["next_run"]
    assert served.end() == 0
    assert set(shop.stored.values()) == {1}


def test_killed_and_started_again_it_goes_on(shop: Shop) -> None:
    shop.configure(more=EVERY_SECOND, timeout="2s", settle_after="1s")
    shop.sandbox.behaviour = behaving(answer_delay=0.02)
    shop.add_many(600)
    for goal in (50, 150, 300):
        served = started(shop)
        until(lambda g=goal: shop.posts >= g)
        served.end(signal.SIGKILL)
    served = started(shop)

    until(lambda: served.status["counts"]["delivered"] == 600)

    assert set(shop.stored.values()) == {1}
    assert served.end() == 0


def test_a_run_that_was_killed_is_told_as_stopped_before_the_next_one(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=1.0)
    shop.add_many(40)
    process = shop.start("sync")
    until(lambda: shop.posts > 0)
    process.kill()
    process.wait()

    served = started(shop)
    run = served.status["last_run"]
    page = served.get(f"/runs/{run['run_id']}").text

    assert (run["status"], run["finished_at"]) == ("stopped", None)
    assert "ended or fallen silent" in page
    assert "data-live" not in page


def test_sigterm_in_the_middle_of_many_requests_records_them_all(shop: Shop) -> None:
    shop.configure(concurrency=200, timeout="30s")
    shop.sandbox.behaviour = behaving(answer_delay=1.5)
    shop.add_many(1000)
    served = started(shop)
    assert served.post("/api/sync/visits").status_code == 202
    until(lambda: shop.posts >= 200)

    code = served.end()

    counts = shop.connector("status", "--json").json["activations"][0]["counts"]
    assert code == 0
    assert counts["in_doubt"] == counts["sending"] == 0
    assert counts["delivered"] == len(shop.stored) == shop.posts


SLOW = (
    "select * from visits where (select count(*) from range(30000000000) t(i) where i % 7 = 3) > 0"
)


def test_a_warehouse_that_does_not_answer_does_not_keep_it_from_ending(shop: Shop) -> None:
    shop.configure(model=SLOW)
    shop.add_many(3)
    text = shop.config.read_text()  # one busy core is enough
    shop.config.write_text(text.replace("shop.duckdb", "shop.duckdb?threads=1"))
    served = started(shop)
    served.post("/api/sync/visits")
    with suppress(httpx.ReadTimeout):
        httpx.get(f"{served.url}/activations/visits/preview", timeout=1)
    begun = time.monotonic()

    code = served.end()

    assert code == 0
    assert time.monotonic() - begun < 40
    assert shop.connector("runs", "--json").json["runs"][0]["status"] == "stopped"


def test_a_run_can_be_asked_for_and_only_one_goes_on(shop: Shop, served: Served) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=0.5)
    shop.add_many(30)

    first, second = served.post("/api/sync/visits"), served.post("/api/sync/visits")
    until(lambda: served.status["counts"]["delivered"] == 30)

    assert (first.status_code, second.status_code) == (202, 409)
    assert served.post("/api/sync/nothing").status_code == 404


def test_a_changed_configuration_is_taken_over_if_it_is_valid(shop: Shop, served: Served) -> None:
    assert served.get("/readyz").status_code == 200
    shop.add_many(3)
    valid = shop.config.read_text()

    shop.config.write_text(valid.replace("schema_id:", "scheme_id:"))
    until(lambda: served.get("/readyz").status_code == 503)
    assert "schema_id" in served.get("/readyz").text
    assert served.get("/healthz").status_code == 200
    assert served.post("/api/sync/visits").status_code == 202  # the old one goes on
    until(lambda: shop.posts == 3)
    shop.config.write_text(valid.replace("duckdb:///shop.duckdb", "postgresql://u:p@h:x/shop"))
    until(lambda: "warehouse.url has a port that is no number" in served.get("/readyz").text)
    assert f"{shop.config}:" in served.get("/readyz").text

    shop.configure(more=EVERY_SECOND)
    until(lambda: served.get("/readyz").status_code == 200)
    shop.add_many(3, first=3)
    until(lambda: shop.posts == 6)
    assert served.end() == 0


def test_another_ledger_is_not_taken_over_while_it_serves(shop: Shop, served: Served) -> None:
    shop.add_many(3)
    served.post("/api/sync/visits")
    until(lambda: shop.posts == 3)
    same, ledger = shop.config.read_text(), shop.ledger_file.name

    shop.config.write_text(same.replace(ledger, "another.db"))
    until(lambda: "ledger: it is another one" in served.get("/readyz").text)
    assert served.post("/api/sync/visits").status_code == 202  # in the one that knows the rows
    shop.config.write_text(same.replace(ledger, f"./{ledger}"))  # the same, written otherwise
    until(lambda: served.get("/readyz").status_code == 200)
    until(lambda: len(shop.connector("runs", "--json").json["runs"]) == 2)

    assert served.end() == 0
    assert not shop.ledger_file.with_name("another.db").exists()
    assert shop.posts == 3


def test_a_run_that_was_missed_while_nothing_ran_is_made_up_for(shop: Shop) -> None:
    shop.configure(more='schedule: {cron: "* * * * *"}')
    shop.sync()
    with shop.ledger_connection() as ledger:  # as if an hour had passed
        ledger.execute("update runs set started_at = started_at - 3600000")
    shop.add_many(4)

    served = started(shop)

    until(lambda: shop.posts == 4, seconds=20)  # not only at the next full minute
    assert served.end() == 0


def test_a_paused_activation_is_passed_by_until_it_is_resumed(shop: Shop) -> None:
    shop.configure(more=EVERY_SECOND)
    assert shop.connector("pause", "visits", "--by", "anna").code == 0
    shop.add_many(4)
    served = started(shop)

    by_hand, asked = shop.sync("visits"), served.post("/api/sync/visits")
    button = served.post("/activations/visits/run")
    paused = served.status
    time.sleep(2.5)  # two turns
    before = shop.posts
    shop.connector("resume", "visits")
    until(lambda: shop.posts == 4)

    assert (by_hand.code, before) == (2, 0)
    assert "anna has paused it" in by_hand.out
    assert (asked.status_code, button.status_code) == (409, 409)
    assert "anna has paused it" in asked.json()["error"]["message"]
    assert (paused["paused"], paused["paused_by"]) == (True, "anna")
    assert served.end() == 0


def test_an_approval_during_a_run_that_ends_held_is_kept(shop: Shop) -> None:
    shop.configure(limits="{rows: 2}")
    shop.add_many(4)
    shop.sync()
    shop.sandbox.behaviour = behaving(answer_delay=1.0)
    served = started(shop)
    served.post("/api/sync/visits")
    yes = {"approve": "1", "confirmed": "1"}

    answer = httpx.post(f"{served.url}/activations/visits/run", data=yes, timeout=30)
    until(lambda: served.status["counts"]["delivered"] == 4)

    assert "its%20rows%20go%20as%20soon%20as%20it%20has%20ended" in answer.headers["location"]
    assert served.end() == 0


def test_an_approval_during_a_run_lets_only_those_rows_go_that_were_shown(shop: Shop) -> None:
    shop.configure(limits="{rows: 2}")
    shop.add_many(4)
    shop.sync()
    served = started(shop)
    shown = re.findall('name="digest" value="([^"]+)"', served.get("/activations/visits/held").text)
    shop.connector("quarantine", "discard", "visits", "--state", "pending", "--yes")
    shop.sync()  # which finds that nothing is held any more
    shop.add_many(9, first=100)
    shop.sandbox.behaviour = behaving(answer_delay=1.0)
    served.post("/api/sync/visits")
    yes = {"confirmed": "1", "digest": shown[0], "by": "bert"}

    answer = httpx.post(f"{served.url}/activations/visits/approve", data=yes, **PLAIN)
    until(lambda: served.status["held"] and not served.status["running"])

    assert "ends%20with%20just%20these%20rows" in answer.headers["location"]
    assert served.status["counts"]["delivered"] == 0
    assert served.status["counts"]["pending"] == 9
    assert shop.posts == 0
    assert "not those that were shown any more: they are 9 rows now" in served.get("/audit").text
    assert served.end() == 0


def test_a_run_that_another_process_keeps_from_beginning_is_told(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=1.0)
    shop.add_many(40)
    served, other = started(shop), started(shop)
    other.post("/api/sync/visits")
    until(lambda: shop.posts > 0)

    answer = served.post("/activations/visits/run")

    assert answer.status_code == 409
    assert "is held by run" in answer.text


def test_after_failures_in_a_row_a_single_row_goes_first(shop: Shop) -> None:
    shop.configure(more=EVERY_SECOND, concurrency=25, timeout="2s", settle_after="1s")
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={503: 1.0}))
    shop.add_many(400)
    served = started(shop)
    until(lambda: len(ended(shop, "stopped")) >= 3)
    until(lambda: len(ended(shop, "attention")) >= 1)
    before = shop.posts
    until(lambda: len(ended(shop, "attention")) >= 4)
    tried = shop.posts - before
    shop.sandbox.behaviour = behaving()

    until(lambda: served.status["counts"]["delivered"] == 400, seconds=120)

    assert tried <= 12, "the open breaker let more than single rows go"
    assert set(shop.stored.values()) == {1}
    assert served.end() == 0


def ended(shop: Shop, status: str) -> list[Any]:
    runs = shop.connector("runs", "--limit", "1000", "--json").json["runs"]
    return [run for run in runs if run["status"] == status]


def test_beyond_this_machine_it_wants_a_token(shop: Shop) -> None:
    refused = shop.start("serve", "--host", "0.0.0.0", "--port", "0")
    _, text = refused.communicate(timeout=30)
    served = started(shop, CONNECTOR_TOKEN="open sesame")

    assert refused.returncode == 2
    assert "CONNECTOR_TOKEN" in text
    assert served.get("/api/status").status_code == 401
    assert served.get("/api/status", Authorization="Bearer wrong").status_code == 401
    assert served.get("/api/status", Authorization="Bearer open sesame").status_code == 200
    assert served.post("/api/sync/visits").status_code == 401
    assert served.get("/healthz").status_code == 200
    assert served.end() == 0


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_another_site_cannot_start_a_run(
    shop: Shop, served: Served, headers: dict[str, str]
) -> None:
    assert served.post("/api/sync/visits", **headers).status_code == 403
    assert served.post("/api/sync/visits", Origin=served.url).status_code == 202


def test_two_processes_on_one_ledger_share_the_work(shop: Shop, postgresql_url: URL) -> None:
    address = postgresql_url.render_as_string(hide_password=False)
    shop.configure(more=EVERY_SECOND, ledger=address)
    one, two = started(shop), started(shop)
    for number in range(3):
        shop.add_many(50, first=50 * number)
        until(lambda n=number: shop.posts == 50 * (n + 1))

    assert set(shop.stored.values()) == {1}
    assert (one.end(), two.end()) == (0, 0)


def test_a_long_first_sync_is_held_where_no_limit_is_written(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.sync.limits.FIRST_SYNC_ROWS", 10)
    shop.add_many(11)

    first, again = shop.sync(), shop.sync()
    approved = shop.sync("--approve")
    shop.add_many(20, first=11)
    later = shop.sync()

    assert [done.run["status"] for done in (first, again)] == ["held", "held"]
    assert "no limits.rows is written" in first.run["notes"][0]
    assert approved.run["delivered"] == 11
    assert later.run["delivered"] == 20


IN_BETWEEN = """
import importlib.abc, sys

class Waiting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "connector.cli.main":
            open("between").read()

sys.meta_path.insert(0, Waiting())
from connector.__main__ import main
main()
"""
"""A command that waits while it imports, until what it waits for is written."""


@pytest.mark.parametrize(
    ("command", "code"), [("serve", 0), ("sync serve", 130), ("--log-format json serve", 0)]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_imports_is_in_order(
    tmp_path: Path, command: str, code: int, number: int
) -> None:
    os.mkfifo(tmp_path / "between")
    process = subprocess.Popen(
        [sys.executable, "-c", IN_BETWEEN, *command.split()],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    with (tmp_path / "between").open("w"):  # it is there
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)

    assert (process.returncode, err) == (code, "")


@pytest.mark.parametrize(("command", "code"), [("serve", 0), ("sync", 130)])
def test_a_stop_while_it_reads_its_configuration_is_in_order(
    shop: Shop, command: str, code: int
) -> None:
    shop.config.unlink()
    os.mkfifo(shop.config)
    process = shop.start_at(command, stderr=subprocess.PIPE)
    with shop.config.open("w"):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)

    assert (process.returncode, err) == (code, "")


def test_the_port_in_use_is_a_sentence(shop: Shop, served: Served) -> None:
    other = shop.start("serve", "--port", served.url.rpartition(":")[2])
    _, text = other.communicate(timeout=30)

    assert other.returncode == 3
    assert "cannot listen" in text


def run_lines(shop: Shop, served: Served) -> list[dict[str, Any]]:
    """Begin a run, see it end, end the service: what it has logged of runs, in JSON."""
    served.post("/api/sync/visits")
    until(lambda: "connector_runs_total{" in served.get("/metrics").text)
    served.process.send_signal(signal.SIGTERM)
    _, err = served.process.communicate(timeout=60)
    lines = [json.loads(line) for line in err.splitlines()]
    return [line for line in lines if line["event"] == "run.finished"]


@pytest.mark.parametrize(
    ("options", "level", "told"),
    [
        ({}, "info", {"status": "succeeded", "delivered": 2, "read": 2}),
        ({"payload": "{visitId: id, rating: price}"}, "warning",
         {"status": "attention", "delivered": 0, "invalid": 2}),
        ({"limits": "{rows: 1}"}, "warning", {"status": "held", "pending": 2, "staged": 2}),
        ({"schema": "nosuch"}, "error", {"status": "stopped", "kind": "configuration"}),
        ({"model": "select * from nowhere"}, "error", {"status": "stopped", "read": 0}),
    ],
)  # fmt: skip
def test_each_run_leaves_one_line_with_its_figures_and_why(
    shop: Shop, options: dict[str, str], level: str, told: dict[str, Any]
) -> None:
    shop.configure(**options)
    shop.add({"id": "a"}, {"id": "b"})
    process = shop.start("--log-format", "json", "serve", "--port", "0")
    assert process.stdout is not None
    served = Served(process, process.stdout.readline().split(" on ")[1].strip())

    (line,) = run_lines(shop, served)

    assert (line["activation"], line["level"]) == ("visits", level)
    assert line["run_id"]
    assert line["asked_by"] == "a request"
    assert {name: line.get(name) for name in told} == told
    assert ("reason" in line) == (line["status"] in ("held", "stopped"))


def test_a_run_that_ends_with_its_process_needs_nobody_and_is_no_error(shop: Shop) -> None:
    """Each start of another version would be one."""
    shop.sandbox.behaviour = behaving(answer_delay=0.5)
    shop.configure(concurrency=1)
    shop.add_many(100)
    process = shop.start("--log-format", "json", "serve", "--port", "0")
    assert process.stdout is not None
    served = Served(process, process.stdout.readline().split(" on ")[1].strip())
    served.post("/api/sync/visits")
    until(lambda: shop.posts > 0)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)

    lines = [json.loads(line) for line in err.splitlines()]
    (line,) = [line for line in lines if line["event"] == "run.finished"]
    assert (line["status"], line["kind"], line["level"]) == ("stopped", "interrupted", "warning")
    assert not [line for line in lines if line["level"] == "error"]


def test_a_run_that_was_stopped_is_told_unasked(shop: Shop) -> None:
    shop.configure(schema="nosuch")
    served = started(shop)
    served.post("/api/sync/visits")
    until(lambda: "connector_runs_total{" in served.get("/metrics").text)
    served.process.send_signal(signal.SIGTERM)
    _, err = served.process.communicate(timeout=60)

    (line,) = [line for line in err.splitlines() if "run.finished" in line]
    assert "no schema" in line
    assert "nosuch" in line
    assert "status=stopped" in line


def test_a_run_that_never_came_to_be_one_is_told_too(shop: Shop) -> None:
    shop.add({"id": "a"})
    shop.sync()
    shop.configure(row_key="sku")
    served = started(shop)
    served.post("/api/sync/visits")
    until(lambda: "connector_runs_total{" in served.get("/metrics").text)
    served.process.send_signal(signal.SIGTERM)
    _, err = served.process.communicate(timeout=60)

    (line,) = [line for line in err.splitlines() if "run.finished" in line]
    assert "row_key was" in line


def refused_keys(shop: Shop) -> int:
    return sum(entry.status == 401 for entry in shop.sandbox.requests.entries())


def test_a_key_that_is_rotated_in_its_file_is_taken_over(shop: Shop) -> None:
    secret = shop.path / "key"
    secret.write_text("the key of yesterday\n")
    shop.configure(more=EVERY_SECOND, key="${file:key}")
    shop.add_many(5)
    served = started(shop)
    until(lambda: refused_keys(shop))
    assert shop.posts == 0

    secret.write_text(f"{shop.sandbox.api_key}\n")

    until(lambda: shop.posts == 5)
    assert served.end() == 0
    assert set(shop.stored.values()) == {1}


def test_a_key_that_is_rotated_in_a_manager_is_taken_over_at_a_hangup(
    shop: Shop, manager: Manager
) -> None:
    def now(key: str) -> None:
        manager.answers["/v1/kv/data/engage"] = (
            200,
            {"data": {"data": {"key": key}, "metadata": {"version": 1}}},
        )

    now("the key of yesterday")
    shop.configure(more=EVERY_SECOND, key="${vault:kv/data/engage#key}")
    shop.add_many(5)
    served = started(shop)
    until(lambda: refused_keys(shop))
    fetched = len(manager.asked)

    now(shop.sandbox.api_key)
    served.process.send_signal(signal.SIGHUP)

    until(lambda: shop.posts == 5)
    assert served.end() == 0
    assert fetched == 1
    assert len(manager.asked) == 2
    assert set(shop.stored.values()) == {1}
