"""What is sent is known again however it is written, and its time is an instant."""

import json
import re
from datetime import datetime, timedelta, timezone
from fractions import Fraction

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.interaction import Interaction, differences, instant_text

offsets = st.integers(-14 * 60, 14 * 60).map(lambda n: timezone(timedelta(minutes=n)))
instants = st.datetimes(timezones=offsets).filter(lambda moment: 1 < moment.year < 9999)
TIME = r"\d{4}-\d\d-\d\dT.*[Z0-9]"
scalars = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(["", "4", "4.0", "true", "null"]),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, 4.0, 4.5]),
    instants.map(datetime.isoformat),
)
payloads = st.dictionaries(st.sampled_from(["a", "b", "ö", "productSku"]), scalars)


@given(instants)
def test_an_instant_is_read_back_exactly(moment):
    assert datetime.fromisoformat(instant_text(moment)) == moment


@given(instants)
def test_an_instant_is_written_in_utc_as_rfc_3339_has_it(moment):
    written = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d{3}|\d{6})Z", instant_text(moment))

    assert written
    assert (len(written[1]) == 6) == (moment.microsecond % 1000 != 0)


def test_an_instant_has_milliseconds_as_engages_own_clients_write_it():
    noon = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))

    assert instant_text(noon) == "2026-01-31T11:00:00.000Z"


# --- digests --------------------------------------------------------------------------------------


