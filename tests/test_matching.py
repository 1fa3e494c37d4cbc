"""What a read-back means: what is expected and what is stored are counted against each other."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.destinations.matching import Expected, could_be, judge, key_carriers, likeness
from connector.rules.read_back import Absent, Here, Stored, Undecided
from tests.factories import a_schema, an_activation

NOON = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
AT = datetime(2026, 11, 1, 12, 34, 56, 789000, tzinfo=UTC)
KEY = [("key",)]
SCHEMA = a_schema(
    key="string", price="number", free="boolean", date={"type": "string", "format": "date-time"}
)


def claim(number: int = 1, created: datetime = NOON, **payload: object) -> Expected:
    return Expected(number, created, payload)


def stored(name: str = "i1", created: datetime | None = NOON, **payload: object) -> Stored:
    return Stored(name, created, payload)


def test_the_same_event_is_found() -> None:
    verdicts = judge([claim(price=4.0)], [stored(price=4.0)], SCHEMA, ())

    assert verdicts == {1: Here("i1")}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"price": 4.0}, {"price": 4}),
        ({"price": 4.5}, {"price": "4.5"}),
        ({"date": "2026-01-01T01:00:00+01:00"}, {"date": "2026-01-01T00:00:00Z"}),
        ({"key": "a"}, {"key": "a", "price": None}),
        ({"key": "a", "dropped": 1}, {"key": "a"}),
    ],
)
def test_what_a_destination_may_write_differently_is_the_same(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    assert judge([claim(**ours)], [stored(**theirs)], SCHEMA, ()) == {1: Here("i1")}


def test_what_a_destination_has_added_to_may_be_ours() -> None:
    theirs = stored(key="a", price=1)

    assert isinstance(judge([claim(key="a")], [theirs], SCHEMA, ())[1], Undecided)


@pytest.mark.parametrize(
    "theirs",
    [
        {"key": "b"},
        {"price": 1},
        {"key": "b", "price": 1},
    ],
)
def test_another_event_is_not_ours(theirs: dict[str, Any]) -> None:
    assert judge([claim(key="a")], [stored(**theirs)], SCHEMA, ()) == {1: Absent()}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"key": "a"}, {"key": "A"}),
        ({"key": "a "}, {"key": "a"}),
        ({"key": "cafe\u0301"}, {"key": "caf\u00e9"}),
        ({"key": "a & b"}, {"key": "a &amp; b"}),
        ({"key": "a"}, {"Key": "a"}),
        ({"key": "a", "price": 1}, {"price": 1}),
        ({"key": "a"}, {}),
    ],
)
@pytest.mark.parametrize("carriers", [(), KEY])
def test_what_a_destination_may_have_made_of_it_is_for_a_person_to_say(
    ours: dict[str, Any], theirs: dict[str, Any], carriers: Any
) -> None:
    row = Expected(1, NOON, ours, (ours["key"],))

    assert isinstance(judge([row], [stored(**theirs)], SCHEMA, carriers)[1], Undecided)


@pytest.mark.parametrize(
    ("ours", "theirs", "absent"),
    [
        ({"price": 4.35}, {"price": 4}, False),
        ({"price": 4.35}, {"price": 4.4}, False),
        ({"price": 4.35}, {"price": 4.3}, False),
        ({"price": 0.1}, {"price": 0.10000000149011612}, False),
        ({"price": 4.35}, {"price": "4,350"}, False),
        ({"price": 4}, {"price": "4.0"}, False),
        ({"price": 4.35}, {"price": 5.35}, True),
        ({"price": 4}, {"price": 5}, True),
        ({"price": 4.35}, {"price": "dear"}, True),
        ({"price": 1e300}, {"price": 1}, True),
        ({"key": "a long text"}, {"key": "a long"}, False),
        ({"key": "a long text"}, {"key": ""}, True),
        ({"key": "a long text"}, {"key": "text"}, True),
        ({"key": "4711"}, {"key": "4712"}, True),
        ({"date": "2026-01-01T00:00:00.7+00:00"}, {"date": "2026-01-01T00:00:01Z"}, False),
        ({"date": "2026-01-01T00:00:00+00:00"}, {"date": "2026-01-01T00:00:00"}, False),
        ({"date": "2026-01-01T00:00:00+00:00"}, {"date": "2026-01-01T00:00:09Z"}, True),
    ],
)
def test_what_is_left_of_it_where_numbers_are_rounded_and_texts_cut_is_for_a_person_to_say(
    ours: dict[str, Any], theirs: dict[str, Any], absent: bool
) -> None:
    verdict = judge([claim(**ours)], [stored(**theirs)], SCHEMA, ())[1]

    assert isinstance(verdict, Absent if absent else Undecided)


@pytest.mark.parametrize("theirs", ["v1", "v12", "v"])
def test_what_carries_the_beginning_of_a_key_is_another_row(theirs: str) -> None:
    row = Expected(1, NOON, {"key": "v123", "price": 1}, ("v123",))

    assert judge([row], [stored(key=theirs, price=1)], SCHEMA, KEY) == {1: Absent()}


@pytest.mark.parametrize(
    ("there", "absent"),
    [
        (Stored("i1", NOON, {}, readable=False), False),
        (Stored("i1", NOON + timedelta(minutes=1), {}, readable=False), True),
        (Stored("i1", NOON + timedelta(hours=2), {"key": "a"}, zoned=False), False),
        (Stored("i1", NOON + timedelta(days=3), {"key": "a"}, zoned=False), True),
        (Stored("i1", NOON + timedelta(hours=2), {"key": "a"}), True),
    ],
)
def test_what_is_not_shown_is_no_evidence(there: Stored, absent: bool) -> None:
    verdict = judge([claim(key="a")], [there], SCHEMA, ())[1]

    assert isinstance(verdict, Absent if absent else Undecided)


@pytest.mark.parametrize(
    ("shown", "absent"),
    [
        (AT.replace(second=0, microsecond=0), False),
        (AT.replace(minute=35, second=0, microsecond=0), False),
        (AT.replace(minute=36, second=0, microsecond=0), True),
        (AT.replace(minute=35, second=1, microsecond=0), True),
        (datetime(2026, 11, 1, tzinfo=UTC), False),
        (datetime(2026, 11, 3, 4, tzinfo=UTC), True),
    ],
)
def test_a_time_may_have_lost_its_seconds_or_hours(shown: datetime, absent: bool) -> None:
    ours, there = claim(key="a", created=AT), stored(created=shown, key="a")

    verdict = judge([ours], [there], SCHEMA, ())[1]

    assert isinstance(verdict, Absent if absent else Undecided)


@pytest.mark.parametrize("shift", [timedelta(minutes=1), timedelta(days=1)])
def test_a_time_without_seconds_or_hours_is_exact_where_ours_has_none(shift: timedelta) -> None:
    midnight = datetime(2026, 11, 1, tzinfo=UTC)
    ours, another = claim(key="a", created=midnight), stored(created=midnight + shift, key="a")

    assert judge([ours], [another], SCHEMA, ()) == {1: Absent()}


ROW = ("a",)


@pytest.mark.parametrize(
    ("sent", "today", "theirs", "verdict"),
    [
        ({"price": 4}, KEY, {"price": 4}, Here),  # it was sent without
        ({"price": 4}, KEY, {"price": 5}, Absent),
        ({"key": "a"}, [("key", "again")], {"key": "a", "price": 9}, Here),  # more carry it today
        ({"key": "a", "sku": "t"}, [("sku",)], {"key": "b", "sku": "t"}, Absent),  # another one
        ({"key": "a", "sku": "t"}, [("sku",)], {"key": "a", "sku": "t"}, Here),
    ],
)
def test_a_row_is_looked_for_as_it_was_sent_whatever_is_mapped_today(
    sent: dict[str, Any], today: Any, theirs: dict[str, Any], verdict: type
) -> None:
    schema = a_schema(key="string", price="number", again="string", sku="string")
    row = Expected(1, NOON, sent, ROW)

    assert isinstance(judge([row], [stored(**theirs)], schema, today)[1], verdict)


@pytest.mark.parametrize(
    ("made", "today", "theirs", "verdict"),
    [
        ({"key": "a", "price": 4}, KEY, {"price": 4}, Undecided),  # sent without, by a lost run
        ({"price": 4}, (), {"key": "a", "price": 4}, Undecided),  # sent with more
        ({"again": "a"}, [("again",)], {"key": "a"}, Undecided),  # under another name
        ({"key": "a", "price": 4}, KEY, {"key": "b", "price": 4}, Absent),
        ({"key": "a", "price": 4}, KEY, {"key": "a", "price": 5}, Here),
    ],
)
def test_a_row_that_was_recorded_anew_may_have_been_sent_with_another_mapping(
    made: dict[str, Any], today: Any, theirs: dict[str, Any], verdict: type
) -> None:
    schema = a_schema(key="string", price="number", again="string")
    row = Expected(1, NOON, made, ROW, remade=True)

    assert isinstance(judge([row], [stored(**theirs)], schema, today)[1], verdict)


def test_true_is_not_one() -> None:
    assert judge([claim(free=True)], [stored(free=1)], SCHEMA, ()) == {1: Absent()}


@pytest.mark.parametrize(
    ("shift", "same"),
    [
        (timedelta(microseconds=-456), True),
        (timedelta(microseconds=-123456), True),
        (timedelta(milliseconds=5), False),
        (timedelta(days=1), False),
    ],
)
def test_times_are_compared_as_instants_to_the_precision_that_is_kept(
    shift: timedelta, same: bool
) -> None:
    verdict = judge([claim(key="a")], [stored(created=NOON + shift, key="a")], SCHEMA, ())[1]

    assert isinstance(verdict, Here) is same


def test_a_property_with_the_row_key_decides_alone() -> None:
    other_day = stored(created=NOON + timedelta(days=3), key="a", price=99)

    assert judge([claim(key="a")], [other_day], SCHEMA, KEY) == {1: Here("i1")}
    assert judge([claim(key="b")], [stored(key="a")], SCHEMA, KEY) == {1: Absent()}


def test_more_interactions_than_claims_are_nobodys_to_decide() -> None:
    verdicts = judge([claim(key="a")], [stored("i1", key="a"), stored("i2", key="a")], SCHEMA, ())

    assert isinstance(verdicts[1], Undecided)


def test_of_equal_claims_the_oldest_gets_what_is_there() -> None:
    """The younger one's interaction may not be shown yet, and its absence is not believed yet."""
    verdicts = judge([claim(7, key="a"), claim(3, key="a")], [stored(key="a")], SCHEMA, ())

    assert verdicts == {7: Here("i1"), 3: Absent()}


