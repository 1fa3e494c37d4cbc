"""Batches: taken over, processed later, asked about, and everything that can go wrong there."""

import json
from typing import Any

import pytest

from tests.sandbox.mxo.conftest import BATCH, Api, a_record

SOME = [a_record(f"c{number}") for number in range(10)]


def test_a_batch_takes_effect_later(api: Api) -> None:
    answer = api.post(SOME)

    assert (answer.status_code, answer.json()) == (200, {"batchId": BATCH})
    assert api.status().json() == {
        "batchId": BATCH,
        "status": "QUEUED",
        "total": 10,
        "processed": 0,
        "failed": 0,
    }
    assert api.effects() == {}
    api.pass_time(5)
    assert api.effects() == {f"c{number}": 1 for number in range(10)}
    assert api.status().json()["status"] == "COMPLETED"
    assert api.errors().json() == []


def test_records_are_processed_one_by_one_and_not_in_their_order(api: Api) -> None:
    api.behave(process_time=10)
    api.post(SOME)
    seen = []
    for _ in range(10):
        api.pass_time(1.5)
        seen.append(api.status().json()["processed"])

    references = [each["reference"] for each in api.http.get("/sandbox/interactions").json()]
    assert seen[-1] == 10
    assert any(0 < number < 10 for number in seen)
    assert sorted(references) == [f"c{number}" for number in range(10)] != references


def test_lines_are_taken_as_well(api: Api) -> None:
    lines = "\n".join(json.dumps(each) for each in SOME)
    path = f"/batchv2/interactions/{api.sandbox.site_key}"
    headers = {"Content-Type": "application/x-ndjson", "batchId": BATCH}

    assert api.call("POST", path, content=lines, headers=headers).status_code == 200
    api.http.post("/sandbox/finish")
    assert api.truth()["effects"] == 10


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"headers": {"workspaceId": ""}}, 400),
        ({"headers": {"workspaceId": "other"}}, 403),
        ({"site": "other"}, 404),
        ({"headers": {"Content-Type": "text/plain"}}, 400),
    ],
)
def test_headers_and_site_key(api: Api, options: dict[str, Any], status: int) -> None:
    assert api.post(SOME, **options).status_code == status
    assert api.http.get("/sandbox/batches").json() == []


@pytest.mark.parametrize(
    ("switches", "number", "status"),
    [
        ({}, 0, 400),
        ({}, 5000, 200),
        ({}, 5001, 400),
        ({"too_many_status": 413}, 5001, 413),
        ({"most_records": 3}, 4, 400),
        ({"most_bytes": 500}, 10, 413),
    ],
)
def test_how_much_a_batch_may_hold(
    api: Api, switches: dict[str, Any], number: int, status: int
) -> None:
    api.behave(**switches)

    assert api.post([a_record(f"c{n}") for n in range(number)]).status_code == status
    api.http.post("/sandbox/finish")
    assert api.truth()["effects"] == (number if status == 200 else 0)


@pytest.mark.parametrize(
    ("changes", "switches", "valid"),
    [
        ({}, {}, True),
        ({"uri": None}, {}, False),
        ({"timestamp": None}, {}, False),
        ({"timestamp": "yesterday"}, {}, False),
        ({"timestamp": 1_795_000_000_000}, {}, False),
        ({"customerKey": None}, {}, True),
        ({"properties": {"connectorRef": "c1"}}, {}, False),
        ({"properties": {"connectorRef": "c1"}}, {"properties_form": "object"}, True),
        ({"properties": {"connectorRef": "c1"}}, {"properties_form": "either"}, True),
        ({}, {"properties_form": "object"}, False),
        ({}, {"bad_customers": ["k-c1"]}, False),
        ({}, {"uris": ["a://b"], "unknown_uri": "400"}, False),
    ],
)
def test_a_record_that_is_not_valid_is_an_error_of_its_own(
    api: Api, changes: dict[str, Any], switches: dict[str, Any], valid: bool
) -> None:
    api.behave(**switches)

    assert api.post([a_record(**changes)]).status_code == 200
    api.http.post("/sandbox/finish")

    assert api.truth()["effects"] == valid
    assert len(api.errors().json()) == (not valid)
    assert api.status().json()["failed"] == (not valid)


def test_any_key_of_the_configuration_may_name_the_customer(api: Api) -> None:
    record = {**a_record(), "loyaltyId": "L1"}
    del record["customerKey"]
    api.post([record])
    api.http.post("/sandbox/finish")

    (shown,) = api.http.get("/sandbox/interactions").json()
    assert shown["customer"] == "L1"


