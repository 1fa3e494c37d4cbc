"""The pages in a real browser: by keyboard, on a phone, in the dark, and with nothing from outside.

A command in this process and Playwright want the same event loop, so what a shop needs is done
before the browser is opened.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.web.hostile import ROWS
from tests.whole.shop import Shop, behaving
from tests.whole.test_serve import Served, started

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright to drive a browser")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium"
)
AXE = find_spec("axe_playwright_python")
"""Where axe-core is, which knows what readers with aids need."""
FINDINGS = """() => axe.run({resultTypes: ["violations"]}).then(({violations}) => violations.map(
  (v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(" | ")}`
))"""
PATIENCE = 60_000
"""Milliseconds that a condition may take on a busy machine."""

LIMITED = "els => els.filter(e => !e.labels?.length && !e.getAttribute('aria-label')).length"
CONTRAST = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = numbers(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("svg, script")) continue;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${walker.currentNode.data.slice(0, 40)}`);
  }
  return poor;
}"""


class Watched:
    """A page of a browser, with what should not happen on it."""

    def __init__(self, page: Any, served: Served) -> None:
        self.page, self.served = page, served
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self.questions: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def go(self, path: str) -> None:
        self.page.goto(f"{self.served.url}{path}")

    def answer(self, with_button: str, **fields: str) -> None:
        """Answer the question that is asked."""
        dialog = self.page.get_by_role("dialog")
        self.questions.append(dialog.locator("#question").inner_text())
        for label, text in fields.items():
            dialog.get_by_label(label.replace("_", " ")).fill(text)
        dialog.get_by_role("button", name=with_button).click()

    def tab_to(self, name: str) -> None:
        """Press Tab until the button `name` has the focus, which must be visible."""
        button = self.page.get_by_role("button", name=name)
        for _ in range(40):
            self.page.keyboard.press("Tab")
            if button.evaluate("element => element === document.activeElement"):
                assert (
                    button.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
                )
                return
        raise AssertionError(f"{name} cannot be reached by Tab")


@contextmanager
def browsing(served: Served) -> Iterator[Watched]:
    """A browser on the pages; at the end, nothing came from elsewhere and nothing failed."""
    options = ["--disable-dev-shm-usage"]  # it is small in containers
    if os.getuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to be root otherwise
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            watched = Watched(browser.new_page(), served)
            yield watched
            hosts = {urlsplit(url).hostname for url in watched.asked if not url.startswith("data:")}
            assert hosts == {"127.0.0.1"}
            assert watched.errors == []
        finally:
            browser.close()


def test_a_run_is_begun_by_keyboard_and_followed_to_its_end(shop: Shop) -> None:
    shop.configure(concurrency=2)
    shop.sandbox.behaviour = behaving(answer_delay=0.1)
    shop.add_many(60)
    with browsing(started(shop)) as at:
        at.go("/")
        at.page.keyboard.press("Tab")
        assert at.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        at.tab_to("Run now")
        at.page.keyboard.press("Enter")
        at.page.wait_for_url("**/runs/*")
        at.page.get_by_role("progressbar").wait_for()
        at.page.evaluate("window.never = 'loaded again'")

        at.page.locator("#ended", has_text="The run has ended: succeeded.").wait_for(
            state="attached"
        )

        assert at.page.evaluate("window.never") == "loaded again"
        assert at.page.locator("#live .badge").inner_text() == "succeeded"
        assert at.page.get_by_role("progressbar").count() == 0
        assert "60" in at.page.locator(".facts").first.inner_text()


def test_the_overview_keeps_itself_up_to_date(shop: Shop) -> None:
    shop.add_many(3)
    with browsing(started(shop)) as at:
        at.go("/")
        at.page.get_by_text("never run").wait_for()
        at.page.evaluate("window.never = 'loaded again'")

        at.served.post("/api/sync/visits")

        at.page.get_by_role("img", name="3 delivered in 30 days, at most 3 in one").wait_for()
        at.page.get_by_role("link", name="Last run: succeeded").wait_for()
        assert at.page.evaluate("window.never") == "loaded again"


def test_the_token_is_asked_for_once(shop: Shop) -> None:
    with browsing(started(shop, CONNECTOR_TOKEN="open sesame")) as at:
        at.go("/quarantine")
        at.page.get_by_role("heading", name="Sign in").wait_for()
        check_basics(at.page, "/login")
        at.page.keyboard.type("wrong")
        at.page.keyboard.press("Enter")
        at.page.get_by_role("alert").get_by_text("not the token").wait_for()
        at.errors.clear()  # the browser notes the 401
        at.page.get_by_label("Token").fill("open sesame")
        at.page.keyboard.press("Enter")

        at.page.get_by_role("heading", name="Activations").wait_for()
        at.go("/quarantine")
        assert at.page.get_by_text("No row waits for a person.").count() == 1


def test_rows_are_tried_again_after_a_yes_and_not_after_a_no(shop: Shop) -> None:
    shop.add(*({"id": f"high{n}", "rating": 9} for n in range(3)))
    shop.sync()
    shop.execute("update visits set rating = 5")
    with browsing(started(shop)) as at:
        at.go("/quarantine")
        at.tab_to("Try again")
        at.page.keyboard.press("Enter")
        at.page.get_by_role("dialog").wait_for()
        at.page.keyboard.press("Escape")
        at.page.wait_for_function("document.activeElement.textContent.startsWith('Try again')")
        at.page.get_by_role("button", name="Try again").click()
        at.answer("Cancel")
        refused = at.served.status["counts"]
        at.page.get_by_role("button", name="Try again").click()
        at.answer("Try again", Your_name="anna", A_note="mended")
        at.page.get_by_role("status").get_by_text("3 rows are pending now").wait_for()

        assert refused["invalid"] == 3
        assert at.served.status["counts"]["pending"] == 3
        assert at.questions == ["Try these 3 rows again, as the model is now?"] * 2
        at.go("/rows?activation=visits&key=high0")
        told = at.page.get_by_role("listitem").filter(has_text="Retried").inner_text()
        assert "by person: anna" in told
        assert "mended" in told


def test_without_a_script_the_question_is_a_page(shop: Shop) -> None:
    shop.add({"id": "high", "rating": 9})
    shop.sync()
    with browsing(started(shop)) as at:
        page = at.page.context.browser.new_page(java_script_enabled=False)
        page.set_default_timeout(PATIENCE)
        page.goto(f"{at.served.url}/quarantine")
        page.get_by_role("button", name="Discard").click()
        page.get_by_role("heading", name="Are you sure?").wait_for()
        page.locator("main").get_by_label("Your name").fill("bo")
        assert at.served.status["counts"]["invalid"] == 1
        page.get_by_role("button", name="Yes").click()
        page.get_by_role("status").get_by_text("Discarded: 1 row.").wait_for()

        assert at.served.status["counts"]["discarded"] == 1
        at.go("/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_sound_harmless_and_readable(served: Served, scheme: str) -> None:
    story = urlencode({"activation": "visits", "key": ROWS[0]})
    long = urlencode({"activation": "visits", "key": ROWS[-1]})
    run_id = served.status["last_run"]["run_id"]
    paths = [
        *("/", "/activations/visits", "/activations/visits/preview?show=1", "/runs"),
        *(f"/runs/{run_id}", "/quarantine", "/schemas", "/schema?id=evil"),
        *(
            f"/rows?{story}",
            f"/rows?{long}",
            "/login",
            "/activations/visits/held",
            "/runs?activation=visits",
        ),
    ]
    with browsing(served) as at:

        def dismissed(dialog: Any) -> None:
            at.dialogs.append(dialog.message)
            dialog.dismiss()

        at.page.on("dialog", dismissed)
        at.page.emulate_media(color_scheme=scheme)
        for path in paths:
            at.go(path)
            for width in (1280, 390):
                at.page.set_viewport_size({"width": width, "height": 800})
                assert at.page.evaluate("document.documentElement.scrollWidth") <= width, path
            check_basics(at.page, path)
        assert at.dialogs == []
        assert at.page.locator("img, iframe, svg:not(.chart)").count() == 0
    if AXE is None:
        pytest.skip("all but axe's own rules hold: there is no axe-playwright-python here")


def check_basics(page: Any, path: str) -> None:
    """What every reader of a page needs."""
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title()
    assert page.locator("h1").count() == 1, path
    assert page.locator("main").count() == 1
    assert page.locator("table:not(:has(caption))").count() == 0, path
    assert page.locator("th:not([scope])").count() == 0, path
    levels = page.locator("h1, h2, h3").evaluate_all("els => els.map(e => +e.tagName[1])")
    assert all(after - before <= 1 for before, after in pairwise(levels)), path
    assert page.locator("input:not([type=hidden]), select").evaluate_all(LIMITED) == 0, path
    assert page.locator("svg:not([aria-label]):not(:has(> title))").count() == 0
    assert page.locator("button, a[href]").evaluate_all(
        "els => els.every(e => e.textContent.trim())"
    )
    ids = page.locator("[id]").evaluate_all("els => els.map(e => e.id)")
    assert len(ids) == len(set(ids)), path
    assert page.evaluate(CONTRAST) == [], path
    assert axe_findings(page) == [], path


def axe_findings(page: Any) -> list[str]:
    """What axe-core finds on a page; nothing where it is not installed."""
    if AXE is None or AXE.origin is None:
        return []
    page.evaluate(Path(AXE.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(FINDINGS)
    return found
