"""Lists, single interactions, deletion, metadata and surveys; who is let in; the controls."""

from typing import Any

import httpx
import pytest

from connector.rules.errors import ConfigurationError
from connector.sandbox.start import Files, Place, start
from connector.sandbox.survey_dynamix.running import Running, greeting, running
from tests.sandbox.survey_dynamix.conftest import Api


@pytest.mark.parametrize(
    ("auth", "headers", "status"),
    [
        (("customer", "secret"), {}, 200),
        (None, {"Authorization": "Bearer secret"}, 200),
        (("customer", "wrong"), {}, 401),
        (None, {"Authorization": "Bearer wrong"}, 401),
        (None, {}, 401),
    ],
)
def test_basic_or_bearer_or_401(
    sandbox: Running, auth: tuple[str, str] | None, headers: dict[str, str], status: int
) -> None:
    names = {"customer": sandbox.customer, "secret": sandbox.secret, "wrong": "wrong"}
    given = (names[auth[0]], names[auth[1]]) if auth else None
    headers = {name: text.replace("secret", sandbox.secret) for name, text in headers.items()}
    with httpx.Client(base_url=sandbox.url, verify=False, trust_env=False) as http:
        options: dict[str, Any] = {"auth": given} if given else {}
        answer = http.get("/api/surveys", headers=headers, **options)

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("permission", "reading", "asking"), [("read", 200, 403), ("none", 403, 403)]
)
def test_credentials_that_lack_permission(
    api: Api, permission: str, reading: int, asking: int
) -> None:
    api.behave(permission=permission, no_permission_status=403)

    assert api.http.get("/api/surveys").status_code == reading
    assert api.ask().status_code == asking
    assert api.truth()["stored"] == 0


def test_a_list_is_of_one_survey_and_has_ten_on_a_page(api: Api) -> None:
    assert api.http.get("/api/interactions").status_code == 400
    for number in range(12):
        api.ask(external_ref=f"c{number}", email=f"p{number}@example.com")
    api.ask(survey_id="511")

    first = api.listed(_order="ASC").json()
    second = api.listed(_order="ASC", _offset=10).json()

    assert [each["external_ref"] for each in first + second] == [f"c{n}" for n in range(12)]
    assert len(first) == 10
    assert api.listed(_limit=1000, _order="DESC").json()[0]["external_ref"] == "c11"
    assert api.listed(_limit=1001).status_code == 400
    assert api.listed(_limit=0).status_code == 400


def test_without_an_order_it_is_sorted_by_status(api: Api) -> None:
    api.ask(external_ref="sent", scheduled_at="")
    api.ask(external_ref="waits")

    refs = [each["external_ref"] for each in api.listed().json()]

    assert refs == ["waits", "sent"]


@pytest.mark.parametrize(
    ("switch", "found"),
    [
        ("exact", ["ca"]),
        ("case_blind", ["ca", "CA"]),
        ("ignored", ["ca", "CA", "cb"]),
    ],
)
def test_the_filter_by_reference(api: Api, switch: str, found: list[str]) -> None:
    api.behave(reference_filter=switch)
    for number, reference in enumerate(["ca", "CA", "cb"]):
        api.ask(external_ref=reference, email=f"p{number}@example.com")

    listed = api.listed(external_ref="ca", _order="ASC").json()

    assert [each["external_ref"] for each in listed] == found


def test_other_filters(api: Api) -> None:
    api.ask(external_ref="sent", scheduled_at="", call_type="delivery")
    api.ask(external_ref="waits", email="bo@example.com")

    def refs(**query: str) -> list[str]:
        answer = api.listed(**query)
        return [each["external_ref"] for each in answer.json()] if answer.content else []

    assert refs(email="bo@example.com") == ["waits"]
    assert refs(started="true") == ["sent"]
    assert refs(started="false") == ["waits"]
    assert refs(call_type="delivery") == ["sent"]
    assert refs(scheduled_at="2026-11-18 13:00:00") == ["waits"]
    assert refs(completed="true") == []


