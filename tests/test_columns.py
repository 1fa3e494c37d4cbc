"""What a column is decides which properties it can fit, and which is proposed for it."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.rules.columns import (
    TYPE_NAMES,
    Kind,
    kind_of_type,
    kind_of_values,
    mapping_misfits,
    never_fits,
    property_name,
    proposal,
)
from connector.rules.definition import FORMATS, problems
from connector.rules.interaction import Interaction
from connector.rules.schema import Property
from tests.factories import a_schema, an_activation, mapped

K = Kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BOOLEAN", K.BOOLEAN),
        ("HUGEINT", K.INTEGER),
        ("UTINYINT", K.INTEGER),
        ("int64", K.INTEGER),
        ("DECIMAL(18,0)", K.INTEGER),
        ("DECIMAL(9,2)", K.NUMBER),
        ("DOUBLE", K.NUMBER),
        ("VARCHAR", K.TEXT),
        ("ENUM('a', 'b')", K.TEXT),
        ("DATE", K.DATE),
        ("TIMESTAMP WITH TIME ZONE", K.TIMESTAMP),
        ("TIMESTAMP_NS", K.TIMESTAMP),
        ("TIME", K.TIME_OF_DAY),
        ("UUID", K.UUID),
        ("BLOB", K.BYTES),
        ("INTERVAL", K.INTERVAL),
        ("INTEGER[]", K.NESTED),
        ("STRUCT(a INTEGER)", K.NESTED),
        ("MAP(VARCHAR, INTEGER)", K.NESTED),
        ("JSON", None),
        ('"NULL"', None),
        ("", None),
    ],
)
def test_the_warehouses_words_for_types_are_known(name, kind):
    assert kind_of_type(name) is kind


def test_every_kind_has_a_word():
    assert {kind for _, kind in TYPE_NAMES} == set(Kind)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], None),
        ([None, None], None),
        ([None, 1], K.INTEGER),
        ([True, False], K.BOOLEAN),
        ([1, 2.5], K.NUMBER),
        ([Decimal(1)], K.NUMBER),
        ([date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)], K.TIMESTAMP),
        ([1, "a"], K.TEXT),
        ([True, 1], K.TEXT),
        (["a", [1]], K.NESTED),
        ([timedelta(1), 1], K.INTERVAL),
    ],
)
def test_where_there_is_no_word_the_values_tell(values, kind):
    assert kind_of_values(values) is kind


VALUES = {
    K.BOOLEAN: st.booleans(),
    K.INTEGER: st.integers(-(2**63), 2**63 - 1),
    K.NUMBER: st.decimals(allow_nan=False, allow_infinity=False) | st.floats(),
    K.TEXT: st.text() | st.sampled_from(["2026-01-31", "2026-01-31T12:00:00Z", "a@b.se"]),
    K.DATE: st.dates(),
    K.TIMESTAMP: st.datetimes(timezones=st.just(UTC)) | st.datetimes(),
    K.TIME_OF_DAY: st.times() | st.just(time(12, tzinfo=UTC)),
    K.UUID: st.uuids(),
    K.BYTES: st.binary(),
    K.INTERVAL: st.timedeltas(),
    K.NESTED: st.lists(st.integers()),
}
TYPES = st.sets(st.sampled_from(["string", "integer", "number", "boolean"]))


@given(st.data(), st.sampled_from(list(VALUES)), TYPES, st.none() | st.sampled_from(FORMATS))
def test_what_can_never_fit_does_not(data, kind, types, form):
    """Held against the mapping itself, with values that the samples do not have."""
    value = data.draw(VALUES[kind])
    assume(never_fits(kind, Property("rating", tuple(sorted(types)), form)))
    spec: dict[str, Any] = {"type": sorted(types)} if types else {}

    content = mapped(value, **spec | ({"format": form} if form else {}))

    assert not isinstance(content, Interaction)


@pytest.mark.parametrize(
    ("kind", "types", "form", "never"),
    [
        (K.TEXT, ("integer",), None, True),
        (K.TEXT, ("string",), "date-time", False),
        (K.TEXT, (), None, False),
        (K.INTEGER, ("boolean",), None, False),
        (K.INTEGER, ("string",), "date-time", True),
        (K.NUMBER, ("integer",), None, False),
        (K.NUMBER, ("boolean",), None, True),
        (K.BOOLEAN, ("number",), None, True),
        (K.TIMESTAMP, ("string",), "date", False),
        (K.DATE, ("string",), "date-time", False),
        (K.DATE, ("integer",), None, True),
        (K.UUID, ("string",), "uuid", False),
        (K.INTERVAL, ("string",), None, True),
    ],
)
def test_only_what_can_never_fit_is_said_to(kind, types, form, never):
    assert never_fits(kind, Property("x", types, form)) is never


def test_a_column_that_can_never_fit_is_told_with_its_type_and_its_place():
    activation = an_activation(payload={"rating": "stars", "sku": "sku", "channel": {"value": "x"}})
    schema = a_schema(rating="integer", sku="string", channel="string")

    (problem,) = mapping_misfits(activation, schema, {"stars": "VARCHAR", "sku": "BIGINT"})

    assert problem.path == ("activations", "reviews", "payload", "rating")
    assert problem.message.startswith("the column stars is a text (VARCHAR), which never fits")
    assert "rating (integer)" in problem.message


def test_where_the_type_is_not_known_nothing_is_claimed():
    activation = an_activation(payload={"rating": "stars"})

    assert mapping_misfits(activation, a_schema(rating="integer"), {"stars": ""}) == []
    assert mapping_misfits(activation, a_schema(), {"stars": "VARCHAR"}) == []


def test_what_of_the_schema_is_left_unused_is_told():
    segmented = {"type": "string", "addToSegmentation": "true"}
    schema = a_schema(brand=segmented, colour=segmented, productSku="string", note="string")

    messages = [p.message for p in an_activation(payload={"brand": "b"}).advice(schema)]

    assert messages == [
        "nothing is mapped to colour, by which Engage could segment",
        "nothing is mapped to productSku, by which Engage knows the product",
    ]


def test_a_product_sku_that_is_no_string_is_told():
    activation = an_activation(payload={"productSku": "sku"})

    (problem,) = activation.advice(a_schema(productSku="integer"))

    assert "no string" in problem.message


def test_a_schema_is_proposed_for_what_an_activation_maps():
    activation = an_activation(
        payload={
            "reviewId": "review_id",
            "stars": "rating",
            "date": "written_at",
            "channel": {"value": "web"},
            "seconds": "took",
        }
    )
    kinds = {
        "review_id": K.TEXT, "rating": K.INTEGER, "written_at": K.TIMESTAMP, "took": K.INTERVAL,
        "email": K.TEXT, "other": K.TEXT,
    }  # fmt: skip

    found = proposal("productReview", kinds, activation)

    specs = found.definition.properties
    assert {name: (s["type"], s.get("format")) for name, s in specs.items()} == {
        "reviewId": ("string", None),
        "stars": ("integer", None),
        "date": ("string", "date-time"),
        "channel": ("string", None),
    }
    assert found.definition.required == ["reviewId"]
    assert specs["reviewId"]["displayName"] == "Review id"
    assert [s["sortOrder"] for s in specs.values()] == ["0", "1", "2", "3"]
    assert found.left_out == {"took": "is an interval, which an interaction cannot hold"}


def test_an_activation_without_a_payload_gets_every_column_but_the_contact():
    kinds = {"review_id": K.TEXT, "email": K.TEXT, "is_good": K.BOOLEAN, "score": None}

    found = proposal("productReview", kinds, an_activation())

    assert found.columns == {"reviewId": "review_id", "isGood": "is_good", "score": "score"}
    assert found.guessed == ["score"]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("review_id", "reviewId"),
        ("REVIEW_ID", "reviewId"),
        ("reviewId", "reviewId"),
        ("Written at", "writtenAt"),
        ("sku", "sku"),
        ("_", "_"),
    ],
)
def test_properties_are_named_as_engage_names_its_own(column, name):
    assert property_name(column) == name


@given(st.dictionaries(st.text(min_size=1), st.none() | st.sampled_from(list(Kind)), min_size=1))
def test_whatever_the_columns_are_the_proposal_breaks_no_rule(kinds):
    assume(all(name.encode("utf-8", "ignore").decode() == name for name in kinds))

    found = proposal("model", kinds)

    assert problems(found.definition.content) == []
    assert sorted([*found.columns.values(), *found.left_out]) == sorted(kinds)
