"""A row becomes exactly what the schema takes, without loss, or says why it cannot."""

# ruff: noqa: DTZ001, DTZ901 -- times without a zone are what warehouses return

import base64
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import jsonschema
import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from connector.rules.errors import ConfigurationError
from connector.rules.interaction import Interaction, Invalid, differences
from connector.rules.mapping import RowMapper, key_text, to_moment
from connector.rules.values import Unreadable
from tests.factories import STOCKHOLM, a_mapper, a_schema, an_activation, columns_of, mapped

HUGEINT = 2**127 - 1
NEW_YORK = ZoneInfo("America/New_York")
FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER


class Colour(Enum):
    RED = "red"
    FOUR = 4


def made(result: Interaction | Invalid) -> Interaction:
    """A row that became an interaction."""
    assert isinstance(result, Interaction)
    return result


def reason(result: Interaction | Invalid) -> str:
    """The reason of a row that did not."""
    assert isinstance(result, Invalid)
    return result.reason


def sent(value: Any, **spec: Any) -> Any:
    """`value` as it is sent for a property with the rules `spec`."""
    result = mapped(value, **spec)
    assert isinstance(result, Interaction), result
    return json.loads(result.payload)["rating"]


def refused(value: Any, **spec: Any) -> str:
    """Why `value` is not sent for a property with the rules `spec`."""
    result = mapped(value, **spec)
    assert isinstance(result, Invalid), result
    return result.reason


# --- what a warehouse may return, and what a schema may want -------------------------------------

zones = st.sampled_from(
    [UTC, timezone(timedelta(hours=-9, minutes=-30)), timezone(timedelta(hours=14)), NEW_YORK]
    + [ZoneInfo(name) for name in ("Europe/Stockholm", "Asia/Kathmandu", "Australia/Lord_Howe")]
)
texts = st.text() | st.text(st.characters(exclude_categories=())) | st.text("0123456789eE.-+ ")
local_times = st.datetimes()
instants = st.datetimes(timezones=zones)
times_as_text = st.builds(
    lambda moment, separator, z: moment.isoformat(separator).replace("+00:00", z),
    local_times | instants,
    st.sampled_from("T "),
    st.sampled_from(["Z", "+00:00", " +00"]),
)
numbers = (
    st.integers(-HUGEINT, HUGEINT)
    | st.integers(-10, 10)
    | st.floats()
    | st.decimals()
    | st.decimals(min_value=-(10**20), max_value=10**20, places=2)
    | st.integers(-100, 100).map(lambda n: Decimal(n).quantize(Decimal("0.00")))
)
scalars = (
    st.none()
    | st.booleans()
    | numbers
    | texts
    | times_as_text
    | st.emails()
    | st.dates()
    | st.dates().map(str)
    | local_times
    | local_times.map(lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0))
    | instants
    | st.times()
    | st.times(timezones=st.just(UTC))
    | st.timedeltas()
    | st.uuids()
    | st.uuids().map(str)
    | st.binary()
    | st.binary().map(bytearray)
    | st.binary().map(lambda held: memoryview(held))
    | st.sampled_from(Colour)
    | st.builds(object)
)
nested = st.lists(scalars) | st.dictionaries(texts, scalars) | st.tuples(scalars, scalars)
values = scalars | nested

formats = st.sampled_from(["date-time", "date", "time", "uuid", "email", "duration", "ipv4"])
specs = st.one_of(
    st.sampled_from(["string", "integer", "number", "boolean"]).map(lambda t: {"type": t}),
    st.builds(lambda f: {"type": "string", "format": f}, formats),
    st.lists(
        st.sampled_from(["string", "integer", "number", "boolean", "null"]), min_size=1, unique=True
    ).map(lambda types: {"type": types}),
    st.sampled_from(
        [
            {},
            {"format": "date-time"},
            {"enum": ["red", 4, True]},
            {"type": "integer", "minimum": 1, "maximum": 5},
            {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5},
            {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]*$"},
            {"type": "array"},
        ]
    ),
)


