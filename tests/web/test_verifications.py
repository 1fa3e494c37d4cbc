"""The page of what was verified, in a real browser: on a desk and on a phone."""

from urllib.parse import urlsplit

from tests.web.browser import CONTRAST, browsing, needs_browser
from tests.whole.shop import Shop
from tests.whole.test_serve import started
from tests.whole.test_verify import stored

pytestmark = needs_browser
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_what_deviates_is_named_and_leads_to_the_story_of_the_row(shop: Shop) -> None:
    shop.configure(settle_after="0s", more="verify: {every: 1d, sample: 100%}")
    shop.add_many(20)
    shop.sync()
    shop.connector("receipts", "visits", "--now")
    shop.sandbox.engage.remove_interaction(stored(shop)["v3"].id)
    shop.connector("receipts", "visits", "--now")
    with browsing(started(shop)) as at:
        at.go("/activations/visits")
        section = at.page.locator("section[aria-labelledby=verified]")
        told = section.inner_text()
        poor = at.page.evaluate(CONTRAST)
        at.page.set_viewport_size({"width": 390, "height": 800})
        too_wide = at.page.evaluate(WIDER)
        section.get_by_role("link", name="All verifications of visits").click()
        at.page.wait_for_url("**/receipts?activation=visits")
        receipts = at.page.locator("table").last.locator("tbody tr").count()
        at.page.locator("table").last.locator("tbody th a").first.click()
        at.page.wait_for_url("**/receipts/*")
        receipt = at.page.locator("main").inner_text()
        document = at.served.get(f"{urlsplit(at.page.url).path}.json").json()
        at.page.get_by_role("link", name="v3").click()
        at.page.wait_for_url("**/rows?*")

    assert "1 row is not at the destination as sent: 1 missing." in told
    assert (receipts, poor, too_wide) == (2, [], 0)
    assert "Not all of it is at the destination as it was sent: 1 missing." in receipt
    assert "20 rows looked at, of 20 that stood as delivered by" in receipt
    assert "It is unchanged: this is what was signed." in receipt
    assert (document["missing"], set(document) & {"seal", "deviations"}) == (1, set())
    assert document["signature"]["algorithm"] == "HMAC-SHA256"


def test_a_rhythm_says_whose_clocks_it_means(shop: Shop) -> None:
    """The times around it are in the project's zone, which cron expressions are not."""
    shop.configure(
        more="schedule: '30 6 * * *'\n    verify: {cron: '0 3 * * *', timezone: Asia/Kathmandu}"
    )
    page = started(shop).get("/activations/visits").text

    assert "30 6 * * * (UTC)" in page
    assert "0 3 * * * (Asia/Kathmandu)" in page
