"""POST /interactions: what is stored, what is dropped, what is refused."""

from datetime import datetime
from uuid import UUID

import pytest


def test_an_interaction_is_answered_with_its_id_and_stored(api, engage):
    answer = api.send(payload={"sku": "A", "rating": 4, "score": 1.5, "again": True})

    assert answer.status_code == 200
    body = answer.json()
    assert UUID(body["id"])
    assert body["self"]["contactId"] == api.anna
    assert body["self"]["href"] == f"/api/v3/interactions/{body['id']}"
    assert datetime.fromisoformat(body["self"]["created"]).tzinfo
    (stored,) = engage.interactions()
    assert stored.id == body["id"]
    assert stored.payload == {"sku": "A", "rating": 4, "score": 1.5, "again": True}


def test_version_2_is_served_in_the_same_way(api):
    body = {"contactId": api.anna, "schemaId": "review", "payload": {"sku": "A"}}

    answer = api.http.post("/api/v2/interactions", json=body)

    assert answer.status_code == 200
    assert api.http.get(answer.json()["self"]["href"]).json()["payload"] == {"sku": "A"}
    assert answer.json()["self"]["href"].startswith("/api/v2/")


def test_the_same_interaction_twice_is_stored_twice(api):
    first, second = api.send(), api.send()

    assert first.json()["id"] != second.json()["id"]
    assert len(api.stored()) == 2


def test_unknown_and_mistyped_properties_are_dropped_and_stay_in_the_blob(api, engage):
    api.send(payload={"sku": "A", "rating": "four", "again": 1, "score": None, "colour": "red"})

    (stored,) = engage.interactions()
    assert stored.payload == {"sku": "A"}
    assert b'"colour":"red"' in stored.blob
    assert b'"rating":"four"' in stored.blob


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("rating", 4.0, True),
        ("rating", 4.5, False),
        ("rating", True, False),
        ("score", 4, True),
        ("score", False, False),
        ("again", "true", False),
        ("bought", ["x"], False),
        ("bought", {"x": 1}, False),
    ],
)
def test_types_are_those_of_json_schema(api, name, value, fits):
    api.send(payload={"sku": "A", name: value})

    assert (name in api.stored()[0]) is fits


def test_a_large_payload_arrives_whole(api):
    text = "x" * 1_000_000

    assert api.send(payload={"sku": text}).status_code == 200
    assert api.stored() == [{"sku": text}]


BREAKING = [
    {"payload": {}},
    {"payload": {"rating": 4}},
    {"payload": {"sku": 7}},
    {"payload": {"sku": "A", "bought": "2011-11-03T20:00:11"}},
    {"payload": {"sku": "A", "bought": "yesterday"}},
    {"payload": None},
    {"payload": ["sku"]},
]


@pytest.mark.parametrize("changes", BREAKING)
def test_an_interaction_that_breaks_its_schema_is_refused(api, changes):
    answer = api.send(**changes)

    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "ValidationError"
    assert answer.json()["validationErrors"][0]["errorDescription"]
    assert api.stored() == []


def test_the_status_of_a_refusal_can_be_422(api):
    api.behave(refuse_status=422)

    assert api.send(payload={}).status_code == 422


@pytest.mark.parametrize("changes", BREAKING)
def test_a_breaking_interaction_can_be_dropped_behind_a_success_without_an_id(api, changes):
    api.behave(breaking="no_id")

    answer = api.send(**changes)

    assert answer.status_code == 200
    assert "id" not in answer.json()
    assert api.stored() == []


@pytest.mark.parametrize("changes", BREAKING)
def test_a_breaking_interaction_can_be_swallowed_behind_an_id(api, changes):
    api.behave(breaking="swallow")

    answer = api.send(**changes)

    assert answer.status_code == 200
    assert UUID(answer.json()["id"])
    assert api.stored() == []
    assert api.http.get(f"/api/v3/interactions/{answer.json()['id']}").status_code == 404


