"""What a run would read from a model, and what each row it reads means to the ledger.

Shared by staging, which records the answer, and previewing, which only tells it.
"""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from connector.basis import dataclass
from connector.ledger.home import Home
from connector.ledger.questions import Questions
from connector.ledger.records import Edition, Known
from connector.rules.activation import Activation
from connector.rules.compiled import CompiledMapper
from connector.rules.errors import (
    ConfigurationError,
    Problem,
    WarehouseUnavailable,
    of_activation,
)
from connector.rules.keys import Kinds, changed, kind_problems, kinds_of
from connector.rules.schema import InteractionSchema
from connector.rules.turnover import Keyed, Sampler, Watch
from connector.rules.watermark import (
    IN_WORDS,
    Kind,
    Watermark,
    advance,
    check_cursors,
    converted,
    end_of_past,
    floor_is_to_come,
    history_floor,
    is_to_come,
    kind_of_value,
    read_from,
    shape,
    to_text,
)
from connector.warehouse import Column, Reader, Scan

FROM_THE_START = 10_000
"""Rows that are looked at before keys of another kind are taken for the same, and recorded keys
that are read together for that."""
BATCH = 2000
"""Rows that are recorded together: one transaction, and all that a run holds in memory."""
TOLD_AT_ONCE = 100_000
"""Rows after which the ledger is told how many were read, where there is nothing to record."""

EDITABLE = ("cursor", "start", "contact", "created_date", "payload")
"""What an edit may change without making old rows new; the model is the sixth."""

DUCKDB_KINDS = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), Kind.INTEGER),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), Kind.INTEGER),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), Kind.LOCAL_TIME),
    "TIMESTAMP WITH TIME ZONE": Kind.INSTANT,
    "DATE": Kind.DATE,
    "DECIMAL": Kind.DECIMAL,
    "VARCHAR": Kind.TEXT,
}
"""What a cursor of these types is, so that no value has to be looked at."""

CHANGED_KIND = (
    "the cursor {column} holds {now} and held {before}: the model is read once as a whole, and"
    " nothing that is recorded is sent again"
)
TO_COME = (
    "the watermark {mark} lies in the future (a clock was set back, or the zone of the cursor was"
    " changed), so it proves nothing: the model is read once as a whole, and nothing that is"
    " recorded is sent again"
)
NOTHING_BEFORE = (
    'activation "{name}" began with start: now at {floor}, which lies in the future (a clock was'
    " ahead at the first run or is behind now, or the zone of the cursor was changed): no row"
    " before that is ever read, so new ones would be lost. Set the clock or the zone right, or give"
    " the activation a new name to start afresh"
)
STAYS_HISTORY = (
    "start is now no more, which changes nothing: the activation began with start: now at {floor},"
    " and what stood before that is history, and not sent. To send it, give the activation a new"
    " name"
)

M = TypeVar("M", bound=Questions, covariant=True)
"""What is remembered of an activation: by the ledger, or by the reports on it."""


