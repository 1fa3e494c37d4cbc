"""Rows as the warehouse has them now, and what becomes of them; nothing of it is recorded."""

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from connector.basis import dataclass
from connector.ledger.questions import Questions
from connector.rules.interaction import Interaction, Invalid
from connector.sync.reading import Source, plan


@dataclass(frozen=True, slots=True)
class RowNow:
    """A row: the columns that the activation names, and the interaction that it becomes, or why it
    becomes none."""

    columns: Mapping[str, Any]
    content: Interaction | Invalid


def row_now(source: Source[Questions], row_key: str) -> RowNow | None:
    """The row under `row_key`, wherever it stands in the model; None where there is none. Raises
    ConfigurationError."""
    return rows_now(source, [row_key]).get(row_key)


def rows_now(source: Source[Questions], row_keys: Collection[str]) -> dict[str, RowNow]:
    """Those of `row_keys` that the model has. The first row of a key counts, as it does when rows
    are recorded. Raises ConfigurationError."""
    reading = plan(source)
    named, left = set(reading.activation.columns.values()), set(row_keys)
    found = dict[str, RowNow]()
    with closing(replace(reading, lower=None).rows()) as batches:
        for rows in batches:
            for key, row in reading.keyed(rows):
                if key in left:
                    left.discard(key)
                    cells = zip(reading.scan.columns, row, strict=True)
                    shown = {name: _shown(value) for name, value in cells if name in named}
                    found[key] = RowNow(shown, reading.mapper(row))
            if not left:
                break
    return found


def _shown(value: Any) -> Any:
    """A value as JSON has it; what JSON does not know as a text."""
    return value if value is None or isinstance(value, bool | int | float) else str(value)