def rewritten(value, rng):
    """`value` as another program may write it: the same value."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and abs(value) <= 2**53 and rng.random() < 0.5:
        return float(value)
    if isinstance(value, float) and value.is_integer() and rng.random() < 0.5:
        return int(value)
    if isinstance(value, str) and re.fullmatch(TIME, value):
        moment = datetime.fromisoformat(value)
        if 1 < moment.year < 9999:
            there = moment.astimezone(timezone(timedelta(minutes=rng.randrange(-800, 800))))
            return there.isoformat().replace("+00:00", rng.choice(["+00:00", "Z"]))
    return value


def shown(payload, rng):
    """`payload` as a destination may show it: another order, other white space, NULLs."""
    names = rng.sample(list(payload), len(payload))
    again = {name: rewritten(payload[name], rng) for name in names}
    again |= {f"null {n}": None for n in range(rng.randrange(3))}
    ascii_only = rng.random() < 0.5
    return orjson.loads(json.dumps(again, indent=rng.choice([None, 2]), ensure_ascii=ascii_only))


def meaning(value):
    """What a value says, told in another way than the digest has it."""
    if isinstance(value, bool):
        return value, "boolean"
    if isinstance(value, int | float):
        return Fraction(value), "number"
    if re.fullmatch(TIME, value):
        moment = datetime.fromisoformat(value)
        return moment.replace(microsecond=0), "time"
    return value, "text"


def meanings(payload):
    return {name: meaning(value) for name, value in payload.items() if value is not None}


def an_interaction(payload, created=None):
    return Interaction("anna@example.com", created, orjson.dumps(payload))


@given(payloads, st.none() | instants, st.randoms(use_true_random=False))
def test_a_digest_is_that_of_what_is_read_back_however_it_is_written(payload, created, rng):
    digest = an_interaction(payload, created and instant_text(created)).digest

    assert differences(digest, created, shown(payload, rng)) == []


@given(payloads, payloads)
def test_two_payloads_have_one_digest_exactly_when_their_values_agree(one, other):
    same = meanings(one) == meanings(other)

    assert (an_interaction(one).digest == an_interaction(other).digest) == same
    assert (differences(an_interaction(one).digest, None, other) == []) == same


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"a": 4}, {"a": 4.5}),
        ({"a": 4}, {"a": "4"}),
        ({"a": 1}, {"a": True}),
        ({"a": "x"}, {"a": "X"}),
        ({"a": "x"}, {"a": "x "}),
        ({"a": "x"}, {"b": "x"}),
        ({"a": "x"}, {}),
        ({"a": "x"}, {"a": None}),
        ({"a": "x"}, {"a": "x", "b": 0}),
        ({"a": 2**53 + 1}, {"a": float(2**53)}),
        ({"a": "2026-01-31T12:00:00Z"}, {"a": "2026-01-31T12:00:01Z"}),
        ({"a": "2026-01-31T12:00:00Z"}, {"a": "2026-01-31T12:00:00+01:00"}),
        ({"a": "2026-01-31T12:00:00"}, {"a": "2026-01-31T12:00:00Z"}),
        ({"a": "1970-01-01T00:01:00Z"}, {"a": 60}),
        ({"a": "2026-02-30T12:00:00Z"}, {"a": "2026-02-30T12:00:00+00:00"}),
        ({"a": "räksmörgås"}, {"a": "rÃ¤ksmÃ¶rgÃ¥s"}),
    ],
)
def test_another_value_is_a_difference(sent, read):
    assert differences(an_interaction(sent).digest, None, read) == ["payload"]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"a": 4.0}, {"a": 4}),
        ({"a": -0.0}, {"a": 0}),
        ({"a": 1e18}, {"a": 10**18}),
        ({"a": 1e19}, {"a": 10**19}),
        ({"a": "2026-01-31T12:00:00Z"}, {"a": "2026-01-31T13:00:00.000+01:00"}),
        ({"a": "2026-01-31T12:00:00.123456Z"}, {"a": "2026-01-31T12:00:00.123Z"}),
        ({"a": "0001-01-01T00:00:00+14:00"}, {"a": "0001-01-01T00:00:00+14:00"}),
        ({"a": "x", "b": 1}, {"c": None, "b": 1, "a": "x"}),
    ],
)
def test_another_writing_is_none(sent, read):
    assert differences(an_interaction(sent).digest, None, read) == []


@pytest.mark.parametrize(
    ("sent", "read", "differ"),
    [
        ("2026-01-31T11:00:00.000Z", "2026-01-31T12:00:00+01:00", []),
        ("2026-01-31T11:00:00.123456Z", "2026-01-31T11:00:00.123+00:00", []),
        ("2026-01-31T11:00:00.900Z", "2026-01-31T11:00:00Z", []),  # cut
        ("2026-01-31T11:00:00.900Z", "2026-01-31T11:00:01Z", []),  # rounded
        ("2026-01-31T11:00:00.000Z", "2026-01-31T11:00:02Z", ["createdDate"]),
        ("2026-01-31T11:00:00.000Z", "2026-01-31T12:00:00Z", ["createdDate"]),
        ("2026-01-31T11:00:00.000Z", "0001-01-01T00:00:00Z", ["createdDate"]),
        ("2026-01-31T11:00:00.000Z", None, ["createdDate"]),
        (None, "2026-01-31T12:00:00Z", []),
        (None, None, []),
    ],
)
def test_the_time_counts_where_it_was_sent_to_the_second(sent, read, differ):
    digest = an_interaction({"a": 1}, sent).digest
    created = datetime.fromisoformat(read) if read else None

    assert differences(digest, created, {"a": 1}) == differ
    assert differences(digest, created, {"a": 2}) == [*differ, "payload"]


def test_a_digest_says_nothing_of_the_contact():
    digests = {Interaction(contact, None, b"{}").digest for contact in ("anna", "bea")}

    assert len(digests) == 1


def test_a_digest_stays_what_it_is_since_ledgers_hold_it():
    interaction = Interaction("anna", "2026-01-31T11:00:00.000Z", b'{"b": 4.0, "a": "x"}')

    assert interaction.digest == "11fab4541056295322dd773550a68f12"


@pytest.mark.parametrize("part", ["contact", "created", "payload"])
def test_an_interaction_does_not_change(part):
    with pytest.raises(AttributeError):
        setattr(Interaction("anna@example.com", None, b"{}"), part, None)