@pytest.mark.parametrize("status", [400, 422])
def test_a_bad_record_may_refuse_the_batch(api: Api, status: int) -> None:
    api.behave(bad_record="refused", refuse_status=status)

    assert api.post([*SOME, a_record("bad", uri="")]).status_code == status
    assert api.status().status_code == 404
    api.http.post("/sandbox/finish")
    assert api.truth()["effects"] == 0


# Ids


@pytest.mark.parametrize("where", ["body", "header", "none"])
@pytest.mark.parametrize("own", ["honoured", "ignored"])
def test_where_the_id_is_told_and_whether_it_is_ours(api: Api, where: str, own: str) -> None:
    api.behave(batch_id_in=where, own_id=own, batch_status=202)

    answer = api.post(SOME)

    assert answer.status_code == 202
    told = {"body": answer.json().get("batchId"), "header": answer.headers.get("batchId")}
    assert [name for name, given in told.items() if given] == [where] * (where != "none")
    theirs = told.get(where) or BATCH
    if where != "none":
        assert (theirs == BATCH) == (own == "honoured")
        assert api.status(theirs).status_code == 200
    assert api.status(BATCH).status_code == (200 if own == "honoured" else 404)


def test_a_batch_without_an_id_gets_one(api: Api) -> None:
    assert api.status(api.post(SOME, batch_id="").json()["batchId"]).status_code == 200


@pytest.mark.parametrize(
    ("switch", "status", "effects"),
    [("twice", 200, 2), ("409", 409, 1), ("400", 400, 1), ("ignored", 200, 1)],
)
def test_the_same_id_again(api: Api, switch: str, status: int, effects: int) -> None:
    api.behave(same_id=switch)
    api.post(SOME)

    assert api.post(SOME).status_code == status
    api.http.post("/sandbox/finish")
    assert set(api.effects().values()) == {effects}


# What becomes of them


def test_a_batch_may_be_stuck_for_ever(api: Api) -> None:
    api.behave(stuck=1)
    api.post(SOME)

    api.pass_time(50)
    api.http.post("/sandbox/finish")

    assert api.status().json()["status"] == "QUEUED"
    assert api.truth()["effects"] == 0


@pytest.mark.parametrize("lists", [True, False])
def test_a_batch_may_fail_as_a_whole(api: Api, lists: bool) -> None:
    api.behave(failing=1, failing_lists=lists)
    api.post(SOME)

    api.pass_time(5)

    status = api.status().json()
    assert (status["status"], status["failed"], status["processed"]) == ("FAILED", 10, 0)
    assert len(api.errors().json()) == (10 if lists else 0)
    assert api.truth()["effects"] == 0


def test_processing_may_stop_half_way_and_go_on(api: Api) -> None:
    api.behave(crashing=1, crash_seconds=30, process_time=2)
    api.post(SOME)

    api.pass_time(20)
    assert api.truth()["effects"] == 5
    assert api.status().json()["status"] == "PROCESSING"
    api.pass_time(20)
    assert set(api.effects().values()) == {1}
    assert len(api.effects()) == 10
    assert api.status().json()["status"] == "COMPLETED"


def test_words_are_theirs(api: Api) -> None:
    words = {"queued": "in line", "running": "at it", "done": "ok", "partly": "so so"}
    api.behave(words=words, process_time=2, bad_customers=["k-c1"])
    api.post([a_record("c1"), a_record("c2")])

    seen = [api.status().json()["status"]]
    for seconds in (6, 1):
        api.pass_time(seconds)
        seen.append(api.status().json()["status"])

    assert seen == ["in line", "at it", "so so"]


def test_names_are_theirs(api: Api) -> None:
    api.behave(id_name="jobId", status_name="state", errors_form="object")

    assert api.post(SOME).json() == {"jobId": BATCH}
    assert api.status().json().keys() >= {"jobId", "state"}
    assert api.errors().json() == {"jobId": BATCH, "errors": []}


@pytest.mark.parametrize(
    ("switch", "names"),
    [
        ("plain", {"total", "processed", "failed"}),
        ("records", {"totalRecords", "processedRecords", "errorCount"}),
        ("missing", set()),
    ],
)
def test_numbers_of_the_status(api: Api, switch: str, names: set[str]) -> None:
    api.behave(counts=switch)
    api.post(SOME)

    assert api.status().json().keys() == {"batchId", "status"} | names


