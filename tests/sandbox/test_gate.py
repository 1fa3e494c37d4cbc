"""Who is let in: key, User-Agent, Content-Type and rate."""

from email.utils import parsedate_to_datetime

import pytest

from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.gate import TokenBucket

COUNT = "/api/v3/contacts/count"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("key", ["wrong", "", "sandbox2", "ключ".encode()])
def test_a_wrong_key_is_refused(api, key, status):
    api.behave(bad_key_status=status)

    assert api.http.get(COUNT, headers={"apikey": key}).status_code == status


def test_a_missing_key_is_refused(api):
    del api.http.headers["apikey"]

    assert api.send().status_code == 401
    assert api.stored() == []


def test_the_name_of_the_key_header_has_no_case(api):
    del api.http.headers["apikey"]

    assert api.http.get(COUNT, headers={"ApiKey": "sandbox"}).status_code == 200


def test_a_key_in_the_query_is_no_key(api):
    del api.http.headers["apikey"]

    assert api.http.get(COUNT, params={"apikey": "sandbox"}).status_code == 401


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_post_without_the_content_type_is_a_500(api, content_type):
    headers = {"Content-Type": content_type} if content_type else {}

    answer = api.http.post("/api/v3/interactions", content=b"{}", headers=headers)

    assert answer.status_code == 500
    assert answer.json() == {"Message": "An error has occurred."}


def test_a_content_type_may_name_its_charset(api):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    answer = api.http.post("/api/v3/interactions", content=b"{}", headers=headers)

    assert answer.status_code == 400


def test_the_user_agent_is_noted(api, sandbox):
    api.send()

    assert sandbox.requests.entries()[0].user_agent == "Tests/1.0"


@pytest.mark.parametrize(
    ("agent", "status"), [("AcmePOS/1.5", 200), ("AcmePOS/1.5 (x)", 200), ("acme", 400), ("", 400)]
)
def test_a_strict_sandbox_wants_system_and_version(api, agent, status):
    api.behave(strict_user_agent=True)

    assert api.http.get(COUNT, headers={"User-Agent": agent}).status_code == status


def test_above_the_hard_rate_requests_are_refused(api, clock):
    api.behave(hard_rate=3)

    statuses = [api.http.get(COUNT).status_code for _ in range(5)]

    assert statuses == [200, 200, 200, 429, 429]
    clock.advance(1)
    assert api.http.get(COUNT).status_code == 200


def test_the_documented_hard_rate_is_200():
    bucket = TokenBucket(Behaviour().hard_rate or 0, now=0)

    assert [bucket.take(now=0.5) for _ in range(201)] == [True] * 200 + [False]


@pytest.mark.parametrize("rate", [0, None])
def test_the_hard_rate_can_be_off(api, rate):
    api.behave(hard_rate=rate)

    assert {api.http.get(COUNT).status_code for _ in range(250)} == {200}


def test_a_refused_request_stores_nothing_and_says_why(api):
    api.behave(hard_rate=1)

    answers = [api.send(), api.send()]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["errorCode"] == "TooManyRequests"
    assert "Retry-After" not in answers[1].headers
    assert len(api.stored()) == 1


def test_a_429_can_be_empty_and_say_when_to_come_back(api):
    api.behave(faults={"too_many": 1}, retry_after=1.5, too_many_body="empty")

    answer = api.send()

    assert answer.headers["Retry-After"] == "2"
    assert answer.content == b""


def test_a_429_can_say_when_to_come_back_as_a_date(api, clock):
    api.behave(faults={"too_many": 1}, retry_after=60, retry_after_form="date")

    answer = api.send()

    date = parsedate_to_datetime(answer.headers["Retry-After"])
    assert date.timestamp() == clock() + 60


def test_what_is_not_there_is_404_and_what_cannot_be_done_is_405(api):
    for path in ("/api/v3/nothing", "/api/v1/contacts/count", "/api/v3", "/api/v3/a/b/c"):
        assert api.http.get(path).status_code == 404
    assert api.http.put("/api/v3/interactions", json={}).status_code == 405
    assert api.http.delete("/api/v3/contacts/count").status_code == 405