@dataclass(frozen=True, slots=True)
class Source(Generic[M]):
    """A model that is open to be read, what its rows must fit, and what is remembered of them.
    `zone`: what its times without a zone mean; `now`: when the reading begins."""

    activation: Activation
    schema: InteractionSchema | None
    reader: Reader
    memory: M
    zone: ZoneInfo | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """One reading of a model: from where, as what, and whether what it finds is history.
    `activation`: that of the source, with its columns spelt as the model spells them."""

    source: Source[Questions]
    home: Home
    """What was recorded of the activation when the reading began."""
    activation: Activation
    scan: Scan
    mapper: CompiledMapper
    zone: ZoneInfo | None
    mark: Watermark
    lower: Any
    history: bool
    edition: Edition
    types: Mapping[str, str] = field(default_factory=dict)
    """What the warehouse calls the type of each column of the model."""
    bottom: Any = None
    """The place in the cursor before which no row is ever read; None: there is none."""
    edited: Sequence[str] = ()
    """The parts of the activation that were edited since its model was last read to the end."""
    notes: Sequence[str] = ()
    """What a person should know of where this reading begins."""

    @property
    def whole(self) -> bool:
        """Whether every row is read that ever may be."""
        return self.scan.cursor is None or self.lower == self.bottom

    @property
    def reaches_elsewhere(self) -> bool:
        """Whether an edit may have made rows eligible where this reading does not look."""
        return bool({"model", "cursor", "start"} & set(self.edited))

    def rows(self, brief: int = 0) -> Generator[Sequence[Sequence[Any]], None, None]:
        """The rows in the order of (cursor, row key), in batches; or so many `brief` ones together.

        Raises ConfigurationError, before the first one, when their keys are of another kind than
        those of the recorded rows.
        """
        reader = self.source.reader
        scan, size = (self.scan.brief, brief) if brief else (self.scan, BATCH)
        batches = reader.rows(self.activation, scan, self.lower, size)
        with closing(batches):
            first = next(batches, None)
            if first is None:
                return
            kinds = self.kinds_of(first, bool(brief))
            if not changed(self.home.remembered.key_kinds, kinds):
                yield first
                yield from batches
                return
        _refuse_other_keys(self, kinds)
        yield from reader.rows(self.activation, scan, self.lower, size)

    def is_empty(self) -> bool:
        """Whether the model has no row at all; asked where none was read."""
        return self.scan.cursor is None or not self.source.reader.has_rows(self.activation)

    def known(self, keys: Iterable[str | None]) -> dict[str, Known]:
        """What is recorded under `keys`."""
        usable = {key for key in keys if key is not None}
        return self.source.memory.known(self.activation.name, usable)

    def kinds_of(self, rows: Sequence[Sequence[Any]], brief: bool = False) -> Kinds:
        """What the row key's columns hold in `rows`; nothing, where the type of a column says
        nothing about its values."""
        keys = (row[:-1] for row in rows) if brief else map(self.mapper.key_values, rows)
        return kinds_of(keys) if self.source.reader.has_types else ()

    def keyed(self, rows: Sequence[Sequence[Any]]) -> list[Keyed]:
        """Those of `rows` that have a usable key, each under its text."""
        return keyed(self.mapper.keys(rows), rows)

    def watch(self) -> Watch:
        """Compares what will be read with what should be read again, if that is known."""
        before = self.home.remembered.rereads
        known = before if before and before.start == self.again_from(self.mark)[0] else None
        return Watch(known, self._other_columns)

    def sampler(self) -> Sampler:
        """Draws the sample of what the next run reads again."""
        cursor = self.scan.cursor
        place = None if cursor is None else self.scan.columns.index(cursor)
        return Sampler(self._other_columns, place)

    def again_from(self, mark: Watermark) -> tuple[str | None, Callable[[Any], bool]]:
        """Where the next run begins to read if it finds `mark`, as a text; and whether it reads a
        row with a certain cursor."""
        lower = read_from(self.activation, mark, self.zone)
        if lower is None:
            return None, lambda cursor: True
        if isinstance(lower, str) and shape(lower) is None:  # their order is the database's alone
            return lower, lambda cursor: bool(cursor == lower)
        return to_text(lower), lambda cursor: bool(cursor >= lower)

    @property
    def _other_columns(self) -> list[int]:
        key = {*self.scan.key, *self.activation.row_key}
        return [i for i, name in enumerate(self.scan.columns) if name not in key]

    def count(self) -> int:
        """How many rows with a place in the order will be read."""
        return self.source.reader.count(self.activation, self.scan.cursor, self.lower)

    def advanced(self, mark: Watermark, cursors: Sequence[Any], now: datetime) -> Watermark:
        """`mark` after a batch with these `cursors`, in their order, was recorded.

        Raises ConfigurationError when they are not all of one kind.
        """
        kind = check_cursors(self.activation, mark, cursors)
        if not cursors or self.activation.cursor is None:
            return mark
        return advance(replace(mark, kind=kind), cursors, now, self.zone)


def plan(source: Source[Questions], whole: bool = False, home: Home | None = None) -> Plan:
    """Decide what to read: what is new, or the `whole` model, whose newest row is then the
    watermark, wherever it stood before. `home`: what is recorded of the activation; None: it is
    asked for.

    Raises ConfigurationError for what can be known before the first row.
    """
    reader, memory = source.reader, source.memory
    edition = edition_of(source.activation, reader.sql(source.activation))
    activation, columns = reader.resolve(source.activation)
    refuse_nested(activation, columns)
    cursor = activation.cursor
    own_zone = (cursor.timezone if cursor else None) or source.zone
    home = memory.home(activation.name) if home is None else home
    begun, before = home.begun, home.edition
    mark, note = _same_column(activation, home.mark), None
    types = {column.name: column.type for column in columns}
    if cursor:
        look = _Look(activation, cursor.column, reader, begun, source.now, own_zone)
        if mark.kind is not None:
            _refuse_floor_to_come(look, mark)
            mark, note = _still_true(look, mark, types)
        if mark.kind is None:
            mark = _first_look(look, mark)
    fresh = replace(mark, value=None, sample=mark.example)
    mark = fresh if whole else mark
    if mark.kind is Kind.LOCAL_TIME and own_zone is None:
        raise ConfigurationError(
            Problem(
                ("activations", activation.name, "cursor"),
                f'activation "{activation.name}": the cursor holds times without a zone; say what'
                " they mean with cursor.timezone or warehouse.timezone",
            )
        )
    scan = reader.scan(activation, columns)
    edited = [name for name, hash in edition.items() if before and before.get(name) != hash]
    notes = [note] if note else []
    if "start" in edited and activation.start != "now" and mark.floor is not None:
        notes.append(STAYS_HISTORY.format(floor=to_text(mark.floor)))
    return Plan(
        source=source,
        home=home,
        activation=activation,
        scan=scan,
        mapper=CompiledMapper(activation, source.schema, scan.columns, source.zone, scan.key),
        zone=own_zone,
        mark=mark,
        lower=read_from(activation, mark, own_zone),
        history=activation.start == "now" and not begun,
        edition=edition,
        types=types,
        bottom=read_from(activation, fresh, own_zone),
        edited=edited,
        notes=notes,
    )


