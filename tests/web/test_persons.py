"""Persons at the door: named by tokens or by a trusted proxy, each with a role, none by a form."""

from typing import Any

import httpx
import pytest

from tests.whole.shop import Shop, contact_id
from tests.whole.test_serve import Served, started, until

TOKENS = {name: f"token-of-{name}" for name in ("vera", "otto", "anna", "bert")}
ROLES = {"vera": "viewer", "otto": "operator", "anna": "approver", "bert": "approver"}
BY_TOKEN = "serve: {{tokens: [{}]}}".format(
    ", ".join(
        f"{{name: {name}, token: {token}, role: {ROLES[name]}}}" for name, token in TOKENS.items()
    )
)
BY_HEADER = "serve: {user_header: X-Forwarded-User, roles: {vera: viewer}}"


def served_with(shop: Shop, serve: str) -> Served:
    shop.configure(limits="{rows: 2, approval: other}")
    file = shop.path / "activations.yaml"
    file.write_text(f"{file.read_text()}\n{serve}\n")
    shop.add_many(4)
    return started(shop)


def headers_of(name: str, way: str) -> dict[str, str]:
    if way == "token":
        return {"Authorization": f"Bearer {TOKENS[name]}"}
    return {"X-Forwarded-User": name}


def post(served: Served, path: str, name: str, way: str = "token", **form: str) -> httpx.Response:
    return httpx.post(f"{served.url}{path}", data=form, headers=headers_of(name, way), timeout=30)


def get(served: Served, path: str, name: str, way: str = "token") -> httpx.Response:
    headers = (
        {"Authorization": f"Bearer {TOKENS[name]}"}
        if way == "token"
        else {"X-Forwarded-User": name}
    )
    return httpx.get(f"{served.url}{path}", headers=headers, timeout=30)


def status(served: Served, name: str, way: str = "token") -> Any:
    (found,) = get(served, "/api/status", name, way).json()["activations"]
    return found


@pytest.mark.parametrize(("serve", "by"), [(BY_TOKEN, "token"), (BY_HEADER, "header")])
def test_another_person_approves_what_one_has_asked_for(shop: Shop, serve: str, by: str) -> None:
    served = served_with(shop, serve)
    begun = post(served, "/api/sync/visits", "anna", by)
    until(lambda: status(served, "anna", by)["held"])
    until(lambda: status(served, "anna", by)["running"] is None)
    yes = {"confirmed": "1", "by": "bert", "note": "looked at"}

    forged = post(served, "/activations/visits/approve", "anna", by, **yes)
    refused = post(served, "/api/approve/visits", "anna", by)
    page = get(served, "/activations/visits/held", "bert", by).text
    hers = get(served, "/activations/visits/held", "anna", by).text
    approved = post(served, "/activations/visits/approve", "bert", by, confirmed="1")
    until(lambda: status(served, "anna", by)["counts"]["delivered"] == 4)

    assert begun.status_code == 202
    assert (forged.status_code, refused.status_code) == (409, 409)
    assert refused.json()["error"]["kind"] == "held"
    assert "Asked for by" in page
    assert "As bert" in page
    assert "Approve and run" in page
    assert "Anna asked for the run that is held" in hers
    assert "Approve and run" not in hers
    assert 'id="sure-by"' not in page
    assert approved.status_code == 303
    entries = get(served, "/api/audit", "vera", by).json()["entries"]
    assert [(e["by"], e["what"]) for e in reversed(entries)] == [
        *[("anna", "approval_refused")] * 2,
        ("bert", "approved"),
    ]
    assert "bert" in get(served, "/audit", "vera", by).text
    assert get(served, "/audit/audit.csv", "vera", by).text.startswith("id,at,by,what")
    assert status(served, "vera", by)["last_run"]["by"] == "bert"