def survives(value: Any, told: Any, zone: ZoneInfo) -> bool:
    """Whether `told`, read from the JSON with exact decimals, still says what `value` says."""
    match value:
        case Enum():
            return survives(value.value, told, zone)
        case bool():
            return told in (value, "true" if value else "false")
        case float():
            return float(told) == value
        case int() | Decimal():
            return Decimal(told) == value
        case str():
            return told == value or survives(as_time(value), told, zone)
        case datetime() if len(told) == len("2026-01-31"):
            return datetime.fromisoformat(told) == value.replace(tzinfo=None)
        case datetime() if value.tzinfo:
            return datetime.fromisoformat(told).astimezone(UTC) == value.astimezone(UTC)
        case datetime():
            return clocks_show(datetime.fromisoformat(told), zone) == value
        case date() if len(told) > len("2026-01-31"):
            return clocks_show(datetime.fromisoformat(told), zone) == datetime.combine(
                value, time()
            )
        case date() | time():
            return type(value).fromisoformat(told) == value
        case UUID():
            return UUID(told) == value
        case bytes() | bytearray() | memoryview():
            return base64.b64decode(told, validate=True) == bytes(value)
    return False


def clocks_show(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def as_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace(" +", "+").replace(" Z", "Z"))


# --- for any value and any property --------------------------------------------------------------


@given(values, specs)
@example(datetime.min, {"type": "string", "format": "date"})
@example(datetime.max, {"type": "string"})
@example(Decimal("sNaN"), {"type": "integer"})
@example(Decimal("1e400"), {"type": "number"})
@example(10**400, {"type": "number"})
@example(-(2**63), {"type": "integer"})
@example(2**53 + 1, {"type": "number"})
@example("\ud800", {"type": "string"})
@example(1, {"type": ["boolean", "integer"]})
@example("2026-01-31 12:00:00.1234567+01", {"type": "string", "format": "date-time"})
@example(datetime(1, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), {"type": "string"})
def test_every_value_is_sent_whole_and_fits_the_schema_or_the_row_is_invalid(value, spec):
    result = mapped(value, **spec)

    if isinstance(result, Invalid):
        assert result.reason.startswith("rating: ")
        return
    payload = json.loads(result.payload, parse_float=Decimal)
    if value is None:
        assert payload == {}
        return
    assert payload.keys() == {"rating"}
    assert isinstance(payload["rating"], str | bool | int | Decimal)
    assert survives(value, payload["rating"], STOCKHOLM)
    oracle = jsonschema.Draft202012Validator(spec, format_checker=FORMATS)
    assert oracle.is_valid(json.loads(result.payload)["rating"])


@given(st.lists(st.tuples(values, specs), max_size=6))
def test_only_mapped_properties_are_sent_and_never_a_null(pairs):
    schema = a_schema(**{f"p{i}": spec for i, (_, spec) in enumerate(pairs)}, unmapped="string")
    mapper = a_mapper(schema, payload={f"p{i}": f"c{i}" for i in range(len(pairs))})

    result = mapper(["r1", "anna@example.com", *(value for value, _ in pairs)])

    if isinstance(result, Interaction):
        payload = json.loads(result.payload)
        assert payload.keys() == {
            f"p{i}" for i, (value, _) in enumerate(pairs) if value is not None
        }
        assert None not in payload.values()


@given(st.lists(st.tuples(values, specs), max_size=6))
def test_a_row_is_sent_exactly_when_each_of_its_properties_fits(pairs):
    alone = [isinstance(mapped(value, **spec), Interaction) for value, spec in pairs]
    schema = a_schema(**{f"p{i}": spec for i, (_, spec) in enumerate(pairs)})
    mapper = a_mapper(schema, payload={f"p{i}": f"c{i}" for i in range(len(pairs))})

    result = mapper(["r1", "anna@example.com", *(value for value, _ in pairs)])

    assert isinstance(result, Interaction) == all(alone)


