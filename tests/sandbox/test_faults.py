"""Faults: what the caller sees, and what is stored all the same."""

import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import ValidationError

from connector.sandbox.behaviour import Faults, ReadFaults
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.faults import Dice


def fault_log(api):
    return [(entry.status, entry.fault) for entry in api.sandbox.requests.entries()]


def test_a_status_before_the_commit_stores_nothing(api):
    api.behave(faults={"status_before": {503: 1}})

    assert api.send().status_code == 503
    assert api.stored() == []
    assert fault_log(api) == [(503, "status_before 503")]


def test_a_status_after_the_commit_leaves_the_interaction_stored(api):
    api.behave(faults={"status_after": {500: 1}})

    answer = api.send()

    assert answer.status_code == 500
    assert "id" not in answer.json()
    assert len(api.stored()) == 1


def test_a_reset_before_the_commit_stores_nothing(api):
    api.behave(faults={"reset_before": 1})

    with pytest.raises(httpx.ReadError):
        api.send()

    assert api.stored() == []
    assert fault_log(api) == [(None, "reset_before")]


def test_a_reset_after_commit_leaves_the_interaction_stored(api):
    api.behave(faults={"reset_after": 1})

    with pytest.raises(httpx.ReadError):
        api.send()

    assert len(api.stored()) == 1


def test_a_reset_is_a_real_one(api):
    api.behave(faults={"reset_after": 1})
    address = urlsplit(api.sandbox.url)
    body = json.dumps({"contactId": api.anna, "schemaId": "review", "payload": {"sku": "A"}})

    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        raw.sendall(
            b"POST /api/v3/interactions HTTP/1.1\r\nHost: x\r\napikey: sandbox\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body.encode()
        )
        with pytest.raises(ConnectionResetError):
            raw.recv(1)


@pytest.mark.parametrize(("fault", "stored"), [("hang_before", 0), ("hang_after", 1)])
def test_a_hanging_request_is_never_answered(api, fault, stored):
    api.behave(faults={fault: 1})

    with pytest.raises(httpx.ReadTimeout):
        api.http.post(
            "/api/v3/interactions",
            json={"contactId": api.anna, "schemaId": "review", "payload": {"sku": "A"}},
            timeout=0.1,
        )

    assert len(api.stored()) == stored
    assert fault_log(api) == [(None, fault)]


def test_a_hanging_request_is_closed_in_the_end(api):
    api.behave(faults={"hang_after": 1, "hang_seconds": 0.05})

    with pytest.raises(httpx.RemoteProtocolError):
        api.send()

    assert len(api.stored()) == 1


def test_a_truncated_answer_is_no_json(api):
    api.behave(faults={"truncate_after": 1})

    answer = api.send()

    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert len(api.stored()) == 1


def test_a_cut_answer_ends_in_its_body(api):
    api.behave(faults={"cut_after": 1})

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        api.send()

    assert len(api.stored()) == 1


def test_a_success_can_lack_its_id_though_stored(api):
    api.behave(faults={"no_id_after": 1})

    answer = api.send()

    assert (answer.status_code, answer.json()) == (200, {})
    assert len(api.stored()) == 1


def test_a_success_can_be_an_html_page_though_stored(api):
    api.behave(faults={"html_after": 1})

    answer = api.send()

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert len(api.stored()) == 1


def test_too_many_is_not_stored(api):
    api.behave(faults={"too_many": 1})

    assert api.send().status_code == 429
    assert api.stored() == []


@pytest.mark.parametrize("answer", ["hang", "reset", "504", "id"])
def test_a_late_commit_is_stored_only_after_its_delay(api, clock, answer):
    faults = {"late_commit": 1, "late_by": 30, "late_answer": answer, "hang_seconds": 0.05}
    api.behave(faults=faults)

    match answer:
        case "hang":
            with pytest.raises(httpx.RemoteProtocolError):
                api.send()
        case "reset":
            with pytest.raises(httpx.ReadError):
                api.send()
        case "504":
            assert api.send().status_code == 504
        case "id":
            assert api.send().json()["id"]

    clock.advance(29)
    assert api.stored() == []
    assert api.read().json()["items"] == []
    clock.advance(1)
    assert len(api.stored()) == 1
    assert len(api.read().json()["items"]) == 1


def test_a_late_commit_does_not_outlive_its_schema(api, clock):
    api.behave(faults={"late_commit": 1, "late_by": 30, "late_answer": "id"})
    api.send()

    api.http.delete("/api/v3/interactionschemas/review")

    clock.advance(60)
    assert api.stored() == []


