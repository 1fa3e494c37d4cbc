"""The page and the control routes."""

import json

import pytest

from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.behaviour import Behaviour


def test_the_page_shows_what_was_received(api):
    api.send(payload={"sku": "first"})
    api.send(payload={"sku": "second"})
    api.send(contactId=api.nobody)

    answer = api.http.get("/")

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = answer.text
    assert "2 interactions stored, 3 requests received" in page
    assert "<td>review</td><td>Review</td><td>2</td>" in page
    assert "<td>POST /interactions</td><td>404</td><td>1</td>" in page
    assert page.index("second") < page.index("first")
    assert "&quot;success_status&quot;: 200" in page


def test_an_empty_sandbox_has_a_page(api, engage):
    engage.reset()

    assert "none yet" in api.http.get("/").text


def test_the_page_shows_the_newest_only(api):
    for number in range(60):
        api.send(payload={"sku": f"no-{number}-"})

    page = api.http.get("/").text

    assert "no-59-" in page
    assert "no-10-" in page
    assert "no-9-" not in page


def test_everything_on_the_page_is_escaped(api, a_schema_body):
    script = "<script>alert(1)</script>"
    body = {**a_schema_body("evil"), "displayName": script}
    api.http.post("/api/v3/interactionschemas", json=body)
    api.send(payload={"sku": script})
    api.http.get(f"/api/v3/{script}")
    api.behave(link_rel=script)

    assert "<script" not in api.http.get("/").text


def test_the_page_loads_nothing_from_anywhere(api):
    answer = api.http.get("/")

    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert 'name="viewport"' in answer.text
    assert "color-scheme: light dark" in answer.text
    assert 'http-equiv="refresh"' in answer.text


def test_everything_stored_is_listed_oldest_first_and_with_its_blob(api):
    api.behave(read_back_delay=60)
    first = api.send(payload={"sku": "1", "extra": True}).json()["id"]
    second = api.send(payload={"sku": "2"}).json()["id"]

    listed = api.http.get("/sandbox/interactions").json()

    assert [each["id"] for each in listed] == [first, second]
    assert listed[0]["payload"] == {"sku": "1"}
    assert listed[0]["blob"]["payload"] == {"sku": "1", "extra": True}
    assert listed[0]["storedAt"]


def test_the_list_can_be_narrowed(api, engage, a_schema_body):
    engage.add_schema(a_schema_body("other"))
    engage.add_contact({"contactId": api.nobody})
    for number, changes in enumerate([{}, {"schemaId": "other"}, {"contactId": api.nobody}]):
        api.send(payload={"sku": str(number)}, **changes)

    def skus(**query):
        listed = api.http.get("/sandbox/interactions", params=query).json()
        return [each["payload"]["sku"] for each in listed]

    assert skus(schemaId="review") == ["0", "2"]
    assert skus(contactId=api.anna) == ["0", "1"]
    assert skus(contactId=api.anna, schemaId="review") == ["0"]
    assert skus(limit=2) == ["1", "2"]
    assert skus(limit=0) == []
    assert skus(limit=9) == ["0", "1", "2"]
    assert api.http.get("/sandbox/interactions?limit=x").status_code == 400


def test_requests_are_counted_by_route_and_status(api):
    api.send()
    api.send()
    api.send(contactId=api.nobody)
    api.read()
    api.http.get(f"/api/v3/interactions/{api.nobody}")
    api.behave(faults={"status_after": {500: 1}})
    api.send()

    report = api.http.get("/sandbox/requests").json()

    assert report["total"] == 6
    assert report["posts"] == 4
    assert report["by_route"] == {
        "POST /interactions": {"200": 2, "404": 1, "500": 1},
        "GET /interactions": {"200": 1},
        "GET /interactions/{id}": {"404": 1},
    }


def test_the_peak_and_the_seconds_above_the_recommendation_are_reported(api, clock):
    api.behave(recommended_rate=3)
    for number, pause in [(4, 0.9), (2, 0.2), (2, 60), (4, 1)]:
        for _ in range(number):
            api.http.get("/api/v3/contacts/count")
        clock.advance(pause)

    report = api.http.get("/sandbox/requests").json()

    assert report["peak_per_second"] == 6
    assert report["recommended_rate"] == 3
    assert report["seconds_above_recommendation"] == 2


def test_the_behaviour_is_shown_and_replaced(api, sandbox):
    shown = api.http.get("/sandbox/behaviour").json()
    assert Behaviour.model_validate(shown) == sandbox.behaviour

    faults = {"status_before": {"503": 1}}
    answer = api.http.put("/sandbox/behaviour", json={"page_size": 7, "faults": faults})

    assert answer.status_code == 200
    assert answer.json()["page_size"] == 7
    assert sandbox.behaviour == Behaviour(page_size=7, faults=Faults(status_before={503: 1}))
    assert api.send().status_code == 503


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"unheard_of": 1}', b'{"page_size": 0}'])
def test_an_impossible_behaviour_changes_nothing(api, sandbox, body):
    former = sandbox.behaviour

    answer = api.http.put("/sandbox/behaviour", content=body)

    assert answer.status_code == 422
    assert answer.json()["message"]
    assert sandbox.behaviour is former


def test_contacts_are_added_and_found_at_once(api):
    api.behave(contact_delay=60)

    answer = api.http.post("/sandbox/contacts", json=[{"email": "bo@example.com"}, {}])

    assert answer.status_code == 201
    assert api.find(email="bo@example.com").json() == answer.json()[0]["contactId"]
    assert api.http.get("/api/v3/contacts/count").json() == 3


@pytest.mark.parametrize("body", [b"{", b"{}", b"[1]", b'[{"firstName": "Bo"}]'])
def test_malformed_contacts_are_refused(api, body):
    answer = api.http.post("/sandbox/contacts", content=body)

    assert answer.status_code == 422
    assert answer.json()["message"]


def test_a_reset_forgets_everything_but_the_behaviour(api, sandbox):
    api.send()
    former = sandbox.behaviour

    assert api.http.post("/sandbox/reset").status_code == 204

    assert api.stored() == []
    assert sandbox.engage.schemas() == []
    assert sandbox.engage.contacts() == []
    assert sandbox.requests.entries() == []
    assert sandbox.requests.report(50)["peak_per_second"] == 0
    assert sandbox.behaviour is former


def test_a_reset_can_keep_schemas_and_contacts(api):
    api.send()

    api.http.post("/sandbox/reset?keep=schemas&keep=contacts")

    assert api.stored() == []
    assert api.send().status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8765"}, 200),
        ({"Host": "[::1]:8765"}, 200),
        ({"Host": "localhost:8765", "Origin": "http://localhost:8765"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "[evil"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_the_controls_do_not_listen_to_websites(api, headers, status):
    assert api.http.get("/sandbox/requests", headers=headers).status_code == status


def test_what_is_not_there_is_404(api):
    assert api.http.get("/sandbox/nothing").status_code == 404
    assert api.http.get("/favicon.ico").status_code == 404


def test_the_behaviour_survives_a_round_trip_through_json():
    behaviour = Behaviour(faults=Faults(status_after={500: 0.5}), unconfigured=frozenset({"email"}))

    assert Behaviour.model_validate(json.loads(behaviour.model_dump_json())) == behaviour