@given(values, specs, st.permutations(["review_id", "email", "rating", "another"]))
def test_the_same_row_gives_the_same_bytes(value, spec, columns):
    row = {"review_id": "r1", "email": "anna@example.com", "rating": value, "another": "x"}
    schema = a_schema(rating=spec)
    activation = an_activation(payload={"rating": "rating"})

    first = RowMapper(activation, schema, list(row), STOCKHOLM)(list(row.values()))
    again = RowMapper(activation, schema, columns, STOCKHOLM)([row[c] for c in columns])

    assert first == again


@given(values)
def test_without_a_schema_every_value_takes_its_natural_form(value):
    mapper = a_mapper(payload={"rating": "rating"})

    result = mapper(["r1", "anna@example.com", value])

    if isinstance(result, Interaction) and value is not None:
        told = json.loads(result.payload, parse_float=Decimal)["rating"]
        assert survives(value, told, STOCKHOLM)


recognisable = st.one_of(
    st.emails(),
    st.integers(10**9, 10**30),
    st.decimals(min_value=10**9, max_value=10**15, places=3),
    st.floats(1e9, 1e15),
    st.integers(10**9, 10**12).map(lambda n: f"call me on {n}"),
    st.uuids(),
    st.dates(),
    local_times,
    instants,
    st.binary(min_size=8),
    st.lists(st.emails(), min_size=1),
)


@given(recognisable, specs)
def test_a_reason_never_shows_the_value(value, spec):
    result = mapped(value, **spec)

    assume(isinstance(result, Invalid))
    assert str(value) not in reason(result)
    assert repr(value) not in reason(result)


@given(st.emails() | st.text(min_size=12), st.lists(st.emails(), min_size=1) | st.floats(1e9, 1e15))
def test_a_reason_never_shows_the_contact(contact, other):
    mapper = a_mapper(a_schema(rating="boolean"), payload={"rating": "rating"})

    results = [mapper(["r1", contact, "not a boolean"]), mapper(["r1", [contact], True])]
    results.append(mapper(["r1", other, True]))

    for result in results:
        if isinstance(result, Invalid):
            assert contact not in result.reason
            assert str(other) not in result.reason


# --- each type -----------------------------------------------------------------------------------


@pytest.mark.parametrize("four", [4, 4.0, Decimal(4), Decimal("4.00"), Decimal("0.4E1")])
def test_a_number_without_a_fraction_becomes_an_integer(four):
    assert json.dumps(sent(four, type="integer")) == "4"


@pytest.mark.parametrize("value", [4.5, Decimal("4.01"), Decimal("1e-30")])
def test_a_number_with_a_fraction_does_not_fit_an_integer(value):
    assert "fraction does not fit an integer" in refused(value, type="integer")


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, 2**53 + 1])
def test_every_integer_of_64_bits_is_sent_exactly(value):
    assert sent(value, type="integer") == value


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, HUGEINT, Decimal(2**63), 1e300])
def test_a_larger_integer_is_invalid(value):
    assert "64 bits" in refused(value, type="integer")


def test_a_float_that_has_lost_its_last_digits_is_no_integer():
    assert "lost" in refused(2.0**60, type="integer")


def test_a_hugeint_is_sent_whole_as_text():
    assert sent(HUGEINT, type="string") == str(HUGEINT)


@pytest.mark.parametrize("value", [Decimal("0.1"), Decimal("99.90"), Decimal("1E+30"), 10**30, 0.1])
def test_a_number_that_survives_a_double_is_sent_as_a_number(value):
    assert Decimal(repr(float(sent(value, type="number")))) == Decimal(str(value))


@pytest.mark.parametrize("value", [Decimal("0.12345678901234567890"), 2**53 + 1, HUGEINT, 10**400])
def test_a_number_of_more_digits_than_a_double_keeps_is_invalid(value):
    assert "more digits" in refused(value, type="number")


