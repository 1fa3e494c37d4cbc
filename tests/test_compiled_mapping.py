"""The compiled mapping makes of every row what the mapper makes of it, and is used where it can."""

# ruff: noqa: DTZ001, DTZ901 -- times without a zone are what warehouses return

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.rules.compiled import CompiledMapper
from connector.rules.errors import ConfigurationError
from connector.rules.interaction import Interaction, Invalid
from connector.rules.mapping import RowMapper
from connector.rules.schema import InteractionSchema
from connector.rules.values import Finer, Unreadable
from tests.factories import STOCKHOLM, a_schema, an_activation, columns_of
from tests.test_mapping import (
    Colour,
    instants,
    local_times,
    nested,
    scalars,
    specs,
    texts,
    zones,
)

Row = Sequence[Any]
UTC_ZONE = ZoneInfo("UTC")
AT = datetime(2026, 7, 1, 12, 0, 0, 250_000)
EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-9, minutes=-30))
SKIPPED, TWICE = datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30)


class Text(str):
    """As some drivers have them."""

    __slots__ = ()


class Float(float):
    __slots__ = ()


EDGES: list[Any] = [
    *(None, True, False, 0, 1, -1, 4.0, -0.0, 0.1 + 0.2, 1e16, 9e18, 1e19, -1e19, 1e300, 5e-324),
    *(2**53, 2**53 + 1, -(2**53) - 1, -(2**63), 2**63 - 1, 2**63, 2**64, 2**127, 10**400),
    *(float("nan"), float("inf"), -float("inf"), Float(4.5), Text("a"), Text("2026-01-31")),
    *("", " ", "a", "4", "true", "a\x00", "Å", "\ud800", "x" * 40, "2026-01-31", "12:00:00"),
    *("2026-01-31T12:00:00Z", "2026-02-30T12:00:00Z", "2026-01-31T12:00:00.5+01:00"),
    *("2026-01-31 12:00:00", Text("2026-01-31T12:00:00Z"), "2026-01-31T12:00:00.123456789Z"),
    *(TWICE, TWICE.replace(fold=1), SKIPPED, datetime.min, datetime.max, TWICE.replace(tzinfo=UTC)),
    *(datetime(2026, 1, 1, 0, 0, 0, micro) for micro in (1, 1000, 1010, 999_999)),
    *(datetime.min.replace(tzinfo=EAST), datetime.max.replace(tzinfo=WEST), TWICE.astimezone(EAST)),
    *(date(2026, 1, 31), date.min, time(12), time(12, tzinfo=UTC), timedelta(1), UUID(int=7)),
    *(b"a", bytearray(b"a"), memoryview(b"a"), [1], {"a": 1}, (1,), object(), Colour.RED),
    *(
        Unreadable("an infinite timestamp"),
        Finer(TWICE, "1"),
        Finer(TWICE.replace(tzinfo=UTC), "5"),
    ),
    *(Decimal(text) for text in ("4", "4.00", "-0", "0E-9", "1E+3", "1E+400", "1.23456789E-320")),
    *(Decimal(text) for text in ("NaN", "sNaN", "Infinity", "-Infinity", "9" * 15, "9" * 16)),
    *(Decimal(text) for text in ("9007199254740993", "0.1234567890123456789", "99999999999999.9")),
]
SPECS: list[dict[str, Any]] = [
    *({"type": kind} for kind in ("string", "integer", "number", "boolean")),
    *({"type": "string", "format": form} for form in ("date-time", "date", "email", "uuid")),
    *({"type": [kind, "null"]} for kind in ("string", "number")),
    *({}, {"type": ["boolean", "integer"]}, {"type": "array"}, {"enum": ["a", 4, True]}),
    *({"type": "number", "multipleOf": 0.5}, {"type": "string", "maxLength": 5}),
]
ZONES = (None, UTC_ZONE, STOCKHOLM)
anything = scalars | nested
good = st.sampled_from(["a", "2026-01-31T12:00:00Z", 4, 4.0, 4.5, True, None, Decimal("4.50")])


def mappers(
    zone: ZoneInfo | None = UTC_ZONE, text: bool = False, specs: Any = None, **over: Any
) -> tuple[RowMapper, CompiledMapper]:
    """Both mappers of an activation, whose schema has these `specs`."""
    schema = None
    if specs is not None:
        schema = InteractionSchema("s", a_schema(**specs).json_schema, text=text)
    activation = an_activation(**over)
    given_to = (activation, schema, columns_of(activation), zone)
    return RowMapper(*given_to), CompiledMapper(*given_to)


def said(mapper: Callable[[Row], Interaction | Invalid], row: Row) -> Any:
    """All that is made of a row, or what is raised."""
    try:
        made = mapper(row)
        if isinstance(made, Invalid):
            return made
        return made.contact, made.created, made.payload, made.digest
    except (ConfigurationError, ValueError, TypeError) as error:
        return type(error), str(error)