def test_what_could_be_one_row_s_or_another_s_is_nobody_s_to_decide() -> None:
    """A destination that cuts times to the second shows both rows' interactions alike."""
    on_the_second = NOON.replace(microsecond=0)
    claims = [claim(1, on_the_second, key="a"), claim(2, NOON, key="a"), claim(3, key="b")]

    verdicts = judge(claims, [stored(created=on_the_second, key="a")], SCHEMA, ())

    assert isinstance(verdicts[1], Undecided)
    assert isinstance(verdicts[2], Undecided)
    assert verdicts[3] == Absent()


@given(
    st.lists(st.sampled_from("abc"), max_size=8),
    st.lists(st.sampled_from("abcd"), max_size=8),
    st.booleans(),
)
def test_nothing_is_counted_twice_and_nothing_is_passed_over(
    ours: list[str], theirs: list[str], by_key: bool
) -> None:
    claims = [claim(i, key=key) for i, key in enumerate(ours)]
    there = [stored(f"i{i}", key=key) for i, key in enumerate(theirs)]

    verdicts = judge(claims, there, SCHEMA, KEY if by_key else ())

    assert verdicts.keys() == {c.delivery_id for c in claims}
    adopted = [v.interaction_id for v in verdicts.values() if isinstance(v, Here)]
    assert len(adopted) == len(set(adopted))
    for key in set(ours):
        mine = [verdicts[c.delivery_id] for c in claims if c.payload["key"] == key]
        number = theirs.count(key)
        if number > len(mine):
            assert all(isinstance(v, Undecided) for v in mine)
        else:
            assert sum(isinstance(v, Here) for v in mine) == number
            assert sum(isinstance(v, Absent) for v in mine) == len(mine) - number


