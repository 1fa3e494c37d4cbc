"""What a probe measures is a switch of the sandbox: each answer that an Engage could give."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from connector.sandbox.engage.behaviour import Behaviour
from tests.sandbox.conftest import Api

SENT = "2026-11-01T10:20:30.123456+02:00"


def shown(api: Api, sent: httpx.Response) -> dict[str, Any]:
    content: dict[str, Any] = api.http.get(f"/api/v3/interactions/{sent.json()['id']}").json()
    return content


@pytest.mark.parametrize(
    ("switches", "kept"),
    [
        ({}, "2026-11-01T08:20:30.123Z"),
        ({"created_date": "as_sent", "created_date_precision": "seconds"}, SENT),
        ({"created_date_precision": "seconds"}, "2026-11-01T08:20:30Z"),
        ({"created_date_precision": "microseconds"}, "2026-11-01T08:20:30.123456Z"),
        ({"created_date_offset": "kept"}, "2026-11-01T10:20:30.123+02:00"),
        ({"created_date_offset": "none"}, "2026-11-01T08:20:30.123"),
    ],
)
def test_of_a_created_date_is_kept_what_the_switches_say(
    api: Api, switches: dict[str, Any], kept: str
) -> None:
    api.behave(**switches)

    assert shown(api, api.send(createdDate=SENT))["createdDate"] == kept


def test_without_a_created_date_it_is_now_and_as_precise(api: Api) -> None:
    api.behave(created_date_precision="seconds")

    now = shown(api, api.send())["createdDate"]

    assert datetime.fromisoformat(now).microsecond == 0
    assert "." not in now


def test_a_property_that_the_schema_has_not_can_be_stored_or_refused(api: Api) -> None:
    payload = {"sku": "A", "colour": "red"}
    api.behave(unknown_property="stored")
    stored = shown(api, api.send(payload=payload))
    api.behave(unknown_property="refused", refuse_status=422)
    refused = api.send(payload=payload)

    assert stored["payload"] == payload
    assert refused.status_code == 422
    assert "colour" in refused.text


def test_what_breaks_its_schema_can_be_stored(api: Api) -> None:
    api.behave(breaking="store")

    assert shown(api, api.send(payload={"rating": 4}))["payload"] == {"rating": 4}


def test_what_is_about_nobody_can_be_stored_or_dropped_without_an_id(api: Api) -> None:
    api.behave(unknown_contact="store")
    stored = shown(api, api.send(contactId=api.nobody))
    api.behave(unknown_contact="no_id")
    dropped = api.send(contactId=api.nobody)

    assert stored["contactId"] == api.nobody
    assert dropped.status_code == 202
    assert "id" not in dropped.json()


def test_an_equal_interaction_can_be_answered_with_the_id_of_the_first(api: Api) -> None:
    api.behave(equal_twice="one")

    first, second = api.send(createdDate=SENT), api.send(createdDate=SENT)
    other = api.send(createdDate=SENT, payload={"sku": "B"})

    assert first.json()["id"] == second.json()["id"] != other.json()["id"]
    assert api.stored() == [{"sku": "A"}, {"sku": "B"}]


@pytest.mark.parametrize("status", [404, 410, 200, 204])
def test_a_second_deletion_is_answered_as_the_switch_says(api: Api, status: int) -> None:
    api.behave(delete_again=status)
    path = f"/api/v3/interactions/{api.send().json()['id']}"

    first, second = api.http.delete(path), api.http.delete(path)

    assert (first.status_code, second.status_code) == (200, status)
    assert api.http.delete(f"/api/v3/interactions/{api.nobody}").status_code == 404


def test_pages_can_come_in_no_order_of_time_and_still_hold_everything_once(api: Api) -> None:
    api.behave(page_order="other", page_size=3)
    sent = [api.send().json()["id"] for _ in range(10)]

    found, token = list[str](), None
    while True:
        page = api.read(**({"continuation": token} if token else {}))
        found += [each["id"] for each in page.json()["items"]]
        if (token := api.token_of(page)) is None:
            break

    assert sorted(found) == sorted(sent)
    assert found not in (sent, sent[::-1])


@pytest.mark.parametrize("status", [500, 415, 400, "taken"])
def test_without_a_content_type_a_post_is_answered_as_the_switch_says(
    api: Api, status: int | str
) -> None:
    api.behave(without_content_type=status)
    body = b'{"contactId": "%s", "schemaId": "review", "payload": {"sku": "A"}}'

    answer = api.http.post("/api/v3/interactions", content=body % api.anna.encode())

    assert answer.status_code == (200 if status == "taken" else status)


@pytest.mark.parametrize("status", ["taken", 400, 403, 406])
def test_without_a_user_agent_a_request_is_answered_as_the_switch_says(
    api: Api, status: int | str
) -> None:
    api.behave(without_user_agent=status)
    del api.http.headers["user-agent"]

    assert api.read().status_code == (200 if status == "taken" else status)


def test_switches_may_say_how_they_were_measured() -> None:
    measured = '{"page_size": 7, "measured": {"answers": []}}'

    assert Behaviour.model_validate_json(measured) == Behaviour(page_size=7)
