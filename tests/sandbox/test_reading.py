"""GET and DELETE of interactions: pages, tokens, visibility."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.store import Engage

SCHEMA = {
    "id": "s",
    "displayName": "S",
    "jsonSchema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {},
    },
}


def pages(api):
    """All pages of Anna's reviews, by their tokens."""
    answers = [api.read()]
    while token := api.token_of(answers[-1]):
        answers.append(api.read(continuation=token))
    return [[item["payload"]["sku"] for item in answer.json()["items"]] for answer in answers]


def send_many(api, number):
    for each in range(number):
        assert api.send(payload={"sku": str(each)}).status_code == 200


def test_one_interaction_is_read_by_its_id(api):
    sent = api.send(createdDate="2026-05-23T11:13:42.074Z").json()

    answer = api.http.get(f"/api/v3/interactions/{sent['id']}")

    assert answer.status_code == 200
    assert answer.json() == {
        "id": sent["id"],
        "contactId": api.anna,
        "schemaId": "review",
        "createdDate": "2026-05-23T11:13:42.074Z",
        "payload": {"sku": "A"},
    }


def test_an_interaction_that_is_not_there_is_404(api):
    assert api.http.get(f"/api/v3/interactions/{api.nobody}").status_code == 404
    assert api.http.delete(f"/api/v3/interactions/{api.nobody}").status_code == 404


@pytest.mark.parametrize("status", [200, 204])
def test_a_deleted_interaction_is_gone(api, status):
    api.behave(delete_status=status)
    path = f"/api/v3/interactions/{api.send().json()['id']}"

    answer = api.http.delete(path)

    assert answer.status_code == status
    assert answer.content == b""
    assert api.http.get(path).status_code == 404
    assert api.http.delete(path).status_code == 404
    assert api.read().json() == {"links": [], "items": []}


def test_both_ids_are_needed_for_a_list(api):
    for query in ({"contactId": api.anna}, {"schemaId": "review"}, {}):
        assert api.http.get("/api/v3/interactions", params=query).status_code == 400


def test_a_list_needs_a_guid_and_a_schema_that_exists(api):
    assert api.read(contactId="anna").status_code == 400
    assert api.read(schemaId="nothing").status_code == 404


def test_a_contact_without_interactions_has_an_empty_page(api):
    assert api.read(contactId=api.nobody).json() == {"links": [], "items": []}


def test_pages_hold_50_and_start_with_the_newest(api):
    send_many(api, 120)

    newest = [str(each) for each in reversed(range(120))]
    assert pages(api) == [newest[:50], newest[50:100], newest[100:]]


def test_pages_can_start_with_the_oldest(api):
    api.behave(page_order="oldest", page_size=2)
    send_many(api, 5)

    assert pages(api) == [["0", "1"], ["2", "3"], ["4"]]


@given(
    number=st.integers(0, 12),
    size=st.integers(1, 5),
    order=st.sampled_from(["newest", "oldest"]),
    late=st.lists(st.sampled_from([0, 0, 5, 9]), min_size=12, max_size=12),
)
def test_pages_hold_everything_once_and_in_order(number, size, order, late):
    now = 0.0
    engage = Engage(Behaviour(page_size=size, page_order=order), clock=lambda: now)
    engage.add_schema(SCHEMA)
    contact_id = engage.add_contact({}).id
    body = orjson.dumps({"contactId": contact_id, "schemaId": "s", "payload": {}})
    sent = [engage.receive(body, late_by).id for late_by in late[:number]]

    now = 10.0
    page = engage.page(contact_id, "s")
    read = page.items
    while page.continuation:
        assert len(page.items) == size
        page = engage.page(contact_id, "s", page.continuation)
        read = read + page.items

    assert [each.id for each in read] == (sent if order == "oldest" else sent[::-1])


def test_a_full_last_page_has_no_token(api):
    api.behave(page_size=2)
    send_many(api, 4)

    assert pages(api) == [["3", "2"], ["1", "0"]]


@pytest.mark.parametrize(("order", "second"), [("newest", ["1", "0"]), ("oldest", ["2", "3"])])
def test_a_token_stays_valid_while_interactions_come_and_go(api, order, second):
    api.behave(page_order=order, page_size=2)
    send_many(api, 4)
    first = api.read()

    api.http.delete(f"/api/v3/interactions/{first.json()['items'][-1]['id']}")
    send_many(api, 3)

    page = api.read(continuation=api.token_of(first))
    assert [item["payload"]["sku"] for item in page.json()["items"]] == second


def test_a_link_leads_to_the_next_page(api):
    api.behave(page_size=1, link_rel="nextPage")
    send_many(api, 2)

    (link,) = api.read().json()["links"]

    assert link["rel"] == "nextPage"
    assert link["method"] == "GET"
    assert api.http.get(link["href"]).json()["items"][0]["payload"] == {"sku": "0"}


@pytest.mark.parametrize("token", ["nonsense", "åäö", "YWZ0ZXI6eA=="])
def test_a_foreign_token_is_refused(api, token):
    assert api.read(continuation=token).status_code == 400


def test_a_page_can_call_its_items_data(api):
    api.behave(page_shape="data")
    send_many(api, 1)

    assert set(api.read().json()) == {"links", "data"}


def test_a_page_can_be_a_bare_array_of_everything(api):
    api.behave(page_shape="array", page_size=2)
    send_many(api, 3)

    assert [each["payload"]["sku"] for each in api.read().json()] == ["2", "1", "0"]


def test_interactions_can_be_read_only_after_a_delay(api, clock):
    api.behave(read_back_delay=10)
    path = f"/api/v3/interactions/{api.send().json()['id']}"

    clock.advance(9.9)
    assert api.read().json()["items"] == []
    assert api.http.get(path).status_code == 404
    assert len(api.stored()) == 1

    clock.advance(0.1)
    assert len(api.read().json()["items"]) == 1
    assert api.http.get(path).status_code == 200


def test_lists_are_of_one_contact_and_one_schema(api, engage, a_schema_body):
    engage.add_contact({"contactId": api.nobody})
    engage.add_schema(a_schema_body("other"))
    api.send(payload={"sku": "hers"})
    api.send(payload={"sku": "other schema"}, schemaId="other")
    api.send(payload={"sku": "other contact"}, contactId=api.nobody)

    assert pages(api) == [["hers"]]
    assert len(engage.interactions(contact_id=api.anna)) == 2
    assert len(engage.interactions(schema_id="review")) == 2
    assert len(engage.interactions(api.anna, "review")) == 1


def test_an_interaction_can_be_too_young_to_be_deleted(api, clock):
    api.behave(delete_delay=5)
    path = f"/api/v3/interactions/{api.send().json()['id']}"

    young = api.http.delete(path)
    clock.advance(5)

    assert young.status_code == 404
    assert api.http.get(path).status_code == 200
    assert api.http.delete(path).status_code == 200


@pytest.mark.parametrize(("faults", "left"), [("status_before", 1), ("status_after", 0)])
def test_deletions_can_fail_before_and_after_the_work(api, faults, left):
    path = f"/api/v3/interactions/{api.send().json()['id']}"
    api.behave(delete_faults={faults: {500: 1}})

    assert api.http.delete(path).status_code == 500
    assert len(api.stored()) == left


def test_single_interactions_can_be_unreadable_too(api):
    path = f"/api/v3/interactions/{api.send().json()['id']}"
    api.behave(read_faults={"status": {502: 1}})

    assert api.http.get(path).status_code == 502