@pytest.mark.parametrize("kind", ["integer", "number", "string", "boolean"])
@pytest.mark.parametrize("name", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_invalid(name, kind):
    assert refused(Decimal(name), type=kind)
    assert refused(float(name.removeprefix("s")), type=kind)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("99.90"), "99.90"),
        (Decimal("1E+5"), "100000"),
        (1e22, "10000000000000000000000"),
        (4.0, "4.0"),
        (7, "7"),
        (True, "true"),
        (b"\xff\x00", "/wA="),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Colour.FOUR, "4"),
        (date(2026, 1, 31), "2026-01-31"),
        (time(12, 30), "12:30:00"),
        (datetime(2018, 11, 13, 20, 20, 39, tzinfo=UTC), "2018-11-13T20:20:39+00:00"),
        (datetime(2018, 11, 13, 20, 20, 39), "2018-11-13T20:20:39+01:00"),
    ],
)
def test_each_type_has_one_form_as_text(value, text):
    assert sent(value, type="string") == text


@pytest.mark.parametrize(("value", "truth"), [(True, True), (False, False), (1, True), (0, False)])
def test_booleans_and_their_numbers_become_booleans(value, truth):
    assert sent(value, type="boolean") is truth


@pytest.mark.parametrize("value", [2, -1, 1.0, "true", "1", ""])
def test_nothing_else_is_a_boolean(value):
    assert refused(value, type="boolean")


@pytest.mark.parametrize("kind", ["integer", "number", "boolean"])
@pytest.mark.parametrize("value", ["4", "4.0", "true", "NaN", ""])
def test_text_is_never_read_as_something_else(value, kind):
    assert f"does not fit a{'n' * (kind == 'integer')} {kind}" in refused(value, type=kind)


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_a_boolean_is_no_number(kind):
    assert "a boolean does not fit" in refused(True, type=kind)


@pytest.mark.parametrize(
    "types", [["boolean", "integer"], ["string", "integer"], ["null", "string", "number"]]
)
def test_where_several_types_are_taken_a_number_stays_a_number(types):
    assert sent(1, type=types) == 1
    assert sent(1, type=types) is not True


@pytest.mark.parametrize("value", [[], [1], (1,), {1}, {}, {"a": 1}])
@pytest.mark.parametrize("kind", ["string", "array", "object"])
def test_lists_and_structures_are_refused_since_an_interaction_is_flat(value, kind):
    assert "flat" in refused(value, type=kind)


def test_an_interval_asks_for_a_cast():
    assert "cast it" in refused(timedelta(days=1), type="string")


def test_null_leaves_the_property_out():
    assert mapped(None, type="string") == Interaction("anna@example.com", None, b"{}")


def test_null_for_a_required_property_is_invalid():
    mapper = a_mapper(a_schema(["rating"], rating="integer"), payload={"rating": "rating"})

    result = mapper(["r1", "anna@example.com", None])

    assert result == Invalid("rating: required, and the row has no value for it")


def test_a_constant_is_sent_as_it_is_written():
    mapper = a_mapper(a_schema(channel="string"), payload={"channel": {"value": "web"}})

    assert made(mapper(["r1", "anna@example.com"])).payload == b'{"channel":"web"}'


def test_half_a_surrogate_pair_is_invalid_and_names_its_property():
    assert refused("\ud800", type="string") == "rating: a text that is no Unicode"


def test_a_value_that_breaks_a_rule_names_the_rule():
    spec = {"type": "integer", "maximum": 5}

    assert refused(Decimal("6.0"), **spec) == "rating: an integer breaks the rule maximum 5"


# --- times ---------------------------------------------------------------------------------------


@given(local_times, st.sampled_from([STOCKHOLM, NEW_YORK, ZoneInfo("Australia/Lord_Howe")]))
@example(datetime(2026, 3, 29, 2, 30), STOCKHOLM)
@example(datetime(2026, 10, 25, 2, 30), STOCKHOLM)
def test_a_local_time_becomes_the_instant_at_which_its_clocks_show_it(value, zone):
    result = mapped(value, zone, type="string", format="date-time")

    if isinstance(result, Interaction):
        moment = datetime.fromisoformat(json.loads(result.payload)["rating"])
        assert clocks_show(moment, zone) == value
    elif datetime.min + timedelta(days=2) < value < datetime.max - timedelta(days=2):
        for fold in (0, 1):
            guess = value.replace(tzinfo=zone, fold=fold).astimezone(UTC)
            assert clocks_show(guess, zone) != value


