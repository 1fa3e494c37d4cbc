"""Tokens, who is let in, interactions one by one and offline, and the controls."""

from typing import Any

import httpx
import pytest

from connector.rules.errors import ConfigurationError
from connector.sandbox.mxo.behaviour import Behaviour
from connector.sandbox.mxo.running import Running, greeting, running
from connector.sandbox.start import Files, Place, start
from tests.sandbox.mxo.conftest import Api, a_record

# Tokens


def test_a_token_is_made_for_the_credentials(api: Api) -> None:
    api.bearer = "made up"
    assert api.put(a_record()).status_code == 401

    answer = api.fetch_token()

    assert answer.status_code == 200
    assert "expires_in" not in answer.json()
    assert api.put(a_record()).status_code == 200
    assert api.fetch_token(secret="wrong").status_code == 401
    assert api.fetch_token(grant="password").status_code == 400


def test_a_token_expires(api: Api) -> None:
    api.pass_time(59)
    assert api.put(a_record()).status_code == 200

    api.pass_time(1)

    assert api.put(a_record()).status_code == 401
    api.fetch_token()
    assert api.put(a_record()).status_code == 200
    assert api.effects() == {"c1": 2}


@pytest.mark.parametrize(
    ("switch", "said"), [("absent", None), ("there", 30), ("wrong", 300), ("nonsense", "soon")]
)
def test_what_is_said_of_the_life_of_a_token(api: Api, switch: str, said: Any) -> None:
    api.behave(expires_in=switch, token_life=30)

    assert api.fetch_token().json().get("expires_in") == said


@pytest.mark.parametrize(("switch", "status"), [("live", 200), ("die", 401)])
def test_what_becomes_of_an_old_token(api: Api, switch: str, status: int) -> None:
    api.behave(old_tokens=switch)
    former = api.bearer

    api.fetch_token()

    assert api.put(a_record()).status_code == 200
    api.bearer = former
    assert api.put(a_record()).status_code == status


def test_a_token_may_die_in_the_middle(api: Api) -> None:
    api.behave(token_uses=2)
    api.fetch_token()

    assert [api.put(a_record()).status_code for _ in range(3)] == [200, 200, 401]
    api.behave()
    api.fetch_token()
    api.http.post("/sandbox/tokens/revoke")
    assert api.put(a_record()).status_code == 401


def test_the_token_call_fails_as_it_is_told(api: Api) -> None:
    api.behave(token_faults={"status": {503: 1}})

    assert api.fetch_token().status_code == 503


def test_a_user_may_lack_permission(api: Api) -> None:
    api.behave(permission="none")

    assert api.put(a_record()).status_code == 403
    assert api.post([a_record()]).status_code == 403


# Single interactions


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_interaction_takes_effect_at_once(api: Api, method: str) -> None:
    path = f"/one/oauth2/rt/api/2.0/interaction?sk={api.sandbox.site_key}"

    answer = api.call(method, path, json=a_record())

    assert answer.status_code == 200
    assert answer.json()["statusCode"] == 200
    assert answer.json()["tid"]
    assert ("optimizations" in answer.json()) == (method == "POST")
    assert api.truth()["by_reference"] == {"c1": {"effects": 1, "licensed": 1}}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"uri": None}, 400),
        ({"uri": "visit"}, 400),
        ({"customerKey": None}, 400),
        ({"customerKey": 7}, 400),
        ({"properties": {"connectorRef": "c1"}}, 400),
        ({"properties": [{"name": "a"}]}, 400),
        ({"properties": [{"name": "a", "value": 1}]}, 400),
        ({"properties": [{"name": "a", "value": "1"}, {"name": "b", "value": None}]}, 400),
    ],
)
def test_one_bad_property_refuses_all(api: Api, changes: dict[str, Any], status: int) -> None:
    assert api.put(a_record(**changes)).status_code == status
    assert api.truth()["effects"] == (status == 200)


@pytest.mark.parametrize(
    ("options", "switches", "status"),
    [
        ({"params": {}}, {}, 400),
        ({"params": {"sk": "other"}}, {}, 404),
        ({"params": {"sk": "other"}}, {"unknown_site_status": 403}, 403),
        ({"headers": {"dataMimeType": ""}}, {}, 400),
        ({"headers": {"dataMimeType": ""}}, {"missing_header": "taken"}, 200),
    ],
)
def test_headers_and_site_key(
    api: Api, options: dict[str, Any], switches: dict[str, Any], status: int
) -> None:
    api.behave(**switches)

    assert api.put(a_record(), **options).status_code == status