@pytest.mark.parametrize(
    ("switch", "entry"),
    [
        ("reference", {"record": a_record("c7")}),
        ("index", {"index": 7}),
        ("line", {"line": 8}),
        ("customer_key", {"customerKey": "k-c7"}),
        ("text", {}),
    ],
)
@pytest.mark.parametrize("form", ["array", "object", "ndjson"])
def test_errors_name_their_records_in_several_ways(
    api: Api, switch: str, entry: dict[str, Any], form: str
) -> None:
    api.behave(errors_by=switch, errors_form=form, bad_customers=["k-c7"])
    api.post(SOME)
    api.http.post("/sandbox/finish")

    answer = api.errors()

    match form:
        case "object":
            errors = answer.json()["errors"]
        case "ndjson":
            errors = [json.loads(line) for line in answer.text.splitlines()]
        case _:
            errors = answer.json()
    assert errors == [{"message": "the customer key is not valid", **entry}]


def test_the_list_of_errors_may_be_cut(api: Api) -> None:
    api.behave(errors_cut=3, bad_customers=[f"k-c{number}" for number in range(5)])
    api.post(SOME)
    api.http.post("/sandbox/finish")

    assert len(api.errors().json()) == 3
    assert api.status().json()["failed"] == 5


@pytest.mark.parametrize(("early", "status"), [("empty", 200), ("404", 404)])
def test_errors_may_be_seen_later_than_the_status(api: Api, early: str, status: int) -> None:
    api.behave(errors_delay=30, errors_early=early, bad_customers=["k-c7"])
    api.post(SOME)
    api.http.post("/sandbox/finish")

    assert api.status().json()["status"] == "COMPLETED"
    answer = api.errors()
    assert answer.status_code == status
    assert status == 404 or answer.json() == []
    api.pass_time(30)
    assert len(api.errors().json()) == 1


def test_a_batch_may_be_found_late_and_is_forgotten(api: Api) -> None:
    api.behave(status_delay=3, kept_for=20)
    api.post(SOME)

    assert api.status().status_code == 404
    api.pass_time(3)
    assert api.status().status_code == 200
    api.pass_time(2)
    assert api.status().json()["status"] == "COMPLETED"
    api.pass_time(20)
    assert api.status().status_code == 404
    assert api.errors().status_code == 404
    assert api.truth()["effects"] == 10


def test_what_is_forgotten_is_processed_again_whatever_is_said_of_the_same_id(api: Api) -> None:
    api.behave(same_id="409", kept_for=20)
    api.post(SOME)
    api.pass_time(30)

    assert api.post(SOME).status_code == 200
    api.http.post("/sandbox/finish")
    assert set(api.effects().values()) == {2}


@pytest.mark.parametrize(
    ("faults", "effects"),
    [
        ({"status_before": {503: 1}}, 0),
        ({"status_after": {503: 1}}, 10),
        ({"status_before": {413: 1}}, 0),
        ({"no_id_after": 1}, 10),
        ({"html_after": 1}, 10),
    ],
)
def test_answers_fail_before_and_after_a_batch_is_taken_over(
    api: Api, faults: dict[str, Any], effects: int
) -> None:
    api.behave(faults=faults)

    api.post(SOME)
    api.http.post("/sandbox/finish")

    assert api.truth()["effects"] == effects
    assert api.status().status_code == (200 if effects else 404)


def test_an_answer_may_be_that_of_another_batch(api: Api) -> None:
    api.post(SOME)
    api.behave(faults={"repeat_after": 1})

    answer = api.post([a_record("other")], batch_id="other")

    assert answer.json() == {"batchId": BATCH}
    assert api.status("other").status_code == 200


def test_a_batch_may_be_taken_over_late(api: Api) -> None:
    api.behave(faults={"late_commit": 1, "late_by": 60, "late_answer": "504"})

    assert api.post(SOME).status_code == 504
    api.http.post("/sandbox/finish")
    assert api.status().status_code == 404
    api.pass_time(60)
    api.fetch_token()
    assert api.status().status_code == 200
    api.pass_time(5)
    assert api.truth()["effects"] == 10


def test_status_and_errors_fail_as_they_are_told(api: Api) -> None:
    api.behave(status_faults={"status": {500: 1}}, error_faults={"html": 1})
    api.post(SOME)

    assert api.status().status_code == 500
    assert "<!doctype" in api.errors().text


def test_all_batches_are_shown(api: Api) -> None:
    api.behave(bad_customers=["k-c7"])
    api.post(SOME)
    api.http.post("/sandbox/finish")

    assert api.http.get("/sandbox/batches").json() == [
        {
            "id": BATCH,
            "status": "COMPLETED",
            "fate": "processed",
            "records": 10,
            "processed": 10,
            "errors": {"7": "the customer key is not valid"},
        }
    ]