def test_a_local_time_that_the_clocks_skipped_is_invalid():
    reason = refused(datetime(2026, 3, 29, 2, 30), type="string", format="date-time")

    assert "never was: clocks in Europe/Stockholm skipped it" in reason


def test_a_local_time_that_the_clocks_showed_twice_is_the_first_of_the_two():
    twice = datetime(2026, 10, 25, 2, 30)

    assert sent(twice, type="string", format="date-time") == "2026-10-25T02:30:00+02:00"


def test_a_time_keeps_its_offset_and_its_microseconds():
    moment = datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45)))

    assert sent(moment, type="string") == "2026-01-31T12:00:00.000001+05:45"


def test_an_offset_with_seconds_is_sent_in_utc_since_rfc_3339_has_none():
    moment = datetime(1850, 1, 1, 12, tzinfo=timezone(timedelta(hours=1, seconds=14)))

    assert sent(moment, type="string", format="date-time") == "1850-01-01T10:59:46+00:00"


def test_a_date_becomes_midnight_where_a_time_is_wanted():
    told = sent(date(2026, 7, 1), type="string", format="date-time")

    assert told == "2026-07-01T00:00:00+02:00"


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-24T01:00:00+03:00"),
        ("America/Santiago", date(2026, 9, 6), "2026-09-06T01:00:00-03:00"),
        ("America/Toronto", date(1919, 3, 31), "1919-03-31T00:30:00-04:00"),
        ("America/Havana", date(2026, 11, 1), "2026-11-01T00:00:00-04:00"),  # it has two midnights
    ],
)
def test_a_day_without_a_midnight_begins_when_the_clocks_have_gone_past_it(zone, day, begins):
    result = mapped(day, ZoneInfo(zone), type="string", format="date-time")

    assert isinstance(result, Interaction)
    assert json.loads(result.payload)["rating"] == begins
    # a text is what SQLite has
    assert to_moment(day.isoformat(), ZoneInfo(zone), ()).isoformat() == begins


@pytest.mark.parametrize("midnight", [datetime(2026, 4, 24), "2026-04-24 00:00:00"])
def test_a_midnight_that_the_clocks_skipped_is_invalid_as_any_such_time(midnight):
    result = mapped(midnight, ZoneInfo("Africa/Cairo"), type="string", format="date-time")

    assert isinstance(result, Invalid)


def test_a_day_that_never_was_is_invalid():
    told = mapped(date(2011, 12, 30), ZoneInfo("Pacific/Apia"), type="string", format="date-time")

    assert isinstance(told, Invalid)


def test_midnight_becomes_a_date_where_a_date_is_wanted():
    assert sent(datetime(2026, 7, 1), type="string", format="date") == "2026-07-01"


def test_a_time_with_hours_does_not_fit_a_date():
    assert "hours" in refused(datetime(2026, 7, 1, 12), type="string", format="date")


@pytest.mark.parametrize("form", ["date", "date-time", None])
def test_what_could_not_be_read_is_invalid_with_its_column_and_kind(form):
    spec = {"type": "string", "format": form} if form else {"type": "string"}

    reason = refused(Unreadable("an infinite time"), **spec)

    assert reason == "rating: the column rating holds an infinite time"


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31 12:00",
        "2026-01-31 12:00:00",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00+01",
        "2026-01-31T12:00:00+0100",
    ],
)
def test_a_text_that_holds_a_time_gets_its_offset(text):
    assert sent(text, type="string", format="date-time") == "2026-01-31T12:00:00+01:00"