def _refuse_other_keys(plan: Plan, kinds: Kinds) -> None:
    """Raises ConfigurationError when row keys of these `kinds` have other texts than those that
    are recorded."""
    memory, name = plan.source.memory, plan.activation.name
    before = plan.home.remembered.key_kinds or ()
    sample = [key for key, _ in first_keys(plan, FROM_THE_START)]
    recorded = _recorded_keys(memory, name)
    if problems := kind_problems(plan.activation, before, kinds, sample, recorded):
        raise ConfigurationError(*problems)


def first_keys(
    plan: Plan, number: int, also: Sequence[str] = ()
) -> list[tuple[Sequence[Any], Sequence[Any]]]:
    """The values of the first `number` row keys of the whole model, in the order of reading, each
    with those of the columns `also`."""
    cursor = [plan.scan.cursor] if plan.scan.cursor else []
    columns = tuple(dict.fromkeys((*plan.scan.key, *cursor, *also)))
    scan, key = replace(plan.scan, columns=columns), len(plan.scan.key)
    others = [columns.index(name) for name in also]
    with closing(plan.source.reader.rows(plan.activation, scan, None, number)) as batches:
        return [(row[:key], [row[i] for i in others]) for row in next(batches, [])]


def _recorded_keys(memory: Questions, activation: str) -> Iterator[str]:
    after = 0
    while page := memory.some_keys(activation, after, FROM_THE_START):
        yield from (key for _, key in page)
        after = page[-1][0]


def edition_of(activation: Activation, sql: str) -> Edition:
    """Hashes of the parts of an activation that decide which rows there are and how they read."""
    written = activation.model_dump(mode="json")
    names = dict.fromkeys((*EDITABLE, *activation.own_parts, *activation.own_sent))
    parts = {name: json.dumps(written[name]) for name in names if name in written}
    parts["model"] = sql
    return {name: blake2b(text.encode(), digest_size=6).hexdigest() for name, text in parts.items()}


def keyed(keys: Sequence[str | None], rows: Sequence[Sequence[Any]]) -> list[Keyed]:
    """Those of `rows` that have a usable key, each under its text."""
    pairs = zip(keys, rows, strict=True)
    return [(key, row) for key, row in pairs if key is not None]


def refuse_nested(activation: Activation, columns: Sequence[Column]) -> None:
    """Raises ConfigurationError for payload columns that hold lists or structures."""
    nested = {c.name: c.type for c in columns if c.nested}
    problems = [
        Problem(
            ("activations", activation.name, *activation.path_to(name)),
            f'activation "{activation.name}": the column {f.column} is a {nested[f.column]}; an'
            " interaction is flat, so take the values that matter out of it in the model",
        )
        for name, f in activation.sent.items()
        if f.column in nested
    ]
    if problems:
        raise ConfigurationError(*problems)


def _same_column(activation: Activation, stored: Watermark) -> Watermark:
    """The stored watermark, or a fresh one when the cursor is now another column."""
    column = activation.cursor.column if activation.cursor else None
    if stored.column in (None, column):
        return replace(stored, column=column)
    if stored.floor is not None:
        raise ConfigurationError(
            Problem(
                ("activations", activation.name, "cursor"),
                f'activation "{activation.name}" began with start: now on the cursor'
                f" {stored.column}; under another cursor, what was history could be sent. Put it"
                " back, or give the activation a new name to start afresh",
            )
        )
    return Watermark(column)  # reads the whole model once more; what is recorded is not sent again