@pytest.mark.parametrize(("switch", "status", "body"), [("204", 204, b""), ("array", 200, b"[]")])
def test_an_empty_list(api: Api, switch: str, status: int, body: bytes) -> None:
    api.behave(empty_list=switch)

    answer = api.listed(external_ref="nobody")

    assert (answer.status_code, answer.content) == (status, body)


def test_what_is_stored_may_be_seen_late(api: Api) -> None:
    api.behave(read_back_delay=60)
    number = api.ask().json()["id"]

    assert api.listed().status_code == 204
    assert api.http.get(f"/api/interactions/{number}").status_code == 404
    api.pass_time(60)
    assert [each["id"] for each in api.listed().json()] == [number]
    assert api.http.get(f"/api/interactions/{number}").json()["id"] == number


@pytest.mark.parametrize("gone", [404, 410])
@pytest.mark.parametrize("status", [200, 204])
def test_what_is_deleted_before_it_starts_reaches_nobody(api: Api, gone: int, status: int) -> None:
    api.behave(gone_status=gone, delete_status=status)
    path = f"/api/interactions/{api.ask().json()['id']}"

    assert api.http.delete(path).status_code == status
    assert api.http.get(path).status_code == gone
    assert api.http.delete(path).status_code == gone
    api.pass_time(3600)
    assert api.truth()["surveys"] == 0
    assert api.listed().status_code == 204


def test_what_has_started_is_not_deleted(api: Api) -> None:
    path = f"/api/interactions/{api.ask(scheduled_at='').json()['id']}"

    assert api.http.delete(path).status_code == 409
    assert api.http.get(path).status_code == 200


def test_what_is_deleted_may_be_listed_for_a_while(api: Api) -> None:
    api.behave(listed_after_delete=60)
    api.http.delete(f"/api/interactions/{api.ask().json()['id']}")

    assert len(api.listed(external_ref="c1").json()) == 1
    api.pass_time(60)
    assert api.listed(external_ref="c1").status_code == 204


def test_a_put_takes_the_whole_resource_in_json(api: Api) -> None:
    import json

    resource = api.ask().json()
    path = f"/api/interactions/{resource['id']}"
    later = {**resource, "scheduled_at": "2026-11-18 15:00:00", "external_ref": "c9"}

    assert api.http.put(path, data={"interaction": "{"}).status_code == 400
    wrong = json.dumps({**later, "id": 1})
    assert api.http.put(path, data={"interaction": wrong}).status_code == 400
    assert api.http.put(path, data={"interaction": json.dumps(later)}).status_code == 200
    api.pass_time(3600)
    assert api.truth()["surveys"] == 0
    api.pass_time(7200)
    assert api.truth()["surveys"] == 1
    assert api.http.put(path, data={"interaction": json.dumps(later)}).status_code == 409
    assert api.listed(external_ref="c1").status_code == 204
    assert len(api.listed(external_ref="c9").json()) == 1


def test_metadata_is_set_read_and_removed(api: Api) -> None:
    number = api.ask(orderNo="1").json()["id"]
    datum = {"interaction_id": number, "custom_key": "orderNo", "custom_value": "2"}

    for _ in range(2):
        assert api.http.post("/api/interaction_data", data=datum).status_code == 200

    query = {"interaction_id": number, "custom_key": "orderNo"}
    (shown,) = api.http.get("/api/interaction_data", params=query).json()
    assert shown["custom_value"] == "2"
    assert len(api.http.get("/api/interaction_data?survey_id=493").json()) == 1
    assert api.http.delete("/api/interaction_data", params=query).status_code == 200
    assert api.http.delete("/api/interaction_data", params=query).status_code == 404


def test_surveys_are_read_only(api: Api) -> None:
    assert [each["id"] for each in api.http.get("/api/surveys").json()] == [493, 511]
    assert api.http.get("/api/surveys/493").json()["id"] == 493
    assert api.http.get("/api/surveys/494").status_code == 404
    assert api.http.post("/api/surveys").status_code == 405
    assert api.http.get("/api/nothing").status_code == 404


