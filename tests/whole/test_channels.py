"""Alerts reach people as they are meant to be read, and one that reaches nobody is told."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from aiosmtpd.smtp import SMTP, Envelope

from connector.project.settings import load
from connector.rules.alerting import Alert
from connector.rules.telling import Letter, Message, News, Told, Where, letter
from connector.serve.alerts import Alerts
from connector.serve.sending import as_markdown, send_once
from tests.whole.shop import Shop
from tests.whole.test_serve import EVERY_SECOND, started, until
from tests.whole.test_telling import a_webhook

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WHERE = Where("acme", "production", ["crm.example"], "https://connector.acme.test")
NOWHERE = "nonsense://secret-T0KEN"


def a_letter(*news: News) -> Letter:
    told = news or (
        News("a", "a_b", "a_b: stopped: the <key> is *refused* & gone"),
        News("b", "b", "b: something waits for a person (1 invalid)", "warning"),
    )
    return letter(Message([Told(each, NOON) for each in told]), WHERE)


LINES = [
    "connector: 2 messages of 2 activations (2 in trouble):",
    "- a_b: stopped: the <key> is *refused* & gone",
    "- b: something waits for a person (1 invalid)",
    "acme (production), to crm.example",
    "https://connector.acme.test/",
]


@contextmanager
def a_mail_server() -> Iterator[tuple[str, list[EmailMessage]]]:
    """An SMTP server, as apprise is given it, and the mails that it was sent."""
    found: list[EmailMessage] = []

    class Keeping:
        async def handle_DATA(  # noqa: N802 - as the library calls it
            self, server: Any, session: Any, envelope: Envelope
        ) -> str:
            assert isinstance(envelope.content, bytes)
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            found.append(mail)
            return "250 OK"

    loop = asyncio.new_event_loop()
    making = loop.create_server(lambda: SMTP(Keeping(), loop=loop), "127.0.0.1", 0)
    server = loop.run_until_complete(making)
    thread = Thread(target=loop.run_forever)
    thread.start()
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"mailto://127.0.0.1:{port}/?from=connector@acme.test&to=crm@acme.test", found
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


@contextmanager
def a_listener() -> Iterator[tuple[str, list[bytes]]]:
    """What takes any POST: where it is, and the bodies."""
    found: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sent(address: str, what: Letter) -> None:
    asyncio.run(send_once(Alert.model_validate({"apprise": address}), what))


# --- what is read ---------------------------------------------------------------------------------


def test_a_mail_says_in_its_subject_what_has_happened_and_keeps_its_lines() -> None:
    one = a_letter(News("a", "visits", "visits: stopped: the key is refused"))
    with a_mail_server() as (address, mails):
        sent(address, a_letter())
        sent(address, one)
        sent(f"{address}&format=html", a_letter())

    several, single, as_html = mails
    assert several["Subject"] == ("acme (production): 2 messages of 2 activations (2 in trouble):")
    assert single["Subject"] == "acme (production): visits: stopped: the key is refused"
    assert (several["From"], several["To"]) == ("connector@acme.test", "crm@acme.test")
    assert several.get_content().splitlines() == LINES
    plain, html = (part.get_content() for part in as_html.iter_parts())
    assert "&lt;key&gt;" in html  # nothing of a message is taken for markup
    assert [line for line in plain.splitlines() if line.strip()] == LINES


def test_services_get_title_lines_and_how_bad_it_is() -> None:
    over = a_letter(News("a", "visits", "visits has recovered", over=True))
    with a_listener() as (host, bodies):
        sent(f"json://{host}/", a_letter())
        sent(f"form://{host}/", over)
        sent(f"mmost://{host}/{'a' * 24}", a_letter())
        sent(f"gotify://{host}/token?format=markdown", a_letter())

    document, form, slack_like, markdown = bodies
    read = orjson.loads(document)
    assert read["title"] == "acme (production): 2 messages of 2 activations (2 in trouble):"
    assert (read["message"].splitlines(), read["type"]) == (LINES, "failure")
    assert parse_qs(form.decode())["type"] == ["success"]
    shown = orjson.loads(slack_like)["text"].splitlines()
    assert shown[-5:] == LINES
    assert orjson.loads(markdown)["message"].endswith(as_markdown("\n".join(LINES)))
    assert b"github" not in b"".join(bodies)  # no picture from elsewhere


def test_markdown_joins_no_two_lines() -> None:
    assert as_markdown("head\n- one\n- two\nfoot\nlink") == "head\n- one\n- two\n\nfoot\n\nlink"


def test_a_title_is_cut_between_words_and_tells_the_worst() -> None:
    long = a_letter(News("a", "a", "word " * 60, "warning"))

    assert (len(long.title) <= 102, long.title.endswith(" word …")) == (True, True)
    assert (long.mood, a_letter().mood) == ("warning", "failure")


# --- limits ---------------------------------------------------------------------------------------


def test_an_activation_that_falls_behind_is_told_and_that_it_has_caught_up(shop: Shop) -> None:
    with a_webhook() as (url, told):
        alert = f'{{webhook: "{url}", group: 0, lag: 2s, severity: error}}'
        shop.configure(more=EVERY_SECOND, alerts=f"[{alert}]")
        shop.add({"id": "v1"})
        served = started(shop)
        until(lambda: shop.posts == 1)
        with shop._alone_in_the_warehouse():  # no run can read the model
            until(lambda: any("more than 2s ago" in text for text in told))
        until(lambda: any("less than 2s ago" in text for text in told))
        assert served.end() == 0

    lines = [line for text in told for line in text.splitlines()]
    late = [line for line in lines if "read to its end" in line]
    told_late = "visits: its model was read to its end more than 2s ago"
    assert any(line.endswith(told_late) for line in late)
    assert late[-1].endswith("visits: its model was read to its end, less than 2s ago")


# --- alerts that reach nobody ---------------------------------------------------------------------


def test_an_alert_that_reaches_nobody_is_shown_until_it_does(shop: Shop) -> None:
    shop.configure(alerts=f'[{{apprise: "{NOWHERE}", activations: visits}}]')
    served = started(shop)
    (need,) = served.get("/api/status").json()["needs"]
    page, told = served.get("/").text, shop.connector("status").out
    shop.configure(alerts="[]")
    until(lambda: not served.get("/api/status").json()["needs"])
    served.process.terminate()
    out, err = served.process.communicate(timeout=60)

    assert need["text"].startswith(
        "alert 1 (nonsense through apprise, of visits) gets no messages since 2"
    )
    assert need["command"] == "connector check --alerts"
    assert need["text"] in page
    assert "the project: alert 1 (nonsense through apprise, of visits)" in " ".join(told.split())
    assert "apprise knows no such address" in err  # at the start
    assert "T0KEN" not in page + told + out + err


def test_one_that_failed_is_well_again_when_a_message_gets_there(shop: Shop) -> None:
    shop.configure(alerts='[{webhook: "http://127.0.0.1:9/T0KEN", group: 0}]')
    settings, answers = load(shop.config), ["it answered 500", None]

    async def send(alert: Alert, what: Letter) -> str | None:
        return answers.pop(0)

    async def tell() -> list[list[str]]:
        alerts, found = Alerts(lambda: settings, send, lambda channel, what: None), []
        for over in (False, True):
            alerts.say(News("visits", "visits", "visits: stopped", over=over))
            await alerts.last_words()
            found.append([each.text for each in alerts.failing])
        return found

    (failed,), well = asyncio.run(tell())

    assert "alert 1 (webhook to 127.0.0.1) gets no messages since 2" in failed
    assert failed.endswith(": it answered 500")
    assert well == []


def test_a_check_tells_of_alerts_that_reach_nobody(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.configure(alerts=f'[{{apprise: "{NOWHERE}"}}, {{webhook: "http://127.0.0.1:9/T0KEN"}}]')
    unknown = shop.connector("check")
    monkeypatch.setitem(sys.modules, "apprise", None)
    missing = shop.connector("check")

    said = "alert 1 (nonsense through apprise) reaches nobody: apprise"
    assert (unknown.code, missing.code) == (0, 0)
    assert f"{said} knows no such address" in " ".join(unknown.out.split())
    assert f"{said} is not installed; run: pip install" in " ".join(missing.out.split())
    assert "T0KEN" not in unknown.out + unknown.err + missing.out + missing.err


def test_alerts_are_tried_when_that_is_asked_for(shop: Shop) -> None:
    with a_webhook() as (url, told):
        closed = "http://127.0.0.1:9/T0KEN"
        shop.configure(alerts=f'[{{webhook: "{url}"}}, {{webhook: "{closed}"}}]')
        tried = shop.connector("check", "--alerts")
        document = shop.connector("check", "--alerts", "--json").json

    assert told[0].startswith("connector: a try, by `connector check --alerts`\n")
    assert tried.code == 3
    assert "alert 1 (webhook to 127.0.0.1): a message was sent" in tried.out
    assert "alert 2 (webhook to 127.0.0.1): nothing was sent: could not connect" in tried.out
    assert [each["sent"] for each in document["alerts"]] == [True, False]
    assert "T0KEN" not in tried.out + tried.err
    assert shop.connector("check", "visits", "--alerts").code == 2