def agree(both: tuple[RowMapper, CompiledMapper], *rows: Row) -> None:
    mapper, compiled = both
    for row in rows:
        expected = said(mapper, row)
        assert said(compiled, row) == said(compiled.without_digest, row) == expected, row


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("text", [False, True])
def test_every_edge_of_a_type_is_taken_alike(spec, text):
    for zone in ZONES:
        both = mappers(zone, text, {"p": spec}, payload={"p": "p"})
        agree(both, *(["r1", "anna@example.com", value] for value in EDGES))


@given(anything, st.sampled_from(SPECS) | specs, st.sampled_from(ZONES), st.booleans())
def test_every_value_is_taken_alike(value, spec, zone, text):
    both = mappers(zone, text, {"p": spec}, payload={"p": "p"})

    agree(both, ["r1", "anna@example.com", value])


def agree_on_the_rest(value: Any, zone: ZoneInfo | None) -> None:
    """On a row that has `value` for its contact, its time, or its cursor."""
    both = mappers(zone, created_date="created", cursor="placed")
    rest = (["r1", 1, "anna@example.com", value], ["r1", value, "a@b.c", AT], ["r1", 1, value, AT])
    agree(both, *rest)


def test_every_edge_is_taken_alike_for_a_contact_a_time_and_a_cursor():
    for value in (*EDGES, " anna@example.com ", "åsa@example.com"):
        for zone in ZONES:
            agree_on_the_rest(value, zone)


@given(anything | instants | local_times, zones)
def test_every_value_is_taken_alike_for_a_contact_a_time_and_a_cursor(value, zone):
    agree_on_the_rest(value, zone if isinstance(zone, ZoneInfo) else None)


@given(st.lists(good, min_size=1, max_size=5), st.booleans(), good, st.booleans())
def test_every_body_is_made_alike(row, text, constant, with_schema):
    """Gaps, the order of the names, and what is the same for each row."""
    payload = {f"p{9 - i}": f"c{i}" for i in range(len(row))}
    activation = an_activation(payload={**payload, "p5x": {"value": "x"}}, created_date="at")
    part = activation.payload["p5x"].model_copy(update={"value": constant})
    activation = activation.model_copy(update={"payload": {**activation.payload, "p5x": part}})
    schema = InteractionSchema(
        "s", a_schema(**{name: {} for name in payload}).json_schema, text=text
    )
    given_to = (activation, schema if with_schema else None, columns_of(activation), UTC_ZONE)

    agree((RowMapper(*given_to), CompiledMapper(*given_to)), ["r1", "a@b.c", AT, *row])


@given(st.lists(st.lists(texts | anything, min_size=2, max_size=2), max_size=3), st.booleans())
@example([["k" * 1000, 1], ["k" * 1001, 2], ["å", True], ["\ud800", 0]], False)
def test_its_keys_are_those_of_the_mapper(rows, single):
    activation = an_activation(row_key="a" if single else ["a", "b"])
    columns = ["a", "b", "email"]
    compiled = CompiledMapper(activation, None, columns)

    assert compiled.keys(rows) == [RowMapper(activation, None, columns).key(row) for row in rows]


USUAL: dict[str, Any] = {
    "cursor": "reviewed_at",
    "created_date": "reviewed_at",
    "payload": {"name": "name", "rating": "rating", "price": "price", "verified": "verified"},
}


def usual(zone: ZoneInfo | None = UTC_ZONE) -> CompiledMapper:
    """Of an activation as most are."""
    activation = an_activation(**USUAL)
    spec = {"type": ["string", "null"], "maxLength": 9}
    schema = a_schema(name=spec, rating="integer", price="number", verified="boolean")
    return CompiledMapper(activation, schema, columns_of(activation), zone)


@pytest.mark.parametrize(
    "row",
    [
        ["r1", AT, "anna@example.com", "Trail", 4, Decimal("499.90"), True],
        ["r1", AT, UUID(int=7), "Åsa", 4, 499.9, False],
        ["r1", AT.replace(tzinfo=UTC), 46701234567, None, None, 499, None],
        ["r1", AT.replace(tzinfo=timezone(timedelta(hours=2))), " a@b.c ", 7, 4, Decimal(1), True],
    ],
)
@pytest.mark.parametrize("zone", [UTC_ZONE, STOCKHOLM])
def test_usual_rows_need_no_other_mapper(row, zone, monkeypatch):
    mapper = usual(zone)
    expected = RowMapper.__call__(mapper, row)
    monkeypatch.setattr(RowMapper, "__call__", lambda self, row: pytest.fail("it was asked"))

    assert isinstance(expected, Interaction)
    assert said(mapper, row) == said(lambda _: expected, row)