def test_a_text_of_nanoseconds_is_not_cut_short_in_silence():
    reason = refused("2026-01-31 12:00:00.123456789", type="string", format="date-time")

    assert "more digits than microseconds" in reason
    assert sent("2026-01-31 12:00:00.123456000", type="string", format="date-time") == (
        "2026-01-31T12:00:00.123456+01:00"
    )


def test_a_time_of_day_without_an_offset_does_not_fit_the_format_time():
    assert "without an offset" in refused(time(12), type="string", format="time")
    assert sent(time(12, tzinfo=UTC), type="string", format="time") == "12:00:00+00:00"


def test_a_time_without_a_zone_that_nothing_explains_is_a_mistake_in_the_configuration():
    mapper = a_mapper(a_schema(rating="string"), None, payload={"rating": "rating"})

    with pytest.raises(ConfigurationError, match="times without a zone") as error:
        mapper(["r1", "anna@example.com", datetime(2026, 1, 31)])

    assert error.value.problems[0].path == ("activations", "reviews", "payload", "rating")


def test_the_zone_of_a_column_comes_before_that_of_the_warehouse():
    column = {"column": "rating", "timezone": "America/New_York"}
    mapper = a_mapper(a_schema(rating="string"), payload={"rating": column})

    result = mapper(["r1", "anna@example.com", datetime(2026, 1, 31)])

    assert made(result).payload == b'{"rating":"2026-01-31T00:00:00-05:00"}'


# --- created_date, cursor and contact ------------------------------------------------------------


@given(local_times | instants | st.dates() | times_as_text)
@example(datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))))
@example(datetime(1, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))))
def test_the_creation_time_is_the_instant_of_its_column_in_utc(value):
    result = a_mapper(created_date="reviewed_at")(["r1", "anna@example.com", value])

    if isinstance(result, Interaction):
        assert result.created is not None
        assert result.created.endswith("Z")
        assert survives(value, result.created, STOCKHOLM)
    else:
        assert result.reason.startswith("created_date: ")


@pytest.mark.parametrize("value", [None, 1700000000, "yesterday", "2026-13-01 00:00:00", True, []])
def test_a_row_without_a_usable_creation_time_is_invalid(value):
    result = a_mapper(created_date="reviewed_at")(["r1", "anna@example.com", value])

    assert reason(result).startswith("created_date: ")


def test_a_row_whose_cursor_is_null_is_invalid():
    result = a_mapper(cursor="reviewed_at")(["r1", None, "anna@example.com"])

    assert reason(result).startswith("cursor: the column is NULL")


def test_every_reason_is_told_at_once():
    mapper = a_mapper(
        a_schema(a="integer", b="boolean"),
        cursor="at",
        created_date="made",
        payload={"a": "a", "b": "b"},
    )

    result = mapper(["r1", None, None, None, "x", "y"])

    labels = [reason.split(":")[0] for reason in reason(result).split("; ")]
    assert labels == ["cursor", "contact", "created_date", "a", "b"]


