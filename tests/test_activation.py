"""The grammar of an activation is closed, forgiving in its short forms, and keeps secrets."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from connector.destinations.engage import EngageActivation as Activation
from connector.destinations.engage import Identifier
from connector.rules.grammar import Duration, Percentage, StartAt, Zone
from tests.factories import REVIEW, an_activation

CONTACT = {"column": "email", "identifier": "email"}
LOOKUP = {"lookup": {"table": "crm.contacts"}}
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SECRET = "s3cret-anna@example.com"

duration: TypeAdapter[Any] = TypeAdapter(Duration)
percentage: TypeAdapter[Any] = TypeAdapter(Percentage)
start_at: TypeAdapter[Any] = TypeAdapter(StartAt)
zone: TypeAdapter[Any] = TypeAdapter(Zone)


def refusal(**over: Any) -> ValidationError:
    """The error that an activation with these keys brings."""
    with pytest.raises(ValidationError) as error:
        an_activation(**over)
    return error.value


def paths(error: ValidationError) -> set[str]:
    """The first key of each mistake."""
    return {str(e["loc"][0]) if e["loc"] else "" for e in error.errors()}


# --- short forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"model": "models/reviews.sql"}, {"model": {"file": "models/reviews.sql"}}),
        ({"row_key": "id"}, {"row_key": ["id"]}),
        ({"cursor": "at"}, {"cursor": {"column": "at"}}),
        ({"created_date": "at"}, {"created_date": {"column": "at"}}),
        ({"payload": {"sku": "sku"}}, {"payload": {"sku": {"column": "sku"}}}),
        ({"schedule": "*/15 * * * *"}, {"schedule": {"cron": "*/15 * * * *"}}),
        ({"limits": {"refused": "5%"}}, {"limits": {"refused": 0.05}}),
        ({"verify": "1d"}, {"verify": {"every": "1d", "sample": "100%"}}),
        ({"verify": {"every": "1d", "sample": "5%"}}, {"verify": {"every": "1d", "sample": 0.05}}),
    ],
)
def test_a_short_form_means_its_long_form(short, long):
    assert an_activation(**short) == an_activation(**long)


def test_what_is_left_out_has_a_careful_default():
    activation = an_activation()

    assert activation.contact.wait == timedelta(days=3)
    assert (activation.limits.rows, activation.limits.refused) == (None, None)
    assert not activation.paused
    assert activation.cursor is None
    assert activation.created_date is None
    assert activation.schedule is None


@pytest.mark.parametrize("key", ["model", "schema_id", "row_key", "start", "contact"])
def test_what_decides_what_is_sent_has_no_default(key):
    with pytest.raises(ValidationError, match="Field required"):
        Activation.model_validate({k: v for k, v in REVIEW.items() if k != key})


def test_a_lookup_tells_what_the_column_holds():
    contact = an_activation(contact={"column": "who"} | LOOKUP).contact

    assert (contact.identifier, contact.word, contact.needs_look_up) == (None, "who", True)
    assert contact.lookup is not None
    assert (contact.lookup.table, contact.lookup.key, contact.lookup.contact_id) == (
        "crm.contacts",
        None,
        "contact_id",
    )
    in_a_file = an_activation(contact={"column": "who", "lookup": "a.sql"}).contact.lookup
    assert in_a_file is not None
    assert in_a_file.file == "a.sql"


@pytest.mark.parametrize("identifier", Identifier)
def test_a_contact_may_be_identified_in_each_way(identifier):
    contact = {"column": "who", "identifier": identifier.value}

    assert an_activation(contact=contact).contact.identifier is identifier


def test_constants_keep_their_type():
    values = {"a": "web", "b": True, "c": 1, "d": 1.5, "e": "1"}

    activation = an_activation(payload={k: {"value": v} for k, v in values.items()})

    kept = {name: field.value for name, field in activation.payload.items()}
    assert json.dumps(kept) == json.dumps(values)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "over",
    [
        {"rowkey": "id"},
        {"model": {"table": "t", "query": "q"}},
        {"cursor": {"column": "at", "lookback": "1h"}},
        {"contact": CONTACT | {"country": "SE"}},
        {"created_date": {"column": "at", "format": "iso"}},
        {"payload": {"sku": {"column": "sku", "default": "none"}}},
        {"schedule": {"cron": "* * * * *", "at": "noon"}},
        {"limits": {"row": 5}},
        {"verify": {"every": "1d", "share": "5%"}},
    ],
)
def test_an_unknown_key_is_refused_wherever_it_stands(over):
    assert [e["type"] for e in refusal(**over).errors()] == ["extra_forbidden"]


@pytest.mark.parametrize(
    ("over", "hint"),
    [
        ({"model": {}}, "exactly one of sql, table and dbt"),
        ({"model": {"file": None}}, "exactly one of sql, table and dbt"),
        ({"model": {"sql": "select 1", "table": "t"}}, "exactly one of sql, table and dbt"),
        ({"payload": {"sku": {}}}, "exactly one of column and value"),
        ({"payload": {"sku": {"value": None}}}, "exactly one of column and value"),
        ({"payload": {"sku": {"column": "c", "value": 1}}}, "exactly one of column and value"),
        ({"payload": {"sku": {"value": float("nan")}}}, "finite"),
        ({"payload": {"sku": {"value": float("inf")}}}, "finite"),
        ({"payload": {"sku": {"value": 2**63}}}, "64 bits"),
        ({"schedule": {}}, "exactly one of cron and every"),
        ({"schedule": {"cron": "* * * * *", "every": "1h"}}, "exactly one of cron and every"),
        ({"schedule": {"every": 0}}, "1s or longer"),
        ({"verify": {}}, "exactly one of cron and every"),
        ({"verify": {"sample": "5%"}}, "exactly one of cron and every"),
        ({"verify": {"cron": "* * * * *", "every": "1h"}}, "exactly one of cron and every"),
        ({"verify": {"every": "100ms"}}, "a duration such as"),
        ({"verify": {"every": 0}}, "1s or longer"),
        ({"verify": {"every": "1d", "sample": "120%"}}, "a share such as 5%"),
        ({"row_key": []}, "at least 1 item"),
        ({"row_key": ["a", "a"]}, "twice"),
        ({"row_key": ""}, "at least 1 character"),
        ({"contact": CONTACT | {"identifier": "phone"}}, "'mobilePhone'"),
        ({"contact": {"column": "who"}}, "expected identifier (one of contactId, email, "),
        ({"contact": CONTACT | {"lookup": {"key": "email"}}}, "exactly one of sql, table and dbt"),
        ({"contact": CONTACT | LOOKUP | {"identifier": "contactId"}}, "needs no lookup"),
        ({"contact": CONTACT | LOOKUP | {"contact_type": "Member"}}, "choose the contacts in it"),
        ({"limits": {"rows": -1}}, "greater than or equal to 0"),
        ({"start": "2026-01-01T00:00:00Z"}, "needs a cursor"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_was_expected(over, hint):
    error = refusal(**over)

    assert hint in str(error)
    assert paths(error) <= {*over, ""}


@pytest.mark.parametrize(
    "over",
    [
        {"model": {"sql": "select 1", "table": SECRET}},
        {"model": [SECRET]},
        {"schema_id": [SECRET]},
        {"row_key": [SECRET, SECRET]},
        {"row_key": {"a": SECRET}},
        {"cursor": {"column": "at", "overlap": SECRET}},
        {"cursor": {"column": "at", "timezone": SECRET}},
        {"cursor": {"column": "at", "more": SECRET}},
        {"start": SECRET},
        {"start": [SECRET]},
        {"contact": SECRET},
        {"contact": CONTACT | {"identifier": SECRET}},
        {"contact": CONTACT | {"wait": SECRET}},
        {"created_date": [SECRET]},
        {"payload": SECRET},
        {"payload": {"sku": [SECRET]}},
        {"payload": {"sku": {"value": [SECRET]}}},
        {"payload": {"sku": {"column": "sku", "value": SECRET}}},
        {"schedule": {"cron": SECRET, "every": "1h"}},
        {"schedule": {"every": SECRET}},
        {"limits": {"rows": SECRET}},
        {"limits": {"refused": SECRET}},
        {"paused": SECRET},
        {"unknown": SECRET},
    ],
)
def test_a_mistake_never_shows_what_was_written(over):
    error = refusal(**over)

    assert SECRET not in str(error)
    assert SECRET not in repr(error.errors(include_input=False))


@given(
    st.dictionaries(
        st.sampled_from([*Activation.model_fields, "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["column", "value", "every", "sql"]), inner)
            ),
        ),
    )
)
def test_whatever_is_written_is_understood_or_refused(over):
    try:
        activation = an_activation(**over)
    except ValidationError:
        return

    assert an_activation(**over) == activation


# --- durations, shares, times and zones ----------------------------------------------------------


@given(st.integers(0, 10**6), st.sampled_from("smhd"), st.sampled_from(["", " "]))
def test_a_duration_is_a_number_and_a_unit(number, unit, space):
    assert duration.validate_python(f"{number}{space}{unit}") == timedelta(**{UNITS[unit]: number})


@pytest.mark.parametrize("nothing", [0, "0", "0s", 0.0, timedelta(0)])
def test_nothing_is_a_duration_too(nothing):
    assert duration.validate_python(nothing) == timedelta(0)


@pytest.mark.parametrize(
    "value", [5, -1, "5", "-5s", "5w", "1h30m", "s", "", None, True, False, [], "9" * 20 + "d"]
)
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValidationError, match="expected a duration"):
        duration.validate_python(value)


@given(st.text(max_size=8) | st.text("0123456789.smhd ", max_size=400))
def test_no_text_breaks_the_reading_of_a_duration(text):
    try:
        read = duration.validate_python(text)
    except ValidationError:
        return

    assert read >= timedelta(0)


@pytest.mark.parametrize(
    ("value", "overlap"), [("2h", timedelta(hours=2)), (500, 500), (0, 0), ("0", timedelta(0))]
)
def test_an_overlap_is_a_duration_or_a_whole_number(value, overlap):
    cursor = an_activation(cursor={"column": "at", "overlap": value}).cursor

    assert cursor is not None
    assert cursor.overlap == overlap


@pytest.mark.parametrize("value", [-1, 1.5, True, "5", "all"])
def test_what_is_no_overlap_is_refused(value):
    assert "expected a duration" in str(refusal(cursor={"column": "at", "overlap": value}))


@given(st.integers(0, 10_000))
def test_a_percentage_is_a_share_of_a_hundred(hundredths):
    written = f"{hundredths / 100}%"

    assert percentage.validate_python(written) == pytest.approx(hundredths / 10_000)
    assert percentage.validate_python(hundredths / 10_000) == hundredths / 10_000


@pytest.mark.parametrize(
    ("text", "share"), [("0.05", 0.05), (".5", 0.5), ("1", 1.0), ("0", 0.0), (".5%", 0.005)]
)
def test_a_share_is_the_same_as_the_text_that_a_variable_gives(text, share):
    assert percentage.validate_python(text) == pytest.approx(share)


@pytest.mark.parametrize(
    "value",
    [
        5,
        "5",
        "1.5",
        "-0.1",
        "1e-1",
        "nan",
        "101%",
        "-1%",
        1.01,
        -0.1,
        float("nan"),
        True,
        None,
        "%",
    ],
)
def test_what_is_no_share_is_refused(value):
    with pytest.raises(ValidationError, match="expected a share"):
        percentage.validate_python(value)


@pytest.mark.parametrize("word", ["all", "now"])
def test_start_is_a_word(word):
    assert start_at.validate_python(word) == word


@given(st.datetimes(timezones=st.just(UTC) | st.just(ZoneInfo("Europe/Stockholm"))))
def test_start_is_a_time_with_its_zone(moment):
    assume(moment.utcoffset() % timedelta(minutes=1) == timedelta(0))

    for written in (moment, moment.isoformat(), moment.isoformat(" ").replace("+00:00", "Z")):
        read = start_at.validate_python(written)
        assert read.isoformat() == moment.isoformat()


@pytest.mark.parametrize(
    "value",
    ["2026-01-01T00:00:00", "2026-01-01", datetime(2026, 1, 1)],  # noqa: DTZ001
)
def test_a_start_without_a_zone_is_refused(value):
    with pytest.raises(ValidationError, match="a time without a zone"):
        start_at.validate_python(value)


@pytest.mark.parametrize("value", ["yesterday", "ALL", "", None, 5, True, [], {}])
def test_what_is_no_start_is_refused(value):
    with pytest.raises(ValidationError, match="expected all, now, or a time"):
        start_at.validate_python(value)


def test_a_zone_is_known_by_its_name():
    assert zone.validate_python("Europe/Stockholm") == ZoneInfo("Europe/Stockholm")


@pytest.mark.parametrize(
    "value", ["Europe/Lund", "Europe", "../etc/passwd", "/etc/passwd", "a\x00", "", 1, None, []]
)
def test_what_is_no_zone_is_refused(value):
    with pytest.raises(ValidationError, match="expected the name of a time zone"):
        zone.validate_python(value)


@pytest.mark.parametrize("value", ["localtime", "posixrules", "Factory", "right/UTC", "posix/UTC"])
def test_a_zone_that_is_another_one_on_each_machine_is_refused(value):
    with pytest.raises(ValidationError, match="UTC; this one is not the same on every machine"):
        zone.validate_python(value)


def test_the_zone_that_is_meant_is_named():
    with pytest.raises(ValidationError, match='did you mean "Europe/Stockholm"'):
        zone.validate_python("right/Europe/Stockholm")


# --- an activation as a whole --------------------------------------------------------------------


def test_an_activation_bears_the_name_under_which_it_stands():
    activation = an_activation("repairs")

    assert activation.name == "repairs"
    assert activation.named("reviews").name == "reviews"
    assert activation.name == "repairs"


def test_an_activation_does_not_change_after_it_was_read():
    with pytest.raises(ValidationError, match="frozen"):
        an_activation().start = "now"


def test_every_column_is_known_by_where_it_is_written():
    activation = an_activation(
        row_key=["sku", "customer"],
        cursor="at",
        created_date="at",
        payload={"rating": "stars", "channel": {"value": "web"}},
    )

    assert activation.columns == {
        ("row_key", 0): "sku",
        ("row_key", 1): "customer",
        ("cursor",): "at",
        ("contact", "column"): "email",
        ("created_date",): "at",
        ("payload", "rating"): "stars",
    }


def test_columns_take_the_spelling_of_the_model_and_nothing_else_changes():
    written = {"row_key": ["sku", "who"], "created_date": "at", "payload": {"rating": "stars"}}
    activation = an_activation("repairs", cursor={"column": "at", "overlap": "2h"}, **written)

    respelt = activation.respelt({c: c.upper() for c in activation.columns.values()})

    assert respelt.columns == {path: c.upper() for path, c in activation.columns.items()}
    back = respelt.respelt({c.upper(): c for c in activation.columns.values()})
    assert back == activation
    assert respelt.cursor is not None
    assert (back.name, respelt.cursor.overlap) == ("repairs", timedelta(hours=2))


@pytest.mark.parametrize(
    "over",
    [
        {},
        {"model": "models/reviews.sql", "cursor": "at", "start": "2026-01-01T00:00:00Z"},
        {"row_key": ["a", "b"], "contact": CONTACT | {"wait": "3d"}},
        {"contact": {"column": "who", "lookup": "maps/contacts.sql"}},
        {"contact": CONTACT | {"lookup": {"sql": "select 1", "key": "k", "contact_id": "id"}}},
        {"payload": {"a": "a", "b": {"value": 1}}, "schedule": {"every": "15m", "jitter": 0}},
        {"cursor": {"column": "at", "overlap": 100}, "limits": {"refused": "5%", "rows": 1}},
    ],
)
def test_the_grammar_for_editors_accepts_what_we_accept(over):
    editors = jsonschema.Draft202012Validator(Activation.model_json_schema())

    assert an_activation(**over)
    assert list(editors.iter_errors(REVIEW | over)) == []