def test_what_is_not_configured_is_dropped_in_silence_and_licensed(api: Api) -> None:
    api.behave(uris=["store://pos/visit"], properties=["amount"])
    amount = [{"name": "connectorRef", "value": "c1"}, {"name": "amount", "value": "7"}]

    assert api.put(a_record("c2", uri="store://typo")).status_code == 200
    assert api.put(a_record(properties=amount)).status_code == 200

    assert api.truth()["by_reference"] == {
        "c2": {"effects": 0, "licensed": 1},
        "c1": {"effects": 1, "licensed": 1},
    }
    (shown,) = api.http.get("/sandbox/interactions").json()
    assert shown["properties"] == {"amount": "7"}


@pytest.mark.parametrize("status", ["404", "400"])
def test_an_unknown_uri_may_be_refused(api: Api, status: str) -> None:
    api.behave(uris=["a://b"], unknown_uri=status)

    assert api.put(a_record()).status_code == int(status)
    assert api.truth()["licensed"] == 0


@pytest.mark.parametrize(("stored", "effects"), [(False, 0), (True, 1)])
def test_a_success_may_hold_another_status(api: Api, stored: bool, effects: int) -> None:
    api.behave(inner_status=500, inner_stored=stored)

    answer = api.put(a_record())

    assert (answer.status_code, answer.json()["statusCode"]) == (200, 500)
    assert api.truth()["effects"] == effects


def test_a_row_without_a_reference_stands_under_its_record(api: Api) -> None:
    for _ in range(2):
        api.put(a_record(properties=[{"name": "amount", "value": "7"}]))

    assert list(api.effects().values()) == [2]


@pytest.mark.parametrize(
    ("faults", "effects"),
    [
        ({"status_before": {503: 1}}, 0),
        ({"status_after": {503: 1}}, 1),
        ({"status_before": {401: 1}}, 0),
        ({"html_after": 1}, 1),
        ({"too_many": 1}, 0),
    ],
)
def test_answers_fail_before_and_after_the_effect(
    api: Api, faults: dict[str, Any], effects: int
) -> None:
    api.behave(faults=faults)

    api.put(a_record())

    assert api.truth()["effects"] == effects


@pytest.mark.parametrize(("way", "effects"), [("reset_before", 0), ("reset_after", 1)])
def test_connections_break_before_and_after_the_effect(api: Api, way: str, effects: int) -> None:
    api.behave(faults={way: 1})

    with pytest.raises(httpx.TransportError):
        api.put(a_record())

    assert api.truth()["effects"] == effects


def test_a_late_effect(api: Api) -> None:
    api.behave(faults={"late_commit": 1, "late_by": 60, "late_answer": "504"})

    assert api.put(a_record()).status_code == 504
    assert api.truth()["effects"] == 0
    api.pass_time(60)
    assert api.effects() == {"c1": 1}


def test_all_of_a_customer_is_deleted(api: Api) -> None:
    api.put(a_record("c1"))
    api.put(a_record("c2"))
    path = f"/one/oauth2/rt/api/3.1.0/customer/{api.sandbox.site_key}/k-c1"

    assert api.call("DELETE", path).status_code == 200
    assert api.call("DELETE", path).status_code == 404

    left = api.http.get("/sandbox/interactions").json()
    assert [each["customer"] for each in left] == ["k-c2"]
    assert api.effects() == {"c1": 1, "c2": 1}


# Offline


def test_offline_is_deprecated_and_off(api: Api) -> None:
    assert api.put([a_record()], "interactions/offline").status_code == 404
    assert api.put(a_record(), "interaction/offline").status_code == 404