def test_late_commits_come_in_the_order_of_their_times(api, clock):
    api.behave(faults={"late_commit": 1, "late_by": 30, "late_answer": "id"})
    api.send(payload={"sku": "later"})
    api.behave(faults={"late_commit": 1, "late_by": 10, "late_answer": "id"})
    api.send(payload={"sku": "sooner"})

    clock.advance(60)

    assert [payload["sku"] for payload in api.stored()] == ["sooner", "later"]


def test_a_refusal_stays_a_refusal_when_the_answer_fails(api):
    api.behave(faults={"no_id_after": 1})

    assert api.send(contactId=api.nobody).status_code == 404


@pytest.mark.parametrize(
    ("faults", "status"), [({"too_many": 1}, 429), ({"status": {502: 1}}, 502), ({"html": 1}, 200)]
)
def test_look_ups_and_reads_can_fail_too(api, faults, status):
    api.behave(lookup_faults=faults, read_faults=faults)

    for answer in (api.find(email="anna@example.com"), api.read()):
        assert answer.status_code == status
        assert b"items" not in answer.content
        assert api.anna.encode() not in answer.content
    assert api.send().status_code == 200


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ({"reset": 1}, httpx.ReadError),
        ({"hang": 1, "hang_seconds": 0.01}, httpx.RemoteProtocolError),
    ],
)
def test_look_ups_and_reads_can_stay_unanswered(api, faults, error):
    api.behave(lookup_faults=faults, read_faults=faults)

    with pytest.raises(error):
        api.find(email="anna@example.com")
    with pytest.raises(error):
        api.read()


def test_look_ups_and_reads_can_be_truncated(api):
    api.behave(lookup_faults={"truncate": 1}, read_faults={"truncate": 1})

    for answer in (api.find(email="anna@example.com"), api.read()):
        with pytest.raises(json.JSONDecodeError):
            answer.json()


def test_an_answer_can_be_slow_while_the_work_is_done_at_once(api):
    api.behave(answer_delay=0.15)
    begin = time.monotonic()

    assert api.send().status_code == 200
    assert time.monotonic() - begin >= 0.15


def test_a_caller_that_does_not_wait_for_a_slow_answer_has_sent_all_the_same(api):
    api.behave(answer_delay=60)
    api.http.timeout = httpx.Timeout(0.1)

    with pytest.raises(httpx.ReadTimeout):
        api.send()

    assert len(api.stored()) == 1


def names(behaviour, number=1000, route="POST /interactions"):
    dice = Dice(behaviour)
    drawn = [dice.draw(route) for _ in range(number)]
    return [fault.name if fault else None for fault in drawn]


MIXED = Faults(status_before={500: 0.1, 503: 0.1}, reset_after=0.3, late_commit=0.1)


def test_the_same_seed_gives_the_same_faults():
    first = names(Behaviour(seed=7, faults=MIXED))

    assert first == names(Behaviour(seed=7, faults=MIXED))
    assert first != names(Behaviour(seed=8, faults=MIXED))


def test_shares_are_the_parts_of_the_requests():
    drawn = names(Behaviour(faults=MIXED), number=10_000)

    for name, share in [("status_before 500", 0.1), ("reset_after", 0.3), (None, 0.4)]:
        assert drawn.count(name) / 10_000 == pytest.approx(share, abs=0.02)


def test_look_ups_do_not_shift_the_faults_of_the_posts():
    behaviour = Behaviour(faults=MIXED, lookup_faults=ReadFaults(reset=0.5))
    dice = Dice(behaviour)

    mixed = []
    for _ in range(100):
        dice.draw("GET /contacts/id")
        fault = dice.draw("POST /interactions")
        mixed.append(fault.name if fault else None)

    assert mixed == names(behaviour, number=100)


def test_other_routes_never_fail():
    assert set(names(Behaviour(faults=Faults(reset_after=1)), route="GET /contacts/count")) == {
        None
    }


@pytest.mark.parametrize(
    "switches",
    [
        {"faults": {"reset_after": 1.5}},
        {"faults": {"reset_after": 0.6, "reset_before": 0.6}},
        {"faults": {"status_before": {500: 0.6, 503: 0.6}}},
        {"faults": {"status_before": {200: 1}}},
        {"lookup_faults": {"reset": 0.6, "hang": 0.6}},
        {"answer_delay": -1},
        {"page_size": 0},
        {"unheard_of": 1},
        {"faults": {"unheard_of": 1}},
    ],
)
def test_an_impossible_behaviour_is_refused(switches):
    with pytest.raises(ValidationError):
        Behaviour(**switches)


def test_every_switch_is_described():
    for model in (Behaviour, type(Behaviour().faults), type(Behaviour().read_faults)):
        for name, field in model.model_fields.items():
            assert field.description, name


def test_a_behaviour_cannot_be_changed_in_place():
    with pytest.raises(ValidationError):
        Behaviour().page_size = 3
