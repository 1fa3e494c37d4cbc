"""What the keys of `activations.yaml` are made of: closed classes, how values are written, and the
parts that say when an activation acts and what it may not pass.

The grammar is closed (CONTRACT): an unknown key is an error.
"""

import re
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from connector.basis import dataclass, described_below
from connector.basis.near import perhaps

OF_A_MACHINE = re.compile(r"(?:right|posix)/|(?:localtime|posixrules|Factory)\Z")
"""How names begin under which a machine may have a zone that another one has not, or another one:
its own, one that counts leap seconds, one of no place."""
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
PERCENTAGE = re.compile(r"(\d*\.?\d+)\s*(%?)")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Closed(BaseModel):
    """A part of the grammar: unknown keys are errors, values never change after reading.

    A default is made by `model_construct`: calling the class would build its validator at import.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Each key is described by what stands below its field, read for an editor's schema."""
        made = handler(schema)
        below = described_below(cls)
        keys = handler.resolve_ref_schema(made).get("properties", {})
        for name, field in cls.model_fields.items():
            if name in below and (key := keys.get(field.alias or name)) is not None:
                key.setdefault("description", below[name])
        return made


class Shorthand:
    """Lets a mapping with one obvious key be written as that key's value alone."""

    def __init__(self, key: str, kind: type = str) -> None:
        self.key, self.kind = key, kind

    def expand(self, value: Any) -> Any:
        return {self.key: value} if isinstance(value, self.kind) else value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


def parse_duration(value: Any) -> Any:
    """`30s`, `15m`, `2h`, `3d` or 0 as a timedelta."""
    if isinstance(value, timedelta):
        return value
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])|0", str(value).strip())
    if not match:
        raise ValueError("expected a duration such as 30s, 15m, 2h or 3d, or 0")
    number, unit = match.groups()
    try:
        return timedelta(seconds=float(number) * UNITS[unit]) if number else timedelta(0)
    except OverflowError:
        raise ValueError("expected a duration that is shorter than the calendar") from None


def parse_overlap(value: Any) -> Any:
    """A duration, or a whole number for cursors that are numbers."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and value >= 0 else parse_duration(value)


def parse_zone(value: Any) -> Any:
    """The name of a time zone, such as Europe/Stockholm, as a ZoneInfo."""
    if isinstance(value, ZoneInfo):
        return value
    wanted, its_own = str(value), OF_A_MACHINE.match(str(value))
    with suppress(OSError, ValueError, TypeError, KeyError):
        if its_own is None:
            return ZoneInfo(value)
        wanted = wanted[its_own.end() :]
    near = perhaps(wanted, sorted(known_zones()))
    why = "; this one is not the same on every machine" if its_own else ""
    raise ValueError(
        f"expected the name of a time zone, such as Europe/Stockholm or UTC{why}{near}"
    )


def known_zones() -> set[str]:
    """The names of all time zones."""
    return {name for name in available_timezones() if not OF_A_MACHINE.match(name)}


def parse_percentage(value: Any) -> Any:
    """`5%` or 0.05, also as the text that a variable gives, as 0.05."""
    if isinstance(value, str) and (match := PERCENTAGE.fullmatch(value.strip())):
        value = float(match[1]) / (100 if match[2] else 1)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("expected a share such as 5% (or 0.05)")
    return float(value)


def _are_tags(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not TAG.fullmatch(name):
            raise ValueError('a tag may hold only letters, digits, "_", "-", "." and "/"')
    return tuple(dict.fromkeys(names))


def parse_start(value: Any) -> Any:
    """`all`, `now`, or a time with its zone."""
    if value in ("all", "now"):
        return value
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("expected all, now, or a time such as 2026-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a time without a zone; write 2026-01-01T00:00:00Z or give an offset")
    return moment


def plain_number(value: Any) -> Any:
    """A number, or the digits of one as a variable gives them; true is no number, and 1_000 none
    that everybody reads alike."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError("expected a number, written in digits alone")
    return value


@dataclass(frozen=True, slots=True)
class Times:
    """So many times what is usual, written `3x`."""

    factor: float

    def __str__(self) -> str:
        return f"{self.factor:g}x"


class MostRowsSchema:
    """How the most rows of a run are read: a number, or a multiple of what is usual."""

    @staticmethod
    def read(value: Any, number: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, Times):
            return value
        if not (isinstance(value, str) and value.strip()[-1:] in ("x", "X")):
            return number(plain_number(value))
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)[xX]", value.strip())
        if not match or not float(match[1]) > 1:
            raise ValueError(
                "expected a number of rows such as 5000, or a multiple of what is usual such as"
                " 3x, which is more than 1x and written without a space"
            )
        return Times(float(match[1]))

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(
            lambda value: str(value) if isinstance(value, Times) else value
        )
        return core_schema.no_info_wrap_validator_function(
            self.read, core_schema.int_schema(ge=0), serialization=written
        )


