"""Read the built site of the documentation as readers with aids do: python -m tests.read_site

axe looks at one page of each kind, in light and in dark. `make site` builds the site before.
"""

import sys
from pathlib import Path

from tests.web.browser import AXE, CHROMIUM, MISSING, axe_findings

SITE = Path(__file__).parent.parent / "site"
PAGES = (
    "index.html",
    "tutorials/first-activation.html",
    "configuration.html",
    "commands.html",
    "comparison.html",
    "performance.html",
    "reference/keys.html",
    "reference/http.html",
    "decisions/index.html",
)
MADE = "() => [...document.querySelectorAll('.md-typeset pre')].every(e => e.querySelector('nav'))"
"""The theme has made what it adds to a page."""


def findings(site: Path) -> list[str]:
    """What axe finds, each with the scheme and the page."""
    from playwright.sync_api import sync_playwright

    found = list[str]()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_context(color_scheme=scheme).new_page()
            for name in PAGES:
                page.goto((site / name).as_uri())
                page.wait_for_function(MADE)
                found += [f"{scheme}, {name}: {each}" for each in axe_findings(page)]
        browser.close()
    return found


def main() -> None:
    """Say what is found, and fail by it."""
    if MISSING or AXE is None:
        sys.exit(f"nobody has read the site: {MISSING or 'no axe-playwright-python here'}")
    if found := findings(SITE):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