@pytest.mark.parametrize(
    ("switches", "body", "status", "effects"),
    [
        ({}, [a_record("c1"), a_record("c2")], 200, 2),
        ({}, {"interactions": [a_record()]}, 400, 0),
        ({"offline_form": "object"}, {"interactions": [a_record()]}, 200, 1),
        ({"offline_form": "object"}, [a_record()], 400, 0),
        ({}, [], 400, 0),
        ({}, [a_record(f"c{n}") for n in range(100)], 200, 100),
        ({}, [a_record(f"c{n}") for n in range(101)], 400, 0),
        ({}, [a_record("c1"), a_record("c2", uri="")], 400, 0),
        ({"offline_partly": "taken"}, [a_record("c1"), a_record("c2", uri="")], 200, 1),
        ({}, [a_record(timestamp=1_795_000_000_000)], 200, 1),
        ({"offline_time": "iso"}, [a_record(timestamp=1_795_000_000_000)], 400, 0),
        ({"offline_time": "milliseconds"}, [a_record()], 400, 0),
        ({}, [a_record(timestamp=None)], 400, 0),
    ],
)
def test_many_offline(
    api: Api, switches: dict[str, Any], body: Any, status: int, effects: int
) -> None:
    api.behave(offline="on", **switches)

    assert api.put(body, "interactions/offline").status_code == status
    assert api.truth()["effects"] == effects


def test_one_offline(api: Api) -> None:
    api.behave(offline="on")

    assert api.put(a_record(), "interaction/offline").status_code == 200
    assert api.effects() == {"c1": 1}


# The controls


def test_the_page_shows_what_was_received(api: Api) -> None:
    api.put(a_record("<script>"))
    api.post([a_record("c2")])

    page = api.http.get("/").text

    assert "1 interactions took effect, 1 count as licensed, 1 batches" in page
    assert "QUEUED" in page
    assert "<script" not in page


def test_requests_are_counted_and_the_last_is_known(api: Api) -> None:
    api.put(a_record())
    api.post([a_record()])
    api.status()

    report = api.http.get("/sandbox/requests").json()

    assert report["posts"] == 2
    assert report["by_route"] == {
        "GET /batch/{id}": {"200": 1},
        "POST /batch": {"200": 1},
        "PUT /interaction": {"200": 1},
    }
    assert api.sandbox.requests.last is not None
    assert api.sandbox.requests.last[:2] == (
        "POST",
        f"/batchv2/interactions/{api.sandbox.site_key}",
    )


def test_a_reset_forgets_everything_but_the_behaviour(api: Api) -> None:
    api.behave(token_life=7)
    api.put(a_record())
    api.post([a_record("c2")])

    api.http.post("/sandbox/reset")

    assert api.truth()["by_reference"] == {}
    assert api.http.get("/sandbox/batches").json() == []
    assert api.sandbox.behaviour.token_life == 7
    assert api.put(a_record()).status_code == 401


def test_a_limit_is_a_number(api: Api) -> None:
    api.put(a_record("c1"))
    api.put(a_record("c2"))

    shown = api.http.get("/sandbox/interactions?limit=1").json()

    assert [each["reference"] for each in shown] == ["c2"]
    assert api.http.get("/sandbox/interactions?limit=x").status_code == 400


@pytest.mark.parametrize("form", ["json", "empty", "html"])
def test_errors_have_several_forms(api: Api, form: str) -> None:
    api.behave(error_body=form)

    answer = api.status()

    assert answer.status_code == 404
    assert ("<html" in answer.text or "<!doctype" in answer.text) == (form == "html")
    assert bool(answer.content) == (form != "empty")


def test_too_many_requests(api: Api) -> None:
    api.behave(hard_rate=1, retry_after=3)

    assert api.put(a_record()).status_code == 200
    answer = api.put(a_record())
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")


def test_what_is_not_there(api: Api) -> None:
    assert api.call("GET", "/one/nothing").status_code == 404
    assert api.call("GET", "/one/oauth2/rt/api/2.0/interaction/x").status_code == 404
    path = f"/batchv2/interactions/{api.sandbox.site_key}"
    assert api.call("DELETE", path).status_code == 405


def test_the_greeting_says_what_to_write(sandbox: Running) -> None:
    said = greeting(sandbox)

    for text in (sandbox.url, sandbox.client_id, sandbox.secret, sandbox.site_key):
        assert said.count(text) == (3 if text == sandbox.url else 2), text
    assert "type: mxo" in said
    assert f"workspace_id: {sandbox.workspace_id}" in said


def test_it_is_filled_by_nobody(tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes no schemas and no contacts"):
        start("mxo", Place("127.0.0.1", 0, "key"), Files(schemas=tmp_path))


def test_a_sandbox_starts_with_the_behaviour_given() -> None:
    with running(Behaviour(token_life=7)) as sandbox:
        assert sandbox.behaviour.token_life == 7
        assert sandbox.truth() == {}