def parse_age(value: Any) -> Any:
    """A duration that is not 0."""
    if not (age := parse_duration(value)):
        raise ValueError("expected a duration that is longer than 0, such as 72h")
    return age


def parse_names(value: Any) -> Any:
    """One name or a list of names, as a tuple."""
    return (value,) if isinstance(value, str) else value


def _once_each(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("names a column twice")
    return names


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?\s*[smhd]$|^0$"}, {"const": 0}]}
    ),
]
Overlap = Annotated[
    timedelta | int,
    BeforeValidator(parse_overlap),
    WithJsonSchema({"type": ["string", "integer"], "minimum": 0}),
]
MostRows = Annotated[
    int | Times,
    MostRowsSchema(),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+[xX]|[xX])?$"},
            ],
            "examples": [5000, "3x"],
        }
    ),
]
Age = Annotated[
    timedelta,
    BeforeValidator(parse_age),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*[smhd]$"}),
]
Zone = Annotated[ZoneInfo, BeforeValidator(parse_zone), WithJsonSchema({"type": "string"})]
Percentage = Annotated[
    float, BeforeValidator(parse_percentage), WithJsonSchema({"type": ["string", "number"]})
]
StartAt = Annotated[
    datetime | Literal["all", "now"],
    BeforeValidator(parse_start),
    WithJsonSchema({"type": "string", "examples": ["all", "now", "2026-01-01T00:00:00Z"]}),
]
Name = Annotated[str, Field(min_length=1)]
ONE_OR_MANY = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
Names = Annotated[tuple[Name, ...], BeforeValidator(parse_names), ONE_OR_MANY]
Tags = Annotated[
    tuple[Name, ...],
    BeforeValidator(parse_names),
    AfterValidator(_are_tags),
    ONE_OR_MANY,
]
Columns = Annotated[
    tuple[Name, ...],
    BeforeValidator(parse_names),
    Field(min_length=1),
    AfterValidator(_once_each),
    ONE_OR_MANY,
]


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES = 24 * 60
"""Of a day."""
SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
EXPECTED_SPAN = 'expected times of day such as "08:00-20:00", or a list of them'
EXPECTED_DAYS = "expected days such as mon-fri, sat, or [mon, wed, sat-sun]"


Span = tuple[int, int]
"""Minutes after midnight: from one until another, which may be tomorrow's (above 1440)."""


def parse_span(written: Any) -> Span:
    """`08:00-20:00`; one that ends before it begins goes on over midnight. Raises ValueError."""
    found = SPAN.fullmatch(written.strip()) if isinstance(written, str) else None
    if found is None:
        raise ValueError(EXPECTED_SPAN)
    hour, minute, until_hour, until_minute = map(int, found.groups())
    begins, ends = hour * 60 + minute, until_hour * 60 + until_minute
    if minute > 59 or until_minute > 59 or begins >= MINUTES or ends > MINUTES:
        raise ValueError(f"{EXPECTED_SPAN}; the last time of a day is 24:00")
    if begins == ends:
        raise ValueError(f"{written} is no time at all; the whole day is 00:00-24:00")
    return begins, ends if ends > begins else ends + MINUTES


def parse_spans(written: Any) -> tuple[Span, ...]:
    """One span, or a list of them. Raises ValueError."""
    if not isinstance(written, list | tuple):
        return (parse_span(written),)
    if not written:
        raise ValueError(EXPECTED_SPAN)
    return tuple(each if isinstance(each, tuple) else parse_span(each) for each in written)


def parse_days(written: Any) -> frozenset[int]:
    """Days of the week as numbers, Monday 0: `mon`, `mon-sat`, `sat-mon`, or a list of those.
    Raises ValueError."""
    if isinstance(written, frozenset):
        return written
    parts = written if isinstance(written, list) else [written]
    found = set[int]()
    for part in parts:
        found |= _days(part)
    if not found:
        raise ValueError(EXPECTED_DAYS)
    return frozenset(found)


def _days(part: Any) -> set[int]:
    names = [name.strip().lower() for name in part.split("-")] if isinstance(part, str) else []
    if not 1 <= len(names) <= 2 or not all(name in DAYS for name in names):
        raise ValueError(EXPECTED_DAYS)
    first, last = DAYS.index(names[0]), DAYS.index(names[-1])
    return {(first + step) % 7 for step in range((last - first) % 7 + 1)}


MOST_PRIORITY = 1000


def parse_share(value: Any) -> Any:
    """A percentage above 0."""
    share = parse_percentage(value)
    if not share:
        raise ValueError("expected a share above 0%; `paused: true` sends nothing")
    return share