def test_a_mistyped_required_property_can_be_dropped_like_any_other(api):
    api.behave(mistyped_required="drop")

    assert api.send(payload={"sku": 7, "rating": 4}).status_code == 200
    assert api.stored() == [{"rating": 4}]
    assert api.send(payload={"rating": 4}).status_code == 400
    assert api.send(payload={"sku": 7, "bought": "yesterday"}).status_code == 400


@pytest.mark.parametrize("status", [200, 201, 202])
def test_the_status_of_success_can_be_chosen(api, status):
    api.behave(success_status=status)

    answer = api.send()

    assert answer.status_code == status
    assert answer.json()["id"]


def test_an_unknown_contact_is_refused_with_404(api):
    answer = api.send(contactId=api.nobody)

    assert answer.status_code == 404
    assert answer.json()["errorCode"] == "ContactNotFound"
    assert api.stored() == []


def test_an_unknown_contact_can_be_refused_with_400(api):
    api.behave(unknown_contact="400")

    assert api.send(contactId=api.nobody).status_code == 400


def test_an_unknown_contact_can_be_swallowed(api):
    api.behave(unknown_contact="swallow")

    answer = api.send(contactId=api.nobody)

    assert answer.status_code == 202
    assert answer.json()["id"]
    assert api.stored() == []


@pytest.mark.parametrize("contact_id", [None, "", "anna@example.com", 7])
def test_a_contact_id_that_is_no_guid_is_refused(api, contact_id):
    answer = api.send(contactId=contact_id)

    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "InvalidContactId"


def test_a_contact_id_is_the_same_in_upper_case(api):
    assert api.send(contactId=api.anna.upper()).json()["self"]["contactId"] == api.anna
    assert len(api.read().json()["items"]) == 1


@pytest.mark.parametrize("status", [404, 400])
def test_an_unknown_schema_is_refused_by_name(api, status):
    api.behave(unknown_schema_status=status)

    answer = api.send(schemaId="nothing")

    assert answer.status_code == status
    assert answer.json()["message"] == "Schema 'nothing' not found"


def test_a_schema_id_in_another_case_is_unknown_unless_folded(api, engage):
    assert api.send(schemaId="Review").status_code == 404

    api.behave(schema_id_case="folded")

    assert api.send(schemaId="Review").status_code == 200
    assert engage.interactions()[0].schema_id == "review"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"contactId":'])
def test_a_body_that_is_no_json_object_is_refused(api, body):
    headers = {"Content-Type": "application/json"}

    answer = api.http.post("/api/v3/interactions", content=body, headers=headers)

    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "NoData"


def test_created_date_is_shown_as_utc_with_milliseconds(api):
    api.send(createdDate="2026-05-23T13:13:42.0749999+02:00")

    assert api.read().json()["items"][0]["createdDate"] == "2026-05-23T11:13:42.074Z"


def test_created_date_without_a_zone_is_utc(api):
    api.send(createdDate="2026-05-23T13:13:42")

    assert api.read().json()["items"][0]["createdDate"] == "2026-05-23T13:13:42.000Z"


def test_created_date_can_be_kept_as_sent(api):
    api.behave(created_date="as_sent")
    api.send(createdDate="2026-05-23T13:13:42+02:00")

    assert api.read().json()["items"][0]["createdDate"] == "2026-05-23T13:13:42+02:00"


def test_created_date_is_now_when_it_is_left_out(api, clock):
    api.send()

    created = datetime.fromisoformat(api.read().json()["items"][0]["createdDate"])
    assert created.timestamp() == clock()


@pytest.mark.parametrize("sent", ["2023-05-23711:13:42.074Z", "yesterday", "2026-05-23", 7, ""])
def test_a_malformed_created_date_is_refused(api, sent):
    answer = api.send(createdDate=sent)

    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "ValidationError"


def test_error_bodies_can_be_empty(api):
    api.behave(error_body="empty")

    answer = api.send(contactId=api.nobody)

    assert answer.status_code == 404
    assert answer.content == b""


def test_errors_carry_the_envelope(api):
    body = api.send(contactId=api.nobody).json()

    assert set(body) == {"errorCode", "message", "messageDetails", "requestId"}