@dataclass(frozen=True, slots=True)
class _Look:
    """What is needed to look where the model stands."""

    activation: Activation
    column: str
    reader: Reader
    begun: bool
    now: datetime
    zone: ZoneInfo | None


def _first_look(look: _Look, mark: Watermark) -> Watermark:
    """A watermark that knows its kind and, with `start: now`, where history ends."""
    newest = _newest(look)
    if newest is None:
        return mark
    kind = kind_of_value(newest, look.column, look.activation.name)
    mark = replace(mark, kind=kind, sample=newest)
    if look.activation.start != "now" or look.begun:
        return mark
    if (end := end_of_past(mark, newest, look.now, look.zone)) is not None:
        newest = look.reader.highest(look.activation, look.column, before=end)
    return history_floor(look.activation, newest, mark, look.zone, look.now)


def _newest(look: _Look) -> Any:
    """The largest cursor of the model. Raises ConfigurationError where its values are none of which
    one can be a cursor: a warehouse may know no largest of them, and say no more than that."""
    try:
        return look.reader.highest(look.activation, look.column)
    except WarehouseUnavailable:
        if (some := look.reader.any_value(look.activation, look.column)) is not None:
            kind_of_value(some, look.column, look.activation.name)
        raise


def _still_true(
    look: _Look, mark: Watermark, types: Mapping[str, str]
) -> tuple[Watermark, str | None]:
    """The stored `mark` as far as it can be believed, and what a person should know of that."""
    kind, sample = _kind_now(look, types)
    if kind is not None and (kind is not mark.kind or _written_anew(mark, sample)):
        return _of_new_kind(look, mark, kind, sample), CHANGED_KIND.format(
            column=look.column,
            now=_in_words(kind, sample),
            before=_in_words(mark.kind, mark.value or mark.floor),
        )
    if is_to_come(mark, look.now, look.zone):
        return replace(mark, value=None, sample=mark.value), TO_COME.format(mark=mark.text)
    return replace(mark, sample=sample), None


def _refuse_floor_to_come(look: _Look, mark: Watermark) -> None:
    """Raises ConfigurationError where history ends in the future: what is new would be history."""
    if floor_is_to_come(mark, look.now, look.zone):
        text = NOTHING_BEFORE.format(name=look.activation.name, floor=to_text(mark.floor))
        raise ConfigurationError(of_activation(look.activation.name, "cursor", text=text))


def _kind_now(look: _Look, types: Mapping[str, str]) -> tuple[Kind | None, Any]:
    """What the column holds today, and a value of it where that is needed to know."""
    kind = DUCKDB_KINDS.get(types.get(look.column, "").partition("(")[0])
    if kind is not None and kind is not Kind.TEXT and look.reader.is_duckdb:
        return kind, None
    sample = look.reader.any_value(look.activation, look.column)
    if sample is None:
        return None, None
    return kind_of_value(sample, look.column, look.activation.name), sample


def _written_anew(mark: Watermark, sample: Any) -> bool:
    """Whether texts that are times are written in another way than before."""
    if mark.kind is not Kind.TEXT or mark.value is None:
        return False
    written = shape(mark.value)
    return written is not None and shape(sample) != written


def _of_new_kind(look: _Look, mark: Watermark, kind: Kind, sample: Any) -> Watermark:
    """A watermark of the new kind, from which the whole model is read. Raises ConfigurationError
    where history could be sent."""
    if look.activation.start == "now" and not look.begun:
        return Watermark(mark.column)
    if mark.floor is None:
        return Watermark(mark.column, kind, sample=sample)
    try:
        floor = converted(mark, read_from(look.activation, mark, look.zone), kind)
    except ConfigurationError:  # the overlap goes with the new kind alone
        floor = None
    if floor is None:
        name, before = look.activation.name, _in_words(mark.kind, mark.value or mark.floor)
        raise ConfigurationError(
            Problem(
                ("activations", name, "cursor"),
                f'activation "{name}" began with start: now at {to_text(mark.floor)}, when the'
                f" cursor {look.column} held {before}; it holds {_in_words(kind, sample)} now, in"
                " which that place cannot be told from what came after it, so what was history"
                f" could be sent. Cast the column in the model so that it holds {before} again, or"
                " give the activation a new name to start afresh",
            )
        )
    return Watermark(mark.column, kind, None, floor, sample=sample)


def _in_words(kind: Kind | None, value: Any) -> str:
    if kind is Kind.TEXT and isinstance(value, str) and (written := shape(value)):
        parted, zone = written
        form = f"YYYY-MM-DD{parted}HH:MM{zone}" if parted else "YYYY-MM-DD"
        return f"texts written {form}"
    return IN_WORDS[kind] if kind else "nothing"
