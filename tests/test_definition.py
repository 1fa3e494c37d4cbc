"""Every rule that Engage has for a schema is known before it is sent."""

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.definition import (
    DIALECT,
    Definition,
    advice,
    capitals_clash,
    definition_of,
    problems,
)
from connector.sandbox.engage.schemas import BadSchema, parse_schema

GOOD: dict[str, Any] = {
    "id": "productReview",
    "displayName": "Product review",
    "jsonSchema": {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "productSku": {
                "type": "string",
                "displayName": "SKU",
                "showInContactCard": "true",
                "addToSegmentation": "false",
                "sortOrder": "0",
            },
            "rating": {
                "type": "integer",
                "minimum": 1,
                "displayName": "Rating",
                "showInContactCard": "false",
            },
        },
        "required": ["productSku"],
    },
}
RATING = ("jsonSchema", "properties", "rating")
SKU = ("jsonSchema", "properties", "productSku")
A_PROPERTY = {"type": "string", "displayName": "P", "showInContactCard": "true"}


def changed(*path, **changes):
    """GOOD with the keys at `path` changed; a value of None removes the key."""
    content = copy.deepcopy(GOOD)
    part: Any = content
    for key in path:
        part = part[key]
    for key, value in changes.items():
        key = key.replace("S_", "$s")
        part[key] = value
        if value is None:
            del part[key]
    return content


def told(content):
    return [(p.path, p.message) for p in problems(content)]


def test_a_good_schema_has_no_problem_and_no_advice():
    assert (problems(GOOD), advice(GOOD)) == ([], [])


@pytest.mark.parametrize(
    ("content", "path", "word"),
    [
        (changed(id="Höst"), ("id",), "a-z, A-Z, 0-9"),
        (changed(id=""), ("id",), "a-z, A-Z, 0-9"),
        (changed(id="a b"), ("id",), "a-z, A-Z, 0-9"),
        (changed(id="ok\n"), ("id",), "a-z, A-Z, 0-9"),
        (changed(id=2026), ("id",), 'put it in quotes: "2026"'),
        (changed(id=None), (), '"id" is missing'),
        (changed(displayName=None), (), '"displayName" is missing'),
        (changed(displayName="  "), ("displayName",), "not empty"),
        (changed(jsonSchema=None), (), '"jsonSchema" is missing'),
        (changed(jsonSchema="{}"), ("jsonSchema",), "mapping"),
        (changed(jsonSchma={}), ("jsonSchma",), 'did you mean "jsonSchema"?'),
        (changed("jsonSchema", S_chema="draft-07"), ("jsonSchema", "$schema"), DIALECT),
        (changed("jsonSchema", S_chema=None), ("jsonSchema",), DIALECT),
        (changed("jsonSchema", type="array"), ("jsonSchema", "type"), "must be object"),
        (changed("jsonSchema", properties=None), ("jsonSchema",), "properties"),
        (changed("jsonSchema", properties=[]), ("jsonSchema", "properties"), "mapping"),
        (changed("jsonSchema", required="rating"), ("jsonSchema", "required"), "a list"),
        (changed("jsonSchema", required=["ratng"]), ("jsonSchema", "required", 0), '"rating"?'),
        (changed("jsonSchema", required=["rating"] * 2), ("jsonSchema", "required", 1), "twice"),
        (changed("jsonSchema", "properties", rating=5), RATING, "mapping"),
        (changed(*RATING, type=None), RATING, "type is missing"),
        (changed(*RATING, type="strng"), (*RATING, "type"), 'did you mean "string"?'),
        (changed(*RATING, type=["string", "null"]), (*RATING, "type"), "one of four"),
        (changed(*RATING, type="object"), (*RATING, "type"), "flat"),
        (changed(*RATING, type="array"), (*RATING, "type"), "flat"),
        (changed(*RATING, properties={}), (*RATING, "properties"), "flat"),
        (changed(*RATING, items={}), (*RATING, "items"), "flat"),
        (changed(*RATING, format=5), (*RATING, "format"), "date-time"),
        (changed(*RATING, displayName=None), RATING, "displayName is missing"),
        (changed(*RATING, displayName=""), (*RATING, "displayName"), "not empty"),
        (changed(*RATING, showInContactCard=True), (*RATING, "showInContactCard"), '"true"'),
        (changed(*RATING, addToSegmentation="yes"), (*RATING, "addToSegmentation"), '"false"'),
        (changed(*RATING, sortOrder=1), (*RATING, "sortOrder"), 'quotes: "1"'),
        (changed(*RATING, sortOrder="-1"), (*RATING, "sortOrder"), "digits"),
        (changed(*RATING, sortOrder="²"), (*RATING, "sortOrder"), "digits"),
        (changed(*RATING, minimum=math.inf), (*RATING, "minimum"), "JSON"),
        (changed(*RATING, minimum=2**70), (*RATING, "minimum"), "JSON"),
        (changed(*RATING, title="\ud800"), (*RATING, "title"), "JSON"),
        (changed(*RATING, minimum="1"), (*RATING, "minimum"), "no JSON Schema"),
        (changed(*RATING, pattern="("), (*RATING, "pattern"), "no JSON Schema"),
        (
            changed("jsonSchema", "properties", "productSku", type="integer"),
            ("jsonSchema", "properties", "productSku", "type"),
            "reserved name",
        ),
        ([], (), "mapping"),
        (None, (), "mapping"),
    ],
)
def test_each_rule_is_told_at_the_key_that_breaks_it(content, path, word):
    ((where, message),) = told(content)

    assert where == path
    assert word in message


