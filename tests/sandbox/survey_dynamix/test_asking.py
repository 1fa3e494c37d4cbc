"""Asking for surveys: what is taken, what is refused, and what persons get of it."""

from typing import Any

import httpx
import pytest

from tests.sandbox.survey_dynamix.conftest import Api


def test_a_person_gets_one_survey_when_it_is_due(api: Api) -> None:
    answer = api.ask(orderNo="4711")

    assert answer.status_code == 200
    resource = answer.json()
    assert isinstance(resource["id"], int)
    assert resource["external_ref"] == "c1"
    assert resource["scheduled_at"] == "2026-11-18 13:00:00"
    assert resource["status"] == "Not Started"
    assert api.truth()["by_reference"] == {"c1": {"stored": 1, "surveys": 0, "prevented": 0}}
    api.pass_time(3600)
    assert api.truth()["surveys"] == 1
    assert api.listed().json()[0]["status"].startswith("Sent")
    api.pass_time(86400)
    assert api.truth()["surveys"] == 1


def test_two_interactions_of_one_row_are_two_surveys(api: Api) -> None:
    api.ask()
    api.ask(_force_new="true")
    api.pass_time(3600)

    assert api.truth()["by_reference"]["c1"] == {"stored": 2, "surveys": 2, "prevented": 0}


def test_the_truth_knows_a_reference_in_the_metadata(api: Api) -> None:
    api.ask(external_ref="order 1", connector_ref="c1")

    assert list(api.truth()["by_reference"]) == ["c1"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"survey_id": ""}, 400),
        ({"survey_id": "x"}, 400),
        ({"survey_id": "7"}, 404),
        ({"survey_type": "pigeon"}, 400),
        ({"email": ""}, 400),
        ({"email": "nobody"}, 400),
        ({"survey_type": "sms"}, 400),
        ({"survey_type": "sms", "phone_number": "+46701234567"}, 200),
        ({"survey_type": "sms", "phone_number": " 46701234567"}, 400),
        ({"survey_type": "sms", "phone_number": "0701234567"}, 400),
        ({"survey_type": "web", "email": ""}, 200),
        ({"scheduled_at": "soon"}, 400),
        ({"scheduled_at": ""}, 200),
        ({"scheduled_at": "Now + 5 minutes"}, 200),
        ({"scheduled_at": "2026-11-18T13:00:00+01:00"}, 200),
        ({"order-no": "1"}, 400),
        ({"_order": "1"}, 400),
    ],
)
def test_what_is_malformed_is_refused(api: Api, changes: dict[str, str], status: int) -> None:
    answer = api.ask(**changes)

    assert answer.status_code == status
    assert len(api.sandbox.store.interactions()) == (status == 200)


def test_a_bare_plus_in_a_form_is_a_blank(api: Api) -> None:
    form = "survey_id=493&survey_type=sms&phone_number=+46701234567"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    assert api.http.post("/api/interactions", content=form, headers=headers).status_code == 400
    encoded = form.replace("+", "%2B")
    assert api.http.post("/api/interactions", content=encoded, headers=headers).status_code == 200


def test_every_other_key_is_metadata_even_a_misspelt_one(api: Api) -> None:
    made = api.ask(orderNo="4711 å", scheduled="2026-11-18 15:00:00").json()

    shown = api.http.get(f"/api/interactions/{made['id']}?_include_data=true").json()

    assert [(each["custom_key"], each["custom_value"]) for each in shown["interaction_data"]] == [
        ("orderNo", "4711 å"),
        ("scheduled", "2026-11-18 15:00:00"),
    ]


@pytest.mark.parametrize(
    ("text", "switches", "status", "kept"),
    [
        ("2026-11-18T13:00:00+01:00", {}, 200, "2026-11-18 12:00:00"),
        ("2026-11-18T13:00:00Z", {"iso_time": "400"}, 400, None),
        ("2026-11-18T23:00:00Z", {"iso_time": "local"}, 200, "2026-11-18 13:00:00"),
        ("Now + 2 Hours", {}, 200, "2026-11-18 14:00:00"),
        ("Now   5 minutes", {}, 200, "2026-11-18 12:05:00"),
        ("2026-11-18 11:00:00", {}, 200, "2026-11-18 11:00:00"),
        ("2026-11-18 11:00:00", {"past_time": "400"}, 400, None),
    ],
)
def test_times(api: Api, text: str, switches: dict[str, Any], status: int, kept: str) -> None:
    api.behave(**switches)

    answer = api.ask(scheduled_at=text)

    assert answer.status_code == status
    assert answer.json().get("scheduled_at") == kept


def test_a_past_time_is_sent_at_once(api: Api) -> None:
    api.ask(scheduled_at="2026-11-18 11:00:00")

    assert api.truth()["surveys"] == 1


@pytest.mark.parametrize("json_body", ["400", "ignored"])
def test_json_is_no_form(api: Api, json_body: str) -> None:
    api.behave(json_body=json_body)

    assert api.http.post("/api/interactions", json={"survey_id": 493}).status_code == 400


