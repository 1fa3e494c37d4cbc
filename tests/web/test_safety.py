"""Other sites, other people and the rows themselves get nothing out of the pages, or into them."""

import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import httpx
import pytest

from connector.show.terminal import DECEIVING, plain_on_page
from tests.web.hostile import IMAGE, ROWS, SCRIPT, WORDS
from tests.whole.shop import Shop, contact_id
from tests.whole.test_serve import Served, started

SHOWN = ("title", "aria-label", "data-confirm", "data-label", "data-ended")
ALLOWED = {"src": ("/static/script.js",), "href": ("/", "#", "?", "data:,"), "action": ("/",)}


class Marks(HTMLParser):
    """Every element of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def story(key: str) -> str:
    return f"/rows?{urlencode({'activation': 'visits', 'key': key})}"


def paths(served: Served) -> list[str]:
    """Every page that there is, and those that tell of a mistake."""
    run_id = served.status["last_run"]["run_id"]
    return [
        *("/", "/runs", f"/runs/{run_id}", "/quarantine", "/schemas"),
        *("/activations/visits", "/activations/visits/preview", "/activations/visits/held"),
        "/activations/visits/preview?show=1",
        *(f"/schema?destination=engage&id={schema}" for schema in ("visit", "evil")),
        *(story(key) for key in ROWS),
        *(f"/?{urlencode({'said': hostile})}" for hostile in ROWS),
        *(f"/quarantine?{urlencode({'reason': hostile})}" for hostile in ROWS[:3]),
        f"/quarantine?{urlencode({'activation': SCRIPT})}",
        *(story(f"none {SCRIPT}"), f"/runs/{SCRIPT}", f"/activations/{SCRIPT}", f"/{SCRIPT}"),
        f"/schema?{urlencode({'destination': SCRIPT, 'id': IMAGE})}",
    ]


def assert_harmless(page: httpx.Response) -> None:
    """No element, no handler and no address but our own."""
    marks = Marks(page.text)
    scripts = [found for tag, found in marks.found if tag == "script"]
    assert scripts == [{"src": "/static/script.js", "defer": None}], page.url
    for tag, found in marks.found:
        assert tag not in {"img", "iframe", "object", "embed", "base", "textarea", "b"}, page.url
        assert not [name for name in found if name.startswith("on")], (page.url, found)
        assert "style" not in found
        for name, beginnings in ALLOWED.items():
            value = found.get(name)
            if value is not None and tag != "link":
                assert value.startswith(beginnings), (page.url, value)
                assert not value.startswith("//"), (page.url, value)


def test_no_page_runs_what_rows_hold_and_each_says_what_a_browser_may_do(
    hostile_shop: Shop, served: Served
) -> None:
    key = hostile_shop.sandbox.api_key
    for path in paths(served):
        page = served.get(path, Accept="text/html")

        assert page.status_code in (200, 404), (path, page.text)
        assert_harmless(page)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"
        assert key not in page.text
        assert key not in str(page.headers)


def test_hostile_rows_are_shown_as_they_are(served: Served) -> None:
    quarantine = Marks(served.get("/quarantine").text).text

    for words in WORDS:
        assert words in quarantine
    for key in ROWS:
        shown = served.get(story(key))
        assert shown.status_code == 200, key
        assert plain_on_page(key).split("\r")[0] in Marks(shown.text).text


def test_what_turns_the_direction_or_hides_is_seen_and_what_forms_send_is_the_row(
    hostile_shop: Shop, served: Served
) -> None:
    key = "\u202ekey\u200bwith\ufeff"
    hostile_shop.add({"id": key, "rating": 9})
    hostile_shop.sync()

    for path in (*paths(served), story(key)):
        marks = Marks(served.get(path, Accept="text/html").text)
        assert not DECEIVING.search(re.sub(r"[\t\n\r]", "", marks.text)), path
        shown = [found[name] for _, found in marks.found for name in SHOWN if found.get(name)]
        assert not [text for text in shown if DECEIVING.search(text or "")], path
    page = served.get(story(key))
    assert "\\u202ekey\\u200bwith\\ufeff" in Marks(page.text).text
    assert key in [found.get("value") for _, found in Marks(page.text).found]


def test_personal_data_is_masked_until_it_is_asked_for(served: Served) -> None:
    masked, shown = (
        served.get(f"/activations/visits/preview{asked}").text for asked in ("", "?show=1")
    )

    assert "productSku" in masked
    assert contact_id(1) not in masked
    assert "alert(1)" not in masked.partition("The first requests")[2]
    assert "&#34;rating&#34;: 4" not in masked
    assert contact_id(1) in shown
    assert "&#34;rating&#34;: 4" in shown


ACTIONS = [
    "/activations/visits/run",
    "/activations/visits/pause",
    "/quarantine/retry",
    "/quarantine/discard",
    "/quarantine/settle",
    "/api/sync/visits",
]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_other_site_can_act(served: Served, headers: dict[str, str]) -> None:
    for path in ACTIONS:
        answer = served.post(path, **headers)
        assert answer.status_code == 403, path
        assert answer.headers["x-frame-options"] == "DENY"
    assert not served.status["paused"]


def test_no_other_site_can_put_words_into_the_page(served: Served) -> None:
    ours = served.get("/?said=It+is+done.", **{"Sec-Fetch-Site": "same-origin"})
    theirs = served.get("/?said=Call+me.", **{"Sec-Fetch-Site": "cross-site"})

    assert "It is done." in ours.text
    assert "Call me." not in theirs.text


def test_a_name_that_is_not_this_machines_is_refused_without_a_token(served: Served) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:80@localhost.evil", ""):
        assert served.get("/", Host=host).status_code == 421, host
    assert served.get("/", Host="localhost:1").status_code == 200


def test_with_a_token_the_page_wants_it_and_keeps_it_from_scripts(shop: Shop) -> None:
    served = started(shop, CONNECTOR_TOKEN="open sesame")
    outside = served.get("/quarantine", Accept="text/html")
    form = served.get("/login")

    def enter(token: str) -> httpx.Response:
        return httpx.post(f"{served.url}/login", data={"token": token}, timeout=30)

    wrong, right = enter("open"), enter("open sesame")
    cookie = right.headers["set-cookie"]
    value = cookie.partition(";")[0]

    assert (outside.status_code, outside.headers["location"]) == (303, "/login?next=%2Fquarantine")
    assert 'type="password"' in form.text
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    assert right.status_code == 303
    assert {"HttpOnly", "SameSite=strict"} <= set(re.split("; ?", cookie))
    assert "sesame" not in cookie
    assert served.get("/quarantine", Cookie=value).status_code == 200
    assert served.get("/quarantine", Cookie=f"{value[:-1]}_").status_code == 401
    assert served.post("/login", Origin="https://evil.example").status_code == 403


def test_a_mistake_of_ours_is_a_guarded_page_without_a_rows_values(
    hostile_shop: Shop, served: Served
) -> None:
    with hostile_shop.ledger_connection() as ledger:
        ledger.execute("update runs set notes = 'anna@example.com {'")

    page = served.get("/runs")

    assert page.status_code == 500
    assert "unexpected JSONDecodeError" in page.text
    assert "anna" not in page.text
    assert page.headers["x-frame-options"] == "DENY"
    served.process.terminate()
    out, err = served.process.communicate(timeout=60)
    assert "serve.page_failed" in out + err
    assert "anna" not in out + err