@pytest.mark.parametrize("form", ["json", "empty", "html"])
def test_errors_have_several_forms(api: Api, form: str) -> None:
    api.behave(error_body=form)

    answer = api.ask(survey_id="7")

    assert answer.status_code == 404
    kind = answer.headers["Content-Type"].split(";")[0]
    assert (kind, bool(answer.content)) == (
        "text/html" if form == "html" else "application/json",
        form != "empty",
    )


def test_reads_and_deletions_fail_as_they_are_told(api: Api) -> None:
    path = f"/api/interactions/{api.ask().json()['id']}"
    api.behave(read_faults={"status": {500: 1}}, delete_faults={"status_after": {503: 1}})

    assert api.listed().status_code == 500
    assert api.http.get(path).status_code == 500
    assert api.http.delete(path).status_code == 503
    assert api.truth()["stored"] == 0


# The controls


def test_the_page_shows_what_was_received(api: Api) -> None:
    api.ask(orderNo="<script>", scheduled_at="")

    page = api.http.get("/").text

    assert "1 surveys reached a person, 1 interactions stored" in page
    assert "anna@example.com" in page
    assert "<script>" not in page


def test_what_is_stored_is_shown_with_what_the_api_does_not_show(api: Api) -> None:
    api.behave(read_back_delay=60)
    api.ask(external_ref="c1", orderNo="1")
    api.ask(external_ref="c2", survey_id="511")

    def stored(**query: Any) -> list[Any]:
        return [
            each["reference"] for each in api.http.get("/sandbox/interactions", params=query).json()
        ]

    assert stored() == ["c1", "c2"]
    assert stored(survey_id=511) == ["c2"]
    assert stored(limit=1) == ["c2"]
    assert api.http.get("/sandbox/interactions?limit=x").status_code == 400
    shown = api.http.get("/sandbox/interactions").json()[0]
    assert (shown["data"], shown["fate"]) == ({"orderNo": "1"}, "waiting")


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"advance": -1}', b'{"advance": true}'])
def test_a_clock_does_not_go_back(api: Api, body: bytes) -> None:
    before = api.http.get("/sandbox/clock").json()

    assert api.http.post("/sandbox/clock", content=body).status_code == 422
    assert api.http.get("/sandbox/clock").json() == before


def test_the_date_of_answers_does_not_follow_the_clock(api: Api) -> None:
    before = api.listed().headers["Date"]

    api.pass_time(86400)

    assert api.listed().headers["Date"] == before


def test_a_reset_forgets_and_requests_are_counted(api: Api) -> None:
    api.ask()
    report = api.http.get("/sandbox/requests").json()
    assert (report["total"], report["posts"]) == (1, 1)
    assert api.sandbox.requests.last is not None
    method, path, body = api.sandbox.requests.last
    assert (method, path) == ("POST", "/api/interactions")
    assert b"email=anna%40example.com" in body

    api.http.post("/sandbox/reset")

    assert api.truth()["by_reference"] == {}


def test_the_greeting_says_what_to_write(sandbox: Running) -> None:
    said = greeting(sandbox)

    assert sandbox.url in said
    assert f"customer: {sandbox.customer}" in said
    assert f"auth_token: {sandbox.secret}" in said
    assert "type: survey_dynamix" in said


def test_it_is_filled_by_nobody(tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes no schemas and no contacts"):
        start("survey_dynamix", Place("127.0.0.1", 0, "key"), Files(contacts=tmp_path))


def test_a_sandbox_starts_with_the_behaviour_given() -> None:
    from connector.sandbox.survey_dynamix.behaviour import Behaviour

    with running(Behaviour(surveys=frozenset({7}))) as sandbox:
        assert sandbox.behaviour.surveys == {7}
        assert sandbox.truth() == {}
