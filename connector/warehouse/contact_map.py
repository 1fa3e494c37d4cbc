"""Ask the warehouse which contactIds belong to identifiers, where it has a map of its own.

Only the rows that are asked for are read, whatever the size of the map; and between two questions
nothing is open, so that others can write.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from typing import Any

from sqlalchemy import ColumnElement, String, cast, literal_column, select, text

from connector.basis import dataclass
from connector.rules.activation import Activation, ContactLookup
from connector.rules.errors import ConfigurationError, Problem, did_you_mean
from connector.rules.errors import Path as KeyPath
from connector.warehouse.reader import Reader
from connector.warehouse.spelling import TWICE, spelling_of

CHUNK = 500
"""Identifiers in one statement; every database takes so many binds."""


@dataclass(slots=True)
class ContactMap:
    """The `lookup:` of an activation. `open` gives a reader of the warehouse, as its own does."""

    open: Callable[[], AbstractContextManager[Reader]]
    activation: Activation
    lookup: ContactLookup
    _columns: tuple[str, str] | None = field(default=None)

    def find(self, contacts: Sequence[str]) -> dict[str, list[str]]:
        """The contactIds of each of `contacts` that has some.

        Raises ConfigurationError when the lookup does not run or lacks a column, and
        WarehouseUnavailable.
        """
        found: dict[str, list[str]] = defaultdict(list)
        with self.open() as reader:
            for start in range(0, len(contacts), CHUNK):
                chunk = contacts[start : start + CHUNK]
                rows = self._rows(reader, chunk)
                if hidden := _hidden(chunk, {contact for contact, _ in rows}):
                    rows += self._rows(reader, hidden, all_of_them=True)
                for contact, contact_id in dict.fromkeys(rows):
                    found[contact].append(contact_id)
        return dict(found)

    def _rows(
        self, reader: Reader, contacts: Sequence[str], all_of_them: bool = False
    ) -> list[tuple[str, str]]:
        """Identifiers with their contactIds; of rows that are equal to the warehouse one, or
        `all_of_them`."""
        self._columns = self._columns or lookup_columns(self.activation, self.lookup, reader)
        key, contact_id = self._columns
        # identifiers are texts by now, whatever they were in the model
        as_text = cast(literal_column(reader.quoted(key)), String)
        named: ColumnElement[Any] = literal_column(reader.quoted(contact_id))
        table = reader.derived(self.lookup, _path(self.activation), "contacts")
        query = (
            select(as_text, named)
            .select_from(text(table))
            .where(as_text.in_(contacts), named.is_not(None))
        )
        query = query if all_of_them else query.distinct()
        rows = ((row[0], str(row[1]).strip()) for row in reader.fetch(query, "the lookup"))
        return [(contact, found) for contact, found in rows if found]


def _hidden(contacts: Sequence[str], found: Collection[str]) -> list[str]:
    """Those of `contacts` that were not found, and may stand behind one that was: by a collation
    they are one, and DISTINCT leaves either."""
    folded = {_folded(contact) for contact in found}
    return [each for each in contacts if each not in found and _folded(each) in folded]


def _folded(contact: str) -> str:
    """Without capitals, accents and blanks around, which collations leave out."""
    plain = unicodedata.normalize("NFKD", contact)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold().strip()


def lookup_columns(
    activation: Activation, lookup: ContactLookup, reader: Reader
) -> tuple[str, str]:
    """The columns with the identifiers and with the contactIds, as the lookup spells them.

    Raises ConfigurationError when it does not run or does not have them.
    """
    path, name = _path(activation), f'activation "{activation.name}": the lookup'
    here = [column.name for column in reader.columns_of(lookup, path, name)]
    key, contact_id = lookup.key or activation.contact.column, lookup.contact_id
    spelling = spelling_of((key, contact_id), here)
    problems = [
        Problem(path, f'{name} has no column "{wanted}"{did_you_mean(wanted, here)}')
        for wanted in (key, contact_id)
        if wanted not in spelling
    ]
    twice = reader.doubled(lookup, path, here, spelling.values())
    problems += [Problem(path, f"{name} {TWICE.format(column)}") for column in sorted(twice)]
    if problems:
        raise ConfigurationError(*problems)
    return spelling[key], spelling[contact_id]


def _path(activation: Activation) -> KeyPath:
    return ("activations", activation.name, "contact", "lookup")
