"""Find out whether a sync would work, before there is one. Writes nothing, sends no POST."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from connector.activation import Activation, Identifier
from connector.columns import mapping_advice, mapping_misfits
from connector.contacts import malformed
from connector.errors import ConfigurationError, ConnectorError, Path
from connector.interaction import Interaction, Invalid
from connector.ledger.reports import Reports
from connector.mapping import key_text
from connector.reading import Plan, first_keys, plan
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

SAMPLED = 500
"""Rows that are read twice, to see whether they keep their keys."""
SUSPICIOUS_SHARE = 0.2
"""Of keys that stand for somebody else at the second reading."""

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
        if lookup := activation.contact.lookup:
            found = " and ".join(lookup_columns(activation, lookup, reader))
            yield Finding(Level.OK, f"the lookup runs and has the columns it needs ({found})")
        if schema:
            yield from _mapping(activation, schema, reading.types)
        yield from _keys(activation, reader)
        yield from _stable(reading, reader)
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


def _stable(reading: Plan, reader: Reader) -> Iterator[Finding]:
    """Whether rows keep their keys from one reading to the next."""
    first = _sample(reading, reader)
    if not (problem := difference(first, again := _sample(reading, reader))):
        return
    if difference(again, _sample(reading, reader)):  # once may be somebody who writes meanwhile
        activation = reading.activation
        yield Finding(
            Level.CONFIGURATION,
            f"the row_key {', '.join(activation.row_key)} is not the same at each reading:"
            f" {problem}."
            " Every run would send its rows again, as with uuid(), random() or a row_number() whose"
            " order leaves ties; take a key that a row keeps",
            ("activations", activation.name, "row_key"),
        )


def _sample(reading: Plan, reader: Reader) -> Mapping[str, Any]:
    """By row key, whom the first rows of the model are about; nobody, for a key of several rows,
    since these have no order."""
    rows = first_keys(reading, reader, SAMPLED, [reading.activation.contact.column])
    found: dict[str, Any] = {}
    for values, contact in rows:
        if (key := key_text(values)) is not None:
            found[key] = None if key in found else contact
    return found


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """In what two readings of the first rows of a model differ as those of a stable key do not;
    both in the order in which they were read."""
    gone, new = [key for key in one if key not in other], other.keys() - one.keys()
    # a row that came before them pushes the last ones of a full sample out
    pushed = len(one) == SAMPLED and [*one][-len(gone) :] == gone and 2 * len(gone) <= len(one)
    if gone and len(new) >= len(gone) and not pushed:
        return (
            f"of {_count(len(one), 'key')} that were read, {len(gone):,} were gone when they were"
            " read once more, and as many others there"
        )
    both = [key for key in one if key in other]
    moved = sum(one[key] != other[key] for key in both)
    if moved > 1 and moved >= SUSPICIOUS_SHARE * len(both):
        return (
            f"{moved:,} of {_count(len(both), 'key')} stood for rows of other contacts when they"
            " were read once more"
        )
    return None


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
