"""The page of a row as it is now: asked for by a form, masked until values are asked for."""

from pathlib import Path
from typing import Any

import httpx

from tests.web.browser import browsing, check_basics, needs_browser
from tests.whole.shop import Shop, contact_id
from tests.whole.test_serve import Served, started


def look(served: Served, **form: str) -> httpx.Response:
    return httpx.post(
        f"{served.url}/rows/now", data={"activation": "visits", "key": "v1", **form}, timeout=30
    )


def sent(shop: Shop) -> Shop:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c1@example.com", "sku": "<b>sku-secret</b>"})
    assert shop.sync().code == 0
    (stored,) = shop.sandbox.engage.interactions()
    stored.payload["rating"] = 1
    return shop


def test_a_difference_that_was_made_there_is_seen_and_no_value(shop: Shop) -> None:
    served = started(sent(shop))

    masked, shown = look(served), look(served, show="1")

    assert masked.status_code == shown.status_code == 200, masked.text
    assert "changed at the destination" in masked.text
    assert "1 of 5 properties differs" in masked.text
    for secret in ("sku-secret", contact_id(1), "c1@example.com"):
        assert secret not in masked.text
    assert "&lt;b&gt;sku-secret&lt;/b&gt;" in shown.text
    assert "<b>sku-secret" not in shown.text
    assert contact_id(1) in shown.text


def test_it_takes_a_form_of_these_pages(shop: Shop) -> None:
    served = started(sent(shop))
    asked = shop.sandbox.requests.count()

    linked = served.get("/rows/now?activation=visits&key=v1")
    foreign = httpx.post(
        f"{served.url}/rows/now",
        data={"activation": "visits", "key": "v1"},
        headers={"Origin": "https://elsewhere.example"},
        timeout=30,
    )

    assert (linked.status_code, foreign.status_code) == (405, 403)
    assert shop.sandbox.requests.count() == asked


def test_a_row_that_is_not_known_is_said_so(shop: Shop) -> None:
    served = started(sent(shop))

    assert look(served, key="none").status_code == 404
    assert look(served, activation="none").status_code == 404


def test_nothing_of_it_is_stored(shop: Shop) -> None:
    served, posts = started(sent(shop)), shop.posts
    with shop.ledger_connection() as c:
        before = list(c.iterdump())

    look(served, show="1")

    with shop.ledger_connection() as c:
        now = list(c.iterdump())
    assert [line for line in now if "services" not in line] == [
        line for line in before if "services" not in line
    ]
    assert shop.posts == posts


@needs_browser
def test_it_is_looked_at_in_a_browser(shop: Shop, tmp_path: Path) -> None:
    sent(shop)
    with browsing(started(shop)) as at:
        page: Any = at.page
        at.go("/rows?activation=visits&key=v1")
        page.get_by_role("button", name="Look now").click()
        page.get_by_role("button", name="Look again").wait_for()
        check_basics(page, "/rows/now")
        page.screenshot(path=str(tmp_path / "masked.png"), full_page=True)
        assert page.get_by_text("sku-secret").count() == 0

        page.get_by_role("button", name="Show customers' data").click()
        page.get_by_role("cell", name="sku-secret").first.wait_for()

        page.screenshot(path=str(tmp_path / "shown.png"), full_page=True)
        assert page.get_by_role("button", name="Show customers' data").count() == 0
