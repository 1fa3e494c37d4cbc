"""A real browser on the pages, which notes what should not happen on them.

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
from urllib.parse import urlsplit

import pytest

from tests.whole.test_serve import Served

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
MISSING = (
    "no Chromium here: apt-get install chromium"
    if CHROMIUM is None
    else None
    if find_spec("playwright")
    else "no Playwright here to drive Chromium"
)
"""Why no browser can be driven; None where one can."""
needs_browser = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
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
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            watched = Watched(browser.new_page(), served)
            yield watched
            hosts = {urlsplit(url).hostname for url in watched.asked if not url.startswith("data:")}
            assert hosts == {"127.0.0.1"}
            assert watched.errors == []
        finally:
            browser.close()


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
