"""A change of what a row key's columns hold is refused exactly where it changes texts of keys."""

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.keys import (
    FORMS,
    changed,
    kind_problems,
    kinds_of,
    merged,
    split,
)
from connector.rules.mapping import key_parts, key_text
from connector.rules.values import Kind, kind_of
from tests.factories import an_activation

DATES = st.dates()
LOCAL = st.datetimes()
VALUES = {
    Kind.TEXT: st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12),
    Kind.BOOLEAN: st.booleans(),
    Kind.INTEGER: st.integers(),
    Kind.NUMBER: st.floats(-(2**53), 2**53)  # beyond, a cast changes the number itself
    | st.decimals(allow_nan=False, allow_infinity=False),
    Kind.LOCAL_TIME: LOCAL,
    Kind.INSTANT: LOCAL.map(lambda value: value.replace(tzinfo=UTC)),
    Kind.DATE: DATES,
    Kind.TIME_OF_DAY: st.times(),
    Kind.UUID: st.uuids(),
    Kind.BYTES: st.binary(max_size=8),
    Kind.INTERVAL: st.timedeltas(),
}
CASTS: dict[tuple[Kind, Kind], Callable[[Any], Any]] = {
    (Kind.DATE, Kind.LOCAL_TIME): lambda v: datetime.combine(v, time()),
    (Kind.LOCAL_TIME, Kind.INSTANT): lambda v: v.replace(tzinfo=UTC),
    (Kind.LOCAL_TIME, Kind.DATE): lambda v: v.date(),
    (Kind.INTEGER, Kind.NUMBER): lambda v: Decimal(f"{v}.00"),
    (Kind.NUMBER, Kind.INTEGER): int,
    (Kind.INTEGER, Kind.TEXT): str,
    (Kind.DATE, Kind.TEXT): str,
    (Kind.UUID, Kind.TEXT): str,
    (Kind.LOCAL_TIME, Kind.TEXT): str,
    (Kind.BYTES, Kind.TEXT): lambda v: v.decode("latin-1"),
    (Kind.BOOLEAN, Kind.INTEGER): int,
    (Kind.TEXT, Kind.BYTES): str.encode,
}


def problems(was, now, keys, recorded=()):
    """What is said of a row key of one column."""
    return kind_problems(an_activation(), (was,), (now,), [[key] for key in keys], iter(recorded))


@pytest.mark.parametrize("kind", [kind for kind in VALUES if kind is not Kind.BYTES])
@given(st.data())
def test_every_text_of_a_kind_has_the_form_of_the_kind(kind, data):
    value = data.draw(VALUES[kind])

    assert kind_of(value) is kind
    assert problems(kind, Kind.TEXT, [key_text([value])]) == []
    assert problems(Kind.TEXT, kind, [value], [key_text([value])]) == []


@pytest.mark.parametrize(("was", "now"), CASTS)
@given(st.data())
def test_a_cast_is_taken_over_only_where_no_text_changes(was, now, data):
    before = data.draw(st.lists(VALUES[was], min_size=1, max_size=5, unique=True))
    after = [CASTS[was, now](value) for value in before]
    recorded = [key_text([value]) for value in before]

    refused = problems(was, now, after, recorded)

    if [key_text([value]) for value in after] != recorded:
        assert refused
        assert "Cast it in the model back" in refused[0].message


@pytest.mark.parametrize(
    ("was", "now", "key", "recorded"),
    [
        (Kind.INTEGER, Kind.NUMBER, Decimal("4.00"), "4"),
        (Kind.INTEGER, Kind.TEXT, "4", "4"),
        (Kind.NUMBER, Kind.INTEGER, 4, "4"),
        (Kind.UUID, Kind.TEXT, str(uuid.UUID(int=1)), str(uuid.UUID(int=1))),
        (Kind.DATE, Kind.TEXT, "2026-01-01", "2026-01-01"),
        (Kind.TEXT, Kind.DATE, date(2026, 1, 1), "2026-01-01"),
    ],
)
def test_a_change_that_keeps_all_texts_is_none(was, now, key, recorded):
    assert problems(was, now, [key], [recorded]) == []


@pytest.mark.parametrize(
    ("was", "now", "key", "recorded"),
    [
        (Kind.INTEGER, Kind.TEXT, "0004", "4"),
        (Kind.TEXT, Kind.INTEGER, 4, "0004"),
        (Kind.NUMBER, Kind.INTEGER, 4, "4.5"),
        (Kind.NUMBER, Kind.TEXT, "4.00", "4"),
        (Kind.UUID, Kind.TEXT, str(uuid.UUID(int=10)).upper(), str(uuid.UUID(int=10))),
        (Kind.BYTES, Kind.TEXT, "1001", b"1001".hex()),
        (Kind.TEXT, Kind.BYTES, b"1001", "1001"),
        (Kind.TIME_OF_DAY, Kind.INTERVAL, timedelta(hours=1), "01:00:00"),
    ],
)
def test_a_change_of_texts_is_refused_by_the_first_that_shows_it(was, now, key, recorded):
    assert problems(was, now, [key], [recorded])


@given(st.lists(VALUES[Kind.TEXT], min_size=1, max_size=4))
def test_a_key_of_several_columns_is_split_as_it_was_joined(parts):
    text = key_text(parts)

    assert text is not None
    assert split(text, len(parts)) == key_parts(parts)


def test_kinds_are_those_of_the_first_values_that_are_there():
    assert kinds_of([(None, 1), (None, 2), ("a", 3)]) == (Kind.TEXT, Kind.INTEGER)
    assert kinds_of([(None, 1)]) == (None, Kind.INTEGER)
    assert kinds_of([]) == ()
    assert merged((Kind.TEXT, None), (None, Kind.DATE)) == (Kind.TEXT, Kind.DATE)
    assert changed((Kind.TEXT, None), (Kind.DATE, Kind.DATE)) == [0]
    assert changed(None, (Kind.DATE,)) == []
    assert set(FORMS) | {Kind.BYTES, Kind.OTHER} == set(Kind)
