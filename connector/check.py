"""Find out whether a sync would work, before there is one. Writes nothing, sends no POST."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from connector.activation import Activation
from connector.errors import ConfigurationError, ConnectorError, Path
from connector.interaction import Invalid
from connector.ledger.reports import Reports
from connector.mapping import key_text
from connector.reading import plan
from connector.schema import InteractionSchema
from connector.warehouse import Reader


class Level(StrEnum):
    """What a finding means for a sync."""

    OK = "ok"
    ADVICE = "advice"
    """It works, and could be better."""
    DATA = "data"
    """Rows of the model wait for a person."""
    CONFIGURATION = "configuration"
    """It cannot work as it is written."""
    OUTSIDE = "outside"
    """Something outside stands in the way."""


EXIT_CODES = {Level.CONFIGURATION: 2, Level.OUTSIDE: 3, Level.DATA: 1}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what was found."""

    level: Level
    message: str
    path: Path = ()


def findings_of(error: ConnectorError) -> list[Finding]:
    """What an exception says, as findings."""
    if isinstance(error, ConfigurationError):
        return [Finding(Level.CONFIGURATION, p.message, p.path) for p in error.problems]
    return [Finding(Level.OUTSIDE, str(error))]


def check_model(
    activation: Activation,
    schema: InteractionSchema | None,
    reader: Reader,
    reports: Reports,
    zone: ZoneInfo | None,
    now: datetime,
) -> Iterator[Finding]:
    """Look at the model, its columns and keys, and its first rows. `schema` None: not known."""
    try:
        reading = plan(activation, schema, reader, reports, zone, now)
        activation = reading.activation
        columns = ", ".join(dict.fromkeys(activation.columns.values()))
        yield Finding(Level.OK, f"the model runs and has the columns it needs ({columns})")
        yield from _keys(activation, reader)
        rows = next(reading.rows(reader), [])
        yield from _first_rows([reading.mapper(row) for row in rows])
    except ConnectorError as error:
        yield from findings_of(error)
        return
    yield from _advice(activation)


def _keys(activation: Activation, reader: Reader) -> Iterator[Finding]:
    key = ", ".join(activation.row_key)
    path: Path = ("activations", activation.name, "row_key")
    number, example = reader.repeated_keys(activation)
    if number:
        yield Finding(
            Level.DATA,
            f"row_key {key} is not unique: {_count(number, 'key')} stand more than once, such as"
            f" {key_text(example)}; only the first row of a key is sent",
            path,
        )
    if without := reader.null_keys(activation):
        yield Finding(
            Level.DATA, f"{_count(without, 'row')} without a row_key ({key} is NULL)", path
        )
    if activation.cursor and (without := reader.null_cursors(activation)):
        yield Finding(
            Level.DATA,
            f"{_count(without, 'row')} where the cursor {activation.cursor.column} is NULL; such"
            " rows are invalid, since they have no place in the order",
            ("activations", activation.name, "cursor"),
        )
    if not number and not without:
        yield Finding(Level.OK, f"every row has its own row key ({key})")


def _first_rows(contents: list[object]) -> Iterator[Finding]:
    bad = [content for content in contents if isinstance(content, Invalid)]
    if not bad:
        if contents:
            yield Finding(Level.OK, f"the first {_count(len(contents), 'row')} fit the schema")
        return
    yield Finding(
        Level.ADVICE,
        f"{len(bad)} of the first {_count(len(contents), 'row')} would be invalid, such as:"
        f" {bad[0].reason}; `connector preview` counts them all",
    )


def _advice(activation: Activation) -> Iterator[Finding]:
    carried = {field.column for field in activation.payload.values()}
    if len(activation.row_key) == 1 and activation.row_key[0] not in carried:
        yield Finding(
            Level.ADVICE,
            f"no payload property carries the row key ({activation.row_key[0]}); one that does"
            " settles every doubt about what the destination has stored",
            ("activations", activation.name, "payload"),
        )
    if activation.contact.identifier == "any":
        yield Finding(
            Level.ADVICE,
            "identifier: any stops at the first kind that a value looks like, so a customer number"
            " may be taken for a telephone number; name the kind that it is",
            ("activations", activation.name, "contact", "identifier"),
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
