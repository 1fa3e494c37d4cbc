"""The pages in a browser: by keyboard, on a phone, in the dark, with nothing from outside."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.web.browser import AXE, PATIENCE, browsing, check_basics, needs_browser
from tests.web.hostile import ROWS
from tests.whole.shop import Shop, behaving
from tests.whole.test_serve import Served, started

pytestmark = needs_browser


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

        at.page.get_by_role("heading", name="Quarantine").wait_for()  # which was asked for
        at.go("/")
        at.page.get_by_role("heading", name="Activations").wait_for()
        at.go("/quarantine")
        assert at.page.get_by_text("No row waits for a person.").count() == 1

        at.page.get_by_role("button", name="Sign out").click()
        at.page.get_by_text("You are signed out.").wait_for()
        at.page.wait_for_url("**/login")  # without the words
        at.page.reload()
        at.page.get_by_label("Token").wait_for()
        assert at.page.get_by_text("You are signed out.").count() == 0  # it is said once
        at.go("/")
        at.page.get_by_label("Token").wait_for()


def test_a_link_in_a_message_opens_its_page_for_who_has_signed_in(shop: Shop) -> None:
    with browsing(started(shop, CONNECTOR_TOKEN="open sesame")) as at:
        link = f"{at.served.url}/quarantine?key=v%20%261&said=Well%20done"
        message = f'<a href="{link.replace("&", "&amp;")}">look</a>'
        at.page.route(
            "http://mail.test/**",
            lambda route: route.fulfill(body=message, content_type="text/html"),
        )
        for is_asked in (True, False):
            at.page.goto("http://mail.test/")
            at.page.get_by_role("link", name="look").click()
            if is_asked:
                at.page.get_by_label("Token").fill("open sesame")
                at.page.keyboard.press("Enter")
            at.page.get_by_role("heading", name="Quarantine").wait_for()
            assert at.page.get_by_label("The row key holds").input_value() == "v &1"
            assert at.page.get_by_text("Well done").count() == 0
        at.asked[:] = [url for url in at.asked if "mail.test" not in url]


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