@pytest.mark.parametrize("person", ["email", "phone_number"])
def test_a_second_pending_survey_of_a_person_is_refused(api: Api, person: str) -> None:
    changes = {} if person == "email" else {"survey_type": "sms", "phone_number": "+46701234567"}
    assert api.ask(**changes).status_code == 200

    assert api.ask(**changes, external_ref="c2").status_code == 409
    assert api.ask(**changes, external_ref="c3", survey_id="511").status_code == 200
    assert api.ask(**changes, external_ref="c4", _force_new="true").status_code == 200
    api.pass_time(3600)
    assert api.ask(**changes, external_ref="c5").status_code == 200


def test_pending_may_be_about_phone_numbers_only(api: Api) -> None:
    api.behave(email_pending=False)
    api.ask()

    assert api.ask(external_ref="c2").status_code == 200


@pytest.mark.parametrize(("ends", "status"), [("sent", 200), ("started", 409)])
def test_what_pending_ends_with_is_a_switch(api: Api, ends: str, status: int) -> None:
    api.behave(pending_ends=ends, starts_after=3600)
    api.ask()
    api.pass_time(3600)

    assert api.ask(external_ref="c2", scheduled_at="").status_code == status


def test_a_restriction_prevents_a_survey_when_it_is_due(api: Api) -> None:
    api.behave(do_not_contact=["anna@example.com"])
    assert api.ask().status_code == 200

    api.pass_time(3600)

    assert api.truth()["by_reference"]["c1"] == {"stored": 1, "surveys": 0, "prevented": 1}
    assert "survey restriction" in api.listed().json()[0]["status"]


def test_a_share_of_persons_is_restricted(api: Api) -> None:
    api.behave(restricted=0.5)
    for number in range(40):
        api.ask(email=f"p{number}@example.com", external_ref=f"c{number}", scheduled_at="")

    assert 5 < api.truth()["prevented"] < 35
    assert api.truth()["prevented"] + api.truth()["surveys"] == 40


@pytest.mark.parametrize(
    ("form", "resource"),
    [
        ("bare", lambda answer: answer),
        ("wrapped", lambda answer: answer["interaction"]),
        ("list", lambda answer: answer[0]),
    ],
)
def test_the_answer_has_several_forms(api: Api, form: str, resource: Any) -> None:
    api.behave(answer_form=form, success_status=201, id_form="text", link_name="weblink")

    answer = api.ask()

    assert answer.status_code == 201
    shown = resource(answer.json())
    assert shown["id"].isdecimal()
    assert shown["weblink"]


def test_a_reference_may_be_cut_short_and_the_truth_knows_the_whole_one(api: Api) -> None:
    api.behave(reference_cut=4)

    answer = api.ask(external_ref="c123456")

    assert answer.json()["external_ref"] == "c123"
    assert list(api.truth()["by_reference"]) == ["c123456"]


@pytest.mark.parametrize(
    ("switches", "stored"),
    [
        ({"faults": {"status_before": {503: 1}}}, 0),
        ({"faults": {"status_after": {503: 1}}}, 1),
        ({"faults": {"status_before": {401: 1}}}, 0),
        ({"faults": {"no_id_after": 1}}, 1),
        ({"faults": {"html_after": 1}}, 1),
        ({"faults": {"too_many": 1}}, 0),
    ],
)
def test_answers_fail_before_and_after_storing(
    api: Api, switches: dict[str, Any], stored: int
) -> None:
    api.behave(**switches)

    api.ask()

    assert len(api.sandbox.store.interactions()) == stored


@pytest.mark.parametrize(("way", "stored"), [("reset_before", 0), ("reset_after", 1)])
def test_connections_break_before_and_after_storing(api: Api, way: str, stored: int) -> None:
    api.behave(faults={way: 1})

    with pytest.raises(httpx.TransportError):
        api.ask()

    assert len(api.sandbox.store.interactions()) == stored


def test_a_late_commit_is_there_when_its_time_has_come(api: Api) -> None:
    api.behave(faults={"late_commit": 1, "late_by": 60, "late_answer": "504"})

    assert api.ask(scheduled_at="").status_code == 504
    assert api.truth()["stored"] == 0
    api.pass_time(60)
    assert api.truth() == {
        "stored": 1,
        "surveys": 1,
        "prevented": 0,
        "by_reference": {"c1": {"stored": 1, "surveys": 1, "prevented": 0}},
    }


@pytest.mark.parametrize(("overload", "status", "stored"), [("429", 429, 1), ("503_after", 503, 2)])
def test_too_many_requests(api: Api, overload: str, status: int, stored: int) -> None:
    api.behave(hard_rate=1, overload=overload)

    assert api.ask().status_code == 200
    assert api.ask(email="bo@example.com").status_code == status
    assert len(api.sandbox.store.interactions()) == stored
