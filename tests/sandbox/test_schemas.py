"""The interactionschemas routes and the rules of schemas."""

import pytest

ROUTE = "/api/v3/interactionschemas"


def test_a_schema_is_registered_listed_and_shown(api, a_schema_body):
    body = a_schema_body("visit_2-x")

    answer = api.http.post(ROUTE, json=body)

    assert answer.status_code == 200
    assert answer.json()["id"] == "visit_2-x"
    assert answer.json()["self"]["href"] == f"{ROUTE}/visit_2-x"
    assert answer.json()["self"]["created"]
    assert api.http.get(f"{ROUTE}/visit_2-x").json() == body
    assert api.http.get(ROUTE).json() == [
        {"id": "review", "displayName": "Review"},
        {"id": "visit_2-x", "displayName": "Review"},
    ]


@pytest.mark.parametrize("status", [404, 400])
def test_an_unknown_schema_cannot_be_shown_or_deleted(api, status):
    api.behave(unknown_schema_status=status)

    assert api.http.get(f"{ROUTE}/nothing").status_code == status
    assert api.http.delete(f"{ROUTE}/nothing").json()["message"] == "Schema 'nothing' not found"


def properties(**rules):
    return {"properties": rules, "required": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"id": "with space"},
        {"id": "ä"},
        {"id": None},
        {"displayName": " "},
        {"displayName": None},
        {"jsonSchema": None},
        {"jsonSchema": "{}"},
    ],
)
def test_a_schema_needs_an_id_a_name_and_rules(api, a_schema_body, changes):
    answer = api.http.post(ROUTE, json={**a_schema_body("new"), **changes})

    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "ValidationError"


@pytest.mark.parametrize(
    "rules",
    [
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"type": "array"},
        {"properties": None},
        {"properties": []},
        {"required": "sku"},
        {"required": [1]},
        {"required": ["missing"]},
        properties(a="string"),
        properties(a={}),
        properties(a={"type": "object"}),
        properties(a={"type": "array"}),
        properties(a={"type": ["string", "null"]}),
        properties(a={"type": "string", "pattern": "("}),
        properties(a={"type": "string", "showInContactCard": True}),
        properties(a={"type": "string", "addToSegmentation": "yes"}),
        properties(a={"type": "string", "sortOrder": 1}),
        properties(a={"type": "string", "$ref": "http://127.0.0.1:9/elsewhere"}),
        properties(productSku={"type": "integer"}),
    ],
)
def test_a_schema_that_breaks_a_rule_is_refused(api, a_schema_body, rules):
    answer = api.http.post(ROUTE, json=a_schema_body("new", **rules))

    assert answer.status_code == 400
    assert answer.json()["validationErrors"]
    assert len(api.http.get(ROUTE).json()) == 1


def test_all_problems_are_named_at_once(api):
    answer = api.http.post(ROUTE, json={"id": "?", "jsonSchema": {"type": "object"}})

    assert len(answer.json()["validationErrors"]) == 4


def test_the_status_of_a_refused_schema_can_be_422(api):
    api.behave(schema_refuse_status=422)

    assert api.http.post(ROUTE, json={}).status_code == 422


@pytest.mark.parametrize("status", [409, 400])
@pytest.mark.parametrize("schema_id", ["review", "Review"])
def test_an_id_is_used_once_whatever_its_case(api, a_schema_body, schema_id, status):
    api.behave(schema_exists_status=status)

    answer = api.http.post(ROUTE, json=a_schema_body(schema_id))

    assert answer.status_code == status
    assert answer.json()["errorCode"] == "InteractionSchemaExists"


def test_there_are_at_most_15_schemas(api, a_schema_body):
    for number in range(14):
        assert api.http.post(ROUTE, json=a_schema_body(f"s{number}")).status_code == 200

    assert api.http.post(ROUTE, json=a_schema_body("last")).status_code == 400
    api.behave(schema_limits=False)
    assert api.http.post(ROUTE, json=a_schema_body("last")).status_code == 200


def test_at_most_6_properties_are_segmented(api, a_schema_body):
    segmented = {"type": "string", "addToSegmentation": "true"}
    six = properties(**{f"p{number}": segmented for number in range(6)})
    seven = properties(**{f"p{number}": segmented for number in range(7)})

    assert api.http.post(ROUTE, json=a_schema_body("six", **six)).status_code == 200
    assert api.http.post(ROUTE, json=a_schema_body("seven", **seven)).status_code == 400
    api.behave(schema_limits=False)
    assert api.http.post(ROUTE, json=a_schema_body("seven", **seven)).status_code == 200


@pytest.mark.parametrize("status", [200, 204])
def test_deleting_a_schema_deletes_its_interactions_for_good(api, a_schema_body, status):
    api.behave(delete_status=status)
    api.http.post(ROUTE, json=a_schema_body("other"))
    api.send(schemaId="other", payload={"sku": "stays"})
    path = f"/api/v3/interactions/{api.send().json()['id']}"

    assert api.http.delete(f"{ROUTE}/review").status_code == status

    assert api.http.delete(f"{ROUTE}/review").status_code == 404
    assert api.http.post(ROUTE, json=a_schema_body()).status_code == 200
    assert api.http.get(path).status_code == 404
    assert api.read().json()["items"] == []
    assert api.stored() == [{"sku": "stays"}]


def test_a_schema_made_again_must_keep_its_properties(api, a_schema_body):
    api.http.delete(f"{ROUTE}/review")
    fewer = a_schema_body(properties={"sku": {"type": "string"}})

    refused = api.http.post(ROUTE, json=fewer)

    assert refused.status_code == 400
    assert "property 'rating' of the former schema 'review' is missing" in refused.text
    api.behave(backward_compatible=False)
    assert api.http.post(ROUTE, json=fewer).status_code == 200


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_both_versions_create_list_show_and_delete(api, a_schema_body, version):
    route = f"/api/{version}/interactionschemas"

    made = api.http.post(route, json=a_schema_body("new"))

    assert made.status_code == 200
    assert made.json()["id"] == "new"
    assert made.json()["self"]["href"] == f"{route}/new"
    assert {"id": "new", "displayName": "Review"} in api.http.get(route).json()
    assert api.http.get(f"{route}/new").json() == a_schema_body("new")
    assert api.http.delete(f"{route}/new").status_code == 200
    assert api.http.get(f"{route}/new").status_code == 404


def test_a_schema_can_show_late(api, clock, a_schema_body):
    api.behave(schema_delay=5)
    clock.advance(5)

    assert api.http.post(ROUTE, json=a_schema_body("new")).status_code == 200

    assert api.http.get(f"{ROUTE}/new").status_code == 404
    assert [each["id"] for each in api.http.get(ROUTE).json()] == ["review"]
    assert api.http.post(ROUTE, json=a_schema_body("new")).status_code == 409
    clock.advance(5)
    assert api.http.get(f"{ROUTE}/new").status_code == 200


@pytest.mark.parametrize(
    ("fault", "done"),
    [({"status_before": {503: 1}}, False), ({"status_after": {500: 1}}, True)],
)
def test_making_and_deleting_a_schema_can_fail_before_and_after(api, a_schema_body, fault, done):
    api.behave(schema_faults=fault)

    assert api.http.post(ROUTE, json=a_schema_body("new")).status_code >= 500
    assert api.http.delete(f"{ROUTE}/review").status_code >= 500

    assert [each["id"] for each in api.http.get(ROUTE).json()] == (["new"] if done else ["review"])
    assert api.send().status_code == (404 if done else 200)