def test_each_role_may_do_what_it_is_for(shop: Shop) -> None:
    served = served_with(shop, BY_TOKEN)
    begin, approve = "/activations/visits/run", "/activations/visits/approve"
    paths = ["/api/sync/visits", begin, approve, "/api/approve/visits", "/quarantine/discard"]

    codes = {who: [post(served, path, who).status_code for path in paths] for who in ROLES}

    assert codes["vera"] == [403] * 5
    assert codes["otto"][2:] == [403] * 3
    assert codes["otto"][0] == 202
    assert 403 not in codes["anna"]
    assert post(served, begin, "otto", approve="1", confirmed="1").status_code == 403
    answer = post(served, "/api/sync/visits", "vera").json()["error"]
    assert answer["kind"] == "configuration"
    assert "viewer" in answer["message"]
    assert get(served, "/", "vera").status_code == 200
    assert not any(token in get(served, "/", "anna").text for token in TOKENS.values())


def test_a_page_has_no_button_that_a_role_does_not_allow(shop: Shop) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    served = served_with(shop, BY_TOKEN)
    pages = ("/", "/activations/visits", "/quarantine", "/rows?activation=visits&key=bad")

    seen = {who: "".join(get(served, path, who).text for path in pages) for who in ROLES}
    by_browser = headers_of("vera", "token") | {"Accept": "text/html"}
    refused = httpx.post(f"{served.url}/activations/visits/run", headers=by_browser, timeout=30)

    operates, approves = ("visits/run", "visits/pause", "/quarantine/retry"), "/quarantine/discard"
    assert not any(action in seen["vera"] for action in (*operates, approves))
    assert all(action in seen["otto"] for action in operates)
    assert approves not in seen["otto"]
    assert all(action in seen["anna"] for action in (*operates, approves))
    assert "as <bdi>vera</bdi> (viewer)" in seen["vera"]
    assert seen["vera"].count("vera has the role viewer here") == 2
    assert refused.status_code == 403
    assert "vera has the role viewer here, and this takes the role operator" in refused.text
    assert "To the activations" in refused.text


def test_a_session_is_of_the_person_whose_token_was_shown(shop: Shop) -> None:
    served = served_with(shop, BY_TOKEN)
    sign_in = {"token": TOKENS["vera"]}

    session = httpx.post(f"{served.url}/login", data=sign_in, timeout=30).headers["set-cookie"]
    wrong = httpx.post(f"{served.url}/login", data={"token": "another"}, timeout=30)
    goals = (
        "/runs?tag=a",
        "//evil.example/",
        "/\\evil.example",
        "https://evil.example",
        "/?said=x",
    )
    led = [
        httpx.post(f"{served.url}/login", params={"next": goal}, data=sign_in, timeout=30)
        for goal in goals
    ]
    expired = served.post("/activations/visits/pause", Accept="text/html")
    mine = {"Cookie": session.partition(";")[0]}

    assert served.get("/", **mine).status_code == 200
    assert served.post("/api/sync/visits", **mine).status_code == 403
    assert served.get("/").status_code == 401
    assert wrong.status_code == 401
    assert [each.headers["location"] for each in led] == ["/runs?tag=a", "/", "/", "/", "/"]
    assert (expired.status_code, expired.headers["location"]) == (303, "/login")
    assert "serve.tokens" in wrong.text


def test_a_name_is_believed_from_a_trusted_proxy_alone(shop: Shop) -> None:
    elsewhere = BY_HEADER.replace("roles:", "trusted_proxies: [10.9.9.9], roles:")
    served = served_with(shop, elsewhere)

    assert get(served, "/", "anna", "header").status_code == 401
    forwarded = {"X-Forwarded-User": "anna", "X-Forwarded-For": "10.9.9.9"}
    assert served.get("/", **forwarded).status_code == 401
    assert served.get("/healthz").status_code == 200


