"""Find out whether a sync would work, before there is one. Writes nothing, sends no POST."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from connector.activation import Activation, Identifier
from connector.columns import mapping_advice, mapping_misfits
from connector.contacts import malformed
from connector.errors import ConfigurationError, ConnectorError, Path
from connector.interaction import Interaction, Invalid
from connector.ledger.reports import Reports
from connector.mapping import key_text
from connector.reading import plan
from connector.schema import InteractionSchema
from connector.warehouse import Reader, lookup_columns


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


MOST_REASONS = 5
"""How many reasons of invalid rows a check tells; a preview tells all."""

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


SETTLED_WITHIN = timedelta(minutes=2)
"""The least that should pass before an absence is believed. A gateway in front of an API goes on
with a request that nobody waits for any more, for up to a minute as gateways are commonly set; and
a list may be read from a copy that is behind by as much."""


def check_wait(name: str, timeout: timedelta, settle_after: timedelta) -> Iterator[Finding]:
    """Whether what the destination `name` takes can be outlived by a wait so long."""
    wait = timeout + settle_after
    if wait < SETTLED_WITHIN:
        yield Finding(
            Level.ADVICE,
            f"timeout and settle_after are {wait.total_seconds():g} s together: a request that a"
            " gateway passes on later than that, or an interaction that is shown later, is sent"
            f" twice; let them be {SETTLED_WITHIN.total_seconds():g} s at least (by default they"
            " are 4 minutes)",
            ("destinations", name, "settle_after"),
        )


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
        if lookup := activation.contact.lookup:
            found = " and ".join(lookup_columns(activation, lookup, reader))
            yield Finding(Level.OK, f"the lookup runs and has the columns it needs ({found})")
        if schema:
            yield from _mapping(activation, schema, reading.types)
        yield from _keys(activation, reader)
        rows = next(reading.rows(reader), [])
        yield from _first_rows([(reading.mapper.key(row), reading.mapper(row)) for row in rows])
    except ConnectorError as error:
        yield from findings_of(error)
        return
    yield from _advice(activation)
    yield from _contacts(activation, [reading.mapper(row) for row in rows], reports)


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


def _mapping(
    activation: Activation, schema: InteractionSchema, types: Mapping[str, str]
) -> Iterator[Finding]:
    misfits = mapping_misfits(activation, schema, types)
    yield from (Finding(Level.CONFIGURATION, p.message, p.path) for p in misfits)
    advice = mapping_advice(activation, schema)
    yield from (Finding(Level.ADVICE, p.message, p.path) for p in advice)


def _first_rows(rows: list[tuple[str | None, Interaction | Invalid]]) -> Iterator[Finding]:
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for key, content in rows:
        if isinstance(content, Invalid):
            reasons[content.reason] += 1
            examples.setdefault(content.reason, key or "without a row key")
    if rows and not reasons:
        yield Finding(Level.OK, f"the first {_count(len(rows), 'row')} fit the schema")
    for reason, number in reasons.most_common(MOST_REASONS):
        yield Finding(
            Level.ADVICE,
            f"{number:,} of the first {_count(len(rows), 'row')} would be invalid, such as"
            f" {examples[reason]}: {reason}",
        )
    if len(reasons) > MOST_REASONS:
        more = _count(len(reasons) - MOST_REASONS, "more reason")
        yield Finding(Level.ADVICE, f"{more}; `connector preview` counts the rows of each")


def _advice(activation: Activation) -> Iterator[Finding]:
    carried = {field.column for field in activation.payload.values()}
    if len(activation.row_key) == 1 and activation.row_key[0] not in carried:
        yield Finding(
            Level.ADVICE,
            f"no payload property carries the row key ({activation.row_key[0]}); one that does"
            " settles every doubt about what the destination has stored",
            ("activations", activation.name, "payload"),
        )


def _contacts(
    activation: Activation, contents: list[Interaction | Invalid], reports: Reports
) -> Iterator[Finding]:
    how, path = activation.contact, ("activations", activation.name, "contact")
    if how.identifier is Identifier.ANY and how.lookup is None:
        yield Finding(
            Level.ADVICE,
            "identifier: any stops at the first kind that a value looks like, so a customer number"
            " may be taken for a telephone number; name the kind that it is",
            (*path, "identifier"),
        )
    contacts = {content.contact for content in contents if isinstance(content, Interaction)}
    wrong = [w for contact in contacts if (w := malformed(contact, how.identifier))]
    if wrong:
        yield Finding(
            Level.ADVICE,
            f"{len(wrong)} of the {_count(len(contacts), 'contact identifier')} in the first rows"
            f" would be rejected, such as for: {wrong[0].reason}",
            (*path, "column"),
        )
    ambiguous = reports.ambiguous(activation.name)
    if ambiguous and how.contact_type is None and how.lookup is None:
        yield Finding(
            Level.ADVICE,
            f"{_count(ambiguous, 'row')} rejected, since several contacts have their {how.word};"
            " contact_type says which kind of contact is meant",
            path,
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