def test_properties_carry_a_key_when_every_column_of_it_is_sent() -> None:
    contact = {"column": "email", "identifier": "email"}

    def carrying(row_key: object, payload: dict[str, object]) -> object:
        activation = an_activation(row_key=row_key, payload=payload, contact=contact)
        return key_carriers(activation)

    assert carrying("id", {"visitId": "id", "sku": "sku"}) == [("visitId",)]
    assert carrying(["id", "sku"], {"visitId": "id", "sku": "sku"}) == [("visitId",), ("sku",)]
    assert carrying(["id", "sku"], {"visitId": "id"}) == ()
    assert carrying("id", {"visitId": {"value": "id"}}) == ()


@pytest.mark.parametrize(
    ("other", "by_key", "by_all"),
    [
        (stored("i2", key="a", price=4), True, True),
        (stored("i2", key="a", price=4.0, free=None), True, True),
        (
            stored("i2", created=NOON.astimezone(timezone(timedelta(hours=5))), key="a", price=4),
            True,
            True,
        ),
        (stored("i2", created=NOON - timedelta(microseconds=456), key="a", price=4), True, True),
        (stored("i2", created=NOON + timedelta(milliseconds=5), key="a", price=4), True, False),
        (stored("i2", created=None, key="a", price=4), True, False),
        (stored("i2", key="a", price=5), True, False),
        (stored("i2", key="b", price=4), False, False),
        (stored("i2", price=4), False, False),
    ],
)
def test_likeness_is_that_of_the_row_key_or_of_all(
    other: Stored, by_key: bool, by_all: bool
) -> None:
    one = stored("i1", key="a", price=4)

    assert (likeness(one, KEY) == likeness(other, KEY)) is by_key
    assert (likeness(one, ()) == likeness(other, ())) is by_all


def test_interactions_without_their_row_key_are_alike_when_all_of_them_is() -> None:
    payloads: list[dict[str, Any]] = [
        {"price": 4},
        {"price": 4.0},
        {"price": 5},
        {"price": 4, "key": "a"},
    ]

    assert len({likeness(stored(**payload), KEY) for payload in payloads}) == 3


def test_a_claim_could_be_what_judge_would_find_by_instant_and_payload() -> None:
    there = stored(created=NOON.replace(microsecond=0), key="a", price=4)

    assert could_be(claim(key="a", price=4.0, dropped=1), there, SCHEMA)
    assert not could_be(claim(key="a", price=5), there, SCHEMA)