def test_nobody_is_let_in_where_the_proxy_names_nobody(shop: Shop) -> None:
    served = served_with(shop, BY_HEADER)

    assert served.get("/").status_code == 401
    assert get(served, "/", "vera", "header").status_code == 200
    assert post(served, "/api/sync/visits", "vera", "header").status_code == 403
    assert served.post("/api/sync/visits", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_under_another_name_the_page_approves_nothing_before_a_run_took_the_rows_over(
    shop: Shop,
) -> None:
    served = served_with(shop, "")
    served.post("/api/sync/visits")
    until(lambda: served.status["held"] and served.status["running"] is None)
    shop.configure(name="calls", more="renamed_from: visits")
    until(lambda: served.status["name"] == "calls")

    page = served.get("/activations/calls/held").text

    assert "Approve and run" not in page
    assert "recorded under its earlier name &#34;visits&#34;" in page
    served.post("/api/sync/calls")
    until(lambda: served.status["last_run"]["activation"] == "calls")
    until(lambda: served.status["held"] and served.status["running"] is None)
    assert "Approve and run" in served.get("/activations/calls/held").text


def test_without_persons_a_form_says_who_approves(shop: Shop) -> None:
    served = served_with(shop, "")
    served.post("/api/sync/visits")
    until(lambda: served.status["held"] and served.status["running"] is None)
    approve = f"{served.url}/activations/visits/approve"
    held, shown = (served.get(f"/activations/visits/held{more}").text for more in ("", "?show=1"))

    nobody = httpx.post(approve, data={"confirmed": "1"}, timeout=30)
    other = {"confirmed": "1", "by": "bert", "digest": "of what was shown before"}
    stale = httpx.post(approve, data=other, timeout=30)
    somebody = httpx.post(approve, data={"confirmed": "1", "by": "bert"}, timeout=30)
    until(lambda: served.status["counts"]["delivered"] == 4)

    assert (nobody.status_code, stale.status_code, somebody.status_code) == (409, 409, 303)
    assert "Let exactly these 4 rows go?" in held
    assert "not who asked for the run" in held
    assert contact_id(1) not in held
    assert "sku-" not in held
    assert contact_id(1) in shown
    assert "<dd>sku-1</dd>" in shown
    after = served.get("/activations/visits/held").text
    assert "Nothing is held" in after
    assert "used by" in after


def test_without_a_name_the_page_says_by_what_it_was_let_in(shop: Shop) -> None:
    served = started(shop, CONNECTOR_TOKEN="let me in, please")
    bearer = {"Authorization": "Bearer let me in, please"}
    served.post("/activations/visits/pause", **bearer)
    page = served.get("/activations/visits", **bearer).text
    served.post("/activations/visits/resume", **bearer)

    entries = served.get("/api/audit", **bearer).json()["entries"]

    assert "Paused by whoever has the token." in page
    assert [entry["by"] for entry in entries] == ["whoever has the token"] * 2
    assert served.get("/api/audit?after=abc", **bearer).status_code == 404
    older = served.get(f"/api/audit?after={entries[0]['id']}", **bearer).json()["entries"]
    assert older == entries[1:]


def test_whoever_signs_out_has_to_sign_in_again_in_that_browser_alone(shop: Shop) -> None:
    served = served_with(shop, BY_TOKEN)
    accept = {"Accept": "text/html"}
    with (
        httpx.Client(base_url=served.url, headers=accept, timeout=30) as browser,
        httpx.Client(base_url=served.url, headers=accept, timeout=30) as another,
    ):
        for each in (browser, another):
            each.post("/login", data={"token": TOKENS["vera"]})
        signed_in = browser.get("/").text
        out = browser.post("/logout")
        told = browser.get(out.headers["location"]).text
        after = browser.get("/")
        other = another.get("/")

    assert ("Sign out" in signed_in, "as <bdi>vera</bdi>" in signed_in) == (True, True)
    assert "You are signed out." in told
    assert (after.status_code, after.headers["location"]) == (303, "/login")
    assert other.status_code == 200
    assert "Sign out" not in get(served, "/", "vera").text  # a program shows its token each time
    assert browser.cookies.get("connector_session") is None
