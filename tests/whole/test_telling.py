"""`connector serve` tells people and Prometheus how things stand, and nothing about customers."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import structlog

from connector.rules.alerting import Alert
from connector.rules.telling import Letter
from connector.sandbox.behaviour import Faults
from connector.serve.sending import send
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_serve import EVERY_SECOND, started, until

NAMED = """
name: shop
environment: test
serve: {url: "https://connector.acme.test/"}
"""


@contextmanager
def a_webhook(failures: int = 0) -> Iterator[tuple[str, list[str]]]:
    """A webhook as Slack and apprise know it, and what it was told; it fails the first `failures`
    times."""
    told: list[str] = []
    left = [failures]

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            failed = left[0] > 0
            left[0] -= 1
            if not failed:
                document = json.loads(body)
                told.append(document.get("text") or document["message"])
            self.send_response(500 if failed else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/services/secret-T0KEN", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def discarded(shop: Shop, key: str) -> bool:
    """Give a row up; False while a run holds the activation."""
    return shop.connector("quarantine", "discard", "visits", key, "--yes").code == 0


def test_a_change_for_the_worse_and_the_recovery_are_told_once_each(shop: Shop) -> None:
    with a_webhook(failures=1) as (url, told):
        shop.configure(more=EVERY_SECOND, alerts=f'[{{webhook: "{url}", group: 0}}]')
        shop.config.write_text(f"{NAMED}{shop.config.read_text()}")
        shop.add({"id": "v1", "rating": 9})
        served = started(shop)
        until(lambda: len(told) == 1)
        until(lambda: shop.connector("runs", "--limit", "4", "--json").json["runs"][3:])
        until(lambda: discarded(shop, "v1"))
        until(lambda: len(told) == 2)  # not before: until then a row waited for a person
        shop.sandbox.behaviour = behaving(faults=Faults(status_before={401: 1.0}))
        shop.add({"id": "v2"})
        until(lambda: len(told) == 3)
        shop.sandbox.behaviour = behaving()
        until(lambda: len(told) == 4)
        assert served.end() == 0

    told, rest = [text.partition("\n")[0] for text in told], told[0].partition("\n")[2]
    assert rest == "shop (test), to localhost\nhttps://connector.acme.test/activations/visits"
    assert told[0] == "connector: visits: something waits for a person (1 invalid)"
    assert told[1] == "connector: visits has recovered (it was attention)"
    assert told[2].startswith("connector: visits: stopped: the destination refuses the API key")
    assert told[3] == "connector: visits has recovered (it was stopped)"


def test_a_broken_configuration_is_told_too(shop: Shop) -> None:
    with a_webhook() as (url, told):
        shop.configure(alerts=f'[{{webhook: "{url}", group: 0}}]')
        valid = shop.config.read_text()
        served = started(shop)
        shop.config.write_text(valid.replace("schema_id:", "scheme_id:"))
        until(lambda: len(told) == 1)
        shop.config.write_text(valid)
        until(lambda: len(told) == 2)
        assert served.end() == 0

    assert "not taken over" in told[0]
    assert "valid again" in told[1]


def test_a_ledger_that_cannot_be_read_is_told_and_is_a_sentence_everywhere(shop: Shop) -> None:
    with a_webhook() as (url, told):
        shop.configure(more=EVERY_SECOND, alerts=f'[{{webhook: "{url}", group: 0}}]')
        shop.add({"id": "v1"})
        served = started(shop)
        until(lambda: shop.posts == 1)
        for log in ("-wal", "-shm"):  # in which the newest of it stands
            Path(f"{shop.ledger_file}{log}").unlink(missing_ok=True)
        shop.ledger_file.write_bytes(b"this is no database" * 1000)
        until(lambda: any("stopped: the ledger" in text for text in told))
        status, page = served.get("/api/status"), served.get("/")
        asked = served.post("/api/sync/visits")
        metrics = served.get("/metrics").text
        healthy = served.get("/healthz").status_code
        served.process.terminate()
        _, err = served.process.communicate(timeout=60)

    assert (status.status_code, status.json()["error"]["kind"]) == (503, "ledger")
    assert (page.status_code, asked.status_code, healthy) == (503, 503, 200)
    assert "the ledger" in page.text
    assert "connector_ledger_up 0.0" in metrics
    assert "Traceback" not in err


def test_a_webhook_that_never_answers_stops_nothing_and_shows_its_secret_nowhere(
    shop: Shop,
) -> None:
    url = "http://127.0.0.1:9/services/secret-T0KEN"
    shop.configure(more=EVERY_SECOND, alerts=f'[{{webhook: "{url}", group: 0}}]')
    shop.add({"id": "v1", "rating": 9})
    shop.add({"id": "v2"})
    served = started(shop)
    until(lambda: shop.posts == 1)

    served.process.terminate()
    out, err = served.process.communicate(timeout=60)

    assert served.process.returncode == 0
    assert "T0KEN" not in out + err


def test_whatever_apprise_knows_is_told_too(shop: Shop) -> None:
    with a_webhook(failures=1) as (url, told):
        shop.configure(alerts=f'[{{apprise: "{url.replace("http:", "json:")}"}}]')
        shop.add({"id": "v1", "rating": 9})
        served = started(shop)
        served.post("/api/sync/visits")
        until(lambda: len(told) == 1)
        served.process.terminate()
        out, err = served.process.communicate(timeout=60)

    (text,) = told
    assert text.startswith("connector: visits: something waits for a person (1 invalid)\n")
    assert "T0KEN" not in out + err


def test_without_apprise_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    alert = Alert.model_validate({"apprise": "json://127.0.0.1/secret-T0KEN"})

    with structlog.testing.capture_logs() as lines:
        lost = asyncio.run(send(alert, Letter("title", "text")))

    assert 'pip install "engage-connector[apprise]"' in lines[0]["reason"] == lost
    assert "T0KEN" not in str(lines)


def test_metrics_show_rows_runs_and_requests_and_no_customers(shop: Shop) -> None:
    shop.add({"id": "v1"}, {"id": "v2", "rating": 9})
    served = started(shop)
    served.post("/api/sync/visits")
    until(lambda: 'status="attention"' in served.get("/metrics").text)

    text = served.get("/metrics").text

    for line in (
        'connector_rows{activation="visits",state="delivered"} 1.0',
        'connector_rows{activation="visits",state="invalid"} 1.0',
        'connector_runs_total{activation="visits",status="attention"} 1.0',
        'connector_request_seconds_count{answer="200",method="POST"} 1.0',
        'connector_outcomes_total{activation="visits",outcome="delivered"} 1.0',
        'connector_outcomes_total{activation="visits",outcome="invalid"} 1.0',
        'connector_requests_per_second{destination="engage"} 5000.0',
        "connector_ledger_up 1.0",
    ):
        assert line in text
    assert 'connector_lag_seconds{activation="visits"}' in text
    assert contact_id(1) not in text
    assert served.end() == 0


LIBRARY = """
import logging
from connector.basis.log import bound
from connector.show.logs import log_to_stderr
log_to_stderr(False, "{log_format}")
with bound(run_id="d1"):
    logging.getLogger("a.library").warning("it is %s", "late")
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_libraries_log_looks_like_our_own_lines(log_format: str) -> None:
    script = LIBRARY.format(log_format=log_format)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    (line,) = done.stderr.splitlines()
    if log_format == "json":
        found = json.loads(line)
        assert (found["event"], found["level"], found["run_id"]) == ("it is late", "warning", "d1")
    else:
        assert "it is late" in line
        assert "run_id=d1" in line


def test_every_line_of_a_run_carries_its_run_and_no_customer(shop: Shop) -> None:
    shop.add({"id": "v1", "contact": "c1@example.com"})
    shop.configure(identifier="email")
    process = shop.start("--log-format", "json", "sync")
    _, err = process.communicate(timeout=60)

    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]

    assert len(lines) >= 2
    assert all(line["run_id"] and line["activation"] == "visits" for line in lines)
    assert "c1@example.com" not in err