def test_all_problems_are_told_at_once():
    content = changed(id="?", displayName="")
    content["jsonSchema"]["type"] = "array"

    assert len(problems(content)) == 3


@pytest.mark.parametrize("number", [6, 7])
def test_at_most_6_properties_may_be_segmented_whatever_their_types(number):
    spec = {"displayName": "P", "addToSegmentation": "true", "type": "boolean"}
    content = changed("jsonSchema", properties={f"p{i}": spec for i in range(number)}, required=[])

    found = told(content)

    assert [path[2:] for path, _ in found] == [("p6", "addToSegmentation")] * (number - 6)


@pytest.mark.parametrize(
    ("content", "path", "word"),
    [
        (changed(*RATING, showInContactCard=None), RATING, "showInContactCard"),
        (changed(*RATING, minimun=1), (*RATING, "minimun"), '"minimum" meant'),
        (changed("jsonSchema", requird=["a"]), ("jsonSchema", "requird"), '"required" meant'),
        (changed(*SKU, format="datetime"), (*SKU, "format"), 'did you mean "date-time"?'),
        (changed(*RATING, format="date-time"), (*RATING, "format"), "the type string only"),
        (
            changed("jsonSchema", "properties", product_sku=A_PROPERTY),
            ("jsonSchema", "properties", "product_sku"),
            "spelt productSku",
        ),
    ],
)
def test_what_breaks_no_rule_and_is_likely_not_meant_is_advised_against(content, path, word):
    assert problems(content) == []

    ((where, message),) = [(p.path, p.message) for p in advice(content)]

    assert where == path
    assert word in message


def test_ids_that_differ_in_capitals_only_clash():
    assert capitals_clash("Repair", ["repair"])
    assert capitals_clash("repair", ["repair", "wishlist"]) is None


def test_a_definition_gives_back_what_it_was_made_of():
    definition = definition_of(GOOD)

    assert definition == Definition("productReview", "Product review", GOOD["jsonSchema"])
    assert definition.content == GOOD
    assert definition.required == ["productSku"]
    assert definition.segmented == []


@pytest.mark.parametrize("content", [None, [], {}, {"id": "x"}, {**GOOD, "id": 5}])
def test_what_has_not_the_form_of_a_schema_gives_no_definition(content):
    with pytest.raises(ValueError, match="expected"):
        definition_of(content)


SPECS = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "number", "boolean", "object", 5, None])},
    optional={
        "displayName": st.sampled_from(["A", " ", 5]),
        "showInContactCard": st.sampled_from(["true", "false", True, "no"]),
        "addToSegmentation": st.sampled_from(["true", "false", False]),
        "sortOrder": st.sampled_from(["0", "12", 0, "x", ""]),
        "minimum": st.sampled_from([0, 1.5, "1"]),
        "pattern": st.sampled_from(["^a", "("]),
    },
)
CONTENTS = st.fixed_dictionaries(
    {
        "id": st.text("aZ9_-ö ", max_size=4),
        "displayName": st.sampled_from(["A", "", None]),
        "jsonSchema": st.fixed_dictionaries(
            {
                "$schema": st.sampled_from([DIALECT, "x"]),
                "type": st.sampled_from(["object", "array"]),
                "properties": st.dictionaries(
                    st.sampled_from(["a", "b", "productSku"]), SPECS, max_size=3
                ),
            },
            optional={"required": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2)},
        ),
    }
)


@given(CONTENTS)
def test_what_lint_lets_through_the_sandbox_takes(content):
    """The sandbox has the documented rules of its own, and shares no code."""
    try:
        parse_schema(content, now=0)
    except BadSchema:
        assert problems(content)