Priority = Annotated[int, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY), BeforeValidator(plain_number)]
Share = Annotated[
    float, BeforeValidator(parse_share), WithJsonSchema({"type": ["string", "number"]})
]

EVERY_DAY, WHOLE_DAY = frozenset(range(len(DAYS))), ((0, MINUTES),)
Spans = Annotated[
    tuple[Span, ...],
    BeforeValidator(parse_spans),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["08:00-20:00", "22:00-06:00"]},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]
Days = Annotated[
    frozenset[int],
    BeforeValidator(parse_days),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["mon-fri", "sat"]},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]

LONGEST_INTERVAL = timedelta(days=3650)


def _refuse_impossible(every: timedelta | None) -> None:
    """Raises ValueError for an interval that clocks cannot keep."""
    if every is not None and every < timedelta(seconds=1):
        raise ValueError("expected every: 1s or longer")
    if every is not None and every > LONGEST_INTERVAL:
        raise ValueError("expected every: 3650d or shorter")


class Schedule(Closed):
    """When runs start by themselves."""

    cron: Name | None = None
    every: Duration | None = None
    timezone: Zone | None = None
    jitter: Duration | None = None

    @model_validator(mode="after")
    def _one_rhythm(self) -> Self:
        if (self.cron is None) == (self.every is None):
            raise ValueError("expected a cron expression, or exactly one of cron and every")
        _refuse_impossible(self.every)
        return self


class Verify(Closed):
    """When what was delivered is read back by itself, in `connector serve`."""

    cron: Name | None = None
    every: Duration | None = None
    timezone: Zone | None = None
    sample: Percentage = 1.0
    """The share of the older rows that is looked at each time, drawn anew. What was delivered since
    the last verification is looked at in any case."""

    @model_validator(mode="after")
    def _one_rhythm(self) -> Self:
        if (self.cron is None) == (self.every is None):
            raise ValueError("expected a duration such as 1d, or exactly one of cron and every")
        _refuse_impossible(self.every)
        return self

    @property
    def schedule(self) -> Schedule:
        """Its rhythm, as that of runs."""
        return Schedule(cron=self.cron, every=self.every, timezone=self.timezone)


class Limits(Closed):
    """A run that would pass one of these is held before its first request."""

    rows: MostRows | None = None
    """Most rows that one run may send: a number, or a multiple such as 3x of what runs of the same
    weekday usually had to send, once there are ten of them."""
    refused: Percentage | None = None
    """Largest share of the staged rows that may be invalid or rejected."""
    changed_keys: Percentage | None = None
    """Largest share of the rows that a run reads again that may be gone while as many unknown ones
    are there, as when a row key is not the same at each reading. 50 % where it is not written."""
    matched: Percentage | None = None
    """By how much of what is usual the share of contact identifiers that are found may fall."""
    older_than: Age | None = None
    """Rows that happened longer ago hold the run: a destination acts on them as on new ones."""
    empty: Literal["hold", "allow"] = "hold"
    """What happens when a model has no row at all that always had some."""
    removed: Percentage | None = None
    """Of a mirror: largest share of the rows at the destination that a run may take back since the
    model has them no more. 10 % where it is not written; fewer than ten are always let go."""
    replaced: Percentage | None = None
    """Of a mirror: largest share of them that a run may replace since they have changed. Where it
    is not written, it is 10 % in the run after an edit, and else there is none."""
    approval: Literal["anyone", "other"] = "anyone"
    """Who may let a held run go: anyone; or only somebody other than who asked for it, and than who
    asked for the run that took up the last edit."""
    approval_for: Duration = timedelta(days=7)
    """How long an approval holds that no run has used."""

    @field_validator("approval_for")
    @classmethod
    def _some_time(cls, span: timedelta) -> timedelta:
        if span < timedelta(seconds=1):
            raise ValueError("expected approval_for: 1s or longer")
        return span


class Send(Closed):
    """When rows are sent. Reading, looking up, settling and taking back go on at any time."""

    between: Spans = WHOLE_DAY
    """Times of day, such as 08:00-20:00, or a list of them; one that ends before it begins goes on
    over midnight. Left out: the whole day."""
    days: Days = EVERY_DAY
    """mon-fri, or a list of days and ranges; what passes midnight belongs to the day on which it
    began. Left out: every day."""
    timezone: Zone | None = None
    """Whose clocks. Left out: the schedule's, or the warehouse's."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set & {"between", "days"}:
            raise ValueError("expected between, days, or both")
        return self


class PerContact(Closed):
    """How often one contact is told something: the rest waits its turn, in the order in which the
    rows were recorded."""

    most: Annotated[int, Field(ge=1), BeforeValidator(plain_number)]
    """So many sends of this activation …"""
    every: Duration
    """… within any time of this length."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _refuse_impossible(self.every)
        return self
