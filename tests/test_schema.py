"""What the destination would drop or ignore without a word is found before anything is sent."""

import json
import socket
from decimal import Decimal
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.schema import InteractionSchema, Property, kind_of
from tests.factories import a_schema

FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER

json_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
rules = st.sampled_from(
    [
        {"type": "string"},
        {"type": ["integer", "null"]},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 10},
        {"type": "string", "minLength": 1, "maxLength": 3},
        {"enum": ["a", 1, None]},
        {"const": True},
        {"type": "string", "format": "date"},
        {"anyOf": [{"type": "boolean"}, {"pattern": "^a"}]},
        {},
        True,
        False,
    ]
)
bodies = st.dictionaries(st.sampled_from("abcd"), json_values)


@st.composite
def schemas(draw):
    """A schema with rules for some properties and perhaps rules for the whole."""
    names = st.sampled_from("abc")
    schema = {"type": "object", "properties": draw(st.dictionaries(names, rules))}
    whole = st.sampled_from(
        [
            {},
            {"required": ["a", "b"]},
            {"additionalProperties": False},
            {"additionalProperties": {"type": "integer"}},
            {"allOf": [{"required": ["c"]}]},
            {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"dependentRequired": {"a": ["b"]}},
            {"if": {"required": ["a"]}, "then": {"properties": {"b": {"type": "string"}}}},
            {"maxProperties": 1, "propertyNames": {"enum": ["a", "b"]}},
            {"patternProperties": {"^[cd]$": {"type": "boolean"}}},
        ]
    )
    return schema | draw(whole)


@given(schemas(), bodies)
def test_a_payload_is_accepted_exactly_when_an_independent_validator_accepts_it(rules, payload):
    oracle = jsonschema.Draft202012Validator(rules, format_checker=FORMATS)

    accepted = InteractionSchema("review", rules).accepts(payload)

    assert accepted == oracle.is_valid(payload)


@given(schemas(), bodies)
def test_whatever_is_not_accepted_has_a_reason(rules, payload):
    schema = InteractionSchema("review", rules)

    reason = schema.violations(payload)

    assert bool(reason) == (not schema.accepts(payload))
    assert not reason.startswith(";")


@given(st.emails() | st.text(min_size=20) | st.integers(10**12, 10**15), rules)
def test_a_reason_never_shows_a_value(value, rule):
    reason = a_schema(rating=rule).violations({"rating": value, "other": value})

    assert str(value) not in reason


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date-time", "2018-11-13T20:20:39+00:00", "2018-11-13T20:20:39"),
        ("date", "2018-11-13", "2018-11-31"),
        ("time", "20:20:39Z", "20:20:39"),
        ("email", "anna@example.com", "anna"),
        ("uuid", "00000000-0000-0000-0000-000000000001", "1"),
        ("uri", "https://example.com/a", "example"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
        ("duration", "P3D", "3d"),
    ],
)
def test_formats_are_asserted(form, good, bad):
    schema = a_schema(rating={"type": "string", "format": form})

    assert schema.accepts({"rating": good})
    assert not schema.accepts({"rating": bad})
    assert schema.violations({"rating": bad}) == f"rating: a text breaks the rule format {form}"


def test_a_format_that_nobody_knows_is_let_through():
    assert a_schema(rating={"format": "shoe-size"}).accepts({"rating": "EU 43"})


def test_four_point_zero_is_an_integer_as_json_schema_says():
    assert a_schema(rating="integer").accepts(json.loads('{"rating": 4.0}'))


def test_a_property_that_the_schema_does_not_know_is_an_error_with_the_nearest_name():
    (problem,) = a_schema(productSku="string").mapping_problems(["productSKU"])

    assert problem.path == ("payload", "productSKU")
    assert 'no property "productSKU"' in problem.message
    assert 'did you mean "productSku"?' in problem.message


def test_a_required_property_that_is_not_mapped_is_an_error():
    schema = a_schema(["sku", "rating"], sku="string", rating="integer")

    (problem,) = schema.mapping_problems(["sku"])

    assert problem.path == ("payload",)
    assert 'requires the property "rating"' in problem.message


@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")), st.sampled_from("abcd"))
def test_a_mapping_fits_when_it_covers_what_is_required_and_adds_nothing(known, mapped, needed):
    schema = a_schema([needed], **dict.fromkeys(known, "string"))

    problems = schema.mapping_problems(mapped)

    assert bool(problems) == (not mapped <= known or needed not in mapped)


def test_properties_tell_their_types_and_format():
    schema = a_schema(
        sku="string", at={"type": ["string", "null"], "format": "date-time"}, what={"enum": [1]}
    )

    assert schema.properties == {
        "sku": Property("sku", ("string",), None),
        "at": Property("at", ("string", "null"), "date-time"),
        "what": Property("what", (), None),
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "text"},
        {"properties": 5},
        {"required": "rating"},
        {"properties": {"rating": {"pattern": "("}}},
        {"properties": {"rating": {"$ref": "#/$defs/none"}}},
    ],
)
def test_what_is_no_schema_is_refused(broken):
    with pytest.raises(ValueError):
        InteractionSchema("review", broken)


def test_a_schema_makes_us_fetch_no_url_and_read_no_file(tmp_path):
    (tmp_path / "any.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/any.json"

        for reference in (url, f"file://{tmp_path}/any.json"):
            with pytest.raises(ValueError, match="disabled"):
                InteractionSchema("review", {"$ref": reference})

        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "NULL"),
        (True, "a boolean"),
        (1, "an integer"),
        (1.5, "a number"),
        (Decimal(1), "a decimal"),
        ("", "an empty text"),
        ("anna@example.com", "a text"),
        (b"x", "bytes"),
        ([], "a list"),
        ({}, "a structure"),
        (UUID(int=1), "a uuid"),
    ],
)
def test_a_kind_says_what_a_value_is_and_not_what_it_holds(value, kind):
    assert kind_of(value) == kind
