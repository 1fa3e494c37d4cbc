"""Every page of a project that has run for weeks, in a real browser: few requests, none elsewhere,
no error, sound for every reader, and the same without a script."""

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from connector.cli.main import run
from connector.sandbox.engage.running import running
from tests import zygote
from tests.web.browser import Watched, browsing, check_basics, needs_browser
from tests.web.filled import REASONS, Size, make_project
from tests.whole.shop import an_engage
from tests.whole.test_serve import Served

pytestmark = needs_browser
BROKEN = """cells => cells.filter((cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.bottom)));
  return /^[\\d,.]+$/.test(cell.textContent.trim()) && lines.size > 1;
}).map((cell) => cell.textContent)"""
"""Numbers of which a part stands on another line."""
MOST_REQUESTS = 3
"""Of a page: itself, its style and its script."""
PAGES = (
    *("/", "/?state=person&sort=-lag", "/runs", "/runs?status=stopped&since=30d", "/quarantine"),
    *("/quarantine?reason=rating", "/destinations", "/receipts", "/receipts?result=deviation"),
    *("/schemas", "/audit", "/audit?by=anna&what=retried", "/activations/repairs"),
    *("/activations/returns", "/activations/returns/held", "/activations/repairs/preview"),
    *("/rows?activation=repairs&key=q1", "/rows?key=nobody", "/nowhere"),
)
BREADTHS = (1280, 768, 360)
STOPPED = (
    "insert into runs (run_id, activation, status, started_at, finished_at, error, kind, retryable)"
    " values ('stopped', 'wishlist', 'stopped', :now, :now + 900, 'HTTP 503 from the destination',"
    " 'destination', true)"
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A served project of five activations: one is held, one was stopped, one has a row that is
    missing at the destination, and some rows of three wait in quarantine."""
    folder = tmp_path_factory.mktemp("filled")
    config = ["--config", str(folder / "activations.yaml")]
    size = Size(delivered=500, quarantined=60, days=20)
    with running(engage=an_engage()) as sandbox:
        make_project(folder, sandbox, size, lambda *words: run([*config, *words]))
        with closing(sqlite3.connect(folder / ".connector" / "ledger.db")) as ledger, ledger:
            ledger.execute(STOPPED, {"now": int(time.time() * 1000)})
        with closing(duckdb.connect(str(folder / "shop.duckdb"))) as warehouse:
            warehouse.execute("update visits set rating = 5")  # somebody has mended the model
        _have_no_turn_soon(folder / "activations.yaml")
        process = zygote.start([*config, "serve", "--port", "0"], os.environ)
        try:
            assert process.stdout is not None
            yield Served(process, process.stdout.readline().split(" on ")[1].strip())
        finally:
            process.kill()
            process.communicate()


def _have_no_turn_soon(file: Path) -> None:
    """No schedule comes in the way, whatever the clock says: a run would end what is looked at."""
    far = (datetime.now(ZoneInfo("Europe/Stockholm")).hour + 12) % 24
    text, number = re.subn(r'cron: "(\d+) \S+ ', rf'cron: "\1 {far} ', file.read_text())
    assert number >= 5
    file.write_text(text)


def links(at: Watched, path: str, inside: str) -> str:
    """The first address on a page that has `inside` in it."""
    at.go(path)
    found = at.page.locator(f"main a[href*='{inside}']").first.get_attribute("href")
    assert found
    return str(found)


@pytest.mark.timeout(360)  # two dozen pages, each in full by axe
def test_every_page_is_sound_with_few_requests_and_the_same_without_a_script(
    filled: Served,
) -> None:
    with browsing(filled) as at:
        run_page = links(at, "/runs?activation=repairs&status=succeeded", "/runs/")
        receipt = links(at, "/receipts?result=deviation", "/receipts/")
        plain = at.page.context.browser.new_page(java_script_enabled=False)
        asked = list[str]()  # but for what keeps a page up to date, a request now and then

        def notes(request: Any) -> None:
            if request.resource_type != "fetch":
                asked.append(request.url)

        at.page.on("request", notes)
        for path in (*PAGES, run_page, "/runs/stopped", receipt):
            asked.clear()
            at.go(path)
            assert len([url for url in asked if not url.startswith("data:")]) <= MOST_REQUESTS, path
            for breadth in BREADTHS:
                at.page.set_viewport_size({"width": breadth, "height": 800})
                assert at.page.evaluate("document.documentElement.scrollWidth") <= breadth, path
                assert at.page.locator("td.n").evaluate_all(BROKEN) == [], path
            check_basics(at.page, path)
            plain.goto(f"{filled.url}{path}")
            assert shape(plain) == shape(at.page), path
        at.errors[:] = [text for text in at.errors if "404" not in text]  # of the page nowhere


def shape(page: Any) -> list[Any]:
    """What a page has to read and to do."""
    parts = ("h1", "h2", "main table", "main form", "main a", "main button")
    return [page.title(), *(page.locator(part).count() for part in parts)]


def test_a_project_with_nothing_in_it_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "activations.yaml"
    file.write_text(
        'version: 1\nwarehouse: {url: "duckdb:///shop.duckdb"}\n'
        'destinations: {engage: {type: engage, url: "http://127.0.0.1:9", api_key: k}}\n'
        "activations: {}\n"
    )
    process = zygote.start(["--config", str(file), "serve", "--port", "0"], os.environ)
    try:
        assert process.stdout is not None
        served = Served(process, process.stdout.readline().split(" on ")[1].strip())
        with browsing(served) as at:
            for path in ("/", "/runs", "/quarantine", "/destinations", "/receipts", "/audit"):
                at.go(path)
                check_basics(at.page, path)
                if path != "/destinations":
                    assert at.page.locator("main .empty").count() == 1, path
    finally:
        process.kill()
        process.communicate()


def test_a_name_of_any_length_makes_no_page_broader(tmp_path: Path) -> None:
    name, file = "of_a_model_" * 7, tmp_path / "activations.yaml"
    file.write_text(
        'version: 1\nwarehouse: {url: "duckdb:///shop.duckdb"}\n'
        'destinations: {engage: {type: engage, url: "http://127.0.0.1:9", api_key: k}}\n'
        f"activations: {{{name}: {{model: {{sql: select 1 as id}}, schema_id: visit, start: all,"
        " row_key: id, contact: {column: id, identifier: contactId}, payload: {visitId: id}}}\n"
    )
    run(["--config", str(file), "sync"])
    process = zygote.start(["--config", str(file), "serve", "--port", "0"], os.environ)
    try:
        assert process.stdout is not None
        served = Served(process, process.stdout.readline().split(" on ")[1].strip())
        with browsing(served) as at:
            for path in ("/", f"/activations/{name}", "/runs", f"/receipts?activation={name}"):
                for breadth in BREADTHS:
                    at.page.set_viewport_size({"width": breadth, "height": 800})
                    at.go(path)
                    assert at.page.evaluate("document.documentElement.scrollWidth") <= breadth, path
            at.go("/")
            assert at.page.get_by_role("link", name=name).count() >= 1
            fits = "e => e.scrollWidth <= e.clientWidth"
            assert at.page.get_by_role("region", name="Activations").evaluate(fits)
    finally:
        process.kill()
        process.communicate()


# --- what people come for -------------------------------------------------------------------------

MOST_CLICKS = 4


class Person:
    """Somebody who begins at the overview and uses what is seen. Clicks are counted; typing is
    none."""

    def __init__(self, at: Watched) -> None:
        self.page, self._go, self.clicks = at.page, at.go, 0

    def begins(self) -> None:
        self._go("/")
        self.clicks = 0

    def clicks_on(self, name: str, within: str = "main", first: bool = False) -> None:
        """A link or a button with that name, in a part of the page that has `within` in it."""
        part = self.page.locator(within)
        found = part.get_by_role("link", name=name).or_(part.get_by_role("button", name=name))
        (found.first if first else found).click()
        self.page.wait_for_load_state()
        self.clicks += 1

    def agrees(self, name: str) -> None:
        self.page.get_by_role("dialog").get_by_label("Your name").fill("anna")
        self.clicks_on(name, "dialog")

    def opens(self, activation: str) -> None:
        self.clicks_on(activation, "table", first=True)

    def writes(self, label: str, text: str) -> None:
        self.page.locator("main").get_by_label(label).fill(text)

    def sees(self, text: str) -> None:
        self.page.locator("main").get_by_text(text).first.wait_for()


def finds_why_a_row_did_not_go(one: Person) -> None:
    one.opens("repairs")
    one.writes("Row key", "q1")
    one.clicks_on("Show its story")
    assert one.page.locator("main .notice").first.inner_text() in (why for _, why in REASONS)


def sees_how_late_an_activation_is(one: Person) -> None:
    one.clicks_on("Lag", "thead")
    one.sees("repairs")
    assert one.page.locator("td[data-label=Lag] time").count() == 5


def sees_why_a_run_has_stopped(one: Person) -> None:
    one.clicks_on("See why at wishlist")
    one.sees("HTTP 503 from the destination")


def sees_what_is_missing_at_the_destination(one: Person) -> None:
    one.clicks_on("Look at product_reviews")
    one.sees("1 row is not at the destination as sent")
    one.sees("r0")


def sees_what_a_run_would_send_now(one: Person) -> None:
    one.opens("repairs")
    one.clicks_on("Preview")
    one.sees("Already recorded")


def lets_the_held_run_go(one: Person) -> None:
    one.clicks_on("Review at returns")
    one.clicks_on("Approve and run")
    one.agrees("Approve and run")
    one.page.wait_for_url("**/runs/*")
    one.page.locator("#ended", has_text="The run has ended").wait_for(state="attached")


def sees_who_approved_it(one: Person) -> None:
    one.clicks_on("Audit", "nav")
    one.sees("Lets 20 rows go")
    assert "anna" in one.page.locator("tbody tr").first.inner_text()


def takes_back_the_run_of_last_night(one: Person) -> None:
    one.opens("bookings")
    one.page.locator("section[aria-labelledby=runs] tbody th a").first.click()
    one.clicks += 1
    one.clicks_on("Take back…")
    one.writes("Your name", "anna")
    one.clicks_on("Take back")
    one.sees("20 interactions taken back.")


def sends_the_refused_rows_again(one: Person) -> None:
    one.clicks_on("Decide at repairs")
    one.page.get_by_role("button", name="Try again").first.click()
    one.clicks += 1
    one.agrees("Try again")
    one.sees("pending now and sent by the next run")


def gives_up_one_reason_everywhere(one: Person) -> None:
    one.clicks_on("Quarantine", "nav")
    one.writes("The reason holds", "HTTP 400")
    one.clicks_on("Show", ".filters")
    one.page.get_by_role("button", name="Discard all").click()
    one.clicks += 1
    one.agrees("Discard all")
    one.sees("Discarded:")


TASKS = (
    finds_why_a_row_did_not_go,
    sees_how_late_an_activation_is,
    sees_why_a_run_has_stopped,
    sees_what_is_missing_at_the_destination,
    sees_what_a_run_would_send_now,
    lets_the_held_run_go,
    sees_who_approved_it,
    takes_back_the_run_of_last_night,
    sends_the_refused_rows_again,
    gives_up_one_reason_everywhere,
)


def test_what_people_come_for_takes_few_clicks(filled: Served) -> None:
    """One after the other: the later ones change what the first ones have seen."""
    with browsing(filled) as at:
        one, taken = Person(at), dict[str, int]()
        for task in TASKS:
            one.begins()
            began = time.monotonic()
            task(one)
            taken[task.__name__] = one.clicks
            print(f"{task.__name__}: {one.clicks} clicks, {time.monotonic() - began:.1f} s")
        assert {name: n for name, n in taken.items() if n > MOST_CLICKS} == {}
