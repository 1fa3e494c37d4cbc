"""A changed schema is told apart from an equal one, and a change from a loss."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.definition import DIALECT, ID, Definition
from connector.rules.difference import Kind, difference, next_version, versions


def a_definition(required=(), display_name="Review", **properties):
    specs = {
        name: {"type": spec, "displayName": name} if isinstance(spec, str) else spec
        for name, spec in properties.items()
    }
    rules = {"$schema": DIALECT, "type": "object", "properties": specs}
    if required:
        rules["required"] = list(required)
    return Definition("review", display_name, rules)


SKU_AND_RATING = {"sku": "string", "rating": "integer"}
LIVE = a_definition(["sku"], **SKU_AND_RATING)


def test_an_equal_schema_differs_in_nothing():
    assert not difference(LIVE, copy.deepcopy(LIVE))
    assert difference(LIVE, LIVE).compatible


def test_the_order_of_properties_and_of_required_ones_does_not_count():
    one = a_definition(["a", "b"], a="string", b="string")
    other = a_definition(["b", "a"], b="string", a="string")

    assert not difference(one, other)


def test_1_is_1_point_0_and_not_true():
    def bounded(value):
        return a_definition(n={"type": "number", "minimum": value})

    assert not difference(bounded(1), bounded(1.0))
    assert difference(bounded(1), bounded(True))


STARS = {"type": "integer", "displayName": "Stars"}
BOUND = {"type": "integer", "displayName": "rating", "minimum": 1}


@pytest.mark.parametrize(
    ("required", "specs", "expected", "compatible"),
    [
        (["sku"], {"sku": "string", "rating": "integer", "x": "number"}, ["added x"], True),
        (["sku"], {"sku": "string"}, ["removed rating"], False),
        (["sku"], {"sku": "string", "rating": "number"}, ["retyped rating"], False),
        (["sku", "rating"], {"sku": "string", "rating": "integer"}, ["now_required rating"], True),
        ([], {"sku": "string", "rating": "integer"}, ["no_longer_required sku"], True),
        (["sku"], {"sku": "string", "rating": STARS}, ["changed rating"], True),
        (["sku"], {"sku": "string", "rating": BOUND}, ["changed rating"], True),
        (
            [],
            {"sku": "boolean", "x": "string"},
            ["removed rating", "retyped sku", "added x", "no_longer_required sku"],
            False,
        ),
    ],
)
def test_every_change_has_its_kind(required, specs, expected, compatible):
    found = difference(LIVE, a_definition(required, **specs))

    assert [f"{c.kind} {c.property}" for c in found.changes] == expected
    assert found.compatible is compatible


def test_another_display_name_is_a_change_of_the_whole():
    (change,) = difference(LIVE, a_definition(["sku"], "Other", **SKU_AND_RATING)).changes

    assert (change.kind, change.property) == (Kind.CHANGED, "")


def test_a_change_says_what_was_and_what_is():
    local = a_definition(["sku"], sku="string", rating={"type": "integer", "displayName": "Stars"})

    (change,) = difference(LIVE, local).changes

    assert change.message == "rating: displayName was rating and is Stars"


def test_another_keyword_of_the_whole_schema_is_a_change():
    local = Definition("review", "Review", {**LIVE.json_schema, "additionalProperties": False})

    (change,) = difference(LIVE, local).changes

    assert change.message == "additionalProperties is False, and was not given"


SPECS = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "boolean"])},
    optional={"minimum": st.sampled_from([0, 1, True]), "displayName": st.sampled_from("AB")},
)
DEFINITIONS = st.builds(
    lambda specs, required, name: a_definition(required, name, **specs),
    st.dictionaries(st.sampled_from("abc"), SPECS),
    st.sets(st.sampled_from("abc")),
    st.sampled_from(["Review", "Other"]),
)


@given(DEFINITIONS, DEFINITIONS)
def test_there_is_a_difference_exactly_where_the_contents_differ(live, local):
    def content(definition):
        specs = {n: sorted(map(repr, s.items())) for n, s in definition.properties.items()}
        return definition.display_name, specs, set(definition.required)

    changes = difference(live, local)
    lost_requirement = set(live.required) - set(local.required) - set(local.properties)

    if content(live) == content(local):
        assert not changes
    elif not lost_requirement:  # one of a property that no longer exists is told by its removal
        assert changes


@given(DEFINITIONS, DEFINITIONS)
def test_it_is_compatible_exactly_when_every_property_stays_with_its_type(live, local):
    stays = all(
        name in local.properties and local.properties[name]["type"] == spec["type"]
        for name, spec in live.properties.items()
    )

    assert difference(live, local).compatible is stays


@pytest.mark.parametrize(
    ("schema_id", "ids", "expected"),
    [
        ("productReview", [], "productReview_v2"),
        ("productReview", ["productReview_v2"], "productReview_v3"),
        ("productReview", ["productReview_v2", "productReview_v10"], "productReview_v11"),
        ("productReview", ["PRODUCTREVIEW_V2"], "productReview_v3"),
        ("productReview", ["ProductReview_v2"], "productReview_v3"),
        ("productReview_v2", ["productReview", "productReview_v2"], "productReview_v3"),
        ("a_v", [], "a_v_v2"),
        ("_v7", [], "_v7_v2"),
    ],
)
def test_the_next_version_has_the_next_number(schema_id, ids, expected):
    assert next_version(schema_id, ids) == expected


IDS = st.from_regex(r"[A-Za-z0-9_-]{1,3}(_v[0-9]{1,2})?", fullmatch=True)


@given(IDS, st.lists(IDS))
def test_the_next_version_is_an_allowed_id_that_none_has(schema_id, ids):
    found = next_version(schema_id, ids)

    assert ID.fullmatch(found)
    assert found.casefold() not in {other.casefold() for other in ids}
    assert versions(schema_id, [*ids, found])[-1] == found