@pytest.mark.parametrize(
    ("value", "contact"),
    [
        (" anna@example.com\n", "anna@example.com"),
        (46701234567, "46701234567"),
        (46701234567.0, "46701234567"),
        (Decimal("46701234567.00"), "46701234567"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_contact_is_its_identifier_as_text(value, contact):
    assert made(a_mapper()(["r1", value])).contact == contact


@pytest.mark.parametrize(
    "value",
    ["", " ", "a\x00b", "\ud800", 4.5, float("nan"), Decimal("sNaN"), None, True, b"x", [], {}],
)
def test_what_identifies_no_contact_makes_the_row_invalid(value):
    assert reason(a_mapper()(["r1", value])).startswith("contact: ")


@pytest.mark.parametrize("value", [datetime(2026, 1, 31), date(2026, 1, 31), timedelta(1)])
def test_a_time_identifies_no_contact_whatever_the_zone(value):
    assert "cast it" in reason(a_mapper(zone=None)(["r1", value]))


@given(scalars)
def test_an_interaction_always_has_a_digest_whatever_its_contact(contact):
    result = a_mapper()(["r1", contact])

    assert isinstance(result, Invalid) or len(result.digest) == 24


@given(scalars, local_times | instants | times_as_text)
def test_an_interaction_always_has_the_digest_of_what_will_be_read_back(value, created):
    mapper = a_mapper(a_schema(x={}), created_date="at", payload={"x": "x"})
    result = mapper(["r1", "anna@example.com", created, value])

    if isinstance(result, Interaction):
        assert result.created is not None
        at, payload = datetime.fromisoformat(result.created), orjson.loads(result.payload)
        assert differences(result.digest, at, payload) == []


# --- row keys ------------------------------------------------------------------------------------

awkward = st.text("|\\ab", max_size=4)
same_number_of_texts = st.integers(1, 3).flatmap(
    lambda n: st.tuples(st.tuples(*[awkward] * n), st.tuples(*[awkward] * n))
)
usable = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=50),
    st.integers(-HUGEINT, HUGEINT),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    st.booleans(),
    st.dates(),
    st.times(),
    local_times,
    instants,
    st.just(datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
    st.uuids(),
    st.binary(max_size=50),
)
one_kind = st.sampled_from(
    [
        st.integers(-HUGEINT, HUGEINT),
        st.floats(allow_nan=False, allow_infinity=False),
        st.decimals(allow_nan=False, allow_infinity=False, places=3),
        st.decimals(-1, 1, places=1) | st.sampled_from([Decimal("-0.0"), Decimal("0.10")]),
        st.dates(),
        local_times,
        instants,
        st.booleans(),
        st.uuids(),
        st.binary(max_size=3),
    ]
).flatmap(lambda kind: st.tuples(kind, kind))


@given(same_number_of_texts)
@example((("a|", "b"), ("a", "|b")))
@example((("a\\", "b"), ("a", "\\b")))
@example((("a\\|b", ""), ("a\\", "b|")))
def test_two_different_composite_keys_never_give_one_text(pair):
    first, second = pair

    assert (key_text(first) == key_text(second)) == (first == second)


@given(one_kind)
@example((0.0, -0.0))
@example((Decimal("-0.00"), Decimal(0)))
@example((1e16, 1e17))
@example((Decimal(100), Decimal("1E+2")))
def test_two_values_give_one_key_exactly_when_the_warehouse_holds_them_for_equal(pair):
    first, second = pair

    assert (key_text([first]) == key_text([second])) == (first == second)


@given(st.lists(usable, min_size=1, max_size=3))
def test_every_usable_value_identifies_a_row(parts):
    key = key_text(parts)

    assert key is not None
    assert len(key) <= 1000


@pytest.mark.parametrize("four", [4, 4.0, Decimal(4), Decimal("4.0"), Decimal("4.00")])
def test_a_number_is_one_key_however_many_zeros_it_has(four):
    assert key_text([four]) == "4"
    assert key_text([four, four]) == "4|4"


def test_one_instant_is_one_key_in_every_zone():
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)

    assert key_text([moment]) == key_text([moment.astimezone(NEW_YORK)])


@pytest.mark.parametrize(
    "value",
    [None, float("nan"), float("inf"), Decimal("sNaN"), Decimal("-Infinity"), "a\x00b", "\ud800"],
)
def test_what_cannot_identify_a_row_gives_no_key(value):
    assert key_text([value]) is None
    assert key_text(["a", value]) is None


def test_a_key_that_is_longer_than_any_index_takes_is_none():
    assert key_text(["x" * 1000]) is not None
    assert key_text(["x" * 1001]) is None


def test_the_mapper_reads_the_row_key_in_the_order_in_which_it_is_written():
    activation = an_activation(row_key=["sku", "customer"])
    mapper = RowMapper(activation, None, ["customer", *columns_of(activation)], STOCKHOLM)

    assert mapper.key(["ignored", "sku-1", "c|1", "anna@example.com"]) == r"sku-1|c\|1"
